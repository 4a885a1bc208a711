# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of others that stop what ours let through. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

FAMILIES = {"ip": {4}, "ip6": {6}, "inet": {4, 6}}


class Barrier(NamedTuple):
    """A chain of somebody's that all forwarded packets pass, and what becomes there of those that nobody names.

    ``names`` are the interfaces that its table names, which may end in ``*``. ``overtakes``: it comes before our rules
    in a chain in which these come first. ``only``: what it does, it does to these interfaces.
    """

    table: str
    chain: str
    end: str
    names: tuple[str, ...]
    overtakes: bool = False
    only: tuple[str, ...] = ()


def objections(barriers: Iterable[Barrier], devices: Mapping[str, Iterable[int]]) -> list[str]:
    """What to tell the user, a line each. ``devices``: ours, with the families that they forward."""
    found = []
    for barrier in barriers:
        families = FAMILIES[barrier.table.partition(" ")[0]]
        stopped = [
            device
            for device, versions in sorted(devices.items())
            if not families.isdisjoint(versions) and not any(_covers(name, device) for name in barrier.names)
            if not barrier.only or any(_covers(name, device) for name in barrier.only)
        ]
        if stopped:
            found.append(
                f"firewall: chain {barrier.chain} of the table {barrier.table} {barrier.end}, which stops what is to "
                f"pass {', '.join(stopped)}; {_remedy(barrier, stopped)}"
            )
    return found


def _remedy(barrier: Barrier, devices: Collection[str]) -> str:
    if barrier.overtakes:
        return "put that rule behind the jump to BRIDGEWORK-FORWARD"
    if barrier.table.endswith(" firewalld"):
        options = " ".join(f"--add-interface={device}" for device in devices)
        return f"see to it with: firewall-cmd --permanent --zone=trusted {options} && firewall-cmd --reload"
    accept = "accept these interfaces there, in both directions"
    if (barrier.table.partition(" ")[2], barrier.chain) == ("filter", "FORWARD"):
        return f"set firewall_backend to iptables, or {accept}"
    return accept


def _covers(name: str, device: str) -> bool:
    return device.startswith(name[:-1]) if name.endswith("*") else name == device
