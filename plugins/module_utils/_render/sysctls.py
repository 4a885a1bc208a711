# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings that networks and containers need, and those that go back to what they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .. import _reserved
from .._hostconfig import HOST, Sysctl, Traits
from .._intent import endpoint_options
from .._ledger import Ledger
from .._settings import FORWARDING, FORWARDING6, link_in
from .._state import State


def render_sysctls(
    state: State, ledger: Ledger, traits: Traits, of_links: Iterable[Sysctl]
) -> dict[tuple[str, str], Sysctl]:
    """What networks and containers need; ``of_links`` is what their links do."""
    networks = state.routed_networks()
    wanted = [Sysctl(HOST, FORWARDING, "1")] if any(network.block(4) for network in networks) else []
    if any(network.block(6) for network in networks):
        wanted += _router(state, ledger, traits)
    wanted += of_links
    for endpoint in state.endpoints.values():
        settings = endpoint_options.settings(endpoint.driver_opts, endpoint.interface)
        wanted += [Sysctl(endpoint.container, path, value) for path, value in settings.items()]
    for container in state.containers.values():
        wanted += [Sysctl(container.name, path, value) for path, value in container.sysctls.items()]
    if traits.reserved_ports is not None:
        wanted.append(_reserved.wanted(state, traits.reserved_ports))
    return {sysctl.key: sysctl for sysctl in wanted if traits.ipv6 or not sysctl.path.startswith("net/ipv6/")}


def render_owed(
    state: State, ledger: Ledger, traits: Traits, wanted: Mapping[tuple[str, str], Sysctl]
) -> dict[tuple[str, str], Sysctl]:
    """What goes back to its saved value, or to the one that the host is told to keep, since no network wants it now."""
    owed = {}
    for (namespace, path), saved in ledger.sysctls.items():
        needed = (namespace, path) in wanted or (namespace, saved.leader) in wanted
        # What was set in a namespace of our own goes with it.
        survives = namespace == HOST or namespace in state.containers or namespace not in ledger.namespaces
        # Where heeding router advertisements was switched off meanwhile, that is somebody's will.
        overruled = _is_uplinks(namespace, path) and link_in(path) not in traits.may_heed_ra
        if not needed and survives and not overruled:
            value = traits.told.get(path, saved.value) if namespace == HOST else saved.value
            owed[(namespace, path)] = Sysctl(namespace, path, value)
    return owed


def _router(state: State, ledger: Ledger, traits: Traits) -> list[Sysctl]:
    """Forwarding of IPv6; a host that forwards goes on heeding router advertisements only where that is said twice."""
    taken = {network.device for network in state.real_networks() if not network.foreign_device}
    told = {str(link_in(path)) for namespace, path in ledger.sysctls if _is_uplinks(namespace, path)}
    links = traits.heeds_ra | (traits.may_heed_ra & told)
    return [
        *(Sysctl(HOST, f"net/ipv6/conf/{link}/accept_ra", "2") for link in sorted(links - taken)),
        Sysctl(HOST, FORWARDING6, "1"),
    ]


def _is_uplinks(namespace: str, path: str) -> bool:
    return namespace == HOST and path.startswith("net/ipv6/conf/") and path.endswith("/accept_ra")
