# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on one host wait for each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

DIRECTORY = "/run/bridgework"


@contextmanager
def run_lock(read_only: bool) -> Iterator[None]:
    """Alone on this host for the length of the block.

    A read-only run creates nothing: where the directory is missing, no run has ever changed anything.
    """
    path = os.path.join(DIRECTORY, "lock")
    if read_only and not os.path.exists(path):
        yield
        return
    os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if read_only else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
