# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of the collection on a throwaway host, by ansible-playbook."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from kernel.support import Managed, same

ROOT = Path(__file__).resolve().parents[2]

Task = dict[str, Any]


def call(role: str, **values: Any) -> Task:
    """A task that calls the role, with its variables by what comes after its name."""
    variables = {f"{role}_{key}": value for key, value in values.items()}
    return {"ansible.builtin.include_role": {"name": f"bridgework.network.{role}"}, "vars": variables}


class Roles:
    def __init__(self, managed: Managed, directory: Path) -> None:
        self.managed = managed
        self._directory = directory

    def play(self, tasks: list[Task], *words: str, fails: bool = False) -> list[dict[str, Any]]:
        """The results of all tasks."""
        (self._directory / "play.yml").write_text(
            json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
        )
        record = self._directory / "record"
        record.write_text("")
        settings = {
            "RECORD": str(record),
            "ANSIBLE_STDOUT_CALLBACK": "record",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "compare" / "callback"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
            "ANSIBLE_HOME": str(self._directory),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "LC_ALL": "C.UTF-8",
        }
        program = [str(Path(sys.executable).with_name("ansible-playbook")), str(self._directory / "play.yml"), "--diff"]
        done = self.managed.host.run(*program, *words, check=False, timeout=120, env=settings)
        lines = [json.loads(line) for line in record.read_text().splitlines()]
        assert (done.returncode != 0) == fails, done.stdout + done.stderr + record.read_text()
        return lines

    def refused(self, *calls: Task) -> list[str]:
        """Why each of them is refused, in check mode and without it, by which nothing is changed."""
        tasks = [{"block": [each], "rescue": [{"ansible.builtin.meta": "noop"}]} for each in calls]
        before = self.managed.snapshot()
        predicted, messages = (
            [line["msg"] for line in self.play(tasks, *words) if line["failed"]] for words in (["--check"], [])
        )
        same(before, self.managed.snapshot(), "what was refused changed the host")
        assert predicted == messages
        assert not [each for each in messages if "\n" in each]
        return messages
