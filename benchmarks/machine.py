# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the figures were measured on, and with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import peers


def describe() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "system": _system(),
        "iptables": _first_line("iptables", "--version"),
        "nft": _first_line("nft", "--version"),
        "python": platform.python_version(),
        "packages": [f"{name} {version(name)}" for name in ("ansible-core", "pyroute2", "netaddr")],
        "peers": peers.packages(),
        "load": os.getloadavg()[0],
    }


def commit() -> str:
    """The commit that was measured, and whether more than that was."""
    return _first_line("git", "describe", "--always", "--dirty", "--exclude=*")


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("\n")[0] or "unknown"


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
