# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values below /proc/sys, which shows the network namespace of the thread that looks."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping

from .._errors import KernelError
from .._hostconfig import Sysctl, Traits
from .._ledger import FORWARDING
from .namespaces import Namespaces

ROOT = "/proc/sys"
# What the kernel rewrites when forwarding is switched off: net/ipv4/devinet.c, inet_forward_change().
AFTER_FORWARDING_OFF = {"forwarding": "0", "accept_redirects": "1"}


class Sysctls:
    """Reading and writing sysctls in any of a host's namespaces."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self.replaced: dict[tuple[str, str], str] = {}  # what each sysctl held before our first write

    def read(self, namespace: str, paths: Iterable[str]) -> dict[str, str]:
        """The values of those paths that exist."""
        with self._namespaces.inside(namespace):
            values = {path: _read(path) for path in paths}
        return {path: value for path, value in values.items() if value is not None}

    def write(self, sysctl: Sysctl) -> None:
        with self._namespaces.inside(sysctl.namespace):
            self.replaced.setdefault(sysctl.key, _read(sysctl.path) or "")
            fault = _write(sysctl.path, sysctl.value)
        if fault is not None:
            where = f'container "{sysctl.namespace}"' if sysctl.namespace else "host"
            raise KernelError(f'{where}: sysctl {sysctl.path} can\'t be set to "{sysctl.value}": it {fault}')

    def tried(self, values: Mapping[str, str]) -> dict[str, str]:
        """What speaks against each value, in words; tried out in a namespace that nobody else sees."""
        if not values:
            return {}
        with self._namespaces.apart():
            faults = {path: _write(_on_loopback(path), value) for path, value in values.items()}
        return {path: fault for path, fault in faults.items() if fault is not None}

    def forwarding_followers(self) -> dict[str, str]:
        """Host values that switching forwarding on and off again would not bring back."""
        paths = [
            *glob.glob(f"{ROOT}/net/ipv4/conf/*/forwarding"),
            f"{ROOT}/net/ipv4/conf/all/accept_redirects",
        ]
        values = {path[len(ROOT) + 1 :]: _read(path[len(ROOT) + 1 :]) for path in paths}
        return {
            path: value
            for path, value in values.items()
            if value is not None and path != FORWARDING and value != AFTER_FORWARDING_OFF[os.path.basename(path)]
        }


def read_traits() -> Traits:
    """What the kernel can do, and does on its own."""
    return Traits(
        ipv6=os.path.isdir(f"{ROOT}/net/ipv6"),
        bridge_netfilter=_read("net/bridge/bridge-nf-call-iptables") == "1",
    )


def _on_loopback(path: str) -> str:
    """The same setting of the one interface that every namespace has; all interfaces take the same values."""
    parts = path.split("/")
    if len(parts) == 5 and parts[2] in ("conf", "neigh") and parts[3] not in ("all", "default"):
        parts[3] = "lo"
    return "/".join(parts)


def _write(path: str, value: str) -> str | None:
    """What went wrong, in words. A value that reads back otherwise would differ from what is wanted for ever."""
    if _read(path) is None:
        return "does not exist in a container, or can't be read"
    try:
        with open(os.path.join(ROOT, path), "w", encoding="ascii") as file:
            file.write(value + "\n")
    except UnicodeEncodeError:
        return "takes ASCII only"
    except OSError as error:
        return f"is refused by the kernel ({error.strerror})"
    found = _read(path)
    return None if found == value else f'reads back as "{found}"'


def _read(path: str) -> str | None:
    try:
        with open(os.path.join(ROOT, path), encoding="ascii", errors="replace") as file:
            return " ".join(file.read().split())
    except OSError:
        return None
