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


def announce(namespaces: Namespaces, steps: Iterable[Step]) -> None:
    """A gratuitous ARP for each interface of a container that the steps gave another address, IPv4 or hardware."""
    for namespace, link in sorted({_interface(step) for step in steps if _is_news(step)}):
        # One that is down or without an address has nothing to say.
        with suppress(OSError), namespaces.inside(namespace):
            _send(link)


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
