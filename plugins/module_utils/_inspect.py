# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared state in the shapes that Docker's users know."""

from __future__ import annotations

from typing import Any

from . import _ipam, _sources
from ._drivers import DEFAULT
from ._facts import Facts
from ._hostconfig import HOST
from ._hostports import HostPorts
from ._model import (
    PREDEFINED_BRIDGE,
    PREDEFINED_BRIDGE_DEVICE,
    PREDEFINED_NETWORKS,
    Endpoint,
    IpamBlock,
    Network,
    PortMapping,
    is_reference,
)
from ._options import BRIDGE_NAME
from ._state import State


def networks(state: State, machine_id: str) -> list[dict[str, Any]]:
    """All networks in the shape of ``docker network inspect``; predefined ones also where nothing uses them yet."""
    found = {name: _network(state, each) for name, each in state.networks.items()}
    for name in PREDEFINED_NETWORKS:
        found.setdefault(name, _unused(state, name, machine_id))
    return list(found.values())


def network(state: State, name: str) -> dict[str, Any] | None:
    """A network in the shape of ``docker network inspect``; None where there is none of that name."""
    found = state.networks.get(name)
    return None if found is None else _network(state, found)


def _network(state: State, found: Network) -> dict[str, Any]:
    return {
        "Name": found.name,
        "Id": found.id,
        "Created": found.created,
        "Scope": "local",
        "Driver": found.driver,
        "EnableIPv4": found.block(4) is not None,
        "EnableIPv6": found.block(6) is not None,
        "IPAM": {
            "Driver": found.ipam_driver,
            "Options": dict(found.ipam_options),
            "Config": [_ipam_config(block) for block in found.ipam],
        },
        "Internal": found.internal,
        "Attachable": found.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": found.config_from or ""},
        "ConfigOnly": found.config_only,
        "Containers": _containers(state, found),
        "Options": {**({BRIDGE_NAME: found.device} if found.driver == DEFAULT else {}), **found.options},
        "Labels": dict(found.labels),
        "Status": {"IPAM": {"Subnets": {block.subnet: _usage(state, found, block) for block in found.ipam}}},
    }


def _unused(state: State, name: str, machine_id: str) -> dict[str, Any]:
    """A predefined network that is no link on the host: the modes host and none, and a bridge not made yet."""
    is_bridge = name == PREDEFINED_BRIDGE
    containers = [] if is_bridge else [each for each in state.containers.values() if each.mode == name]
    network = Network(
        id=_ipam.predefined_id(machine_id, name),
        name=name,
        driver={"none": "null"}.get(name, name),
        device=PREDEFINED_BRIDGE_DEVICE if is_bridge else "",
        ipam=(),
        created="",
    )
    return {
        **_network(state, network),
        "EnableIPv4": True,
        "Containers": {
            each.id: {"Name": each.name, "EndpointID": "", "MacAddress": "", "IPv4Address": "", "IPv6Address": ""}
            for each in containers
        },
    }


def _usage(state: State, of: Network, block: IpamBlock) -> dict[str, int]:
    """Addresses of the subnet that somebody has, gateway and auxiliary ones included, and those left to give out."""
    used = {block.gateway, *block.aux_addresses.values()}
    used |= {address for endpoint in state.endpoints_on(of.name) for address in endpoint.addresses}
    return {
        "IPsInUse": _ipam.count_in(block.subnet, used),
        "DynamicIPsAvailable": _ipam.count_free(block, used),
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
        "namespace": "" if is_reference(name) else f"/run/netns/{name}",
        "labels": dict(found.labels),
        "networks": {
            endpoint.network: {
                "interface": endpoint.interface,
                "addresses": list(endpoint.addresses),
                "mac_address": endpoint.mac or "",
                "aliases": list(endpoint.aliases),
                "links": list(endpoint.links),
                "link_local_ips": list(endpoint.link_local),
                "gw_priority": endpoint.gw_priority,
                "driver_opts": dict(endpoint.driver_opts),
            }
            for endpoint in state.endpoints_of(name)
        },
        "ports": ports(state, name),
        "host_ports": [each.shown for each in found.ports],
    }


def container_now(state: State, facts: Facts, name: str) -> dict[str, Any] | None:
    """``container``, with what the kernel holds of it now."""
    found = container(state, name)
    if found is None:
        return None
    inode = facts.namespace_inode(name)
    others = (each for each in state.containers if each != name)
    return {
        **found,
        "namespace": facts.namespace_path(name),
        "namespace_inode": inode,
        "namespace_is_the_hosts": inode is not None and inode == facts.namespace_inode(HOST),
        "shared_with": sorted(each for each in others if inode is not None and facts.namespace_inode(each) == inode),
        "port_conflicts": port_conflicts(state, facts, name),
        "processes": facts.processes_in(name),
        "routes": [
            {"destination": route.destination, "gateway": route.gateway, "interface": route.link}
            for route in facts.routes_in(name)
        ],
    }


def ports(state: State, container_name: str) -> dict[str, list[dict[str, Any]]]:
    """A container's published ports in the shape of Docker's ``NetworkSettings.Ports``.

    Those that are not for everybody say besides for whom they are.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for mapping in sorted(state.mappings_of(container_name), key=_by_container_port):
        binding: dict[str, Any] = {"HostIp": mapping.host_ip, "HostPort": str(mapping.host_port)}
        if mapping.sources:
            binding["AllowedSources"] = _sources.shown(mapping.sources)
        found.setdefault(f"{mapping.container_port}/{mapping.protocol}", []).append(binding)
    return found


def port_conflicts(state: State, facts: Facts, container_name: str) -> list[dict[str, str]]:
    """Published ports that processes of the host listen on too, which nobody reaches there."""
    host = HostPorts(state, facts)
    found = []
    for mapping in sorted(state.mappings_of(container_name), key=_by_container_port):
        listener = host.listener_on(*mapping.key)
        if listener is not None:
            found.append(
                {
                    "port": f"{mapping.container_port}/{mapping.protocol}",
                    "HostIp": mapping.host_ip,
                    "HostPort": str(mapping.host_port),
                    "listener": facts.holder_of(listener),
                }
            )
    return found


def _by_container_port(mapping: PortMapping) -> tuple[int, tuple[str, str, int]]:
    return (mapping.container_port, mapping.key)


def _ipam_config(block: IpamBlock) -> dict[str, Any]:
    config: dict[str, Any] = {"Subnet": block.subnet, "Gateway": block.gateway}
    if block.iprange:
        config["IPRange"] = block.iprange
    if block.aux_addresses:
        config["AuxiliaryAddresses"] = dict(block.aux_addresses)
    return config


def _containers(state: State, of: Network) -> dict[str, Any]:
    return {
        state.containers[endpoint.container].id: {
            "Name": endpoint.container,
            "EndpointID": endpoint.id,
            "MacAddress": endpoint.mac or "",
            "IPv4Address": _with_prefix(of, endpoint, 4),
            "IPv6Address": _with_prefix(of, endpoint, 6),
        }
        for endpoint in state.endpoints_on(of.name)
    }


def _with_prefix(network: Network, endpoint: Endpoint, version: int) -> str:
    """The endpoint's address of a family with its prefix length; empty where there is none."""
    address = endpoint.address(version)
    block = None if address is None else _ipam.block_of(network, address)
    return "" if address is None or block is None else _ipam.with_prefix(address, block)
