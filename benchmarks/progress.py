# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The line that says what is being measured, and how far it is."""

from __future__ import annotations

import sys
import time

PAUSE = 2  # seconds at least between two lines about one thing


class Progress:
    """On a terminal one line that changes; otherwise lines, not too many of them."""

    def __init__(self, parts: int) -> None:
        self._began, self._last = time.monotonic(), 0.0
        self._parts, self._part, self._title = parts, 0, ""
        self._wide = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def part(self, title: str) -> None:
        """The next part of the whole."""
        self._part += 1
        self._title = title
        self.say("")

    def say(self, what: str) -> None:
        """Something that takes seconds begins."""
        self._last = time.monotonic()
        minutes, seconds = divmod(int(self.seconds), 60)
        line = f"[{self._part}/{self._parts} {minutes}:{seconds:02}] {self._title}{': ' if what else ''}{what}"
        if sys.stdout.isatty():
            print(f"\r{line:<{self._wide}}", end="", flush=True)
            self._wide = len(line)
        else:
            print(line, flush=True)

    def tick(self, what: str) -> None:
        """One of many small steps; most of them go unsaid."""
        if time.monotonic() - self._last >= PAUSE:
            self.say(what)

    def end(self) -> None:
        if sys.stdout.isatty():
            print()
