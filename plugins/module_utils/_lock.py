# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on one host wait for each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ._errors import HostError

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
    try:
        if not read_only:
            os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
        descriptor = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT) | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(
            f'lock "{path}": can\'t be opened ({error.strerror}); see to it that {DIRECTORY} is a directory that root '
            "can write to"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if read_only else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
