# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies as pictures, a file for each language; what these have in common. Pure.

A topology is what ``_topology`` makes, maybe of another host and version: what it lacks is drawn as absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import InvalidInput
from .._model import WILDCARDS, socket_text

Topology = Mapping[str, Any]
PARTS = ("networks", "containers", "ports")


def topologies(subject: str, value: Any) -> list[Topology]:
    """The topology, or the topologies of several hosts. Raises InvalidInput for anything else."""
    found = list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]
    for each in found:
        parts = [each.get(part) for part in PARTS] if isinstance(each, Mapping) else [None]
        if not all(_is_list_of_mappings(part) for part in parts):
            raise InvalidInput(
                subject,
                "",
                "",
                f"wants a topology, or a list of them, and got {type(each).__name__}",
                "give the result topology of container_network_info with topology=true",
            )
    return found


def _is_list_of_mappings(part: Any) -> bool:
    is_list = isinstance(part, Sequence) and not isinstance(part, (str, bytes))
    return is_list and all(isinstance(each, Mapping) for each in part)


def ports_of(topology: Topology) -> dict[str, list[str]]:
    """By container, its published ports as ``8000 → 8080/tcp``; one of all addresses of both families once."""
    found: dict[str, dict[str, None]] = {}
    for port in topology["ports"]:
        host_ip, host_port = port.get("host_ip", ""), port.get("host_port")
        outside = str(host_port) if host_ip in ("", *WILDCARDS) else socket_text(host_ip, host_port)
        sources = " (some clients)" if port.get("allowed_sources") else ""
        text = f"{outside} → {port.get('container_port')}/{port.get('protocol')}{sources}"
        found.setdefault(str(port.get("container")), {})[text] = None
    return {container: list(texts) for container, texts in found.items()}


def home_of(container: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The network where a container is drawn: its first, or that of the one that it shares with; None without any."""
    seen = set()
    while container.get("mode") == "container" and container.get("target") in by_name:
        if container["name"] in seen:
            return None
        seen.add(container["name"])
        container = by_name[container["target"]]
    networks = container.get("networks") or []
    return str(networks[0].get("network")) if networks else None


def says_of_itself(container: Mapping[str, Any]) -> str:
    """A container's mode in words; nothing where it is as most are."""
    mode = container.get("mode")
    if mode == "container":
        return f"shares {container.get('target')}"
    return {"host": "the host's own network", "none": "no network"}.get(str(mode), "")


def shortened(text: object, most: int) -> str:
    """On one line, with an ellipsis in the place of what is too much."""
    plain = "".join(each if each.isprintable() else " " for each in str(text))
    return plain if len(plain) <= most else plain[: max(1, most - 1)] + "…"
