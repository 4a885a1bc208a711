# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall: the backends, each a class with the verbs of ``Backend``, and the guard of the bridges beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Callable, Protocol

from .._errors import HostError, quoted
from .._hostconfig import FirewallLines
from .memory import Generation, Memory, read_generation
from .tools import version_mark

if TYPE_CHECKING:
    from .._state import Mappings
    from .barriers import Barrier
    from .detours import Detour
    from .guard import Guard
    from .ruleset import Identity, PortRule, Ruleset

AUTO = "auto"
BACKENDS = ("iptables", "nftables")
# Where lines are made of a state.
MAKERS = {
    __name__: (  # __package__ is None to begin with where Python 3.9 loads this from an archive, as Ansible has it do
        *("__init__.py", "guard.py", "ruleset.py"),
        *("iptables.py", "iptables_chains.py", "iptables_text.py", "iptables_tree.py"),
        *("nft.py", "nftables.py"),
    ),
    __name__.replace("_firewall", "_render"): ("firewall.py",),
}


class Part(Protocol):
    """A part of the firewall: lines that it alone knows the places of."""

    def owns(self, place: str) -> bool:
        """Whether the place is one of its. Pure."""

    def require(self, lines: FirewallLines) -> None:
        """Raise HostError where the host lacks what it needs for these lines."""

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        """Our lines that the host holds now; ``places`` are where there may be some, None stands for everywhere."""

    def rehearse(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Raise KernelError where it is told without doing anything that ``apply`` would be refused."""

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> int | None:
        """Swap what is present for what is wanted; nothing where any of it is refused.

        Returns by how many that raised the number of the kernel's generation; None where it leaves it to be read again.
        """


class Backend(Part, Protocol):
    """One dialect of the firewall."""

    users_chain: str  # where the administrator's own rules are, in words

    @property
    def stands_before(self) -> Collection[tuple[str, str]]:
        """Tables and chains of others in which its rules come first."""

    def render(self, rulesets: Iterable[Ruleset]) -> FirewallLines:
        """The lines that the host must hold, as the backend reads them back. Pure."""

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        """The ports that these lines publish. Pure."""

    def has_users_rules(self) -> bool:
        """Whether the host holds rules of the administrator's in the place that the backend has for them."""


class Firewall:
    """The backends and the guard as one. A host holds the lines of one backend, but for when it changes to another."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._generation: Generation | None = None  # of what was observed or applied
        self._barriers: list[Barrier] | None = None
        self._detours: list[Detour] = []  # found together with these
        self._recalled = ""  # what is remembered of the host as it was found

    # Most runs find everything as it was left, and need none of them.

    @cached_property
    def _backends(self) -> dict[str, Backend]:
        from .iptables import Iptables
        from .nftables import Nftables

        return {"iptables": Iptables(), "nftables": Nftables()}

    @cached_property
    def _guard(self) -> Guard:
        from .guard import Guard

        return Guard()

    @property
    def _parts(self) -> tuple[Part, ...]:
        return (self._guard, *self._backends.values())

    def choose(self, asked: str, used: str) -> str:
        """The name of the backend that a host gets: the one asked for, the one in use, or the one that fits."""
        if asked != AUTO or used:
            return used if asked == AUTO else asked
        from .neighbours import fitting_backend

        return fitting_backend()

    def require(self, lines: FirewallLines) -> None:
        for part in self._parts:
            part.require(_of(part, lines))

    def require_no_users_rules(self, old: str, new: str) -> None:
        """Raise HostError where a change of backends would leave rules of the administrator's that nobody asks."""
        before, after = self._backends[old], self._backends[new]
        if before.has_users_rules():
            raise HostError(
                f"firewall_backend {quoted(new)}: {before.users_chain} has rules, which would no longer be asked; "
                f"move them to {after.users_chain}, and run the task again"
            )

    def render(self, name: str, rulesets: Iterable[Ruleset], identities: Iterable[Identity]) -> FirewallLines:
        """The lines of the backend with that name, and of the guard; without a name there is nothing to guard."""
        return {**self._backends[name].render(rulesets), **self._guard.render(identities)} if name else {}

    def observe(
        self, places: Callable[[], Collection[str] | None], expected: FirewallLines, declared: str
    ) -> FirewallLines:
        """Our lines that the host holds now; those expected where nobody can have changed them.

        ``places``: where there may be some, None standing for everywhere. ``declared`` tells the state that they are
        expected of from others; without it, they are read.
        """
        self._generation = read_generation()
        self._recalled = _identity(declared)
        self._recall(self._recalled)
        if self._barriers is not None:
            return expected
        self._recalled = ""
        found: dict[str, tuple[str, ...]] = {}
        where = places()
        for part in self._parts:
            its = None if where is None else [place for place in where if part.owns(place)]
            if its is None or its:
                found.update(part.observe(its))
        return found

    def objections(
        self,
        name: str,
        devices: Mapping[str, Iterable[int]],
        mappings: Mappings,
        local: Callable[[], Collection[str]],
    ) -> list[str]:
        """What in others' rules stops or takes what the backend with that name lets through, a line each.

        ``devices``: bridges that forward, with their families. ``local``: the host's addresses.
        """
        if self._barriers is None and name:
            from .neighbours import read_neighbours

            # Also what stops nothing yet: the next task remembers it.
            self._barriers, self._detours = read_neighbours(local())
        found = []
        if self._barriers:
            from . import barriers

            ahead = self._backends[name].stands_before if name else ()
            standing = (each for each in self._barriers if each.overtakes == (each[:2] in ahead))
            found += barriers.objections(standing, devices)
        if self._detours and mappings:
            from . import detours

            found += detours.objections(self._detours, mappings, local)
        return found

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        return frozenset().union(*(each.published(_of(each, lines)) for each in self._backends.values()))

    def rehearse(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Raise KernelError where a part tells, without doing anything, that it would be refused."""
        for part in self._parts:
            part.rehearse(_of(part, wanted), _of(part, present))

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Each part in its own transaction, where it differs: whoever undoes one has no need of the others.

        What comes is there before anything goes, so that a change of backends neither opens nor closes anything.
        """
        parts = [(part, _of(part, wanted), _of(part, present)) for part in self._parts]
        for part, after, before in sorted(parts, key=lambda each: not each[1]):
            if after != before:
                self._count(part.apply(after, before))

    def remember(self, declared: str) -> None:
        """The host holds the lines of that state, if nobody else was at work."""
        now = _identity(declared)
        if self._barriers is None or not now or now == self._recalled:
            return
        if self._generation is not None and read_generation() == self._generation:
            self._memory.keep(self._generation, now, [self._barriers, self._detours])

    def _recall(self, declared: str) -> None:
        self._barriers, self._detours = None, []
        found = self._memory.recall(self._generation, declared) if self._generation is not None and declared else None
        if found is None:
            return
        self._barriers, self._detours = found
        if found[0]:
            from .barriers import Barrier

            self._barriers = [Barrier(*each) for each in found[0]]
        if found[1]:
            from .detours import Detour

            self._detours = [Detour(*each) for each in found[1]]

    def _count(self, transactions: int | None) -> None:
        before, self._generation = self._generation, None
        if before is not None and transactions is not None:
            self._generation = before._replace(number=before.number + transactions)


@cache
def _code() -> str:
    """What tells the code that makes lines from other versions of it."""
    import hashlib
    import pkgutil

    digest = hashlib.sha256()
    for package, names in MAKERS.items():
        for name in names:
            digest.update(pkgutil.get_data(package, name) or b"")
    return digest.hexdigest()


def _identity(declared: str) -> str:
    """What tells lines from those of another state, or of other code or commands; nothing where no state is told."""
    return declared and f"{declared} {_code()} {_commands()}"


def _commands() -> str:
    """The lines of the guard depend on the version of nft; where others are, on the kind of iptables."""
    return version_mark(("nft", "iptables-save", "ip6tables-save"))


def _of(part: Part, lines: FirewallLines) -> FirewallLines:
    return {place: lines[place] for place in lines if part.owns(place)}
