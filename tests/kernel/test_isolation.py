# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can't be reached. Most tests first show that the way is open but for the rule that they are about."""

from __future__ import annotations

import sys

import pytest
from kernel.support import HOST, PEER, REMOTE, Managed

from lab import Host, Lab

FRONT, BACK = "192.168.10.0/24", "192.168.20.0/24"
NETWORKS = [
    {"name": "front", "ipam_config": [{"subnet": FRONT}], "connected": ["web", "mate"]},
    {"name": "back", "ipam_config": [{"subnet": BACK}], "connected": ["db"]},
]
WEB, DB = "192.168.10.2", "192.168.20.2"
PROTOCOLS = ("tcp", "udp")
SILENCE = 0.3

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def two(lab: Lab, managed: Managed) -> Managed:
    """web and mate on front, db on back; web and db listen on 8080, web's is published as 8000."""
    managed.run("container_network", networks=NETWORKS, framed=False)
    ports = [f"8000:8080/{protocol}" for protocol in PROTOCOLS]
    managed.run("port_mapping", container="web", published_ports=ports, framed=False)
    for container in ("web", "db"):
        for protocol in PROTOCOLS:
            managed.host.serve(protocol, 8080, netns=container)
    return managed


def reached(host: Host, address: str, port: int, netns: str | None = None) -> list[str]:
    """Over which protocols an answer comes."""
    answers = host.ask_all([(protocol, address, port) for protocol in PROTOCOLS], netns=netns, timeout=SILENCE)
    return [protocol for protocol, answer in zip(PROTOCOLS, answers, strict=True) if answer]


# Between networks.


@pytest.mark.parametrize(("client", "address", "port"), [("db", WEB, 8080), ("mate", DB, 8080), ("web", DB, 8080)])
def test_networks_do_not_reach_each_other(two: Managed, client: str, address: str, port: int) -> None:
    assert reached(two.host, address, port, client) == []
    assert not two.host.ping(address, netns=client)
    two.flush("raw", "filter")
    assert reached(two.host, address, port, client) == [*PROTOCOLS]


def test_networks_reach_each_other_by_published_ports(two: Managed) -> None:
    assert reached(two.host, HOST, 8000, "db") == [*PROTOCOLS]
    assert reached(two.host, "192.168.20.1", 8000, "db") == [*PROTOCOLS]


def test_published_port_is_no_way_to_another_port(two: Managed) -> None:
    two.host.serve("tcp", 9090, netns="web")
    assert reached(two.host, HOST, 8080, "db") == []
    assert reached(two.host, WEB, 9090, "db") == []


def test_container_on_both_networks_is_reached_in_both(two: Managed) -> None:
    two.container_network(name="back", connected=["web"], appends=True)
    assert reached(two.host, two.address("web", "eth1"), 8080, "db") == [*PROTOCOLS]
    assert reached(two.host, WEB, 8080, "db") == []


def test_container_can_not_pose_as_one_of_another_network(two: Managed) -> None:
    """With an address of the other network its packets still come from the wrong bridge."""
    two.sh("ip addr add 192.168.10.77/32 dev eth0", netns="db")
    answer = two.host.ask("udp", WEB, 8080, netns="db", source="192.168.10.77", timeout=SILENCE)
    assert answer is None


# From the LAN.


def test_peer_with_a_route_reaches_nothing(lab: Lab, two: Managed) -> None:
    lab.peer.run("ip", "route", "add", "192.168.0.0/16", "via", HOST)
    assert reached(lab.peer, WEB, 8080) == [], "the address of a published port"
    assert reached(lab.peer, DB, 8080) == [], "the address of an unpublished one"
    assert not lab.peer.ping(WEB)
    assert reached(lab.peer, HOST, 8000) == [*PROTOCOLS]
    two.flush("raw", "filter")
    assert reached(lab.peer, WEB, 8080) == [*PROTOCOLS]


@pytest.mark.parametrize("masquerade", [True, False])
def test_peer_with_a_route_reaches_nothing_where_forwarding_is_accepted_by_others(
    lab: Lab, two: Managed, masquerade: bool
) -> None:
    two.container_network(name="front", driver_options={"com.docker.network.bridge.enable_ip_masquerade": masquerade})
    two.sh("iptables -I FORWARD 1 -j ACCEPT")
    lab.peer.run("ip", "route", "add", "192.168.0.0/16", "via", HOST)
    assert reached(lab.peer, WEB, 8080) == []
    assert reached(lab.peer, DB, 8080) == []


def test_remote_reaches_nothing_where_the_router_has_a_route(lab: Lab, two: Managed) -> None:
    lab.router.run("ip", "route", "add", "192.168.0.0/16", "via", HOST)
    assert reached(lab.remote, WEB, 8080) == []
    assert reached(lab.remote, DB, 8080) == []
    assert reached(lab.remote, HOST, 8000) == [*PROTOCOLS]


def test_unpublished_port_is_closed_to_all_outside(lab: Lab, two: Managed) -> None:
    for client in (lab.peer, lab.remote):
        assert reached(client, HOST, 8080) == []
        assert reached(client, HOST, 8000) == [*PROTOCOLS]


# Internal networks.


@pytest.fixture
def internal(lab: Lab, managed: Managed) -> Managed:
    managed.run("container_network", networks=[{**NETWORKS[0], "internal": True}, NETWORKS[1]], framed=False)
    for protocol in PROTOCOLS:
        managed.host.serve(protocol, 8080, netns="web")
        managed.host.serve(protocol, 8080, netns="db")
    return managed


def test_internal_network_works_inside(internal: Managed) -> None:
    assert reached(internal.host, WEB, 8080, "mate") == [*PROTOCOLS]
    assert internal.sh("ip route show default", netns="web") == ""


@pytest.mark.parametrize("gateway", [None, "192.168.10.1"])
def test_internal_network_has_no_way_out(lab: Lab, internal: Managed, gateway: str | None) -> None:
    if gateway:
        internal.sh(f"ip route add default via {gateway}", netns="web")
    lab.peer.run("ip", "route", "add", FRONT, "via", HOST)
    for protocol in PROTOCOLS:
        lab.peer.serve(protocol, 7000)
    assert reached(internal.host, PEER, 7000, "web") == []
    assert reached(internal.host, DB, 8080, "web") == []
    assert not internal.host.ping(REMOTE, netns="web")


def test_internal_network_has_no_way_out_where_forwarding_is_accepted_by_others(lab: Lab, internal: Managed) -> None:
    """Neither directly nor by a port that a container of another network publishes."""
    internal.port_mapping(container="db", published_ports=[f"9000:8080/{protocol}" for protocol in PROTOCOLS])
    internal.sh("iptables -I FORWARD 1 -j ACCEPT")
    internal.sh("ip route add default via 192.168.10.1", netns="web")
    lab.peer.run("ip", "route", "add", FRONT, "via", HOST)
    for protocol in PROTOCOLS:
        lab.peer.serve(protocol, 7000)
    assert reached(internal.host, PEER, 7000, "web") == []
    assert reached(internal.host, DB, 8080, "web") == []
    assert reached(internal.host, HOST, 9000, "web") == []
    assert reached(internal.host, WEB, 8080, "mate") == [*PROTOCOLS], "inside it works"
    assert reached(lab.peer, HOST, 9000) == [*PROTOCOLS], "the port is open to others"
    # In nftables what others accept is still ours to drop.
    internal.flush("raw", *["filter"] * (internal.backend == "nftables"))
    assert reached(internal.host, PEER, 7000, "web") == [*PROTOCOLS]


@pytest.mark.parametrize("bridge_netfilter", [0, 1])
def test_internal_network_carries_broadcasts_and_multicasts(internal: Managed, bridge_netfilter: int) -> None:
    internal.sh(f"echo {bridge_netfilter} >/proc/sys/net/bridge/bridge-nf-call-iptables")
    for address in ("192.168.10.255", "255.255.255.255", "224.0.0.1"):
        seen = (
            "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 6000));"
            "s.settimeout(2); print(flush=True); print(s.recv(9).decode())"
        )
        listener = internal.host.popen(sys.executable, "-c", seen, netns="mate", stdout=-1, text=True)
        listener.stdout.readline()
        internal.host.run(
            sys.executable,
            "-c",
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1);"
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0');"
            f"s.sendto(b'hello', ('{address}', 6000))",
            netns="web",
        )
        assert listener.stdout.readline().strip() == "hello", address
        internal.host.stop(listener)


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside a network with IPv4"])
def test_internal_network_without_ipv4_has_no_way_out_by_addresses_of_its_own(
    lab: Lab, managed: Managed, others: bool
) -> None:
    """A container may take an address and a route itself, and the kernel's default is no reverse path filter."""
    managed.sh("for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$file; done")
    managed.sh("echo 1 >/proc/sys/net/ipv4/ip_forward")
    if others:
        managed.run("container_network", networks=NETWORKS, framed=False)
    inner = {"name": "inner", "internal": True, "enable_ipv4": False, "enable_ipv6": True, "connected": ["jail"]}
    network = managed.container_network(**inner)["network"]
    managed.sh(f"ip addr add 198.18.0.9/32 dev eth0; ip route add {HOST} dev eth0", netns="jail")
    managed.sh(f"ip route add default via {HOST} dev eth0 onlink", netns="jail")
    managed.sh(f"ip route add 198.18.0.9/32 dev {network['Options']['com.docker.network.bridge.name']}")
    lab.peer.run("ip", "route", "add", "198.18.0.9/32", "via", HOST)
    for protocol in PROTOCOLS:
        lab.peer.serve(protocol, 7000)
        managed.host.serve(protocol, 7000, netns="jail")
    assert reached(managed.host, PEER, 7000, "jail") == []
    assert reached(lab.peer, "198.18.0.9", 7000) == []


@pytest.mark.parametrize("beside", [True, False], ids=["same network", "another network"])
@pytest.mark.parametrize("to", [{}, {"com.docker.network.host_ipv4": HOST}], ids=["masqueraded", "given source"])
def test_reply_to_what_a_container_sends_is_not_the_way_into_a_published_port(
    lab: Lab, managed: Managed, beside: bool, to: dict[str, str]
) -> None:
    """Sent from the very port that another container has published: whoever asks for that is still led there."""
    managed.container_network(
        networks=[
            {"name": "front", "driver_options": to, "connected": ["web", "mate"]},
            {"name": "back", "driver_options": to, "connected": ["other"]},
        ]
    )
    managed.port_mapping(container="web", published_ports=["5000:5000/udp"])
    managed.host.serve("udp", 5000, netns="web")
    thief = "mate" if beside else "other"
    managed.host.ask("udp", PEER, 6000, netns=thief, source_port=5000, timeout=SILENCE)
    managed.host.serve("udp", 5000, netns=thief)
    answer = lab.peer.ask("udp", HOST, 5000, source_port=6000)
    assert answer and answer.server == "web"


def test_internal_network_has_no_way_in(lab: Lab, internal: Managed) -> None:
    internal.sh("ip route add default via 192.168.10.1", netns="web")
    lab.peer.run("ip", "route", "add", FRONT, "via", HOST)
    assert reached(lab.peer, WEB, 8080) == []
    assert reached(internal.host, WEB, 8080, "db") == []


def test_port_of_a_container_on_internal_networks_is_not_published(internal: Managed) -> None:
    refused = internal.port_mapping(container="web", published_ports=["8000:8080"], fails=True)
    assert 'internal networks ("front")' in refused["msg"]


def test_port_of_a_network_that_becomes_internal_is_closed_until_it_is_not(lab: Lab, two: Managed) -> None:
    two.container_network(name="front", internal=True)
    assert reached(lab.remote, HOST, 8000) == []
    assert reached(two.host, HOST, 8000, "db") == []
    two.container_network(name="front", internal=False)
    assert reached(lab.remote, HOST, 8000) == [*PROTOCOLS]


def test_container_leaves_by_the_network_that_is_not_internal(lab: Lab, managed: Managed) -> None:
    managed.container_network(
        networks=[{**NETWORKS[0], "internal": True}, {"name": "back", "connected": ["web"]}],
    )
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    assert managed.host.ping(REMOTE, netns="web")
    with managed.host.serve("tcp", 8080, netns="web"):
        assert lab.remote.ask("tcp", HOST, 8000)


# The host's loopback.


def route_to_loopback_of_the_host(host: Host, gateway: str, netns: str | None = None, link: str = "eth0") -> None:
    """127.0.0.0/8 leaves through the link, instead of staying at home."""
    script = f"""
        echo 1 >/proc/sys/net/ipv4/conf/{link}/route_localnet
        ip addr del 127.0.0.1/8 dev lo
        ip route add 127.0.0.0/8 via {gateway} src $(ip -4 -o addr show {link} | sed 's/.*inet \\([0-9.]*\\).*/\\1/')
    """
    host.run("sh", "-ec", script, netns=netns)


def test_container_never_reaches_the_loopback_of_the_host(two: Managed) -> None:
    for protocol in PROTOCOLS:
        two.host.serve(protocol, 9999, address="127.0.0.1")
    route_to_loopback_of_the_host(two.host, "192.168.10.1", "mate")
    assert reached(two.host, "127.0.0.1", 9999, "mate") == []
    two.flush("raw")
    assert reached(two.host, "127.0.0.1", 9999, "mate") == [*PROTOCOLS]


@pytest.fixture
def on_loopback(two: Managed) -> Managed:
    """web's 8080 is published on 127.0.0.1:9000 too."""
    ports = [f"127.0.0.1:9000:8080/{protocol}" for protocol in PROTOCOLS]
    two.run("port_mapping", container="web", published_ports=ports, framed=False)
    return two


def test_port_on_loopback_is_for_the_host_itself(lab: Lab, on_loopback: Managed) -> None:
    assert reached(on_loopback.host, "127.0.0.1", 9000) == [*PROTOCOLS]
    assert reached(on_loopback.host, HOST, 9000) == []
    for client in (lab.peer, lab.remote):
        assert reached(client, HOST, 9000) == []


@pytest.mark.parametrize("route_localnet", [0, 1])
def test_port_on_loopback_is_closed_to_a_peer_that_routes_loopback_here(
    lab: Lab, on_loopback: Managed, route_localnet: int
) -> None:
    """moby#41872. Some hosts set route_localnet on all links for others, such as kube-proxy."""
    on_loopback.sh(f"echo {route_localnet} >/proc/sys/net/ipv4/conf/eth0/route_localnet")
    route_to_loopback_of_the_host(lab.peer, HOST)
    assert reached(lab.peer, "127.0.0.1", 9000) == []
    assert reached(lab.peer, "127.0.0.1", 8000) == []


@pytest.mark.parametrize("client", ["db", "mate"])
def test_port_on_loopback_is_closed_to_a_container_that_routes_loopback_here(on_loopback: Managed, client: str) -> None:
    route_to_loopback_of_the_host(on_loopback.host, {"db": "192.168.20.1", "mate": "192.168.10.1"}[client], client)
    assert reached(on_loopback.host, "127.0.0.1", 9000, client) == []


def test_container_can_not_pose_as_the_host_itself(two: Managed) -> None:
    """With a loopback source address, which only the host's own processes have; also where the kernel would take it."""
    two.sh("echo 1 >/proc/sys/net/ipv4/conf/all/accept_local")
    route_to_loopback_of_the_host(two.host, "192.168.10.1", "mate")
    two.sh("ip addr add 127.0.0.5/32 dev lo", netns="mate")
    two.sh("iptables -I INPUT 1 -i br+ -s 127.0.0.5")

    def arrived() -> int:
        two.host.ask("udp", "192.168.10.1", 9999, netns="mate", source="127.0.0.5", timeout=SILENCE)
        (rule,) = [line for line in two.sh("iptables -L INPUT -vn").splitlines() if "127.0.0.5" in line]
        return int(rule.split()[0])

    assert arrived() == 0
    two.flush("raw")
    assert arrived() == 1
