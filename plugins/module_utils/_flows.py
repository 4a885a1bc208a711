# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows that would go on where a published port led before: only the first packet of a flow asks the firewall. Pure.

A TCP client notices that its peer is gone. A UDP client that keeps its port goes on in the same flow for as long as it
sends, and so does an SCTP client, whose ports are often fixed: connection tracking takes its next association for the
same one (net/netfilter/nf_conntrack_proto_sctp.c). So the flows that a change of the published ports leaves behind have
to be forgotten. Those of clients that may no longer use a port end whatever their protocol is.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from ._firewall.ruleset import PortRule
from ._model import WILDCARDS, socket_text, version_of

LASTING = ("udp", "sctp")  # flows that a client doesn't begin anew by itself


@dataclass(frozen=True)
class Flow:
    """A flow that the kernel keeps track of: who addresses whom, and who answers."""

    protocol: str
    address: str
    port: int
    target_ip: str
    target_port: int
    client: str = ""


@dataclass
class _Concerned:
    """What becomes of one port of the host, on all of its addresses."""

    closed: list[PortRule] = field(default_factory=list)
    opened: list[PortRule] = field(default_factory=list)
    narrowed: list[PortRule] = field(default_factory=list)


@dataclass(frozen=True)
class PortChange:
    """Published ports that are no more what they were, those that are new, and those that are for fewer clients.

    The first two are of protocols whose flows last only.
    """

    closed: frozenset[PortRule] = frozenset()
    opened: frozenset[PortRule] = frozenset()
    narrowed: frozenset[PortRule] = frozenset()

    @property
    def all(self) -> frozenset[PortRule]:
        return self.closed | self.opened | self.narrowed

    @property
    def left_behind(self) -> list[str]:
        """The ports that clients may have flows by that are to end, as users write them."""
        return sorted({socket_text(*each) for each in map(_place, self.closed | self.narrowed)})

    @classmethod
    def towards(cls, wanted: frozenset[PortRule], *earlier: frozenset[PortRule]) -> PortChange:
        """``earlier``: what flows may have been led by, such as the rules that were found, and those declared before.

        After a run that was killed they differ.
        """
        differing = frozenset().union(*(wanted ^ each for each in earlier))
        lasting = frozenset(port for port in differing if port.protocol in LASTING)
        others = differing - lasting
        before = {port._replace(sources=()) for port in others - wanted}
        return cls(
            closed=lasting - wanted,
            opened=lasting & wanted,
            narrowed=frozenset(
                port for port in others & wanted if port.sources and port._replace(sources=()) in before
            ),
        )

    @cached_property
    def _by_port(self) -> Mapping[tuple[str, int], _Concerned]:
        found: dict[tuple[str, int], _Concerned] = defaultdict(_Concerned)
        for name in ("closed", "opened", "narrowed"):
            for port in getattr(self, name):
                getattr(found[port.protocol, port.host_port], name).append(port)
        return found

    def at(self, protocol: str, port: int) -> _Concerned | None:
        return self._by_port.get((protocol, port))


def _place(port: PortRule) -> tuple[str, int, str]:
    return port.host_ip, port.host_port, port.protocol


def is_left_behind(flow: Flow, change: PortChange, local: Set[str]) -> bool:
    """Whether it leads where it would not if it began now. ``local``: the host's addresses."""
    concerned = change.at(flow.protocol, flow.port)
    if concerned is None:
        return False
    for port in _asked(concerned.narrowed, flow, local):
        if _leads_to(port, flow) and not _admits(port, flow, local):
            return True
    for port in _asked(concerned.opened, flow, local):
        if _admits(port, flow, local):
            return not _leads_to(port, flow)
        if _leads_to(port, flow):
            return True
    return any(_leads_to(port, flow) for port in _asked(concerned.closed, flow, local))


def _asked(ports: Iterable[PortRule], flow: Flow, local: Set[str]) -> Iterable[PortRule]:
    """Those that the client addresses."""
    return (port for port in ports if port.host_ip == flow.address or _is_everywhere(port, flow, local))


def _is_everywhere(port: PortRule, flow: Flow, local: Set[str]) -> bool:
    if port.host_ip not in WILDCARDS or version_of(port.host_ip) != version_of(flow.address):
        return False
    return _is_hosts(flow.address, local)


def _is_hosts(address: str, local: Set[str]) -> bool:
    return address in local or ipaddress.ip_address(address).is_loopback


def _admits(port: PortRule, flow: Flow, local: Set[str]) -> bool:
    """Whether the client may use the port: one of the sources, or the host itself."""
    if not port.sources or _is_hosts(flow.client, local):
        return True
    client = ipaddress.ip_address(flow.client)
    return any(client in _subnet(source) for source in port.sources)


@lru_cache(maxsize=1024)
def _subnet(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text)


def _leads_to(port: PortRule, flow: Flow) -> bool:
    return (flow.target_ip, flow.target_port) == (port.target_ip, port.target_port)
