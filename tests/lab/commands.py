# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running commands, directly or behind nsenter."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from lab.errors import CommandError
from lab.identity import children

SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment plus `extra`; ip, nft and iptables are found also where PATH is a plain user's."""
    merged = {**os.environ, **(extra or {})}
    path = merged.get("PATH", "/usr/bin:/bin").split(":")
    merged["PATH"] = ":".join(path + [directory for directory in SYSTEM_DIRECTORIES if directory not in path])
    return merged


def run(
    where: str,
    prefix: Sequence[str],
    argv: Sequence[str],
    *,
    input: str | None = None,
    check: bool = True,
    timeout: float | None = 30,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `prefix` + `argv`; errors and the result show `argv` only. Raises CommandError."""
    pipe = subprocess.PIPE
    stdin = subprocess.DEVNULL if input is None else pipe
    with subprocess.Popen(
        [*prefix, *argv], stdin=stdin, stdout=pipe, stderr=pipe, text=True, env=environment(env)
    ) as process:
        try:
            stdout, stderr = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            kill_entered(process)
            raise CommandError(where, argv, None, *_said(process)) from None
        except BaseException:
            kill_entered(process)
            raise
    if check and process.returncode:
        raise CommandError(where, argv, process.returncode, stdout, stderr)
    return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)


def _said(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a killed command had said, unless a child that it left behind keeps its output open."""
    try:
        return process.communicate(timeout=1)
    except subprocess.TimeoutExpired:
        return "", ""


def kill_entered(process: subprocess.Popen[Any]) -> None:
    """Kill what nsenter runs, and nsenter with it.

    Where nsenter is killed itself, its child becomes an orphan of the machine, not of the host; the host can't end
    before the machine's PID 1 has reaped it, which may take seconds.
    """
    for child in children(process.pid) or [process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
