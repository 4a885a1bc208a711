# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a declared state asks of a host, and that a host gets there by any sequence of tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._errors import BridgeworkError
from ansible_collections.bridgework.network.plugins.module_utils._facts import Interface
from ansible_collections.bridgework.network.plugins.module_utils._firewall import Firewall
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import (
    HOST,
    Address,
    HostConfig,
    Namespace,
    Route,
    Sysctl,
    Traits,
)
from ansible_collections.bridgework.network.plugins.module_utils._ledger import Ledger, SavedSysctl
from ansible_collections.bridgework.network.plugins.module_utils._plan import make_plan
from ansible_collections.bridgework.network.plugins.module_utils._render import render
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.simulated_host import SimulatedHost
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import Declaration, FakeFacts

NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"


@pytest.fixture
def host() -> Declaration:
    return Declaration()


def held(host: Declaration, **ledger: Any) -> HostConfig:
    return render(host.state, Ledger(**ledger), Firewall(), Traits())


def blue(host: Declaration, **params: Any) -> HostConfig:
    """The network "blue" on br-blue with "web" in it."""
    options = {NAME: "br-blue", **params.pop("driver_options", {})}
    host.network("blue", subnet="192.168.10.0/24", driver_options=options, connected=["web"], **params)
    return held(host)


def test_nothing_declared_asks_for_nothing(host: Declaration) -> None:
    assert held(host) == HostConfig()


class TestLinks:
    def test_network_is_a_bridge_with_the_gateways_address(self, host: Declaration) -> None:
        config = blue(host)
        bridge = config.links[(HOST, "br-blue")]
        assert (bridge.kind, bridge.owner, bridge.mtu, bridge.up) == ("bridge", "bridgework network blue", 1500, True)
        assert bridge.mac is not None, "or it would change with the ports"
        assert Address(HOST, "br-blue", "192.168.10.1/24") in config.addresses

    def test_endpoint_is_a_pair_with_its_end_in_the_container(self, host: Declaration) -> None:
        config = blue(host)
        endpoint = host.endpoint("blue", "web")
        inner, outer = config.links[("web", "eth0")], config.links[(HOST, endpoint.host_link)]
        assert (inner.peer, outer.peer) == (outer.key, inner.key)
        assert inner.owner == outer.owner == f"bridgework endpoint {endpoint.id[:12]}"
        assert (inner.mac, outer.master) == (endpoint.mac, "br-blue")
        assert Address("web", "eth0", "192.168.10.2/24") in config.addresses

    def test_mtu_is_that_of_the_network_on_all_three_ends(self, host: Declaration) -> None:
        config = blue(host, driver_options={MTU: 1400})
        assert {link.mtu for link in config.links.values()} == {1400}

    @pytest.mark.parametrize("published", [True, False])
    def test_port_is_in_hairpin_mode_where_something_is_published(self, host: Declaration, published: bool) -> None:
        blue(host)
        if published:
            host.publish("web", "8000:80")
        assert held(host).links[(HOST, host.endpoint("blue", "web").host_link)].hairpin == published


class TestDefaultRoute:
    def test_leads_through_the_oldest_network_with_a_way_out(self, host: Declaration) -> None:
        for name, internal in (("back", True), ("front", False), ("side", False)):
            host.network(name, internal=internal, connected=["web"])
        gateway = host["front"].ipam[0].gateway
        assert held(host).routes == {Route("web", "eth1", "default", gateway)}

    def test_moves_to_the_next_network_when_the_first_goes(self, host: Declaration) -> None:
        host.network("front", connected=["web"])
        host.network("side", connected=["web"])
        host.network("front", endpoints=[{"container": "web", "state": "absent"}])
        assert held(host).routes == {Route("web", "eth1", "default", host["side"].ipam[0].gateway)}

    def test_is_not_given_by_internal_networks(self, host: Declaration) -> None:
        assert blue(host, internal=True).routes == frozenset()


class TestNamespaces:
    def test_handles_lead_to_the_last_of_their_targets(self, host: Declaration) -> None:
        host.bridge(
            {"name": "web", "mode": "none"},
            {"name": "log", "mode": "container", "target": "web"},
            {"name": "probe", "mode": "container", "target": "log"},
            {"name": "agent", "mode": "host"},
            {"name": "shell", "mode": "container", "target": "agent"},
        )
        assert {name: space.of for name, space in held(host).namespaces.items()} == {
            "web": None,
            "log": "web",
            "probe": "web",
            "agent": HOST,
            "shell": HOST,
        }
        assert held(host).namespaces["web"] == Namespace("web")


class TestSysctls:
    def test_host_forwards_where_there_is_a_network(self, host: Declaration) -> None:
        assert Sysctl(HOST, "net/ipv4/ip_forward", "1") in blue(host).sysctls.values()
        host.network("blue", state="absent", force=True)
        assert held(host).sysctls == {}

    @pytest.mark.parametrize("place", [(HOST, "br-blue"), ("web", "eth0")])
    def test_nobody_configures_ipv6_on_our_links(self, host: Declaration, place: tuple[str, str]) -> None:
        sysctls = blue(host).sysctls
        assert sysctls[(place[0], f"net/ipv6/conf/{place[1]}/accept_ra")].value == "0"  # CVE-2020-13401
        assert sysctls[(place[0], f"net/ipv6/conf/{place[1]}/disable_ipv6")].value == "1"

    def test_those_of_a_container_are_its_own(self, host: Declaration) -> None:
        host.bridge({"name": "web", "mode": "none", "sysctls": {"net.core.somaxconn": 128}})
        assert list(held(host).sysctls.values()) == [Sysctl("web", "net/core/somaxconn", "128")]

    def test_saved_value_goes_back_when_nothing_needs_another(self, host: Declaration) -> None:
        key, follower = (HOST, "net/ipv4/ip_forward"), (HOST, "net/ipv4/conf/eth0/forwarding")
        saved = {key: SavedSysctl("0"), follower: SavedSysctl("1", "net/ipv4/ip_forward")}
        host.network("blue")
        assert held(host, sysctls=saved).owed == {}
        host.network("blue", state="absent")
        assert held(host, sysctls=saved).owed == {key: Sysctl(*key, "0"), follower: Sysctl(*follower, "1")}

    def test_what_the_host_is_told_to_keep_stays(self, host: Declaration) -> None:
        key, inside = (HOST, "net/ipv4/ip_forward"), ("web", "net/ipv4/ip_forward")
        traits = Traits(told={"net/ipv4/ip_forward": "1"})
        ledger = Ledger(sysctls={key: SavedSysctl("0"), inside: SavedSysctl("0")})
        assert render(host.state, ledger, Firewall(), traits).owed == {
            key: Sysctl(*key, "1"),
            inside: Sysctl(*inside, "0"),
        }

    @pytest.mark.parametrize(("ours", "owed"), [({"web": None}, False), ({}, True)])
    def test_what_was_set_in_a_namespace_of_ours_goes_with_it(
        self, host: Declaration, ours: dict[str, str | None], owed: bool
    ) -> None:
        key = ("web", "net/core/somaxconn")
        saved = {key: SavedSysctl("4096")}
        assert held(host, sysctls=saved, namespaces=ours).owed == ({key: Sysctl(*key, "4096")} if owed else {})


CONTAINERS = st.sampled_from(["web", "db", "log"])
NETWORKS = st.sampled_from(["blue", "red", "bridge"])
FLAGS = st.booleans()
TASKS = st.one_of(
    st.fixed_dictionaries(
        {"task": st.just("network"), "name": NETWORKS, "state": st.sampled_from(["present", "present", "absent"])},
        optional={
            "subnet": st.sampled_from(["10.1.0.0/24", "10.1.0.0/28", "10.2.0.0/31", "10.3.0.0/24"]),
            "internal": FLAGS,
            "connected": st.lists(CONTAINERS, unique=True),
            "appends": FLAGS,
            "driver_options": st.sampled_from([{MTU: 1400}, {NAME: "br-x"}, {}]),
            "force": FLAGS,
        },
    ),
    st.fixed_dictionaries(
        {
            "task": st.just("network"),
            "name": NETWORKS,
            "driver": st.sampled_from(["macvlan", "ipvlan"]),
            "driver_options": st.fixed_dictionaries(
                {},
                optional={
                    "parent": st.sampled_from(["eth0", "eth1", "eth1.10"]),
                    "macvlan_mode": st.sampled_from(["private", "passthru"]),
                    MTU: st.just(1400),
                },
            ),
            "connected": st.lists(CONTAINERS, unique=True),
            "force": FLAGS,
        },
    ),
    st.fixed_dictionaries(
        {
            "task": st.just("bridge"),
            "containers": st.lists(
                st.fixed_dictionaries(
                    {
                        "name": CONTAINERS,
                        "mode": st.sampled_from(["bridge", "none", "host", "container"]),
                        "state": st.sampled_from(["present", "present", "absent"]),
                    },
                    optional={"target": CONTAINERS, "sysctls": st.just({"net.core.somaxconn": 128})},
                ),
                min_size=1,
                max_size=2,
            ),
            "force": FLAGS,
        }
    ),
    st.fixed_dictionaries(
        {
            "task": st.just("publish"),
            "container": CONTAINERS,
            "published_ports": st.lists(st.sampled_from(["80", "8000:80", "192.0.2.7:53:53/udp"]), unique=True),
            "exclusive": FLAGS,
            "state": st.sampled_from(["present", "absent"]),
        }
    ),
    st.fixed_dictionaries({"task": st.just("prune"), "networks": FLAGS, "containers": FLAGS}),
)


def run(declared: Declaration, task: dict[str, Any]) -> None:
    params = dict(task)
    kind = params.pop("task")
    if kind == "bridge":
        declared.bridge(*params.pop("containers"), **params)
    elif kind == "publish":
        declared.mappings(params)
    else:
        {"network": declared.network, "prune": declared.prune}[kind](**params)


@settings(max_examples=150)
@given(st.lists(TASKS, max_size=8))
def test_host_follows_any_sequence_of_tasks_and_ends_up_clean(tasks: list[dict[str, Any]]) -> None:
    uplinks = {name: Interface("", is_up=True, mtu=1500) for name in ("eth0", "eth1")}
    declared, simulated = Declaration(FakeFacts(links=uplinks)), SimulatedHost()
    for name in uplinks:
        simulated.plug(name)
    empty = held(declared)
    last = empty
    removal = [
        {"task": "prune", "networks": True, "containers": True},
        *({"task": "network", "name": name, "state": "absent", "force": True} for name in ("blue", "red")),
        {"task": "bridge", "state": "absent", "force": True, "containers": [{"name": n} for n in ("web", "db", "log")]},
    ]
    for task in (*tasks, *removal):
        try:
            run(declared, task)
        except BridgeworkError:
            continue
        wanted = held(declared)
        simulated.carry_out(make_plan(wanted, simulated.observe(wanted, last)))
        simulated.end_run()
        before = declared.state.copy()
        run(declared, task)
        assert replace(declared.state, serial=before.serial) == before, "the same task again declares nothing new"
        assert not make_plan(wanted, simulated.observe(wanted, last)), "and finds nothing to do"
        last = wanted
    assert simulated.observe(empty) == empty
    assert list(simulated.names) == [HOST] and [*simulated.host.links] == [*uplinks] and not simulated.host.routes
