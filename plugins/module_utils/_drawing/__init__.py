# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies as pictures, a file for each language; what these have in common. Pure.

A topology is what ``_topology`` makes, maybe of another host and version: what it lacks is drawn as absent.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .._errors import InvalidInput
from .._model import WILDCARDS, is_reference, socket_text

Topology = Mapping[str, Any]
# What is a list of mappings, and which lists of mappings these have.
PARTS = {"networks": "subnets", "containers": "networks", "ports": None}
WIDEST = 47  # columns of an IPv6 address with a port


def topologies(subject: str, value: Any) -> list[Topology]:
    """The topology, or the topologies of several hosts. Raises InvalidInput for anything else."""
    found = list(value) if _is_list(value) else [value]
    got = next((_kind(each) for each in found if not _is_topology(each)), "" if found else "an empty list")
    if got:
        raise InvalidInput(
            subject,
            "",
            "",
            f"wants a topology, or a list of them, and got {got}",
            "give the result topology of container_network_info with topology=true",
        )
    return found


def _is_topology(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    for part, inner in PARTS.items():
        if not _is_list_of_mappings(value.get(part)):
            return False
        if inner and not all(_is_list_of_mappings(each.get(inner) or []) for each in value[part]):
            return False
    return True


def _is_list_of_mappings(part: Any) -> bool:
    return _is_list(part) and all(isinstance(each, Mapping) for each in part)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _kind(value: Any) -> str:
    """In words: templates give values types of their own."""
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        return f"a dictionary of {shortened(', '.join(keys), 60)}" if keys else "an empty dictionary"
    if value is None:
        return "nothing"
    kinds: list[tuple[type, str]] = [(bool, "a boolean"), (int, "a number"), (float, "a number"), (str, "a text")]
    return next((name for kind, name in kinds if isinstance(value, kind)), "a list within it")


class Port(NamedTuple):
    """Published ports of one container that are shown in one line."""

    outside: str
    inside: str
    number: int

    @property
    def text(self) -> str:
        return f"{self.outside} → {self.inside}"

    def lines(self) -> list[str]:
        """On two lines where one is too short, as for an IPv6 address."""
        return [self.text] if columns(self.text) <= WIDEST else [self.outside, f"  → {self.inside}"]


Pair = tuple[Any, Any]  # a port of the host and one of the container


def ports_of(topology: Topology) -> dict[str, list[Port]]:
    """By container, its published ports: one of all addresses of both families once, successive ones as a range."""
    sources: dict[tuple[str, str, str, Any, Any], list[Any]] = {}
    for port in topology["ports"]:
        host_ip = str(port.get("host_ip") or "")
        where = (str(port.get("container")), "" if host_ip in WILDCARDS else host_ip, str(port.get("protocol")))
        key = (*where, _number(port.get("host_port")), _number(port.get("container_port")))
        sources.setdefault(key, []).append(port.get("allowed_sources"))
    alike: dict[tuple[str, str, str, str], list[Pair]] = {}
    for (container, host_ip, protocol, outside, inside), allowed in sources.items():
        alike.setdefault((container, host_ip, protocol, _for_whom(allowed)), []).append((outside, inside))
    found: dict[str, list[Port]] = {}
    for (container, host_ip, protocol, for_whom), pairs in alike.items():
        for first, last in _ranges(pairs):
            outside = _range(first[0], last[0])
            found.setdefault(container, []).append(
                Port(
                    socket_text(host_ip, outside) if host_ip else outside,
                    f"{_range(first[1], last[1])}/{protocol}{for_whom}",
                    1 if first == last else last[0] - first[0] + 1,
                )
            )
    return found


def _number(port: Any) -> Any:
    return port if isinstance(port, int) else str(port)


def _for_whom(allowed: Sequence[Any]) -> str:
    """Of a port's families: null is for everybody, an empty list for the host itself."""
    if all(each is None for each in allowed):
        return ""
    return " (some clients)" if any(each is None or each for each in allowed) else " (this host only)"


def _ranges(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Pair]]:
    """The first and the last of those that follow one another on both sides, in the order of the first ones."""
    lasts: dict[Pair, Pair] = {}
    firsts: dict[Pair, Pair] = {}
    for pair in pairs:
        before = (pair[0] - 1, pair[1] - 1) if all(isinstance(each, int) for each in pair) else pair
        firsts[pair] = firsts.pop(before, pair)
        lasts[firsts[pair]] = pair
    yield from lasts.items()


def _range(first: Any, last: Any) -> str:
    return str(first) if first == last else f"{first}-{last}"


def shown_ports(ports: Sequence[Port], most: int) -> list[str]:
    """The lines of so many of them, and how many there are besides."""
    kept = ports if len(ports) <= most + 1 else ports[:most]
    more = sum(each.number for each in ports[len(kept) :])
    return [*(line for port in kept for line in port.lines()), *([f"and {more} more ports"] if more else [])]


def namespace_of(container: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The container whose namespace it is in, maybe by way of others; itself where that one is unknown."""
    found = container
    for _step in by_name:
        if found.get("mode") != "container":
            return found
        if str(found.get("target")) not in by_name:
            break
        found = by_name[str(found["target"])]
    return container


def home_of(container: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The network where a container is drawn: its first, or that of the one that it shares with; None without any."""
    networks = namespace_of(container, by_name).get("networks") or []
    return str(networks[0].get("network")) if networks else None


def is_of_others(container: Mapping[str, Any]) -> bool:
    """Whether somebody else runs it, so that it may have networks that nobody here knows."""
    return container.get("mode") == "container" or is_reference(str(container.get("name")))


def says_of_itself(container: Mapping[str, Any]) -> str:
    """A container's mode in words; nothing where it is as most are."""
    mode = container.get("mode")
    if mode == "container":
        return f"shares {container.get('target')}"
    return {"host": "the host's own network", "none": "no network"}.get(str(mode), "")


def kind_of(network: Mapping[str, Any]) -> str:
    """Driver, device, and whether there is no way out."""
    device = f" on {network['device']}" if network.get("device") else ""
    return f"{network.get('driver') or ''}{device}{', internal: no way out' if network.get('internal') else ''}"


def columns(text: str) -> int:
    """How wide a text is where all characters are equally wide, but those of East Asia, which are twice so."""
    return len(text) + sum(unicodedata.east_asian_width(each) in "WF" for each in text if not each.isascii())


def shortened(text: object, most: float, width: Callable[[str], float] = columns) -> str:
    """On one line, with an ellipsis in the place of what is too much. ``width`` measures in the unit of ``most``."""
    plain = "".join(each if each.isprintable() else " " for each in str(text))
    if width(plain) <= most:
        return plain
    plain = plain[: int(most)]  # no character is narrower than 1
    while plain and width(f"{plain}…") > most:
        plain = plain[:-1]
    return f"{plain}…"
