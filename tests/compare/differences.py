# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The differences that are meant: a table of tasks, what comes of each on both sides, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).with_name("differences.yml")


@dataclass(frozen=True)
class Difference:
    """`docker` and `here` are outcomes as `outcome()` gives them; `network` has [docker, here] by path."""

    task: str
    why: str
    docker: str = ""
    here: str = ""
    network: Mapping[str, list[Any]] = field(default_factory=dict)


def table() -> dict[str, Difference]:
    """By the name of the task."""
    found: dict[str, Difference] = {}
    for group in yaml.safe_load(TABLE.read_text()):
        for name, each in group["tasks"].items():
            if name in found:
                raise ValueError(f"{TABLE.name}: {name} is there twice")
            found[name] = Difference(name, group["why"], **each)
    return found


def outcome(result: Mapping[str, Any]) -> str:
    if result["failed"]:
        return "failed"
    return "changed" if result.get("changed") else "ok"


def apart(docker: Any, here: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Path, value and value of what is not the same in both."""
    if isinstance(docker, dict) and isinstance(here, dict):
        for key in sorted({*docker, *here}):
            yield from apart(docker.get(key), here.get(key), f"{path}/{key}" if path else key)
    elif docker != here:
        yield path, docker, here
