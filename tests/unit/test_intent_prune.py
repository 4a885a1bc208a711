# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``network_prune`` removes, and why everything else stays."""

from __future__ import annotations

import pytest
from unit.support import Declaration, FakeFacts

from ansible_collections.bridgework.network.plugins.module_utils._intent import Item
from ansible_collections.bridgework.network.plugins.module_utils._intent.prune import Pruned


@pytest.fixture
def host() -> Declaration:
    return Declaration()


def removed(pruned: Pruned) -> list[tuple[str, str]]:
    assert all(item.state == "absent" and item.error is None for item in pruned.items)
    return [(item.kind, item.name) for item in pruned.items]


class TestNetworks:
    def test_those_without_containers_go(self, host: Declaration) -> None:
        host.networks({"name": "red"}, {"name": "blue", "connected": ["web", "db"]}, {"name": "green"})
        pruned = host.prune()
        assert removed(pruned) == [("network", "green"), ("network", "red")]
        assert pruned.kept == [("network", "blue", 'it is in use by container "db", container "web"')]
        assert set(host.state.networks) == {"blue"}

    def test_predefined_network_stays(self, host: Declaration) -> None:
        host.bridge()
        assert host.prune() == Pruned(kept=[("network", "bridge", "it is predefined")])

    def test_nothing_declared_is_nothing_to_prune(self, host: Declaration) -> None:
        assert host.prune(containers=True) == Pruned()

    def test_second_run_removes_nothing(self, host: Declaration) -> None:
        host.networks({"name": "red"}, {"name": "blue", "connected": ["web"]})
        host.prune()
        assert removed(host.prune()) == []

    def test_they_stay_where_only_containers_are_pruned(self, host: Declaration) -> None:
        host.network("red")
        assert host.prune(networks=False, containers=True) == Pruned()
        assert set(host.state.networks) == {"red"}


class TestContainers:
    def test_they_stay_unless_asked_for(self, host: Declaration) -> None:
        host.bridge({"name": "idle", "mode": "none"})
        assert host.prune() == Pruned()
        assert set(host.state.containers) == {"idle"}

    def test_those_without_processes_go(self) -> None:
        host = Declaration(FakeFacts(processes={"web": ["nginx (pid 7)", "sh (pid 9)"]}))
        host.network("blue", connected=["web", "idle"])
        pruned = host.prune(containers=True)
        assert removed(pruned) == [("container", "idle")]
        assert pruned.kept == [
            ("container", "web", "it is used by nginx (pid 7), sh (pid 9)"),
            ("network", "blue", 'it is in use by container "web"'),
        ]

    def test_networks_that_become_free_go_too(self, host: Declaration) -> None:
        host.network("blue", connected=["idle"])
        assert removed(host.prune(containers=True)) == [("container", "idle"), ("network", "blue")]
        assert host.state.networks == host.state.containers == host.state.endpoints == {}

    def test_published_ports_go_with_their_container(self, host: Declaration) -> None:
        host.network("blue", connected=["idle"])
        host.publish("idle", "8000:80")
        host.prune(containers=True)
        assert host.state.mappings == {}

    def test_handle_on_the_host_stays(self, host: Declaration) -> None:
        host.bridge({"name": "agent", "mode": "host"})
        assert host.prune(containers=True) == Pruned(
            kept=[("container", "agent", "it is a handle on the host's own namespace")]
        )

    def test_shared_container_stays_while_its_sharers_do(self) -> None:
        host = Declaration(FakeFacts(processes={"b-log": ["rsyslogd (pid 9)"]}))
        host.bridge({"name": "a-web", "mode": "none"}, {"name": "b-log", "mode": "container", "target": "a-web"})
        assert host.prune(containers=True) == Pruned(
            kept=[
                ("container", "a-web", 'its namespace is shared by "b-log"'),
                ("container", "b-log", "it is used by rsyslogd (pid 9)"),
            ]
        )

    @pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
    def test_chain_of_idle_sharers_goes_whatever_the_names(
        self, host: Declaration, names: tuple[str, str, str]
    ) -> None:
        first, second, third = names
        host.bridge(
            {"name": first, "mode": "none"},
            {"name": second, "mode": "container", "target": first},
            {"name": third, "mode": "container", "target": second},
        )
        pruned = host.prune(containers=True)
        assert pruned.items == [Item("container", name, "absent") for name in (third, second, first)]
        assert pruned.kept == []


def test_every_object_is_either_removed_or_kept_with_a_reason() -> None:
    host = Declaration(FakeFacts(processes={"web": ["nginx (pid 7)"]}))
    host.networks({"name": "blue", "connected": ["web", "idle"]}, {"name": "red"}, {"name": "bridge"})
    host.bridge({"name": "agent", "mode": "host"}, {"name": "log", "mode": "container", "target": "web"})
    declared = {("network", name) for name in host.state.networks}
    declared |= {("container", name) for name in host.state.containers}
    pruned = host.prune(containers=True)
    kept = [(kind, name) for kind, name, _reason in pruned.kept]
    assert sorted([*removed(pruned), *kept]) == sorted(declared)
    assert all(reason for _kind, _name, reason in pruned.kept)
