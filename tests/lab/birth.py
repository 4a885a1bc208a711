# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a host's namespaces to life."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lab.commands import environment
from lab.errors import CommandError
from lab.identity import Identity

INIT = Path(__file__).with_name("init.sh")
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")


class Birth:
    """A host on its way: several can start at once, `finish()` waits for one to be ready."""

    def __init__(self, name: str, sysctls: Mapping[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [*UNSHARE, "sh", str(INIT), sys.executable, name, *(f"{key}={value}" for key, value in sysctls.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            # Ctrl-C is for the owner, which then takes its hosts down in order.
            start_new_session=True,
        )

    def finish(self) -> Identity:
        """The identity of the host's PID 1, once it is ready. Raises CommandError with what it said instead."""
        assert self.process.stdout
        first = self.process.stdout.readline()
        if not first.strip().isdigit():
            rest = self.process.stdout.read()
            raise CommandError(self.name, [*UNSHARE, str(INIT), self.name], self.process.wait(), "", first + rest)
        self.process.stdout.close()
        return Identity.of(int(first))

    def end(self) -> None:
        """Let go of the host: it ends by itself, if it has not yet."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=10)

    def release(self) -> None:
        """Let the host live on when this process ends."""
        assert self.process.stdin
        self.process.stdin.write("live on\n")
        self.process.stdin.close()
