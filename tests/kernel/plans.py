# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks of many steps, for the tests that break them off at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

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
                "connected": ["web", "db"],
            },
            {"name": "back", "internal": True, "connected": ["db"]},
        ]
    },
)
MODES: Task = (
    "netns_bridge",
    {
        "containers": [
            {"name": "app"},
            {"name": "batch", "mode": "none", "sysctls": {"net.ipv4.ip_unprivileged_port_start": 80}},
            {"name": "exporter", "mode": "host"},
            {"name": "sidecar", "mode": "container", "target": "web"},
        ]
    },
)
PORTS: Task = (
    "port_mapping",
    {
        "mappings": [
            {"container": "web", "published_ports": ["8000:8080", "8080/udp"]},
            {"container": "db", "published_ports": ["127.0.0.1:5432:5432"]},
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
CHANGED_MODES: Task = (
    "netns_bridge",
    {
        "containers": [
            {"name": "app", "mode": "host"},
            {"name": "batch"},
            {"name": "exporter", "mode": "none"},
            {"name": "sidecar", "mode": "container", "target": "db"},
            {"name": "web", "state": "absent"},
        ],
        "force": True,
    },
)
CHANGED_PORTS: Task = (
    "port_mapping",
    {
        "mappings": [
            {"container": "db", "published_ports": ["8000:5432"], "exclusive": True},
            {"container": "web", "state": "absent"},
        ]
    },
)
NOTHING: Task = ("network_prune", {"containers": True})
REST: Task = (
    "netns_bridge",
    {
        "containers": [{"name": "exporter", "state": "absent"}, {"name": "app", "state": "absent"}],
        "state": "absent",
        "force": True,
    },
)


@dataclass(frozen=True)
class Scenario:
    """What there is, and the task that is broken off."""

    name: str
    before: tuple[Task, ...]
    task: Task


ALL = (NETWORKS, MODES, PORTS)
SCENARIOS = (
    Scenario("first networks", (), NETWORKS),
    Scenario("modes", (NETWORKS,), MODES),
    Scenario("ports", (NETWORKS,), PORTS),
    Scenario("change of networks", ALL, CHANGED_NETWORKS),
    Scenario("change of modes", ALL, CHANGED_MODES),
    Scenario("change of ports", ALL, CHANGED_PORTS),
    Scenario("prune of everything", ALL, NOTHING),
)


def carry_out(managed: Managed, tasks: Sequence[Task]) -> None:
    for module, arguments in tasks:
        managed.run(module, framed=False, **arguments)


def withdraw(managed: Managed) -> None:
    """Nothing of ours is declared any more."""
    carry_out(managed, (NOTHING, REST))


def moments(managed: Managed, task: Task, how: str) -> int:
    """At how many moments the task can be broken off. The task is carried out."""
    (outcome,) = managed.outcomes([task], fork=True, fault={"at": 0, "how": how})
    assert outcome["code"] == 0, outcome
    return outcome["points"]


def at_every_moment(
    drivers: Sequence[Driver], scenario: Scenario, how: str, check: Callable[[int, Driver], None]
) -> int:
    """Have each moment of a scenario checked, several at a time; returns how many there are."""
    with fresh_host(drivers[0]) as managed:
        carry_out(managed, scenario.before)
        count = moments(managed, scenario.task, how)
    free: SimpleQueue[Driver] = SimpleQueue()
    for driver in drivers:
        free.put(driver)

    def check_one(moment: int) -> None:
        driver = free.get()
        try:
            check(moment, driver)
        finally:
            free.put(driver)

    with ThreadPoolExecutor(len(drivers)) as pool:
        list(pool.map(check_one, range(1, count + 1)))
    return count


@contextmanager
def fresh_host(driver: Driver) -> Iterator[Managed]:
    with managed_lab(driver) as (_lab, managed):
        # What the first namespace of a host takes is done once, and would shift the numbers of the moments.
        managed.sh("ip netns add first; ip netns delete first")
        yield managed
