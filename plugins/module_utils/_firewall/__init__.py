# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall: the backends, each a class with the verbs of ``Backend``, and the guard of the bridges beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from .._hostconfig import FirewallLines
from .guard import Guard
from .iptables import Iptables
from .nftables import Nftables
from .ruleset import Identity, PortRule, Ruleset

AUTO = "auto"
BACKENDS = ("iptables", "nftables")


class Part(Protocol):
    """A part of the firewall: lines that it alone knows the places of."""

    def owns(self, place: str) -> bool:
        """Whether the place is one of its. Pure."""

    def require(self, lines: FirewallLines) -> None:
        """Raise HostError where the host lacks what it needs for these lines."""

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        """Our lines that the host holds now; ``places`` are where there may be some, None stands for everywhere."""

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Swap what is present for what is wanted, in one transaction; nothing where any of it is refused."""


class Backend(Part, Protocol):
    """One dialect of the firewall."""

    def render(self, rulesets: Iterable[Ruleset]) -> FirewallLines:
        """The lines that the host must hold, as the backend reads them back. Pure."""

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        """The ports that these lines publish. Pure."""

    def is_fitting(self) -> bool:
        """Whether a host that is new to us is to have this one rather than another."""


class Firewall:
    """The backends and the guard as one. A host holds the lines of one backend, but for when it changes to another."""

    def __init__(self) -> None:
        self._backends: dict[str, Backend] = {"iptables": Iptables(), "nftables": Nftables()}
        self._guard = Guard()

    @property
    def _parts(self) -> tuple[Part, ...]:
        return (self._guard, *self._backends.values())

    def choose(self, asked: str, used: str) -> str:
        """The name of the backend that a host gets: the one asked for, the one in use, or the one that fits."""
        if asked != AUTO:
            return asked
        return used or next((name for name, backend in self._backends.items() if backend.is_fitting()), BACKENDS[0])

    def require(self, lines: FirewallLines) -> None:
        for part in self._parts:
            part.require(_of(part, lines))

    def render(self, name: str, rulesets: Iterable[Ruleset], identities: Iterable[Identity]) -> FirewallLines:
        """The lines of the backend with that name, and of the guard; without a name there is nothing to guard."""
        return {**self._backends[name].render(rulesets), **self._guard.render(identities)} if name else {}

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        found: dict[str, tuple[str, ...]] = {}
        for part in self._parts:
            its = None if places is None else [place for place in places if part.owns(place)]
            if its is None or its:
                found.update(part.observe(its))
        return found

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        return frozenset().union(*(each.published(_of(each, lines)) for each in self._backends.values()))

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Each part in its own transaction, where it differs: whoever undoes one has no need of the others.

        What comes is there before anything goes, so that a change of backends neither opens nor closes anything.
        """
        parts = [(part, _of(part, wanted), _of(part, present)) for part in self._parts]
        for part, after, before in sorted(parts, key=lambda each: not each[1]):
            if after != before:
                part.apply(after, before)


def _of(part: Part, lines: FirewallLines) -> FirewallLines:
    return {place: lines[place] for place in lines if part.owns(place)}
