# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared state of one host: networks, containers, endpoints and port mappings.

Records are immutable and hold plain strings, so that they compare, print and store as they are. Addresses are in
their canonical text form; a subnet is ``address/prefix`` with no host bits set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PREDEFINED_BRIDGE = "bridge"
PREDEFINED_BRIDGE_DEVICE = "bw0"
PREDEFINED_NETWORKS = (PREDEFINED_BRIDGE, "host", "none")

MODES = ("bridge", "none", "host", "container")
PROTOCOLS = ("tcp", "udp")
WILDCARDS = ("0.0.0.0", "::")


@dataclass(frozen=True)
class IpamBlock:
    """One subnet of a network, and how addresses are given out in it."""

    subnet: str
    gateway: str
    iprange: str | None = None
    aux_addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """A named layer-2 segment with address management."""

    id: str
    name: str
    driver: str
    device: str
    ipam: tuple[IpamBlock, ...]
    created: str
    internal: bool = False
    attachable: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED_NETWORKS


@dataclass(frozen=True)
class Container:
    """Something that owns a network namespace, reached at ``/run/netns/NAME``."""

    id: str
    name: str
    mode: str
    created: str
    target: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)

    @property
    def owns_namespace(self) -> bool:
        """False where the container is a handle on somebody else's namespace."""
        return self.mode in ("bridge", "none")


@dataclass(frozen=True)
class Endpoint:
    """One container's interface in one network."""

    id: str
    network: str
    container: str
    serial: int
    addresses: tuple[str, ...]
    mac: str
    interface: str
    host_link: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortMapping:
    """A published port. ``random`` says that the host port was chosen here, not by the user."""

    container: str
    protocol: str
    container_port: int
    host_ip: str
    host_port: int
    random: bool = False
    network: str | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.protocol, self.host_ip, self.host_port)


EndpointKey = tuple[str, str]
MappingKey = tuple[str, str, int]


@dataclass
class State:
    """Everything that was declared on one host.

    Intents work on a copy, so that the declared and the wanted state can be compared afterwards.
    """

    networks: dict[str, Network] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    endpoints: dict[EndpointKey, Endpoint] = field(default_factory=dict)
    mappings: dict[MappingKey, PortMapping] = field(default_factory=dict)
    serial: int = 0

    def copy(self) -> State:
        return State(dict(self.networks), dict(self.containers), dict(self.endpoints), dict(self.mappings), self.serial)

    def next_serial(self) -> int:
        self.serial += 1
        return self.serial

    def endpoints_of(self, container: str) -> list[Endpoint]:
        """A container's endpoints, oldest first."""
        return sorted((e for e in self.endpoints.values() if e.container == container), key=lambda e: e.serial)

    def endpoints_by_container(self) -> dict[str, list[Endpoint]]:
        """Every container's endpoints, oldest first; containers without one are left out."""
        found: dict[str, list[Endpoint]] = {}
        for endpoint in sorted(self.endpoints.values(), key=lambda e: e.serial):
            found.setdefault(endpoint.container, []).append(endpoint)
        return found

    def publishing_endpoint(self, mapping: PortMapping, endpoints: Iterable[Endpoint]) -> Endpoint | None:
        """Where a mapping leads to now: the first of its container's endpoints that lets the outside in, or None."""
        for endpoint in endpoints:
            if mapping.network in (None, endpoint.network) and not self.networks[endpoint.network].internal:
                return endpoint
        return None

    def endpoints_on(self, network: str) -> list[Endpoint]:
        """A network's endpoints, oldest first."""
        return sorted((e for e in self.endpoints.values() if e.network == network), key=lambda e: e.serial)

    def mappings_of(self, container: str) -> list[PortMapping]:
        return sorted((m for m in self.mappings.values() if m.container == container), key=lambda m: m.key)

    def sharers_of(self, container: str) -> list[str]:
        """The containers that live in this one's namespace."""
        return sorted(c.name for c in self.containers.values() if c.mode == "container" and c.target == container)
