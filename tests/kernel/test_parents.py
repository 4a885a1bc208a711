# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks on a parent (macvlan, ipvlan): containers in the network that the host itself is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kernel.needs import has
from kernel.support import HOST, PEER, REMOTE, Managed, bare, same, warnings_of

from lab import Lab

LAN, LAN6, ROUTER, ROUTER6 = "192.0.2.0/24", "2001:db8:1::/64", "192.0.2.1", "2001:db8:1::1"
WEB, MATE, WEB6 = "192.0.2.128", "192.0.2.129", "2001:db8:1::8000"
PEER6 = "2001:db8:1::20"

KINDS = ["macvlan", pytest.param("ipvlan", marks=pytest.mark.needs_kernel("ipvlan"))]
each_kind = pytest.mark.parametrize("kind", KINDS)


def lan(kind: str, **further: Any) -> dict[str, Any]:
    """web and mate in the LAN of the lab, IPv4 and IPv6."""
    blocks = [
        {"subnet": LAN, "gateway": ROUTER, "iprange": "192.0.2.128/25"},
        {"subnet": LAN6, "gateway": ROUTER6, "iprange": "2001:db8:1::8000/113"},
    ]
    network = {"name": "lan", "driver": kind, "driver_options": {"parent": "eth0"}, "ipam_config": blocks}
    return {**network, "connected": ["web", "mate"], **further}


def seen_by_peer(lab: Lab, managed: Managed, container: str, version: int = 4) -> str | None:
    """The address that the peer sees the container come from."""
    with lab.peer.serve("tcp", 7000, address="::" if version == 6 else "0.0.0.0"):
        answer = managed.host.ask("tcp", PEER6 if version == 6 else PEER, 7000, netns=container)
    return answer and answer.seen_from


@each_kind
def test_containers_are_neighbours_of_the_peers_of_the_host(lab: Lab, managed: Managed, kind: str) -> None:
    managed.container_network(**lan(kind))
    assert managed.host.ping(MATE, netns="web")
    assert seen_by_peer(lab, managed, "web") == WEB
    assert seen_by_peer(lab, managed, "web", 6) == WEB6
    for address in ("0.0.0.0", "::"):
        managed.host.serve("tcp", 8080, netns="web", address=address)
    assert lab.peer.ask("tcp", WEB, 8080)
    assert lab.peer.ask("tcp", WEB6, 8080)
    assert managed.host.ping(REMOTE, netns="web"), "the LAN's router is the way out"
    assert not any("BRIDGEWORK" in rule for rule in managed.rules()), "the host has nothing to do with it"
    assert managed.sh("cat /proc/sys/net/ipv4/ip_forward").strip() == "0"


@each_kind
def test_host_is_afterwards_as_it_was(lab: Lab, managed: Managed, kind: str) -> None:
    before = managed.snapshot()
    managed.container_network(**lan(kind))
    managed.container_network(name="lan", state="absent", force=True)
    managed.netns_bridge(containers=[{"name": name, "state": "absent"} for name in ("web", "mate")])
    same(bare(before), bare(managed.snapshot()), "something is left", identity=False)


@each_kind
def test_network_is_described_as_docker_does(lab: Lab, managed: Managed, kind: str) -> None:
    network = managed.container_network(**lan(kind))["network"]
    assert network["Driver"] == kind
    assert network["Options"] == {"parent": "eth0"}
    (web,) = [each for each in network["Containers"].values() if each["Name"] == "web"]
    assert (web["IPv4Address"], web["IPv6Address"]) == (f"{WEB}/24", f"{WEB6}/64")
    assert bool(web["MacAddress"]) == (kind == "macvlan")


@each_kind
def test_internal_network_has_no_default_route(lab: Lab, managed: Managed, kind: str) -> None:
    managed.container_network(**lan(kind, internal=True))
    assert managed.sh("ip route show default; ip -6 route show default", "web") == ""
    assert managed.host.ping(PEER, netns="web"), "the parent is still its own network"
    managed.container_network(name="lan", internal=False)
    assert f"default via {ROUTER} dev eth0" in managed.sh("ip route show default", "web")


@each_kind
def test_several_subnets_of_a_family(lab: Lab, managed: Managed, kind: str) -> None:
    blocks = [{"subnet": "10.1.0.0/30", "gateway": "10.1.0.1"}, {"subnet": "10.2.0.0/24", "gateway": "10.2.0.1"}]
    network = lan(kind, ipam_config=blocks, connected=["a", "b"])
    managed.container_network(**network)
    assert [managed.address(name) for name in ("a", "b")] == ["10.1.0.2", "10.2.0.2"], "the next when one is full"
    assert "default via 10.2.0.1" in managed.sh("ip route show default", "b")
    managed.container_network(name="lan", endpoints=[{"container": "c", "ipv4_address": "10.2.0.9"}])
    assert managed.address("c") == "10.2.0.9"
    assert not managed.container_network(name="lan", ipam_config=blocks[:1])["changed"], "it is there, as asked for"
    others = [blocks[0], {"subnet": "10.4.0.0/24"}]
    text = managed.container_network(name="lan", ipam_config=others, fails=True)["msg"]
    assert 'would cut off container "b", container "c"' in text and "10.2.0.0/24" in text
    managed.container_network(name="lan", ipam_config=[*blocks, {"subnet": "10.3.0.0/24"}])
    overlapping = [*blocks, {"subnet": "10.2.0.128/25"}]
    text = managed.container_network(name="lan", ipam_config=overlapping, fails=True)["msg"]
    assert 'subnet "10.2.0.128/25" overlaps another one of the task (10.2.0.0/24)' in text


@each_kind
def test_mtu_is_that_of_the_parent_unless_it_is_given(lab: Lab, managed: Managed, kind: str) -> None:
    managed.container_network(**lan(kind))
    assert managed.link("eth0", "web")["mtu"] == 1500
    options = {"parent": "eth0", "com.docker.network.driver.mtu": 1400}
    managed.container_network(name="lan", driver_options=options)
    assert managed.link("eth0", "web")["mtu"] == 1400
    options["com.docker.network.driver.mtu"] = 9000
    text = managed.container_network(name="lan", driver_options=options, fails=True)["msg"]
    assert 'com.docker.network.driver.mtu "9000" is larger than that of the parent eth0 (1500)' in text


@each_kind
def test_parent_with_an_mtu_that_is_too_small_for_ipv6(lab: Lab, managed: Managed, kind: str) -> None:
    managed.sh("ip link set eth0 mtu 1000")
    text = managed.container_network(**lan(kind), fails=True)["msg"]
    assert 'parent "eth0" has an MTU of 1000, which is too small for IPv6; raise it to 1280 at least' in text
    blocks = lan(kind)["ipam_config"][:1]
    managed.container_network(**lan(kind, ipam_config=blocks))
    assert managed.host.ping(PEER, netns="web")
    assert not managed.container_network(name="lan")["changed"]
    managed.sh("ip link set eth0 mtu 1500")
    managed.sh("ip link set eth0 mtu 1400; ip link set eth0 mtu 1500", "web")
    assert managed.container_network(name="lan")["changed"], "it has got settings of IPv6"
    assert managed.sh("cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6", "web").strip() == "1"
    managed.sh("ip link set eth0 mtu 1000")
    assert not managed.container_network(name="lan")["changed"]
    managed.container_network(name="lan", connected=["web", "mate", "third"])
    assert managed.host.ping(PEER, netns="third")


@each_kind
def test_addresses_of_the_host_are_its_own(lab: Lab, managed: Managed, kind: str) -> None:
    blocks = [{"subnet": LAN, "gateway": ROUTER, "iprange": "192.0.2.10/31"}]
    managed.container_network(**lan(kind, ipam_config=blocks, connected=["web"]))
    assert managed.address("web") == "192.0.2.11", "the first one is the host's"
    given = [{"container": "mate", "ipv4_address": HOST}]
    text = managed.container_network(name="lan", endpoints=given, fails=True)["msg"]
    assert f'ipv4_address "{HOST}" is in use by this host; leave ipv4_address out' in text


@each_kind
def test_parent_that_is_taken_where_it_can_not_be_seen(lab: Lab, managed: Managed, kind: str) -> None:
    managed.sh("ip netns add other; ip link add link eth0 netns other name theirs type macvlan mode passthru")
    text = managed.container_network(**lan(kind), fails=True, framed=False)["msg"]  # only the kernel knows it
    assert f'refused to create {kind} "eth0" on "eth0"' in text
    assert 'something else may have "eth0" (a macvlan, ipvlan, bridge): choose another parent' in text
    managed.sh("ip -n other link del theirs")
    managed.container_network(**lan(kind))


@each_kind
def test_ports_are_not_published_on_it(lab: Lab, managed: Managed, kind: str) -> None:
    managed.container_network(**lan(kind))
    text = managed.port_mapping(container="web", published_ports=["8000:8080"], fails=True)["msg"]
    assert 'is only on networks that this host does not route for ("lan")' in text
    managed.container_network(name="back", endpoints=[{"container": "web", "gw_priority": 1}])
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    managed.host.serve("tcp", 8080, netns="web")
    assert lab.remote.ask("tcp", HOST, 8000), "the bridge network publishes"


@each_kind
def test_settings_of_an_endpoint_are_those_of_its_interface(lab: Lab, managed: Managed, kind: str) -> None:
    opts = {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"}
    managed.container_network(**lan(kind, endpoints=[{"container": "web", "driver_opts": opts}]))
    assert managed.sh("cat /proc/sys/net/ipv4/conf/eth0/log_martians", "web").strip() == "1"
    assert managed.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra", "web").strip() == "0"


@pytest.mark.parametrize(
    ("parent", "problem"),
    [
        ("eth7", "is no interface of this host; name one that is there"),
        ("eth7.10", "is no interface of this host, and nor is eth7; name one"),
        ("eth0.4095", "is no interface of this host; name one"),
        ("lo", "is the loopback interface; name one"),
        ("idle", 'is down; bring "idle" up first'),
        ("enslaved", "is a port of trunk; name trunk, or another"),
        ("stacked", "is itself on eth0 (macvlan); name eth0"),
        ("bw0", 'is the bridge of network "bridge"; choose another parent'),
        ("a name", "is not a valid interface name"),
    ],
)
@each_kind
def test_parent_that_will_not_do_is_refused(lab: Lab, managed: Managed, kind: str, parent: str, problem: str) -> None:
    managed.sh("ip link add idle type veth peer name enslaved; ip link add trunk type bridge")
    managed.sh("ip link set enslaved master trunk up")
    managed.sh("ip link add link eth0 name stacked type macvlan; ip link set stacked up")
    managed.netns_bridge(containers=[{"name": "other"}])
    text = managed.container_network(**lan(kind, driver_options={"parent": parent}), fails=True)["msg"]
    assert f'parent "{parent}" {problem}' in text


@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="this kernel has no tunnels")
def test_a_tunnel_is_no_parent(managed: Managed) -> None:
    managed.sh("ip tuntap add tunnel mode tun; ip link set tunnel up")
    text = managed.container_network(**lan("macvlan", driver_options={"parent": "tunnel"}), fails=True)["msg"]
    assert 'parent "tunnel" is no Ethernet interface (tun); choose another parent' in text


def test_a_veth_of_ours_is_no_parent(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "other"}])
    (port,) = managed.sh("ls /sys/class/net/bw0/brif").split()
    text = managed.container_network(**lan("macvlan", driver_options={"parent": port}), fails=True)["msg"]
    assert f"parent \"{port}\" is Bridgework's own; name an interface of the host's" in text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"parnet": "eth0"}, 'driver_options "parnet=eth0" is unknown; did you mean parent?'),
        ({"macvlan_mode": "brigde"}, 'macvlan_mode "brigde" is unknown; use one of: bridge, private, vepa, passthru'),
        (
            {"com.docker.network.bridge.enable_icc": False},
            "enable_icc=false\" is for the driver bridge, and this network's is macvlan; use one of: ",
        ),
        ({"ipvlan_mode": "l2"}, 'driver_options "ipvlan_mode=l2" is for the driver ipvlan, and'),
    ],
)
def test_options_of_others_are_refused(managed: Managed, options: dict[str, Any], problem: str) -> None:
    assert problem in managed.container_network(**lan("macvlan", driver_options=options), fails=True)["msg"]


def test_parent_is_an_option_of_networks_that_have_one(managed: Managed) -> None:
    text = managed.container_network(name="a", driver_options={"parent": "eth0"}, fails=True)["msg"]
    assert 'driver_options "parent=eth0" is for the driver macvlan and ipvlan, and this network\'s is bridge' in text


@pytest.mark.skipif(has("ipvlan"), reason="this kernel has ipvlan")
def test_kernel_without_the_driver_is_named(managed: Managed) -> None:
    text = managed.container_network(**lan("ipvlan"), fails=True)["msg"]
    assert 'driver "ipvlan" needs the kernel module ipvlan, which this host\'s kernel does not have' in text


@pytest.mark.skipif(has("8021q"), reason="this kernel has VLANs")
def test_kernel_without_vlans_is_named(managed: Managed) -> None:
    text = managed.container_network(**lan("macvlan", driver_options={"parent": "eth0.10"}), fails=True)["msg"]
    assert 'parent "eth0.10" needs the kernel module 8021q' in text


@pytest.mark.skipif(has("dummy"), reason="this kernel has dummy interfaces")
def test_kernel_without_dummies_is_named(managed: Managed) -> None:
    text = managed.container_network(name="lan", driver="macvlan", fails=True)["msg"]
    assert "needs the kernel module dummy" in text and "or name a parent" in text


def test_driver_changes_only_by_force_where_containers_are_connected(lab: Lab, managed: Managed) -> None:
    managed.container_network(name="lan", connected=["web"])
    moved = {key: value for key, value in lan("macvlan", connected=["web"]).items() if key != "ipam_config"}
    text = managed.container_network(**moved, fails=True)["msg"]
    assert 'driver "macvlan" differs from the present bridge and would cut off container "web"; set force' in text
    managed.container_network(**moved, force=True)
    assert managed.link("eth0", "web")["linkinfo"]["info_kind"] == "macvlan"
    assert managed.address("web") == "172.17.0.2"
    managed.container_network(name="lan", driver="bridge", force=True)
    assert managed.link("eth0", "web")["linkinfo"]["info_kind"] == "veth"
    managed.container_network(name="empty")
    managed.container_network(name="empty", driver="macvlan", driver_options={"parent": "eth0"})


@each_kind
def test_predefined_network_keeps_its_driver(managed: Managed, kind: str) -> None:
    text = managed.container_network(name="bridge", driver=kind, fails=True)["msg"]
    assert f'driver "{kind}" is not that of this predefined network; use bridge' in text


@each_kind
def test_interface_that_the_container_took_away_comes_back(lab: Lab, managed: Managed, kind: str) -> None:
    managed.container_network(**lan(kind))
    managed.sh("ip link del eth0", "web")
    managed.sh("ip link set eth0 alias mine mtu 1300", "mate")
    result = managed.container_network(**lan(kind))
    assert result["changed"]
    assert seen_by_peer(lab, managed, "web") == WEB
    assert managed.link("eth0", "mate")["mtu"] == 1300, "the kernel's to choose"
    managed.container_network(
        name="lan", endpoints=[{"container": "web", "state": "absent"}, {"container": "mate", "state": "absent"}]
    )
    assert "eth0" not in managed.sh("ip -o link", "mate")


@each_kind
def test_others_go_on_where_a_parent_is_gone(lab: Lab, managed: Managed, kind: str) -> None:
    managed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up")
    managed.container_network(**lan(kind, driver_options={"parent": "up0"}))
    managed.sh("ip link del up0")
    result = managed.container_network(name="other", connected=["db"])
    assert all('the interface "up0", which eth0 is to be on, is gone' in text for text in warnings_of(result))
    assert len(warnings_of(result)) == 2
    assert len(warnings_of(managed.container_network(name="lan", labels={"a": "b"}))) == 2, "it can wait"
    text = managed.container_network(name="lan", connected=["new"], appends=True, fails=True)["msg"]
    assert 'the interface "up0", which eth0 is to be on, is gone; bring it back, or disconnect' in text
    managed.container_network(name="lan", endpoints=[{"container": "mate", "state": "absent"}])
    managed.container_network(name="lan", connected=["mate"], appends=True, fails=True)
    managed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up")
    managed.container_network(name="lan", connected=["web", "mate"])
    assert managed.host.ping(managed.address("mate"), netns="web")
    managed.sh("ip link del up0")
    managed.container_network(name="lan", state="absent", force=True)


@each_kind
def test_parent_has_one_driver(lab: Lab, managed: Managed, kind: str) -> None:
    other = {"macvlan": "ipvlan", "ipvlan": "macvlan"}[kind]
    managed.container_network(**lan(kind))
    if not has(other):
        pytest.skip(f"needs a kernel with {other}; make vm has one")
    second = {"name": "second", "driver": other, "driver_options": {"parent": "eth0"}}
    text = managed.container_network(**second, fails=True)["msg"]
    assert f'parent "eth0" is the parent, with the driver {kind}, of network "lan"; choose another parent' in text


def test_network_made_from_a_configuration(lab: Lab, managed: Managed) -> None:
    settings = {key: lan("macvlan")[key] for key in ("driver_options", "ipam_config")}
    managed.container_network(name="settings", config_only=True, **settings)
    managed.container_network(name="lan", driver="macvlan", config_from="settings", connected=["web"])
    assert seen_by_peer(lab, managed, "web") == WEB


@each_kind
def test_container_can_not_keep_an_interface_by_a_disguise(lab: Lab, managed: Managed, kind: str) -> None:
    managed.container_network(**lan(kind))
    managed.sh("ip link set eth0 down; ip link set eth0 name mine alias none; ip link set mine up", "web")
    assert managed.container_network(name="lan")["changed"]
    assert "mine" not in managed.sh("ip -o link", "web")
    assert seen_by_peer(lab, managed, "web") == WEB
    managed.sh("ip link set eth0 down; ip link set eth0 name mine alias none; ip link set mine up", "web")
    managed.container_network(name="lan", state="absent", force=True)
    assert "mine" not in managed.sh("ip -o link", "web")


@each_kind
def test_interface_that_only_looks_the_same_is_replaced(lab: Lab, managed: Managed, kind: str) -> None:
    """One on an interface of another namespace, which has the index there that the parent has on the host."""
    managed.container_network(**lan(kind))
    parent = managed.link("eth0")["ifindex"]
    own = managed.link("eth0", "web")
    managed.sh("ip netns add nested")
    managed.sh(f"ip link add up0 index {parent} type veth peer name up1 index 99; ip link set up0 up", "nested")
    forged = f"link add link up0 name forged index {own['ifindex']} type macvlan mode bridge"
    managed.sh("ip link del eth0", "web")
    managed.sh(f"ip -n nested {forged}; ip -n nested link set forged netns web")
    managed.sh(f"ip link set forged name eth0 alias '{own['ifalias']}' address {own['address']}", "web")
    managed.container_network(name="lan")
    assert seen_by_peer(lab, managed, "web") == WEB


@each_kind
def test_interface_of_somebody_else_on_the_same_parent_is_left(lab: Lab, managed: Managed, kind: str) -> None:
    managed.sh("ip netns add web")
    managed.sh(f"ip link add link eth0 name theirs netns web type {kind}")
    managed.sh("ip link set theirs name eth0", "web")
    theirs = managed.link("eth0", "web")["address"]
    named = lan(kind, connected=[], endpoints=[{"container": "web", "interface_name": "eth0"}])
    text = managed.container_network(**named, fails=True)["msg"]
    assert 'container "web": interface "eth0" exists and is not Bridgework\'s' in text
    managed.container_network(**lan(kind))
    managed.container_network(name="lan", state="absent", force=True)
    assert managed.link("eth0", "web")["address"] == theirs


@pytest.mark.needs_kernel("8021q")
def test_vlan_outlives_what_happens_to_its_trunk(lab: Lab, managed: Managed) -> None:
    managed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up")
    managed.container_network(**lan("macvlan", driver_options={"parent": "up0.10"}))
    index = managed.link("up0.10")["ifindex"]
    managed.sh("ip link set up0 down")
    managed.container_network(name="other", connected=["db"])
    managed.sh("ip link set up0 name moved; ip link set moved up")
    managed.container_network(name="other", labels={"a": "b"})
    assert managed.link("up0.10")["ifindex"] == index
    managed.sh("ip link set moved down; ip link set moved name up0; ip link set up0 up")
    managed.container_network(name="other")
    assert managed.host.ping(managed.address("mate"), netns="web")


@each_kind
def test_what_else_a_container_has_goes_on_where_a_parent_is_gone(lab: Lab, managed: Managed, kind: str) -> None:
    managed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up")
    managed.container_network(**lan(kind, driver_options={"parent": "up0"}, connected=["web"]))
    back = [{"container": "web", "gw_priority": 1}]
    managed.container_network(name="back", connected=["mate"], endpoints=back)
    managed.sh("ip link del up0")
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    managed.host.serve("tcp", 8080, netns="web")
    assert lab.remote.ask("tcp", HOST, 8000)
    managed.sh("ip link del eth1", "web")
    assert managed.container_network(name="back", endpoints=[{"container": "web", "ipv4_address": "172.17.0.9"}])
    assert managed.host.ping("172.17.0.9", netns="mate")
    managed.container_network(name="back", endpoints=[{"container": "web", "state": "absent"}])
    assert managed.sh("ip -o link | wc -l", "web").strip() == "1"


@each_kind
def test_parent_may_get_another_name(lab: Lab, managed: Managed, kind: str) -> None:
    managed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up")
    managed.container_network(**lan(kind, driver_options={"parent": "up0"}))
    index = managed.link("eth0", "web")["ifindex"]
    managed.sh("ip link set up0 down; ip link set up0 name moved; ip link set moved up")
    assert len(warnings_of(managed.container_network(name="other", connected=["db"]))) == 2
    assert managed.link("eth0", "web")["ifindex"] == index
    assert managed.host.ping(MATE, netns="web")
    managed.sh("ip link set moved down; ip link set moved name up0; ip link set up0 up")
    assert not warnings_of(managed.container_network(name="other"))
    managed.sh("ip link set up0 down; ip link set up0 name moved; ip link set moved up")
    managed.container_network(name="lan", state="absent", force=True)
    assert "eth0" not in managed.sh("ip -o link", "web")
