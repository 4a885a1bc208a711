# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewall backends. Each is a class with the verbs of ``Backend``."""

from __future__ import annotations

from typing import Protocol

from .._hostconfig import FirewallLines
from .ruleset import PortRule, Ruleset


class Backend(Protocol):
    """One dialect of the firewall."""

    def require(self) -> None:
        """Raise HostError where the host lacks what the backend needs."""

    def render(self, ruleset: Ruleset) -> FirewallLines:
        """The lines that the host must hold, as the backend reads them back. Pure."""

    def observe(self) -> FirewallLines:
        """Our lines that the host holds now."""

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        """The ports that these lines publish. Pure."""

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Swap what is present for what is wanted, in one transaction a table."""


def choose(name: str) -> Backend:
    """The backend of that name; ``auto`` takes the one that fits the host."""
    from .iptables import Iptables

    return Iptables()
