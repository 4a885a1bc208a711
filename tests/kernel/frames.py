# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Frames made by hand, sent from one place and looked for in another."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Sequence

from lab import Host

BROADCAST = "ff:ff:ff:ff:ff:ff"
REQUEST, REPLY = 1, 2
ARP, IPV4, IPV6, VLAN, SERVICE_VLAN = 0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8
ICMPV6, UDP, HOP_BY_HOP = 58, 17, 0
PORT = 7777
END = b"that was all"


def ethernet(source: str, destination: str, kind: int, payload: bytes, tags: Sequence[tuple[int, int]] = ()) -> bytes:
    """`tags`: the kind and number of each VLAN."""
    head = _mac(destination) + _mac(source) + b"".join(struct.pack("!HH", *tag) for tag in tags)
    return head + struct.pack("!H", kind) + payload


def arp(mac: str, address: str, target: str, *, operation: int = REQUEST, hardware: int = 1) -> bytes:
    """Whoever gets it learns that the address is at the MAC."""
    head = struct.pack("!HHBBH", hardware, IPV4, 6, 4, operation)
    return head + _mac(mac) + socket.inet_aton(address) + bytes(6) + socket.inet_aton(target)


def udp(source: str, destination: str, text: bytes) -> bytes:
    """A datagram of the family of its addresses, without the checksum that nobody on the way asks for."""
    datagram = struct.pack("!HHHH", PORT, PORT, 8 + len(text), 0) + text
    if ":" in source:
        return ipv6(source, destination, UDP, datagram)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, UDP, 0)
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    checksum = _checksum(head + addresses)
    return head[:10] + struct.pack("!H", checksum) + addresses + datagram


def advertisement(
    source: str, destination: str, target: str, mac: str, text: bytes = bytes(16), extension: bytes = b""
) -> bytes:
    """Whoever gets it and knows the target learns that it is at the MAC: RFC 4861, section 4.4.

    The text, of 16 bytes, is in an option that nobody knows.
    """
    body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + _ip6(target) + struct.pack("!BB", 2, 1) + _mac(mac)
    body += struct.pack("!BB6x", 253, 3) + text
    pseudo = _ip6(source) + _ip6(destination) + struct.pack("!II", len(body), ICMPV6)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    if extension:
        return ipv6(source, destination, HOP_BY_HOP, bytes([ICMPV6]) + extension + body)
    return ipv6(source, destination, ICMPV6, body)


def ipv6(source: str, destination: str, following: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 255) + _ip6(source) + _ip6(destination) + payload


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ip6(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
    sender.bind((sys.argv[1], 0))
    for frame in sys.argv[2:]:
        sender.send(bytes.fromhex(frame))
"""

WATCH = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as watcher:  # ETH_P_ALL
    watcher.bind((sys.argv[1], 3))
    watcher.settimeout(5)
    print(flush=True)
    frame = b""
    while sys.argv[2].encode() not in frame:
        frame, sender = watcher.recvfrom(2048)
        if sender[2] != 4:  # PACKET_OUTGOING
            print(frame.hex(), flush=True)
"""


def send(host: Host, netns: str | None, *frames: bytes, interface: str = "eth0") -> None:
    host.python(SEND, interface, *(frame.hex() for frame in frames), netns=netns)


def arrived(
    host: Host,
    frame: bytes,
    last: bytes,
    *,
    sender: str | None,
    at: tuple[str | None, str],
    interface: str = "eth0",
    by: Host | None = None,
) -> bool:
    """Whether a frame gets from a container to a link, given as namespace and name. `last` has to, or this fails.

    The frame ends with something unique, and `last` with `END`. `by`: the host that the sender is on, if another.
    """
    netns, link = at
    watcher = host.popen(sys.executable, "-c", WATCH, link, END.decode(), netns=netns, stdout=-1, text=True)
    assert watcher.stdout
    watcher.stdout.readline()
    send(by or host, sender, frame, last, interface=interface)
    seen = [bytes.fromhex(line) for line in watcher.stdout]
    host.forget(watcher)
    assert any(END in each for each in seen), "what has to get there didn't"
    return any(each.endswith(frame[-16:]) for each in seen)
