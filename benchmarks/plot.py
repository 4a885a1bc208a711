# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Line charts as SVG, with a logarithmic scale on both axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 46, 54
LABEL = 15  # the least distance between two names
HEADER = """<!--
SPDX-FileCopyrightText: Bridgework contributors
SPDX-License-Identifier: GPL-3.0-or-later
-->
"""


@dataclass(frozen=True)
class Series:
    """A line: (x, y) in order, a colour, and whether it is dashed."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from `low` to `high`, on the picture from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, steps: Sequence[int]) -> Iterator[float]:
        for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            for step in steps:
                value = step * 10.0**power
                if self.low * 0.999 <= value <= self.high * 1.001:
                    yield value


def chart(title: str, x_title: str, y_title: str, series: Sequence[Series]) -> str:
    xs = [x for each in series for x, _y in each.points]
    ys = [y for each in series for _x, y in each.points]
    x_axis = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_axis = Axis(min(ys) / 1.2, max(ys) * 1.2, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#333">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
        *_grid(x_axis, y_axis),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x_title)}</text>',
        f'<text transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_title)}</text>",
        *(_line(each, x_axis, y_axis) for each in series),
        *_names(series, x_axis, y_axis),
        "</svg>",
    ]
    return HEADER + "\n".join(parts) + "\n"


def _grid(x_axis: Axis, y_axis: Axis) -> list[str]:
    parts = []
    for value in y_axis.ticks((1, 2, 5)):
        y = y_axis.place(value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for value in x_axis.ticks((1, 2, 5) if x_axis.high / x_axis.low < 1000 else (1,)):
        x = x_axis.place(value)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_number(value)}</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" stroke="#888" fill="none"/>')
    return parts


def _line(series: Series, x_axis: Axis, y_axis: Axis) -> str:
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in series.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dash = ' stroke-dasharray="6 4"' if series.dashed else ""
    dots = "" if len(places) > 20 else "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    return (
        f'<g stroke="{series.colour}" fill="{series.colour}"><path d="M{path}" fill="none" stroke-width="2"{dash}/>'
        f'<g stroke="none">{dots}</g></g>'
    )


def _names(series: Sequence[Series], x_axis: Axis, y_axis: Axis) -> list[str]:
    """Each line's name beside the chart, as near to its end as the others leave room; a hair leads there."""
    places = [(y_axis.place(each.points[-1][1]), x_axis.place(each.points[-1][0]), each) for each in series]
    ends = sorted(places, key=lambda place: place[0])
    wanted = [y for y, _x, _each in ends]
    parts = []
    for (y, x, each), at in zip(ends, apart(wanted, LABEL), strict=True):
        beside = WIDTH - RIGHT + 14
        parts.append(
            f'<path d="M{x + 4:.1f} {y:.1f}L{beside - 4} {at:.1f}" stroke="{each.colour}" stroke-width="0.6"/>'
            f'<text x="{beside}" y="{at + 4:.1f}" fill="{each.colour}">{escape(each.name)}</text>'
        )
    return parts


def apart(places: Sequence[float], distance: float) -> list[float]:
    """The places, in order, moved as little as it takes to keep them that far apart."""
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _low(groups[-1], distance) < _low(groups[-2], distance) + distance * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [_low(group, distance) + distance * number for group in groups for number in range(len(group))]


def _low(group: Sequence[float], distance: float) -> float:
    """Where the first of a group is, so that the group is around the middle of what its members want."""
    return sum(group) / len(group) - distance * (len(group) - 1) / 2


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
