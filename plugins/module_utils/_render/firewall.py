# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model as firewall rule sets, one a family, and as identities to guard, in no backend's words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import _ipam, _options
from .._drivers import driver_of
from .._firewall.ruleset import DirectRule, Identity, NetworkRules, PortRule, Ruleset, collapsed, is_loopback
from .._model import FAMILIES, Endpoint, Network, PortMapping, version_of
from .._state import State


@dataclass(frozen=True)
class _Way:
    """How ports on one address of the host lead to a container: where to, and from which links directly, if from any.

    ``links`` is None where nobody addresses them directly, and empty where all may.
    """

    version: int
    target: str
    device: str
    local: bool
    translated: bool
    links: tuple[str, ...] | None


def render_rulesets(state: State) -> tuple[Ruleset, ...]:
    networks = sorted(state.routed_networks(), key=lambda network: network.name)
    rules: dict[int, tuple[list[PortRule], list[DirectRule]]] = {version: ([], []) for version in FAMILIES}
    ways: dict[tuple[str, str | None, str], _Way | None] = {}
    for _key, mapping in sorted(state.mappings.items()):
        place = (mapping.container, mapping.network, mapping.host_ip)
        if place not in ways:
            ways[place] = _way(state, *place)
        way = ways[place]
        if way is not None:
            _publish(way, mapping, *rules[way.version])
    return tuple(
        Ruleset(
            version=version,
            networks=tuple(_rules(network, version) for network in networks if _has_part(network, version)),
            ports=tuple(ports),
            direct=tuple(direct),
        )
        for version, (ports, direct) in rules.items()
    )


def _way(state: State, container: str, network: str | None, host_ip: str) -> _Way | None:
    """By a port of the host, or where the network is routed, by the container's own."""
    version = version_of(host_ip)
    endpoint = state.way_in(container, version, network)
    if endpoint is None:
        return None
    leads_to = state.networks[endpoint.network]
    routed = _options.gateway_mode(leads_to.options, version) == _options.ROUTED
    links: tuple[str, ...] | None = () if routed else _options.trusted_interfaces(leads_to.options) or None
    local = is_loopback(host_ip)
    target = str(endpoint.address(version))
    return _Way(version, target, leads_to.device, local, not routed, None if local else links)


def _publish(way: _Way, mapping: PortMapping, ports: list[PortRule], direct: list[DirectRule]) -> None:
    _container, protocol, port, host_ip, host_port, _random, _network, sources = mapping
    if sources:
        # A loopback address is only asked by processes of the host itself, which always may.
        sources = () if way.local else collapsed(sources)
    if way.translated:
        ports.append(PortRule(protocol, host_ip, host_port, way.target, port, sources))
    if way.links is not None:
        direct.append(DirectRule(protocol, way.device, way.target, port, way.links, sources))


def _has_part(network: Network, version: int) -> bool:
    """Whether a family's rules are about the network; IPv4's are about those without its addresses too.

    A container may take some itself, and is not to get out of an internal network with them. (Without IPv6 addresses
    the bridge has that family switched off.)
    """
    return network.block(version) is not None or (version == 4 and (network.internal or not network.ipam))


def _rules(network: Network, version: int) -> NetworkRules:
    options = network.options
    mode = _options.gateway_mode(options, version)
    return NetworkRules(
        device=network.device,
        subnets=tuple(block.subnet for block in network.blocks(version)),
        internal=network.internal,
        icc=_options.is_on(options, _options.ENABLE_ICC),
        masquerade=_options.is_on(options, _options.ENABLE_IP_MASQUERADE) and mode != _options.ROUTED,
        protected=network.internal or mode in (_options.NAT, _options.ISOLATED),
        open=mode == _options.UNPROTECTED and not network.internal,
        trusted=_options.trusted_interfaces(options),
        source=_options.host_address(options, version),
    )


def render_identities(state: State) -> tuple[Identity, ...]:
    """Who has which addresses: each bridge its own, each container those of all its networks, on all of its ports.

    A container may send from any of its addresses by any of its links, as Linux does. One that is on no bridge has no
    port on any, and nobody there can send as it.
    """
    bridged = state.routed_networks()
    if not bridged:
        return ()
    endpoints: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in state.endpoints.values():
        endpoints[endpoint.container].append(endpoint)
    return (
        *(_network_identity(network) for network in bridged),
        *(_container_identity(held, state.networks) for held in endpoints.values()),
    )


def _network_identity(network: Network) -> Identity:
    """What the bridge itself has; a gateway that it doesn't have is somebody's who is not declared."""
    mac = _ipam.bridge_mac(network.id)
    blocks = [block for block in network.ipam if _options.has_gateway(network.options, block.version)]
    return Identity(macs=(mac,), addresses=(*(block.gateway for block in blocks), *_own_link_local(network, mac)))


def _container_identity(endpoints: Sequence[Endpoint], networks: Mapping[str, Network]) -> Identity:
    links = [(endpoint, networks[endpoint.network]) for endpoint in endpoints]
    bridged = [(endpoint, network) for endpoint, network in links if driver_of(network).is_routed]
    return Identity(
        ports=tuple((endpoint.host_link, network.id[:12]) for endpoint, network in bridged),
        macs=tuple(endpoint.mac for endpoint in endpoints if endpoint.mac is not None),
        addresses=tuple(
            address
            for endpoint, network in links
            for address in (*endpoint.addresses, *_own_link_local(network, endpoint.mac))
        ),
        link_local=tuple(
            (network.id[:12], address) for endpoint, network in bridged for address in endpoint.link_local
        ),
    )


def _own_link_local(network: Network, mac: str | None) -> tuple[str, ...]:
    """What the kernel gives an interface with IPv6 itself; as unique as its hardware address."""
    return (_ipam.link_local_address(mac),) if network.block(6) is not None and mac is not None else ()
