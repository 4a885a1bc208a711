# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge driver: a bridge of the host's that routes for its containers, each on the end of a veth pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import _ipam, _options, _validate
from .._errors import InvalidInput
from .._hostconfig import HOST, Address, Held, Link, Sysctl, endpoint_owner, network_owner
from .._model import FAMILIES, PREDEFINED_BRIDGE, PREDEFINED_BRIDGE_DEVICE, Endpoint, IpamBlock, Network
from .._options import Check
from . import interfaces

if TYPE_CHECKING:
    from .._facts import Facts
    from .._state import State

PORTS = 1023  # net/bridge/br_private.h: BR_MAX_PORTS, less port 0


class Bridge:
    """See ``Driver``."""

    name = "bridge"
    is_routed = True
    many_subnets = False
    options: Mapping[str, Check] = {**interfaces.OPTIONS, **_options.BRIDGE_OPTIONS}

    def placed(
        self, state: State, facts: Facts, subject: str, network: Network, present: Network | None, force: bool
    ) -> Network:
        usual = PREDEFINED_BRIDGE_DEVICE if network.name == PREDEFINED_BRIDGE else device_of(network.id)
        kept = usual if present is None else present.device
        device = network.options.get(_options.BRIDGE_NAME, kept)
        if present is None or device != kept:
            _refuse_taken(state, subject, network.name, device)
        return replace(network, device=device, foreign_device=False)

    def contradiction(self, network: Network) -> tuple[str, str, str] | None:
        options = network.options
        for key in _options.GATEWAY_MODE.values():
            if options.get(key) == _options.ISOLATED and not network.internal:
                return key, "is for internal networks", "set internal too, or choose another mode"
        for version in FAMILIES if network.ipam else ():
            for key in (_options.GATEWAY_MODE[version], _options.HOST_ADDRESS[version]):
                if key in options and network.block(version) is None:
                    remedy = f"set enable_ipv{version}, or give driver_options without it"
                    return key, f"is given without IPv{version}", remedy
        return None

    def uprooting(self, before: Network, after: Network) -> tuple[str, str, str] | None:
        return (_options.BRIDGE_NAME, before.device, after.device) if before.device != after.device else None

    def capacity(self, network: Network) -> tuple[int, str] | None:
        return PORTS, f"a bridge has no more than {PORTS} ports"

    def gives_mac(self, network: Network) -> bool:
        return True

    def taken_macs(self, facts: Facts, network: Network) -> Mapping[str, str]:
        return {_ipam.bridge_mac(network.id): "the network's bridge"}

    def next_hop(self, network: Network, block: IpamBlock) -> str | None:
        return None if network.internal else block.gateway

    def network_things(self, network: Network) -> Iterator[Held]:
        device = network.device
        yield Link(
            namespace=HOST,
            name=device,
            kind="bridge",
            owner=network_owner(network.name),
            mtu=_options.mtu(network.options),
            mac=_ipam.bridge_mac(network.id),
        )
        for block in network.ipam:
            if _options.has_gateway(network.options, block.version):
                yield Address(HOST, device, _ipam.with_prefix(block.gateway, block))
        has_ipv6 = network.block(6) is not None and _options.has_gateway(network.options, 6)
        yield from interfaces.ipv6_settings(HOST, device, network, has_ipv6)
        # A process of the host reaches a published port through the host's loopback addresses too.
        path = f"net/ipv4/conf/{device}/route_localnet"
        yield Sysctl(HOST, path, "0" if network.internal else "1", lasting=False)

    def endpoint_things(self, network: Network, endpoint: Endpoint, is_published: bool) -> Iterator[Held]:
        mtu = _options.mtu(network.options)
        owner = endpoint_owner(endpoint.id)
        inner, outer = (endpoint.container, endpoint.interface), (HOST, endpoint.host_link)
        yield Link(
            *outer,
            kind="veth",
            owner=owner,
            mtu=mtu,
            master=network.device,
            peer=inner,
            # With bridge-nf-call-iptables a bridge itself hands a published port's packet back to its sender.
            hairpin=is_published,
            # The ports themselves keep icc off: whether a bridge's frames pass the firewall is anybody's to switch.
            isolated=not _options.is_on(network.options, _options.ENABLE_ICC),
        )
        yield Link(*inner, kind="veth", owner=owner, mtu=mtu, mac=endpoint.mac, peer=outer)
        yield from interfaces.ipv6_settings(*inner, network, network.block(6) is not None)


def device_of(identity: str) -> str:
    """The name of the bridge of a network with that ID."""
    return "br-" + identity[:12]


def _refuse_taken(state: State, subject: str, name: str, device: str) -> None:
    _validate.interface(subject, _options.BRIDGE_NAME, device)
    problem = None
    if name == PREDEFINED_BRIDGE and device != PREDEFINED_BRIDGE_DEVICE:
        raise InvalidInput(
            subject,
            _options.BRIDGE_NAME,
            device,
            "is not the bridge of this predefined network",
            f"leave it out: that is {PREDEFINED_BRIDGE_DEVICE}",
        )
    if device == PREDEFINED_BRIDGE_DEVICE and name != PREDEFINED_BRIDGE:
        problem = f'is the bridge of the predefined network "{PREDEFINED_BRIDGE}"'
    for other in state.real_networks():
        if other.device == device and other.name != name:
            problem = f'is the {"parent" if other.driver != Bridge.name else "bridge"} of network "{other.name}"'
    if problem is not None:
        raise InvalidInput(subject, _options.BRIDGE_NAME, device, problem, "choose another name")
