# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and endpoints as links, addresses, routes and the settings of the host's links."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .. import _ipam
from .._drivers import driver_of
from .._hostconfig import Address, Held, Link, Route, Sysctl
from .._model import FAMILIES, Endpoint, IpamBlock, Network, version_of
from .._state import State

LINK_LOCAL_PREFIX = {4: 16, 6: 64}  # RFC 3927, RFC 4291


@dataclass
class Links:
    """The layer-2 and layer-3 part of a host configuration."""

    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    sysctls: list[Sysctl] = field(default_factory=list)

    def add(self, things: Iterable[Held]) -> None:
        for thing in things:
            if isinstance(thing, Link):
                self.links[thing.key] = thing
            elif isinstance(thing, Address):
                self.addresses.append(thing)
            elif isinstance(thing, Route):
                self.routes.append(thing)
            elif isinstance(thing, Sysctl):
                self.sysctls.append(thing)


def render_links(state: State) -> Links:
    found = Links()
    for network in state.real_networks():
        found.add(driver_of(network).network_things(network))
    published = {mapping.container for mapping in state.mappings.values()}
    for endpoint in state.endpoints.values():
        network = state.networks[endpoint.network]
        found.add(driver_of(network).endpoint_things(network, endpoint, endpoint.container in published))
        found.add(_addresses(network, endpoint))
    for container in state.containers:
        found.add(_default_routes(state, state.gateways_of(container)))
    return found


def _addresses(network: Network, endpoint: Endpoint) -> Iterable[Address]:
    for address in endpoint.addresses:
        with_prefix = _ipam.with_prefix(address, _block_of(network, address))
        yield Address(endpoint.container, endpoint.interface, with_prefix)
    for address in endpoint.link_local:
        prefix = LINK_LOCAL_PREFIX[version_of(address)]
        yield Address(endpoint.container, endpoint.interface, f"{address}/{prefix}")


def _default_routes(state: State, endpoints: Iterable[Endpoint]) -> Iterable[Route]:
    """In each family through the gateway of the first of these networks that has a way out."""
    for version in FAMILIES:
        for endpoint in endpoints:
            network, address = state.networks[endpoint.network], endpoint.address(version)
            if address is None:
                continue
            hop = driver_of(network).next_hop(network, _block_of(network, address))
            if hop is not None:
                yield Route(endpoint.container, endpoint.interface, "default", hop)
                break


def _block_of(network: Network, address: str) -> IpamBlock:
    """The block of the network that an address of it belongs to."""
    blocks = network.blocks(version_of(address))
    found = blocks[0] if len(blocks) == 1 else _ipam.block_of(network, address)
    if found is None:
        raise AssertionError(f"{address} is in no block of {network.name}")
    return found
