# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared state in the shapes that Docker's users know."""

from __future__ import annotations

from typing import Any

from ._model import IpamBlock, Network, PortMapping
from ._state import State


def network(state: State, name: str) -> dict[str, Any] | None:
    """A network in the shape of ``docker network inspect``; None where there is none of that name."""
    found = state.networks.get(name)
    if found is None:
        return None
    return {
        "Name": found.name,
        "Id": found.id,
        "Created": found.created,
        "Scope": "local",
        "Driver": found.driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": {}, "Config": [_ipam_config(block) for block in found.ipam]},
        "Internal": found.internal,
        "Attachable": found.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": _containers(state, found),
        "Options": {"com.docker.network.bridge.name": found.device, **found.options},
        "Labels": dict(found.labels),
    }


def container(state: State, name: str) -> dict[str, Any] | None:
    """A container: its mode, its handle, its endpoints and published ports; None where there is none of that name."""
    found = state.containers.get(name)
    if found is None:
        return None
    return {
        "name": found.name,
        "id": found.id,
        "mode": found.mode,
        "target": found.target,
        "namespace": f"/run/netns/{found.name}",
        "labels": dict(found.labels),
        "networks": {
            endpoint.network: {
                "interface": endpoint.interface,
                "addresses": list(endpoint.addresses),
                "mac_address": endpoint.mac,
                "aliases": list(endpoint.aliases),
            }
            for endpoint in state.endpoints_of(name)
        },
        "ports": ports(state, name),
    }


def ports(state: State, container_name: str) -> dict[str, list[dict[str, str]]]:
    """A container's published ports in the shape of Docker's ``NetworkSettings.Ports``."""
    found: dict[str, list[dict[str, str]]] = {}
    for mapping in sorted(state.mappings_of(container_name), key=_by_container_port):
        binding = {"HostIp": mapping.host_ip, "HostPort": str(mapping.host_port)}
        found.setdefault(f"{mapping.container_port}/{mapping.protocol}", []).append(binding)
    return found


def _by_container_port(mapping: PortMapping):
    return (mapping.container_port, mapping.key)


def _ipam_config(block: IpamBlock) -> dict[str, Any]:
    config: dict[str, Any] = {"Subnet": block.subnet, "Gateway": block.gateway}
    if block.iprange:
        config["IPRange"] = block.iprange
    if block.aux_addresses:
        config["AuxiliaryAddresses"] = dict(block.aux_addresses)
    return config


def _containers(state: State, of: Network) -> dict[str, Any]:
    prefix = of.ipam[0].subnet.partition("/")[2]
    return {
        state.containers[endpoint.container].id: {
            "Name": endpoint.container,
            "EndpointID": endpoint.id,
            "MacAddress": endpoint.mac,
            "IPv4Address": f"{endpoint.addresses[0]}/{prefix}",
            "IPv6Address": "",
        }
        for endpoint in state.endpoints_on(of.name)
    }
