# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's table of flows, which has up to hundreds of thousands. Read by hand: most of them are of no concern.

Source: include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing, suppress

from .._flows import Flow, PortChange, is_left_behind
from .dump import (
    ATTRIBUTE,
    NLA_F_NESTED,
    NLM_F_ACK,
    NLM_F_REQUEST,
    Interrupted,
    answers,
    attribute,
    attributes,
    dump,
    message,
)
from .tables import Tables

NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
NAMES = {number: name for name, number in NUMBERS.items()}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
FEW = 16  # to ask for so many ports one by one is cheaper than to read the whole of a large table
TIMEOUT = 30  # seconds

NETLINK_NETFILTER = 12
GET, DELETE, GET_STATS = 1 << 8 | 1, 1 << 8 | 2, 1 << 8 | 5  # NFNL_SUBSYS_CTNETLINK and the message's number
HEADER = struct.Struct("=BBH")  # struct nfgenmsg
CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE, CTA_FILTER = 1, 12, 18, 25
CTA_TUPLE_PROTO = 2
CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 3
CTA_FILTER_ORIG_FLAGS = 1
FILTER_NUMBER, FILTER_PORT = 1 << 3, 1 << 5  # of the protocol; of the destination

# A flow's tuple as the kernel writes it, attributes in attributes: source, destination, protocol and both ports. Those
# of protocols without ports have another length; one in a zone of its own has that behind it.
TUPLES = {4: struct.Struct("=12x4s4x4s8xB7x2s6x2s2x"), 6: struct.Struct("=12x16s4x16s8xB7x2s6x2s2x")}
ZONE = 8  # bytes


def is_told() -> bool:
    """Whether the kernel tells of its flows: it has nf_conntrack_netlink, or loads that as it is asked."""
    try:
        with closing(Table(4)) as table:
            table.ask(GET_STATS)
    except OSError:
        return False
    return True


def forget_left_behind(tables: Tables, change: PortChange) -> None:
    """The flows that the change leaves behind end; the next packet of each client starts another one."""
    if not change.all:
        return
    local = tables.local_addresses()
    for version in sorted({6 if ":" in port.host_ip else 4 for port in change.all}):
        # A kernel that can't be asked for its flows keeps them until they end: there is a warning then.
        with suppress(OSError), closing(Table(version)) as table:
            for flow, key in table.flows(change):
                if is_left_behind(flow, change, local):
                    with suppress(OSError):  # it ended meanwhile
                        table.remove(key)


class Table:
    """The flows of one address family."""

    def __init__(self, version: int) -> None:
        self._version = version
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
        self._socket.settimeout(TIMEOUT)

    def close(self) -> None:
        self._socket.close()

    def flows(self, change: PortChange) -> list[tuple[Flow, bytes]]:
        """The flows to these ports, with what each is removed by."""
        found: list[tuple[Flow, bytes]] = []
        for wanted in self._filters(change):
            # Flows that come while the kernel tells of others are led by the new rules.
            with suppress(Interrupted):
                for body in self._dump(wanted):
                    found += self._concerned(body, change)
        return found

    def remove(self, key: bytes) -> None:
        """Raises OSError where there is no such flow."""
        self.ask(DELETE, key)

    def ask(self, kind: int, about: bytes = b"") -> None:
        """Raises OSError where the kernel refuses."""
        self._socket.send(message(kind, NLM_F_REQUEST | NLM_F_ACK, self._header() + about))
        for _body in answers(self._socket):
            pass

    def _dump(self, wanted: bytes) -> Iterator[bytes]:
        return dump(self._socket, GET, self._header() + wanted)

    def _concerned(self, body: bytes, change: PortChange) -> Iterator[tuple[Flow, bytes]]:
        layout, start = TUPLES[self._version], HEADER.size
        length, kind = ATTRIBUTE.unpack_from(body, start)
        if length - layout.size not in (0, ZONE) or kind != CTA_TUPLE_ORIG | NLA_F_NESTED:
            return
        client, address, number, _client_port, port = layout.unpack_from(body, start)
        protocol, asked = NAMES.get(number, ""), int.from_bytes(port, "big")
        # Kernels before 5.8 leave the filter out.
        if change.at(protocol, asked) is None:
            return
        target, _source, _number, target_port, _port = layout.unpack_from(body, start + length)
        flow = Flow(
            protocol,
            _text(address),
            asked,
            _text(target),
            int.from_bytes(target_port, "big"),
            _text(client),
        )
        values = attributes(body, start)
        known = ((each, values[each]) for each in (CTA_ZONE, CTA_ID) if each in values)
        yield flow, body[start : start + length] + b"".join(attribute(*each) for each in known)

    def _filters(self, change: PortChange) -> Iterator[bytes]:
        ports = sorted({(NUMBERS[port.protocol], port.host_port) for port in change.all})
        if len(ports) > FEW:
            for number in sorted({number for number, _port in ports}):
                yield _filter(FILTER_NUMBER, attribute(CTA_PROTO_NUM, bytes([number])))
            return
        for number, port in ports:
            destination = attribute(CTA_PROTO_DST_PORT, port.to_bytes(2, "big"))
            yield _filter(FILTER_NUMBER | FILTER_PORT, attribute(CTA_PROTO_NUM, bytes([number])) + destination)

    def _header(self) -> bytes:
        return HEADER.pack(FAMILIES[self._version], 0, 0)


def _filter(flags: int, protocol: bytes) -> bytes:
    wanted = attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, protocol))
    meant = attribute(CTA_FILTER_ORIG_FLAGS, struct.pack("=I", flags))
    return wanted + attribute(CTA_FILTER | NLA_F_NESTED, meant)


def _text(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed)
