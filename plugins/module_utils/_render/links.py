# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and endpoints as bridges, veth pairs, addresses and routes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from .. import _ipam, _options
from .._hostconfig import HOST, Address, Link, Route, Traits, endpoint_owner, network_owner
from .._model import Endpoint, IpamBlock, Network
from .._state import State


@dataclass
class Links:
    """The layer-2 and layer-3 part of a host configuration."""

    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)

    def add(self, link: Link) -> None:
        self.links[link.key] = link


def render_links(state: State, traits: Traits) -> Links:
    found = Links()
    for network in state.networks.values():
        _bridge(found, network)
    published = {mapping.container for mapping in state.mappings.values()}
    for endpoint in state.endpoints.values():
        network = state.networks[endpoint.network]
        # Where frames inside a bridge don't pass the firewall, its ports themselves must keep icc off. Where they do,
        # the bridge itself leads packets of published ports from port to port, which isolation would stop.
        isolated = not traits.bridge_netfilter and not _options.is_on(network.options, _options.ENABLE_ICC)
        _pair(found, network, endpoint, hairpin=endpoint.container in published, isolated=isolated)
    for container in state.containers:
        _default_route(found, state, state.endpoints_of(container))
    return found


def _bridge(found: Links, network: Network) -> None:
    found.add(
        Link(
            namespace=HOST,
            name=network.device,
            kind="bridge",
            owner=network_owner(network.name),
            mtu=_options.mtu(network.options),
            mac=_ipam.bridge_mac(network.id),
        )
    )
    for block in network.ipam:
        found.addresses.append(Address(HOST, network.device, _with_prefix(block.gateway, block)))


def _pair(found: Links, network: Network, endpoint: Endpoint, hairpin: bool, isolated: bool) -> None:
    mtu = _options.mtu(network.options)
    owner = endpoint_owner(endpoint.id)
    inner = (endpoint.container, endpoint.interface)
    found.add(
        Link(
            namespace=HOST,
            name=endpoint.host_link,
            kind="veth",
            owner=owner,
            mtu=mtu,
            master=network.device,
            peer=inner,
            # With bridge-nf-call-iptables a bridge itself hands a published port's packet back to its sender.
            hairpin=hairpin,
            isolated=isolated,
        )
    )
    found.add(
        Link(
            namespace=endpoint.container,
            name=endpoint.interface,
            kind="veth",
            owner=owner,
            mtu=mtu,
            mac=endpoint.mac,
            peer=(HOST, endpoint.host_link),
        )
    )
    for address in endpoint.addresses:
        block = _block_of(network, address)
        found.addresses.append(Address(endpoint.container, endpoint.interface, _with_prefix(address, block)))


def _default_route(found: Links, state: State, endpoints: Iterable[Endpoint]) -> None:
    """Through the gateway of the container's oldest network that has a way out."""
    for endpoint in endpoints:
        network = state.networks[endpoint.network]
        if not network.internal:
            gateway = _block_of(network, endpoint.addresses[0]).gateway
            found.routes.append(Route(endpoint.container, endpoint.interface, "default", gateway))
            return


def _block_of(network: Network, address: str) -> IpamBlock:
    """The block of the network that an address of it belongs to."""
    version = ipaddress.ip_address(address).version
    return next(block for block in network.ipam if ipaddress.ip_network(block.subnet).version == version)


def _with_prefix(address: str, block: IpamBlock) -> str:
    return f"{address}/{block.subnet.partition('/')[2]}"
