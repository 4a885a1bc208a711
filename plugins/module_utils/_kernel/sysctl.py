# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values below /proc/sys, which shows the network namespace of the thread that looks."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

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
            try:
                with open(os.path.join(ROOT, sysctl.path), "w", encoding="ascii") as file:
                    file.write(sysctl.value + "\n")
            except (OSError, UnicodeEncodeError) as error:
                where = f'container "{sysctl.namespace}"' if sysctl.namespace else "host"
                reason = getattr(error, "strerror", None) or error
                raise KernelError(
                    f'{where}: sysctl {sysctl.path} can\'t be set to "{sysctl.value}": {reason}'
                ) from error

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


def _read(path: str) -> str | None:
    try:
        with open(os.path.join(ROOT, path), encoding="ascii", errors="replace") as file:
            return " ".join(file.read().split())
    except OSError:
        return None
