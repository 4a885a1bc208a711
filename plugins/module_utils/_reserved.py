# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports that the kernel keeps for those who ask for them: ours, beside those of an administrator. Pure.

Nobody holds a published port. The kernel would give it to an outgoing connection, whose answers then went to the
container. A service in mode host that is to be started would find its port taken by one. What is in the kernel's list
looks the same whoever put it there, so the ledger says what was there before us, and a run says in the ledger what it
is about to put there.
Source: ip_local_reserved_ports in the kernel's documentation of ip-sysctl.
"""

from __future__ import annotations

from collections.abc import Iterable

from ._hostconfig import HOST, RESERVED_PORTS, Sysctl
from ._ledger import Ledger
from ._state import State

LAST = 65535
PENDING = "ports"  # the kind of a pending row whose value they are

Ports = frozenset[int]


def parse(text: str) -> Ports:
    """A list as the kernel shows it: ``22,8000-8010``. Raises ValueError."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _dash, last = part.partition("-")
        low, high = int(first), int(last or first)
        if high > LAST:
            raise ValueError(f"{high} is no port")
        found.update(range(low, high + 1))
    return frozenset(found)


def write(ports: Iterable[int]) -> str:
    """The list as the kernel shows it, in as few ranges as will do."""
    runs: list[list[int]] = []
    for port in sorted(ports):
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def held(state: State) -> Ports:
    """The ports of mappings, and those that containers in mode host listen on."""
    claimed = (each.port for container in state.containers.values() for each in container.ports)
    return frozenset((*(mapping.host_port for mapping in state.mappings.values()), *claimed))


def of_others(reserved: Ports, declared: State, ledger: Ledger) -> Ports:
    """Those in the list that somebody else has put there, or had before they became ours too."""
    announced = (parse(value) for kind, _namespace, _link, value in ledger.pending if kind == PENDING)
    return reserved.difference(held(declared), *announced) | ledger.shared_ports


def wanted(state: State, others: Ports) -> Sysctl:
    """The list as it must be: never put back, since what others have put there meanwhile stays."""
    return Sysctl(HOST, RESERVED_PORTS, write(held(state) | others), lasting=False)


def announcement(before: State, after: State, others: Ports) -> tuple[str, str, str, str] | None:
    """What a run must have said if it is killed: these are ours, though nothing declared has them."""
    new = held(after) - held(before) - others
    return (PENDING, HOST, "", write(new)) if new else None


def shared(state: State, others: Ports) -> set[int]:
    """Published ports that stay in the list when they are published no longer."""
    return set(held(state) & others)
