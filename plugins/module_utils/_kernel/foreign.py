# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespaces of containers that others run: what a reference leads to is asked once, and held open since."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from .._nsfs import is_network
from .runtimes import NotFound, Runtimes

MOST_LINKS = 40  # MAXSYMLINKS of the kernel, include/linux/namei.h
ATTEMPTS = 3
TICKS = os.sysconf("SC_CLK_TCK")  # a second


@dataclass(frozen=True)
class Found:
    """A namespace: open, with the file that stands for it; ``anchor`` tells a process from others of its number."""

    descriptor: int
    place: str
    anchor: str | None = None


Answer = Union[Found, NotFound]
STARTING = NotFound("it is just being started; run the task again when it is up")


class Foreign:
    """What references lead to; those that were announced are asked for together, when the first of them is needed."""

    def __init__(self, device: int) -> None:
        self._device = device  # of all namespaces' files
        self._runtimes = Runtimes()
        self._announced: set[str] = set()
        self._answers: dict[str, Answer] = {}

    def close(self) -> None:
        for answer in self._answers.values():
            if isinstance(answer, Found):
                os.close(answer.descriptor)

    def announce(self, references: Iterable[str]) -> None:
        self._announced.update(references)

    def opened(self, reference: str) -> Found | None:
        found = self.find(reference)
        return found if isinstance(found, Found) else None

    def find(self, reference: str) -> Answer:
        if reference not in self._answers:
            self._ask(sorted(({reference} | self._announced) - {*self._answers}))
        return self._answers[reference]

    def _ask(self, references: Iterable[str]) -> None:
        named = []
        for reference in references:
            kind, _colon, name = reference.partition(":")
            if reference.startswith("/"):
                self._answers[reference] = self._at(reference)
            elif kind == "pid":
                self._answers[reference] = self._of_process(
                    int(name), f"there is no process {name}; name one that runs"
                )
            else:
                named.append(reference)
        for attempt in range(ATTEMPTS if named else 0):
            time.sleep(2 * attempt / TICKS)
            now = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)
            for reference, answer in self._runtimes.ask(named).items():
                idle = f"process {answer}, which its runtime names, is gone; start it, or disconnect it"
                self._answers[reference] = (
                    answer if isinstance(answer, NotFound) else self._of_process(answer, idle, before=now)
                )
            named = [each for each in named if self._answers[each] is STARTING]

    def _of_process(self, pid: int, gone: str, before: int | None = None) -> Answer:
        """The namespace of a process.

        Its number may come to another one at any time. One that started before its runtime was asked, and is there
        still when its namespace is open, is the one that the runtime spoke of.
        """
        started = _start(pid)
        if started is None:
            return NotFound(gone)
        if before is not None and started >= before:
            return STARTING
        place = f"/proc/{pid}/ns/net"
        try:
            descriptor = self._opened(place)
        except FileNotFoundError:
            descriptor = None
        except OSError as error:
            return NotFound(f"{place} can't be opened ({error.strerror}); see to that process")
        if descriptor is None or _start(pid) != started:
            if descriptor is not None:
                os.close(descriptor)
            return NotFound(gone)
        return Found(descriptor, place, f"{_boot()}:{started}:{os.fstat(descriptor).st_ino}")

    def _at(self, path: str) -> Answer:
        """The namespace of a file, which nobody but root can have put there."""
        try:
            loose = _loose_directory(path)
            if loose is not None:
                text = f"others than root may change {loose}; name a file that is root's alone to put there"
                return NotFound(text)
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return NotFound(f"{path} is a symbolic link; name the file that it leads to")
            descriptor = self._opened(path)
        except (FileNotFoundError, NotADirectoryError):
            return NotFound("there is no such file; make it, or disconnect it")
        except OSError as error:
            return NotFound(f"{path} can't be opened ({error.strerror}); see whether it is still there")
        if descriptor is None:
            return NotFound(f"{path} is not a network namespace; name the file of one")
        return Found(descriptor, path)

    def _opened(self, place: str) -> int | None:
        """A file held open, if it is a namespace's. Others aren't even opened: a pipe would block, a device start."""
        found = os.open(place, os.O_PATH | os.O_CLOEXEC)
        try:
            if os.fstat(found).st_dev != self._device:
                return None
            descriptor = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(found)
        if is_network(descriptor):
            return descriptor
        os.close(descriptor)
        return None


def _loose_directory(path: str) -> str | None:
    """The first directory on the way to a file, by symbolic links too, that others than root may change."""
    place, links = "/", 0
    ahead = path.split("/")[-2:0:-1]
    while True:
        info = os.lstat(place)
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink(place)
            ahead += target.split("/")[::-1]
            place = "/" if target.startswith("/") else posixpath.dirname(place)
        elif info.st_uid or info.st_mode & stat.S_IWOTH or (info.st_gid and info.st_mode & stat.S_IWGRP):
            return place
        if not ahead:
            return None
        # What came before ".." is no link any more.
        place = posixpath.normpath(posixpath.join(place, ahead.pop()))


def _start(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])  # proc_pid_stat(5); its name may have blanks
    except (FileNotFoundError, ProcessLookupError):
        return None


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
