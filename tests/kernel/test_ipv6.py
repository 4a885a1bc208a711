# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks with IPv6, beside IPv4 or alone."""

from __future__ import annotations

import ipaddress
import re

import pytest
from kernel.support import Managed, bare, same
from kernel.test_isolation import PROTOCOLS, reached

from lab import Lab

HOST6, PEER6, REMOTE6 = "2001:db8:1::10", "2001:db8:1::20", "2001:db8:2::2"
FRONT, BACK = "fd00:10::/64", "fd00:20::/64"
WEB, MATE, DB = "fd00:10::2", "fd00:10::3", "fd00:20::2"
NETWORKS = [
    {"name": "front", "ipam_config": [{"subnet": FRONT}], "connected": ["web", "mate"]},
    {"name": "back", "ipam_config": [{"subnet": BACK}, {"subnet": "192.168.20.0/24"}], "connected": ["db"]},
]


def address6(managed: Managed, container: str, interface: str = "eth0") -> str:
    """A container's IPv6 address."""
    found = managed.link(interface, container)["addr_info"]
    (address,) = [each["local"] for each in found if each["family"] == "inet6" and each["scope"] == "global"]
    return address


@pytest.fixture
def two(lab: Lab, managed: Managed) -> Managed:
    """web and mate on front, db on back; web and db listen on 8080."""
    managed.run("container_network", networks=NETWORKS, framed=False)
    for container in ("web", "db"):
        for protocol in PROTOCOLS:
            managed.host.serve(protocol, 8080, netns=container, address="::")
    return managed


# Subnets and addresses.


def test_both_families_are_given_out_from_the_lowest_on(managed: Managed) -> None:
    network = managed.container_network(**NETWORKS[0])["network"]
    assert (network["EnableIPv4"], network["EnableIPv6"]) == (True, True)
    assert [block["Subnet"] for block in network["IPAM"]["Config"]] == ["172.17.0.0/16", FRONT]
    (web,) = [each for each in network["Containers"].values() if each["Name"] == "web"]
    assert (web["IPv4Address"], web["IPv6Address"]) == ("172.17.0.2/16", f"{WEB}/64")
    assert (managed.address("web"), address6(managed, "web")) == ("172.17.0.2", WEB)
    assert address6(managed, "mate") == MATE


def test_chosen_subnets_are_of_one_prefix_of_the_hosts_own(managed: Managed) -> None:
    """RFC 4193: a /48 with 40 bits of its own, cut in /64s."""
    managed.container_network(networks=[{"name": "a", "enable_ipv6": True}, {"name": "b", "enable_ipv6": True}])
    subnets = []
    for name in ("a", "b"):
        network = managed.container_network(name=name)["network"]
        subnets.append(ipaddress.ip_network(network["IPAM"]["Config"][1]["Subnet"]))
    assert [subnet.prefixlen for subnet in subnets] == [64, 64]
    assert subnets[0].supernet(new_prefix=48) == subnets[1].supernet(new_prefix=48)
    assert all(subnet.network_address in ipaddress.ip_network("fd00::/8") for subnet in subnets)
    assert not subnets[0].overlaps(subnets[1])


@pytest.mark.usefixtures("backend")
def test_network_of_ipv6_alone(lab: Lab, managed: Managed) -> None:
    options = {"name": "six", "enable_ipv4": False, "enable_ipv6": True}
    network = managed.container_network(**options, connected=["web", "mate"])["network"]
    assert (network["EnableIPv4"], network["EnableIPv6"]) == (False, True)
    assert not [each for each in managed.link("eth0", "web")["addr_info"] if each["family"] == "inet"]
    assert managed.host.ping(address6(managed, "mate"), netns="web")
    assert managed.host.ping(REMOTE6, netns="web")
    managed.container_network(name="six", state="absent", force=True)


def test_address_that_is_asked_for(managed: Managed) -> None:
    endpoint = {"container": "web", "ipv6_address": "fd00:10::77"}
    managed.container_network(name="front", ipam_config=[{"subnet": FRONT}], endpoints=[endpoint])
    assert address6(managed, "web") == "fd00:10::77"
    managed.container_network(name="front", endpoints=[{"container": "web", "ipv6_address": "fd00:10::78"}])
    assert (managed.address("web"), address6(managed, "web")) == ("172.17.0.2", "fd00:10::78")
    taken = managed.container_network(
        name="front", endpoints=[{"container": "db", "ipv6_address": "fd00:10::78"}], fails=True
    )
    assert 'ipv6_address "fd00:10::78" is in use by container "web"' in taken["msg"]


def test_neighbours_follow_an_address_to_its_new_holder_at_once(managed: Managed) -> None:
    """They heard of it by an unsolicited neighbor advertisement."""
    endpoints = [{"container": "web", "ipv6_address": "fd00:10::77"}, {"container": "mate"}]
    managed.container_network(name="front", ipam_config=[{"subnet": FRONT}], endpoints=endpoints)
    assert managed.host.ping("fd00:10::77", netns="mate")
    cached = managed.sh("ip -6 neigh show fd00:10::77", netns="mate")
    assert managed.link("eth0", "web")["address"] in cached
    managed.sh("ip -6 neigh replace fd00:10::77 dev eth0 lladdr 02:00:00:00:00:99 nud stale", netns="mate")
    moved = [{"container": "web", "ipv6_address": "fd00:10::78"}, {"container": "db", "ipv6_address": "fd00:10::77"}]
    managed.run("container_network", name="front", endpoints=moved, framed=False)
    assert managed.link("eth0", "db")["address"] in managed.sh("ip -6 neigh show fd00:10::77", netns="mate")


@pytest.mark.usefixtures("backend")
def test_family_is_added_to_a_living_network_and_taken_away_by_force(lab: Lab, managed: Managed) -> None:
    managed.container_network(name="front", connected=["web", "mate"])
    managed.host.serve("tcp", 8080, netns="web")
    with managed.host.flow("172.17.0.2", 8080, netns="mate") as flow:
        managed.container_network(name="front", enable_ipv6=True, ipam_config=[{"subnet": FRONT}])
        assert managed.host.ping(WEB, netns="mate") and managed.host.ping(REMOTE6, netns="mate")
        flow.echo()
    refused = managed.container_network(name="front", enable_ipv6=False, fails=True)
    assert "would take fd00:10::/64 away" in refused["msg"] and '"web"' in refused["msg"]
    managed.container_network(name="front", enable_ipv6=False, force=True)
    assert not managed.host.ping(WEB, netns="mate")
    assert managed.host.ping("172.17.0.2", netns="mate")


# Ways.


@pytest.mark.usefixtures("backend")
def test_containers_reach_each_other_and_the_outside(lab: Lab, two: Managed) -> None:
    assert reached(two.host, WEB, 8080, "mate") == [*PROTOCOLS]
    assert two.host.ping(REMOTE6, netns="mate")
    assert two.host.ping(REMOTE6, netns="db")


@pytest.mark.usefixtures("backend")
def test_outside_sees_the_address_of_the_host(lab: Lab, two: Managed) -> None:
    with lab.remote.serve("tcp", 7000, address="::"):
        answer = two.host.ask("tcp", REMOTE6, 7000, netns="mate")
    assert answer and answer.seen_from == HOST6


@pytest.mark.usefixtures("backend")
def test_networks_do_not_reach_each_other(two: Managed) -> None:
    assert reached(two.host, WEB, 8080, "db") == []
    assert reached(two.host, DB, 8080, "mate") == []
    two.flush("raw", "filter")
    assert reached(two.host, WEB, 8080, "db") == [*PROTOCOLS]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("accepted_by_others", [False, True])
def test_peer_with_a_route_reaches_nothing(lab: Lab, two: Managed, accepted_by_others: bool) -> None:
    lab.peer.run("ip", "route", "add", "fd00::/16", "via", HOST6)
    if accepted_by_others:
        two.sh("ip6tables -I FORWARD 1 -j ACCEPT")
    assert reached(lab.peer, WEB, 8080) == []
    assert not lab.peer.ping(DB)
    two.flush("raw", "filter")
    assert reached(lab.peer, WEB, 8080) == [*PROTOCOLS]


@pytest.mark.usefixtures("backend")
def test_internal_network_has_no_way_out(lab: Lab, managed: Managed) -> None:
    managed.container_network(name="inside", internal=True, ipam_config=[{"subnet": FRONT}], connected=["web", "mate"])
    managed.sh("ip route add default via fd00:10::1", netns="web")
    managed.sh("ip6tables -I FORWARD 1 -j ACCEPT")
    assert managed.host.ping(MATE, netns="web")
    lab.peer.run("ip", "route", "add", FRONT, "via", HOST6)
    assert not managed.host.ping(PEER6, netns="web")


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bridge_netfilter", [0, 1])
def test_containers_of_a_bridge_without_icc_reach_only_the_outside(
    lab: Lab, managed: Managed, bridge_netfilter: int
) -> None:
    for family in ("iptables", "ip6tables"):
        managed.sh(f"echo {bridge_netfilter} >/proc/sys/net/bridge/bridge-nf-call-{family}")
    options = {"com.docker.network.bridge.enable_icc": False}
    managed.container_network(**NETWORKS[0], driver_options=options)
    assert not managed.host.ping(MATE, netns="web")
    assert managed.host.ping(REMOTE6, netns="web")


# The host.


def test_rogue_router_advertisements_change_nothing(lab: Lab, two: Managed) -> None:
    """CVE-2020-10749: neither in a container nor on the bridge does a neighbour set up addresses or routes."""
    places = (None, "mate", "db")
    before = [two.sh("ip -6 route; ip -6 -o addr show scope global", netns=place) for place in places]
    advertise(two, "web")
    assert before == [two.sh("ip -6 route; ip -6 -o addr show scope global", netns=place) for place in places]


def test_uplink_goes_on_heeding_router_advertisements(lab: Lab, managed: Managed) -> None:
    """A host that forwards would stop; its own default route came from one."""
    path = "/proc/sys/net/ipv6/conf/eth0/accept_ra"
    managed.sh(f"ip -6 route del default; echo 1 >{path}")
    advertise(lab.router, None)
    learned = managed.sh("ip -6 route show default")
    assert "proto ra" in learned
    before = managed.snapshot()
    managed.container_network(**NETWORKS[0])
    assert managed.sh(f"cat {path}").strip() == "2"
    assert "proto ra" in managed.sh("ip -6 route show default")
    managed.container_network(name="front", state="absent", force=True)
    managed.netns_bridge(containers=[{"name": name, "state": "absent"} for name in ("web", "mate")])
    assert managed.sh(f"cat {path}").strip() == "1"
    routes = re.compile("/route .*")
    same(
        *(
            {key: value for key, value in bare(each).items() if not routes.match(key)}
            for each in (before, managed.snapshot())
        ),
        "something is left behind",
    )


def test_ipv4_network_has_no_ipv6(managed: Managed) -> None:
    managed.container_network(networks=[{"name": "four", "connected": ["web"]}, {"name": "six", "enable_ipv6": True}])
    assert not [each for each in managed.link("eth0", "web")["addr_info"] if each["family"] == "inet6"]


@pytest.mark.parametrize(
    "damage",
    [
        "ip -n web addr del fd00:10::2/64 dev eth0",
        "ip -n web -6 route del default",
        "ip -n web link set eth0 down",
        "ip -n web link del eth0",
        "ip addr del fd00:10::1/64 dev $(ip -o addr show to fd00:10::1 | cut -d' ' -f2)",
        "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
        "ip netns exec web sh -c 'echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6'",
        "ip6tables -t nat -F",
        "ip6tables -D FORWARD -j BRIDGEWORK-FORWARD",
        "ip -n web link set eth0 mtu 1000",
    ],
)
def test_damage_is_repaired(lab: Lab, two: Managed, damage: str) -> None:
    before = two.snapshot()
    two.sh(damage)
    assert two.network_prune()["changed"]
    same(before, two.snapshot(), "it is not as it was", identity=False)
    assert two.host.ping(REMOTE6, netns="web") and two.host.ping(MATE, netns="web")


@pytest.mark.usefixtures("backend")
def test_all_is_as_before_when_the_last_network_goes(lab: Lab, managed: Managed) -> None:
    before = managed.snapshot()
    managed.container_network(networks=NETWORKS)
    managed.container_network(networks=[{"name": each["name"], "state": "absent", "force": True} for each in NETWORKS])
    managed.netns_bridge(containers=[{"name": name, "state": "absent"} for name in ("web", "mate", "db")])
    same(bare(before), bare(managed.snapshot()), "something is left behind")


# What a router says: RFC 4861, section 4.2, with a prefix that hosts may make addresses of.
ADVERTISEMENT = """
import socket, struct, sys
link, prefix = sys.argv[1], socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(link))
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
message += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + prefix
sender.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex(link)))
"""


def advertise(where, netns: str | None) -> None:
    """Send a router advertisement to all neighbours, and give them the time to heed it."""
    host = where.host if isinstance(where, Managed) else where
    host.python(ADVERTISEMENT, "eth0", netns=netns)
    host.run("sleep", "0.3")


def test_advertisement_of_these_tests_is_heeded_where_nobody_forbids_it(lab: Lab) -> None:
    advertise(lab.router, None)
    assert "2001:db8:bad:" in lab.peer.run("ip", "-6", "addr", "show", "dev", "eth0").stdout
