# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prune: what nothing uses goes, and of the rest it is said why it stays."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.support import Managed, Result, bare, same


def kept(result: Result) -> dict[tuple[str, str], str]:
    return {(each["kind"], each["name"]): each["reason"] for each in result["kept"]}


def test_networks_without_containers_go_and_the_others_say_why_they_stay(managed: Managed) -> None:
    managed.netns_bridge()
    managed.container_network(
        networks=[
            {"name": "empty"},
            {"name": "left", "connected": ["web"]},
            {"name": "used", "connected": ["web", "db"]},
        ]
    )
    managed.container_network(name="left", endpoints=[{"container": "web", "state": "absent"}])
    predicted = managed.network_prune(check=True)
    assert predicted["networks"] == ["empty", "left"]
    assert kept(predicted) == {
        ("network", "bridge"): "it is predefined",
        ("network", "used"): 'it is in use by container "db", container "web"',
    }
    result = managed.network_prune()
    assert (result["networks"], kept(result)) == (predicted["networks"], kept(predicted))
    bridges = [name for name in managed.sh("ls /sys/class/net").split() if name.startswith(("br", "bw"))]
    assert len(bridges) == 2
    assert managed.host.ping(managed.address("web", "eth1"), netns="db")


def test_nothing_to_prune_changes_nothing(managed: Managed) -> None:
    assert not managed.network_prune()["changed"]
    managed.container_network(name="used", connected=["web"])
    assert not managed.network_prune()["changed"]


def test_containers_stay_unless_asked_for(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "batch", "mode": "none"}])
    result = managed.network_prune()
    assert result["containers"] == [] and managed.inode("batch")


def test_containers_without_processes_go_first_and_free_their_networks(managed: Managed) -> None:
    before = managed.snapshot()
    managed.container_network(name="net-test", connected=["web", "db"])
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    result = managed.network_prune(containers=True)
    assert (result["containers"], result["networks"]) == (["db", "web"], ["net-test"])
    same(bare(before), bare(managed.snapshot()), "something is left behind")


def test_containers_say_why_they_stay(managed: Managed) -> None:
    managed.netns_bridge(
        containers=[
            {"name": "web"},
            {"name": "sidecar", "mode": "container", "target": "web"},
            {"name": "exporter", "mode": "host"},
            {"name": "idle", "mode": "none"},
            {"name": "idle-sharer", "mode": "container", "target": "idle"},
        ]
    )
    with managed.host.serve("tcp", 8080, netns="web"):
        (pid,) = managed.sh("ip netns pids web").split()
        name = managed.sh(f"cat /proc/{pid}/comm").strip()
        result = managed.network_prune(containers=True)
        used = f"it is used by {name} (pid {pid})"
        assert kept(result) == {
            ("container", "exporter"): "it is a handle on the host's own namespace",
            ("container", "sidecar"): used,
            ("container", "web"): 'its namespace is shared by "sidecar"',
            ("network", "bridge"): "it is predefined",
        }
    assert sorted(result["containers"]) == ["idle", "idle-sharer"]


def test_prune_works_where_a_namespace_has_vanished(managed: Managed) -> None:
    before = managed.snapshot()
    managed.container_network(name="net-test", connected=["web", "db"])
    # The namespace, and with it the pair, goes some time after its name.
    managed.sh("set -- /sys/class/net/veth*; ip netns del web; while test -e $1 -a -e $2; do sleep 0.01; done")
    result = managed.network_prune(containers=True)
    assert sorted(result["containers"]) == ["db", "web"]
    same(bare(before), bare(managed.snapshot()), "something is left behind")


def test_only_networks_that_are_asked_for_are_pruned(managed: Managed) -> None:
    managed.container_network(networks=[{"name": "empty"}, {"name": "used", "connected": ["web"]}])
    result = managed.network_prune(networks=False, containers=True)
    assert (result["networks"], result["containers"]) == ([], ["web"])


# Filters. That check mode predicts exactly this, see `Managed.run`.


@pytest.fixture
def aged(managed: Managed) -> tuple[Managed, str]:
    """A network and a container that are older than the other two, and the moment between, in seconds since 1970."""
    shop = {"labels": {"project": "shop"}}
    managed.run("container_network", name="old", **shop, framed=False)
    managed.run("netns_bridge", containers=[{"name": "batch", "mode": "none", **shop}], framed=False)
    moment = managed.sh("date -u +%s.%N").strip()
    managed.run("container_network", name="new", labels={"project": "shop", "keep": ""}, framed=False)
    managed.run("netns_bridge", containers=[{"name": "cache", "mode": "none"}], framed=False)
    return managed, moment


def test_only_what_was_made_before_a_moment_goes(aged: tuple[Managed, str]) -> None:
    managed, moment = aged
    created = managed.container_network_info(name=["new"])["network"]["Created"]
    result = managed.network_prune(containers=True, filters={"until": moment})
    assert (result["networks"], result["containers"]) == (["old"], ["batch"])
    assert kept(result)["network", "new"] == f"it was made at {created}, not before {moment}"
    assert found(managed) == (["new"], ["cache"])


def found(managed: Managed) -> tuple[list[str], list[str]]:
    """Custom networks, and containers."""
    networks = managed.container_network_info(filters={"type": "custom"})["networks"]
    return [each["Name"] for each in networks], [each["name"] for each in managed.container_info()["containers"]]


@pytest.mark.parametrize(
    "until", ["+%Y-%m-%dT%H:%M:%S.%NZ", "+%Y-%m-%dT%H:%M:%S.%N+00:00", "+%s.%N"], ids=["UTC", "offset", "Unix time"]
)
def test_moment_is_written_in_many_ways(aged: tuple[Managed, str], until: str) -> None:
    managed, moment = aged
    written = managed.sh(f"date -u -d @{moment} {until}").strip()
    assert managed.network_prune(filters={"until": written})["networks"] == ["old"]


@pytest.mark.parametrize(("until", "networks"), [("24h", []), ("1h30m", []), ("0s", ["new", "old"])])
def test_age_is_counted_back_from_now(aged: tuple[Managed, str], until: str, networks: list[str]) -> None:
    managed, _moment = aged
    assert managed.network_prune(filters={"until": until})["networks"] == networks


@pytest.mark.parametrize(
    ("filters", "networks", "containers"),
    [
        ({"label": "project=shop"}, ["new", "old"], ["batch"]),
        ({"label": ["project=shop", "keep"]}, ["new"], []),
        ({"label!": "keep"}, ["old"], ["batch", "cache"]),
        ({"label": "project=shop", "label!": "keep"}, ["old"], ["batch"]),
        ({"label": "project=shop", "until": "24h"}, [], []),
    ],
)
def test_labels_choose_and_spare(
    aged: tuple[Managed, str], filters: dict[str, Any], networks: list[str], containers: list[str]
) -> None:
    managed, _moment = aged
    result = managed.network_prune(containers=True, filters=filters)
    assert (result["networks"], result["containers"]) == (networks, containers)
    stay = found(managed)
    assert sorted([*stay[0], *networks]) == ["new", "old"] and sorted([*stay[1], *containers]) == ["batch", "cache"]
    assert {name for _kind, name in kept(result)} == {*stay[0], *stay[1]}


@pytest.mark.parametrize(
    ("filters", "problem"),
    [
        ({"until": "yesterday"}, '"until=yesterday" is no point in time; write it like "24h", '),
        ({"untl": "24h"}, '"untl" is unknown; did you mean until?'),
        ({"label!": {"keep": ""}}, "is no text; give a text or a list of texts"),
    ],
)
def test_bad_filter_removes_nothing(aged: tuple[Managed, str], filters: dict[str, Any], problem: str) -> None:
    managed, _moment = aged
    message = managed.network_prune(containers=True, filters=filters, fails=True)["msg"]
    assert message.startswith("prune: filters ") and problem in message
    assert found(managed) == (["new", "old"], ["batch", "cache"])
