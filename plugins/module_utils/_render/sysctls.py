# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings that networks and containers need, and those that go back to what they were."""

from __future__ import annotations

from collections.abc import Mapping

from .. import _options
from .._hostconfig import HOST, Sysctl, Traits
from .._intent import endpoint_options
from .._ledger import Ledger
from .._model import Network
from .._settings import FORWARDING, FORWARDING6, IPV6_MTU, link_in
from .._state import State


def render_sysctls(state: State, ledger: Ledger, traits: Traits) -> dict[tuple[str, str], Sysctl]:
    """What networks and containers need."""
    wanted = [Sysctl(HOST, FORWARDING, "1")] if any(network.block(4) for network in state.real_networks()) else []
    if any(network.block(6) for network in state.real_networks()):
        wanted += _router(state, ledger, traits)
    for network in state.real_networks():
        wanted += _ipv6(HOST, network.device, network, _options.has_gateway(network.options, 6))
        # A process of the host reaches a published port through the host's loopback addresses too.
        path = f"net/ipv4/conf/{network.device}/route_localnet"
        wanted.append(Sysctl(HOST, path, "0" if network.internal else "1", lasting=False))
    for endpoint in state.endpoints.values():
        wanted += _ipv6(endpoint.container, endpoint.interface, state.networks[endpoint.network])
        settings = endpoint_options.settings(endpoint.driver_opts, endpoint.interface)
        wanted += [Sysctl(endpoint.container, path, value) for path, value in settings.items()]
    for container in state.containers.values():
        wanted += [Sysctl(container.name, path, value) for path, value in container.sysctls.items()]
    return {sysctl.key: sysctl for sysctl in wanted if traits.ipv6 or not sysctl.path.startswith("net/ipv6/")}


def render_owed(
    state: State, ledger: Ledger, traits: Traits, wanted: Mapping[tuple[str, str], Sysctl]
) -> dict[tuple[str, str], Sysctl]:
    """What goes back to its saved value, since nothing wants another one any more."""
    owed = {}
    for (namespace, path), saved in ledger.sysctls.items():
        needed = (namespace, path) in wanted or (namespace, saved.leader) in wanted
        # What was set in a namespace of our own goes with it.
        survives = namespace == HOST or namespace in state.containers or namespace not in ledger.namespaces
        # Where heeding router advertisements was switched off meanwhile, that is somebody's will.
        overruled = _is_uplinks(namespace, path) and link_in(path) not in traits.may_heed_ra
        if not needed and survives and not overruled:
            owed[(namespace, path)] = Sysctl(namespace, path, saved.value)
    return owed


def _router(state: State, ledger: Ledger, traits: Traits) -> list[Sysctl]:
    """Forwarding of IPv6; a host that forwards goes on heeding router advertisements only where that is said twice."""
    taken = {network.device for network in state.real_networks()}
    told = {str(link_in(path)) for namespace, path in ledger.sysctls if _is_uplinks(namespace, path)}
    links = traits.heeds_ra | (traits.may_heed_ra & told)
    return [
        *(Sysctl(HOST, f"net/ipv6/conf/{link}/accept_ra", "2") for link in sorted(links - taken)),
        Sysctl(HOST, FORWARDING6, "1"),
    ]


def _is_uplinks(namespace: str, path: str) -> bool:
    return namespace == HOST and path.startswith("net/ipv6/conf/") and path.endswith("/accept_ra")


def _ipv6(namespace: str, link: str, network: Network, reachable: bool = True) -> list[Sysctl]:
    """IPv6 on the links of a network that has it, and on no other's; no neighbour configures them (CVE-2020-13401)."""
    if _options.mtu(network.options) < IPV6_MTU:
        return []  # the kernel has no IPv6 on such a link, nor settings for it
    off = "0" if network.block(6) is not None and reachable else "1"
    return [
        Sysctl(namespace, f"net/ipv6/conf/{link}/disable_ipv6", off, lasting=False),
        Sysctl(namespace, f"net/ipv6/conf/{link}/accept_ra", "0", lasting=False),
    ]
