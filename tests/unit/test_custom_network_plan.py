# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role custom_network has its modules do, and what it refuses before they do anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.filter import container_name as names
from ansible_collections.bridgework.network.plugins.filter import custom_network_plan as plans

container_name = names.FilterModule().filters()["container_name"]
plan = plans.FilterModule().filters()["custom_network_plan"]

OURS = {"bridgework.role": "custom_network"}
CONFIGURATION = {"bridgework.configuration": "custom_network"}
ID = "abcdef012345" + 52 * "0"


def network(name: str, *members: str, labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """One that is there, as container_network_info shows it."""
    found = {"Name": name, "Id": f"{name:x<64}", "ConfigOnly": False, "Labels": OURS if labels is None else labels}
    return {**found, "Containers": {member: {"Name": member} for member in members}, **more}


def container(name: str, *ports: str) -> dict[str, Any]:
    """One that the role made, as container_info shows it."""
    return {"name": name, "ports": {port: [{}] for port in ports}}


def absent(key: str, *values: str) -> list[dict[str, str]]:
    return [{key: value, "state": "absent"} for value in values]


def removal(name: str, *, force: bool = True) -> dict[str, Any]:
    return {"name": name, "state": "absent", "force": force}


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("web", "web"),
        (80, "80"),
        (" web ", "web"),
        ("/run/netns/web", "web"),
        ("/var//run/netns/web", "web"),
        ("/proc/4711/ns/net", "pid:4711"),
        ("docker:web", "docker:web"),
        ("no name", "no name"),
        ("/run/netns/../x y", "/run/netns/../x y"),
    ],
)
def test_container_is_known_by_one_name(given: Any, known: str) -> None:
    assert container_name(given) == known


def test_what_is_made_gets_the_labels() -> None:
    wanted = [
        {"name": "front", "labels": {"app": "shop"}, "connected": ["web"]},
        {"name": 5, "config_only": "yes"},
        {"name": "bridge", "connected": "web, db", "appends": True},
    ]
    made = plan(wanted)
    assert (made["faults"], made["mappings"], made["containers"]) == ([], [], [])
    front, configuration, predefined = made["networks"]
    assert front == {**wanted[0], "labels": {"app": "shop", **OURS}, "container_labels": OURS, "endpoints": []}
    assert (configuration["name"], configuration["labels"]) == (5, CONFIGURATION)
    assert "labels" not in predefined


def test_what_is_no_longer_listed_goes() -> None:
    found = [
        network("front", "web", "old", "guest"),
        network("back", "db"),
        network("shared", "web", "stranger"),
        network("theirs", "web", labels={}),
        network("bridge", "web"),
        network("settings", labels=CONFIGURATION, ConfigOnly=True),
        network("from-settings", labels=CONFIGURATION),
    ]
    made = plan(
        [{"name": "front", "endpoints": [{"container": "/run/netns/web"}, {"container": "new"}]}],
        mappings=[{"container": "/run/netns/web", "published_ports": ["80"]}],
        exclusive="yes",
        containers=[container("web", "80/tcp"), container("old", "81/tcp"), container("db")],
        found=found,
    )
    assert made["networks"][0]["endpoints"][2:] == absent("container", "old")
    assert made["networks"][1:] == [removal("back"), removal("shared", force=False), removal("settings")]
    assert made["mappings"] == [
        {"container": "web", "published_ports": ["80"], "exclusive": True},
        *absent("container", "old"),
    ]
    assert made["containers"] == absent("name", "old", "db")


@pytest.mark.parametrize(
    ("connected", "names"),
    [("web, 80", ["web", "80"]), (80, ["80"]), (["/run/netns/web", 80], ["web", "80"]), (None, []), ("", [])],
)
def test_connected_is_read_as_the_module_reads_it(connected: Any, names: list[str]) -> None:
    made = plan([{"name": "a", "connected": connected}], exclusive=True, containers=[container("web"), container("80")])
    assert made["containers"] == absent("name", *(name for name in ["web", "80"] if name not in names))


def test_network_that_is_listed_by_its_id_stays() -> None:
    found = [network("front", "web", "old", Id=ID), network("back", Id=ID[::-1])]
    made = plan(
        [{"name": ID[:12], "connected": ["web"]}],
        mappings=[{"container": "web", "network": "front"}],
        exclusive=True,
        containers=[container("old")],
        found=found,
    )
    assert made["faults"] == []
    assert made["networks"][0]["endpoints"] == absent("container", "old")
    assert made["networks"][1:] == [removal("back")]


@pytest.mark.parametrize("exclusive", [False, True])
def test_what_goes_with_absent(exclusive: bool) -> None:
    made = plan(
        [{"name": "front", "connected": ["web", "guest"]}, {"name": "theirs"}],
        mappings=[{"container": "guest", "published_ports": ["80"]}, {"container": "web", "published_ports": ["81"]}],
        state="absent",
        exclusive=exclusive,
        containers=[container("web", "81/tcp"), container("db", "82/tcp")],
        found=[network("front", "web", "guest"), network("back", "db"), network("theirs", labels={})],
    )
    guest = {"container": "guest", "published_ports": ["80"], "state": "absent"}
    if exclusive:
        assert made["networks"] == [removal("front"), removal("back")]
        assert made["mappings"] == [*absent("container", "web", "db"), guest]
        assert made["containers"] == absent("name", "web", "db")
    else:
        assert made["networks"] == [removal("front")]
        assert made["mappings"] == [*absent("container", "web"), guest]
        assert made["containers"] == absent("name", "web")


@pytest.mark.parametrize(
    ("networks", "mappings", "fault"),
    [
        ([{"name": "a", "connected": ["web"]}], [{"container": "wbe"}], 'container "wbe" is in none of'),
        ([{"name": "a", "connected": ["web"]}], [{"container": "web", "network": "old"}], 'network "old" of container'),
        ([{"name": "a"}, {"name": 5, "connected": ["web"]}], [{"container": "web", "network": "a"}], "does not list"),
        ([{"name": 5}, {"name": "b", "connected": ["web"]}], [{"container": "web", "network": 5}], "does not list"),
        ([{"name": "a", "labels": "a=b"}], [], 'labels in custom_network_networks: "a=b" is no dictionary'),
        ([{"name": "a", "endpoints": ["container=web"]}], [], 'endpoints in custom_network_networks: "container=web"'),
        ([{"name": "a", "endpoints": "container=web"}], [], 'endpoints in custom_network_networks: "container=web"'),
        (["name=a"], [], 'custom_network_networks: "name=a" is no dictionary; write it as {name: NAME}'),
        ("name=a", [], 'custom_network_networks: "name=a" is no dictionary; write it as {name: NAME}'),
        ([], ["container=web"], 'custom_network_mappings: "container=web" is no dictionary'),
        ([], "container=web", 'custom_network_mappings: "container=web" is no dictionary'),
    ],
)
def test_what_would_fail_later_is_said(networks: list[Any], mappings: list[Any], fault: str) -> None:
    made = plan(networks, mappings=mappings, exclusive=True, found=[network("old", "web")])
    assert len(made["faults"]) == 1
    assert fault in made["faults"][0]
    assert {key for key, value in made.items() if value} == {"faults"}


NAMES = st.sampled_from(["a", "b", "c", "bridge"])
LISTED = st.builds(lambda name, connected: {"name": name, "connected": connected}, NAMES, st.lists(NAMES, max_size=3))
FOUND = st.builds(
    lambda name, members, labels: network(name, *members, labels=labels),
    NAMES,
    st.lists(NAMES, max_size=3, unique=True),
    st.sampled_from([{}, {"app": "shop"}, OURS]),
)


@given(
    networks=st.lists(LISTED, max_size=3),
    found=st.lists(FOUND, max_size=4, unique_by=lambda each: each["Name"]),
    own=st.lists(NAMES, max_size=3, unique=True),
    state=st.sampled_from(["present", "absent"]),
    exclusive=st.booleans(),
)
def test_nothing_goes_that_the_role_did_not_make(
    networks: list[Any], found: list[Any], own: list[str], state: str, exclusive: bool
) -> None:
    made = plan(networks, state=state, exclusive=exclusive, containers=[container(name) for name in own], found=found)
    gone = [each["name"] for each in made["networks"] if each.get("state") == "absent"]
    ours = {each["Name"] for each in found if each["Labels"] == OURS and each["Name"] != "bridge"}
    assert ours.issuperset(gone)
    assert set(own).issuperset(each["name"] for each in made["containers"])
    disconnected = [each for one in made["networks"] for each in one.get("endpoints", []) if each.get("state")]
    assert set(own).issuperset(each["container"] for each in disconnected)
    alone = {each["Name"] for each in found if {*own, *_connected(networks)}.issuperset(each["Containers"])}
    assert alone.issuperset(each["name"] for each in made["networks"] if each.get("force"))


def _connected(networks: list[Any]) -> set[str]:
    return {name for each in networks for name in each["connected"]}
