# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening sockets of the host's namespace, and the processes behind sockets and namespaces."""

from __future__ import annotations

import glob
import ipaddress
import os
import socket
import struct

from .._facts import Listener

# Column "st" of /proc/net/tcp and udp: include/net/tcp_states.h. An unconnected UDP socket shows as TCP_CLOSE.
LISTENING = {"tcp": "0A", "udp": "07"}


def listeners(protocol: str) -> list[Listener]:
    """IPv4 and IPv6 sockets of the protocol that wait for peers. Source: proc_net_tcp in the kernel's documentation."""
    found = []
    for table in (protocol, protocol + "6"):
        try:
            with open(f"/proc/net/{table}", encoding="ascii") as file:
                lines = file.readlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == LISTENING[protocol]:
                address, _colon, port = columns[1].partition(":")
                found.append(Listener(_address(address), int(port, 16), int(columns[9])))
    return found


def holder_of(inode: int) -> str | None:
    """The process that has the socket open, as ``name (pid N)``; None where it can't be seen."""
    wanted = f"socket:[{inode}]"
    for descriptor in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor) == wanted:
                return process_name(int(descriptor.split("/")[2]))
        except OSError:
            continue
    return None


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
            return f"{file.read().strip()} (pid {pid})"
    except OSError:
        return f"pid {pid}"


def _address(text: str) -> str:
    """An address as /proc/net shows it: 32-bit words in hex, in the byte order of the machine."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)
