# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies as SVG: a panel for each network, with a card for each of its containers.

Nothing is loaded from elsewhere, and the picture brings its own background, light or dark as the reader's system is.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from . import (
    WIDEST,
    Port,
    Topology,
    columns,
    home_of,
    is_of_others,
    kind_of,
    namespace_of,
    ports_of,
    says_of_itself,
    shortened,
    shown_ports,
    topologies,
)

WIDTH = 1280  # which many panels fill; few need less
MARGIN, PAD, GAP = 24, 16, 16
LINE, NAME_LINE = 16, 20
HEADER = 28  # of a panel, without its details
SPINE, BRANCH = 14, 14  # the wire of a network: how far from the edge, how far above its cards
CHAR = 6.7  # the width of a character of the details, or a little more
SHORTEST = 24  # characters in a card
MOST_PORTS, MOST_NETWORKS, MOST_CARDS, MOST_TIPS = 4, 4, 200, 60
# The size of names and titles, and how wide their characters are at most, in parts of that: DejaVu Sans Bold's, which
# are wider than those of other fonts. Others are as wide as most small letters.
NAME, TITLE, HOST = 13, 15, 18
WIDTHS = {"ijlI.,:;'|!": 0.41, "frt-()[]{}/\\ ": 0.5, "mMwW@%": 1.11, "ABCDEFGHJKLNOPQRSTUVXYZ+=<>~&#": 0.85}
LETTER, EAST_ASIAN = 0.73, 1.05

# Of networks, for a light and a dark background.
COLOURS = (
    ("#1d4ed8", "#8ab4ff"),
    ("#b45309", "#fbbf57"),
    ("#7e22ce", "#d0a2ff"),
    ("#0f766e", "#5eead4"),
    ("#be185d", "#ff9ac6"),
    ("#4d7c0f", "#bef264"),
    ("#b91c1c", "#ff9d9d"),
    ("#0369a1", "#7dd3fc"),
)
# Class, property, light, dark
INKS = (
    ("bw-ground", "fill", "#ffffff", "#11161d"),
    ("bw-frame", "stroke", "#cbd5e1", "#3b4654"),
    ("bw-panel", "fill", "#f6f8fa", "#181f29"),
    ("bw-card", "fill", "#ffffff", "#222b37"),
    ("bw-text", "fill", "#111827", "#f1f5f9"),
    ("bw-quiet", "fill", "#475569", "#b6c2d1"),
    ("bw-port", "fill", "#15803d", "#86efac"),
    ("bw-plain", "stroke", "#94a3b8", "#64748b"),
)


@dataclass
class Line:
    """A line of a card: its text, the class of its ink, and the colour of the dot before it."""

    text: str
    ink: str = "bw-quiet"
    dot: int | None = None


@dataclass
class Card:
    """A container in a network; dashed where it is drawn because it is somewhere else too."""

    name: str
    lines: list[Line]
    tip: str = ""
    dashed: bool = False

    @property
    def height(self) -> int:
        return 12 + NAME_LINE + LINE * len(self.lines)


@dataclass
class Panel:
    """A network and the containers on it; without a colour it is no network, and has no wire."""

    title: str
    details: list[str]
    colour: int | None = None
    cards: list[Card] = field(default_factory=list)
    tip: str = ""


@dataclass
class Placed:
    """A drawing, and how much room it takes."""

    width: float
    height: float
    parts: list[str]


def svg(subject: str, value: Any) -> str:
    """The picture of one topology, or of several hosts. Raises InvalidInput for what is none."""
    hosts = [(_name(each, number), _panels(each)) for number, each in enumerate(topologies(subject, value), 1)]
    drawn, top = [], float(MARGIN)
    for name, panels in hosts:
        host = _host(name, panels)
        drawn.append((top, host))
        top += host.height + MARGIN
    legend = "● an address in a network · green: published port → port of the container · dashed: shares a namespace"
    width = max([host.width for _top, host in drawn] + [len(legend) * 6.0]) + 2 * MARGIN
    height = top + LINE + MARGIN / 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{_text(_titled(hosts))}">',
            f"<title>{_text(_titled(hosts))}</title>",
            f"<style>{_style()}</style>",
            '<rect class="bw-ground" width="100%" height="100%"/>',
            *(part for top, host in drawn for part in _moved(MARGIN, top, host)),
            f'<text class="bw-quiet bw-small" x="{MARGIN}" y="{top + LINE / 2:.0f}">{_text(legend)}</text>',
            "</svg>\n",
        ]
    )


def _name(topology: Topology, number: int) -> str:
    return str(topology.get("host") or f"host {number}")


def _titled(hosts: Sequence[tuple[str, Any]]) -> str:
    return "Container networks of " + ", ".join(name for name, _panels in hosts)


# What is drawn


def _panels(topology: Topology) -> list[Panel]:
    """The networks of a host, then what is on none."""
    colours = {str(each.get("name")): number % len(COLOURS) for number, each in enumerate(topology["networks"])}
    panels = {str(each.get("name")): _network(each, colours) for each in topology["networks"]}
    rest = {
        "host": Panel("host", ["the host's own network"]),
        "others": Panel("elsewhere", ["networks of those who run them"]),
        "none": Panel("none", ["no network but lo"]),
    }
    by_name = {str(each.get("name")): each for each in topology["containers"]}
    ports = ports_of(topology)
    for name, container in by_name.items():
        home = home_of(container, by_name)
        card = _card(container, ports.get(name, []), colours)
        panel = panels.get(home or "") or rest[_place(namespace_of(container, by_name))]
        panel.cards.append(card)
        for each in container.get("networks") or []:
            other = str(each.get("network"))
            if other != home and other in panels:
                lines = [*_addresses(each, colours), Line(f"also on {home}")]
                panels[other].cards.append(Card(name, lines, card.tip, dashed=True))
    drawn = [*panels.values(), *(panel for panel in rest.values() if panel.cards)]
    return drawn or [Panel("no networks", [])]


def _place(container: Mapping[str, Any]) -> str:
    """Of a container without a network: whose namespace it is in."""
    if container.get("mode") == "host":
        return "host"
    return "others" if is_of_others(container) else "none"


def _network(network: Mapping[str, Any], colours: Mapping[str, int]) -> Panel:
    name = str(network.get("name"))
    details = [kind_of(network)]
    for each in network.get("subnets") or []:
        gateway = f", gateway {each['gateway']}" if each.get("gateway") else ""
        details.append(f"{each.get('subnet')}{gateway}")
    return Panel(name, details, colours[name], tip=_tip_of(name, [], network))


def _card(container: Mapping[str, Any], ports: Sequence[Port], colours: Mapping[str, int]) -> Card:
    itself = says_of_itself(container)
    lines = [Line(itself)] if container.get("mode") == "container" else []
    endpoints = container.get("networks") or []
    for number, each in enumerate(endpoints[:MOST_NETWORKS]):
        if number:
            lines.append(Line(f"and on {each.get('network')}"))
        lines += _addresses(each, colours)
    if len(endpoints) > MOST_NETWORKS:
        lines.append(Line(f"and on {len(endpoints) - MOST_NETWORKS} more"))
    lines += [Line(text, "bw-port") for text in shown_ports(ports, MOST_PORTS)]
    name = str(container.get("name"))
    on = [f"{each.get('network')}: {', '.join(map(str, each.get('addresses') or []))}" for each in endpoints]
    said = [*([itself] if itself else []), *_first(on), *_first([port.text for port in ports])]
    return Card(name, lines, _tip_of(name, said, container), dashed=container.get("mode") == "container")


def _addresses(endpoint: Mapping[str, Any], colours: Mapping[str, int]) -> list[Line]:
    dot = colours.get(str(endpoint.get("network")))
    return [Line(str(address), "bw-text", dot) for address in endpoint.get("addresses") or []]


def _tip_of(name: str, said: Iterable[str], thing: Mapping[str, Any]) -> str:
    """What is shown to who points at it."""
    labels = thing.get("labels")
    pairs = labels.items() if isinstance(labels, Mapping) else ()
    return "\n".join([name, *said, *_first([f"{key}={value}" for key, value in pairs])])


def _first(texts: Sequence[str]) -> list[str]:
    more = len(texts) - MOST_TIPS
    return [*texts[:MOST_TIPS], *([f"and {more} more"] if more > 0 else [])]


# Where it is drawn


def _host(name: str, panels: Sequence[Panel]) -> Placed:
    """A frame with the panels of a host, in rows."""
    parts: list[str] = []
    left, top, row, right = float(PAD), 44.0, 0.0, 0.0
    for each in map(_panel, panels):
        if left > PAD and left + each.width + PAD > WIDTH - 2 * MARGIN:
            left, top, row = float(PAD), top + row + GAP, 0.0
        parts += _moved(left, top, each)
        left += each.width + GAP
        row, right = max(row, each.height), max(right, left)
    title = shortened(name, WIDTH / 2, lambda text: _width(text, HOST))
    width, height = max(right - GAP + PAD, math.ceil(_width(title, HOST)) + 2 * PAD), top + row + PAD
    frame = f'<rect class="bw-frame" fill="none" width="{width:.1f}" height="{height:.1f}" rx="10"/>'
    return Placed(
        width, height, [frame, f'<text class="bw-text bw-host" x="{PAD}" y="29">{_text(title)}</text>', *parts]
    )


def _panel(panel: Panel) -> Placed:
    chars = _longest(panel.cards)
    shown, more = panel.cards[:MOST_CARDS], len(panel.cards) - MOST_CARDS
    if more > 0:
        shown = [*shown, Card(f"and {more} more", [], dashed=True)]
    card_width = chars * CHAR + 30
    most = max(1, int((WIDTH - 2 * MARGIN - 3 * PAD - 2 * SPINE + GAP) // (card_width + GAP)))
    rows = math.ceil(len(shown) / most)
    across = math.ceil(len(shown) / rows) if rows else 0
    header = HEADER + LINE * len(panel.details)
    texts = max([_width(panel.title, TITLE), *(columns(each) * CHAR for each in panel.details)])
    width = max(across * (card_width + GAP) - GAP + 2 * SPINE + PAD, math.ceil(min(texts, WIDTH / 2)) + 2 * PAD)
    parts: list[str] = []
    wires: list[tuple[float, float, bool]] = []
    top = float(header)
    for start in range(0, len(shown), across or 1):
        row = shown[start : start + across]
        top += 8 if panel.colour is None else BRANCH + 8
        for column, card in enumerate(row):
            left = 2 * SPINE + column * (card_width + GAP)
            wires.append((left + card_width / 2, top, card.dashed))
            parts += _moved(left, top, _drawn(card, card_width, chars))
        top += max(card.height for card in row)
    height = top + PAD
    colour = "bw-plain" if panel.colour is None else f"bw-s{panel.colour}"
    title_ink = "bw-text" if panel.colour is None else f"bw-f{panel.colour}"
    title = shortened(panel.title, width - 2 * PAD, lambda text: _width(text, TITLE))
    drawn = [
        f"<g>{_tip(panel.tip)}",
        f'<rect class="bw-panel {colour}" width="{width:.1f}" height="{height:.1f}" rx="8"/>',
        f'<text class="{title_ink} bw-title" x="{PAD}" y="24">{_text(title)}</text>',
    ]
    for number, line in enumerate(panel.details, 1):
        text = _text(shortened(line, (width - 2 * PAD) / CHAR))
        drawn.append(f'<text class="bw-quiet bw-mono" x="{PAD}" y="{24 + LINE * number}">{text}</text>')
    if panel.colour is not None:
        drawn += _wire(wires, colour)
    return Placed(width, height, [*drawn, *parts, "</g>"])


def _longest(cards: Sequence[Card]) -> int:
    """How many characters of the details a card has room for."""
    lines = [columns(line.text) for card in cards for line in card.lines]
    names = [math.ceil(_width(card.name, NAME) / CHAR) for card in cards]
    return min(max([SHORTEST, *lines, *names]), WIDEST)


def _width(text: str, size: int) -> float:
    """How wide a name or a title is drawn at most."""
    return size * sum(map(_part, text))


@cache
def _part(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return EAST_ASIAN
    return next((width for letters, width in WIDTHS.items() if letter in letters), LETTER)


def _wire(ends: Sequence[tuple[float, float, bool]], colour: str) -> Iterator[str]:
    """Down the side of a panel, and to each of its cards."""
    if not ends:
        return
    tops = sorted({top for _x, top, _dashed in ends})
    yield f'<path class="bw-wire {colour}" d="M{SPINE} {tops[0] - BRANCH:.1f}V{tops[-1] - BRANCH:.1f}"/>'
    for top in tops:
        last = max(x for x, each, _dashed in ends if each == top)
        yield f'<path class="bw-wire {colour}" d="M{SPINE} {top - BRANCH:.1f}H{last:.1f}"/>'
    for x, top, dashed in ends:
        dashes = " bw-dashed" if dashed else ""
        yield f'<path class="bw-wire {colour}{dashes}" d="M{x:.1f} {top - BRANCH:.1f}V{top:.1f}"/>'


def _drawn(card: Card, width: float, chars: int) -> Placed:
    dashes = " bw-dashed" if card.dashed else ""
    name = shortened(card.name, width - 24, lambda text: _width(text, NAME))
    parts = [
        f"<g>{_tip(card.tip)}",
        f'<rect class="bw-card bw-plain{dashes}" width="{width:.1f}" height="{card.height}" rx="6"/>',
        f'<text class="bw-text bw-name" x="12" y="21">{_text(name)}</text>',
    ]
    for number, line in enumerate(card.lines, 1):
        y = 21 + LINE * number
        left = 12
        if line.dot is not None:
            parts.append(f'<circle class="bw-f{line.dot}" cx="16" cy="{y - 4}" r="4"/>')
            left = 26
        text = _text(shortened(line.text, chars))
        parts.append(f'<text class="{line.ink} bw-mono" x="{left}" y="{y}">{text}</text>')
    return Placed(width, card.height, [*parts, "</g>"])


def _moved(left: float, top: float, drawing: Placed) -> Iterator[str]:
    yield f'<g transform="translate({left:.1f} {top:.1f})">'
    yield from drawing.parts
    yield "</g>"


# How it is written


def _tip(text: str) -> str:
    return f"<title>{_text(text)}</title>" if text else ""


def _text(text: str) -> str:
    """As it may stand between tags and in an attribute; XML has no other control characters than these."""
    plain = "".join(each if each.isprintable() or each == "\n" else " " for each in text)
    for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        plain = plain.replace(mark, entity)
    return plain


def _style() -> str:
    inks: list[tuple[str, str, str, str]] = list(INKS)
    for number, (light, dark) in enumerate(COLOURS):
        inks += [(f"bw-s{number}", "stroke", light, dark), (f"bw-f{number}", "fill", light, dark)]
    fonts = (
        f".bw-host{{font:600 {HOST}px system-ui,sans-serif}}.bw-title{{font:600 {TITLE}px system-ui,sans-serif}}"
        f".bw-name{{font:600 {NAME}px system-ui,sans-serif}}"
        ".bw-small{font:11px system-ui,sans-serif}"
        ".bw-mono{font:11px ui-monospace,Menlo,Consolas,monospace;white-space:pre}"
        ".bw-wire{fill:none;stroke-width:2}.bw-dashed{stroke-dasharray:4 3}"
    )
    light = _rules((ink, name, light) for ink, name, light, _dark in inks)
    dark = _rules((ink, name, dark) for ink, name, _light, dark in inks)
    return f"{fonts}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _rules(inks: Iterable[tuple[str, str, str]]) -> str:
    return "".join(f".{ink}{{{name}:{value}}}" for ink, name, value in inks)
