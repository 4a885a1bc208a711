# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many objects in one task."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from kernel.support import HOST, Driver, Managed, Result, managed_lab, parsed, serving

from lab import Lab

Task = tuple[str, dict[str, Any]]


def containers(count: int) -> list[str]:
    return [f"c{number:03}" for number in range(count)]


def connect(count: int) -> Task:
    return "container_network", {"name": "net-test", "connected": containers(count)}


def publish(count: int) -> Task:
    mappings = [
        {"container": name, "published_ports": [f"{10000 + number}:8080", f"{20000 + number}:8081"]}
        for number, name in enumerate(containers(count))
    ]
    return "port_mapping", {"mappings": mappings}


def remove(count: int) -> Task:
    return "netns_bridge", {"containers": [{"name": name, "state": "absent"} for name in containers(count)]}


@pytest.fixture
def timed(capsys: pytest.CaptureFixture[str]) -> Callable[[Managed, str, Task], Result]:
    def timed(managed: Managed, what: str, task: Task) -> Result:
        began = time.monotonic()
        result = managed.once(*task)
        with capsys.disabled():
            print(f"\n  {what}: {time.monotonic() - began:.2f} s", end="")
        assert not result.get("failed"), result
        return result

    return timed


def test_hundred_containers_with_two_hundred_ports_in_two_tasks(
    lab: Lab, managed: Managed, timed: Callable[[Managed, str, Task], Result]
) -> None:
    for what, task in (("100 containers", connect(100)), ("200 published ports", publish(100))):
        assert timed(managed, what, task)["changed"]
        assert not timed(managed, f"{what} again", task)["changed"]
    targets = {
        ("tcp", HOST, first + number): f"{name}:{port}"
        for number, name in enumerate(containers(100))
        for first, port in ((10000, 8080), (20000, 8081))
    }
    with serving(managed.host, containers(100), 8080, 8081):
        for client in (lab.peer, lab.remote):
            answers = client.ask_all(targets, timeout=5)
            assert [answer.server if answer else None for answer in answers] == [*targets.values()]
    assert timed(managed, "removal of 100 containers", remove(100))["changed"]
    assert managed.sh("ls /run/netns; ls /sys/class/net | grep veth || true") == ""


def test_number_of_processes_that_a_task_starts_does_not_grow_with_its_objects(driver: Driver) -> None:
    few, many = processes(driver, 2), processes(driver, 100)
    assert few == many
    assert few == {
        # The guard, ours and others'; then the guard, whose chain USER is, ours. Check mode asks nft of each change.
        "connect": [3 + 4, 3 + 3, 0, 0],
        "publish": [2, 1, 0, 0],
        "remove": [3, 2, 0, 0],
    }


def processes(driver: Driver, count: int) -> dict[str, list[int]]:
    """How many each task starts on a host of its own: in check mode, in earnest, and then both with nothing to do."""
    found = {}
    with managed_lab(driver) as (_lab, managed):
        for task in (connect, publish, remove):
            outcomes = [managed.outcomes([task(count)], check=check, fork=True)[0] for check in (True, False) * 2]
            assert [parsed(outcome)["changed"] for outcome in outcomes] == [True, True, False, False]
            found[task.__name__] = [outcome["processes"] for outcome in outcomes]
    return found
