# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows that would go on where a published port led before: only the first packet of a flow asks the firewall. Pure.

A TCP client notices that its peer is gone. A UDP client that keeps its port goes on in the same flow for as long as it
sends, so the flows that a change of the published ports leaves behind have to be forgotten.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Set
from dataclasses import dataclass

from ._firewall.ruleset import PortRule
from ._model import WILDCARDS

CONNECTIONLESS = ("udp",)


@dataclass(frozen=True)
class PortChange:
    """Published ports of connectionless protocols that are no more what they were, and those that are new."""

    closed: frozenset[PortRule] = frozenset()
    opened: frozenset[PortRule] = frozenset()

    @property
    def all(self) -> frozenset[PortRule]:
        return self.closed | self.opened

    @classmethod
    def towards(cls, wanted: frozenset[PortRule], *earlier: frozenset[PortRule]) -> PortChange:
        """``earlier``: what flows may have been led by, such as the rules that were found, and those declared before.

        After a run that was killed they differ.
        """
        differing = frozenset().union(*(wanted ^ each for each in earlier))
        concerned = frozenset(port for port in differing if port.protocol in CONNECTIONLESS)
        return cls(closed=concerned - wanted, opened=concerned & wanted)


@dataclass(frozen=True)
class Flow:
    """A flow that the kernel keeps track of: whom its client addresses, and who answers."""

    protocol: str
    address: str
    port: int
    target_ip: str
    target_port: int


def is_left_behind(flow: Flow, change: PortChange, local: Set[str]) -> bool:
    """Whether it leads where a closed port led, or not where an opened one leads. ``local``: the host's addresses."""
    return any(_leads_to(port, flow) for port in change.closed if _is_asked(port, flow, local)) or not all(
        _leads_to(port, flow) for port in change.opened if _is_asked(port, flow, local)
    )


def _is_asked(port: PortRule, flow: Flow, local: Set[str]) -> bool:
    if (flow.protocol, flow.port) != (port.protocol, port.host_port):
        return False
    if port.host_ip in WILDCARDS:
        return flow.address in local or ipaddress.ip_address(flow.address).is_loopback
    return flow.address == port.host_ip


def _leads_to(port: PortRule, flow: Flow) -> bool:
    return (flow.target_ip, flow.target_port) == (port.target_ip, port.target_port)
