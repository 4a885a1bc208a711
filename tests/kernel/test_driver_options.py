# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the bridge driver and of endpoints, each with what it does."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.support import HOST, PEER, REMOTE, Managed, warnings_of
from kernel.test_isolation import PROTOCOLS, reached

from lab import Host, Lab

FRONT, BACK, FRONT6 = "192.168.10.0/24", "192.168.20.0/24", "fd00:10::/64"
WEB, WEB6, HOST6 = "192.168.10.2", "fd00:10::2", "2001:db8:1::10"
BRIDGE = "com.docker.network.bridge"


def with_options(managed: Managed, ports: list[str] | None = None, **options: Any) -> None:
    """web and mate on front (IPv4 and IPv6), db on back; web listens on 8080 and 9090."""
    front = {
        "name": "front",
        "driver_options": {key.replace("__", "."): value for key, value in options.items()},
        "ipam_config": [{"subnet": FRONT}, {"subnet": FRONT6}],
        "connected": ["web", "mate"],
    }
    managed.container_network(
        networks=[front, {"name": "back", "ipam_config": [{"subnet": BACK}], "connected": ["db"]}]
    )
    if ports:
        managed.port_mapping(container="web", published_ports=ports)
    for port in (8080, 9090):
        for protocol in PROTOCOLS:
            for address in ("0.0.0.0", "::"):
                managed.host.serve(protocol, port, netns="web", address=address)


def option(name: str, value: Any) -> dict[str, Any]:
    return {f"{BRIDGE}.{name}".replace(".", "__"): value}


def routed_here(host: Host) -> None:
    host.run("ip", "route", "add", FRONT, "via", HOST)
    host.run("ip", "route", "add", FRONT6, "via", HOST6)


PORTS = ["8000:8080", "8000:8080/udp"]


# Gateway modes: who may address a container directly.


@pytest.mark.usefixtures("backend")
def test_unprotected_containers_can_be_addressed_on_any_port(lab: Lab, managed: Managed) -> None:
    with_options(managed, PORTS, **option("gateway_mode_ipv4", "nat-unprotected"))
    routed_here(lab.peer)
    assert reached(lab.peer, HOST, 8000) == [*PROTOCOLS], "ports are published as ever"
    assert reached(lab.peer, WEB, 9090) == [*PROTOCOLS]
    assert lab.peer.ping(WEB)
    assert reached(lab.peer, WEB6, 9090) == [], "the other family has a mode of its own"
    with lab.remote.serve("tcp", 7000):
        answer = managed.host.ask("tcp", REMOTE, 7000, netns="web")
    assert answer and answer.seen_from == HOST, "egress is translated as ever"


@pytest.mark.usefixtures("backend")
def test_routed_containers_can_be_addressed_on_published_ports(lab: Lab, managed: Managed) -> None:
    with_options(managed, PORTS, **option("gateway_mode_ipv4", "routed"))
    routed_here(lab.peer)
    assert reached(lab.peer, WEB, 8080) == [*PROTOCOLS]
    assert reached(lab.peer, WEB, 9090) == []
    assert lab.peer.ping(WEB)
    assert reached(lab.peer, HOST, 8000) == [], "there is no port on the host"
    with lab.peer.serve("tcp", 7000):
        answer = managed.host.ask("tcp", PEER, 7000, netns="web")
    assert answer and answer.seen_from == WEB, "nothing is translated"
    assert reached(managed.host, WEB, 8080, "db") == [*PROTOCOLS], "other networks are like anybody else"
    assert reached(managed.host, WEB, 9090, "db") == []


@pytest.mark.usefixtures("backend")
def test_routed_in_ipv6(lab: Lab, managed: Managed) -> None:
    with_options(managed, **option("gateway_mode_ipv6", "routed"))
    routed_here(lab.peer)
    assert lab.peer.ping(WEB6) and not lab.peer.ping(WEB)
    assert reached(lab.peer, WEB6, 8080) == []
    with lab.peer.serve("tcp", 7000, address="::"):
        answer = managed.host.ask("tcp", "2001:db8:1::20", 7000, netns="web")
    assert answer and answer.seen_from == WEB6


def test_isolated_bridge_has_no_address(managed: Managed) -> None:
    modes = {f"{BRIDGE}.gateway_mode_ipv{version}": "isolated" for version in (4, 6)}
    arguments = {"name": "front", "driver_options": modes, "ipam_config": [{"subnet": FRONT}, {"subnet": FRONT6}]}
    refused = managed.container_network(**arguments, fails=True)
    assert f'{BRIDGE}.gateway_mode_ipv4 "isolated" is for internal networks; set internal too' in refused["msg"]
    network = managed.container_network(**arguments, internal=True, connected=["web", "mate"])["network"]
    device = network["Options"][f"{BRIDGE}.name"]
    assert not [each for each in managed.link(device)["addr_info"] if each["scope"] == "global"]
    assert managed.host.ping(WEB, netns="mate") and managed.host.ping(WEB6, netns="mate")
    assert not managed.host.ping(WEB)


@pytest.mark.usefixtures("backend")
def test_mode_is_changed_in_place(lab: Lab, managed: Managed) -> None:
    with_options(managed, PORTS)
    routed_here(lab.peer)
    with lab.peer.flow(HOST, 8000) as flow:
        managed.container_network(name="front", driver_options={f"{BRIDGE}.gateway_mode_ipv4": "nat-unprotected"})
        flow.echo()
    assert reached(lab.peer, WEB, 9090) == [*PROTOCOLS]
    managed.container_network(name="front", driver_options={f"{BRIDGE}.gateway_mode_ipv4": "nat"})
    assert reached(lab.peer, WEB, 9090) == []


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("masquerade", [True, False])
def test_trusted_interface_lets_published_ports_be_addressed_directly(
    lab: Lab, managed: Managed, masquerade: bool
) -> None:
    options = {**option("trusted_host_interfaces", "lan7:eth0"), **option("enable_ip_masquerade", masquerade)}
    with_options(managed, PORTS, **options)
    routed_here(lab.peer)
    assert reached(lab.peer, WEB, 8080) == [*PROTOCOLS]
    assert reached(lab.peer, WEB, 9090) == []
    managed.container_network(name="front", driver_options={f"{BRIDGE}.trusted_host_interfaces": "lan7"})
    assert reached(lab.peer, WEB, 8080) == []


# Addresses.


@pytest.mark.usefixtures("backend")
def test_source_address_of_egress_can_be_given(lab: Lab, managed: Managed) -> None:
    managed.sh("ip addr add 192.0.2.11/24 dev eth0; ip addr add 2001:db8:1::11/64 dev eth0 nodad")
    given = {"com__docker__network__host_ipv4": "192.0.2.11", "com__docker__network__host_ipv6": "2001:db8:1::11"}
    with_options(managed, **given)
    with lab.remote.serve("tcp", 7000), lab.remote.serve("tcp", 7000, address="::"):
        answers = [managed.host.ask("tcp", to, 7000, netns="web") for to in (REMOTE, "2001:db8:2::2")]
    assert [answer and answer.seen_from for answer in answers] == [
        "192.0.2.11",
        "2001:db8:1::11",
    ]


@pytest.mark.usefixtures("backend")
def test_address_for_published_ports_can_be_set_for_the_network(lab: Lab, managed: Managed) -> None:
    with_options(managed, ["8000:8080", f"{HOST}:8001:8080", "8080"], **option("host_binding_ipv4", "127.0.0.1"))
    ports = managed.container_info(name=["web"])["container"]["ports"]["8080/tcp"]
    assert sorted(each["HostIp"] for each in ports) == ["127.0.0.1", "127.0.0.1", HOST]
    assert reached(lab.peer, HOST, 8000) == []
    assert "tcp" in reached(managed.host, "127.0.0.1", 8000)


def test_bridge_can_be_left_without_an_ipv4_address(managed: Managed) -> None:
    with_options(managed, **option("inhibit_ipv4", True))
    device = managed.container_network(name="front")["network"]["Options"][f"{BRIDGE}.name"]
    families = {each["family"] for each in managed.link(device)["addr_info"] if each["scope"] == "global"}
    assert families == {"inet6"}
    assert managed.host.ping(WEB, netns="mate")


def test_interfaces_can_have_another_prefix(managed: Managed) -> None:
    options = {"com.docker.network.container_iface_prefix": "lan"}
    managed.container_network(name="front", driver_options=options, connected=["web"])
    managed.container_network(name="back", connected=["web"])
    links = managed.sh("ls /sys/class/net", netns="web").split()
    assert {"lan0", "eth0"} <= set(links)


# Endpoints.


def default_routes(managed: Managed, container: str) -> list[str]:
    return [managed.sh(f"ip -{family} route show default", netns=container).split()[4] for family in (4, 6)]


def test_default_routes_lead_through_the_network_of_the_highest_priority(lab: Lab, managed: Managed) -> None:
    both = {"enable_ipv6": True}
    managed.container_network(
        networks=[
            {"name": "front", "endpoints": [{"container": "web"}], **both},
            {"name": "back", "endpoints": [{"container": "web", "gw_priority": 5}], **both},
            {"name": "four", "endpoints": [{"container": "web", "gw_priority": 9}]},
            {"name": "inside", "internal": True, "endpoints": [{"container": "web", "gw_priority": 99}], **both},
        ]
    )
    assert default_routes(managed, "web") == ["eth2", "eth1"]
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    with managed.host.serve("tcp", 8080, netns="web"):
        assert lab.remote.ask("tcp", HOST, 8000)
    managed.container_network(name="four", endpoints=[{"container": "web", "gw_priority": -1}])
    assert default_routes(managed, "web") == ["eth1", "eth1"]
    assert managed.host.ping(REMOTE, netns="web")


def test_link_local_addresses_are_added(managed: Managed) -> None:
    endpoint = {"container": "web", "link_local_ips": ["169.254.7.7", "fe80::77"]}
    managed.container_network(name="front", enable_ipv6=True, endpoints=[endpoint], connected=["mate"], appends=True)
    assert managed.host.ping("169.254.7.7", netns="web") and managed.host.ping("fe80::77%eth0", netns="mate")
    managed.container_network(name="front", endpoints=[{"container": "web", "link_local_ips": []}])
    assert "169.254.7.7" not in managed.sh("ip addr", netns="web")


def test_settings_of_an_endpoint_are_those_of_its_interface(managed: Managed) -> None:
    key = "com.docker.network.endpoint.sysctls"
    settings = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.forwarding=1"
    endpoint = {"container": "web", "interface_name": "lan0", "driver_opts": {key: settings}}
    managed.container_network(name="front", endpoints=[endpoint])
    read = "cd /proc/sys/net/ipv4/conf/lan0; cat log_martians forwarding"
    assert managed.sh(read, netns="web").split() == ["1", "1"]
    managed.sh("echo 0 >/proc/sys/net/ipv4/conf/lan0/log_martians", netns="web")
    assert managed.container_network(name="front", endpoints=[endpoint])["changed"]
    managed.container_network(name="front", endpoints=[{"container": "web", "driver_opts": {}}])
    assert managed.sh(read, netns="web").split() == ["0", "0"]


def test_name_of_the_interface_can_be_given_as_an_option_too(managed: Managed) -> None:
    options = {"com.docker.network.endpoint.ifname": "lan0"}
    managed.container_network(name="front", endpoints=[{"container": "web", "driver_opts": options}])
    assert managed.address("web", "lan0")


def test_links_and_aliases_are_kept_and_shown(managed: Managed) -> None:
    endpoint = {"container": "web", "aliases": ["www", "shop"], "links": ["db:database", "cache"]}
    managed.container_network(name="front", endpoints=[endpoint])
    shown = managed.container_info(name=["web"])["container"]["networks"]["front"]
    assert (shown["aliases"], shown["links"]) == (["www", "shop"], ["db:database", "cache:cache"])


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ({"link_local_ips": ["192.0.2.1"]}, 'link_local_ips "192.0.2.1" is not link-local; use one of 169.254.0.0/16'),
        ({"link_local_ips": ["fe80::1"]}, 'link_local_ips "fe80::1" is of a family that the network does not have'),
        ({"links": ["a b"]}, 'links "a b" is not a valid name'),
        (
            {"driver_opts": {"com.docker.network.endpoint.sysctl": "x"}},
            "did you mean com.docker.network.endpoint.sysctls?",
        ),
        (
            {"driver_opts": {"com.docker.network.endpoint.sysctls": "net.ipv4.ip_forward=1"}},
            "is not a setting of the interface",
        ),
        (
            {"driver_opts": {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.no_such=1"}},
            "has net/ipv4/conf/lo/no_such, which does not exist",
        ),
        (
            {"interface_name": "lan0", "driver_opts": {"com.docker.network.endpoint.ifname": "lan1"}},
            'interface_name "lan0" differs from com.docker.network.endpoint.ifname=lan1',
        ),
        ({"gw_priority": "high"}, "gw_priority"),
    ],
)
def test_bad_endpoint_option_is_refused(managed: Managed, endpoint: dict[str, Any], problem: str) -> None:
    refused = managed.container_network(name="front", endpoints=[{"container": "web", **endpoint}], fails=True)
    assert problem in refused["msg"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {f"{BRIDGE}.gateway_mode_ipv4": "nate"},
            'gateway_mode_ipv4 "nate" is unknown; use one of: nat, nat-unprotected',
        ),
        ({f"{BRIDGE}.gateway_mode_ipv6": "nat"}, 'gateway_mode_ipv6 "nat" is given without IPv6; set enable_ipv6'),
        ({f"{BRIDGE}.host_binding_ipv4": "::1"}, 'host_binding_ipv4 "::1" is not an IPv4 address'),
        ({f"{BRIDGE}.trusted_host_interfaces": "eth0,eth1"}, '"eth0,eth1" is not a valid interface name'),
        ({"com.docker.network.container_iface_prefix": "a" * 12}, "is too long (12 characters); use at most 11"),
        ({"com.docker.network.host_ipv4": "here"}, 'host_ipv4 "here" is not an IP address'),
        ({f"{BRIDGE}.inhibit_ipv4": "maybe"}, 'inhibit_ipv4 "maybe" is neither true nor false'),
        ({"icc": "false"}, 'driver_options "icc=false" is unknown'),
        ({"enable_icc": "false"}, "did you mean com.docker.network.bridge.enable_icc?"),
    ],
)
def test_bad_driver_option_is_refused(managed: Managed, options: dict[str, Any], problem: str) -> None:
    refused = managed.container_network(name="front", driver_options=options, fails=True)
    assert problem in refused["msg"] and not warnings_of(refused)
