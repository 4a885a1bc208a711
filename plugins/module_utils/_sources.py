# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may use a published port: addresses and subnets of both families, as users write them and as they are kept."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from ._errors import InvalidInput
from ._model import FAMILIES

OPTION = "allowed_sources"
EVERYBODY: tuple[str, ...] = ()
# The unspecified address is nobody's: RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.2.
NOBODY = {4: ("0.0.0.0/32",), 6: ("::/128",)}
Sources = Mapping[int, tuple[str, ...]]  # by family


def parse(subject: str, texts: Iterable[str] | None) -> Sources | None:
    """The subnets of each family, as few as will do; None where nothing is said of them.

    No text at all stands for everybody. A family that none of the texts is of has nobody.
    """
    if texts is None:
        return None
    found: dict[int, list[ipaddress.IPv4Network | ipaddress.IPv6Network]] = {4: [], 6: []}
    for text in texts:
        subnet = _subnet(subject, text)
        found[subnet.version].append(subnet)
    if not any(found.values()):
        return dict.fromkeys(FAMILIES, EVERYBODY)
    return {version: _kept(version, subnets) for version, subnets in found.items()}


def shown(sources: tuple[str, ...]) -> list[str]:
    """As users write them; none where nobody may."""
    return [] if sources in NOBODY.values() else list(sources)


def _kept(version: int, subnets: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> tuple[str, ...]:
    fewest = list(ipaddress.collapse_addresses(subnets))  # type: ignore[type-var]  # all of one family
    if any(subnet.prefixlen == 0 for subnet in fewest):
        return EVERYBODY
    return tuple(map(str, fewest)) or NOBODY[version]


def _subnet(subject: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        found = ipaddress.ip_interface(text)
    except ValueError as error:
        remedy = 'write it like "192.0.2.0/24", "192.0.2.7" or "2001:db8::/32"'
        raise InvalidInput(subject, OPTION, text, "is no address or subnet", remedy) from error
    for problem, remedy in _problems(text, found):
        raise InvalidInput(subject, OPTION, text, problem, remedy)
    return found.network


def _problems(text: str, found: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> Iterator[tuple[str, str]]:
    """What is wrong, and the way out."""
    mapped = getattr(found.ip, "ipv4_mapped", None)
    if "%" in text:
        yield "names an interface", "leave that out: a port is published on all of them"
    if mapped is not None:
        yield "is an IPv4 address in the form of an IPv6 one", f"write it like {mapped}"
    if found.ip != found.network.network_address:
        yield "has host bits set", f"use {found.network}"
    if found.ip.is_unspecified and found.network.num_addresses == 1:
        yield "is no client's address", f"write {found.ip}/0 for everybody"
    if found.network.prefixlen > 0 and found.ip.is_multicast:
        yield "is no client's address", "leave it out"
