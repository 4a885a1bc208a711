# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks make of what they measure: figures, verdicts, rule sets written out, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import page
from benchmarks.figures import percentile
from benchmarks.goals import Verdict
from benchmarks.plot import Series, apart, chart
from benchmarks.shapes import Growth, Marks, Tables, grown, parse, same_shape, written

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (1, 100), (0.001, 1)], ids=["median", "p99", "all", "lowest"]
)
def test_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert percentile([*range(100, 0, -1)], share) == expected


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict("nftables", 1.3, 1.3), "met: 1.30×"),
        (Verdict("nftables", 3.0, 1.5), "**missed: 3.00×**, by a factor of 2.00"),
        (Verdict("nftables", 20.0, 10, least=True), "met: 20.0×"),
        (Verdict("nftables", 5.0, 10, least=True), "**missed: 5.00×**, by a factor of 2.00"),
        (Verdict("nftables", 240.0, 120, " MB"), "**missed: 240 MB**, by a factor of 2.00"),
    ],
)
def test_verdict_says_by_how_much_a_goal_is_missed(verdict: Verdict, text: str) -> None:
    assert verdict.text == text


def rules(*containers: int, newest_first: bool = False) -> Tables:
    """Rules as a peer makes them: a chain for each container, jumped to by a rule at one end of another chain."""
    jumps = [f"-A PORTS -p tcp --dport {8000 + each} -j C-{each:x}" for each in containers]
    lines = [
        "*nat",
        ":PREROUTING ACCEPT [0:0]",
        ":PORTS - [0:0]",
        *(f":C-{each:x} - [0:0]" for each in containers),
        "-A PREROUTING -j PORTS",
        *(reversed(jumps) if newest_first else jumps),
        *(f"-A C-{each:x} -j DNAT --to-destination 10.0.0.{each}:80" for each in containers),
        "COMMIT",
    ]
    return parse("\n".join(lines))


def marks(container: int) -> Marks:
    return Marks(f"10.0.0.{container}", (8000 + container,))


@pytest.mark.parametrize("newest_first", [False, True], ids=["at the end", "at the front"])
def test_rules_written_out_are_those_that_would_have_been_made(newest_first: bool) -> None:
    base, more, real = (rules(*each, newest_first=newest_first) for each in ([1], [1, 2], [1, 2, 3, 4]))
    growth = Growth.between(base, more, marks(2))
    assert same_shape(grown(base, growth, map(marks, (2, 3, 4))), real, "C-.*")
    for wrong in ((2, 4, 3), (2, 3), (2, 3, 5)):
        assert not same_shape(grown(base, growth, map(marks, wrong)), real, "C-.*")


def test_an_address_is_not_found_in_a_longer_one() -> None:
    growth = Growth.between(rules(), rules(1), marks(1)).of(marks(9), "x")
    assert growth.back["nat", "C-1-x"] == ["-j DNAT --to-destination 10.0.0.9:80"]
    longer = Growth(marks(1), {}, {}, {("nat", "A"): ["-d 10.0.0.11/32", "-d 110.0.0.1/32", "--dport 80010"]})
    assert longer.of(marks(9), "x").back["nat", "A"] == ["-d 10.0.0.11/32", "-d 110.0.0.1/32", "--dport 80010"]


def test_rules_in_the_middle_are_no_pattern() -> None:
    with pytest.raises(ValueError, match="nat PORTS"):
        Growth.between(rules(1, 3), rules(1, 2, 3), marks(2))


def test_what_is_written_is_read_back() -> None:
    assert parse(written(rules(1, 2))) == rules(1, 2)


def test_names_beside_a_chart_keep_their_distance_and_their_order() -> None:
    places = apart([1, 2, 3, 100], 15)
    assert places == [-13, 2, 17, 100]


def test_chart_is_svg_with_all_lines_in_the_picture() -> None:
    series = [
        Series("one & two", [(1, 10), (20000, 12)], "#000"),
        Series("three", [(2, 12), (1000, 900)], "#111", True),
    ]
    root = ElementTree.fromstring(chart("<title>", "ports", "µs", series))
    circles = root.iter("{http://www.w3.org/2000/svg}circle")
    places = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in circles]
    assert len(places) == 4
    assert all(0 < x < 860 and 0 < y < 460 for x, y in places)


def test_page_and_pictures_are_those_of_the_results() -> None:
    results = json.loads((ROOT / "benchmarks/results.json").read_text())
    assert (ROOT / "docs/performance.md").read_text() == page.page(results)
    for name, picture in page.pictures(results).items():
        assert (ROOT / "docs/images" / name).read_text() == picture
