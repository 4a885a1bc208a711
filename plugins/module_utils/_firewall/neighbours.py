# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of others that stop what ours let through, or take it elsewhere.

A packet passes all chains of a hook, whoever made them, and has to be accepted in each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Callable

from . import nft
from .barriers import FAMILIES, Barrier
from .detours import Detour, detours_of
from .foreign_nft import read_nft
from .foreign_rules import DROP, JUMP, Met, Rule, Walk
from .iptables_foreign import read_iptables
from .iptables_kinds import OLDER_SAVE, save_older
from .ruleset import is_loopback
from .tools import find

OURS = "bridgework"
OUR_CHAINS = "BRIDGEWORK-"
MOST_DETOURS = 1000
LEGACY_FILTER = "filter (legacy)"  # of the older kind of iptables, which the newer kind's rules don't come before
HOOK = re.compile(r"type filter hook forward priority .*?;(?: policy (\w+);)?")
EARLY_HOOK = re.compile(r"type (?:filter|nat) hook prerouting priority .*?;(?: policy (\w+);)?")
FINAL = re.compile(r"(?:counter (?:packets \d+ bytes \d+ )?)?((?:drop|reject\b[^#]*?) *)(?:#.*)?")
LEGACY_FINAL = re.compile(r"-A FORWARD -j ((?:DROP|REJECT)\b.*)")
LEGACY_NAME = re.compile(r" -[io] (\S+)")
OUR_JUMP = re.compile(r"(?:jump|-j) BRIDGEWORK-\S+")
NAME = re.compile(r'"([^"]*)"')
BY_SET = re.compile(r"\b[io]ifname (?:\S+ )?[@$]|\b[io]if @")


def fitting_backend() -> str:
    """The name of the backend that a host is to have that is new to us."""
    if find("nft") is None:
        return "iptables"
    return "iptables" if find("iptables-restore") and any(map(is_in_use, _forward_chains())) else "nftables"


def read_neighbours(local: Iterable[str]) -> tuple[list[Barrier], list[Detour]]:
    """All of the host's; ``local`` are its addresses."""
    addresses = [each for each in local if not is_loopback(each)]
    barriers: list[Barrier] = []
    detours: list[Detour] = []
    found = [*_native(addresses), *(find_legacy(family, save_older(family), addresses) for family in OLDER_SAVE)]
    for more_barriers, more_detours in found:
        barriers += more_barriers
        detours += more_detours
    return barriers, detours[:MOST_DETOURS]


def _native(local: Collection[str]) -> Iterator[tuple[list[Barrier], list[Detour]]]:
    """Those of nf_tables."""
    for table, chains in _foreign_tables(nft.show("list", "chains")):
        words = ("-t", "list", "table", *table.split(" "))
        early = [name for name, body in chains.items() if EARLY_HOOK.search(body)]
        if any(HOOK.search(body) for body in chains.values()) or (
            early and not any(name.startswith(OUR_CHAINS) for name in chains)
        ):
            yield find_native(table, nft.show(*words), local)
        else:
            # There may be thousands of rules of ours beside these.
            yield from (_early(table, chain, _reader(table, None), local) for chain in early)


def find_native(table: str, listing: str, local: Collection[str]) -> tuple[list[Barrier], list[Detour]]:
    """Those in the listing of a table of nf_tables."""
    barriers, detours = [*find_barriers(table, listing)], []
    bodies = dict(_chains(listing))
    rules_of = _reader(table, bodies)
    for chain, body in bodies.items():
        if HOOK.search(body):
            barriers += _named(table, chain, rules_of)
        elif EARLY_HOOK.search(body):
            found = _early(table, chain, rules_of, local)
            barriers += found[0]
            detours += found[1]
    return barriers, detours


def find_legacy(family: str, saved: str, local: Collection[str]) -> tuple[list[Barrier], list[Detour]]:
    """Those of the older kind of iptables, in what iptables-save prints of it."""
    barriers = [*find_legacy_barriers(family, _section(saved, "filter"))]
    detours: list[Detour] = []
    for name, chains in read_iptables(saved).items():
        table = f"{family} {name} (legacy)"

        def rules_of(chain: str, chains: Mapping[str, list[Rule]] = chains) -> list[Rule]:
            return chains.get(chain, [])

        if name == "filter":
            barriers += _named(table, "FORWARD", rules_of)
        found = _early(table, "PREROUTING", rules_of, local)
        barriers += found[0]
        detours += found[1]
    return barriers, detours


def _reader(table: str, bodies: Mapping[str, str] | None) -> Callable[[str], list[Rule]]:
    """The rules of a chain by its name, from a listing of the whole table, or read one by one."""

    @cache
    def rules_of(chain: str) -> list[Rule]:
        one = bodies is None
        listed = dict(_chains(nft.show("-t", "list", "chain", *table.split(" "), chain))) if one else bodies or {}
        lines = [line.strip() for line in listed.get(chain, "").split("\n")]
        hook = HOOK.search(lines[0]) or EARLY_HOOK.search(lines[0])
        rules = read_nft(line for line in lines if not line.startswith("type "))
        return [*rules, Rule("", DROP)] if hook and hook.group(1) == "drop" else rules

    return rules_of


def _early(
    table: str, chain: str, rules_of: Callable[[str], list[Rule]], local: Collection[str]
) -> tuple[list[Barrier], list[Detour]]:
    """What a chain does to packets before it is known where they lead."""
    way = Walk(rules_of, OUR_CHAINS)
    way.through(chain)
    barriers = [*_named(table, chain, rules_of)]
    for each in way.met:
        drops_all = each.depth == 1 and each.rule.verdict == DROP and not (each.conditions or each.narrow)
        if drops_all and not each.unclear and all(passed.names for passed in each.passed):
            end = f'ends in "{each.rule.text}"' if each.rule.text else "has the policy drop"
            barriers.append(Barrier(table, chain, end, tuple(name for passed in each.passed for name in passed.names)))
    return barriers, [*detours_of(table, chain, way.met, local)]


def _named(table: str, chain: str, rules_of: Callable[[str], list[Rule]]) -> Iterator[Barrier]:
    """Rules that drop all that comes in or goes out by interfaces that they name."""
    way = Walk(rules_of, OUR_CHAINS)
    way.through(chain)
    ours = next((number for number, rule in enumerate(rules_of(chain)) if _is_our_jump(rule)), 0)
    for each in way.met:
        if _is_about_names(each) and all(passed.names for passed in each.passed):
            spared = {name for passed in each.passed for name in passed.names}
            yield Barrier(
                table,
                chain,
                f'has "{each.rule.text}"' + (" before our rules" if each.position < ours else ""),
                tuple(sorted(spared)),
                each.position < ours,
                each.rule.incoming + each.rule.outgoing,
            )


def _is_about_names(met: Met) -> bool:
    rule = met.rule
    is_all = not (met.conditions or rule.narrow or met.unclear)
    return met.depth == 1 and rule.verdict == DROP and is_all and bool(rule.incoming) != bool(rule.outgoing)


def _is_our_jump(rule: Rule) -> bool:
    return rule.verdict == JUMP and rule.target.startswith(OUR_CHAINS)


def _section(saved: str, table: str) -> str:
    """What iptables-save prints of one table."""
    return "".join(f"*{part}" for part in re.split(r"(?m)^\*", saved)[1:] if part.startswith(f"{table}\n"))


def find_barriers(table: str, listing: str) -> Iterator[Barrier]:
    """Those in the listing of a table. One that looks interfaces up in a set may know ours."""
    if BY_SET.search(listing):
        return
    names = tuple(dict.fromkeys(NAME.findall(listing)))
    for chain, body in _chains(listing):
        hook = HOOK.search(body)
        if hook is None:
            continue
        rules = [line.strip() for line in body.split("\n")[1:] if line.strip()]
        yield from _overtaking(table, chain, rules, FINAL, NAME)
        final = FINAL.fullmatch(rules[-1]) if rules else None
        if hook.group(1) == "drop":
            yield Barrier(table, chain, "has the policy drop", names)
        elif final is not None:
            yield Barrier(table, chain, f'ends in "{final.group(1).strip()}"', names)


def find_legacy_barriers(family: str, saved: str) -> Iterator[Barrier]:
    """The chain FORWARD in what iptables-save prints, where it is one."""
    lines = saved.splitlines()
    rules = [line for line in lines if line.startswith("-A FORWARD ")]
    names = tuple(dict.fromkeys(name.replace("+", "*") for name in LEGACY_NAME.findall(saved)))
    yield from _overtaking(f"{family} {LEGACY_FILTER}", "FORWARD", rules, LEGACY_FINAL, LEGACY_NAME)
    if any(line.startswith(":FORWARD DROP") for line in lines):
        yield Barrier(f"{family} {LEGACY_FILTER}", "FORWARD", "has the policy drop", names)
    elif rules and LEGACY_FINAL.fullmatch(rules[-1]):
        yield Barrier(f"{family} {LEGACY_FILTER}", "FORWARD", f'ends in "{rules[-1]}"', names)


def _overtaking(
    table: str, chain: str, rules: list[str], final: re.Pattern[str], name: re.Pattern[str]
) -> Iterator[Barrier]:
    """A rule for all packets that came to stand before our jump."""
    ours = next((number for number, rule in enumerate(rules) if OUR_JUMP.search(rule)), 0)
    early = next(filter(None, map(final.fullmatch, rules[:ours])), None)
    if early is not None:
        names = tuple(dict.fromkeys(each for rule in rules[:ours] for each in name.findall(rule)))
        yield Barrier(table, chain, f'has "{early.group(1).strip()}" before our rules', names, overtakes=True)


def _forward_chains() -> Iterator[list[str]]:
    """Policy and rules of each chain FORWARD that there is, of both kinds of iptables. Looking makes none."""
    for family in OLDER_SAVE:
        listed = [body for _name, body in _chains(nft.show("list", "chain", family, "filter", "FORWARD"))]
        yield from ([line.strip() for line in body.split("\n") if line.strip()] for body in listed)
        saved = _section(save_older(family), "filter").splitlines()
        yield [line for line in saved if line.startswith((":FORWARD ", "-A FORWARD "))]


def is_in_use(chain: list[str]) -> bool:
    """Whether it drops what nobody lets through, or has a rule that isn't ours."""
    policy, *rules = chain or [""]
    return re.search(r"policy drop|FORWARD DROP", policy) is not None or any(
        not OUR_JUMP.search(rule) for rule in rules
    )


def _foreign_tables(listing: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Names of others' tables, each with its chains' bodies, of a listing of tables."""
    for part in re.split(r"(?m)^table ", listing)[1:]:
        table = part.partition(" {")[0]
        family, _space, name = table.partition(" ")
        if family in FAMILIES and name != OURS:
            yield table, dict(_chains(part))


def _chains(listing: str) -> Iterator[tuple[str, str]]:
    """Chains by their names, each with the lines in it."""
    for found in re.finditer(r"(?m)^\tchain (\S+) \{.*\n((?:\t\t.*\n|\n)*)\t\}", listing):
        yield found.group(1), found.group(2)
