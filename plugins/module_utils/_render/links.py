# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and endpoints as bridges, veth pairs, addresses and routes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .. import _ipam, _options
from .._hostconfig import HOST, Address, Link, Route, endpoint_owner, network_owner
from .._model import FAMILIES, Endpoint, IpamBlock, Network, version_of
from .._state import State

LINK_LOCAL_PREFIX = {4: 16, 6: 64}  # RFC 3927, RFC 4291


@dataclass
class Links:
    """The layer-2 and layer-3 part of a host configuration."""

    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)

    def add(self, link: Link) -> None:
        self.links[link.key] = link


def render_links(state: State) -> Links:
    found = Links()
    for network in state.real_networks():
        _bridge(found, network)
    published = {mapping.container for mapping in state.mappings.values()}
    for endpoint in state.endpoints.values():
        network = state.networks[endpoint.network]
        # The ports themselves keep icc off: whether frames inside a bridge pass the firewall is anybody's to switch.
        isolated = not _options.is_on(network.options, _options.ENABLE_ICC)
        _pair(found, network, endpoint, hairpin=endpoint.container in published, isolated=isolated)
    for container in state.containers:
        _default_routes(found, state, state.gateways_of(container))
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
        if _options.has_gateway(network.options, block.version):
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
    for address in endpoint.link_local:
        prefix = LINK_LOCAL_PREFIX[version_of(address)]
        found.addresses.append(Address(endpoint.container, endpoint.interface, f"{address}/{prefix}"))


def _default_routes(found: Links, state: State, endpoints: Iterable[Endpoint]) -> None:
    """In each family through the gateway of the first of these networks that has a way out."""
    for version in FAMILIES:
        for endpoint in endpoints:
            network = state.networks[endpoint.network]
            block = network.block(version)
            if block is not None and not network.internal:
                found.routes.append(Route(endpoint.container, endpoint.interface, "default", block.gateway))
                break


def _block_of(network: Network, address: str) -> IpamBlock:
    """The block of the network that an address of it belongs to."""
    block = network.block(version_of(address))
    assert block is not None
    return block


def _with_prefix(address: str, block: IpamBlock) -> str:
    return f"{address}/{block.subnet.partition('/')[2]}"
