# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``network_prune`` removes, and why everything else stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._intent import Item
from ansible_collections.bridgework.network.plugins.module_utils._intent.prune import Pruned
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import (
    Declaration,
    FakeFacts,
    is_one_plain_line,
    refused,
)


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

    @pytest.mark.parametrize(("template", "network"), [("a", "b"), ("b", "a")])
    def test_configuration_stays_whether_it_is_used_or_not(
        self, host: Declaration, template: str, network: str
    ) -> None:
        """It would be free the moment that the last of its networks goes, and the names would decide when."""
        host.networks({"name": template, "config_only": True}, {"name": network, "config_from": template})
        pruned = host.prune()
        assert removed(pruned) == [("network", network)]
        assert host.prune() == Pruned(kept=[("network", template, "it is a configuration only")])
        host.networks({"name": network, "config_from": template, "connected": ["web"]})
        assert ("network", template, f'it is the configuration of network "{network}"') in host.prune().kept

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


OLD, NEW = "2025-01-01T00:00:00.000000Z", "2025-01-02T00:00:00.000000Z"
NOW = "2025-01-02T12:00:00.000000Z"


@pytest.fixture
def shop() -> Declaration:
    """The networks "old" (36 hours of age) and "new" (12 hours), with labels, and containers of the same ages."""
    host = Declaration(FakeFacts(now=OLD))
    host.network("old", labels={"project": "shop", "keep": ""})
    host.bridge({"name": "batch", "mode": "none", "labels": {"project": "shop"}})
    host.facts.now = NEW
    host.network("new", labels={"project": "lab"})
    host.bridge({"name": "cache", "mode": "none"})
    host.facts.now = NOW
    return host


def gone(host: Declaration, **filters: Any) -> list[str]:
    return [name for _kind, name in removed(host.prune(filters=filters))]


def reasons(pruned: Pruned) -> dict[str, str]:
    return {name: reason for _kind, name, reason in pruned.kept}


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            # Made before a point in time; the host's local time is two hours ahead.
            ({"until": "24h"}, ["old"]),
            ({"until": "36h"}, []),
            ({"until": "35h59m59.9s"}, ["old"]),
            ({"until": "1h30m"}, ["new", "old"]),
            ({"until": "2025-01-01T12:00:00Z"}, ["old"]),
            ({"until": "2025-01-02T00:00:00Z"}, ["old"]),
            ({"until": "2025-01-02T01:00:00+01:00"}, ["old"]),
            ({"until": "2025-01-02T00:30:00+01:00"}, ["old"]),
            ({"until": "2025-01-02T02:00:00"}, ["old"]),
            ({"until": "2025-01-02T02:00:01"}, ["new", "old"]),
            ({"until": "2025-01-01"}, []),
            ({"until": "2025-01-02"}, ["old"]),
            ({"until": "1735689600"}, []),
            ({"until": 1735689601}, ["old"]),
            ({"until": 1735776000.5}, ["new", "old"]),
            ({"until": ["24h"]}, ["old"]),
            # With all of these labels.
            ({"label": "project"}, ["new", "old"]),
            ({"label": "project=shop"}, ["old"]),
            ({"label": "project=sho"}, []),
            ({"label": "keep"}, ["old"]),
            ({"label": "keep="}, ["old"]),
            ({"label": ["project=shop", "keep"]}, ["old"]),
            ({"label": ["project=shop", "project=lab"]}, []),
            ({"label": ["project=lab", "keep"]}, []),
            # Not with all of these.
            ({"label!": "keep"}, ["new"]),
            ({"label!": "project"}, []),
            ({"label!": "project=lab"}, ["old"]),
            ({"label!": "ghost"}, ["new", "old"]),
            ({"label!": ["project", "keep"]}, ["new"]),
            ({"label!": ["project=lab", "keep"]}, ["new", "old"]),
            # Several.
            ({"until": "24h", "label": "project=lab"}, []),
            ({"until": "1h", "label": "project=lab"}, ["new"]),
            ({"until": "1h", "label": "project", "label!": "keep"}, ["new"]),
            ({"label": "project=shop", "label!": "keep"}, []),
            # None.
            ({}, ["new", "old"]),
            ({"until": None, "label": None, "label!": None}, ["new", "old"]),
            ({"until": [], "label": [], "label!": []}, ["new", "old"]),
        ],
    )
    def test_networks_that_pass_go(self, shop: Declaration, filters: dict[str, Any], expected: list[str]) -> None:
        assert gone(shop, **filters) == expected
        assert {"old", "new"} - set(expected) == set(shop.state.networks)

    def test_no_filters_at_all_let_all_pass(self, shop: Declaration) -> None:
        assert [name for _kind, name in removed(shop.prune(filters=None))] == ["new", "old"]

    def test_containers_must_pass_too(self, shop: Declaration) -> None:
        pruned = shop.prune(containers=True, filters={"until": "24h", "label": "project=shop"})
        assert removed(pruned) == [("container", "batch"), ("network", "old")]
        assert pruned.kept == [
            ("container", "cache", f"it was made at {NEW}, not before 24h"),
            ("network", "new", f"it was made at {NEW}, not before 24h"),
        ]

    @pytest.mark.parametrize(
        ("filters", "reason"),
        [
            ({"until": "36h"}, f"it was made at {OLD}, not before 36h"),
            ({"until": "2024-12-31T23:00:00Z"}, f"it was made at {OLD}, not before 2024-12-31T23:00:00Z"),
            ({"until": 1735689600}, f"it was made at {OLD}, not before 1735689600"),
            ({"label": "tier"}, "it has not the labels tier"),
            ({"label": ["keep", "tier=front"]}, "it has not the labels keep, tier=front"),
            ({"label!": "keep"}, "it has the labels keep"),
            ({"label!": ["project=shop", "keep"]}, "it has the labels project=shop, keep"),
            ({"label": "tier", "label!": "keep"}, "it has not the labels tier"),
            ({"until": "36h", "label": "tier"}, f"it was made at {OLD}, not before 36h"),
        ],
    )
    def test_what_stays_says_which_filter_kept_it(
        self, shop: Declaration, filters: dict[str, Any], reason: str
    ) -> None:
        assert reasons(shop.prune(filters=filters))["old"] == reason

    def test_what_is_in_use_says_so_whatever_the_filters(self, shop: Declaration) -> None:
        shop.bridge()
        shop.network("new", connected=["web"])
        assert reasons(shop.prune(filters={"until": "36h", "label": "tier"})) == {
            "bridge": "it is predefined",
            "new": 'it is in use by container "web"',
            "old": f"it was made at {OLD}, not before 36h",
        }

    def test_container_stays_for_its_sharer_that_did_not_pass(self, shop: Declaration) -> None:
        shop.bridge({"name": "sidecar", "mode": "container", "target": "batch"})
        pruned = shop.prune(networks=False, containers=True, filters={"until": "24h"})
        assert removed(pruned) == []
        assert reasons(pruned) == {
            "batch": 'its namespace is shared by "sidecar"',
            "cache": f"it was made at {NEW}, not before 24h",
            "sidecar": f"it was made at {NOW}, not before 24h",
        }

    def test_network_stays_for_its_container_that_did_not_pass(self, shop: Declaration) -> None:
        shop.network("old", connected=["web"])
        pruned = shop.prune(containers=True, filters={"until": "24h"})
        assert removed(pruned) == [("container", "batch")]
        assert reasons(pruned)["old"] == 'it is in use by container "web"'

    def test_labels_that_are_changed_later_count(self, shop: Declaration) -> None:
        shop.network("new", labels={"project": "shop"})
        assert gone(shop, label="project=shop") == ["new", "old"]

    def test_change_in_place_makes_nothing_younger(self, shop: Declaration) -> None:
        shop.network("old", labels={"project": "other"})
        assert gone(shop, until="24h") == ["old"]

    def test_label_may_be_a_word_that_yaml_takes_for_another_type(self, host: Declaration) -> None:
        host.networks({"name": "blue", "labels": {"true": "yes"}}, {"name": "red", "labels": {"7": ""}})
        assert gone(host, label=True) == ["blue"]
        assert gone(host, label=7) == ["red"]


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"untill": "24h"}, 'filters "untill" is unknown; did you mean until?'),
        ({"labels": "a"}, 'filters "labels" is unknown; did you mean label?'),
        ({"dangling": "true"}, 'filters "dangling" is unknown; use one of: until, label, label!'),
        ({"until": ["24h", "48h"]}, 'filters "until" is given more than once; give one point in time'),
        *(
            (
                {"until": value},
                f'filters "until={shown}" is no point in time; '
                'write it like "24h", "2025-01-31T12:00:00Z" or "1735689600"',
            )
            for value, shown in [
                ("yesterday", "yesterday"),
                ("1d", "1d"),
                ("-24h", "-24h"),
                ("2025-02-30", "2025-02-30"),
                ("", ""),
                ("24h\n", "24h\\n"),
                (True, "true"),
            ]
        ),
        ({"until": {"hours": 24}}, "filters \"until={'hours': 24}\" is no text; give a text or a list of texts"),
        ({"label": {"a": "b"}}, "filters \"label={'a': 'b'}\" is no text; give a text or a list of texts"),
        ({"label!": [["keep"]]}, "filters \"label!=['keep']\" is no text; give a text or a list of texts"),
    ],
)
def test_filter_that_can_not_be_honoured_is_refused(host: Declaration, filters: dict[str, Any], text: str) -> None:
    host.network("blue")
    with refused(f"prune: {text}"):
        host.prune(filters=filters)
    assert set(host.state.networks) == {"blue"}


@given(st.dictionaries(st.sampled_from(["until", "label", "label!"]), st.text(max_size=8), max_size=3))
def test_any_filters_are_honoured_or_refused_on_one_line(filters: dict[str, str]) -> None:
    host = Declaration()
    host.network("blue", labels={"a": "1"})
    try:
        pruned = host.prune(filters=filters)
    except InvalidInput as error:
        assert is_one_plain_line(str(error))
    else:
        assert len(pruned.items) + len(pruned.kept) == 1
