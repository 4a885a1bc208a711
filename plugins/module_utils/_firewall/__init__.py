# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall: the backends, each a class with the verbs of ``Backend``, and the guard of the bridges beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from .._hostconfig import FirewallLines
from .guard import Guard
from .iptables import Iptables
from .memory import Generation, Memory, read_generation
from .neighbours import Barrier, objections, read_barriers
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

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> int | None:
        """Swap what is present for what is wanted; nothing where any of it is refused.

        Returns by how many that raised the generation of the kernel's rule set; None where its lines are in none.
        """

    def is_counted(self) -> bool:
        """Whether the generation of the kernel's rule set tells of changes to its lines."""


class Backend(Part, Protocol):
    """One dialect of the firewall."""

    stands_before: Collection[tuple[str, str]]  # tables and chains of others in which its rules come first

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
        self._memory = Memory()
        self._generation: Generation | None = None  # of what was observed or applied
        self._barriers: list[Barrier] | None = None

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

    def observe(self, places: Collection[str] | None, expected: FirewallLines) -> FirewallLines:
        """Our lines that the host holds now, as a part does; those expected where nobody can have changed them."""
        self._generation = read_generation()
        self._barriers = None if places is None else self._recall(expected)
        if self._barriers is not None:
            return expected
        found: dict[str, tuple[str, ...]] = {}
        for part in self._parts:
            its = None if places is None else [place for place in places if part.owns(place)]
            if its is None or its:
                found.update(part.observe(its))
        return found

    def objections(self, name: str, devices: Mapping[str, Iterable[int]]) -> list[str]:
        """What in others' rules is going to stop what the backend with that name lets through, a line each.

        ``devices``: bridges that forward, with their families.
        """
        if self._barriers is None:
            self._barriers = read_barriers() if devices else []
        ahead = self._backends[name].stands_before if name else ()
        return objections((each for each in self._barriers if each[:2] not in ahead), devices)

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        return frozenset().union(*(each.published(_of(each, lines)) for each in self._backends.values()))

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Each part in its own transaction, where it differs: whoever undoes one has no need of the others.

        What comes is there before anything goes, so that a change of backends neither opens nor closes anything.
        """
        parts = [(part, _of(part, wanted), _of(part, present)) for part in self._parts]
        for part, after, before in sorted(parts, key=lambda each: not each[1]):
            if after != before:
                self._count(part.apply(after, before))

    def remember(self, lines: FirewallLines) -> None:
        """These are what the host holds after all that was observed and applied, if nobody else was at work."""
        if self._barriers is None or self._recall(lines) is not None or not self._is_counted(lines):
            return
        if self._generation is not None and read_generation() == self._generation:
            self._memory.keep(self._generation, lines, self._barriers)

    def _recall(self, lines: FirewallLines) -> list[Barrier] | None:
        if self._generation is None or not self._is_counted(lines):
            return None
        found = self._memory.recall(self._generation, lines)
        return None if found is None else [Barrier(*each) for each in found]

    def _count(self, transactions: int | None) -> None:
        known = self._generation is not None and transactions is not None
        self._generation = self._generation._replace(number=self._generation.number + transactions) if known else None

    def _is_counted(self, lines: FirewallLines) -> bool:
        return all(part.is_counted() for part in self._parts if any(map(part.owns, lines)))


def _of(part: Part, lines: FirewallLines) -> FirewallLines:
    return {place: lines[place] for place in lines if part.owns(place)}
