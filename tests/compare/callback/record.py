# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of a playbook's tasks, one line of JSON each, in the file that RECORD names."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: stdout
short_description: Results as lines of JSON
description: Writes the name and the result of each task to a file.
"""


class CallbackModule(CallbackBase):
    """Says nothing but what it writes."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "record"

    def _record(self, result: Any, failed: bool = False) -> None:
        line = {"task": result._task.get_name(), "failed": failed, **dict(result._result)}
        with open(os.environ["RECORD"], "a") as file:
            file.write(json.dumps({**line, "failed": failed}, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._record(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._record(result, failed=True)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._record(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._record(result, failed=True)
