# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's networks, containers and published ports as plain data that can be drawn. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _sources
from ._model import Container, Network, PortMapping, version_of

if TYPE_CHECKING:
    from ._state import State


def topology(state: State, host: str) -> dict[str, Any]:
    """``networks`` and ``containers`` by name, ``ports`` by container; each network and container once."""
    return {
        "host": host,
        "networks": [_network(each) for _name, each in sorted(state.networks.items()) if not each.config_only],
        "containers": [_container(state, each) for _name, each in sorted(state.containers.items())],
        "ports": [_port(state, each) for each in sorted(state.mappings.values(), key=_place)],
    }


def _network(network: Network) -> dict[str, Any]:
    return {
        "name": network.name,
        "driver": network.driver,
        "device": network.device,
        "internal": network.internal,
        "subnets": [{"subnet": block.subnet, "gateway": block.gateway} for block in network.ipam],
        "labels": dict(network.labels),
    }


def _container(state: State, container: Container) -> dict[str, Any]:
    return {
        "name": container.name,
        "mode": container.mode,
        "target": container.target,
        "networks": [
            {"network": each.network, "interface": each.interface, "addresses": list(each.addresses)}
            for each in state.gateways_of(container.name)
        ],
        "labels": dict(container.labels),
    }


def _port(state: State, mapping: PortMapping) -> dict[str, Any]:
    endpoint = state.publishing_endpoint(mapping)
    return {
        "container": mapping.container,
        "network": None if endpoint is None else endpoint.network,
        "protocol": mapping.protocol,
        "container_port": mapping.container_port,
        "host_ip": mapping.host_ip,
        "host_port": mapping.host_port,
        "allowed_sources": _sources.shown(mapping.sources) if mapping.sources else None,
    }


def _place(mapping: PortMapping) -> tuple[object, ...]:
    return (mapping.container, mapping.container_port, mapping.protocol, version_of(mapping.host_ip), mapping.key)
