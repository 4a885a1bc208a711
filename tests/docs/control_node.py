# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where commands after `$` are typed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

SETTINGS = {
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_FORCE_COLOR": "false",
    "ANSIBLE_DEPRECATION_WARNINGS": "false",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": "200",
}


@dataclass(frozen=True)
class ControlNode:
    """A folder, and what its user has in the environment besides SETTINGS."""

    directory: Path
    environment: Mapping[str, str]
    time_limit: float = 600

    def at(self, directory: Path) -> ControlNode:
        return replace(self, directory=directory)

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def type(self, words: str) -> tuple[int, str]:
        """The exit code of a command line, and what it prints."""
        done = subprocess.run(
            ["bash", "-c", words],
            cwd=self.directory,
            env={**self.environment, **SETTINGS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=self.time_limit,
        )
        return done.returncode, done.stdout

    def run(self, words: str) -> str:
        """What a command line prints that must not fail."""
        code, said = self.type(words)
        assert code == 0, f"{words}\n{said}"
        return said
