# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Neighbours hear of an address that has a new owner, or they would send to the old one until their caches expire."""

from __future__ import annotations

import fcntl
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

from .._hostconfig import HOST, Address, Link
from .._plan import CREATE, Step
from .namespaces import Namespaces

ETH_P_ARP = 0x0806  # include/uapi/linux/if_ether.h
SIOCGIFADDR, SIOCGIFHWADDR = 0x8915, 0x8927  # netdevice(7)
BROADCAST = b"\xff" * 6
NEIGHBOR_ADVERTISEMENT, OVERRIDE = 136, 0x20000000  # RFC 4861, section 4.4
TARGET_LINK_LAYER_ADDRESS = 2  # RFC 4861, section 4.6.1
ALL_NODES = "ff02::1"
AT_ONCE = 128  # interfaces


def announce(namespaces: Namespaces, links: Iterable[Step[Link]], addresses: Iterable[Step[Address]]) -> None:
    """What containers' interfaces have to say to their neighbours after the steps.

    A gratuitous ARP from each that has another IPv4 or hardware address, an unsolicited neighbor advertisement for each
    new IPv6 address.
    """
    new = [step.thing for step in addresses if step.verb == CREATE and step.thing.namespace != HOST]
    changed = [step.thing.key for step in links if _has_new_mac(step)]
    interfaces = sorted({*changed, *((each.namespace, each.link) for each in new)})
    for first in range(0, len(interfaces), AT_ONCE):
        _announce_links(namespaces, interfaces[first : first + AT_ONCE])
    for address in new:
        if ":" in address.address:
            with suppress(OSError), namespaces.inside(address.namespace):
                _advertise(address.link, address.address.partition("/")[0])


def _announce_links(namespaces: Namespaces, links: Iterable[tuple[str, str]]) -> None:
    """A gratuitous ARP from each."""
    senders: list[socket.socket] = []
    try:
        for namespace, link in links:
            # One that is down or without an address has nothing to say.
            with suppress(OSError), namespaces.inside(namespace):
                senders.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
                _send(senders[-1], link)
    finally:
        _close(senders)


def _close(sockets: Sequence[socket.socket]) -> None:
    """All at the same time: the kernel has each closing of a packet socket wait for some milliseconds."""
    threads = [threading.Thread(target=each.close) for each in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _has_new_mac(step: Step[Link]) -> bool:
    before, after = step.before, step.after
    if before is None or after is None or after.namespace == HOST:
        return False
    return after.mac not in (None, before.mac)


def _send(sender: socket.socket, link: str) -> None:
    """RFC 5227, section 1.1: an ARP request from an address for itself."""
    sender.bind((link, ETH_P_ARP))
    mac = sender.getsockname()[4]
    address = _of_link(sender, SIOCGIFADDR, link)[4:8]
    header = BROADCAST + mac + struct.pack("!H", ETH_P_ARP)
    sender.send(header + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + address + bytes(6) + address)


def _of_link(asker: socket.socket, what: int, link: str) -> bytes:
    """What netdevice(7) says of an interface, behind its name."""
    return fcntl.ioctl(asker, what, struct.pack("16s24x", link.encode()))[16:]


def _advertise(link: str, address: str) -> None:
    """RFC 4861, section 7.2.6: an unsolicited neighbor advertisement, which overrides what neighbours have cached."""
    index = socket.if_nametoindex(link)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
        mac = _of_link(sender, SIOCGIFHWADDR, link)[2:8]
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sender.bind((address, 0, 0, index))
        # The kernel fills in the checksum.
        message = struct.pack("!BBHI", NEIGHBOR_ADVERTISEMENT, 0, 0, OVERRIDE)
        message += socket.inet_pton(socket.AF_INET6, address)
        message += struct.pack("!BB", TARGET_LINK_LAYER_ADDRESS, 1) + mac
        sender.sendto(message, (ALL_NODES, 0, 0, index))
