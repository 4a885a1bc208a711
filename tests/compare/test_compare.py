# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook for docker_network runs here with only the modules' names changed, and comes to the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from compare import differences, networks, tasks
from compare.differences import Difference, outcome
from compare.tasks import Task

TABLE = differences.table()
TASKS = [task for task in tasks.tasks(tasks.PLAYBOOK.read_text()) if task.compared]
Outcomes = Mapping[str, Mapping[tuple[str, str], Mapping[str, Any]]]


def named(task: Task) -> str:
    return task.name


@pytest.mark.parametrize("task", TASKS, ids=named)
def test_outcome_is_the_same(outcomes: Outcomes, task: Task) -> None:
    expected = TABLE.get(task.name, Difference(task.name, "nothing is said to differ"))
    docker, here = (
        " ".join(outcome(results[task.name, phase]) for phase in task.phases) for results in outcomes.values()
    )
    if not expected.docker:
        assert docker == here, _said(outcomes, task)
    else:
        assert {"docker": docker, "here": here} == {"docker": expected.docker, "here": expected.here}, (
            f"it is said to differ because {expected.why}\n{_said(outcomes, task)}"
        )


@pytest.mark.parametrize("task", TASKS, ids=named)
def test_network_is_the_same(outcomes: Outcomes, task: Task) -> None:
    expected = TABLE.get(task.name, Difference(task.name, "nothing is said to differ"))
    found = {}
    for phase in task.phases:
        docker, here = (results[task.name, phase] for results in outcomes.values())
        if phase != "check" and not docker["failed"] and not here["failed"]:
            pair = (networks.comparable(docker.get("network")), networks.comparable(here.get("network")))
            found.update({path: [one, other] for path, one, other in differences.apart(*pair)})
            assert docker.get("exists") == here.get("exists")
    assert found == expected.network, f"it is said to differ because {expected.why}"


@pytest.mark.parametrize("task", [task for task in TASKS if "check" in task.phases], ids=named)
def test_check_mode_and_diff_say_what_a_run_does(outcomes: Outcomes, task: Task) -> None:
    check, run = (outcomes["here"][task.name, phase] for phase in ("check", "run"))
    assert outcome(check) == outcome(run), f"{check.get('msg')}\n{run.get('msg')}"
    if not run["failed"]:
        assert (check["diff"], check["actions"]) == (run["diff"], run["actions"])
        assert (run["diff"]["before"] != run["diff"]["after"]) == run["changed"]


def test_every_difference_is_of_a_task() -> None:
    assert TABLE.keys() <= {task.name for task in TASKS}


def test_name_of_a_bridge_is_always_told(outcomes: Outcomes) -> None:
    told = [each["network"] for each in outcomes["here"].values() if each.get("network")]
    assert all(networks.BRIDGE_NAME in each["Options"] for each in told if each["Driver"] == "bridge")


@pytest.mark.parametrize(
    "task",
    [
        "Connect and disconnect: Create with a container",
        "Connect and disconnect: One more",
        "Info: Create",
        "Changes with containers in the network: Create",
    ],
)
def test_first_containers_get_the_same_addresses(outcomes: Outcomes, task: str) -> None:
    docker, here = (networks.offsets(results[task, "run"]["network"]) for results in outcomes.values())
    assert docker == here


def _said(outcomes: Outcomes, task: Task) -> str:
    lines = []
    for side, results in outcomes.items():
        messages = (str(results[task.name, phase].get("msg", "")).strip() for phase in task.phases)
        lines += [f"{side}: {message}" for message in dict.fromkeys(messages) if message]
    return "\n".join(lines)
