# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the results of a module, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# What every module has, or Ansible adds.
COMMON = {
    "changed",
    "diff",
    "exception",
    "failed",
    "failed_when_result",
    "failed_when_suppressed_exception",
    "invocation",
    "msg",
    "warnings",
}
# What differs from run to run.
VOLATILE = {"Created", "invocation"}
TYPES = {"bool": bool, "dict": Mapping, "float": float, "int": int, "list": list, "str": str}


def complaints(runs: Sequence[Mapping[str, Any]], returned: Mapping[str, Any]) -> list[str]:
    """Of a run in check mode, the run itself and its repetition, against each other and the RETURN of the module."""
    predicted, done, again = runs
    found = [f"predicted another result: {each}" for each in _differences("", predicted, done)]
    found += [f"the run's {each}" for each in undocumented(done, returned)]
    found += [f"the repetition's {each}" for each in undocumented(again, returned)]
    if not done["changed"]:
        found.append("the run changed nothing")
    if done["diff"]["before"] == done["diff"]["after"]:
        found.append("the run has no diff")
    if again["changed"] or again["actions"] or again["diff"]["before"] or again["diff"]["after"]:
        found.append(f"the repetition found something to do: {again['actions']}, {again['diff']}")
    return found


def undocumented(result: Mapping[str, Any], returned: Mapping[str, Any]) -> list[str]:
    """Where a result is not as documented: keys that are missing, unknown or of another type."""
    return list(_keys("", {key: value for key, value in result.items() if key not in COMMON}, returned))


def _differences(place: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other} - VOLATILE):
            yield from _differences(f"{place}.{key}", one.get(key), other.get(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(f"{place}[{number}]", *pair)
    elif one != other:
        yield f"{place}: {one!r} is {other!r}"


def _keys(place: str, values: Mapping[str, Any], documented: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*values, *documented}):
        where = f"{place}.{key}" if place else key
        if key not in documented:
            yield f"{where} is not documented"
        elif key in values:
            yield from _value(where, values[key], documented[key])
        elif documented[key].get("returned", "always") == "always":
            yield f"{where} is missing"


def _value(where: str, value: Any, documented: Mapping[str, Any]) -> Iterator[str]:
    kind = documented["type"]
    if value is None:
        if "null" not in str(documented["description"]):
            yield f"{where} is null"
    elif not isinstance(value, TYPES[kind]) or (kind == "int" and isinstance(value, bool)):
        yield f"{where} is a {type(value).__name__}, documented as {kind}"
    elif kind == "list":
        element = {**documented, "type": documented["elements"]}
        for number, each in enumerate(value):
            yield from _value(f"{where}[{number}]", each, element)
    elif "contains" in documented:
        yield from _keys(where, value, documented["contains"])


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"complaints": complaints, "undocumented": undocumented}
