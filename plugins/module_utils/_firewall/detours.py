# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of others that lead what is for a published port elsewhere, or drop it, before it is looked up. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Callable, NamedTuple

from .._errors import listed, quoted
from .._model import PROTOCOLS, WILDCARDS, PortMapping, version_of
from .._state import Mappings, port_place
from .barriers import FAMILIES
from .foreign_rules import ADDRESS, LEAD, LOCAL, PORT, PROTOCOL, Condition, Met
from .ruleset import is_loopback

FEW = 512  # ports that are looked up one by one
MOST = 64  # conditions by which others are let pass


class Detour(NamedTuple):
    """A rule, and what is let pass before it: each the conditions that all have to be met.

    ``clients`` says in words whose packets it is for; of all where it is empty.
    """

    table: str
    chain: str
    text: str
    drops: bool
    conditions: tuple[Condition, ...]
    spared: tuple[tuple[Condition, ...], ...]
    clients: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        rule = f"the rule {quoted(self.text)}" if self.text else "the policy drop"
        return f"{rule} of the chain {self.chain} of the table {self.table}"


def detours_of(table: str, chain: str, met: Iterable[Met], local: Collection[str]) -> Iterator[Detour]:
    """What is worth remembering: not what depends on what isn't understood, or drops packets of some clients only."""
    for each in met:
        leads = each.rule.verdict == LEAD
        # What goes round within the host says nothing about clients.
        passed = [one for one in each.passed if {*one.names} != {"lo"}]
        spared = tuple(one.conditions for one in passed if one.surely or not leads)
        known = not each.unclear and (leads or not each.narrow) and {*each.names} != {"lo"}
        if known and len(spared) <= MOST and _is_for(each.conditions, local):
            yield Detour(table, chain, each.rule.text, not leads, each.conditions, spared, each.clients)


def objections(detours: Iterable[Detour], mappings: Mappings, addresses: Callable[[], Collection[str]]) -> list[str]:
    """What to tell the user, a line each. ``addresses``: the host's."""
    found, local = [], cache(addresses)
    for each in detours:
        taken = [mapping for mapping in _candidates(each, mappings) if _takes(each, mapping, local)]
        ports = listed([f"{mapping.shown} of container {quoted(mapping.container)}" for mapping in sorted(taken)])
        if taken and each.drops:
            found.append(f"firewall: {each.said} stops what is for {ports}; accept that before it, or take it away")
        elif taken:
            what = " and ".join((*each.clients, f"is for {ports}"))
            found.append(f"firewall: {each.said} leads elsewhere what {what}; take it away, or publish another port")
    return found


def _is_for(conditions: Iterable[Condition], local: Collection[str]) -> bool:
    return all(
        kind != ADDRESS or any(_fits((kind, values), "", each, 0) for each in local) for kind, values in conditions
    )


def _candidates(detour: Detour, mappings: Mappings) -> Iterable[PortMapping]:
    for kind, values in detour.conditions:
        ranges = _ranges(values)
        if kind == PORT and sum(last - first + 1 for first, last in ranges) <= FEW:
            numbers = (number for first, last in ranges for number in range(first, last + 1))
            places = (port_place(protocol, number) for number in numbers for protocol in PROTOCOLS)
            return {mapping.key: mapping for place in places for mapping in mappings.at(place)}.values()
    return mappings.values()


def _takes(detour: Detour, mapping: PortMapping, local: Callable[[], Collection[str]]) -> bool:
    version = version_of(mapping.host_ip)
    if version not in FAMILIES[detour.table.partition(" ")[0]] or is_loopback(mapping.host_ip):
        return False
    addresses = [mapping.host_ip]
    if mapping.host_ip in WILDCARDS:
        addresses = [each for each in local() if version_of(each) == version and not is_loopback(each)]
    return any(_meets(detour, mapping, address) for address in addresses)


def _meets(detour: Detour, mapping: PortMapping, address: str) -> bool:
    def fit(conditions: Iterable[Condition]) -> bool:
        return all(_fits(each, mapping.protocol, address, mapping.host_port) for each in conditions)

    return fit(detour.conditions) and not any(map(fit, detour.spared))


def _fits(condition: Condition, protocol: str, address: str, port: int) -> bool:
    kind, values = condition
    if kind == PROTOCOL:
        return protocol in values
    if kind == LOCAL:
        return True
    if kind == PORT:
        return any(first <= port <= last for first, last in _ranges(values))
    return any(_is_in(address, str(each)) for each in values) == (kind == ADDRESS)


def _ranges(values: Iterable[str | tuple[int, int]]) -> list[tuple[int, int]]:
    """First and last port of each."""
    return [each for each in values if not isinstance(each, str)]


def _is_in(address: str, subnet: str) -> bool:
    if address == subnet:
        return True
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(subnet, strict=False)
    except ValueError:  # a range, or a name
        return False
