# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks of many steps, for the tests that break them off at each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from kernel.support import Driver, Managed, managed_lab

Task = tuple[str, dict[str, Any]]

MTU = "com.docker.network.driver.mtu"
BRIDGE = "com.docker.network.bridge.name"
ICC = "com.docker.network.bridge.enable_icc"

NETWORKS: Task = (
    "container_network",
    {
        "networks": [
            {
                "name": "front",
                "ipam_config": [{"subnet": "192.168.10.0/24"}],
                "driver_options": {MTU: 1400, BRIDGE: "front0"},
                "connected": ["web"],
            },
            {"name": "back", "internal": True, "connected": ["web"]},
        ]
    },
)
CHANGED_NETWORKS: Task = (
    "container_network",
    {
        "networks": [
            {
                "name": "front",
                "ipam_config": [{"subnet": "192.168.11.0/24", "gateway": "192.168.11.254"}],
                "driver_options": {MTU: 1450, BRIDGE: "front1", ICC: False},
                "connected": ["web", "new"],
                "force": True,
            },
            {"name": "back", "state": "absent", "force": True},
        ]
    },
)
ON_PARENT: Task = (
    "container_network",
    {
        "name": "lan",
        "driver": "macvlan",
        "driver_options": {"parent": "eth0", MTU: 1400},
        "ipam_config": [{"subnet": "192.0.2.0/24", "gateway": "192.0.2.1"}],
        "connected": ["web", "db"],
    },
)
BACK_AND_WEB: Task = ("container_network", {"name": "back", "connected": ["web"]})
ON_VLAN: Task = ("container_network", {**ON_PARENT[1], "driver_options": {"parent": "eth0.10"}})
CONTAINERS: Task = (
    "netns_bridge",
    {
        "containers": [
            {"name": "app"},
            {"name": "batch", "mode": "none", "sysctls": {"net.ipv4.ip_unprivileged_port_start": 80}},
            {"name": "exporter", "mode": "host"},
            {"name": "sidecar", "mode": "container", "target": "app"},
            {"name": "old", "mode": "none"},
        ]
    },
)
CHANGED_CONTAINERS: Task = (
    "netns_bridge",
    {
        "containers": [
            {"name": "app", "mode": "host"},
            {"name": "batch"},
            {"name": "exporter", "mode": "none"},
            {"name": "sidecar", "mode": "container", "target": "batch"},
            {"name": "old", "state": "absent"},
        ],
        "force": True,
    },
)
PORTS: Task = ("port_mapping", {"container": "web", "published_ports": ["8000:8080", "127.0.0.1::8080/udp"]})
CHANGED_PORTS: Task = ("port_mapping", {"container": "web", "published_ports": ["8001:8080"], "exclusive": True})
PRUNE: Task = ("network_prune", {"containers": True})
# What a prune leaves.
REST: Task = (
    "netns_bridge",
    {
        "containers": [{"name": name, "state": "absent"} for name in ("exporter", "app")],
        "state": "absent",
        "force": True,
    },
)


def by_nftables(task: Task) -> Task:
    return (task[0], {**task[1], "firewall_backend": "nftables"})


@dataclass(frozen=True)
class Scenario:
    """What there is, and the task that is broken off."""

    name: str
    before: tuple[Task, ...]
    task: Task
    needs: tuple[str, ...] = ()  # of the kernel


SCENARIOS = (
    Scenario("first networks", (), NETWORKS),
    Scenario("first containers", (), CONTAINERS),
    Scenario("network on a parent", (), ON_PARENT),
    Scenario("one more network, on a parent", (BACK_AND_WEB,), ON_PARENT),
    Scenario("network on a vlan", (), ON_VLAN, needs=("8021q",)),
    Scenario("ports", (NETWORKS,), PORTS),
    Scenario("change of networks", (NETWORKS,), CHANGED_NETWORKS),
    Scenario("change of containers", (CONTAINERS,), CHANGED_CONTAINERS),
    Scenario("change of ports", (NETWORKS, PORTS), CHANGED_PORTS),
    Scenario("prune", (NETWORKS, CONTAINERS), PRUNE),
    Scenario("networks with nftables", (), by_nftables(NETWORKS)),
    Scenario("ports with nftables", (by_nftables(NETWORKS), by_nftables(PORTS)), by_nftables(CHANGED_PORTS)),
    Scenario("change of the backend", (NETWORKS, PORTS), by_nftables(PORTS)),
)


def each_of(scenarios: Iterable[Scenario]) -> pytest.MarkDecorator:
    """The test runs with each scenario that the kernel has what it takes for."""
    return pytest.mark.parametrize(
        "scenario",
        [
            pytest.param(each, id=each.name, marks=[pytest.mark.needs_kernel(*each.needs)] if each.needs else [])
            for each in scenarios
        ],
    )


def carry_out(managed: Managed, tasks: Sequence[Task]) -> None:
    for module, arguments in tasks:
        managed.run(module, framed=False, **arguments)


def withdraw(managed: Managed) -> None:
    """Nothing of ours is declared any more."""
    carry_out(managed, (PRUNE, REST))


def moments(managed: Managed, task: Task, how: str) -> int:
    """At how many moments the task can be broken off. The task is carried out."""
    (outcome,) = managed.outcomes([task], fork=True, fault={"at": 0, "how": how})
    assert outcome["code"] == 0, outcome
    return outcome["points"]


def at_every_moment(
    drivers: Sequence[Driver], scenario: Scenario, how: str, check: Callable[[Driver, Iterable[int]], None]
) -> int:
    """Have the moments of a scenario checked, by each driver a share of them; returns how many there are."""
    with fresh_host(drivers[0]) as managed:
        carry_out(managed, scenario.before)
        count = moments(managed, scenario.task, how)

    def check_share(number: int) -> None:
        check(drivers[number], range(1 + number, count + 1, len(drivers)))

    with ThreadPoolExecutor(len(drivers)) as pool:
        list(pool.map(check_share, range(len(drivers))))
    return count


@contextmanager
def fresh_host(driver: Driver) -> Iterator[Managed]:
    with managed_lab(driver) as (_lab, managed):
        # What the first namespace of a host takes is done once, and would shift the numbers of the moments.
        managed.sh("ip netns add first; ip netns delete first")
        yield managed
