# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall: one of the backends, each a class with the verbs of ``Backend``, and the guard of the bridges."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from .._hostconfig import FirewallLines
from .guard import Guard, is_guards
from .ruleset import Identity, PortRule, Ruleset


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


class Firewall:
    """A backend and the guard as one, with the same verbs."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._guard = Guard()

    def require(self, lines: FirewallLines) -> None:
        self._backend.require(lines)
        self._guard.require(lines)

    def render(self, rulesets: Iterable[Ruleset], identities: Iterable[Identity]) -> FirewallLines:
        return {**self._backend.render(rulesets), **self._guard.render(identities)}

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        return {**self._backend.observe(places), **self._guard.observe(places)}

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        return self._backend.published(lines)

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Each of the two in its own transactions, where it differs: whoever undoes one has no need of the other."""
        for part, is_its in ((self._guard, is_guards), (self._backend, lambda place: not is_guards(place))):
            after, before = ({place: lines[place] for place in lines if is_its(place)} for lines in (wanted, present))
            if after != before:
                part.apply(after, before)


def choose(name: str) -> Firewall:
    """The firewall with the backend of that name; ``auto`` takes the one that fits the host."""
    from .iptables import Iptables

    return Firewall(Iptables())
