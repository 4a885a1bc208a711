# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A socket for rtnetlink's changes: a message goes out, the kernel's consent or refusal comes back.

pyroute2 writes the messages. Its own sockets, made for many things at a time, take longer than the kernel does.
Source: netlink(7); include/uapi/linux/netlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress
from typing import Any

from .dump import HEADER, NLMSG_ERROR, attributes
from .tables import TIMEOUT, text

NLM_F_REQUEST, NLM_F_ACK, NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x1, 0x4, 0x100, 0x200
SOL_NETLINK, NETLINK_EXT_ACK = 270, 11
NLMSGERR_ATTR_MSG = 1
CODE = struct.Struct("=i")
REQUEST = struct.Struct("=I")  # the length of the message that an answer is to, at the beginning of its header


class Refused(Exception):
    """The kernel's refusal: an error number, and the reason in its words."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Channel:
    """It belongs to the namespace that the calling thread was in when it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(TIMEOUT)
        with suppress(OSError):  # kernels before 4.12 give no reasons
            self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def ask(self, kind: int, message: Any, flags: int = 0) -> bytes:
        """The body of what the kernel answers before it consents, if anything. Raises Refused.

        ``message``: one of pyroute2's, with all but its header filled in. ``kind`` and ``flags`` are the header's.
        """
        self._sequence += 1
        header = message["header"]
        header["type"], header["flags"] = kind, flags | NLM_F_REQUEST | NLM_F_ACK
        header["sequence_number"] = self._sequence
        message.encode()
        try:
            self._socket.send(message.data)
            return self._answer()
        except (TimeoutError, socket.timeout) as error:  # another one before Python 3.10
            raise Refused(errno.ETIMEDOUT, f"no answer within {TIMEOUT} seconds") from error

    def _answer(self) -> bytes:
        said = b""
        while True:
            received = self._socket.recv(1 << 16)
            offset = 0
            while offset + HEADER.size <= len(received):
                length, kind, flags, sequence, _port = HEADER.unpack_from(received, offset)
                body = received[offset + HEADER.size : offset + length]
                offset += length + 3 & ~3
                if sequence != self._sequence:
                    continue  # the late answer to a message that was given up
                if kind != NLMSG_ERROR:
                    said = body
                    continue
                (code,) = CODE.unpack_from(body)
                if code:
                    raise Refused(-code, _reason(body, flags) or os.strerror(-code))
                return said


def _reason(body: bytes, flags: int) -> str:
    """Why, where the kernel says more than a number."""
    if not flags & NLM_F_ACK_TLVS:
        return ""
    echoed = HEADER.size if flags & NLM_F_CAPPED else REQUEST.unpack_from(body, CODE.size)[0]
    return text(attributes(body, CODE.size + (echoed + 3 & ~3)).get(NLMSGERR_ATTR_MSG, b""))
