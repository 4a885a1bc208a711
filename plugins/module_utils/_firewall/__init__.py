# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewall backends. Each is a class with the verbs of ``Backend``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from .._hostconfig import FirewallLines
from .ruleset import PortRule, Ruleset


class Backend(Protocol):
    """One dialect of the firewall."""

    def require(self, lines: FirewallLines) -> None:
        """Raise HostError where the host lacks what the backend needs for these lines."""

    def render(self, rulesets: Iterable[Ruleset]) -> FirewallLines:
        """The lines that the host must hold, as the backend reads them back. Pure."""

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        """Our lines that the host holds now; ``places`` are where there may be some, None stands for everywhere."""

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        """The ports that these lines publish. Pure."""

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Swap what is present for what is wanted, in one transaction a table; nothing where any of it is refused."""


def choose(name: str) -> Backend:
    """The backend of that name; ``auto`` takes the one that fits the host."""
    from .iptables import Iptables

    return Iptables()
