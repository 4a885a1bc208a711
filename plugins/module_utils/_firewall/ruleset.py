# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the firewall shall do, in no backend's words. ``_render.firewall`` writes it, each backend translates it.

Every backend gives it this meaning, with connection tracking:

* Into a network's bridge from elsewhere goes what belongs to a flow that is allowed, and what was published.
* Between containers on one bridge all goes, unless ``icc`` is off; then only what was published.
* Out of the bridge all goes, unless the network is internal; then nothing crosses the bridge in either direction.
* A packet from elsewhere that is addressed to a container directly is dropped before anything else sees it.
* A packet from a bridge never reaches the host's loopback addresses.
* A published port leads to its target for everyone who addresses the host; one that is published on a loopback address
  only for processes of the host itself.
* The source address changes only where replies would not come back: egress, a client on the target's own bridge, and
  a client on the host's loopback.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkRules:
    """One network. ``subnets`` are in CIDR form."""

    device: str
    subnets: tuple[str, ...]
    internal: bool = False
    icc: bool = True
    masquerade: bool = True


@dataclass(frozen=True)
class PortRule:
    """One published port. A wildcard ``host_ip`` stands for every address of the host in its family."""

    protocol: str
    host_ip: str
    host_port: int
    target_ip: str
    target_port: int


@dataclass(frozen=True)
class Ruleset:
    """The whole firewall of one host; empty where no network is declared."""

    networks: tuple[NetworkRules, ...] = ()
    ports: tuple[PortRule, ...] = ()
