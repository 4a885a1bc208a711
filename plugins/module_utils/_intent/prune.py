# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prune: what nothing uses goes, and everything else says why it stays."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._errors import listed
from .._facts import Facts
from .._model import Network
from .._state import State
from . import Item
from .endpoints import remove_container
from .networks import drop


@dataclass(frozen=True)
class PruneSpec:
    """Which kinds of objects to prune."""

    networks: bool = True
    containers: bool = False


@dataclass
class Pruned:
    """What a prune removes, and what it keeps, with the reason for each."""

    items: list[Item] = field(default_factory=list)
    kept: list[tuple[str, str, str]] = field(default_factory=list)  # kind, name, reason


def apply_prune(state: State, facts: Facts, spec: PruneSpec) -> Pruned:
    """Networks without endpoints, and if asked for, containers without processes, are gone."""
    pruned = Pruned()
    if spec.containers:
        _prune_containers(state, facts, pruned)
    if spec.networks:
        _prune_networks(state, pruned)
    return pruned


def _prune_containers(state: State, facts: Facts, pruned: Pruned) -> None:
    reasons = {}
    # A pass may free the target of a handle that it removed.
    removed = True
    while removed:
        removed = False
        for name in sorted(state.containers):
            reason = _why_container_stays(state, facts, name)
            if reason is None:
                remove_container(state, name, force=False)
                pruned.items.append(Item("container", name, "absent"))
                removed = True
            else:
                reasons[name] = reason
    pruned.kept += [("container", name, reasons[name]) for name in sorted(state.containers)]


def _why_container_stays(state: State, facts: Facts, name: str) -> str | None:
    if _is_on_host(state, name):
        return "it is a handle on the host's own namespace"
    sharers = state.sharers_of(name)
    if sharers:
        return "its namespace is shared by " + ", ".join(f'"{sharer}"' for sharer in sharers)
    processes = facts.processes_in(name)
    if processes:
        return "it is used by " + listed(processes)
    return None


def _is_on_host(state: State, name: str) -> bool:
    container = state.containers[name]
    while container.mode == "container":
        container = state.containers[str(container.target)]
    return container.mode == "host"


def _prune_networks(state: State, pruned: Pruned) -> None:
    for name in sorted(state.networks):
        reason = _why_network_stays(state, state.networks[name])
        if reason is not None:
            pruned.kept.append(("network", name, reason))
            continue
        drop(state, state.networks[name], force=False)
        pruned.items.append(Item("network", name, "absent"))


def _why_network_stays(state: State, network: Network) -> str | None:
    if network.predefined:
        return "it is predefined"
    users = [endpoint.container for endpoint in state.endpoints_on(network.name)]
    if users:
        return "it is in use by " + ", ".join(f'container "{user}"' for user in sorted(users))
    return None
