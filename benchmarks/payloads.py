# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible sends to a host for a task, taken and run again without Ansible."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks import plays
from benchmarks.peers import INSIDE, json_lines
from benchmarks.plays import Task
from lab import Host

FOLDER = "/run/payload"
KEPT = {
    "ANSIBLE_KEEP_REMOTE_FILES": "true",
    "ANSIBLE_PIPELINING": "false",
    "ANSIBLE_REMOTE_TEMP": FOLDER,
    "ANSIBLE_REMOTE_TMP": FOLDER,
}


def capture(host: Host, tasks: Mapping[str, Task]) -> dict[str, str]:
    """Run tasks one after the other, and keep what was sent for each: their paths in the host, by the same names."""
    plays.run({host.name: host}, [plays.play("all", tasks.values())], environment=KEPT)
    # Each has a folder of its own, whose name begins with the time.
    sent = host.run("sh", "-ec", f"ls -d {FOLDER}/*/AnsiballZ_*.py").stdout.split()
    if len(sent) != len(tasks):
        raise RuntimeError(f"{host.name}: {len(tasks)} tasks were sent as {sent}")
    return dict(zip(tasks, sorted(sent, key=_sent_at), strict=True))


def _sent_at(path: str) -> float:
    return float(path.removeprefix(f"{FOLDER}/ansible-tmp-").split("-")[0])


def cost(host: Host, paths: Mapping[str, str], times: int = 1) -> list[dict[str, Any]]:
    """Run payloads in turn, as Ansible does with pipelining: by Python's standard input. See inside/cost.py."""
    jobs = [{"name": name, "argv": [sys.executable], "stdin": path} for name, path in paths.items()]
    words = [sys.executable, "-I", "-S", str(INSIDE / "cost.py"), str(times)]
    return json_lines(host.run(*words, input=json.dumps(jobs), timeout=300).stdout)
