# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tasks of the playbook, each in its phases: check mode, the run, the run after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from compare.sides import Result, Side, renamed

PLAYBOOK = Path(__file__).with_name("playbook.yml")
PHASES = ("check", "run", "again")
ONCE = ("run",)


@dataclass(frozen=True)
class Task:
    """A task of the playbook. Its name is that of the play, and its own."""

    name: str
    phases: tuple[str, ...]
    compared: bool


def tasks(text: str) -> list[Task]:
    return [
        Task(name, phases, task.get("tags") != "clean")
        for play in yaml.safe_load(text)
        for task, name, phases in _named(play)
    ]


def results(side: Side, text: str) -> dict[tuple[str, str], Result]:
    """What came of each task in each of its phases."""
    found = side.play([_expanded(play) for play in yaml.safe_load(text)])
    keys = [(task.name, phase) for task in tasks(text) for phase in task.phases]
    if [each["task"] for each in found] != [f"{name} ({phase})" for name, phase in keys]:
        raise RuntimeError(f"{side.name}: not every task ran; the last one was {found[-1]}")
    return dict(zip(keys, found, strict=True))


def playbook(side: str) -> str:
    """The playbook as it is run on that side."""
    text = PLAYBOOK.read_text()
    return text if side == "docker" else renamed(text)


def _named(play: dict[str, Any]) -> Sequence[tuple[dict[str, Any], str, tuple[str, ...]]]:
    return [
        (task, f"{play['name']}: {task['name']}", ONCE if "tags" in task or _looks(task) else PHASES)
        for task in play["tasks"]
    ]


def _looks(task: dict[str, Any]) -> bool:
    return any(key.endswith("_info") for key in task)


def _expanded(play: dict[str, Any]) -> dict[str, Any]:
    found = []
    for task, name, phases in _named(play):
        for phase in phases:
            each = {**task, "name": f"{name} ({phase})", "ignore_errors": True, "diff": True}
            found.append({**each, "check_mode": True} if phase == "check" else each)
    return {**play, "tasks": found}
