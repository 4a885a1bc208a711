# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology of a host, and the pictures that are drawn of it."""

from __future__ import annotations

import json
import re
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
    return {"container": container, "network": "a", "allowed_sources": [], **place, **more}


def host(
    networks: list[Any], containers: list[Any], ports: list[Any] | None = None, name: str = "one"
) -> dict[str, Any]:
    return {"host": name, "networks": networks, "containers": containers, "ports": ports or []}


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
    assert "bridge, internal: no way out on bw0" in said
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


def test_long_names_and_addresses_stay_in_their_cards() -> None:
    name = "n" * 128
    address = "2001:0db8:1234:5678:9abc:def0:1234:5678"
    endpoint = {"network": name, "interface": "eth0", "addresses": [address]}
    picture = svg(host([network(name)], [container(name, networks=[endpoint])], [port(name, 65535, address)]))
    said = texts(picture)
    assert address in said
    assert f"[{address}]:65535" in said
    assert max(len(text) for text in said[:-1]) < 60
    assert name in "".join(tips(picture))


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


@pytest.mark.parametrize(
    "value", [None, 5, "text", {}, {"networks": []}, {**SHOP, "ports": "x"}, {**SHOP, "networks": ["x"]}, [SHOP, "x"]]
)
@pytest.mark.parametrize("draw", [svg, mermaid])
def test_what_is_no_topology_is_refused_in_one_line(draw: Any, value: Any) -> None:
    with pytest.raises(
        AnsibleFilterError, match=r"^filter (svg|mermaid): wants a topology, .*; give the result topology"
    ):
        draw(value)


def test_containers_that_share_in_a_circle_are_drawn() -> None:
    circle = host([], [container("a", mode="container", target="b"), container("b", mode="container", target="a")])
    assert {"a", "b"} < {*texts(svg(circle))}
    assert "shares a" in mermaid(circle)
