# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings by their path below /proc/sys: which link one belongs to, and which ones rewrite others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

FORWARDING = "net/ipv4/ip_forward"
FORWARDING6 = "net/ipv6/conf/all/forwarding"
LEADERS = (FORWARDING, FORWARDING6)  # of the host: what they rewrite is put back with them
IPV6_MTU = 1280  # RFC 8200, section 5: the kernel takes IPv6 off a link with less
SHARED = ("all", "default")  # stand in the place of a link's name, and for no link

# Settings that the kernel copies to every link, and whatever else it rewrites along with them: net/ipv4/devinet.c
# (inet_forward_change), net/ipv6/addrconf.c (addrconf_fixup_forwarding, _disable_ipv6, _linkdown, addr_gen_mode).
COPIED = {
    FORWARDING: ("ipv4", "forwarding"),
    "net/ipv4/conf/all/forwarding": ("ipv4", "forwarding"),
    FORWARDING6: ("ipv6", "forwarding"),
    "net/ipv6/conf/all/disable_ipv6": ("ipv6", "disable_ipv6"),
    "net/ipv6/conf/all/ignore_routes_with_linkdown": ("ipv6", "ignore_routes_with_linkdown"),
    "net/ipv6/conf/all/addr_gen_mode": ("ipv6", "addr_gen_mode"),
}
ALONG = {
    FORWARDING: ("net/ipv4/conf/all/accept_redirects",),
    "net/ipv4/conf/all/forwarding": ("net/ipv4/conf/all/accept_redirects",),
}

Written = TypeVar("Written")


def link_in(path: str) -> str | None:
    """The link that a setting belongs to; None for those of no link."""
    parts = path.split("/")
    is_links = len(parts) == 5 and parts[2] in ("conf", "neigh") and parts[3] not in SHARED
    return parts[3] if is_links else None


def on_link(path: str, link: str) -> str:
    """The same setting of another link."""
    parts = path.split("/")
    return "/".join([*parts[:3], link, *parts[4:]])


def is_rewritten_by(path: str, leader: str) -> bool:
    """Whether writing the leader changes this setting."""
    if path == leader:
        return False
    parts = path.split("/")
    copied = len(parts) == 5 and parts[2] == "conf" and (parts[1], parts[4]) == COPIED.get(leader)
    return copied or path in ALONG.get(leader, ())


def rank(path: str) -> int:
    """The more a setting leads, the earlier it is written.

    Before all others whether router advertisements are heeded: forwarding drops what was learned from them.
    """
    if path.endswith("/accept_ra"):
        return -1
    if path in COPIED:
        return 0 if path == FORWARDING else 1
    return 2 if any(f"/conf/{shared}/" in path for shared in SHARED) else 3


def written_in_turn(settings: Iterable[Written], write: Callable[[Written], str | None]) -> dict[Written, str]:
    """Write all, those that are refused again after the others, since some bound each other; what is refused for good.

    ``write`` returns what speaks against a setting, or None.
    """
    waiting = list(settings)
    while True:
        faults = {each: fault for each in waiting for fault in (write(each),) if fault is not None}
        if len(faults) == len(waiting):
            return faults
        waiting = list(faults)
