# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells over netlink, message by message. Source: include/uapi/linux/netlink.h."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr

Attributes = dict[int, bytes]


class Interrupted(Exception):
    """Something changed while the kernel was telling."""


def dump(link: socket.socket, kind: int, request: bytes) -> Iterator[bytes]:
    """Ask for all of a kind, and give the bodies of the messages. Raises OSError, Interrupted."""
    link.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, request))
    return answers(link)


def message(kind: int, flags: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0) + body


def answers(link: socket.socket) -> Iterator[bytes]:
    """The bodies of the messages up to the one that says that these were all. Raises OSError, Interrupted."""
    is_whole = True
    while True:
        answer = link.recv(1 << 16)
        offset = 0
        while offset + HEADER.size <= len(answer):
            length, kind, flags, _sequence, _port = HEADER.unpack_from(answer, offset)
            is_whole &= not flags & NLM_F_DUMP_INTR
            body = answer[offset + HEADER.size : offset + length]
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                if code > 0:
                    raise OSError(code, os.strerror(code))
                if not is_whole:
                    raise Interrupted
                return
            yield body
            offset += length + 3 & ~3


def attributes(body: bytes, offset: int = 0) -> Attributes:
    """What stands in a message from that offset on, by kind."""
    found: Attributes = {}
    end = len(body)
    while offset + ATTRIBUTE.size <= end:
        length, kind = ATTRIBUTE.unpack_from(body, offset)
        found[kind & NLA_TYPE_MASK] = body[offset + ATTRIBUTE.size : offset + length]
        offset += max(length + 3 & ~3, ATTRIBUTE.size)
    return found


def attribute(kind: int, value: bytes) -> bytes:
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)
