# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall by the commands of iptables: one read and one transaction for each family.

Beside it: what chains there are (``iptables_chains``), how many ports are found quickly (``iptables_tree``), and how
that is read and written (``iptables_text``).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from .._errors import HostError, KernelError
from .._hostconfig import FirewallLines
from . import iptables_chains
from .iptables_chains import FAMILIES, IPV4, Family
from .iptables_kinds import is_of_nf_tables
from .iptables_text import USER, parse, transaction, with_user_chain
from .neighbours import LEGACY_FILTER
from .ruleset import PortRule, Ruleset
from .tools import find, older_tables, run

LOCK_SECONDS = 10  # how long to wait for another program's hold on the xtables lock
# What libxtables/xtables.c says of an extension that the kernel lacks, and of one that it lacks itself.
LACKING = re.compile(r"Extension (\S+) revision \d+ not supported|Couldn't load (?:match|target) `([^']+)'")
LINE = re.compile(r"\bline:? (\d+)")
# The families in the hands of each of the two kinds of iptables, whichever the host's commands are of.
OTHERS = {
    kind: tuple(replace(family, name=f"{family.name}-{kind}", tools=f"{family.tools}-{kind}") for family in FAMILIES)
    for kind in ("legacy", "nft")
}
EVERY = (*FAMILIES, *OTHERS["legacy"], *OTHERS["nft"])
ELSE = ", or set firewall_backend to nftables"


class Iptables:
    """The backend for iptables, whichever of its two kinds the host's commands are."""

    users_chain = f"the chain {USER} of iptables"

    def __init__(self) -> None:
        self._is_legacy = False  # as far as the commands have said

    @property
    def stands_before(self) -> Collection[tuple[str, str]]:
        """The chains of the kind of iptables that the host's commands are."""
        table = "filter" if self._is_nft() else LEGACY_FILTER
        return frozenset((f"{family.name} {table}", "FORWARD") for family in FAMILIES)

    def owns(self, place: str) -> bool:
        return any(family.owns(place) for family in EVERY)

    def require(self, lines: FirewallLines) -> None:
        for family in FAMILIES:
            if any(map(family.owns, lines)):
                _require(family)

    def render(self, rulesets: Iterable[Ruleset]) -> FirewallLines:
        families = {family.version: family for family in FAMILIES}
        places: dict[str, tuple[str, ...]] = {}
        for ruleset in rulesets:
            places.update(iptables_chains.render(families[ruleset.version], ruleset))
        return places

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        found: dict[str, tuple[str, ...]] = {}
        for family in FAMILIES:
            path = find(family.save)
            # Most hosts have no network with IPv6, and need not start another process to know.
            is_in_use = places is None or family is IPV4 or any(map(family.owns, places))
            if path is not None and is_in_use:
                saved = _run([path], "")
                self._is_legacy |= not is_of_nf_tables(saved)
                found.update(parse(family.name, saved))
        return {**found, **self._left_behind()}

    def _left_behind(self) -> FirewallLines:
        """Ours of the kind that the host's commands were of before they were of another."""
        found: dict[str, tuple[str, ...]] = {}
        kind = "legacy" if self._is_nft() else "nft"
        for plain, family in zip(FAMILIES, OTHERS[kind]):
            path = find(family.save)
            if path is not None and (kind == "nft" or older_tables(plain.name)):
                with suppress(KernelError):  # the host gets along without that command
                    saved = _run([path], "")
                    if is_of_nf_tables(saved) == (kind == "nft"):
                        found.update(parse(family.name, saved))
        return found

    def has_users_rules(self) -> bool:
        found = (_save_filter(family) for family in FAMILIES if find(family.save) is not None)
        return any(line.startswith(f"-A {USER} ") for saved in found for line in saved.split("\n"))

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        return frozenset().union(*(iptables_chains.published(family, _of(family, lines)) for family in FAMILIES))

    def _is_nft(self) -> bool:
        """Whether the rules of the host's commands are nf_tables'; those of the older kind are not."""
        return not self._is_legacy and all(
            "nft" in os.path.basename(os.path.realpath(find(family.save) or "nft")) for family in FAMILIES
        )

    def rehearse(self, wanted: FirewallLines, present: FirewallLines) -> None:
        """Raise KernelError where what is to be done would be refused, as far as that is told beforehand."""
        for family in FAMILIES:
            after, before = _of(family, wanted), _of(family, present)
            if after == before:
                continue
            _require(family)
            # The older kind makes the tables that it is asked about.
            tables = {place.split(" ")[1] for place in (*after, *before)}
            if tables.issubset(older_tables(family.name)) or _is_newer(family):
                for command, script in _transaction(family, after, before):
                    _run([*command, "--test"], script, warned=True)

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> int | None:
        scripts = []
        for family in EVERY:
            after, before = _of(family, wanted), _of(family, present)
            if after != before:
                _require(family)
                scripts += _transaction(family, after, before)
        # The first is tried by carrying it out.
        for command, script in scripts[1:]:
            _run([*command, "--test"], script)
        for command, script in scripts:
            _run(command, script)
        # A transaction a table.
        is_counted = self._is_nft() and not any(other.owns(place) for other in OTHERS["legacy"] for place in present)
        return sum(script.count("\nCOMMIT\n") for _command, script in scripts) if is_counted else None


def _is_newer(family: Family) -> bool:
    return "(nf_tables)" in run([str(find(family.restore)), "--version"]).stdout


def _transaction(family: Family, wanted: FirewallLines, present: FirewallLines) -> list[tuple[list[str], str]]:
    """What is to be carried out, and by which command; nothing where nothing is."""
    script = transaction(wanted, with_user_chain(family.name, wanted, present, partial(_save_filter, family)))
    return [([str(find(family.restore)), "--noflush", "-w", str(LOCK_SECONDS)], script)] if script else []


def _of(family: Family, lines: FirewallLines) -> FirewallLines:
    return {place: texts for place, texts in lines.items() if family.owns(place)}


def _save_filter(family: Family) -> str:
    return _run([str(find(family.save)), "-t", "filter"], "")


def _require(family: Family) -> None:
    for tool in (family.save, family.restore):
        if find(tool) is None:
            raise HostError(f'firewall_backend "iptables": the command {tool} is missing; install the package iptables')


def _run(command: list[str], script: str, warned: bool = False) -> str:
    """Raises KernelError where it fails; where ``warned``, also where it only warns that the kernel lacks something."""
    result = run(command, script)
    if result.returncode != 0 or (warned and LACKING.search(result.stderr)):
        raise KernelError(f"{os.path.basename(command[0])}{_complaint(result, script)}")
    return result.stdout


def _complaint(result: subprocess.CompletedProcess[str], script: str) -> str:
    """What a tool has against its input, or whatever else it fails for."""
    reason = " ".join(result.stderr.split()) or f"exit code {result.returncode}"
    if "xtables lock" in reason:
        return (
            f": another program has held the lock /run/xtables.lock for {LOCK_SECONDS} seconds; see which one it is "
            "(fuser /run/xtables.lock), and run the task again"
        )
    if not result.args[1:]:
        return f" failed: {reason}; see that it works when run by hand"
    lacking = LACKING.search(reason)
    if lacking and lacking[1]:
        return f': this kernel lacks "{lacking[1]}", which our rules need; load the module xt_{lacking[1]}{ELSE}'
    if lacking:
        return f': the extension "{lacking[2]}" of iptables is missing; install the whole package iptables{ELSE}'
    return f" refused the rule set: {reason}{_rule_in(script, reason)}"


def _rule_in(script: str, reason: str) -> str:
    """The rule that a complaint is about, as far as it says which."""
    line, lines = LINE.search(reason), script.split("\n")
    number = int(line[1]) if line else 0
    return f" ({lines[number - 1]})" if 0 < number <= len(lines) and lines[number - 1].startswith("-") else ""
