# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's table of flows (ctnetlink, through pyroute2)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

from .._flows import Flow, PortChange, is_left_behind
from .tables import Tables

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
NAMES = {number: name for name, number in PROTOCOLS.items()}
FEW = 16  # to ask for so many ports one by one is cheaper than to read the whole of a large table


def forget_left_behind(tables: Tables, change: PortChange) -> None:
    """The flows that the change leaves behind end; the next packet of each client starts another one."""
    if not change.all:
        return
    from pyroute2.netlink.exceptions import NetlinkError

    local = tables.local_addresses()
    for family in sorted({_family(port.host_ip) for port in change.all}):
        # A kernel that can't be asked for its flows keeps them until they are idle for some seconds.
        with suppress(NetlinkError, OSError), closing(Table(family)) as table:
            for flow, key in list(table.flows(change)):
                if is_left_behind(flow, change, local):
                    with suppress(NetlinkError):  # it ended meanwhile
                        table.remove(key)


class Table:
    """The flows of one address family."""

    def __init__(self, family: int) -> None:
        from pyroute2.netlink.nfnetlink import nfctsocket

        self._family = family
        self._tuple = nfctsocket.NFCTAttrTuple
        self._socket = nfctsocket.NFCTSocket(nfgen_family=family)

    def close(self) -> None:
        self._socket.close()

    def flows(self, change: PortChange) -> Iterator[tuple[Flow, Any]]:
        """The flows to these ports, and maybe others, with what each is removed by."""
        for wanted in self._filters(change):
            # Kernels before 5.8 leave the filter out.
            for message in list(self._socket.dump(tuple_orig=wanted)):
                request = self._side(message, "CTA_TUPLE_ORIG")
                asked, answers = request.reverse(), self._side(message, "CTA_TUPLE_REPLY")
                if request.proto in NAMES:
                    yield Flow(NAMES[request.proto], asked.saddr, asked.sport, answers.saddr, answers.sport), request

    def remove(self, key: Any) -> None:
        self._socket.entry("del", tuple_orig=key)

    def _side(self, message: Any, attribute: str) -> Any:
        return self._tuple.from_netlink(self._family, message.get_attr(attribute))

    def _filters(self, change: PortChange) -> list[Any]:
        ports = {(PROTOCOLS[port.protocol], port.host_port) for port in change.all}
        if len(ports) > FEW:
            return [self._tuple(family=self._family, proto=number) for number in sorted({port[0] for port in ports})]
        return [self._tuple(family=self._family, proto=number, dport=port) for number, port in sorted(ports)]


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
