# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes by identity: a pid alone may have been given to another process meanwhile."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass

from lab.errors import LabError


@dataclass(frozen=True)
class Identity:
    """A process by its pid and its start time, in clock ticks since boot (proc(5), field 22 of stat)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Identity:
        return cls(pid, _start_time(pid))

    def alive(self) -> bool:
        try:
            return _start_time(self.pid) == self.started
        except ProcessLookupError:
            return False

    def kill(self, timeout: float = 10) -> None:
        """Kill the process and wait for its end. Nothing happens where it is gone already."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor holds on to this very process, so checking and then killing is no race.
            if self.alive():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                _wait(descriptor, self.pid, timeout)
        finally:
            os.close(descriptor)


def _start_time(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            # The command's name, in parentheses, may hold spaces and parentheses itself.
            return int(file.read().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None


def _wait(descriptor: int, pid: int, timeout: float) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(timeout * 1000):
        raise LabError(f"process {pid} is still there {timeout:g} s after SIGKILL")


def children(pid: int) -> list[int]:
    """The pids of the direct children of a process."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []
