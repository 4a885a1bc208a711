# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has which port of the host: our mappings, containers in mode host, and the host's own listening sockets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from ._facts import Facts, Listener
from ._model import UNSPECIFIED, WILDCARDS, HostPort, PortMapping, socket_text, version_of
from ._state import State, port_place


class HostPorts:
    """The ports of a state that changes, and the sockets of a host."""

    def __init__(self, state: State, facts: Facts) -> None:
        self._state = state
        self._facts = facts
        self._listening: dict[str, dict[int, list[Listener]]] = {}

    def is_free(self, protocol: str, host_ips: Iterable[str], port: int) -> bool:
        """Whether nobody keeps the port from being published on the addresses."""
        return not any(
            self.mapping_on(protocol, host_ip, port)
            or self.claim_on(protocol, host_ip, port)
            or self.listener_on(protocol, host_ip, port)
            for host_ip in host_ips
        )

    def clash(self, protocol: str, host_ips: Iterable[str], port: int) -> tuple[str, str] | None:
        """The address that the port is taken on, and by whom, in words; None where it is free."""
        for host_ip in host_ips:
            found = self._declared(protocol, host_ip, port) or self._listening_there(protocol, host_ip, port)
            if found is not None:
                return host_ip, found
        return None

    def declared_on(self, port: HostPort, claimant: str) -> str | None:
        """Who else than the claimant is declared to have the port, in words: a mapping, or a container in mode host."""
        found = (self._declared(port.protocol, host_ip, port.port, claimant) for host_ip in port.host_ips)
        return next(filter(None, found), None)

    def listening_on(self, port: HostPort) -> str | None:
        """The process that listens on the port now, in words."""
        found = (self._listening_there(port.protocol, host_ip, port.port) for host_ip in port.host_ips)
        return next(filter(None, found), None)

    def _declared(self, protocol: str, host_ip: str, port: int, claimant: str | None = None) -> str | None:
        mapping = self.mapping_on(protocol, host_ip, port)
        if mapping is not None:
            where = f"{socket_text(mapping.host_ip, port)} leads to its port {mapping.container_port}"
            return f'container "{mapping.container}" ({where})'
        claimed = self.claim_on(protocol, host_ip, port, claimant)
        return None if claimed is None else f'container "{claimed[0]}" (mode host, its port {claimed[1].shown})'

    def _listening_there(self, protocol: str, host_ip: str, port: int) -> str | None:
        listener = self.listener_on(protocol, host_ip, port)
        return None if listener is None else self._facts.holder_of(listener)

    def mapping_on(self, protocol: str, host_ip: str, port: int) -> PortMapping | None:
        """The mapping that excludes another one there."""
        for mapping in self._state.mappings.at(port_place(protocol, port)):
            if _share_an_address(mapping.host_ip, host_ip):
                return mapping
        return None

    def claim_on(
        self, protocol: str, host_ip: str, port: int, claimant: str | None = None
    ) -> tuple[str, HostPort] | None:
        """The container in mode host, other than the claimant, that is declared to listen there, and its port."""
        for container in self._state.containers.at(port_place(protocol, port)):
            for each in container.ports if container.name != claimant else ():
                is_it = (each.protocol, each.port) == (protocol, port)
                if is_it and any(_share_an_address(one, host_ip) for one in each.host_ips):
                    return container.name, each
        return None

    def listener_on(self, protocol: str, host_ip: str, port: int) -> Listener | None:
        """A socket of the host that waits for the peers that address the port there."""
        for listener in self._listeners(protocol).get(port, ()):
            takes_ipv4 = listener.address == UNSPECIFIED[6] and not listener.v6only
            if _share_an_address(listener.address, host_ip) or (takes_ipv4 and version_of(host_ip) == 4):
                return listener
        return None

    def _listeners(self, protocol: str) -> Mapping[int, Iterable[Listener]]:
        if protocol not in self._listening:
            found: dict[int, list[Listener]] = defaultdict(list)
            for listener in self._facts.listeners(protocol):
                found[listener.port].append(listener)
            self._listening[protocol] = found
        return self._listening[protocol]


def _share_an_address(one: str, other: str) -> bool:
    """Whether two addresses to listen on exclude each other; a wildcard excludes all of its family."""
    return one == other or (version_of(one) == version_of(other) and (one in WILDCARDS or other in WILDCARDS))
