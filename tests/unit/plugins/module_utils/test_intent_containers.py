# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``netns_bridge`` declares: a bridge and its containers in the four modes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._errors import BridgeworkError, InUse, InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._intent import Item
from ansible_collections.bridgework.network.plugins.module_utils._model import MODES, IpamBlock
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import (
    Declaration,
    FakeFacts,
    refused,
)

MTU = "com.docker.network.driver.mtu"
NAME = "com.docker.network.bridge.name"


@pytest.fixture
def host() -> Declaration:
    return Declaration()


def one(mode: str, name: str = "web", **params: Any) -> dict[str, Any]:
    """The arguments of a container of the mode; mode container shares with "db"."""
    return {"name": name, "mode": mode, **({"target": "db"} if mode == "container" else {}), **params}


class TestBridge:
    def test_empty_name_is_not_the_default(self, host: Declaration) -> None:
        with pytest.raises(InvalidInput, match='name "" is not a valid interface name'):
            host.bridge(name="", state="absent")

    def test_default_is_the_predefined_network_on_bw0(self, host: Declaration) -> None:
        assert host.bridge() == [Item("network", "bridge", "present")]
        assert host["bridge"].device == "bw0"
        assert host["bridge"].options == {}

    def test_another_name_is_a_network_of_that_name(self, host: Declaration) -> None:
        host.bridge(
            {"name": "dns", "ipv4_address": "192.168.50.53"}, name="br-lab", ipam_config=[{"subnet": "192.168.50.0/24"}]
        )
        assert host["br-lab"].device == "br-lab"
        assert host["br-lab"].ipam == (IpamBlock("192.168.50.0/24", "192.168.50.1"),)
        assert host.address("br-lab", "dns") == "192.168.50.53"

    def test_bridge_of_a_custom_network_is_that_network(self, host: Declaration) -> None:
        host.network("blue", driver_options={NAME: "br-blue"})
        host.bridge({"name": "web"}, name="br-blue", labels={"a": "1"})
        assert set(host.state.networks) == {"blue"}
        assert host["blue"].labels == {"a": "1"}
        assert host.on("blue") == {"web"}

    def test_containers_not_listed_are_left_alone(self, host: Declaration) -> None:
        host.bridge({"name": "web"}, {"name": "db"})
        host.bridge({"name": "cache"})
        assert host.on("bridge") == {"web", "db", "cache"}

    @pytest.mark.parametrize(
        ("containers", "made"),
        [
            ([one("bridge")], True),
            ([one("none"), one("bridge", "b")], True),
            ([one("none")], False),
            ([one("host")], False),
            ([one("bridge", state="absent")], False),
        ],
    )
    def test_bridge_is_made_where_something_needs_it(
        self, host: Declaration, containers: list[dict[str, Any]], made: bool
    ) -> None:
        items = host.bridge(*containers)
        assert ("bridge" in host.state.networks) == made
        assert [item for item in items if item.kind == "network"] == [Item("network", "bridge", "present")] * made

    @pytest.mark.parametrize(
        "described",
        [{"labels": {"a": "1"}}, {"ipam_config": [{"subnet": "10.0.0.0/24"}]}, {"driver_options": {MTU: 1400}}],
    )
    def test_bridge_that_is_described_is_made_and_changed_whatever_its_containers(
        self, host: Declaration, described: dict[str, Any]
    ) -> None:
        items = [Item("network", "bridge", "present"), Item("container", "batch", "present")]
        assert host.bridge(one("none", "batch"), **described) == items
        before = host["bridge"]
        host.bridge(one("none", "batch"), labels={"b": "2"})
        assert (host["bridge"].labels, host["bridge"].ipam) == ({"b": "2"}, before.ipam)

    def test_addresses_asked_for_come_before_those_that_are_free_to_choose(self, host: Declaration) -> None:
        host.bridge({"name": "web"}, {"name": "db", "ipv4_address": "172.17.0.2"})
        assert host.address("bridge", "db") == "172.17.0.2"
        assert host.address("bridge", "web") == "172.17.0.3"

    def test_second_run_changes_nothing(self, host: Declaration) -> None:
        task = [
            one("bridge"),
            one("none", "db", sysctls={"net.core.somaxconn": 128}),
            one("container", "c"),
            one("host", "h"),
        ]
        host.bridge(*task)
        first = host.state.copy()
        host.bridge(*task)
        assert host.state == first

    @pytest.mark.parametrize(
        ("params", "text"),
        [
            (
                {"name": "br/lab"},
                "bridge \"br/lab\": name \"br/lab\" is not a valid interface name; use letters, digits, '_', '.' and "
                "'-', begin with a letter or digit, and keep off lo, all, default",
            ),
            (
                {"name": "br\nlab"},
                "bridge \"br\\nlab\": name \"br\\nlab\" is not a valid interface name; use letters, digits, '_', '.' "
                "and '-', begin with a letter or digit, and keep off lo, all, default",
            ),
            (
                {"name": "a-very-long-name"},
                'bridge "a-very-long-name": name "a-very-long-name" is too long for an interface (16 characters); '
                "use at most 15",
            ),
            (
                {"name": "br-lab", "driver_options": {NAME: "br0"}},
                f'bridge "br-lab": {NAME} "br0" differs from the option name; leave it out: name is the device',
            ),
            (
                {"driver_options": {"mtu": 1400}},
                'network "bridge": driver_options "mtu=1400" is unknown; did you mean com.docker.network.driver.mtu?',
            ),
            (
                {"ipam_config": [{"subnet": "10.0.0.1/24"}]},
                'network "bridge": subnet "10.0.0.1/24" has host bits set; use 10.0.0.0/24',
            ),
            *(
                (
                    {"name": name},
                    f'bridge "{name}": name "{name}" is the name of a predefined network; choose another device name',
                )
                for name in ("bridge", "host", "none")
            ),
        ],
    )
    def test_bad_option_is_refused(self, host: Declaration, params: dict[str, Any], text: str) -> None:
        with refused(text):
            host.bridge(**params)

    def test_name_of_a_network_on_another_bridge_is_refused(self, host: Declaration) -> None:
        host.network("br-lab", driver_options={NAME: "br0"})
        with refused(
            'bridge "br-lab": name "br-lab" is the name of a network whose bridge is br0; '
            "give that bridge, or choose another name"
        ):
            host.bridge(name="br-lab")

    def test_subnet_is_not_changed_under_containers_without_force(self, host: Declaration) -> None:
        host.bridge({"name": "web"})
        with refused(
            'network "bridge": subnet "10.0.0.0/24" differs from the present 172.17.0.0/16 and would cut off '
            'container "web"; set force to re-create their endpoints',
            InUse,
        ):
            host.bridge(ipam_config=[{"subnet": "10.0.0.0/24"}])
        host.bridge(ipam_config=[{"subnet": "10.0.0.0/24"}], force=True)
        assert host.address("bridge", "web") == "10.0.0.2"


class TestContainer:
    @pytest.mark.parametrize("mode", MODES)
    def test_mode_is_declared(self, host: Declaration, mode: str) -> None:
        host.bridge(one("none", "db"), one(mode))
        container = host.container("web")
        assert (container.mode, container.target) == (mode, "db" if mode == "container" else None)
        assert container.owns_namespace == (mode in ("bridge", "none"))
        assert len(host.state.endpoints_of("web")) == (mode == "bridge")

    def test_labels_and_sysctls_are_kept_as_text(self, host: Declaration) -> None:
        host.bridge(
            one(
                "none",
                labels={"tier": 1, "hot": True},
                sysctls={"net.ipv4.ping_group_range": "0\t 1", "net/core/somaxconn": 5},
            )
        )
        assert host.container("web").labels == {"tier": "1", "hot": "true"}
        assert host.container("web").sysctls == {"net/ipv4/ping_group_range": "0 1", "net/core/somaxconn": "5"}

    def test_what_is_not_mentioned_stays(self, host: Declaration) -> None:
        host.bridge(
            one("bridge", labels={"a": "1"}, sysctls={"net.core.somaxconn": 5}, mac_address="02:00:00:00:00:0a")
        )
        before = host.container("web"), host.endpoint("bridge", "web")
        host.bridge(one("bridge"))
        assert (host.container("web"), host.endpoint("bridge", "web")) == before

    @pytest.mark.parametrize(
        ("params", "text"),
        [
            (
                one("container", target=None),
                'mode "container" is given without a target; name the container to share with in target',
            ),
            (
                one("container", target=""),
                'mode "container" is given without a target; name the container to share with in target',
            ),
            (one("container", target="web"), 'target "web" is the container itself; name another container'),
            (
                one("container", target="lost"),
                'target "lost" is no container on this host; declare that container first',
            ),
            (
                one("container", target="a/b"),
                "target \"a/b\" is not a valid name; use letters, digits, '_', '.' and '-', "
                "and begin with a letter or digit",
            ),
            (one("none", target="db"), 'target "db" is given with mode none; use mode container, or leave it out'),
            (one("bridge", target="db"), 'target "db" is given with mode bridge; use mode container, or leave it out'),
            (one("macvlan"), 'mode "macvlan" is unknown; use one of: bridge, none, host, container'),
            (
                one("none", ipv4_address="172.17.0.9"),
                'ipv4_address "172.17.0.9" can\'t be set with mode none; leave ipv4_address out, or use mode bridge',
            ),
            (
                one("host", mac_address="02:00:00:00:00:01"),
                'mac_address "02:00:00:00:00:01" can\'t be set with mode host; '
                "leave mac_address out, or use mode bridge",
            ),
            (
                one("container", interface_name="eth0"),
                'interface_name "eth0" can\'t be set with mode container; leave interface_name out, or use mode bridge',
            ),
            (
                one("bridge", sysctls={"kernel.hostname": "web"}),
                'sysctls "kernel.hostname" is not a sysctl of the network namespace; use a key that begins with "net."',
            ),
        ],
    )
    def test_bad_option_is_refused(self, host: Declaration, params: dict[str, Any], text: str) -> None:
        host.bridge(one("none", "db"))
        with refused(f'container "web": {text}'):
            host.bridge(params)
        assert set(host.state.containers) == {"db"}

    @pytest.mark.parametrize("mode", ["host", "container"])
    def test_sysctls_need_a_namespace_of_ones_own(self, host: Declaration, mode: str) -> None:
        with pytest.raises(InvalidInput, match="can't be set with mode " + mode):
            host.bridge(one("none", "db"), one(mode, sysctls={"net.core.somaxconn": 5}))

    @pytest.mark.parametrize(
        ("name", "shown"), [("", ""), ("a/b", "a/b"), ('a"b', 'a\\"b'), ("a\nb", "a\\nb"), ("a b", "a b")]
    )
    @pytest.mark.parametrize("state", ["present", "absent"])
    def test_bad_name_is_refused(self, host: Declaration, name: str, shown: str, state: str) -> None:
        with refused(
            f"container \"{shown}\": name \"{shown}\" is not a valid name; use letters, digits, '_', '.' and '-', "
            "and begin with a letter or digit"
        ):
            host.bridge({"name": name, "state": state})

    def test_container_listed_twice_is_refused(self, host: Declaration) -> None:
        with refused('container "web": containers "web" is listed twice; list it once'):
            host.bridge(one("none"), one("bridge"))

    @pytest.mark.parametrize(
        ("params", "text"),
        [
            (
                {"ipv4_address": "10.0.0.5"},
                'network "bridge": endpoint of "web": ipv4_address "10.0.0.5" is outside the subnet 172.17.0.0/16; '
                "choose an address inside it",
            ),
            (
                {"ipv4_address": "172.17.0.2"},
                'network "bridge": endpoint of "web": ipv4_address "172.17.0.2" is in use by container "db"; '
                "leave ipv4_address out to get a free address",
            ),
            (
                {"mac_address": "ff:ff:ff:ff:ff:ff"},
                'container "web": endpoint of "web": mac_address "ff:ff:ff:ff:ff:ff" is not a unicast MAC address; '
                "use an even first byte, for example 02",
            ),
            (
                {"interface_name": "lo"},
                'container "web": endpoint of "web": interface_name "lo" is not a valid interface name; use letters, '
                "digits, '_', '.' and '-', begin with a letter or digit, and keep off lo, all, default",
            ),
        ],
    )
    def test_bad_endpoint_is_refused(self, host: Declaration, params: dict[str, Any], text: str) -> None:
        host.bridge(one("bridge", "db"))
        with refused(text):
            host.bridge(one("bridge", **params))


class TestSharing:
    def test_target_and_sharers_come_in_any_order(self, host: Declaration) -> None:
        chain = [one("container", "a", target="b"), one("container", "b", target="c"), one("none", "c")]
        for order in permutations(chain):
            host = Declaration()
            host.bridge(*order)
            assert {name: host.container(name).target for name in "abc"} == {"a": "b", "b": "c", "c": None}

    def test_namespace_that_somebody_else_made_can_be_shared(self) -> None:
        host = Declaration(FakeFacts(namespaces={"db"}))
        host.bridge(one("container"))
        assert host.container("db").mode == "none"

    @pytest.mark.parametrize(
        "containers",
        [
            [("a", "b"), ("b", "a")],
            [("a", "b"), ("b", "c"), ("c", "a")],
        ],
    )
    def test_targets_in_a_circle_are_refused(self, host: Declaration, containers: Sequence[tuple[str, str]]) -> None:
        with pytest.raises(InvalidInput) as refusal:
            host.bridge(*(one("container", name, target=target) for name, target in containers))
        assert str(refusal.value) in [
            f'container "{name}": target "{target}" leads back to the container itself; name another container'
            for name, target in containers
        ]

    def test_circle_through_a_declared_container_is_refused(self, host: Declaration) -> None:
        host.bridge(one("none", "db"), one("container"))
        with refused('container "db": target "web" leads back to the container itself; name another container'):
            host.bridge(one("container", "db", target="web"), force=True)

    def test_shared_container_is_not_removed_without_force(self, host: Declaration) -> None:
        host.bridge(one("none", "db"), one("container"), one("container", "cache"))
        with refused(
            'container "db": its namespace is shared by "cache", "web"; '
            "remove those first, or set force to remove them too",
            InUse,
        ):
            host.bridge({"name": "db", "state": "absent"})
        assert set(host.state.containers) == {"db", "web", "cache"}

    def test_force_removes_the_sharers_too(self, host: Declaration) -> None:
        host.bridge(one("none", "db"), one("container"), one("container", "cache", target="web"))
        host.bridge({"name": "db", "state": "absent"}, force=True)
        assert not host.state.containers

    def test_listed_together_they_go_without_force(self, host: Declaration) -> None:
        host.bridge(one("none", "db"), one("container"), one("container", "cache", target="web"))
        host.bridge(*({"name": name, "state": "absent"} for name in ("db", "web", "cache")))
        assert not host.state.containers


class TestChangeOfMode:
    @pytest.mark.parametrize("after", MODES)
    @pytest.mark.parametrize("before", MODES)
    def test_unused_container_changes_freely(self, host: Declaration, before: str, after: str) -> None:
        host.bridge(one("none", "db"), one(before))
        host.bridge(one(after))
        container = host.container("web")
        assert (container.mode, container.target) == (after, "db" if after == "container" else None)
        assert len(host.state.endpoints_of("web")) == (after == "bridge")

    @pytest.mark.parametrize("after", ["host", "container"])
    @pytest.mark.parametrize("before", ["bridge", "none"])
    def test_namespace_in_use_is_not_replaced_without_force(self, before: str, after: str) -> None:
        host = Declaration(FakeFacts(processes={"web": ["nginx (pid 7)"]}))
        host.bridge(one("none", "db"), one(before), one("container", "log", target="web"))
        with refused(
            f'container "web": mode "{after}" would replace its namespace, which is used by container "log", '
            "process nginx (pid 7); stop or remove those first, or set force",
            InUse,
        ):
            host.bridge(one(after))
        host.bridge(one(after), force=True)
        assert host.container("web").mode == after

    @pytest.mark.parametrize(("before", "after"), [("bridge", "none"), ("none", "bridge")])
    def test_namespace_stays_between_bridge_and_none(self, before: str, after: str) -> None:
        host = Declaration(FakeFacts(processes={"web": ["nginx (pid 7)"]}))
        host.bridge(one(before), one("container", "log", target="web"))
        host.bridge(one(after))
        assert host.container("web").mode == after

    def test_processes_behind_a_handle_are_not_the_containers(self) -> None:
        host = Declaration(FakeFacts(processes={"web": ["systemd (pid 1)"]}))
        host.bridge(one("host"))
        host.bridge(one("none"))
        assert host.container("web").mode == "none"

    def test_handle_goes_over_to_another_target(self, host: Declaration) -> None:
        host.bridge(one("none", "db"), one("none", "cache"), one("container"))
        host.bridge(one("container", target="cache"))
        assert host.container("web").target == "cache"

    def test_id_and_labels_survive(self, host: Declaration) -> None:
        host.bridge(one("bridge", labels={"a": "1"}))
        before = host.container("web")
        host.bridge(one("host"))
        assert (host.container("web").id, host.container("web").labels) == (before.id, before.labels)

    def test_sysctls_do_not_go_over_to_somebody_elses_namespace(self, host: Declaration) -> None:
        host.bridge(one("none", sysctls={"net.core.somaxconn": 5}))
        host.bridge(one("host"))
        assert host.container("web").sysctls == {}

    def test_ports_wait_for_the_next_endpoint(self, host: Declaration) -> None:
        host.bridge(one("bridge"))
        host.publish("web", "8000:80")
        host.bridge(one("none"))
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}


class TestPortsAndMode:
    @pytest.mark.parametrize("mode", [{"mode": "host"}, {"mode": "container", "target": "db"}])
    def test_container_without_a_namespace_of_its_own_publishes_nothing(self, mode: dict[str, Any]) -> None:
        host = Declaration()
        host.bridge({"name": "web"}, {"name": "db"})
        host.publish("web", "80:80")
        host.bridge({"name": "web", **mode})
        assert host.ports("web") == set()
        host.publish("db", "80:80")

    def test_container_that_leaves_its_networks_for_a_while_keeps_its_ports(self) -> None:
        host = Declaration()
        host.bridge({"name": "web"})
        host.publish("web", "80:80")
        host.bridge({"name": "web", "mode": "none"})
        assert host.ports("web") == {"0.0.0.0:80:80/tcp"}


class TestSysctlValues:
    def test_have_one_spelling(self, host: Declaration) -> None:
        with refused('container "web": sysctls "net/core/somaxconn" is listed twice, in two spellings; list it once'):
            host.bridge(one("none", sysctls={"net.core.somaxconn": 1, "net/core/somaxconn": 2}))

    @pytest.mark.parametrize(("given", "kept"), [(True, "1"), (False, "0"), (1, "1"), (" 1 \t 2 ", "1 2")])
    def test_are_kept_as_the_kernel_shows_them(self, given: object, kept: str) -> None:
        host = Declaration()
        host.bridge({"name": "web", "mode": "none", "sysctls": {"net.core.somaxconn": given}})
        assert host.container("web").sysctls == {"net/core/somaxconn": kept}

    @pytest.mark.parametrize("given", [None, "", " "])
    def test_are_not_empty(self, given: object) -> None:
        problem = 'container "web": sysctls "net.core.somaxconn" has no value; give it one, or leave it out'
        with refused(problem):
            Declaration().bridge({"name": "web", "mode": "none", "sysctls": {"net.core.somaxconn": given}})

    def test_are_refused_where_the_kernel_would_not_keep_them(self) -> None:
        host = Declaration(FakeFacts(faults={"net/ipv4/no_such": "does not exist"}))
        with refused(
            'container "web": sysctls "net/ipv4/no_such=1" does not exist; see the kernel\'s documentation '
            "(networking/ip-sysctl) for what it takes, or leave it out"
        ):
            host.bridge(one("none", sysctls={"net.ipv4.no_such": 1}))

    def test_that_are_kept_already_are_not_tried_again(self) -> None:
        host = Declaration(FakeFacts())
        host.bridge(one("none", sysctls={"net.core.somaxconn": 1}))
        host.facts.faults = {"net/core/somaxconn": "does not exist"}
        host.bridge(one("none", sysctls={"net.core.somaxconn": 1}))


class TestRemoval:
    def test_target_that_goes_is_no_target(self, host: Declaration) -> None:
        host.bridge(one("none", "db"))
        with refused('container "web": target "db" is listed as absent; keep it, or share with another container'):
            host.bridge(one("container"), {"name": "db", "state": "absent"})

    def test_empty_list_makes_no_bridge(self, host: Declaration) -> None:
        assert host.bridge(containers=[]) == []
        assert not host.state.networks

    def test_container_goes_with_all_its_endpoints_and_ports(self, host: Declaration) -> None:
        host.bridge(one("bridge"), one("bridge", "db"))
        host.network("blue", connected=["web"])
        host.publish("web", "8000:80")
        assert host.bridge({"name": "web", "state": "absent"}) == [Item("container", "web", "absent")]
        assert set(host.state.containers) == {"db"}
        assert {container for _network, container in host.state.endpoints} == {"db"}
        assert not host.state.mappings

    def test_absent_container_stays_absent(self, host: Declaration) -> None:
        host.bridge({"name": "web", "state": "absent"})
        assert not host.state.containers and not host.state.networks

    def test_bridge_goes_with_the_listed_containers(self, host: Declaration) -> None:
        host.bridge(one("bridge"), one("container", "log", target="web"))
        items = host.bridge(one("bridge"), {"name": "log"}, state="absent")
        assert [(item.kind, item.name, item.state) for item in items] == [
            ("network", "bridge", "absent"),
            ("container", "web", "absent"),
            ("container", "log", "absent"),
        ]
        assert not host.state.containers and not host.state.networks

    def test_bridge_that_others_use_stays_without_force(self, host: Declaration) -> None:
        host.bridge(one("bridge"), one("bridge", "db"))
        with refused(
            'network "bridge": is in use by container "db"; '
            "disconnect them first, or set force to have them disconnected",
            InUse,
        ):
            host.bridge(one("bridge"), state="absent")
        assert host.on("bridge") == {"web", "db"}
        host.bridge(one("bridge"), state="absent", force=True)
        assert set(host.state.containers) == {"db"}
        assert not host.state.networks

    def test_bridge_that_is_absent_stays_absent(self, host: Declaration) -> None:
        assert host.bridge(state="absent") == [Item("network", "bridge", "absent")]


@pytest.mark.parametrize("mode", MODES)
def test_refusal_leaves_the_declared_state_as_it_was(host: Declaration, mode: str) -> None:
    host.bridge(one("none", "db"))
    before = host.state.copy()
    with pytest.raises(BridgeworkError):
        host.bridge(one(mode), one("container", "lost", target="nowhere"))
    assert host.state == before
