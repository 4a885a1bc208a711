# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network as both sides return it, without what differs in every run."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

BRIDGE_NAME = "com.docker.network.bridge.name"
# Each host has its own; whether there is one is compared.
OWN = ("Id", "Created")
# Not shown by all versions of Docker's API.
NEWER = ("EnableIPv4", "Status")
# Docker's pools for subnets that are not given; Docker takes the next one, and not the first, after another was freed.
POOLS = tuple(ipaddress.ip_network(pool) for pool in ("172.16.0.0/12", "192.168.0.0/16"))


def comparable(network: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A network without IDs, dates, MACs, chosen subnets and chosen addresses."""
    if not network:
        return None
    found = {key: value for key, value in network.items() if key not in (*OWN, *NEWER)}
    found["has"] = sorted(key for key in OWN if network.get(key))
    blocks = [_block(block) for block in network["IPAM"]["Config"] or []]
    found["IPAM"] = {
        "Driver": network["IPAM"]["Driver"],
        "Options": network["IPAM"]["Options"] or {},
        "Config": sorted(blocks, key=lambda block: block["Subnet"]),
    }
    found["Containers"] = {each["Name"]: _container(each) for each in (network["Containers"] or {}).values()}
    found["Options"] = {key: value for key, value in (network["Options"] or {}).items() if not _generated(key, value)}
    found["Labels"] = network["Labels"] or {}
    return found


def _generated(key: str, value: str) -> bool:
    """Docker leaves the name of a bridge out that it generated; here it is always told."""
    return key == BRIDGE_NAME and (value.startswith("br-") or value in ("docker0", "bw0"))


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    subnet = ipaddress.ip_network(block["Subnet"])
    gateway = block.get("Gateway")
    # Docker before 28 leaves a gateway out that was not given; here it is always told.
    if gateway and ipaddress.ip_address(gateway) == subnet[1]:
        gateway = None
    found = {**block, "Subnet": "chosen" if _chosen(subnet) else block["Subnet"], "Gateway": gateway}
    return {key: value for key, value in found.items() if value}


def _chosen(subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return subnet.version == 4 and any(subnet.subnet_of(pool) for pool in POOLS)


def _container(container: Mapping[str, Any]) -> dict[str, Any]:
    found = {family: _address(container[family]) for family in ("IPv4Address", "IPv6Address")}
    return {**found, "has": sorted(key for key in ("EndpointID", "MacAddress") if container[key])}


def _address(text: str) -> str:
    if not text:
        return ""
    subnet = ipaddress.ip_interface(text).network
    return f"one of {'the chosen' if _chosen(subnet) else subnet}"


def offsets(network: Mapping[str, Any]) -> dict[str, int]:
    """By container, which address of the IPv4 subnet it has."""
    addresses = {each["Name"]: ipaddress.ip_interface(each["IPv4Address"]) for each in network["Containers"].values()}
    return {name: int(each) - int(each.network.network_address) for name, each in addresses.items()}
