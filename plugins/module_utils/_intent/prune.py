# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prune: what nothing uses goes, and everything else says why it stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import _validate
from .._errors import InvalidInput, did_you_mean, listed
from .._facts import Facts
from .._labels import has_labels
from .._model import Container, Network, is_reference
from .._state import State
from .._timespec import is_before, is_point_in_time
from . import Item
from .endpoints import remove_container
from .networks import drop

SUBJECT = "prune"
FILTERS = ("until", "label", "label!")


@dataclass(frozen=True)
class PruneSpec:
    """Which kinds of objects to prune, and which of them: made before, with all labels, without all these labels."""

    networks: bool = True
    containers: bool = False
    until: str | None = None
    labels: tuple[str, ...] = ()
    not_labels: tuple[str, ...] = ()

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> PruneSpec:
        filters = {key: _values(key, value) for key, value in (params.get("filters") or {}).items()}
        until = filters.get("until", ())
        if len(until) > 1:
            raise InvalidInput(SUBJECT, "filters", "until", "is given more than once", "give one point in time")
        if until and not is_point_in_time(until[0]):
            raise InvalidInput(
                SUBJECT,
                "filters",
                f"until={until[0]}",
                "is no point in time",
                'write it like "24h", "2025-01-31T12:00:00Z" or "1735689600"',
            )
        return cls(
            networks=bool(params.get("networks", True)),
            containers=bool(params.get("containers")),
            until=until[0] if until else None,
            labels=filters.get("label", ()),
            not_labels=filters.get("label!", ()),
        )


def _values(key: str, value: Any) -> tuple[str, ...]:
    if key not in FILTERS:
        raise InvalidInput(SUBJECT, "filters", key, "is unknown", did_you_mean(key, FILTERS))
    return _validate.filter_values(SUBJECT, key, value)


@dataclass
class Pruned:
    """What a prune removes, and what it keeps, with the reason for each."""

    items: list[Item] = field(default_factory=list)
    kept: list[tuple[str, str, str]] = field(default_factory=list)  # kind, name, reason


def apply_prune(state: State, facts: Facts, spec: PruneSpec) -> Pruned:
    """Networks without endpoints, and if asked for, containers without processes, are gone."""
    pruned = Pruned()
    if spec.containers:
        _prune_containers(state, facts, spec, pruned)
    if spec.networks:
        _prune_networks(state, facts, spec, pruned)
    return pruned


def _prune_containers(state: State, facts: Facts, spec: PruneSpec, pruned: Pruned) -> None:
    reasons = {}
    # A pass may free the target of a handle that it removed.
    removed = True
    while removed:
        removed = False
        for name in sorted(state.containers):
            reason = _why_container_stays(state, facts, name) or _why_passed_over(facts, spec, state.containers[name])
            if reason is None:
                remove_container(state, name, force=False)
                pruned.items.append(Item("container", name, "absent"))
                removed = True
            else:
                reasons[name] = reason
    pruned.kept += [("container", name, reasons[name]) for name in sorted(state.containers)]


def _why_container_stays(state: State, facts: Facts, name: str) -> str | None:
    if is_reference(name):
        return "it is somebody else's, and is forgotten with the last that is declared of it"
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


def _prune_networks(state: State, facts: Facts, spec: PruneSpec, pruned: Pruned) -> None:
    for name in sorted(state.networks):
        network = state.networks[name]
        reason = _why_network_stays(state, network) or _why_passed_over(facts, spec, network)
        if reason is not None:
            pruned.kept.append(("network", name, reason))
            continue
        drop(state, state.networks[name], force=False)
        pruned.items.append(Item("network", name, "absent"))


def _why_network_stays(state: State, network: Network) -> str | None:
    if network.predefined:
        return "it is predefined"
    others = sorted(each.name for each in state.networks.values() if each.config_from == network.name)
    if others:
        return "it is the configuration of " + ", ".join(f'network "{other}"' for other in others)
    if network.config_only:  # as Docker has it; or one would go a run after the last of its networks
        return "it is a configuration only"
    users = [endpoint.container for endpoint in state.endpoints_on(network.name)]
    if users:
        return "it is in use by " + ", ".join(f'container "{user}"' for user in sorted(users))
    return None


def _why_passed_over(facts: Facts, spec: PruneSpec, record: Network | Container) -> str | None:
    """Several labels must all be there to choose, and all be there to spare."""
    if spec.until is not None and not is_before(record.created, spec.until, facts.now, facts.to_utc):
        return f"it was made at {record.created}, not before {spec.until}"
    if not has_labels(record.labels, spec.labels):
        return "it has not the labels " + ", ".join(spec.labels)
    if spec.not_labels and has_labels(record.labels, spec.not_labels):
        return "it has the labels " + ", ".join(spec.not_labels)
    return None
