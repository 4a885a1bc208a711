# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the firewall shall do, in no backend's words. ``_render.firewall`` writes it, each backend translates it.

Every backend gives it this meaning, with connection tracking:

* Into a network's bridge from elsewhere goes what belongs to a flow that is allowed, what was published, and what
  may be addressed directly.
* Between containers on one bridge all goes, unless ``icc`` is off; then only what was published and is routed, not
  bridged: the ports of the bridge keep containers apart.
* Out of the bridge all goes, unless the network is internal; then nothing crosses the bridge in either direction.
* A packet from elsewhere that is addressed to a container directly is dropped before anything else sees it, where the
  network is protected.
* A packet from a bridge never reaches the host's loopback addresses.
* A published port leads to its target for everyone who addresses the host; one that is published on a loopback address
  only for processes of the host itself. One with ``sources`` leads there only for clients in these, and for processes
  of the host itself; for others it is as if it were not published.
* The source address changes only where replies would not come back: egress, a client on the target's own bridge, and
  a client on the host's loopback. What leaves gets a source port at random: one that a container chose could be a
  published one, and replies to it would be taken for those to the container, published or not.

Beside it, and the same for every backend, stands the guard of the bridges: see ``Identity``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class NetworkRules:
    """One network. ``subnets`` are in CIDR form; ``protected`` and what follows are about one of its families.

    ``protected``: nobody from elsewhere addresses a container directly, but for what comes in by a ``trusted`` link and
    is for a published port. ``open``: nor is there a rule that keeps others from any port. ``source`` is the address
    that egress gets, where it is not left to the way that it takes.
    """

    device: str
    subnets: tuple[str, ...]
    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    protected: bool = True
    open: bool = False
    trusted: tuple[str, ...] = ()
    source: str | None = None


class PortRule(NamedTuple):
    """One published port. A wildcard ``host_ip`` stands for every address of the host in its family.

    ``sources``: subnets that alone may ask for it, in CIDR form; everybody may where there are none.
    """

    protocol: str
    host_ip: str
    host_port: int
    target_ip: str
    target_port: int
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class DirectRule:
    """A container's port that others may address directly: all, or those who come in by one of the links.

    ``sources`` as of a published port.
    """

    protocol: str
    device: str
    target_ip: str
    target_port: int
    links: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ruleset:
    """The firewall of one family of one host; empty where no network is declared."""

    version: int = 4
    networks: tuple[NetworkRules, ...] = ()
    ports: tuple[PortRule, ...] = ()
    direct: tuple[DirectRule, ...] = ()


@dataclass(frozen=True)
class Identity:
    """Whom nobody else on the bridges can send as: a container, or a network with what its bridge has.

    ``ports`` are the links by which its frames enter a bridge, each with the link-layer network that it leads to; the
    host itself has none. ``addresses`` are its own on the whole host, ``link_local`` each on one such network only.
    """

    ports: tuple[tuple[str, str], ...] = ()
    macs: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    link_local: tuple[tuple[str, str], ...] = ()


def collapsed(sources: Iterable[str]) -> tuple[str, ...]:
    """The fewest subnets that are the same addresses, in their order; all of one family, in CIDR form."""
    subnets = map(ipaddress.ip_network, sources)
    return tuple(map(str, ipaddress.collapse_addresses(subnets)))  # type: ignore[type-var]  # all of one family


def is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
