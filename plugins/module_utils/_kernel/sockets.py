# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening sockets of the host's namespace, and the processes behind sockets and namespaces."""

from __future__ import annotations

import glob
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing

from .._facts import Listener
from .dump import Interrupted, attributes, dump

# Source: include/uapi/linux/sock_diag.h, inet_diag.h.
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2
SOCKET = struct.Struct("=4x2s2x16s28x16xI")  # struct inet_diag_msg: source port, source address, inode
INET_DIAG_SKV6ONLY = 11
ATTEMPTS = 20  # at a dump that changes interrupt
NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}

# include/net/tcp_states.h: TCP_LISTEN and TCP_CLOSE, which is the state of an unconnected UDP socket.
LISTENING = {"tcp": 10, "udp": 7, "sctp": 10}


def listeners(protocol: str) -> list[Listener]:
    """IPv4 and IPv6 sockets of the protocol that wait for peers."""
    if protocol == "sctp":
        return list(_sctp())
    try:
        return [each for family in (socket.AF_INET, socket.AF_INET6) for each in _diagnosed(protocol, family)]
    except OSError:  # a kernel without the modules tcp_diag and udp_diag
        return list(_shown(protocol))


def _diagnosed(protocol: str, family: int) -> list[Listener]:
    """Of those that wait alone, however many connections there are."""
    request = REQUEST.pack(family, NUMBERS[protocol], 0, 1 << LISTENING[protocol])
    for _attempt in range(ATTEMPTS):
        with closing(
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        ) as link:
            try:
                return [_listener(family, body) for body in dump(link, SOCK_DIAG_BY_FAMILY, request)]
            except Interrupted:
                continue
    raise OSError("the kernel's sockets change all the time")


def _listener(family: int, body: bytes) -> Listener:
    port, address, inode = SOCKET.unpack_from(body)
    number = int.from_bytes(port, "big")
    if family == socket.AF_INET:
        return Listener(socket.inet_ntop(family, address[:4]), number, inode)
    v6only = attributes(body, SOCKET.size).get(INET_DIAG_SKV6ONLY, b"\0")[:1] == b"\1"
    return Listener(_plain(address), number, inode, v6only)


def _shown(protocol: str) -> Iterator[Listener]:
    """As /proc shows them, which doesn't say if one of IPv6 takes IPv4 too: most do. Source: proc_net_tcp."""
    for table in (protocol, protocol + "6"):
        for columns in _lines(f"/proc/net/{table}"):
            if int(columns[3], 16) == LISTENING[protocol]:
                address, _colon, port = columns[1].partition(":")
                words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
                packed = struct.pack(f"={len(words)}I", *words)  # in the byte order of the machine
                yield Listener(_plain(packed), int(port, 16), int(columns[9]))


def _sctp() -> Iterator[Listener]:
    """Source: net/sctp/proc.c, sctp_eps_seq_show()."""
    for columns in _lines("/proc/net/sctp/eps"):
        if int(columns[3]) == LISTENING["sctp"]:
            for address in columns[8:]:
                packed = ipaddress.ip_address(address).packed
                yield Listener(_plain(packed), int(columns[5]), int(columns[7]))


def _lines(path: str) -> list[list[str]]:
    """The rows of a table of the kernel, without its head; none where the kernel lacks the protocol."""
    try:
        with open(path, encoding="ascii") as file:
            return [line.split() for line in file.readlines()[1:]]
    except FileNotFoundError:
        return []


def _plain(packed: bytes) -> str:
    """An address in its canonical form, which is IPv4's for one of IPv4 that is written as one of IPv6."""
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def holders() -> dict[int, int]:
    """The processes that have sockets open, by the inodes of these, as far as they can be seen."""
    found: dict[int, int] = {}
    for descriptor in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("socket:["):
            found.setdefault(int(target[8:-1]), int(descriptor.split("/")[2]))
    return found


def processes_by_namespace() -> dict[int, list[str]]:
    """All processes, as ``name (pid N)``, by the inode of their network namespace."""
    found: dict[int, list[str]] = {}
    for link in glob.iglob("/proc/[0-9]*/ns/net"):
        try:
            found.setdefault(os.stat(link).st_ino, []).append(process_name(int(link.split("/")[2])))
        except OSError:
            continue
    return found


def process_name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"{_printable(file.read().strip())} (pid {pid})"
    except OSError:
        return f"pid {pid}"


def _printable(text: str) -> str:
    """A process may give itself any name; here it is on one line, and nothing that a terminal obeys."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
