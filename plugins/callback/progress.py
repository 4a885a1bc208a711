# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line every few seconds while a task with many containers works."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: aggregate
short_description: Show that a long task of this collection moves
version_added: 0.1.0
author:
  - Bridgework contributors (@bridgework)
description:
  - Prints a line for each host and task of C(bridgework.network) that takes long, again and again until it ends.
  - The phase and how much of it is done are known of hosts whose tasks run on the controller itself (the connection
    C(local)), where the plugin reads C(/run/bridgework/progress). The file is there while a run that changes something
    lasts longer than a second.
  - Of other hosts, such as those reached by ssh, a line has the time since the task was handed out, and how many
    networks, containers or mappings the task lists. A module can return nothing before its end, and the plugin opens no
    connections of its own.
  - Where several tasks run on the controller itself, a line says how many, since it can't tell which is at work.
    The others wait for it.
  - A number that only a template makes is not shown.
  - It costs less than a tenth of a millisecond for each task of C(bridgework.network) on each host, and less than a
    millisecond of processor time for each second that one lasts.
  - The lines go to the standard error, so what a program reads of the standard output is as it was.
requirements:
  - to be enabled, by C(callbacks_enabled = bridgework.network.progress) in C(ansible.cfg), or by the environment
    variable C(ANSIBLE_CALLBACKS_ENABLED)
options:
  interval:
    description: How many seconds are between two lines about a task, and before the first one.
    type: float
    default: 5
    ini:
      - section: callback_progress
        key: interval
    env:
      - name: BRIDGEWORK_PROGRESS_INTERVAL
"""

EXAMPLES = r"""
# Prints lines such as
#
#   shop-1: Have all containers: 15 s, links 1200 of 4000
#
# In ansible.cfg:
#
#   [defaults]
#   callbacks_enabled = bridgework.network.progress
#
#   [callback_progress]
#   interval = 10
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.inventory.helpers import get_group_vars
from ansible.plugins.callback import CallbackBase

from ansible_collections.bridgework.network.plugins.module_utils._progress import PATH

OURS = "bridgework.network."
# What a task may have many of, with the word for it.
LISTS = ("networks", "containers", "endpoints", "connected", "mappings", "published_ports")


@dataclass(frozen=True)
class Running:
    """A task on a host, since when, and what it lists."""

    host: str
    task: str
    declared: str
    is_here: bool
    began: float  # of the monotonic clock
    began_at: float  # seconds since the epoch


class CallbackModule(CallbackBase):
    """A thread of its own prints; Ansible tells it what runs."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bridgework.network.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._running: dict[tuple[str, str], Running] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._end = threading.Event()

    # What Ansible tells

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A task was handed out for a host."""
        if not str(getattr(task, "resolved_action", None) or task.action).startswith(OURS):
            return
        entry = Running(
            host=host.get_name(),
            task=task.get_name(),
            declared=declared(task.args),
            is_here=_is_here(host, task),
            began=time.monotonic(),
            began_at=time.time(),
        )
        with self._lock:
            self._running[host.get_name(), task._uuid] = entry
        if self._thread is None:
            self._end.clear()
            self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
            self._thread.start()

    def _done(self, result: Any) -> None:
        with self._lock:
            self._running.pop((result._host.get_name(), result._task._uuid), None)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._done(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._done(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._done(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._done(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The end of a playbook, which another one may follow: nothing is said after the summary."""
        with self._lock:
            self._running.clear()
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # What is shown

    def _watch(self) -> None:
        interval = max(0.1, float(self.get_option("interval")))
        shown: dict[Running, float] = {}
        while not self._end.wait(min(interval, 1) / 4):
            now = time.monotonic()
            with self._lock:
                running = list(self._running.values())
            shown = {each: last for each, last in shown.items() if each in running}
            here = sum(each.is_here for each in running)
            for each in running:
                if now - shown.get(each, each.began) >= interval:
                    shown[each] = now
                    self._display.display(line(each, now - each.began, _note(each), here), stderr=True)


def line(running: Running, seconds: float, note: Mapping[str, Any] | None, here: int = 1) -> str:
    """What is said of a task that has run so long; it may be of any of those that run here."""
    minutes, rest = divmod(int(seconds), 60)
    parts = [f"{minutes} min {rest} s" if minutes else f"{rest} s"]
    if note is not None:
        phase = f"{note['phase']} {note['done']} of {note['of']}" if note["of"] else str(note["phase"])
        parts.append(f"one of {here} at work: {phase}" if here > 1 else phase)
    elif running.declared:
        parts.append(running.declared)
    return f"{running.host}: {running.task}: {', '.join(parts)}"


def declared(arguments: Mapping[str, Any]) -> str:
    """How much a task lists itself, as ``1200 containers``; what a template makes isn't known yet."""
    return ", ".join(f"{number} {name}" for name, number in _numbers(arguments) if number > 1)


def _numbers(arguments: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name in LISTS:
        inner = arguments.get("networks") if name in ("endpoints", "connected") else None
        lists = [arguments.get(name), *(each.get(name) for each in _listed(inner) if isinstance(each, Mapping))]
        yield name.replace("_", " "), sum(len(each) for each in map(_listed, lists))


def _listed(value: Any) -> Sequence[Any]:
    """What is no list counts as none."""
    return value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()


def _is_here(host: Any, task: Any) -> bool:
    """Whether the task's module runs on the controller, in its own namespaces."""
    if task.delegate_to:
        return task.delegate_to in ("localhost", "127.0.0.1", "::1")
    known = {**get_group_vars(host.get_groups()), **host.get_vars(), **task.vars}
    connection = known.get("ansible_connection") or task.connection
    return str(connection).rpartition(".")[2] == "local"


def _note(running: Running) -> Mapping[str, Any] | None:
    """What the run says of itself; None where there is nothing that can be of this task."""
    if not running.is_here:
        return None
    try:
        with open(PATH, encoding="ascii") as file:
            note = json.load(file)
            is_fresh = os.fstat(file.fileno()).st_mtime >= running.began_at
        is_alive = os.path.exists(f"/proc/{int(note['pid'])}")
        return note if is_fresh and is_alive and {"phase", "done", "of"} <= note.keys() else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
