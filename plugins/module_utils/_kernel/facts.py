# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts that intents ask for, each read when it is first asked for."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from ipaddress import ip_address

from .._facts import Interface, Listener
from .._hostconfig import HOST, OWNER_PREFIX, Route
from .._ledger import Ledger
from .._model import socket_text
from . import Kernel, sockets
from .sysctl import has_ipv6
from .tables import LinkRow, names_of, read_link, read_route

ARPHRD_ETHER = 1  # include/uapi/linux/if_arp.h
DEFAULT_EPHEMERAL = (49153, 65535)  # Docker's, where the kernel doesn't say


class HostFacts:
    """See ``_facts.Facts``."""

    def __init__(
        self, kernel: Kernel, ledger: Ledger, check_mode: bool, reserved_ports: frozenset[int] = frozenset()
    ) -> None:
        self._namespaces = kernel.namespaces
        self._kernel = kernel
        self._tables = kernel.tables
        self._sysctls = kernel.sysctls
        # A run that was killed may not have come to mark them.
        self._unfinished = ledger.unfinished(HOST)
        self._made = frozenset(ledger.namespaces)
        self._reserved_ports = reserved_ports
        self.check_mode = check_mode
        self._link_kinds: dict[str, bool] = {}
        self.local_addresses = lru_cache(None)(kernel.tables.local_addresses)
        self.namespace_inode = lru_cache(None)(kernel.namespaces.inode)
        self.machine_id = _first_line("/etc/machine-id")
        self.now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    @cached_property
    def _foreign_routes(self) -> list[tuple[str, bool]]:
        """Where routes lead that leave through links that are not ours, default routes left out.

        Each as the destination in CIDR form and whether the host reaches it directly, without a gateway.
        """
        links = {row.index: row for row in self._tables.links(HOST)}
        return [
            (row.destination, row.link in links and not row.gateway)
            for row in self._tables.routes(HOST)
            if row.destination and not (row.link in links and _is_ours(links[row.link]))
        ]

    def hostname(self) -> str:
        return os.uname().nodename

    def routed_subnets(self) -> Sequence[str]:
        return [destination for destination, _direct in self._foreign_routes]

    def nameservers(self) -> Sequence[str]:
        return _nameservers()

    def connected_subnets(self) -> Sequence[str]:
        return [destination for destination, direct in self._foreign_routes if direct]

    def has_ipv6(self) -> bool:
        return has_ipv6()

    @cached_property
    def _interfaces(self) -> dict[str, Interface]:
        rows = self._tables.links(HOST)
        names = names_of(rows)
        addresses: dict[int, list[str]] = {}
        for one in self._tables.addresses(HOST):
            if not ip_address(one.address).is_link_local:
                addresses.setdefault(one.link, []).append(one.address)
        found = {}
        for row in rows:
            link = read_link(HOST, row, names)
            if not link.marked and link.name in self._unfinished:
                continue  # it is made anew
            is_near = link.kind != "veth" and row.lower_netns is None
            found[link.name] = Interface(
                kind=link.kind,
                is_up=link.up,
                mtu=link.mtu or 0,
                owner=link.owner if link.marked else None,
                master=link.master,
                mac=link.mac or "",
                lower=names.get(row.lower) if is_near else None,
                variant=link.variant,
                is_ethernet=row.hardware == ARPHRD_ETHER,
                addresses=tuple(addresses.get(row.index, ())),
            )
        return found

    def interface(self, name: str) -> Interface | None:
        return self._interfaces.get(name)

    def interfaces_on(self, lower: str) -> Mapping[str, Interface]:
        return {name: each for name, each in self._interfaces.items() if each.lower == lower}

    def has_link_kind(self, kind: str) -> bool:
        if kind not in self._link_kinds:
            self._link_kinds[kind] = self._kernel.netlink.has_kind(kind)
        return self._link_kinds[kind]

    def listeners(self, protocol: str) -> Sequence[Listener]:
        return sockets.listeners(protocol)

    def holder_of(self, listener: Listener) -> str:
        pid = self._holders.get(listener.inode)
        process = "that can't be seen from here" if pid is None else sockets.process_name(pid)
        return f"process {process}, which listens on {socket_text(listener.address, listener.port)}"

    @cached_property
    def _holders(self) -> dict[int, int]:
        return sockets.holders()

    def ephemeral_ports(self) -> tuple[int, int]:
        found = self._read("net/ipv4/ip_local_port_range").split()
        return (int(found[0]), int(found[1])) if len(found) == 2 else DEFAULT_EPHEMERAL

    def reserved_ports(self) -> frozenset[int]:
        return self._reserved_ports

    def has_namespace(self, container: str) -> bool:
        return self._namespaces.inode(container) is not None

    def made_namespace(self, container: str) -> bool:
        return container in self._made

    def look_up(self, containers: Iterable[str]) -> None:
        self._namespaces.look_up(containers)

    def namespace_anchor(self, container: str) -> str | None:
        return self._namespaces.anchor(container)

    def namespace_path(self, container: str) -> str:
        return self._namespaces.place(container)

    def routes_in(self, container: str) -> Sequence[Route]:
        if not self.has_namespace(container):
            return []
        names = names_of(self._tables.links(container))
        return [read_route(container, row, names) for row in self._tables.routes(container)]

    def to_utc(self, local: datetime.datetime) -> datetime.datetime:
        return local.astimezone(datetime.timezone.utc)

    def processes_in(self, container: str) -> list[str]:
        inode = self._namespaces.inode(container)
        return [] if inode is None else self._processes.get(inode, [])

    @cached_property
    def _processes(self) -> dict[int, list[str]]:
        return sockets.processes_by_namespace()

    def foreign_interfaces(self, container: str) -> set[str]:
        # A handle on the host's own namespace is about to be replaced by a namespace that is empty.
        if self._namespaces.inode(container) in (None, self._namespaces.inode(HOST)):
            return set()
        foreign = [row for row in self._tables.links(container) if not _is_ours(row)]
        names = names_of(self._tables.links(HOST)) if foreign and self._unfinished else {}
        ends = {index for index, name in names.items() if name in self._unfinished}
        return {row.name for row in foreign if row.lower not in ends}

    def sysctl_faults(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return self._sysctls.tried(values)

    def _read(self, path: str) -> str:
        return self._sysctls.read(HOST, [path]).get(path, "")


def _is_ours(row: LinkRow) -> bool:
    return row.alias.startswith(OWNER_PREFIX)


def _nameservers() -> list[str]:
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            words = [line.split() for line in file]
    except OSError:
        return []
    found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    return [address.partition("%")[0] for address in found]


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return os.uname().nodename
