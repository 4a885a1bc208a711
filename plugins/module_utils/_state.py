# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that was declared on one host."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from ._drivers import driver_of
from ._indexed import Indexed
from ._model import Container, Endpoint, Network, PortMapping, is_reference, version_of


class Containers(Indexed[str, Container]):
    """Containers by name; found by the container whose namespace they share, and by the ports of the host they have."""

    def places(self, record: Container) -> Iterator[Hashable]:
        yield ("id", record.id)
        if record.mode == "container":
            yield ("target", record.target)
        for each in record.ports:
            yield port_place(each.protocol, each.port)


class Endpoints(Indexed[tuple[str, str], Endpoint]):
    """Endpoints by (network, container); found by either, and by what no two of them may have."""

    def places(self, record: Endpoint) -> Iterator[Hashable]:
        yield ("network", record.network)
        yield ("container", record.container)
        if record.mac is not None:
            yield ("mac", record.mac)
        yield ("host link", record.host_link)
        for address in record.addresses:
            yield address_place(record.network, address)


class Mappings(Indexed[tuple[str, str, int], PortMapping]):
    """Port mappings by (protocol, host address, host port); found by container, and by the port on any address."""

    def places(self, record: PortMapping) -> Iterable[Hashable]:
        return (("container", record.container), port_place(record.protocol, record.host_port))


def address_place(network: str, address: str) -> Hashable:
    """Where the endpoint with an address is found. Integers, as looking for a free one compares so many."""
    parsed = ipaddress.ip_address(address)
    return (network, parsed.version, int(parsed))


def port_place(protocol: str, port: int) -> Hashable:
    """Where the mappings of a host port are found, and the containers in mode host that listen on it."""
    return (protocol, port)


def lets_in_ports(network: Network) -> bool:
    """Whether ports of the host may lead into the network."""
    return driver_of(network).is_routed and not network.internal


@dataclass
class State:
    """Networks, containers, endpoints and port mappings; and the backend that the firewall is made with, where
    there is one.

    Intents work on a copy, so that the declared and the wanted state can be compared afterwards.
    """

    networks: dict[str, Network] = field(default_factory=dict)
    containers: Containers = field(default_factory=Containers)
    endpoints: Endpoints = field(default_factory=Endpoints)
    mappings: Mappings = field(default_factory=Mappings)
    serial: int = 0
    firewall_backend: str = ""

    def copy(self) -> State:
        return State(
            dict(self.networks),
            Containers(self.containers),
            Endpoints(self.endpoints),
            Mappings(self.mappings),
            self.serial,
            self.firewall_backend,
        )

    def real_networks(self) -> list[Network]:
        """The networks that are something on the host."""
        return [network for network in self.networks.values() if not network.config_only]

    def routed_networks(self) -> list[Network]:
        """The networks that the host itself is the router of."""
        return [network for network in self.real_networks() if driver_of(network).is_routed]

    def next_serial(self) -> int:
        self.serial += 1
        return self.serial

    def endpoints_of(self, container: str) -> list[Endpoint]:
        """A container's endpoints, oldest first."""
        return sorted(self.endpoints.at(("container", container)), key=lambda each: each.serial)

    def gateways_of(self, container: str) -> list[Endpoint]:
        """A container's endpoints in the order in which they are to lead out: by priority, then oldest first."""
        return sorted(self.endpoints_of(container), key=lambda each: -each.gw_priority)

    def endpoints_on(self, network: str) -> list[Endpoint]:
        """A network's endpoints, oldest first."""
        return sorted(self.endpoints.at(("network", network)), key=lambda each: each.serial)

    def holder_of(self, network: str, address: str) -> Endpoint | None:
        """The endpoint that has the address in the network."""
        return next(iter(self.endpoints.at(address_place(network, address))), None)

    def publishing_endpoint(self, mapping: PortMapping) -> Endpoint | None:
        """Where a mapping leads to now, or None."""
        return self.way_in(mapping.container, version_of(mapping.host_ip), mapping.network)

    def way_in(self, container: str, version: int, network: str | None) -> Endpoint | None:
        """The first of a container's endpoints, or that on the network, that lets the outside in; None without one."""
        for endpoint in self.gateways_of(container):
            is_open = lets_in_ports(self.networks[endpoint.network]) and endpoint.address(version) is not None
            if is_open and network in (None, endpoint.network):
                return endpoint
        return None

    def mappings_of(self, container: str) -> list[PortMapping]:
        return sorted(self.mappings.at(("container", container)), key=lambda mapping: mapping.key)

    def forget_idle_references(self) -> None:
        """A container that somebody else runs is declared for as long as there is something to say of it."""
        for name in [name for name in self.containers if is_reference(name)]:
            used = self.endpoints.has(("container", name)) or self.mappings.has(("container", name))
            if not used and not self.sharers_of(name):
                del self.containers[name]

    def sharers_of(self, container: str) -> list[str]:
        """The containers that live in this one's namespace."""
        return sorted(each.name for each in self.containers.at(("target", container)))
