# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Published ports in both families: who reaches them, by which addresses, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kernel.support import HOST, Driver, Managed, managed_lab, warnings_of
from kernel.test_ports import PROTOCOLS

from lab import Answer, Lab

HOST6, PEER6, REMOTE6 = "2001:db8:1::10", "2001:db8:1::20", "2001:db8:2::2"
SECOND6 = "2001:db8:1::11"
FRONT, BACK = "fd00:10::/64", "fd00:20::/64"
NETWORKS = [
    {"name": "front", "ipam_config": [{"subnet": "192.168.10.0/24"}, {"subnet": FRONT}], "connected": ["web", "mate"]},
    {"name": "back", "ipam_config": [{"subnet": "192.168.20.0/24"}, {"subnet": BACK}], "connected": ["other"]},
    {"name": "six", "enable_ipv4": False, "ipam_config": [{"subnet": "fd00:30::/64"}], "connected": ["lone"]},
]
CLIENTS = {
    "remote": ("remote", None, HOST, HOST6),
    "peer": ("peer", None, HOST, HOST6),
    "host": ("host", None, HOST, HOST6),
    "host by loopback": ("host", None, "127.0.0.1", HOST6),
    "container of the same network": ("host", "mate", HOST, HOST6),
    "container of the same network by its gateway": ("host", "mate", "192.168.10.1", "fd00:10::1"),
    "container of another network": ("host", "other", HOST, HOST6),
    "container of another network by its gateway": ("host", "other", "192.168.20.1", "fd00:20::1"),
    "the container itself": ("host", "web", HOST, HOST6),
}


def serve_both(managed: Managed, container: str, port: int, protocols: tuple[str, ...] = PROTOCOLS) -> None:
    for address in ("0.0.0.0", "::"):
        for protocol in protocols:
            managed.host.serve(protocol, port, netns=container, address=address)


def bindings(result: dict[str, Any], port: str) -> set[tuple[str, str]]:
    return {(each["HostIp"], each["HostPort"]) for each in result["ports"].get(port, [])}


@pytest.fixture(scope="module", params=[0, 1], ids=["bridge-nf-0", "bridge-nf-1"])
def published(driver: Driver, backend: str, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """web's 8080 as 8000 everywhere, over TCP and UDP."""
    with managed_lab(driver, ("host", "peer", "router", "remote"), backend) as (lab, managed):
        for table in ("iptables", "ip6tables"):
            managed.sh(f"echo {request.param} >/proc/sys/net/bridge/bridge-nf-call-{table}")
        managed.run("container_network", networks=NETWORKS, framed=False)
        managed.port_mapping(container="web", published_ports=[f"8000:8080/{protocol}" for protocol in PROTOCOLS])
        serve_both(managed, "web", 8080)
        yield lab


@pytest.mark.parametrize("client", CLIENTS)
def test_port_without_an_address_is_reached_in_both_families_by(published: Lab, client: str) -> None:
    host, netns, *addresses = CLIENTS[client]
    targets = [(protocol, address, 8000) for protocol in PROTOCOLS for address in addresses]
    answers = published[host].ask_all(targets, netns=netns, timeout=0.5)
    assert [answer.server if answer else None for answer in answers] == ["web"] * 4, targets


@pytest.mark.parametrize(("client", "address"), [("remote", REMOTE6), ("peer", PEER6)])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_server_sees_the_real_address_of_the_client(published: Lab, client: str, address: str, protocol: str) -> None:
    answer = published[client].ask(protocol, HOST6, 8000, source_port=4242)
    assert answer == Answer("web", address, 4242)


@pytest.fixture
def web(managed: Managed) -> Managed:
    managed.run("container_network", networks=NETWORKS, framed=False)
    return managed


@pytest.mark.usefixtures("backend")
def test_both_families_have_the_same_port(lab: Lab, web: Managed) -> None:
    result = web.port_mapping(container="web", published_ports=["8080", "9000-9002:8081"])
    serve_both(web, "web", 8080, ("tcp",))
    (port,) = {number for _address, number in bindings(result, "8080/tcp")}
    assert bindings(result, "8080/tcp") == {("0.0.0.0", port), ("::", port)}
    assert bindings(result, "8081/tcp") == {("0.0.0.0", "9000"), ("::", "9000")}
    for address in (HOST, HOST6):
        assert lab.peer.ask("tcp", address, int(port)), address


@pytest.mark.usefixtures("backend")
def test_port_of_a_container_with_ipv6_alone(lab: Lab, web: Managed) -> None:
    result = web.port_mapping(container="lone", published_ports=["8000:8080"])
    assert bindings(result, "8080/tcp") == {("::", "8000")}
    web.host.serve("tcp", 8080, netns="lone", address="::")
    assert lab.remote.ask("tcp", HOST6, 8000, source_port=4242) == Answer("lone", REMOTE6, 4242)
    refused = web.port_mapping(container="lone", published_ports=["0.0.0.0:8001:8080"], fails=True)
    assert "has no IPv4 address" in refused["msg"]


@pytest.mark.usefixtures("backend")
def test_port_on_one_address_answers_only_there(lab: Lab, web: Managed) -> None:
    web.sh(f"ip addr add {SECOND6}/64 dev eth0 nodad")
    ports = [f"[{SECOND6}]:8002:8080", "[::]:8004:8080", f"{HOST}:8005:8080"]
    web.port_mapping(container="web", published_ports=ports)
    serve_both(web, "web", 8080, ("tcp",))
    numbers = (8002, 8004, 8005)

    def reached(host: Any, address: str) -> list[int]:
        answers = host.ask_all([("tcp", address, number) for number in numbers], timeout=0.3)
        return [number for number, answer in zip(numbers, answers, strict=True) if answer]

    assert reached(lab.peer, SECOND6) == [8002, 8004]
    assert reached(lab.peer, HOST6) == [8004]
    assert reached(lab.peer, HOST) == [8005]
    assert reached(web.host, "127.0.0.1") == []


@pytest.mark.usefixtures("backend")
def test_host_is_refused_by_the_loopback_address_of_ipv6_at_once(web: Managed) -> None:
    """So that a client of localhost goes on to 127.0.0.1, and doesn't wait for what can't come."""
    web.port_mapping(container="web", published_ports=["8000:8080"])
    serve_both(web, "web", 8080, ("tcp",))
    asked = web.host.python(
        "import socket\n"
        "try: socket.create_connection(('::1', 8000), timeout=5)\n"
        "except ConnectionRefusedError: print('refused')"
    )
    assert asked.stdout == "refused\n"
    assert web.host.ask("tcp", "127.0.0.1", 8000)
    message = web.port_mapping(container="web", published_ports=["[::1]:8001:8080"], fails=True)["msg"]
    assert "publish on 127.0.0.1" in message


@pytest.mark.usefixtures("backend")
def test_same_port_of_the_families_leads_to_two_containers(lab: Lab, web: Managed) -> None:
    web.port_mapping(
        mappings=[
            {"container": "web", "published_ports": ["0.0.0.0:80:8080"]},
            {"container": "mate", "published_ports": ["[::]:80:8080"]},
        ]
    )
    serve_both(web, "web", 8080, ("tcp",))
    serve_both(web, "mate", 8080, ("tcp",))
    answers = lab.peer.ask_all([("tcp", HOST, 80), ("tcp", HOST6, 80)])
    assert [answer and answer.server for answer in answers] == ["web", "mate"]


@pytest.mark.usefixtures("backend")
def test_family_that_the_container_gets_later_is_added_and_goes_with_the_rest(lab: Lab, web: Managed) -> None:
    web.container_network(name="four", ipam_config=[{"subnet": "192.168.40.0/24"}], connected=["new"])
    port = {"container": "new", "published_ports": ["8000:8080"]}
    assert bindings(web.port_mapping(**port), "8080/tcp") == {("0.0.0.0", "8000")}
    web.container_network(name="six", connected=["new"], appends=True)
    result = web.port_mapping(**port)
    assert result["changed"] and bindings(result, "8080/tcp") == {("0.0.0.0", "8000"), ("::", "8000")}
    serve_both(web, "new", 8080, ("tcp",))
    targets = [("tcp", HOST, 8000), ("tcp", HOST6, 8000)]
    assert all(lab.peer.ask_all(targets))
    assert web.port_mapping(**port, state="absent")["ports"] == {}
    assert lab.peer.ask_all(targets, timeout=0.3) == [None, None]


@pytest.mark.usefixtures("backend")
def test_half_whose_family_the_new_network_lacks_goes_with_the_move(lab: Lab, web: Managed) -> None:
    port = {"container": "web", "published_ports": ["8000:8080"]}
    web.port_mapping(**port, network="front")
    web.container_network(name="four", ipam_config=[{"subnet": "192.168.40.0/24"}], connected=["web"])
    moved = web.port_mapping(**port, network="four")
    assert moved["changed"] and bindings(moved, "8080/tcp") == {("0.0.0.0", "8000")}
    serve_both(web, "web", 8080, ("tcp",))
    assert lab.peer.ask("tcp", HOST, 8000) and not lab.peer.ask("tcp", HOST6, 8000, timeout=0.3)


def test_address_of_the_network_for_ports_leaves_ipv6_out(lab: Lab, web: Managed) -> None:
    options = {"com.docker.network.bridge.host_binding_ipv4": HOST}
    web.container_network(name="bound", enable_ipv6=True, driver_options=options, connected=["new"])
    result = web.port_mapping(container="new", published_ports=["8000:8080"])
    assert bindings(result, "8080/tcp") == {(HOST, "8000")}
    serve_both(web, "new", 8080, ("tcp",))
    assert lab.peer.ask("tcp", HOST, 8000) and not lab.peer.ask("tcp", HOST6, 8000, timeout=0.3)


LISTEN = """
import socket, sys
address, v6only = sys.argv[1], int(sys.argv[2])
kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[sys.argv[3]]
server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
if ":" in address:
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
server.bind((address, 8000))
if kind == socket.SOCK_STREAM:
    server.listen()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("address", "v6only", "text", "taken"),
    [
        ("::", 0, "0.0.0.0:8000:80", True),
        ("::", 1, "0.0.0.0:8000:80", False),
        ("::", 1, "[::]:8000:80", True),
        ("::", 1, "8000:80", True),
        ("::1", 0, "[::]:8000:80", True),
        ("::1", 0, f"[{HOST6}]:8000:80", False),
        ("0.0.0.0", 0, "[::]:8000:80", False),
        ("0.0.0.0", 0, "8000:80", True),
        ("::ffff:192.0.2.10", 0, "[::]:8000:80", False),
        ("::ffff:192.0.2.10", 0, "0.0.0.0:8000:80", True),
    ],
)
def test_listener_is_in_the_way_in_the_families_that_it_takes(
    web: Managed, protocol: str, address: str, v6only: int, text: str, taken: bool
) -> None:
    process = web.host.popen(*("python3", "-c", LISTEN, address, str(v6only), protocol), stdin=-1, stdout=-1, text=True)
    assert process.stdout.readline() == "\n"
    result = web.port_mapping(container="web", published_ports=[f"{text}/{protocol}"], fails=taken)
    assert not taken or "is in use by process python3" in result["msg"]


def test_address_that_the_host_does_not_have_yet_is_worth_a_warning(lab: Lab, web: Managed) -> None:
    result = web.port_mapping(container="web", published_ports=[f"[{SECOND6}]:8000:8080"])
    (warning,) = warnings_of(result)
    assert f'"{SECOND6}" is no address of this host now' in warning
    serve_both(web, "web", 8080, ("tcp",))
    web.sh(f"ip addr add {SECOND6}/64 dev eth0 nodad")
    assert lab.peer.ask("tcp", SECOND6, 8000)


def test_address_of_the_network_that_the_host_does_not_have_yet_is_worth_a_warning(web: Managed) -> None:
    options = {"com.docker.network.bridge.host_binding_ipv4": "192.0.2.99"}
    web.container_network(name="bound", driver_options=options, connected=["new"])
    port = {"container": "new", "published_ports": ["8000:8080"]}
    (warning,) = warnings_of(web.port_mapping(**port))
    assert 'host_binding_ipv4 "192.0.2.99" of the network "bound" is no address of this host now' in warning
    web.sh("ip addr add 192.0.2.99/24 dev eth0")
    assert not warnings_of(web.port_mapping(**port))
