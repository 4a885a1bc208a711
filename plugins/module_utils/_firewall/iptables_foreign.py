# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of others as iptables-save prints them. Pure."""

from __future__ import annotations

import shlex

from .foreign_rules import (
    ACCEPT,
    ADDRESS,
    DROP,
    GOTO,
    JUMP,
    LEAD,
    PORT,
    PROTOCOL,
    RETURN,
    SOURCE,
    SOURCE_PORT,
    Draft,
    Rule,
    understood,
)

VERDICTS = {
    "ACCEPT": ACCEPT,
    "DROP": DROP,
    "REJECT": DROP,
    "RETURN": RETURN,
    **dict.fromkeys(("DNAT", "REDIRECT", "TPROXY"), LEAD),
}
OPTIONS = {
    "-p": PROTOCOL,
    "-d": ADDRESS,
    "-s": SOURCE,
    "--sport": SOURCE_PORT,
    "--sports": SOURCE_PORT,
    "--dport": PORT,
    "--dports": PORT,
    "--dst-type": "type",
    "--ctstate": "state",
    "--state": "state",
}
TRANSPARENT = ("tcp", "udp", "sctp", "comment", "addrtype", "conntrack", "state", "multiport")  # matches known here


def read_iptables(saved: str) -> dict[str, dict[str, list[Rule]]]:
    """What iptables-save prints: tables with their chains; those that drop by policy end in a rule that does."""
    found: dict[str, dict[str, list[Rule]]] = {}
    chains: dict[str, list[Rule]] = {}
    policies: list[list[Rule]] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            chains = found.setdefault(line[1:], {})
        elif line.startswith(":"):
            name, _space, policy = line[1:].partition(" ")
            rules = chains.setdefault(name, [])
            if policy.startswith("DROP"):
                policies.append(rules)
        elif line.startswith("-A "):
            chains.setdefault(line.split(" ", 2)[1], []).extend(understood(_iptables_rule, line))
    for rules in policies:
        rules.append(Rule("", DROP))
    return found


def _iptables_rule(line: str) -> Rule:
    draft, verdict, target = Draft(), "", ""
    try:
        words = shlex.split(line)[2:]
    except ValueError:
        words = ["-m", "?"]
    negated = False
    while words:
        option = words.pop(0)
        if option == "!":
            negated = True
            continue
        value = words.pop(0) if words else ""
        try:
            if option in ("-j", "-g"):
                verdict = GOTO if option == "-g" else VERDICTS.get(value, JUMP)
                target = value if verdict in (JUMP, GOTO) else ""
                break
            _add_iptables(draft, option, value, negated)
        except ValueError:
            draft.unclear = True
        negated = False
    return draft.rule(line, verdict, target)


def _add_iptables(draft: Draft, option: str, value: str, negated: bool) -> None:
    values = value.lower().split(",")
    if option in ("-i", "-o"):
        draft.add(option[1], [value.replace("+", "*")], negated)
    elif option == "-m":
        draft.unclear |= value not in TRANSPARENT
    elif option != "--comment":
        if option not in OPTIONS:
            raise ValueError(option)
        draft.add(OPTIONS[option], values, negated)
