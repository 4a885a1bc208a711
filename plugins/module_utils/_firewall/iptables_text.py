# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What iptables-save prints of us, and what iptables-restore is told. Pure.

A place is ``<family> <table> <chain>``, the family being ip or ip6. Of a chain that is not ours only our jumps are.
Lines are written as iptables-save prints them, and compared in a normal form, since versions differ in what they leave
implicit.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Optional

from .._hostconfig import FirewallLines

PREFIX = "BRIDGEWORK-"
USER = "BRIDGEWORK-USER"  # the administrator's: made where it is missing, its rules are nobody else's business
USERS = f"{USER}-"  # what the names of further ones begin with that the administrator makes
TABLES = ("raw", "mangle", "filter", "nat")  # in the order of their transactions: what closes, then what leads in

WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\S)+')
# Nearly all rules are of this kind, and need not be cut into words.
PLAIN = re.compile(r"((?:-s \S+ )?(?:-d \S+ )?(?:-[io] \S+ )*-p (\w+)) -m \2( --dport \S+ -j \S+(?: --to-\S+ \S+)?)")


def parse(family: str, saved: str) -> FirewallLines:
    """Our lines in the output of iptables-save, each in its normal form; foreign ones are left out.

    The administrator's chain has none that are ours. It is not even there where only the administrator uses it.
    """
    found: dict[str, list[str]] = {}
    table = ""
    for line in saved.split("\n"):
        if line.startswith("-A "):
            _dash, chain, rule = (*line.split(" ", 2), "")[:3]
            if is_ours(table, chain, rule):
                found.setdefault(f"{family} {table} {chain}", []).append(normal(rule))
        elif line.startswith(":"):
            chain = line[1:].split(" ", 1)[0]
            if _is_ours(chain):
                found.setdefault(f"{family} {table} {chain}", [])
        elif line.startswith("*"):
            table = line[1:].strip()
    is_led_to = f"-j {USER}" in found.get(f"{family} filter FORWARD", ())
    if is_led_to or _is_user_chain_used(saved) is False:
        found[f"{family} filter {USER}"] = []
    return {place: tuple(lines) for place, lines in found.items()}


def is_ours(table: str, chain: str, rule: str) -> bool:
    """Whether a rule is one of ours; of the jumps to the administrator's chain only one is, others may be anybody's."""
    if chain.startswith(PREFIX):
        return _is_ours(chain)
    target = _target_of_ours(rule)
    return _is_ours(target) or (target == USER and (table, chain) == ("filter", "FORWARD"))


def _is_ours(chain: str) -> bool:
    """Whether a chain is, and not the administrator's."""
    return chain.startswith(PREFIX) and chain != USER and not chain.startswith(USERS)


def _target_of_ours(rule: str) -> str:
    """The chain of ours that a rule leads to, or nothing."""
    if PREFIX not in rule:
        return ""
    words = _words(rule)
    pairs = zip(words, words[1:])
    return next((target for word, target in pairs if word in ("-j", "-g") and target.startswith(PREFIX)), "")


def normal(rule: str) -> str:
    """A rule with what iptables adds on its own taken out: modules of protocols."""
    plain = PLAIN.fullmatch(rule)
    if plain:
        return plain[1] + plain[3]
    words = _words(rule)
    protocols = {words[i + 1] for i, word in enumerate(words[:-1]) if word == "-p"}
    kept = []
    skip = False
    for i, word in enumerate(words):
        if skip:
            skip = False
        elif word == "-m" and i + 1 < len(words) and words[i + 1] in protocols:
            skip = True
        else:
            kept.append(word)
    return " ".join(kept)


def _words(rule: str) -> list[str]:
    """The words of a rule as they are written, quotes included: iptables' quoting is not the shell's."""
    return WORD.findall(rule) if '"' in rule else rule.split()


def with_user_chain(
    family: str, wanted: FirewallLines, present: FirewallLines, saved: Callable[[], str]
) -> FirewallLines:
    """What is present, with the administrator's chain only where it is to be seen as ours.

    One that is there already needs not be made, and one that is used stays when we go. Only where it would come or go
    is asked for what iptables-save prints.
    """
    place = f"{family} filter {USER}"
    if (place in wanted) == (place in present):
        return present
    is_used = _is_user_chain_used(saved())
    if place in wanted:
        return present if is_used is None else {**present, place: ()}
    return {each: lines for each, lines in present.items() if each != place} if is_used else present


def _is_user_chain_used(saved: str) -> bool | None:
    """Whether the administrator's chain has rules, or is led to by more than our jump; None where there is none."""
    rules = saved.partition("*filter\n")[2].partition("\nCOMMIT")[0].split("\n")
    lines = [line for line in rules if f"{USER} " in f"{line} "]
    if not any(line.startswith(f":{USER} ") for line in lines):
        return None
    return any(not line.startswith((f":{USER} ", "-A FORWARD ")) for line in lines)


def transaction(wanted: FirewallLines, present: FirewallLines) -> str:
    """The input of iptables-restore --noflush that turns our present lines into the wanted ones, chain by chain."""
    tables: dict[str, list[str]] = defaultdict(list)
    differing = [place for place in sorted({*wanted, *present}) if wanted.get(place) != present.get(place)]
    for write in (_begun, _filled, _ended):  # a chain is there before anything leads to it, and after nothing does
        for place in differing:
            _family, table, chain = place.split(" ")
            tables[table] += write(chain, wanted.get(place), present.get(place))
    return "".join("\n".join([f"*{table}", *tables[table], "COMMIT", ""]) for table in TABLES if table in tables)


Lines = Optional[tuple[str, ...]]


def _begun(chain: str, wanted: Lines, present: Lines) -> Iterable[str]:
    if chain == USER:
        return [f"-N {chain}"] if present is None else []
    return [f":{chain} - [0:0]"] if chain.startswith(PREFIX) else []  # also empties a chain that is there


def _filled(chain: str, wanted: Lines, present: Lines) -> Iterable[str]:
    if chain.startswith(PREFIX):
        return [f"-A {chain} {line}" for line in wanted or ()]
    gone = [f"-D {chain} {line}" for line in present or ()]
    return gone + [f"-I {chain} 1 {line}" for line in reversed(wanted or ())]


def _ended(chain: str, wanted: Lines, present: Lines) -> Iterable[str]:
    return [f"-X {chain}"] if chain.startswith(PREFIX) and wanted is None else []
