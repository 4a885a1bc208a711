# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rule sets of peers, made larger: what one more container adds to them, written as often as one likes.

A peer that is called 10,000 times takes an hour, so its large rule sets are written out instead, after the pattern of
what its last call added to a small one. `Growth.between` finds that pattern in two outputs of iptables-save.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

CHAIN_LENGTH = 28  # <linux/netfilter/x_tables.h>: XT_EXTENSION_MAXNAMELEN, without the end of the string


@dataclass
class Table:
    """A table of iptables-save: its chains with policies, and the rules of each, without `-A CHAIN`."""

    policies: dict[str, str] = field(default_factory=dict)
    rules: dict[str, list[str]] = field(default_factory=dict)


Tables = dict[str, Table]


@dataclass(frozen=True)
class Marks:
    """The words by which the rules of one container are told from those of another."""

    address: str
    ports: tuple[int, ...]  # of the host
    identity: str = ""


def parse(text: str) -> Tables:
    tables: Tables = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:], Table())
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            table.policies[chain] = policy
            table.rules[chain] = []
        elif line.startswith("-A "):
            _verb, chain, rule = line.split(" ", 2)
            table.rules[chain].append(rule)
    return tables


def written(tables: Mapping[str, Table]) -> str:
    """What iptables-restore reads."""
    lines = []
    for name, table in tables.items():
        lines.append(f"*{name}")
        lines += [f":{chain} {policy} [0:0]" for chain, policy in table.policies.items()]
        lines += [f"-A {chain} {rule}" for chain, rules in table.rules.items() for rule in rules]
        lines.append("COMMIT")
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class Growth:
    """What one container added: by table and chain, the rules that came at its front and at its end."""

    marks: Marks
    chains: Mapping[str, Sequence[str]]
    front: Mapping[tuple[str, str], Sequence[str]]
    back: Mapping[tuple[str, str], Sequence[str]]

    @classmethod
    def between(cls, before: Tables, after: Tables, marks: Marks) -> Growth:
        chains, front, back = {}, {}, {}
        for name, table in after.items():
            old = before.get(name, Table())
            chains[name] = [chain for chain in table.policies if chain not in old.policies]
            for chain, rules in table.rules.items():
                known = old.rules.get(chain, [])
                if rules[: len(known)] == known:
                    back[name, chain] = rules[len(known) :]
                elif rules[-len(known) :] == known:
                    front[name, chain] = rules[: -len(known)]
                else:
                    raise ValueError(
                        f"{name} {chain}: the rules of a container are neither at its front nor at its end"
                    )
        return cls(marks, chains, _filled(front), _filled(back))

    def of(self, marks: Marks, suffix: str) -> Growth:
        """The same of another container; chains of its own get the suffix."""
        names = {chain: renamed(chain, suffix) for chains in self.chains.values() for chain in chains}
        words = {**names, self.marks.address: marks.address}
        words.update((str(old), str(new)) for old, new in zip(self.marks.ports, marks.ports, strict=True))
        if self.marks.identity:
            words[self.marks.identity] = marks.identity
        pattern = re.compile(r"(?<![\w.-])(" + "|".join(map(re.escape, words)) + r")(?![\w.-])")

        def put(text: str) -> str:
            return pattern.sub(lambda match: words[match[1]], text)

        def moved(places: Mapping[tuple[str, str], Sequence[str]]) -> dict[tuple[str, str], list[str]]:
            return {
                (table, names.get(chain, chain)): [put(rule) for rule in rules]
                for (table, chain), rules in places.items()
            }

        chains = {table: [names[chain] for chain in found] for table, found in self.chains.items()}
        return Growth(marks, chains, moved(self.front), moved(self.back))


def _filled(places: Mapping[tuple[str, str], Sequence[str]]) -> dict[tuple[str, str], Sequence[str]]:
    return {place: rules for place, rules in places.items() if rules}


def renamed(chain: str, suffix: str) -> str:
    return f"{chain[: CHAIN_LENGTH - len(suffix) - 1]}-{suffix}"


def grown(base: Tables, growth: Growth, containers: Iterable[Marks]) -> Tables:
    """A rule set with that many containers more, the last one last (or first, where new ones come first)."""
    tables = {
        name: Table(dict(table.policies), {chain: list(rules) for chain, rules in table.rules.items()})
        for name, table in base.items()
    }
    fronts: dict[tuple[str, str], list[Sequence[str]]] = {}
    for number, marks in enumerate(containers):
        one = growth.of(marks, str(number))
        for name, chains in one.chains.items():
            for chain in chains:
                tables[name].policies[chain] = "-"
                tables[name].rules[chain] = []
        for (name, chain), rules in one.back.items():
            tables[name].rules[chain] += rules
        for place, rules in one.front.items():
            fronts.setdefault(place, []).append(rules)
    for (name, chain), pieces in fronts.items():
        table = tables[name]
        table.rules[chain] = [rule for piece in reversed(pieces) for rule in piece] + table.rules[chain]
    return tables


def same_shape(one: Tables, other: Tables, chains_of_containers: str) -> bool:
    """Whether both hold the same rules in the same order, but for the names of chains that match the pattern."""
    return _canonical(one, chains_of_containers) == _canonical(other, chains_of_containers)


def _canonical(tables: Tables, pattern: str) -> list[str]:
    """The lines chain by chain in the order in which chains are jumped to, such chains numbered."""
    lines = []
    for name in sorted(tables):
        table = tables[name]
        lines.append(f"*{name}")
        numbers: dict[str, str] = {}
        waiting = sorted(chain for chain in table.policies if not re.fullmatch(pattern, chain))
        while waiting:
            chain = waiting.pop(0)
            for rule in table.rules[chain]:
                for target in re.findall(r"-[jg] (\S+)", rule):
                    if re.fullmatch(pattern, target) and target not in numbers:
                        numbers[target] = f"chain{len(numbers)}"
                        waiting.append(target)
                words = [numbers.get(word, word) for word in [chain, *rule.split(" ")]]
                lines.append(" ".join(words))
        unreached = sum(1 for chain in table.policies if re.fullmatch(pattern, chain) and chain not in numbers)
        lines.append(f"{unreached} that nothing leads to")
    return lines
