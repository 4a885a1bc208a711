# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of others, as far as they can be understood, and the way of a packet through them. Pure.

They are looked at as the first packet of a flow to one of the host's addresses would meet them. What isn't understood
makes a rule unclear, and nothing is concluded from it but that it may let something pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable, NamedTuple, Union

from .._errors import quoted

ACCEPT, DROP, RETURN, JUMP, GOTO, LEAD = "accept", "drop", "return", "jump", "goto", "lead"
PROTOCOL, PORT, ADDRESS, OTHER_ADDRESS, LOCAL = "protocol", "port", "address", "other address", "local"
INCOMING, SOURCE, SOURCE_PORT = "i", "source", "source port"
# What is said of the packets of a rule for some clients only, and of those of a rule for all others.
CLIENTS = {
    INCOMING: ("comes in by", "does not come in by"),
    SOURCE: ("comes from", "does not come from"),
    SOURCE_PORT: ("comes from port", "does not come from port"),
}
LAST_PORT = 65535
# Values that one of has to fit: protocols, subnets, or first and last port. LOCAL is any address of the host, and
# OTHER_ADDRESS one in none of the subnets.
Condition = tuple[str, tuple[Union[str, tuple[int, int]], ...]]


class Never(Exception):
    """The packet that rules are looked at for doesn't meet this one."""


class Rule(NamedTuple):
    """What a rule does with packets that meet all ``conditions``; empty where it lets them go on to the next.

    ``incoming`` and ``outgoing`` are interfaces that it is for, which may end in ``*``. ``narrow``: it is for some
    clients only, or not for some interfaces; ``clients`` says which, as far as it is told by words of CLIENTS.
    ``unclear``: it has conditions that aren't understood.
    """

    text: str
    verdict: str = ""
    target: str = ""
    conditions: tuple[Condition, ...] = ()
    incoming: tuple[str, ...] = ()
    outgoing: tuple[str, ...] = ()
    narrow: bool = False
    unclear: bool = False
    clients: tuple[str, ...] = ()


class Draft:
    """A rule that is being read."""

    def __init__(self) -> None:
        self.conditions: list[Condition] = []
        self.names: dict[str, tuple[str, ...]] = {}
        self.narrow = self.unclear = False
        self.clients: list[str] = []

    def add(self, kind: str, values: Iterable[str], negated: bool = False) -> None:
        """Raises Never, and ValueError where a value isn't understood."""
        found = tuple(values)
        if kind in CLIENTS:
            self.clients.append(f"{CLIENTS[kind][negated]} {' or '.join(map(quoted, found))}")
        if kind == "type":
            if negated == ("local" in found):
                raise Never
            self.conditions.append((LOCAL, ()))
        elif kind == "state":
            if negated == ("new" in found):
                raise Never
        elif kind == PORT:
            ports = sorted(map(port_range, found))
            self.conditions.append((PORT, tuple(_complement(ports) if negated else ports)))
        elif kind == ADDRESS and negated:
            self.conditions.append((OTHER_ADDRESS, found))
        elif negated or kind in (SOURCE, SOURCE_PORT):
            self.narrow = True  # but for PROTOCOL, of which there are few that have ports
            self.unclear |= kind == PROTOCOL
        elif kind in "io":
            self.names[kind] = found
        else:
            self.conditions.append((kind, found))

    def rule(self, text: str, verdict: str, target: str = "") -> Rule:
        return Rule(
            text,
            verdict,
            target,
            tuple(self.conditions),
            self.names.get("i", ()),
            self.names.get("o", ()),
            self.narrow,
            self.unclear,
            tuple(self.clients),
        )


def understood(read: Callable[[str], Rule], text: str) -> list[Rule]:
    """The rule, but where that packet doesn't meet it."""
    try:
        return [read(text)]
    except Never:
        return []


def port_range(text: str) -> tuple[int, int]:
    first, _dash, last = text.replace(":", "-").partition("-")
    return int(first), int(last or first)


def _complement(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found, start = [], 0
    for first, last in ranges:
        found.append((start, first - 1))
        start = last + 1
    return [each for each in (*found, (start, LAST_PORT)) if each[0] <= each[1]]


class Passed(NamedTuple):
    """What a rule lets pass. ``surely``: all that meets the conditions. ``names``: interfaces that it is about."""

    conditions: tuple[Condition, ...]
    surely: bool
    names: tuple[str, ...]


class Met(NamedTuple):
    """A rule that takes packets away, with all that has to be met on the way to it, and what was let pass before.

    ``position`` is that in the chain of the hook of the rule itself, or of what leads to it.
    """

    rule: Rule
    conditions: tuple[Condition, ...] = ()
    names: tuple[str, ...] = ()
    narrow: bool = False
    unclear: bool = False
    passed: tuple[Passed, ...] = ()
    depth: int = 0
    position: int = 0
    clients: tuple[str, ...] = ()


DEEPEST, MOST = 16, 2000  # chains that are followed into each other, and rules that are looked at


class Walk:
    """The way of a packet through chains. Those whose names begin as ``ours`` does are left out."""

    def __init__(self, rules_of: Callable[[str], Iterable[Rule]], ours: str) -> None:
        self._rules_of = rules_of
        self._ours = ours
        self._left = MOST
        self.met: list[Met] = []

    def through(self, start: str) -> list[Passed]:
        """All rules that drop packets or lead them elsewhere are ``met``. Returns what is let pass for good."""
        return self._through(start, Met(Rule("")))

    def _through(self, name: str, above: Met) -> list[Passed]:
        passed = [*above.passed]
        accepted: list[Passed] = []
        for number, rule in enumerate(self._rules_of(name)):
            self._left -= 1
            if self._left < 0:
                break
            here = Met(
                rule,
                above.conditions + rule.conditions,
                above.names + rule.incoming + rule.outgoing,
                above.narrow or rule.narrow or bool(rule.incoming or rule.outgoing),
                above.unclear or rule.unclear,
                (*above.passed, *accepted) if _is_policy(rule) else tuple(passed),
                above.depth + 1,
                number if above.depth == 0 else above.position,
                above.clients + rule.clients,
            )
            let = Passed(here.conditions, not (here.unclear or here.narrow), here.names)
            inside: list[Passed] = []
            if rule.verdict in (DROP, LEAD):
                self.met.append(here)
            elif rule.verdict in (JUMP, GOTO) and here.depth < DEEPEST:
                inside = [] if rule.target.startswith(self._ours) else self._through(rule.target, here)
            elif rule.verdict == ACCEPT:
                inside = [let]
            elif rule.verdict != RETURN:
                inside = [Passed((), False, ())] if rule.unclear or rule.verdict else []
            passed += [let] if rule.verdict in (RETURN, GOTO) else inside  # neither comes back to this chain
            accepted += inside
        return accepted


def _is_policy(rule: Rule) -> bool:
    """It stands at the end of a hook's chain, and is for what left the chain otherwise, too."""
    return not rule.text
