# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prune: what nothing uses goes, and of the rest it is said why it stays."""

from __future__ import annotations

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
    managed.container_network(name="left", connected=[])
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
