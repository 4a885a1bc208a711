# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model as a firewall rule set, in no backend's words."""

from __future__ import annotations

from .. import _options
from .._firewall.ruleset import NetworkRules, PortRule, Ruleset
from .._model import Network
from .._state import State


def render_ruleset(state: State) -> Ruleset:
    mappings = sorted(state.mappings.values(), key=lambda mapping: mapping.key)
    ports = []
    for mapping in mappings:
        endpoint = state.publishing_endpoint(mapping)
        if endpoint is not None:
            ports.append(
                PortRule(
                    mapping.protocol, mapping.host_ip, mapping.host_port, endpoint.addresses[0], mapping.container_port
                )
            )
    return Ruleset(
        networks=tuple(_rules(state.networks[name]) for name in sorted(state.networks)),
        ports=tuple(ports),
    )


def _rules(network: Network) -> NetworkRules:
    return NetworkRules(
        device=network.device,
        subnets=tuple(block.subnet for block in network.ipam),
        internal=network.internal,
        icc=_options.is_on(network.options, _options.ENABLE_ICC),
        masquerade=_options.is_on(network.options, _options.ENABLE_IP_MASQUERADE),
    )
