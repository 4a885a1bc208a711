# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies as a Mermaid flowchart.

Mermaid refuses texts of more than 50,000 characters and 500 edges (maxTextSize and maxEdges of its configuration), so
what is beyond is said by number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import Port, Topology, kind_of, ports_of, says_of_itself, shortened, shown_ports, topologies

MOST_EDGES, MOST_TEXT = 450, 45_000
LABEL = 48
MOST_PORTS = 6
STYLES = (
    "classDef network fill:#dbeafe,stroke:#2563eb,color:#0f172a",
    "classDef internal fill:#fef3c7,stroke:#b45309,color:#0f172a",
    "classDef container fill:#f8fafc,stroke:#475569,color:#0f172a",
    "classDef published fill:#dcfce7,stroke:#15803d,color:#0f172a",
    "classDef more fill:#e2e8f0,stroke:#475569,color:#0f172a,stroke-dasharray:4",
)


def mermaid(subject: str, value: Any) -> str:
    """The flowchart of one topology, or of several hosts. Raises InvalidInput for what is none."""
    lines = ["flowchart LR"]
    budget = Budget()
    for number, topology in enumerate(topologies(subject, value)):
        lines.append(f"  subgraph h{number}[{_label('host ' + str(topology.get('host') or number + 1))}]")
        lines += [f"    {line}" for line in ["direction LR", *_host(topology, f"h{number}", budget)]]
        lines += ["  end", f"  style h{number} fill:none,stroke:#94a3b8"]
    return "\n".join([*lines, *(f"  {style}" for style in STYLES)]) + "\n"


class Budget:
    """How much of what Mermaid takes is left."""

    def __init__(self) -> None:
        self.edges, self.text = MOST_EDGES, MOST_TEXT

    def takes(self, lines: list[str]) -> bool:
        """Whether the lines fit in; they are taken if so."""
        edges = sum("---" in line or "-.-" in line for line in lines)
        text = sum(len(line) + 5 for line in lines)
        if edges > self.edges or text > self.text:
            return False
        self.edges, self.text = self.edges - edges, self.text - text
        return True


def _host(topology: Topology, prefix: str, budget: Budget) -> Iterator[str]:
    """Every host has a line at least: Mermaid draws no empty frame."""
    networks = {str(each.get("name")): f"{prefix}n{number}" for number, each in enumerate(topology["networks"])}
    containers = {str(each.get("name")): f"{prefix}c{number}" for number, each in enumerate(topology["containers"])}
    left_out = 0
    for each in topology["networks"]:
        line = _network(each, networks[str(each.get("name"))])
        if budget.takes([line]):
            yield line
        else:
            del networks[str(each.get("name"))]
            left_out += 1
    ports = ports_of(topology)
    shown = set()
    for each in topology["containers"]:
        name = str(each.get("name"))
        lines = list(_container(each, containers[name], networks, ports.get(name, [])))
        if budget.takes(lines):
            shown.add(name)
            yield from lines
        else:
            left_out += 1
    for each in topology["containers"]:
        ends = [str(each.get("target")), str(each.get("name"))]
        if each.get("mode") == "container" and shown.issuperset(ends):
            wire = " -.- ".join(containers[end] for end in ends)
            # Where it doesn't fit in, the container itself says what it shares.
            if budget.takes([wire]):
                yield wire
    if left_out or not (networks or containers):
        yield f"{prefix}more[{_label(f'and {left_out} more' if left_out else 'no networks')}]:::more"


def _network(network: Mapping[str, Any], node: str) -> str:
    details = [kind_of(network)]
    details += [str(each.get("subnet")) for each in network.get("subnets") or []]
    style = "internal" if network.get("internal") else "network"
    return f"{node}([{_label(network.get('name'), *details)}]):::{style}"


def _container(
    container: Mapping[str, Any], node: str, networks: Mapping[str, str], ports: list[Port]
) -> Iterator[str]:
    endpoints = [each for each in container.get("networks") or [] if str(each.get("network")) in networks]
    # On the wire only where there are several: many of them would lie on one another.
    own = list(endpoints[0].get("addresses") or []) if len(endpoints) == 1 else []
    details = [*filter(None, [says_of_itself(container)]), *own, *shown_ports(ports, MOST_PORTS)]
    yield f"{node}[{_label(container.get('name'), *details)}]:::{'published' if ports else 'container'}"
    for each in endpoints:
        addresses = each.get("addresses") or []
        text = f"|{_label(*addresses)}|" if addresses and len(endpoints) > 1 else ""
        yield f"{networks[str(each.get('network'))]} ---{text} {node}"


def _label(*lines: object) -> str:
    """A quoted text of several lines. Entities are written as Mermaid has them, with # for &."""
    return '"' + "<br/>".join(_escaped(shortened(line, LABEL)) for line in lines) + '"'


def _escaped(text: str) -> str:
    """Whatever means something to Mermaid, or to HTML and Markdown in it, as an entity; two dollars make a formula."""
    plain = "".join(each if each.isalnum() or each in " .,:/-()→…" else f"#{ord(each)};" for each in text)
    return plain.replace("#36;", "#36;#8203;")
