# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows that go on where a published port led before, since only the first packet of a flow asks the firewall. Pure.

A TCP client notices that its peer is gone. One of UDP that keeps its port goes on as the same flow for as long as it
sends, so a flow that a change of the published ports leaves behind has to be forgotten.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Set
from dataclasses import dataclass

from ._firewall.ruleset import PortRule

CONNECTIONLESS = ("udp",)
WILDCARDS = ("0.0.0.0", "::")


@dataclass(frozen=True)
class PortChange:
    """Published ports whose flows can't be taken on: those that lead nowhere now, and those that do so anew."""

    closed: frozenset[PortRule] = frozenset()
    opened: frozenset[PortRule] = frozenset()

    @classmethod
    def towards(cls, wanted: frozenset[PortRule], *earlier: frozenset[PortRule]) -> PortChange:
        """From what was published earlier, as the declared state and the host's rules have it: they may disagree."""
        changed = frozenset().union(*(wanted ^ each for each in earlier))
        return cls(changed - wanted, changed & wanted)

    def connectionless(self) -> PortChange:
        """Of the protocols whose peers don't notice by themselves."""
        return PortChange(*(frozenset(each for each in s if each.protocol in CONNECTIONLESS) for s in (self.closed, self.opened)))

    def __bool__(self) -> bool:
        return bool(self.closed or self.opened)


@dataclass(frozen=True)
class Flow:
    """A tracked flow: whom its client addresses, and who answers."""

    protocol: str
    address: str
    port: int
    target_ip: str
    target_port: int


def is_left_behind(flow: Flow, change: PortChange, local: Set[str]) -> bool:
    """Whether the flow still leads where a closed port led, or not where an opened one leads.

    ``local`` are the host's addresses: only there a port is published.
    """
    target = (flow.target_ip, flow.target_port)
    return any(_is_to(port, flow, local) and target == (port.target_ip, port.target_port) for port in change.closed) or any(
        _is_to(port, flow, local) and target != (port.target_ip, port.target_port) for port in change.opened
    )


def _is_to(port: PortRule, flow: Flow, local: Set[str]) -> bool:
    if (flow.protocol, flow.port) != (port.protocol, port.host_port):
        return False
    if port.host_ip in WILDCARDS:
        return flow.address in local or ipaddress.ip_address(flow.address).is_loopback
    return flow.address == port.host_ip
