# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the last run left in the firewall, and whether anybody has changed it since.

The kernel counts the transactions of nf_tables, whoever makes them. As long as the count is what it was when our lines
were known to be there, they still are, and need not be read; nor be made, as long as the same state is declared.
Source: NFT_MSG_GETGEN in include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import suppress
from typing import Any, NamedTuple

from .tools import OLDER_TABLES

PATH = "/run/bridgework/firewall"

NETLINK_NETFILTER = 12
GET_GENERATION, NEW_GENERATION = 10 << 8 | 16, 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES and the message's number
GENERATION_ID = 1  # NFTA_GEN_ID
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
FAMILY = struct.Struct("=BBH")  # struct nfgenmsg
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
SO_NETNS_COOKIE = 71  # include/uapi/asm-generic/socket.h


class Generation(NamedTuple):
    """The state of a rule set: the same place and number, the same rules.

    The place is the boot and network namespace that the number belongs to. The tables of the older iptables are not
    counted, so what they are is part of it.
    """

    place: str
    number: int
    older: str = ""


class Memory:
    """The file that the next run finds."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path

    def recall(self, generation: Generation, declared: str) -> Any:
        """What was kept at that generation; None where another state was declared, or other code wrote the lines."""
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.load(file)
            return found["beside"] if found["rules"] == _rules(generation, declared) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, generation: Generation, declared: str, beside: Any) -> None:
        """The lines of that state are there; and what else was found.

        Where that can't be written, all is read again next time.
        """
        new = f"{self._path}.new"
        with suppress(OSError):
            with open(new, "w", encoding="utf-8") as file:
                json.dump({"rules": _rules(generation, declared), "beside": beside}, file)
            os.replace(new, self._path)


def read_generation() -> Generation | None:
    """That of the namespace that the caller is in; None where the kernel doesn't count."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as link:
            link.settimeout(5)
            link.send(HEADER.pack(HEADER.size + FAMILY.size, GET_GENERATION, 1, 1, 0) + FAMILY.pack(0, 0, 0))
            number = _number_in(link.recv(65536))
            return None if number is None else Generation(_place(link), number, _older_tables())
    except OSError:
        return None


def _number_in(message: bytes) -> int | None:
    if len(message) < HEADER.size or HEADER.unpack_from(message)[1] != NEW_GENERATION:
        return None
    offset = HEADER.size + FAMILY.size
    while offset + ATTRIBUTE.size <= len(message):
        length, kind = ATTRIBUTE.unpack_from(message, offset)
        if kind == GENERATION_ID:
            return int.from_bytes(message[offset + ATTRIBUTE.size : offset + length], "big")
        offset += max(length + 3 & ~3, ATTRIBUTE.size)
    return None


def _place(link: socket.socket) -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    try:
        return f"{boot} {int.from_bytes(link.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), 'little')}"
    except OSError:  # Linux before 5.14
        return f"{boot} {os.stat('/proc/thread-self/ns/net').st_ino}"


def _older_tables() -> str:
    if not any(map(os.path.exists, OLDER_TABLES.values())):  # as on most hosts
        return ""
    from .._kernel.xtables import read_fingerprint

    return read_fingerprint()


def _rules(generation: Generation, declared: str) -> str:
    return f"{generation.place} {generation.number} {generation.older} {declared}"
