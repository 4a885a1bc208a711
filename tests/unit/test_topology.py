# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology of a host, and the pictures that are drawn of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.filter.mermaid import mermaid
from ansible_collections.bridgework.network.plugins.filter.svg import svg
from ansible_collections.bridgework.network.plugins.module_utils._topology import topology
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import Declaration

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<&\"'>]]>`;#|{}()[]\n\x07\u202e end %% subgraph é"


def network(name: str, *subnets: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "driver": "bridge",
        "device": "bw0",
        "internal": False,
        "labels": {},
        "subnets": [{"subnet": subnet, "gateway": ""} for subnet in subnets],
        **more,
    }


def container(
    name: str, *networks: str, mode: str = "bridge", target: str | None = None, **more: Any
) -> dict[str, Any]:
    endpoints = [
        {"network": each, "interface": "eth0", "addresses": [f"10.0.{i}.2"]} for i, each in enumerate(networks)
    ]
    return {"name": name, "mode": mode, "target": target, "networks": endpoints, "labels": {}, **more}


def port(container: str, host_port: int, host_ip: str = "0.0.0.0", **more: Any) -> dict[str, Any]:
    place = {"host_ip": host_ip, "host_port": host_port, "container_port": 80, "protocol": "tcp"}
    return {"container": container, "network": "a", "allowed_sources": None, **place, **more}


def host(
    networks: list[Any], containers: list[Any], ports: list[Any] | None = None, name: str = "one"
) -> dict[str, Any]:
    return {"host": name, "networks": networks, "containers": containers, "ports": ports or []}


def boxes(picture: str) -> Iterator[tuple[float, ElementTree.Element]]:
    """Each text of a panel or a card, with the width of the box that it is in."""
    for group in ElementTree.fromstring(picture).iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect")
        if box is not None:
            yield from ((float(box.attrib["width"]), text) for text in group.findall(f"{SVG}text"))


def texts(picture: str) -> list[str]:
    """What a picture says, in order; it is well-formed XML."""
    return [each.text or "" for each in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def tips(picture: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(picture).iter(f"{SVG}title")]


SHOP = host(
    [network("a", "192.168.10.0/24", "fd00::/64"), network("b", "192.168.11.0/24", internal=True)],
    [
        container("web", "a", "b", labels={"note": NASTY}),
        container("side", mode="container", target="web"),
        container("exporter", mode="host"),
        container("agent", mode="container", target="exporter"),
        container("batch", mode="none"),
    ],
    [
        port("web", 8000),
        port("web", 8000, "::"),
        port("web", 53, "2001:db8::1", protocol="udp", allowed_sources=["::1"]),
    ],
)


# Data


def test_topology_has_what_was_declared_and_is_plain() -> None:
    declared = Declaration()
    declared.network("front", ipam_config=[{"subnet": "192.168.10.0/24"}], connected=["web"])
    declared.network("back", ipam_config=[{"subnet": "192.168.11.0/24"}], connected=["web"], internal=True)
    declared.publish("web", "8000:8080")
    found = topology(declared.state, "example")
    assert json.loads(json.dumps(found)) == found
    assert found["host"] == "example"
    assert [(each["name"], each["internal"]) for each in found["networks"]] == [("back", True), ("front", False)]
    assert found["networks"][1]["subnets"] == [{"subnet": "192.168.10.0/24", "gateway": "192.168.10.1"}]
    (web,) = found["containers"]
    assert {each["network"]: each["addresses"] for each in web["networks"]} == {
        "front": ["192.168.10.2"],
        "back": ["192.168.11.2"],
    }
    assert {(each["network"], each["host_port"], each["container_port"]) for each in found["ports"]} == {
        ("front", 8000, 8080)
    }


def test_topology_tells_ports_for_everybody_from_those_for_nobody() -> None:
    declared = Declaration()
    declared.network("front", ipam_config=[{"subnet": "192.168.10.0/24"}, {"subnet": "fd00::/64"}], connected=["web"])
    declared.publish("web", "8000:80")
    declared.publish("web", "8001:80", allowed_sources=["192.0.2.0/24"])
    found = {
        (each["host_ip"], each["host_port"]): each["allowed_sources"] for each in topology(declared.state, "x")["ports"]
    }
    assert found == {
        ("0.0.0.0", 8000): None,
        ("::", 8000): None,
        ("0.0.0.0", 8001): ["192.0.2.0/24"],
        ("::", 8001): [],
    }


def test_topology_of_a_host_without_anything_is_empty() -> None:
    assert topology(Declaration().state, "example") == host([], [], name="example")


# Pictures


@pytest.mark.parametrize("draw", [svg, mermaid])
def test_same_topology_is_the_same_picture(draw: Any) -> None:
    assert draw(SHOP) == draw(json.loads(json.dumps(SHOP)))


def test_svg_says_everything() -> None:
    said = texts(svg(SHOP))
    for text in ("one", "a", "192.168.10.0/24", "fd00::/64", "web", "10.0.0.2", "10.0.1.2", "8000 → 80/tcp", "batch"):
        assert text in said
    assert said.count("8000 → 80/tcp") == 1  # of both families
    assert "[2001:db8::1]:53 → 80/udp (some clients)" in said
    assert "bridge on bw0, internal: no way out" in said
    assert said.count("web") == 2  # in its first network, and in the other
    assert "also on a" in said
    assert "shares web" in said
    assert said.index("side") < said.index("b")  # where web is
    assert said.index("host") < said.index("agent") < said.index("none") < said.index("batch")


def test_svg_shows_labels_to_who_points_at_it() -> None:
    assert any('note=<&"' in tip for tip in tips(svg(SHOP)))


def test_svg_loads_nothing_and_runs_nothing() -> None:
    picture = svg(host([network(f'<script>{NASTY}"', "x")], [container(f"<image href='http://x'>{NASTY}")]))
    tags = {each.tag.removeprefix(SVG) for each in ElementTree.fromstring(picture).iter()}
    assert tags <= {"svg", "title", "style", "rect", "g", "text", "path", "circle"}
    assert (
        re.findall(
            r"(?:href|url\(|@import|@font-face|<script|<image)", picture.split("<style>")[1].split("</style>")[0]
        )
        == []
    )
    assert not [
        key
        for each in ElementTree.fromstring(picture).iter()
        for key in each.attrib
        if "href" in key or key[:2] == "on"
    ]


def test_svg_is_light_and_dark() -> None:
    picture = svg(SHOP)
    assert "prefers-color-scheme:dark" in picture
    assert '<rect class="bw-ground" width="100%" height="100%"/>' in picture


@pytest.mark.parametrize("letter", ["n", "W", "m", "M", "-", "9", "\u65e5"])
def test_long_names_and_addresses_stay_in_their_boxes(letter: str) -> None:
    name = letter * 128
    address = "2001:0db8:1234:5678:9abc:def0:1234:5678"
    endpoint = {"network": name, "interface": "eth0", "addresses": [address]}
    sharing = container(f"b{name}", mode="container", target=name)
    drawn = host(
        [network(name, address), network("other")],
        [container(name, networks=[endpoint]), sharing, container("c", name, "other")],
        [port(name, 65535, address)],
        name=name,
    )
    picture = svg(drawn)
    said = texts(picture)
    assert address in said
    assert f"[{address}]:65535" in said
    assert name in "".join(tips(picture))
    for width, text in boxes(picture):
        assert float(text.attrib["x"]) + drawn_width(text) <= width, text.text


# Of DejaVu Sans Bold and DejaVu Sans Mono, which are the widest of the fonts that systems come with, in parts of the
# size; the other letters here are as wide as a square.
ADVANCES = {"n": 0.712, "b": 0.716, "W": 1.103, "m": 1.042, "M": 0.995, "-": 0.415, "9": 0.696, "\u2026": 1.0}
SIZES = {"bw-host": 18, "bw-title": 15, "bw-name": 13}


def drawn_width(text: ElementTree.Element) -> float:
    size = next((size for name, size in SIZES.items() if name in text.attrib["class"]), None)
    said = text.text or ""
    if size is None:
        return 11 * sum(0.602 if each < "\u3000" else 1.204 for each in said)
    return size * sum(ADVANCES.get(each, 0.6 if each.isascii() else 1.0) for each in said)


@pytest.mark.parametrize("name", ["net", "unused", "a-network-with-a-name", "i" * 30])
def test_text_that_has_room_is_not_cut(name: str) -> None:
    subnets = [{"subnet": f"192.168.{i}.0/24", "gateway": f"192.168.{i}.1"} for i in (1, 99, 100)]
    found = network(name, subnets=subnets)
    picture = svg(host([found], [container(name, found["name"])], name=name))
    assert not [text for text in texts(picture) if "\u2026" in text]


@pytest.mark.parametrize("draw", [svg, mermaid])
def test_who_may_use_a_port_is_said(draw: Any) -> None:
    ports = [
        *(port("web", 8000, ip) for ip in ("0.0.0.0", "::")),
        *(
            port("web", 8001, ip, allowed_sources=subnets)
            for ip, subnets in (("0.0.0.0", ["192.0.2.0/24"]), ("::", []))
        ),
        *(port("web", 8003, ip, allowed_sources=[]) for ip in ("0.0.0.0", "::")),
    ]
    picture = draw(host([network("a")], [container("web", "a")], ports))
    for text in ("8000 \u2192 80/tcp", "8001 \u2192 80/tcp (some clients)", "8003 \u2192 80/tcp (this host only)"):
        assert re.search(rf"(>|<br/>){re.escape(text)}(<|\")", picture), text
        assert picture.count(text.partition(" ")[0]) == (2 if draw is svg else 1)  # the tip has it too


@pytest.mark.parametrize("draw", [svg, mermaid])
def test_successive_ports_are_one_range(draw: Any) -> None:
    many = [port("web", 10000 + i, ip, container_port=20000 + i) for i in range(10_000) for ip in ("0.0.0.0", "::")]
    many += [port("web", 7000 + 2 * i, container_port=7000 + 2 * i) for i in range(20)]
    picture = draw(host([network("a")], [container("web", "a")], many))
    assert "10000-19999 \u2192 20000-29999/tcp" in picture
    assert "7000 \u2192 7000/tcp" in picture
    assert f"and {20 + 1 - (4 if draw is svg else 6)} more ports" in picture


def test_networks_of_one_container_are_counted_where_they_are_many() -> None:
    networks = [f"n{i}" for i in range(40)]
    picture = svg(host([network(each) for each in networks], [container("router", *networks)]))
    assert "and on 36 more" in texts(picture)
    assert texts(picture).count("also on n0") == 39
    assert any("n39: 10.0.39.2" in tip for tip in tips(picture))


def test_tip_says_what_it_leaves_out() -> None:
    labels = {f"l{i}": "x" for i in range(100)}
    ports = [port("web", 7000 + 2 * i) for i in range(100)]
    picture = svg(host([network("a")], [container("web", "a", labels=labels)], ports))
    assert any(tip.count("and 40 more") == 2 for tip in tips(picture))


def test_namespaces_of_others_are_not_taken_for_empty_ones() -> None:
    containers = [
        container("pid:4711"),
        container("side", mode="container", target="pid:4711"),
        container("orphan", mode="container", target="docker:web"),
        container("alone"),
    ]
    said = texts(svg(host([], containers)))
    order = [said.index(name) for name in ("elsewhere", "pid:4711", "side", "orphan", "none", "alone")]
    assert order == sorted(order)


def test_mermaid_keeps_all_of_a_long_port_and_the_parent_of_a_network() -> None:
    address = "2001:db8:1234:5678:9abc:def0:1234:5678"
    lan = network("lan", driver="macvlan", device="eth0.20")
    chart = mermaid(host([lan], [container("web", "lan")], [port("web", 65535, address, allowed_sources=["::1"])]))
    assert f"[{address}]:65535<br/>".replace("[", "#91;").replace("]", "#93;") in chart
    assert "80/tcp (some clients)" in chart
    assert "macvlan on eth0.20" in chart


def test_mermaid_makes_no_formula_of_dollars() -> None:
    assert "#36;#36;" not in mermaid(host([], [container("/run/$$x$$")]))


@pytest.mark.parametrize("name", ["aside", "side"])
def test_mermaid_draws_no_wire_to_a_container_that_it_leaves_out(name: str) -> None:
    networks = [f"n{i}" for i in range(4)]
    many = [container(f"c{i:03}", *networks) for i in range(113)]  # the last one's four edges are too many
    side = container(name, mode="container", target="c112")
    containers = sorted([*many, side], key=lambda each: each["name"])
    chart = mermaid(host([network(each) for each in networks], containers))
    assert "shares c112" in chart
    assert "and 1 more" in chart
    drawn = set(re.findall(r"^ *(h0[nc]\d+)[\[(]", chart, re.MULTILINE))
    assert set(re.findall(r"\bh0[nc]\d+\b", chart)) == drawn


def test_many_containers_are_drawn_and_too_many_are_counted() -> None:
    networks = [network(f"n{i}") for i in range(8)]
    sixty = host(networks, [container(f"c{i}", f"n{i % 8}") for i in range(60)])
    assert {f"c{i}" for i in range(60)} < {*texts(svg(sixty))}
    assert all(f'"c{i}<br/>' in mermaid(sixty) for i in range(60))
    many = host(networks[:1], [container(f"c{i}", "n0") for i in range(5000)])
    assert "and 4800 more" in texts(svg(many))
    assert len(svg(many)) < 200_000


def test_mermaid_keeps_within_what_mermaid_takes() -> None:
    many = host([network("n")], [container(f"c{i}-{'x' * 100}", "n", "n") for i in range(5000)])
    chart = mermaid([many, many])
    assert len(chart) < 50_000
    assert chart.count("---") < 500
    drawn = chart.count(":::container") + chart.count(":::network")
    assert drawn + sum(int(number) for number in re.findall(r"and (\d+) more", chart)) == 2 * 5001


def test_several_hosts_are_one_picture() -> None:
    other = {**SHOP, "host": "two"}
    assert {"one", "two"} < {*texts(svg([SHOP, other]))}
    chart = mermaid([SHOP, other])
    assert 'subgraph h0["host one"]' in chart
    assert 'subgraph h1["host two"]' in chart
    nodes = re.findall(r"^    (\w+)(?:\[|\(\[)", chart, re.MULTILINE)
    assert len(nodes) == len({*nodes})


def test_host_without_anything_is_drawn() -> None:
    assert "no networks" in texts(svg(host([], [])))
    assert "no networks" in mermaid(host([], []))


LABELS = re.compile(r'"[\w .,:/()→…#;-]*(?:<br/>[\w .,:/()→…#;-]*)*"')


@given(st.text(), st.text(), st.text())
def test_no_text_breaks_out_of_a_picture(one: str, other: str, third: str) -> None:
    drawn = host(
        [network(one, other)],
        [container(other, one, labels={one: third}), container(third, mode="container", target=other)],
        [port(other, 1, third)],
        name=third,
    )
    ElementTree.fromstring(svg(drawn))
    for line in mermaid(drawn).splitlines():
        assert '"' not in LABELS.sub("", line)


class Lazy(dict):
    """As templates give them, with a type whose name says nothing to anybody."""


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (None, "nothing"),
        (True, "a boolean"),
        (5, "a number"),
        ("text", "a text"),
        ([], "an empty list"),
        ([[SHOP]], "a list within it"),
        ([SHOP, "x"], "a text"),
        ({}, "an empty dictionary"),
        ({"networks": []}, "a dictionary of networks"),
        (Lazy(changed=False, topology=SHOP), "a dictionary of changed, topology"),
        ([Lazy(failed=True, msg="no")], "a dictionary of failed, msg"),
        ({**SHOP, "ports": "x"}, "a dictionary of host, networks, containers, ports"),
        ({**SHOP, "networks": ["x"]}, "a dictionary of host, networks, containers, ports"),
        ({**SHOP, "networks": [{"subnets": "x"}]}, "a dictionary of host, networks, containers, ports"),
        ({**SHOP, "containers": [{"networks": {"a": {}}}]}, "a dictionary of host, networks, containers, ports"),
    ],
)
@pytest.mark.parametrize("draw", [svg, mermaid])
def test_what_is_no_topology_is_refused_in_one_line(draw: Any, value: Any, got: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        draw(value)
    assert re.fullmatch(
        rf"filter (svg|mermaid): wants a topology, or a list of them, and got {got}; give the result topology of "
        "container_network_info with topology=true",
        str(caught.value),
    )


@pytest.mark.parametrize("draw", [svg, mermaid])
@pytest.mark.parametrize(
    "odd",
    [
        {"mode": "container", "target": None},
        {"name": "x", "mode": "container", "target": ["x"]},
        {"name": ["x"], "networks": [{}], "labels": ["a"]},
        {"name": 5, "mode": {}, "networks": None},
    ],
)
def test_what_a_topology_lacks_is_drawn_as_absent(draw: Any, odd: Any) -> None:
    assert draw(host([{}, {"subnets": [{}]}], [odd, odd], [{}, {"host_port": ["x"], "container_port": {}}]))


def test_containers_that_share_in_a_circle_are_drawn() -> None:
    circle = host([], [container("a", mode="container", target="b"), container("b", mode="container", target="a")])
    assert {"a", "b"} < {*texts(svg(circle))}
    assert "shares a" in mermaid(circle)
