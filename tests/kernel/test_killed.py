# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is killed at any instant leaves a host that the next run brings to the declared state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from kernel.plans import (
    BRIDGE,
    CONTAINERS,
    NETWORKS,
    SCENARIOS,
    Scenario,
    Task,
    at_every_moment,
    carry_out,
    each_of,
    fresh_host,
    withdraw,
)
from kernel.support import Driver, Managed, Snapshot, bare, killed, same, warnings_of


def kill_at(managed: Managed, task: Task, moment: int) -> None:
    (outcome,) = managed.outcomes([task], fork=True, fault={"at": moment, "how": "kill"})
    assert killed(outcome), outcome


def scenarios(*names: str) -> pytest.MarkDecorator:
    chosen = [each for each in SCENARIOS if each.name in names]
    assert len(chosen) == len(names)
    return each_of(chosen)


@scenarios(
    "first networks",
    "network on a parent",
    "network on a vlan",
    "ports",
    "change of networks",
    "change of containers",
    "prune",
    "ports with nftables",
    "change of the backend",
)
def test_same_task_finishes_what_a_killed_one_began(drivers: Sequence[Driver], scenario: Scenario) -> None:
    with fresh_host(drivers[0]) as managed:
        carry_out(managed, (*scenario.before, scenario.task))
        wanted = comparable(managed)

    def check(driver: Driver, moments: Iterable[int]) -> None:
        for moment in moments:
            with fresh_host(driver) as managed:
                carry_out(managed, scenario.before)
                kill_at(managed, scenario.task, moment)
                carry_out(managed, [scenario.task])
                same(wanted, comparable(managed), f"killed at moment {moment}", identity=False)
                assert not managed.once(*scenario.task)["changed"], f"killed at {moment}: a third run has to do"

    assert at_every_moment(drivers, scenario, "kill", check) >= 4


def comparable(managed: Managed) -> Snapshot:
    """The host without what differs between two of them: inodes, and the MAC of the uplink and its VLANs."""
    found = bare(managed.snapshot()).items()
    kept = [(key, value) for key, value in found if not (key.startswith("/link eth0") and key.endswith(".address"))]
    return {key: "there" if key.startswith("name ") else value for key, value in kept}


@scenarios("first networks", "network on a parent", "network on a vlan", "change of containers")
def test_nothing_is_leaked_where_the_next_task_wants_something_else(
    drivers: Sequence[Driver], scenario: Scenario
) -> None:
    def check(driver: Driver, moments: Iterable[int]) -> None:
        with fresh_host(driver) as managed:
            empty = bare(managed.snapshot())
            for moment in moments:
                carry_out(managed, scenario.before)
                kill_at(managed, scenario.task, moment)
                withdraw(managed)
                after = managed.snapshot()
                same(empty, bare(after), f"killed at moment {moment}")
                left = [key for key in after if key.startswith("state ") and "'serial'" not in key]
                assert left == [], f"killed at moment {moment}"

    assert at_every_moment(drivers, scenario, "kill", check) >= 4


def test_another_task_takes_away_what_a_killed_one_left_in_a_container_that_stays(drivers: Sequence[Driver]) -> None:
    (scenario,) = (each for each in SCENARIOS if each.name == "one more network, on a parent")

    def check(driver: Driver, moments: Iterable[int]) -> None:
        for moment in moments:
            with fresh_host(driver) as managed:
                carry_out(managed, scenario.before)
                links = managed.sh("ip -brief link", "web")
                kill_at(managed, scenario.task, moment)
                carry_out(managed, [("container_network", {"name": "other"})])
                is_done = managed.once("container_network_info", {"name": "lan"})["exists"]
                assert is_done or managed.sh("ip -brief link", "web") == links, f"killed at moment {moment}"

    assert at_every_moment(drivers, scenario, "kill", check) >= 4


def test_check_mode_tells_what_is_left_to_do(managed: Managed) -> None:
    kill_at(managed, NETWORKS, 20)
    module, arguments = NETWORKS
    predicted = managed.run(module, **arguments, check=True)
    assert predicted["actions"]
    assert managed.run(module, **arguments)["actions"] == predicted["actions"]


def test_namespace_that_a_killed_run_left_goes_and_is_not_said_to_stay(managed: Managed) -> None:
    kill_at(managed, ("netns_bridge", {"containers": [{"name": "web", "mode": "none"}]}), 13)
    assert (managed.sh("ip netns list"), managed.container_info()["containers"]) == ("web\n", [])
    result = managed.netns_bridge(containers=[{"name": "web", "state": "absent"}])
    assert (result["actions"], warnings_of(result)) == (["remove namespace /run/netns/web"], [])


def test_processes_keep_their_namespaces_when_a_run_is_killed(managed: Managed) -> None:
    """Also where the task would have taken a namespace away, and the next one wants it kept."""
    carry_out(managed, [CONTAINERS])
    inode = managed.inode("app")
    change: Task = ("netns_bridge", {"containers": [{"name": "app", "mode": "host"}], "force": True})
    with managed.host.serve("tcp", 8080, netns="app"):
        kill_at(managed, change, 2)
        managed.netns_bridge(containers=[{"name": "app"}])
        assert managed.inode("app") == inode
        assert managed.host.ask("tcp", managed.address("app"), 8080)


# Claims: what a run writes into its ledger before it touches the host, as what it makes then bears no mark yet.

ANNOUNCED = 3  # the moment at which the ledger is written, and nothing else was done
FRONT: Task = ("container_network", {"name": "front", "connected": ["web"]})
BACK: Task = (
    "container_network",
    {"name": "back", "driver_options": {BRIDGE: "back0"}, "ipam_config": [{"subnet": "192.168.20.0/24"}]},
)
BATCH: Task = ("netns_bridge", {"containers": [{"name": "batch", "mode": "none"}]})
SIDECAR: Task = ("netns_bridge", {"containers": [{"name": "sidecar", "mode": "container", "target": "web"}]})


@pytest.fixture
def used(managed: Managed) -> Managed:
    """A host with something declared, by `FRONT`."""
    carry_out(managed, [FRONT])
    return managed


def rows(managed: Managed, table: str) -> set[str]:
    """The rows of a table of the state file, in the words of SQL."""
    beginning = f'state INSERT INTO "{table}" VALUES('
    return {key[len(beginning) : -len(");")] for key in managed.snapshot() if key.startswith(beginning)}


@pytest.mark.parametrize(
    ("task", "table", "claims"),
    [
        (BACK, "pending", {"'address','','back0','192.168.20.1/24'", "'link','','back0',''"}),
        (BATCH, "owned_namespace", {"'batch',NULL"}),
        (SIDECAR, "owned_namespace", {"'sidecar','web'"}),
    ],
    ids=["pending", "namespace", "handle"],
)
@pytest.mark.parametrize("following", [FRONT, ("network_prune", {})], ids=["same", "prune"])
def test_claims_of_a_killed_run_are_dropped_by_the_next_even_if_it_changes_nothing(
    used: Managed, task: Task, table: str, claims: set[str], following: Task
) -> None:
    before = used.snapshot()
    kill_at(used, task, ANNOUNCED)
    same(bare(before), bare(used.snapshot()), "more was done than announced")
    assert rows(used, table) - {"'web',NULL"} == claims
    module, arguments = following
    result = used.run(module, **arguments)
    assert not result["changed"] and not result["actions"]
    same(before, used.snapshot(), "something is left of the killed run")


def test_claims_outlive_a_run_that_is_killed_while_it_drops_them(used: Managed) -> None:
    before = used.snapshot()
    for moment in (1, 2):
        kill_at(used, BACK, ANNOUNCED)
        kill_at(used, FRONT, moment)
        assert rows(used, "pending")
    carry_out(used, [FRONT])
    same(before, used.snapshot(), "something is left of the killed runs")


@pytest.mark.parametrize(
    ("task", "made"),
    [(BACK, "ip link add back0 type bridge"), (BATCH, "ip netns add batch"), (SIDECAR, "ip netns attach sidecar $$")],
    ids=["link", "namespace", "handle"],
)
def test_what_somebody_makes_later_is_not_taken_for_what_a_killed_run_made(
    used: Managed, task: Task, made: str
) -> None:
    kill_at(used, task, ANNOUNCED)
    carry_out(used, [FRONT])
    used.sh(made)
    before = used.snapshot()
    assert not used.once(*FRONT)["changed"]
    same(before, used.snapshot(), "something of somebody else's was touched")


BATCH: Task = ("netns_bridge", {"containers": [{"name": "batch", "mode": "none"}]})
PORT_START = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
LOW_PORTS: Task = (
    "netns_bridge",
    {"containers": [{"name": "batch", "mode": "none", "sysctls": {"net.ipv4.ip_unprivileged_port_start": 80}}]},
)
SAVED = 4  # the moment after the ledger was written; one more than elsewhere, for the namespace to try a setting in


def test_setting_that_a_killed_run_saved_but_did_not_touch_is_not_put_back_later(used: Managed) -> None:
    carry_out(used, [BATCH])
    before = used.snapshot()
    kill_at(used, LOW_PORTS, SAVED)
    assert len(rows(used, "saved_sysctl")) == 2
    carry_out(used, [FRONT])
    same(before, used.snapshot(), "something is left of the killed run")
    used.sh(f"echo 500 >{PORT_START}", netns="batch")
    assert not used.once(*FRONT)["changed"]
    assert used.sh(f"cat {PORT_START}", netns="batch") == "500\n"
