# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long each task took on each host, one line of JSON a task, in the file that DURATIONS names."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: durations
type: stdout
short_description: Durations of tasks as lines of JSON
description: Writes the name, the host, the duration and the outcome of each task to a file.
"""


class CallbackModule(CallbackBase):
    """Says nothing but what it writes. A duration is the time from the start of the task to its result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "durations"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._began = 0.0
        self._file = open(os.environ["DURATIONS"], "a", buffering=1)  # noqa: SIM115, open to the end of the play

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._began = time.perf_counter()

    def _write(self, result: Any, failed: bool) -> None:
        seconds = time.perf_counter() - self._began
        found = {
            "host": result._host.get_name(),
            "task": result._task.get_name(),
            "seconds": seconds,
            "failed": failed,
            "changed": bool(result._result.get("changed")),
            "msg": str(result._result.get("msg", "")) if failed else "",
        }
        self._file.write(json.dumps(found) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result, False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write(result, True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write(result, True)
