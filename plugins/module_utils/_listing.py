# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which networks and containers are listed, and how: names, filters and formats, as Docker has them. Pure.

Source of the filters' meaning: ``docker network ls`` in Docker's reference, and daemon/network/filter.go of moby.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from . import _inspect, _validate
from ._errors import InvalidInput, did_you_mean
from ._facts import Facts
from ._labels import has_labels
from ._model import MODES, PREDEFINED_NETWORKS, Container
from ._references import named
from ._state import State

SUBJECT = "networks"
FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
TYPES = ("builtin", "custom")
SHORT_ID = 12
SHORTEST_PREFIX = 3  # a shorter name is hardly meant for the beginning of an ID
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
COLUMNS = {"NETWORK ID": "id", "NAME": "name", "DRIVER": "driver", "SCOPE": "scope"}
FIELDS = ("created", "driver", "id", "internal", "ipv4", "ipv6", "labels", "name", "scope")

CONTAINER_FILTERS = ("label", "mode")

Inspected = dict[str, Any]  # a network in the shape of `docker network inspect`


@dataclass(frozen=True)
class ListSpec:
    """Which networks to list; ``names`` None stands for all. ``filters`` have their values in a tuple."""

    names: tuple[str, ...] | None = None
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    format: str | None = None
    no_trunc: bool = False
    quiet: bool = False

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ListSpec:
        names = params.get("name")
        if params.get("format") is not None:
            _check_format(params["format"])
        return cls(
            names=None if names is None else tuple(_validate.words(names)),
            filters=_checked_filters(params.get("filters") or {}),
            format=params.get("format"),
            no_trunc=bool(params.get("no_trunc")),
            quiet=bool(params.get("quiet")),
        )


@dataclass(frozen=True)
class Listing:
    """The networks that were asked for, by name; the names that stand for none; the lines to print."""

    networks: list[Inspected]
    missing: list[str]
    lines: list[str]


def container_filters(filters: Mapping[str, Any] | None) -> dict[str, tuple[str, ...]]:
    """The values of each filter of containers. Raises InvalidInput."""
    found = {}
    for key, value in (filters or {}).items():
        if key not in CONTAINER_FILTERS:
            raise InvalidInput("containers", "filters", key, "is unknown", did_you_mean(key, CONTAINER_FILTERS))
        found[key] = _validate.filter_values("containers", key, value)
        for each in found[key] if key == "mode" else ():
            if each not in MODES:
                raise InvalidInput(
                    "containers", "filters", f"mode={each}", "is unknown", "use one of: " + ", ".join(MODES)
                )
    return {key: values for key, values in found.items() if values}


def passes(container: Container, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether a container has all the labels, and one of the modes."""
    return has_labels(container.labels, filters.get("label", ())) and container.mode in filters.get("mode", MODES)


def list_networks(state: State, facts: Facts, spec: ListSpec) -> Listing:
    """The networks of a host, the predefined ones included. Raises InvalidInput for an ambiguous ID prefix."""
    every = sorted(_inspect.networks(state, facts.machine_id), key=lambda network: network["Name"])
    found, missing = _named(every, spec.names)
    found = [network for network in found if _passes(network, spec.filters)]
    return Listing(found, missing, _lines(found, spec))


def _named(every: Sequence[Inspected], names: Sequence[str] | None) -> tuple[list[Inspected], list[str]]:
    if names is None:
        return list(every), []
    networks = {network["Name"]: network for network in every}
    ids = {name: network["Id"] for name, network in networks.items()}
    meant = {name: named(SUBJECT, name, ids, SHORTEST_PREFIX) for name in names}
    found = dict.fromkeys(name for name in meant.values() if name is not None)
    return [networks[name] for name in found], [name for name, network in meant.items() if network is None]


def _passes(network: Inspected, filters: Mapping[str, Sequence[str]]) -> bool:
    """Values of one filter are alternatives, labels excepted; several filters must all agree."""
    tests: dict[str, Callable[[Sequence[str]], bool]] = {
        "dangling": lambda values: _is_dangling(network) == (values[0] == "true"),
        "driver": lambda values: network["Driver"] in values,
        "id": lambda values: any(re.search(value, network["Id"]) for value in values),
        "label": lambda values: has_labels(network["Labels"], values),
        "name": lambda values: any(re.search(value, network["Name"]) for value in values),
        "scope": lambda values: network["Scope"] in values,
        "type": lambda values: _type(network) in values,
    }
    return all(tests[key](values) for key, values in filters.items())


def _is_dangling(network: Inspected) -> bool:
    return _type(network) == "custom" and not network["Containers"]


def _type(network: Inspected) -> str:
    return TYPES[network["Name"] not in PREDEFINED_NETWORKS]


def _checked_filters(filters: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The values of each filter that has any."""
    checked = {key: _checked_filter(key, value) for key, value in filters.items()}
    return {key: values for key, values in checked.items() if values}


def _checked_filter(key: str, value: Any) -> tuple[str, ...]:
    if key not in FILTERS:
        raise InvalidInput(SUBJECT, "filters", key, "is unknown", did_you_mean(key, FILTERS))
    values = _validate.filter_values(SUBJECT, key, value)
    if key == "dangling":
        values = tuple(dict.fromkeys({"1": "true", "0": "false"}.get(each, each) for each in values))
        if len(values) > 1:
            raise InvalidInput(SUBJECT, "filters", key, "is given more than once", "use true or false")
    for each in values:
        if key == "type" and each not in TYPES:
            raise InvalidInput(SUBJECT, "filters", f"type={each}", "is unknown", "use builtin or custom")
        if key == "dangling" and each not in ("true", "false"):
            raise InvalidInput(SUBJECT, "filters", f"dangling={each}", "is neither true nor false", "use true or false")
        if key in ("id", "name"):
            _check_pattern(key, each)
    return values


def _check_pattern(key: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, ValueError, OverflowError) as error:
        raise InvalidInput(
            SUBJECT, "filters", f"{key}={pattern}", f"is not a regular expression ({error})", "give a part of it"
        ) from error


def _text(value: bool) -> str:
    return str(value).lower()


def _lines(networks: Sequence[Inspected], spec: ListSpec) -> list[str]:
    rows = [_fields(network, spec.no_trunc) for network in networks]
    if spec.quiet:
        return [row["id"] for row in rows]
    if spec.format is not None:
        return [_filled(spec.format, row) for row in rows]
    table = [list(COLUMNS), *([row[name] for name in COLUMNS.values()] for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*table)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]


def _filled(text: str, row: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: row[match.group(1).lower()], text)


def _check_format(text: str) -> None:
    for name in PLACEHOLDER.findall(text):
        if name.lower() not in FIELDS:
            raise InvalidInput(SUBJECT, "format", "{" + name + "}", "is unknown", did_you_mean(name.lower(), FIELDS))


def _fields(network: Inspected, no_trunc: bool) -> dict[str, str]:
    return {
        "created": network["Created"],
        "driver": network["Driver"],
        "id": network["Id"] if no_trunc else network["Id"][:SHORT_ID],
        "internal": _text(network["Internal"]),
        "ipv4": _text(network["EnableIPv4"]),
        "ipv6": _text(network["EnableIPv6"]),
        "labels": ",".join(f"{key}={value}" for key, value in sorted(network["Labels"].items())),
        "name": network["Name"],
        "scope": network["Scope"],
    }
