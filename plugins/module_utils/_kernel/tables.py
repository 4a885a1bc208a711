# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's tables of links, addresses and routes, read from rtnetlink by hand.

Every task reads them, in each container, and most tasks do nothing else. pyroute2, which makes the changes, takes
longer to import than that takes altogether. Source: include/uapi/linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

from .._errors import KernelError, NamespaceGone
from .._hostconfig import HOST, Link, Route
from .._model import UNSPECIFIED
from .dump import ATTRIBUTE, NLA_TYPE_MASK, Interrupted, attributes, dump
from .namespaces import Namespaces

ATTEMPTS = 20  # at a dump that changes interrupt
TIMEOUT = 30  # seconds
TABLE_MAIN = 254  # RT_TABLE_MAIN

RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE = 18, 22, 26
LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg
ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg
NUMBER = struct.Struct("=I")

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_EXT_MASK, IFLA_LINK_NETNSID, IFLA_PROP_LIST, IFLA_ALT_IFNAME = 18, 20, 29, 37, 52, 53
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BR_GROUP_FWD_MASK, IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 9, 4, 33
IFLA_VARIANT = 1  # IFLA_MACVLAN_MODE, IFLA_IPVLAN_MODE and IFLA_VLAN_ID alike
RTEXT_FILTER_SKIP_STATS = 8
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
IFF_UP = 1
LLDP_GROUP = 1 << 0x0E  # 01-80-C2-00-00-0E, in a bridge's group_fwd_mask (net/bridge/br_input.c)

MACVLAN_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"}
IPVLAN_MODES = {0: "l2", 1: "l3", 2: "l3s"}
MODES = {"macvlan": MACVLAN_MODES, "ipvlan": IPVLAN_MODES}


@dataclass(frozen=True)
class LinkRow:
    """An interface. ``lower`` is the index of what it is on, or of its peer, in the namespace ``lower_netns``.

    Where that is None it is the same; indexes that are 0 stand for nothing. ``group_mask`` are the groups of IEEE
    802.1D that a bridge forwards.
    """

    index: int
    name: str
    kind: str
    alias: str
    hardware: int
    up: bool
    mtu: int
    mac: str
    master: int
    lower: int
    lower_netns: int | None
    variant: str
    group_mask: int
    hairpin: bool
    isolated: bool
    other_names: tuple[str, ...]


@dataclass(frozen=True)
class AddressRow:
    """An address, in CIDR form too."""

    link: int
    address: str
    prefix_length: int

    @property
    def cidr(self) -> str:
        return f"{self.address}/{self.prefix_length}"


@dataclass(frozen=True)
class RouteRow:
    """A route of the main table; 0 and empty texts stand for what it doesn't have, as a default route a destination."""

    version: int
    link: int
    destination: str
    gateway: str


class Tables:
    """The tables of a host's namespaces, each read when it is asked for."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces

    def links(self, namespace: str) -> list[LinkRow]:
        asked = ATTRIBUTE.pack(ATTRIBUTE.size + NUMBER.size, IFLA_EXT_MASK) + NUMBER.pack(RTEXT_FILTER_SKIP_STATS)
        return [_link(body) for body in self._dump(namespace, RTM_GETLINK, LINK.pack(0, 0, 0, 0, 0) + asked)]

    def addresses(self, namespace: str) -> list[AddressRow]:
        found = []
        for body in self._dump(namespace, RTM_GETADDR, ADDRESS.pack(0, 0, 0, 0, 0)):
            _family, length, _flags, _scope, link = ADDRESS.unpack_from(body)
            values = attributes(body, ADDRESS.size)
            packed = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
            if packed:
                found.append(AddressRow(link, _address(packed), length))
        return found

    def local_addresses(self) -> frozenset[str]:
        """All addresses of the host itself."""
        return frozenset(row.address for row in self.addresses(HOST))

    def routes(self, namespace: str) -> list[RouteRow]:
        found = []
        for body in self._dump(namespace, RTM_GETROUTE, ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
            family, length, _source, _tos, table, *_rest = ROUTE.unpack_from(body)
            values = attributes(body, ROUTE.size)
            if family not in (socket.AF_INET, socket.AF_INET6) or _number(values.get(RTA_TABLE), table) != TABLE_MAIN:
                continue
            destination, gateway = values.get(RTA_DST), values.get(RTA_GATEWAY)
            found.append(
                RouteRow(
                    version=6 if family == socket.AF_INET6 else 4,
                    link=_number(values.get(RTA_OIF)),
                    destination=f"{_address(destination)}/{length}" if destination else "",
                    gateway=_address(gateway) if gateway else "",
                )
            )
        return found

    def _dump(self, namespace: str, kind: int, request: bytes) -> list[bytes]:
        """The bodies of a dump's messages; one that a change interrupts is asked for again."""
        for _attempt in range(ATTEMPTS):
            try:
                with closing(self._open(namespace)) as link:
                    return list(dump(link, kind, request))
            except Interrupted:
                continue
            except FileNotFoundError as error:
                raise NamespaceGone(namespace) from error
            except OSError as error:
                raise _unreadable(namespace, str(error.strerror or error)) from error
        raise _unreadable(namespace, "they change all the time")

    def _open(self, namespace: str) -> socket.socket:
        with self._namespaces.inside(namespace):
            found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        found.settimeout(TIMEOUT)
        return found


def names_of(rows: Iterable[LinkRow]) -> dict[int, str]:
    """The names of links, by index."""
    return {row.index: row.name for row in rows}


def read_link(namespace: str, row: LinkRow, names: Mapping[int, str]) -> Link:
    """A link as we compare it; ``names`` are those of the namespace's links."""
    return Link(
        namespace=namespace,
        name=row.name,
        kind=row.kind,
        owner=row.alias,
        mtu=row.mtu,
        mac=row.mac or None,
        master=names.get(row.master),
        hairpin=row.hairpin,
        isolated=row.isolated,
        unguarded=row.kind == "bridge" and not row.group_mask & LLDP_GROUP,
        up=row.up,
        variant=row.variant,
    )


def read_route(namespace: str, row: RouteRow, names: Mapping[int, str]) -> Route:
    """A route as we compare it.

    One without a gateway has the unspecified address for it; one without a single link (unreachable, multipath) an
    empty name.
    """
    gateway = row.gateway or UNSPECIFIED[row.version]
    return Route(namespace, names.get(row.link, ""), row.destination or "default", gateway)


def _unreadable(namespace: str, reason: str) -> KernelError:
    where = "host" if namespace == HOST else f'container "{namespace}"'
    return KernelError(f"{where}: the kernel's tables can't be read: {reason}; run the task again", namespace)


def _link(body: bytes) -> LinkRow:
    _family, hardware, index, flags, _change = LINK.unpack_from(body)
    values = attributes(body, LINK.size)
    info = attributes(values.get(IFLA_LINKINFO, b""))
    kind = text(info.get(IFLA_INFO_KIND, b""))
    data = attributes(info.get(IFLA_INFO_DATA, b""))
    is_port = text(info.get(IFLA_INFO_SLAVE_KIND, b"")) == "bridge"
    port = attributes(info.get(IFLA_INFO_SLAVE_DATA, b"")) if is_port else {}
    lower_netns = values.get(IFLA_LINK_NETNSID)
    mac = values.get(IFLA_ADDRESS, b"")
    return LinkRow(
        index=index,
        name=text(values.get(IFLA_IFNAME, b"")),
        kind=kind,
        alias=text(values.get(IFLA_IFALIAS, b"")),
        hardware=hardware,
        up=bool(flags & IFF_UP),
        mtu=_number(values.get(IFLA_MTU)),
        mac=mac.hex(":") if mac else "",
        master=_number(values.get(IFLA_MASTER)),
        lower=_number(values.get(IFLA_LINK)),
        lower_netns=None if lower_netns is None else _number(lower_netns),
        variant=_variant(kind, data.get(IFLA_VARIANT)),
        group_mask=_number(data.get(IFLA_BR_GROUP_FWD_MASK)) if kind == "bridge" else 0,
        hairpin=_number(port.get(IFLA_BRPORT_MODE)) != 0,
        isolated=_number(port.get(IFLA_BRPORT_ISOLATED)) != 0,
        other_names=_other_names(values.get(IFLA_PROP_LIST, b"")),
    )


def _variant(kind: str, value: bytes | None) -> str:
    """The mode of a macvlan or ipvlan, the ID of a VLAN; empty for all else."""
    if value is None or kind not in (*MODES, "vlan"):
        return ""
    number = _number(value)
    return MODES.get(kind, {}).get(number, str(number))


def _other_names(properties: bytes) -> tuple[str, ...]:
    """The alternative names of a link, which are as taken as its first one."""
    found = []
    offset = 0
    while offset + ATTRIBUTE.size <= len(properties):
        length, kind = ATTRIBUTE.unpack_from(properties, offset)
        if kind & NLA_TYPE_MASK == IFLA_ALT_IFNAME:
            found.append(text(properties[offset + ATTRIBUTE.size : offset + length]))
        offset += max(length + 3 & ~3, ATTRIBUTE.size)
    return tuple(found)


def _number(value: bytes | None, default: int = 0) -> int:
    """A number of any size, in the machine's byte order."""
    return default if not value else int.from_bytes(value, sys.byteorder)


def text(value: bytes) -> str:
    """A name, or an alias, which anybody may have set to bytes of any kind."""
    return value.rstrip(b"\0").decode("utf-8", "replace")


def _address(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed)
