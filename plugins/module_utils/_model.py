# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared: networks, containers, endpoints and port mappings.

Records are immutable and hold plain strings, so that they compare, print and store as they are. Addresses are in
their canonical text form; a subnet is ``address/prefix`` with no host bits set.
"""

from __future__ import annotations

from collections.abc import Mapping
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
