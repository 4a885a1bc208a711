# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host is owed: things of ours that can't carry a mark, and values to put back.

The ledger is written before the host is touched, so that a run that is killed leaves nothing unaccounted for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SysctlKey = tuple[str, str]  # namespace, path


@dataclass(frozen=True)
class SavedSysctl:
    """A value as it was before us. One with a ``leader`` goes back once the leading sysctl is no longer needed."""

    value: str
    leader: str | None = None


@dataclass
class Ledger:
    """``namespaces``: names we made below /run/netns, with whose namespace a handle leads to (None: one of our own).

    ``pending``: what an unfinished run set out to create, as (kind, namespace, link, value). ``shared_ports``: ports
    that are published, and were reserved by somebody else before.
    """

    namespaces: dict[str, str | None] = field(default_factory=dict)
    sysctls: dict[SysctlKey, SavedSysctl] = field(default_factory=dict)
    pending: set[tuple[str, str, str, str]] = field(default_factory=set)
    shared_ports: set[int] = field(default_factory=set)

    def unfinished(self, namespace: str) -> set[str]:
        """The names of the links that an unfinished run set out to create there, and may not have come to mark."""
        return {name for kind, where, name, _value in self.pending if (kind, where) == ("link", namespace)}

    def copy(self) -> Ledger:
        return Ledger(dict(self.namespaces), dict(self.sysctls), set(self.pending), set(self.shared_ports))
