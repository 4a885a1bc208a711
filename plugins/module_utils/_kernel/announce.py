# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Neighbours hear of an address that has a new owner, or they would send to the old one until their caches expire."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

from .._hostconfig import HOST, Address, Link
from .._plan import CREATE, UPDATE, Step
from .namespaces import Namespaces

ETH_P_ARP = 0x0806  # include/uapi/linux/if_ether.h
SIOCGIFADDR = 0x8915  # netdevice(7)
BROADCAST = b"\xff" * 6
NEIGHBOR_ADVERTISEMENT, OVERRIDE = 136, 0x20000000  # RFC 4861, section 4.4
TARGET_LINK_LAYER_ADDRESS = 2  # RFC 4861, section 4.6.1
ALL_NODES = "ff02::1"


def announce(namespaces: Namespaces, steps: Iterable[Step]) -> None:
    """What containers' interfaces have to say to their neighbours after the steps.

    A gratuitous ARP from each that has another IPv4 or hardware address, an unsolicited neighbor advertisement for each
    new IPv6 address.
    """
    news = [step for step in steps if _is_news(step)]
    for namespace, link in sorted({_interface(step) for step in news}):
        # One that is down or without an address has nothing to say.
        with suppress(OSError), namespaces.inside(namespace):
            _send(link)
    for address in (step.thing for step in news if isinstance(step.thing, Address)):
        if ":" in address.address:
            with suppress(OSError), namespaces.inside(address.namespace):
                _advertise(address.link, address.address.partition("/")[0])


def _is_news(step: Step) -> bool:
    thing = step.thing
    if isinstance(thing, Address):
        return step.verb == CREATE and thing.namespace != HOST
    return isinstance(thing, Link) and step.verb == UPDATE and thing.namespace != HOST and _has_new_mac(step)


def _has_new_mac(step: Step) -> bool:
    return step.thing.mac is not None and step.thing.mac != step.before.mac


def _interface(step: Step) -> tuple[str, str]:
    thing = step.thing
    return (thing.namespace, thing.link if isinstance(thing, Address) else thing.name)


def _send(link: str) -> None:
    """RFC 5227, section 1.1: an ARP request from an address for itself."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((link, ETH_P_ARP))
        mac = sender.getsockname()[4]
        answer = fcntl.ioctl(sender, SIOCGIFADDR, struct.pack("16s24x", link.encode()))
        address = answer[20:24]
        header = BROADCAST + mac + struct.pack("!H", ETH_P_ARP)
        sender.send(header + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + address + bytes(6) + address)


def _advertise(link: str, address: str) -> None:
    """RFC 4861, section 7.2.6: an unsolicited neighbor advertisement, which overrides what neighbours have cached."""
    index = socket.if_nametoindex(link)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as own:
        own.bind((link, 0))
        mac = own.getsockname()[4]
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sender:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sender.bind((address, 0, 0, index))
        # The kernel fills in the checksum.
        message = struct.pack("!BBHI", NEIGHBOR_ADVERTISEMENT, 0, 0, OVERRIDE)
        message += socket.inet_pton(socket.AF_INET6, address)
        message += struct.pack("!BB", TARGET_LINK_LAYER_ADDRESS, 1) + mac
        sender.sendto(message, (ALL_NODES, 0, 0, index))
