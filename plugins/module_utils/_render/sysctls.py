# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings that networks and containers need, and those that go back to what they were."""

from __future__ import annotations

from collections.abc import Mapping

from .. import _options
from .._hostconfig import HOST, Sysctl, Traits
from .._ledger import Ledger
from .._model import Network
from .._settings import FORWARDING
from .._state import State

IPV6_MTU = 1280  # RFC 8200, section 5


def render_sysctls(state: State, traits: Traits) -> dict[tuple[str, str], Sysctl]:
    """What networks and containers need."""
    wanted = [Sysctl(HOST, FORWARDING, "1")] if state.networks else []
    for network in state.networks.values():
        wanted += _quiet(HOST, network.device, network)
        # A process of the host reaches a published port through the host's loopback addresses too.
        path = f"net/ipv4/conf/{network.device}/route_localnet"
        wanted.append(Sysctl(HOST, path, "0" if network.internal else "1", lasting=False))
    for endpoint in state.endpoints.values():
        wanted += _quiet(endpoint.container, endpoint.interface, state.networks[endpoint.network])
    for container in state.containers.values():
        wanted += [Sysctl(container.name, path, value) for path, value in container.sysctls.items()]
    return {sysctl.key: sysctl for sysctl in wanted if traits.ipv6 or not sysctl.path.startswith("net/ipv6/")}


def render_owed(
    state: State, ledger: Ledger, wanted: Mapping[tuple[str, str], Sysctl]
) -> dict[tuple[str, str], Sysctl]:
    """What goes back to its saved value, since nothing wants another one any more."""
    owed = {}
    for (namespace, path), saved in ledger.sysctls.items():
        needed = (namespace, path) in wanted or (namespace, saved.leader) in wanted
        # What was set in a namespace of our own goes with it.
        survives = namespace == HOST or namespace in state.containers or namespace not in ledger.namespaces
        if not needed and survives:
            owed[(namespace, path)] = Sysctl(namespace, path, saved.value)
    return owed


def _quiet(namespace: str, link: str, network: Network) -> list[Sysctl]:
    """No IPv6 on a link of an IPv4 network, so that no neighbour configures it (CVE-2020-13401)."""
    if _options.mtu(network.options) < IPV6_MTU:
        return []  # the kernel has no IPv6 on such a link, nor settings for it
    return [
        Sysctl(namespace, f"net/ipv6/conf/{link}/disable_ipv6", "1", lasting=False),
        Sysctl(namespace, f"net/ipv6/conf/{link}/accept_ra", "0", lasting=False),
    ]
