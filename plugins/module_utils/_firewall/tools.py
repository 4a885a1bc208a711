# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own commands that firewalls are made with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress

# Of the kernel's x_tables: what tables there are.
OLDER_TABLES = {"ip": "/proc/net/ip_tables_names", "ip6": "/proc/net/ip6_tables_names"}


def search_path() -> str:
    """Where commands are looked for: PATH, and where root's are on hosts whose PATH is a plain user's."""
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def find(tool: str) -> str | None:
    """The path of a command; None where the host lacks it."""
    return shutil.which(tool, path=search_path())


def run(command: list[str], script: str = "") -> subprocess.CompletedProcess[str]:
    """What came of a command. What it complains about is looked at, so it is to do so in English."""
    # Comments of others are bytes of any kind.
    return subprocess.run(
        [find(command[0]) or command[0], *command[1:]],
        input=script,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={**os.environ, "PATH": search_path(), "LC_ALL": "C"},
        check=False,
    )


def older_tables(family: str) -> list[str]:
    """The tables that the older of the two kinds has in a family (ip or ip6); looking makes none."""
    with suppress(OSError), open(OLDER_TABLES[family], encoding="ascii") as file:
        return file.read().split()
    return []


def version_mark(commands: Iterable[str]) -> str:
    """What changes with the installed versions of these, and with what alternatives their names lead to."""
    paths = [os.path.realpath(path) for path in map(find, commands) if path]
    found = [(path, os.stat(path)) for path in paths if os.path.exists(path)]
    return " ".join(f"{path} {each.st_size} {each.st_mtime_ns}" for path, each in found)
