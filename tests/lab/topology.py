# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is where: a LAN with the host under test and a peer, and a remote behind a router.

                        lan 192.0.2.0/24, 2001:db8:1::/64          wan 198.51.100.0/24, 2001:db8:2::/64
    host .10, ::10 ──┬────────────────────────── router .1, ::1 ────────────────────────── remote .2, ::2
    peer .20, ::20 ──┘

The router knows no route to the networks of containers. The segments are bridges in a namespace of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SEGMENTS = ("lan", "wan")
# A kernel that was booted with ipv6.disable=1 has hosts with the rest.
HAS_IPV6 = os.path.isdir("/proc/sys/net/ipv6")

# A new namespace gets its IPv4 settings from the machine: what matters here must not depend on that.
# rp_filter 2 is what systemd sets on Debian. Addresses are usable at once without duplicate address detection.
COMMON_SYSCTLS = {
    "net/ipv4/ip_forward": "0",
    "net/ipv4/conf/all/rp_filter": "2",
    "net/ipv4/conf/default/rp_filter": "2",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
}
SWITCH_SYSCTLS = {"net/ipv6/conf/default/disable_ipv6": "1"} if HAS_IPV6 else {}


@dataclass(frozen=True)
class Interface:
    """One interface: the segment that it is plugged into, and its addresses with their prefix lengths."""

    name: str
    segment: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """One host: its interfaces, the gateways of its default routes, and settings beyond the common ones."""

    interfaces: tuple[Interface, ...]
    gateways: tuple[str, ...] = ()
    extra_sysctls: Mapping[str, str] = field(default_factory=dict)

    @property
    def sysctls(self) -> dict[str, str]:
        wanted = {**COMMON_SYSCTLS, **self.extra_sysctls}
        return {key: value for key, value in wanted.items() if HAS_IPV6 or not key.startswith("net/ipv6/")}

    @property
    def addresses(self) -> list[str]:
        """All addresses, without prefix lengths."""
        return [address.partition("/")[0] for interface in self.interfaces for address in interface.addresses]


def _on_lan(number: int) -> tuple[Interface]:
    return (Interface("eth0", "lan", (f"192.0.2.{number}/24", f"2001:db8:1::{number}/64")),)


LAN_GATEWAYS = ("192.0.2.1", "2001:db8:1::1")

PLANS = {
    "host": Plan(_on_lan(10), LAN_GATEWAYS),
    "peer": Plan(_on_lan(20), LAN_GATEWAYS),
    "router": Plan(
        (*_on_lan(1), Interface("eth1", "wan", ("198.51.100.1/24", "2001:db8:2::1/64"))),
        extra_sysctls={"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"},
    ),
    "remote": Plan(
        (Interface("eth0", "wan", ("198.51.100.2/24", "2001:db8:2::2/64")),), ("198.51.100.1", "2001:db8:2::1")
    ),
}


def switch_batch(pids: Mapping[str, int]) -> str:
    """Lines for `ip -batch` in the switch: the segments, and a port for each interface of the hosts with these pids."""
    lines = []
    for segment in SEGMENTS:
        lines.append(f"link add {segment} up type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
    for name, pid in pids.items():
        for interface in PLANS[name].interfaces:
            port = f"{name}-{interface.name}"
            # The other end is born in its host: neither is ever anywhere else.
            lines.append(f"link add {port} master {interface.segment} up type veth peer {interface.name} netns {pid}")
    return _batch(lines)


def host_batch(name: str) -> str:
    """Lines for `ip -batch` in a host: its addresses and routes."""
    plan = PLANS[name]
    lines = []
    for interface in plan.interfaces:
        lines.append(f"link set {interface.name} up")
        lines += [f"address add {address} dev {interface.name}" for address in _usable(interface.addresses)]
    lines += [f"route add default via {gateway}" for gateway in _usable(plan.gateways)]
    return _batch(lines)


def _usable(addresses: Iterable[str]) -> list[str]:
    return [address for address in addresses if HAS_IPV6 or ":" not in address]


def _batch(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
