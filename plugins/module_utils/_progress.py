# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long run is, in a file that whoever waits for it may read.

It is imported only by runs that change something, and says nothing of those that are over within a second. Nothing that
goes wrong with the file is an error.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TypeVar

from ._lock import DIRECTORY

PATH = os.path.join(DIRECTORY, "progress")
SILENT = 1.0  # seconds from the beginning
PAUSE = 0.4  # seconds between two writes

Thing = TypeVar("Thing")


class Progress:
    """Of one run; a context, which takes the file away at its end."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._loud = self._next = time.monotonic() + SILENT
        self._phase = ""
        self._written = False

    def __enter__(self) -> Progress:
        self._clear()  # what a run that was killed left
        return self

    def __exit__(self, *_error: object) -> None:
        if self._written:
            self._clear()

    def _clear(self) -> None:
        for path in (self._path, f"{self._path}.new"):
            with suppress(OSError):
                os.unlink(path)

    def through(self, phase: str, things: Collection[Thing]) -> Iterator[Thing]:
        """The things, one after another, as a phase of the run."""
        for number, thing in enumerate(things):
            self.at(phase, number, len(things))
            yield thing

    def at(self, phase: str, done: int = 0, of: int = 0) -> None:
        """So much of a phase is done; it is one step where nothing is counted."""
        now = time.monotonic()
        if now >= self._next or (phase != self._phase and now >= self._loud):
            self._next, self._phase = now + PAUSE, phase
            self._write({"pid": os.getpid(), "phase": phase, "done": done, "of": of})

    def _write(self, note: dict[str, object]) -> None:
        """At once or not at all, so that nobody reads half of it."""
        fresh = f"{self._path}.new"
        self._written = True
        with suppress(OSError):
            with open(fresh, "w", encoding="ascii") as file:
                json.dump(note, file)
            os.replace(fresh, self._path)
