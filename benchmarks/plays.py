# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks against throwaway hosts, timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import Host

HERE = Path(__file__).resolve().parent
TIMEOUT = 600
SETTINGS = {
    "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
    "ANSIBLE_STDOUT_CALLBACK": "durations",
    "ANSIBLE_DEPRECATION_WARNINGS": "false",
    "ANSIBLE_HOST_KEY_CHECKING": "false",
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_RETRY_FILES_ENABLED": "false",
}

Task = dict[str, Any]
Play = dict[str, Any]


class PlayFailed(RuntimeError):
    """A task of a play failed, or Ansible did."""


@dataclass(frozen=True)
class Done:
    """One task on one host."""

    host: str
    task: str
    seconds: float
    changed: bool


@dataclass(frozen=True)
class Run:
    """A run of ansible-playbook: its own time from start to end, and its tasks."""

    seconds: float
    tasks: list[Done]

    def seconds_of(self, task: str, host: str) -> list[float]:
        return [each.seconds for each in self.tasks if (each.task, each.host) == (task, host)]


def play(hosts: str, tasks: Iterable[Task]) -> Play:
    return {"hosts": hosts, "gather_facts": False, "tasks": list(tasks)}


def module(called: str, title: str, /, **arguments: Any) -> Task:
    """A task of one of our modules."""
    return {"name": title, f"bridgework.network.{called}": arguments}


def run(
    hosts: Mapping[str, Host],
    plays: Sequence[Play],
    seen: Callable[[int], None] = lambda count: None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run a playbook to its end; `seen` hears how many tasks are done. Raises PlayFailed."""
    with tempfile.TemporaryDirectory(prefix="bridgework-bench-") as folder:
        paths = {name: f"{folder}/{name}" for name in ("inventory.yml", "playbook.yml", "durations", "said")}
        Path(paths["inventory.yml"]).write_text(yaml.safe_dump(_inventory(hosts)))
        Path(paths["playbook.yml"]).write_text(yaml.safe_dump(list(plays), sort_keys=False))
        durations = Path(paths["durations"])
        durations.touch()
        words = ["ansible-playbook", "-i", paths["inventory.yml"], paths["playbook.yml"]]
        settings = {**os.environ, **SETTINGS, **(environment or {}), "DURATIONS": str(durations)}
        with open(paths["said"], "w+") as said:
            began = time.perf_counter()
            process = subprocess.Popen(words, env=settings, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            seconds = _wait(process, began, lambda: seen(durations.read_bytes().count(b"\n")))
            said.seek(0)
            output = said.read()
        found = [json.loads(line) for line in durations.read_text().splitlines()]
    failures = [f"{each['host']}, {each['task']}: {each['msg']}" for each in found if each["failed"]]
    if failures or process.returncode:
        raise PlayFailed("\n".join(failures) or output[-3000:])
    return Run(seconds, [Done(each["host"], each["task"], each["seconds"], each["changed"]) for each in found])


def _inventory(hosts: Mapping[str, Host]) -> dict[str, Any]:
    common = {"ansible_connection": "throwaway", "ansible_python_interpreter": sys.executable}
    return {
        "all": {"hosts": {name: {"ansible_throwaway_pid": host.pid} for name, host in hosts.items()}, "vars": common}
    }


def _wait(process: subprocess.Popen[Any], began: float, look: Callable[[], None]) -> float:
    """The seconds until its end. (Popen.wait with a timeout would see it up to 50 ms late.)"""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            look()
            if time.perf_counter() - began > TIMEOUT:
                process.kill()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        process.wait()
        return time.perf_counter() - began
    finally:
        ended.set()
        watcher.join()
        process.kill()
        process.wait()
