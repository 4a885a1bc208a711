# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers whose networks are on a parent: what they ask of a host, also of kernels that are not at hand."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._conflicts import (
    find_conflicts,
    find_waiting,
    without_waiting,
)
from ansible_collections.bridgework.network.plugins.module_utils._errors import InUse, InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._facts import Interface
from ansible_collections.bridgework.network.plugins.module_utils._firewall import Firewall
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import (
    HOST,
    HostConfig,
    Link,
    Route,
    Traits,
    is_birth_name,
)
from ansible_collections.bridgework.network.plugins.module_utils._ledger import Ledger
from ansible_collections.bridgework.network.plugins.module_utils._plan import Plan, make_plan
from ansible_collections.bridgework.network.plugins.module_utils._render import render
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import (
    Declaration,
    FakeFacts,
    refused,
)

ETH0 = Interface("", is_up=True, mtu=1500)
SUBNET = "192.0.2.0/24"
MTU = "com.docker.network.driver.mtu"


@pytest.fixture
def host() -> Declaration:
    return Declaration(FakeFacts(links={"eth0": ETH0}))


def held(host: Declaration) -> HostConfig:
    return render(host.state, Ledger(), Firewall(), Traits())


def lan(host: Declaration, driver: str = "macvlan", name: str = "lan", **params: Any) -> HostConfig:
    options = {"parent": "eth0", **params.pop("driver_options", {})}
    params.setdefault("connected", ["web"])
    host.network(name, driver=driver, driver_options=options, **{"subnet": SUBNET, **params})
    return held(host)


def present(config: HostConfig, **changes: Any) -> HostConfig:
    """A host that holds all of it."""
    return replace(config, interfaces={"eth0": True}, **changes)


def test_links_on_a_parent_have_an_index_and_a_name_to_be_born_with_whatever_their_mark() -> None:
    links = [
        Link("web", "eth0", "macvlan", owner, 1500, lower="eth0") for owner in ("bridgework endpoint 0123", "mine", "")
    ]
    assert all(0 < (link.index or 0) < 1 << 31 and is_birth_name(link.birth_name) for link in links)
    assert len({link.index for link in links}) == len({link.birth_name for link in links}) == 3


def steps(plan: Plan) -> list[tuple[str, tuple[str, str]]]:
    return [(step.verb, step.thing.key) for step in plan.steps() if isinstance(step.thing, Link)]


@pytest.mark.parametrize(
    ("driver", "options", "variant"),
    [
        ("macvlan", {}, "bridge"),
        ("macvlan", {"macvlan_mode": "vepa"}, "vepa"),
        ("ipvlan", {}, "l2"),
        ("ipvlan", {"ipvlan_mode": "l3s"}, "l3s"),
    ],
)
def test_container_has_a_link_on_the_parent(host: Declaration, driver: str, options: dict, variant: str) -> None:
    config = lan(host, driver, driver_options=options)
    [link] = list(config.links.values())
    assert (link.key, link.kind, link.lower, link.variant) == (("web", "eth0"), driver, "eth0", variant)
    assert (link.mac is None) == (driver == "ipvlan")
    assert link.mtu is None, "that is the parent's"
    assert not any(place for place, lines in config.firewall.items() if lines)
    assert not any(key for key in config.sysctls if key[0] == HOST)


@pytest.mark.parametrize(("mode", "hop"), [("l2", "192.0.2.1"), ("l3", "0.0.0.0"), ("l3s", "0.0.0.0")])
def test_layer_3_leads_out_without_a_gateway(host: Declaration, mode: str, hop: str) -> None:
    config = lan(host, "ipvlan", driver_options={"ipvlan_mode": mode})
    assert config.routes == {Route("web", "eth0", "default", hop)}


def test_vlan_is_made_where_it_is_missing_and_shared(host: Declaration) -> None:
    lan(host, driver_options={"parent": "eth0.10"})
    config = lan(host, name="second", subnet="10.0.0.0/24", driver_options={"parent": "eth0.10"})
    vlan = config.links[(HOST, "eth0.10")]
    assert (vlan.kind, vlan.lower, vlan.variant) == ("vlan", "eth0", "10")
    assert config.sysctls[(HOST, "net/ipv6/conf/eth0.10/disable_ipv6")].value == "1"
    host.network("lan", state="absent", force=True)
    assert (HOST, "eth0.10") in held(host).links
    host.network("second", state="absent", force=True)
    assert not held(host).links


def test_vlan_that_is_there_is_left_to_whoever_made_it(host: Declaration) -> None:
    host.facts.links = {"eth0": ETH0, "eth0.10": Interface("vlan", is_up=True, mtu=1500)}
    config = lan(host, driver_options={"parent": "eth0.10"})
    assert [*config.links] == [("web", "eth0")]


def test_vlan_of_a_run_that_was_killed_is_ours_again(host: Declaration) -> None:
    host.facts.links = {"eth0": ETH0, "eth0.10": Interface("vlan", True, 1500, owner="bridgework parent eth0.10")}
    assert (HOST, "eth0.10") in lan(host, driver_options={"parent": "eth0.10"}).links


def test_network_without_a_parent_has_a_dummy_and_no_way_out(host: Declaration) -> None:
    host.network("island", driver="macvlan", connected=["web"])
    config = held(host)
    (dummy,) = [link for link in config.links.values() if link.namespace == HOST]
    assert (dummy.kind, dummy.name) == ("dummy", "dm-" + host["island"].id[:12])
    assert not config.routes


@pytest.mark.parametrize(
    ("kind", "parent", "text"),
    [
        (
            "macvlan",
            "eth0",
            'driver "macvlan" needs the kernel module macvlan, which this host\'s kernel does not have; ',
        ),
        (
            "vlan",
            "eth0.10",
            'parent "eth0.10" needs the kernel module 8021q, which this host\'s kernel does not have; ',
        ),
    ],
)
def test_what_the_kernel_lacks_is_named(host: Declaration, kind: str, parent: str, text: str) -> None:
    host.facts.link_kinds -= {kind}
    module = {"vlan": "8021q"}.get(kind, kind)
    with refused(f'network "lan": {text}install it (see "modprobe {module}"), or choose another'):
        lan(host, driver_options={"parent": parent})


@pytest.mark.parametrize(
    ("parent", "text"),
    [
        (
            "eth1",
            "is no interface of this host; name one that is there, or one like eth0.10 to have VLAN 10 of eth0 made",
        ),
        (
            "eth0.0",
            "is no interface of this host; name one that is there, or one like eth0.10 to have VLAN 10 of eth0 made",
        ),
        ("down0", 'is down; bring "down0" up first, or name another interface'),
        ("down0.5", 'is on down0, which is down; bring "down0" up first, or name another interface'),
        ("port0", "is a port of br0; name br0, or another interface"),
        ("port0.5", "is on port0, which is a port of br0; name br0, or another interface"),
        ("bw0.5", "is on bw0, which is Bridgework's own; name an interface of the host's"),
        ("eth0.10.20", "is on eth0.10, which is Bridgework's own; name an interface of the host's"),
        ("wg0", "is no Ethernet interface (wireguard); choose another parent"),
        ("wg0.5", "is on wg0, which is no Ethernet interface (wireguard); choose another parent"),
        ("mv0", "is itself on eth0 (macvlan); name eth0"),
        ("tap0", "is itself on another interface (ipvtap); name another interface"),
    ],
)
def test_parent_that_will_not_do_is_refused(host: Declaration, parent: str, text: str) -> None:
    host.facts.links = {
        "eth0": ETH0,
        "eth0.10": Interface("vlan", True, 1500, owner="bridgework parent eth0.10"),
        "bw0": Interface("bridge", True, 1500, owner="bridgework network bridge"),
        "down0": Interface("", False, 1500),
        "port0": Interface("veth", True, 1500, master="br0"),
        "wg0": Interface("wireguard", True, 1420, is_ethernet=False),
        "mv0": Interface("macvlan", True, 1500, lower="eth0", variant="bridge"),
        "tap0": Interface("ipvtap", True, 1500),
    }
    with refused(f'network "lan": parent "{parent}" {text}'):
        lan(host, driver_options={"parent": parent})


def test_parent_has_one_driver_and_one_mode(host: Declaration) -> None:
    lan(host, "ipvlan")
    other = "choose another parent"
    with refused(f'network "b": parent "eth0" is the parent, with the driver ipvlan, of network "lan"; {other}'):
        lan(host, "macvlan", "b", subnet="10.0.0.0/24")
    with refused(
        'network "b": ipvlan_mode "l3" can\'t share the parent eth0 with network "lan" (l2); '
        "a parent has one mode: use that one, or choose another parent"
    ):
        lan(host, "ipvlan", "b", subnet="10.0.0.0/24", driver_options={"ipvlan_mode": "l3"})
    with refused(
        'network "c": com.docker.network.bridge.name "eth0" is the parent of network "lan"; choose another name'
    ):
        host.network("c", driver_options={"com.docker.network.bridge.name": "eth0"})


@pytest.mark.parametrize(
    ("driver", "options", "kind", "variant", "text"),
    [
        ("macvlan", {}, "ipvlan", "l2", 'parent "eth0" has the ipvlan "theirs", which is not Bridgework\'s'),
        ("ipvlan", {}, "macvtap", "", 'parent "eth0" has the macvtap "theirs", which is not Bridgework\'s'),
        (
            "macvlan",
            {},
            "macvlan",
            "passthru",
            'macvlan_mode "bridge" can\'t share the parent eth0 with "theirs", which is not Bridgework\'s (passthru)',
        ),
        (
            "ipvlan",
            {"ipvlan_mode": "l3"},
            "ipvlan",
            "l2",
            'ipvlan_mode "l3" can\'t share the parent eth0 with "theirs", which is not Bridgework\'s (l2)',
        ),
        ("macvlan", {}, "macvlan", "vepa", None),
        ("ipvlan", {}, "ipvlan", "l2", None),
        ("macvlan", {}, "vlan", "10", None),
    ],
)
def test_parent_that_somebody_else_has_taken_is_refused(
    host: Declaration, driver: str, options: dict, kind: str, variant: str, text: str | None
) -> None:
    host.facts.links = {"eth0": ETH0, "theirs": Interface(kind, True, 1500, lower="eth0", variant=variant)}
    if text is None:
        assert lan(host, driver, driver_options=options)
    else:
        with pytest.raises(InvalidInput, match=re.escape(f'network "lan": {text}; ')):
            lan(host, driver, driver_options=options)


def test_dummy_of_another_network_is_no_parent(host: Declaration) -> None:
    host.network("island", driver="macvlan")
    device = host["island"].device
    host.facts.links = {device: Interface("dummy", True, 1500, owner="bridgework network island")}
    own = f'network "lan": parent "{device}" is network "island"\'s own, which leads nowhere; choose another parent'
    with refused(own):
        lan(host, driver_options={"parent": device})


def test_host_is_not_cut_off_from_its_parent_without_force(host: Declaration) -> None:
    passthru = {"macvlan_mode": "passthru"}
    host.facts.links = {"eth0": replace(ETH0, addresses=("192.0.2.10", "2001:db8::10"))}
    text = (
        'network "lan": macvlan_mode "passthru" would cut the host off from eth0, where it has 192.0.2.10, '
        "2001:db8::10; choose another parent or mode, or set force if that is meant"
    )
    with refused(text):
        lan(host, driver_options=passthru)
    lan(host)
    with refused(text):
        lan(host, driver_options=passthru)
    lan(host, driver_options=passthru, force=True)
    lan(host, driver_options=passthru)
    host.facts.links = {"eth0": ETH0}
    host.network("lan", state="absent", force=True)
    lan(host, driver_options=passthru)


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
class TestAddressesOfTheHost:
    def test_they_are_not_given_out(self, host: Declaration, driver: str) -> None:
        host.facts.addresses = frozenset({"127.0.0.1", "192.0.2.2", "2001:db8::2", "10.0.0.1"})
        lan(host, driver, connected=["web", "mate"])
        assert {host.address("lan", name) for name in ("web", "mate")} == {"192.0.2.3", "192.0.2.4"}
        host.network("lan", ipam_config=[{"subnet": SUBNET}, {"subnet": "2001:db8::/64"}])
        assert host.endpoint("lan", "web").address(6) == "2001:db8::3"

    def test_they_are_refused(self, host: Declaration, driver: str) -> None:
        with refused(
            'network "lan": endpoint of "web": ipv4_address "192.0.2.7" is in use by this host; '
            "leave ipv4_address out to get a free address"
        ):
            lan(host, driver, connected=None, endpoints=[{"container": "web", "ipv4_address": "192.0.2.7"}])

    def test_container_keeps_an_address_that_the_host_gets_too(self, host: Declaration, driver: str) -> None:
        lan(host, driver)
        host.facts.addresses = frozenset({"192.0.2.2"})
        lan(host, driver)
        assert host.address("lan", "web") == "192.0.2.2"


@pytest.mark.parametrize(
    ("parent", "mac", "whose"),
    [
        ("eth0", "02:00:00:00:00:01", "the parent eth0"),
        ("eth0.10", "02:00:00:00:00:01", "the parent eth0.10"),
        ("eth0", "02:00:00:00:00:02", "the interface mv0"),
    ],
)
def test_hardware_address_that_is_taken_on_the_parent_is_refused(
    host: Declaration, parent: str, mac: str, whose: str
) -> None:
    host.facts.links = {
        "eth0": replace(ETH0, mac="02:00:00:00:00:01"),
        "mv0": Interface("macvlan", True, 1500, mac="02:00:00:00:00:02", lower="eth0", variant="bridge"),
    }
    named = [{"container": "web", "mac_address": mac}]
    with refused(
        f'network "lan": endpoint of "web": mac_address "{mac}" is that of {whose}; '
        "leave mac_address out to get one of its own"
    ):
        lan(host, driver_options={"parent": parent}, connected=None, endpoints=named)


@pytest.mark.parametrize(
    ("before", "after", "is_felt"),
    [("l2", "l3", True), ("l3s", "l2", True), ("l3", "l3s", False), ("l3s", "l3", False)],
)
def test_change_between_layers_cuts_off_who_is_connected(
    host: Declaration, before: str, after: str, is_felt: bool
) -> None:
    lan(host, "ipvlan", driver_options={"ipvlan_mode": before})
    if is_felt:
        with refused(
            f'network "lan": ipvlan_mode "{after}" differs from the present {before} and would cut off '
            'container "web"; set force to re-create their endpoints',
            InUse,
        ):
            lan(host, "ipvlan", driver_options={"ipvlan_mode": after})
    config = lan(host, "ipvlan", driver_options={"ipvlan_mode": after}, force=is_felt)
    assert config.links[("web", "eth0")].variant == after


class TestSmallParent:
    """A parent whose MTU is too small for IPv6."""

    @pytest.fixture
    def host(self) -> Declaration:
        return Declaration(FakeFacts(links={"eth0": replace(ETH0, mtu=1000)}))

    @pytest.mark.parametrize("parent", ["eth0", "eth0.10"])
    def test_network_of_ipv6_is_refused(self, host: Declaration, parent: str) -> None:
        with refused(
            f'network "lan": parent "{parent}" has an MTU of 1000, which is too small for IPv6; '
            "raise it to 1280 at least (RFC 8200), or leave IPv6 out"
        ):
            lan(host, driver_options={"parent": parent}, enable_ipv6=True)
        lan(host, driver_options={"parent": parent})

    def test_network_of_ipv6_that_was_there_before_goes_on(self, host: Declaration) -> None:
        host.facts.links = {"eth0": ETH0}
        lan(host, enable_ipv6=True)
        host.facts.links = {"eth0": replace(ETH0, mtu=1000)}
        lan(host, enable_ipv6=True, connected=["web", "mate"])

    def test_settings_that_the_link_lacks_are_not_missed(self, host: Declaration) -> None:
        config = lan(host, driver_options={"parent": "eth0.10"})
        without = present(config, sysctls={})
        assert {path.split("/")[1] for _namespace, path in config.sysctls} == {"ipv6"}
        assert not make_plan(config, without)

    def test_settings_that_the_link_has_are_repaired(self, host: Declaration) -> None:
        config = lan(host)
        key = ("web", "net/ipv6/conf/eth0/disable_ipv6")
        off = present(config, sysctls={key: replace(config.sysctls[key], value="0")})
        assert [(step.verb, step.thing.key) for step in make_plan(config, off).steps()] == [("update", key)]

    @pytest.mark.parametrize("further", [{"enable_ipv6": True}, {"driver_options": {MTU: 1400}}])
    def test_settings_are_missed_where_the_link_must_have_them(self, host: Declaration, further: dict) -> None:
        host.facts.links = {"eth0": ETH0}
        config = lan(host, **further)
        plan = make_plan(config, present(config, sysctls={}))
        assert {step.thing.key for step in plan.steps()} == {*config.sysctls}


def test_change_of_parent_or_driver_cuts_off_who_is_connected(host: Declaration) -> None:
    host.facts.links = {"eth0": ETH0, "eth1": ETH0}
    lan(host)
    remedy = "set force to re-create their endpoints"
    with refused(
        f'network "lan": parent "eth1" differs from the present eth0 and would cut off container "web"; {remedy}', InUse
    ):
        lan(host, driver_options={"parent": "eth1"})
    with refused(
        f'network "lan": driver "ipvlan" differs from the present macvlan and would cut off container "web"; {remedy}',
        InUse,
    ):
        lan(host, "ipvlan")
    mac = host.endpoint("lan", "web").mac
    lan(host, "ipvlan", force=True)
    assert host.endpoint("lan", "web").mac is None
    lan(host, "macvlan", force=True)
    assert host.endpoint("lan", "web").mac == mac


class TestPlan:
    def test_mode_changes_in_place(self, host: Declaration) -> None:
        before = present(lan(host))
        after = lan(host, driver_options={"macvlan_mode": "private"})
        assert steps(make_plan(after, before)) == [("update", ("web", "eth0"))]

    def test_passthru_is_made_anew(self, host: Declaration) -> None:
        before = present(lan(host))
        after = lan(host, driver_options={"macvlan_mode": "passthru"}, force=True)
        assert steps(make_plan(after, before)) == [("delete", ("web", "eth0")), ("create", ("web", "eth0"))]

    def test_parent_comes_before_what_is_on_it_and_goes_after_it(self, host: Declaration) -> None:
        config = lan(host, driver_options={"parent": "eth0.10"})
        born, gone = make_plan(config, HostConfig()), make_plan(HostConfig(), present(config))
        assert steps(born) == [("create", (HOST, "eth0.10")), ("create", ("web", "eth0"))]
        assert steps(gone) == [("delete", ("web", "eth0")), ("delete", (HOST, "eth0.10"))]

    def test_what_is_on_a_parent_that_is_made_anew_is_made_anew(self, host: Declaration) -> None:
        config = lan(host, driver_options={"parent": "eth0.10"})
        vlan = replace(config.links[(HOST, "eth0.10")], variant="11")
        plan = make_plan(config, present(config, links={**config.links, vlan.key: vlan}))
        assert {key for verb, key in steps(plan) if verb == "create"} == {(HOST, "eth0.10"), ("web", "eth0")}

    def test_what_is_left_to_the_kernel_is_no_difference(self, host: Declaration) -> None:
        config = lan(host, "ipvlan")
        links = {key: replace(link, mtu=1500, mac="02:00:00:00:00:01") for key, link in config.links.items()}
        assert not make_plan(config, present(config, links=links))


class TestTrunk:
    """What becomes of a VLAN of ours where something happens to the interface that it is on."""

    @pytest.fixture
    def config(self, host: Declaration) -> HostConfig:
        return lan(host, driver_options={"parent": "eth0.10"})

    def test_vlan_whose_trunk_has_another_name_stays_as_it_is(self, config: HostConfig) -> None:
        vlan = replace(config.links[(HOST, "eth0.10")], lower="moved")
        found = present(config, links={**config.links, vlan.key: vlan})
        found.interfaces = {"moved": True, "eth0.10": True}
        wanted = without_waiting(config, config, found)
        assert wanted.links[vlan.key] == vlan
        assert not make_plan(wanted, found)
        assert not find_conflicts(wanted, found)

    def test_vlan_whose_trunk_is_down_is_not_asked_to_be_up(self, config: HostConfig) -> None:
        vlan = replace(config.links[(HOST, "eth0.10")], up=False)
        found = present(config, links={**config.links, vlan.key: vlan})
        found.interfaces = {"eth0": False, "eth0.10": False}
        assert not make_plan(without_waiting(config, config, found), found)
        found.interfaces = {"eth0": True, "eth0.10": False}
        assert steps(make_plan(without_waiting(config, config, found), found)) == [("update", vlan.key)]

    def test_containers_wait_where_vlan_and_trunk_are_gone(self, config: HostConfig) -> None:
        found = HostConfig(namespaces=config.namespaces)
        wanted = without_waiting(config, config, found)
        assert (HOST, "eth0.10") not in wanted.links
        assert not find_conflicts(wanted, found)
        (waiting,) = find_waiting(config, config, found)
        assert 'the interface "eth0.10", which eth0 is to be on, is gone' in waiting.problem and not waiting.is_new
        assert find_waiting(config, HostConfig(), found)[0].is_new
