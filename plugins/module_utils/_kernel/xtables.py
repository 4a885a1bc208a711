# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tables of the older iptables are, as a hash: the kernel doesn't count their changes.

It gives out a table as it holds it, in one call and without a process. All of that is hashed but for the counters of
its rules. Sources: include/uapi/linux/netfilter_ipv4/ip_tables.h and netfilter_ipv6/ip6_tables.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

SO_GET_INFO, SO_GET_ENTRIES = 64, 65  # the same in both families
NAME = struct.Struct("=32s")  # XT_TABLE_MAXNAMELEN
INFO = struct.Struct("=32s 11I I I")  # struct ipt_getinfo, with the numbers of its rules and bytes at its end
ENTRIES = struct.Struct("=32s I 4x")  # struct ipt_get_entries
LENGTH = struct.Struct("=H")
COUNTERS = bytes(16)  # struct xt_counters
ATTEMPTS = 5  # another may be changing a table between the question for its size and that for its rules


class Kind(NamedTuple):
    """The tables of one family: where they are listed and asked for, and the parts of struct ipt_entry."""

    names: str
    family: int
    level: int
    next_offset: int
    counters: int


KINDS = (
    Kind("/proc/thread-self/net/ip_tables_names", socket.AF_INET, socket.IPPROTO_IP, 90, 96),
    Kind("/proc/thread-self/net/ip6_tables_names", socket.AF_INET6, socket.IPPROTO_IPV6, 142, 152),
)


def read_fingerprint() -> str:
    """Of all tables in the caller's namespace; empty where there are none. OSError where they can't be read."""
    tables = [(kind, name) for kind in KINDS for name in sorted(_names(kind))]
    if not tables:
        return ""
    import hashlib

    digest = hashlib.sha256()
    for kind, name in tables:
        digest.update(NAME.pack(name) + without_counters(kind, read_table(kind, name)))
    return digest.hexdigest()


def read_table(kind: Kind, name: bytes) -> bytes:
    """The rules of a table, as the kernel holds them."""
    with socket.socket(kind.family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as link:
        for _attempt in range(ATTEMPTS):
            info = _ask(link, kind.level, SO_GET_INFO, NAME.pack(name).ljust(INFO.size, b"\0"))
            size = INFO.unpack(info)[-1]
            try:
                question = ENTRIES.pack(name, size).ljust(ENTRIES.size + size, b"\0")
                return _ask(link, kind.level, SO_GET_ENTRIES, question)[ENTRIES.size :]
            except BlockingIOError:
                continue  # it has another size by now
    raise BlockingIOError(errno.EAGAIN, f"table {name.decode()} changes all the time")


def without_counters(kind: Kind, rules: bytes) -> bytes:
    """They change with every packet."""
    found = bytearray(rules)
    for start in _starts(kind, rules):
        found[start + kind.counters : start + kind.counters + len(COUNTERS)] = COUNTERS
    return bytes(found)


def _starts(kind: Kind, rules: bytes) -> Iterator[int]:
    start = 0
    while start < len(rules):
        yield start
        # A rule is never shorter than its head.
        start += max(LENGTH.unpack_from(rules, start + kind.next_offset)[0], kind.counters + len(COUNTERS))


def _names(kind: Kind) -> list[bytes]:
    try:
        with open(kind.names, "rb") as file:
            return file.read().split()
    except FileNotFoundError:
        return []


def _ask(link: socket.socket, level: int, option: int, question: bytes) -> bytes:
    """As ``getsockopt`` of a socket, which can't ask with something."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer = ctypes.create_string_buffer(question, len(question))
    length = ctypes.c_uint32(len(question))
    if libc.getsockopt(link.fileno(), level, option, answer, ctypes.byref(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer.raw
