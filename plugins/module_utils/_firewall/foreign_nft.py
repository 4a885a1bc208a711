# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of others as nft prints them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .foreign_rules import ADDRESS, DROP, GOTO, JUMP, LEAD, PORT, PROTOCOL, SOURCE, Draft, Rule, understood

COUNTER = re.compile(r"\bcounter(?: packets \d+ bytes \d+)?(?= |$)")
BLANKS = re.compile(r" {2,}")
VALUE = r'(!= )?(\{[^}]*\}|"[^"]*"|(?!\. )[^\s{"@$]+)(?= |$)'
NFT = {
    PROTOCOL: re.compile(rf"(?:meta l4proto|ip protocol|ip6 nexthdr) {VALUE}"),
    PORT: re.compile(rf"(tcp|udp|sctp|th) dport {VALUE}"),
    ADDRESS: re.compile(rf"(ip6?) daddr {VALUE}"),
    SOURCE: re.compile(rf"(ip6?) saddr {VALUE}"),
    "interface": re.compile(rf"([io])if(?:name)? {VALUE}"),
    "type": re.compile(rf"fib daddr(?: \. iif)? type {VALUE}"),
    "state": re.compile(rf"ct state {VALUE}"),
    "comment": re.compile(r'comment "[^"]*"|# .*'),
}
JUMPS = {"jump": JUMP, "goto": GOTO}
EVERY = {"ip": "0.0.0.0/0", "ip6": "::/0"}
NFT_VERDICT = re.compile(
    r"(?:^|.* )(?:(accept|drop|return)|(reject)\b.*|(jump|goto) (\S+)|"
    r"(?:dnat|redirect|tproxy|xt target \"?(?:DNAT|REDIRECT|TPROXY)\b)(.*))(?: comment \"[^\"]*\")?(?: # .*)?"
)


def read_nft(lines: Iterable[str]) -> list[Rule]:
    """The rules of a chain in the words of nft."""
    texts = (BLANKS.sub(" ", COUNTER.sub("", line)).strip() for line in lines)
    return [rule for text in texts if text for rule in understood(_nft_rule, text)]


def _nft_rule(text: str) -> Rule:
    draft, offset = Draft(), 0
    verdict = NFT_VERDICT.fullmatch(text)
    while offset < len(text):
        for kind, pattern in NFT.items():
            match = pattern.match(text, offset)
            if match is not None:
                try:
                    _add_nft(draft, kind, match)
                except ValueError:
                    draft.unclear = True
                offset = match.end() + 1
                break
        else:
            break
    said, rejects, goes, chain, led = verdict.groups() if verdict else ("", None, None, None, None)
    rest = text[offset:]
    statement = re.match(r"accept|drop|return|reject|jump|goto|dnat|redirect|tproxy|xt target", rest)
    # Something stands between the conditions that were understood and the verdict, or depends on a map.
    draft.unclear |= statement is None or " map " in rest
    if led is not None:
        return draft.rule(text, LEAD)
    return draft.rule(text, DROP if rejects else JUMPS[goes] if goes else said or "", chain or "")


def _add_nft(draft: Draft, kind: str, match: re.Match[str]) -> None:
    if kind == "comment":
        return
    *before, negation, value = match.groups()
    values = [each.strip().strip('"') for each in value.strip("{}").split(",")]
    if before and before[0] in EVERY:
        draft.add(ADDRESS, [EVERY[before[0]]])
    if kind == PORT and before[0] != "th":
        draft.add(PROTOCOL, before)
    draft.add(before[0] if kind == "interface" else kind, values, negation is not None)
