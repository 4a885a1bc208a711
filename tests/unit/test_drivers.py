# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers whose networks are on a parent: what they ask of a host, also of kernels that are not at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from unit.support import Declaration, FakeFacts, refused

from ansible_collections.bridgework.network.plugins.module_utils._errors import InUse
from ansible_collections.bridgework.network.plugins.module_utils._facts import Interface
from ansible_collections.bridgework.network.plugins.module_utils._firewall import Firewall
from ansible_collections.bridgework.network.plugins.module_utils._firewall.iptables import Iptables
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import (
    HOST,
    HostConfig,
    Link,
    Route,
    Traits,
)
from ansible_collections.bridgework.network.plugins.module_utils._ledger import Ledger
from ansible_collections.bridgework.network.plugins.module_utils._plan import Plan, make_plan
from ansible_collections.bridgework.network.plugins.module_utils._render import render

ETH0 = Interface("", is_up=True, mtu=1500)
SUBNET = "192.0.2.0/24"


@pytest.fixture
def host() -> Declaration:
    return Declaration(FakeFacts(links={"eth0": ETH0}))


def held(host: Declaration) -> HostConfig:
    return render(host.state, Ledger(), Firewall(Iptables()), Traits())


def lan(host: Declaration, driver: str = "macvlan", name: str = "lan", **params: Any) -> HostConfig:
    options = {"parent": "eth0", **params.pop("driver_options", {})}
    params.setdefault("connected", ["web"])
    host.network(name, driver=driver, driver_options=options, **{"subnet": SUBNET, **params})
    return held(host)


def present(config: HostConfig, **changes: Any) -> HostConfig:
    """A host that holds all of it."""
    return replace(config, interfaces=frozenset({"eth0"}), **changes)


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
    (link,) = config.links.values()
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
    ],
)
def test_parent_that_will_not_do_is_refused(host: Declaration, parent: str, text: str) -> None:
    down, port = Interface("", False, 1500), Interface("veth", True, 1500, master="br0")
    host.facts.links = {"eth0": ETH0, "down0": down, "port0": port}
    with refused(f'network "lan": parent "{parent}" {text}'):
        lan(host, driver_options={"parent": parent})


def test_parent_has_one_driver_and_one_mode(host: Declaration) -> None:
    lan(host, "ipvlan")
    other = "choose another parent"
    with refused(f'network "b": parent "eth0" is the parent, with the driver ipvlan, of network "lan"; {other}'):
        lan(host, "macvlan", "b", subnet="10.0.0.0/24")
    with refused(
        'network "b": ipvlan_mode "l3" differs from l2, which network "lan" has on eth0; '
        "use the same: a parent has one mode"
    ):
        lan(host, "ipvlan", "b", subnet="10.0.0.0/24", driver_options={"ipvlan_mode": "l3"})
    with refused(
        'network "c": com.docker.network.bridge.name "eth0" is the parent of network "lan"; choose another name'
    ):
        host.network("c", driver_options={"com.docker.network.bridge.name": "eth0"})


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
