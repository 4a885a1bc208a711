# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is plain values, and a declared state that tests change as the modules do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._errors import BridgeworkError, InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._facts import Facts, Interface, Listener
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import Route
from ansible_collections.bridgework.network.plugins.module_utils._intent import Item
from ansible_collections.bridgework.network.plugins.module_utils._intent.containers import BridgeSpec, apply_bridge
from ansible_collections.bridgework.network.plugins.module_utils._intent.networks import NetworkSpec, apply_networks
from ansible_collections.bridgework.network.plugins.module_utils._intent.ports import MappingSpec, apply_mappings
from ansible_collections.bridgework.network.plugins.module_utils._intent.prune import Pruned, PruneSpec, apply_prune
from ansible_collections.bridgework.network.plugins.module_utils._model import Container, Endpoint, Network, socket_text
from ansible_collections.bridgework.network.plugins.module_utils._state import State


@dataclass
class FakeFacts:
    """See ``_facts.Facts``."""

    machine_id: str = "0123456789abcdef0123456789abcdef"
    check_mode: bool = False
    now: str = "2025-01-01T00:00:00.000000Z"
    routes: Sequence[str] = ()
    ipv6: bool = True
    servers: Sequence[str] = ()
    addresses: frozenset[str] = frozenset({"127.0.0.1", "192.0.2.7"})
    faults: Mapping[str, str] = field(default_factory=dict)  # of sysctls, by path
    connected: Sequence[str] = ()
    sockets: Mapping[str, Sequence[Listener]] = field(default_factory=dict)  # by protocol
    holders: Mapping[int, str] = field(default_factory=dict)  # by inode
    port_range: tuple[int, int] = (49153, 65535)
    reserved: frozenset[int] = frozenset()
    namespaces: set[str] = field(default_factory=set)
    inodes: Mapping[str, int] = field(default_factory=dict)
    anchors: Mapping[str, str] = field(default_factory=dict)
    announced: set[str] = field(default_factory=set)
    processes: Mapping[str, list[str]] = field(default_factory=dict)
    interfaces: Mapping[str, set[str]] = field(default_factory=dict)
    links: Mapping[str, Interface] = field(default_factory=dict)  # the host's, by name
    link_kinds: frozenset[str] = frozenset({"macvlan", "ipvlan", "vlan", "dummy"})

    def hostname(self) -> str:
        return "example"

    def connected_subnets(self) -> Sequence[str]:
        return self.connected

    def routed_subnets(self) -> Sequence[str]:
        return self.routes

    def nameservers(self) -> Sequence[str]:
        return self.servers

    def has_ipv6(self) -> bool:
        return self.ipv6

    def interface(self, name: str) -> Interface | None:
        return self.links.get(name)

    def interfaces_on(self, lower: str) -> Mapping[str, Interface]:
        return {name: each for name, each in self.links.items() if each.lower == lower}

    def has_link_kind(self, kind: str) -> bool:
        return kind in self.link_kinds

    def local_addresses(self) -> frozenset[str]:
        return self.addresses

    def sysctl_faults(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return {path: self.faults[path] for path in values if path in self.faults}

    def listeners(self, protocol: str) -> Sequence[Listener]:
        return self.sockets.get(protocol, ())

    def holder_of(self, listener: Listener) -> str:
        return (
            f"process {self.holders[listener.inode]}, which listens on {socket_text(listener.address, listener.port)}"
        )

    def ephemeral_ports(self) -> tuple[int, int]:
        return self.port_range

    def reserved_ports(self) -> frozenset[int]:
        return self.reserved

    def has_namespace(self, container: str) -> bool:
        return container in self.namespaces

    def made_namespace(self, container: str) -> bool:
        return False

    def namespace_inode(self, container: str) -> int | None:
        return self.inodes.get(container)

    def look_up(self, containers: Iterable[str]) -> None:
        self.announced |= {*containers}

    def namespace_anchor(self, container: str) -> str | None:
        return self.anchors.get(container)

    def namespace_path(self, container: str) -> str:
        return f"/run/netns/{container}"

    def routes_in(self, container: str) -> Sequence[Route]:
        return ()

    def to_utc(self, local: datetime) -> datetime:
        return (local - timedelta(hours=2)).replace(tzinfo=timezone.utc)

    def processes_in(self, container: str) -> list[str]:
        return self.processes.get(container, [])

    def foreign_interfaces(self, container: str) -> set[str]:
        return self.interfaces.get(container, set())


class Declaration:
    """The declared state of a host. A change that is refused leaves it as it was."""

    def __init__(self, facts: FakeFacts | None = None) -> None:
        self.facts = facts or FakeFacts()
        self.state = State()

    def networks(self, *networks: Mapping[str, Any]) -> list[Item]:
        """As ``container_network`` with a list of networks."""
        specs = [NetworkSpec.from_params(each) for each in networks]
        return self._change(lambda state, facts: apply_networks(state, facts, specs))

    def network(self, name: str, **params: Any) -> list[Item]:
        """As ``container_network``; ``subnet`` and its like stand for ``ipam_config``."""
        block = {key: params.pop(key) for key in ("subnet", "iprange", "gateway", "aux_addresses") if key in params}
        return self.networks({"name": name, **({"ipam_config": [block]} if block else {}), **params})

    def bridge(self, *containers: Mapping[str, Any], **params: Any) -> list[Item]:
        """As ``netns_bridge``."""
        spec = BridgeSpec.from_params({"containers": list(containers) or None, **params})
        return self._change(lambda state, facts: apply_bridge(state, facts, spec))

    def mappings(self, *mappings: Mapping[str, Any]) -> list[Item]:
        """As ``port_mapping`` with a list of mappings."""
        specs = [MappingSpec.from_params(each) for each in mappings]
        return self._change(lambda state, facts: apply_mappings(state, facts, specs))

    def publish(self, container: str, *ports: str, **params: Any) -> list[Item]:
        """As ``port_mapping``."""
        return self.mappings({"container": container, "published_ports": list(ports), **params})

    def prune(self, **params: Any) -> Pruned:
        """As ``network_prune``."""
        spec = PruneSpec.from_params(params)
        return self._change(lambda state, facts: apply_prune(state, facts, spec))

    def __getitem__(self, network: str) -> Network:
        return self.state.networks[network]

    def container(self, name: str) -> Container:
        return self.state.containers[name]

    def endpoint(self, network: str, container: str) -> Endpoint:
        return self.state.endpoints[(network, container)]

    def address(self, network: str, container: str) -> str:
        (address,) = self.endpoint(network, container).addresses
        return address

    def on(self, network: str) -> set[str]:
        """The containers that are connected to the network."""
        return {endpoint.container for endpoint in self.state.endpoints_on(network)}

    def ports(self, container: str) -> set[str]:
        """The container's published ports, each as ``HOST_IP:HOST_PORT:CONTAINER_PORT/PROTOCOL``."""
        return {
            f"{mapping.host_ip}:{mapping.host_port}:{mapping.container_port}/{mapping.protocol}"
            for mapping in self.state.mappings_of(container)
        }

    def _change(self, intent: Callable[[State, Facts], Any]) -> Any:
        state = self.state.copy()
        outcome = intent(state, self.facts)
        state.firewall_backend = "iptables" if state.routed_networks() else ""
        self.state = state
        return outcome


@contextmanager
def refused(text: str, kind: type[BridgeworkError] = InvalidInput) -> Iterator[None]:
    """The block fails with exactly this text."""
    with pytest.raises(kind) as caught:
        yield
    assert str(caught.value) == text


def is_one_plain_line(text: str) -> bool:
    """Whether a terminal shows the text as the one line that it is."""
    return text.isascii() and text.isprintable()
