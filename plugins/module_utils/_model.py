# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared: networks, containers, endpoints and port mappings.

Records are immutable and hold plain strings, so that they compare, print and store as they are. Addresses are in
their canonical text form; a subnet is ``address/prefix`` with no host bits set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

PREDEFINED_BRIDGE = "bridge"
PREDEFINED_BRIDGE_DEVICE = "bw0"
PREDEFINED_NETWORKS = (PREDEFINED_BRIDGE, "host", "none")

MODES = ("bridge", "none", "host", "container")
FAMILIES = (4, 6)  # IPv4 and IPv6
PROTOCOLS = ("tcp", "udp", "sctp")
UNSPECIFIED = {4: "0.0.0.0", 6: "::"}
WILDCARDS = tuple(UNSPECIFIED.values())


def is_reference(container: str) -> bool:
    """Whether that is no name below /run/netns, but says who runs the container: see ``_references``."""
    return container.startswith("/") or ":" in container


def version_of(address: str) -> int:
    """The family of an address or subnet: 4 or 6."""
    return 6 if ":" in address else 4


def socket_text(host_ip: str, ports: object, protocol: str = "") -> str:
    """An address with a port, or ports, as users write it."""
    address = f"[{host_ip}]" if ":" in host_ip else host_ip
    return f"{address}:{ports}" + (f"/{protocol}" if protocol else "")


@dataclass(frozen=True)
class IpamBlock:
    """One subnet of a network, and how addresses are given out in it."""

    subnet: str
    gateway: str
    iprange: str | None = None
    aux_addresses: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return version_of(self.subnet)


@dataclass(frozen=True)
class Network:
    """A named layer-2 segment with address management; one that is ``config_only`` is nothing on the host.

    ``device`` is the host's interface that its endpoints are on; it is made for the network, unless it is foreign.
    """

    id: str
    name: str
    driver: str
    device: str
    ipam: tuple[IpamBlock, ...]
    created: str
    foreign_device: bool = False
    internal: bool = False
    attachable: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = field(default_factory=dict)
    config_only: bool = False
    config_from: str | None = None

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED_NETWORKS

    def block(self, version: int) -> IpamBlock | None:
        """The (first) subnet of a family; None where the network doesn't have that family."""
        return next(iter(self.blocks(version)), None)

    def blocks(self, version: int) -> list[IpamBlock]:
        return [block for block in self.ipam if block.version == version]

    @property
    def versions(self) -> list[int]:
        """The families that the network has."""
        return [version for version in FAMILIES if self.blocks(version)]


class HostPort(NamedTuple):
    """A port of the host that a container in mode host listens on; on every address where ``host_ip`` is empty."""

    protocol: str
    host_ip: str
    port: int

    @property
    def host_ips(self) -> tuple[str, ...]:
        return (self.host_ip,) if self.host_ip else WILDCARDS

    def covers(self, other: HostPort) -> bool:
        """Whether who has this one has the other."""
        own = self.host_ip in ("", other.host_ip)
        own = own or (other.host_ip != "" and self.host_ip == UNSPECIFIED[version_of(other.host_ip)])
        return own and (self.protocol, self.port) == (other.protocol, other.port)

    @property
    def shown(self) -> str:
        """As users write it."""
        return socket_text(self.host_ip, self.port, self.protocol) if self.host_ip else f"{self.port}/{self.protocol}"


@dataclass(frozen=True)
class Container:
    """Something that owns a network namespace, reached at ``/run/netns/NAME``, unless its name is a reference.

    ``anchor`` tells the process that an ID led to, in the namespace that it had, from others that the ID comes to.
    ``ports`` are those of the host that it listens on, in mode host.
    """

    id: str
    name: str
    mode: str
    created: str
    target: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    anchor: str | None = None
    ports: tuple[HostPort, ...] = ()

    @property
    def owns_namespace(self) -> bool:
        """False where the container is a handle on somebody else's namespace."""
        return self.mode in ("bridge", "none")


@dataclass(frozen=True)
class Endpoint:
    """One container's interface in one network, with an address of each of the network's families.

    ``mac`` is None where the driver has none to give. ``host_link`` is the other end of a pair, where there is one.
    ``links`` are ``CONTAINER:NAME``; ``link_local`` are further addresses; ``driver_opts`` have Docker's keys. The
    default routes lead through the endpoint with the highest ``gw_priority``.
    """

    id: str
    network: str
    container: str
    serial: int
    addresses: tuple[str, ...]
    mac: str | None
    interface: str
    host_link: str
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    link_local: tuple[str, ...] = ()
    gw_priority: int = 0
    driver_opts: Mapping[str, str] = field(default_factory=dict)

    def address(self, version: int) -> str | None:
        """The address of a family; None where there is none."""
        return next((address for address in self.addresses if version_of(address) == version), None)


class PortMapping(NamedTuple):
    """A published port. ``random`` says that the host port was chosen here, not by the user.

    A tuple, since a host may have tens of thousands.
    ``sources``: subnets whose hosts alone may use it, in CIDR form; everybody may where there are none.
    """

    container: str
    protocol: str
    container_port: int
    host_ip: str
    host_port: int
    random: bool = False
    network: str | None = None
    sources: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.protocol, self.host_ip, self.host_port)

    @property
    def shown(self) -> str:
        """As users write where it is published."""
        return socket_text(self.host_ip, self.host_port, self.protocol)
