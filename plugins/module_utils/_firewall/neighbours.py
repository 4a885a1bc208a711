# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of others that stop what ours let through.

A packet passes all chains of a hook, whoever made them, and has to be accepted in each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from . import nft
from .tools import find, older_tables, run

FAMILIES = {"ip": {4}, "ip6": {6}, "inet": {4, 6}}
OURS = "bridgework"
LEGACY_FILTER = "filter (legacy)"  # of the older kind of iptables, which the newer kind's rules don't come before
HOOK = re.compile(r"type filter hook forward priority .*?;(?: policy (\w+);)?")
FINAL = re.compile(r"(?:counter (?:packets \d+ bytes \d+ )?)?((?:drop|reject\b[^#]*?) *)(?:#.*)?")
LEGACY_FINAL = re.compile(r"-A FORWARD -j ((?:DROP|REJECT)\b.*)")
LEGACY_NAME = re.compile(r" -[io] (\S+)")
OUR_JUMP = re.compile(r"(?:jump|-j) BRIDGEWORK-\S+")
# What prints the tables of the older kind of iptables, which nft knows nothing of.
LEGACY = {
    "ip": ("iptables-legacy-save", "iptables-save"),
    "ip6": ("ip6tables-legacy-save", "ip6tables-save"),
}
NAME = re.compile(r'"([^"]*)"')
BY_SET = re.compile(r"\b[io]ifname (?:\S+ )?[@$]|\b[io]if @")


class Barrier(NamedTuple):
    """A chain of somebody's that all forwarded packets pass, and what becomes there of those that nobody names.

    ``names`` are the interfaces that its table names, which may end in ``*``. ``overtakes``: it comes before our rules
    in a chain in which these come first.
    """

    table: str
    chain: str
    end: str
    names: tuple[str, ...]
    overtakes: bool = False


def fitting_backend() -> str:
    """The name of the backend that a host is to have that is new to us."""
    if find("nft") is None:
        return "iptables"
    return "iptables" if find("iptables-restore") and any(map(is_in_use, _forward_chains())) else "nftables"


def read_barriers() -> list[Barrier]:
    """All of the host's."""
    native = [
        barrier
        for table, chains in _foreign_tables(nft.show("list", "chains"))
        if any(HOOK.search(chain) for chain in chains)
        for barrier in find_barriers(table, nft.show("-t", "list", "table", *table.split(" ")))
    ]
    return [*native, *(each for family in LEGACY for each in find_legacy_barriers(family, _legacy_filter(family)))]


def objections(barriers: Iterable[Barrier], devices: Mapping[str, Iterable[int]]) -> list[str]:
    """What to tell the user, a line each. ``devices``: ours, with the families that they forward."""
    found = []
    for barrier in barriers:
        families = FAMILIES[barrier.table.partition(" ")[0]]
        stopped = [
            device
            for device, versions in sorted(devices.items())
            if not families.isdisjoint(versions) and not any(_covers(name, device) for name in barrier.names)
        ]
        if stopped:
            found.append(
                f"firewall: chain {barrier.chain} of the table {barrier.table} {barrier.end}, which stops what is to "
                f"pass {', '.join(stopped)}; {_remedy(barrier, stopped)}"
            )
    return found


def _remedy(barrier: Barrier, devices: Collection[str]) -> str:
    if barrier.overtakes:
        return "put that rule behind the jump to BRIDGEWORK-FORWARD"
    if barrier.table.endswith(" firewalld"):
        options = " ".join(f"--add-interface={device}" for device in devices)
        return f"see to it with: firewall-cmd --permanent --zone=trusted {options} && firewall-cmd --reload"
    accept = "accept these interfaces there, in both directions"
    if (barrier.table.partition(" ")[2], barrier.chain) == ("filter", "FORWARD"):
        return f"set firewall_backend to iptables, or {accept}"
    return accept


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
    for family in LEGACY:
        listed = [body for _name, body in _chains(nft.show("list", "chain", family, "filter", "FORWARD"))]
        yield from ([line.strip() for line in body.split("\n") if line.strip()] for body in listed)
        saved = _legacy_filter(family).splitlines()
        yield [line for line in saved if line.startswith((":FORWARD ", "-A FORWARD "))]


def is_in_use(chain: list[str]) -> bool:
    """Whether it drops what nobody lets through, or has a rule that isn't ours."""
    policy, *rules = chain or [""]
    return re.search(r"policy drop|FORWARD DROP", policy) is not None or any(
        not OUR_JUMP.search(rule) for rule in rules
    )


def _legacy_filter(family: str) -> str:
    """The table filter of the older kind of iptables; nothing where there is none."""
    if "filter" not in older_tables(family):
        return ""
    commands = LEGACY[family]
    return run([next(filter(find, commands), commands[-1]), "-t", "filter"]).stdout


def _foreign_tables(listing: str) -> Iterator[tuple[str, list[str]]]:
    """Names of others' tables, each with its chains' bodies, of a listing of tables."""
    for part in re.split(r"(?m)^table ", listing)[1:]:
        table = part.partition(" {")[0]
        family, _space, name = table.partition(" ")
        if family in FAMILIES and name != OURS:
            yield table, [body for _name, body in _chains(part)]


def _chains(listing: str) -> Iterator[tuple[str, str]]:
    """Chains by their names, each with the lines in it."""
    for found in re.finditer(r"(?m)^\tchain (\S+) \{.*\n((?:\t\t.*\n|\n)*)\t\}", listing):
        yield found.group(1), found.group(2)


def _covers(name: str, device: str) -> bool:
    return device.startswith(name[:-1]) if name.endswith("*") else name == device
