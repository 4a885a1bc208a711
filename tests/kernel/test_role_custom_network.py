# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role custom_network removes: what it made, nothing else, and in check mode it says exactly that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel import roles
from kernel.roles import Roles, Task
from kernel.support import Managed, bare, same

FRONT = {
    "name": "front",
    "labels": {"app": "shop"},
    "ipam_config": [{"subnet": "192.168.10.0/24"}],
    "connected": ["web", "old"],
    "endpoints": [{"container": "guest"}],
}
BACK = {"name": "back", "ipam_config": [{"subnet": "192.168.20.0/24"}], "connected": ["web", "db"]}
MAPPINGS = [
    {"container": "web", "published_ports": ["8000:80", "8001:81"]},
    {"container": "old", "published_ports": ["8002:80"]},
    {"container": "guest", "published_ports": ["8003:80"]},
]


def call(networks: list[Any], mappings: list[Any], **more: Any) -> Task:
    return roles.call("custom_network", networks=networks, mappings=mappings, **more)


class Role(Roles):
    """The role on a host."""

    def run(self, networks: list[Any], mappings: list[Any], *words: str, fails: bool = False, **more: Any) -> list[Any]:
        """(task, whether it changed something, its diff) of the modules' tasks; of one that fails its message."""
        lines = self.play([call(networks, mappings, **more)], *words, fails=fails)
        if fails:
            (failed,) = (line for line in lines if line["failed"])
            return [failed["msg"], *(each.get("error") for each in failed.get("networks", ()))]
        return [(line["task"], line.get("changed"), line["diff"]) for line in lines if "actions" in line]

    def exactly(self, *arguments: Any, **more: Any) -> set[str]:
        """The role runs as check mode says that it will, and then finds nothing to do; returns which tasks changed."""
        before = self.managed.snapshot()
        predicted = self.run(*arguments, "--check", **more)
        same(before, self.managed.snapshot(), "check mode changed the host")
        done = self.run(*arguments, **more)
        changed = {task.split(" : ")[-1] for task, is_changed, _diff in done if is_changed}
        assert [each[:2] for each in predicted] == [each[:2] for each in done]
        assert not [each for each in self.run(*arguments, **more) if each[1]]
        return changed


@pytest.fixture
def role(managed: Managed, tmp_path: Path) -> Iterator[Role]:
    """The host has a network and containers of others, one of which is a guest on one of the role's networks."""
    managed.run("container_network", name="theirs", connected=["stranger", "guest"], framed=False)
    role = Role(managed, tmp_path)
    role.run([FRONT, BACK], MAPPINGS)
    yield role


def there(managed: Managed) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The custom networks with their containers, and the containers with their host ports."""
    networks = managed.container_network_info(filters={"type": "custom"})["networks"]
    members = {each["Name"]: sorted(one["Name"] for one in each["Containers"].values()) for each in networks}
    containers = managed.container_info()["containers"]
    return members, {
        each["name"]: sorted(one["HostPort"] for ports in each["ports"].values() for one in ports)
        for each in containers
    }


def test_what_is_no_longer_listed_goes_where_that_is_asked_for(managed: Managed, role: Role) -> None:
    before = there(managed)
    assert not [each for each in role.run([{"name": "theirs"}], [], state="absent") if each[1]]
    front = {"name": "front", "connected": ["web", "new"], "endpoints": [{"container": "guest"}]}
    mappings = [
        {"container": "web", "published_ports": ["8000:80"]},
        {"container": "new", "published_ports": ["8002:80"]},
    ]
    assert there(managed) == before
    assert role.exactly([front], mappings, exclusive="y") == {  # a text, as -e gives it; YAML makes one of this, too
        "Make the networks and connect their containers",
        "Publish ports of the containers",
        "Remove containers that are no longer listed",
    }
    assert there(managed) == (
        {"front": ["guest", "new", "web"], "theirs": ["guest", "stranger"]},
        {"guest": ["8003"], "new": ["8002"], "stranger": [], "web": ["8000"]},
    )


def test_all_that_the_role_made_goes_and_nothing_else(managed: Managed, role: Role) -> None:
    managed.run("container_network", name="back", connected=["stranger"], appends=True, framed=False)
    for words in ("--check",), ():
        message = " ".join(map(str, role.run([FRONT], MAPPINGS, *words, fails=True, exclusive=True)))
        assert 'network "back": is in use by' in message and 'container "stranger"' in message
    leaving = [{"container": "stranger", "state": "absent"}]
    managed.run("container_network", name="back", endpoints=leaving, framed=False)
    assert len(role.exactly([FRONT], MAPPINGS, state="absent", exclusive=True)) == 3
    assert there(managed) == ({"theirs": ["guest", "stranger"]}, {"guest": [], "stranger": []})


def test_one_call_knows_nothing_of_another_in_the_same_play(managed: Managed, role: Role) -> None:
    """What the first looks for, as it takes away, is not what the second one leaves alone."""
    further = {"name": "front", "endpoints": [{"container": "new"}]}
    role.play([call([FRONT, BACK], MAPPINGS, exclusive=True), call([further], [])])
    assert there(managed)[0] == {
        "front": ["guest", "new", "old", "web"],
        "back": ["db", "web"],
        "theirs": ["guest", "stranger"],
    }


def test_ports_that_will_have_no_network_are_refused_before_anything_is_made(role: Role) -> None:
    def published(container: str, network: str | int | None = None) -> list[Any]:
        return [{"container": container, "published_ports": ["8010:80"], "network": network}]

    assert role.refused(
        call([FRONT, {"name": "third"}], published("wbe")),
        call([FRONT], published("web", "back"), exclusive=True),
        call([FRONT, {**BACK, "connected": ["db"]}], published("web", "back")),
        call([FRONT, {"name": 5, "connected": ["db"]}], published("web", 5)),
    ) == [
        'custom_network_mappings: container "wbe" is in none of custom_network_networks; connect it there, or publish '
        "its ports with the module port_mapping",
        'custom_network_mappings: network "back" of container "web" goes, as it is no longer listed; list it in '
        "custom_network_networks, or leave it out here",
        'custom_network_mappings: network "back" does not list container "web"; connect it there, or name another '
        "network",
        'custom_network_mappings: network "5" does not list container "web"; connect it there, or name another network',
    ]


def test_predefined_network_stays_that_of_the_role_bridge(managed: Managed, tmp_path: Path) -> None:
    before = managed.snapshot()
    bridge = {"containers": [{"name": "first"}]}
    guests = [{"name": "bridge", "connected": ["second"], "appends": True}]
    calls = [
        roles.call("bridge", **bridge),
        call(guests, []),
        call(guests, [], state="absent"),
        roles.call("bridge", **bridge, state="absent"),
    ]
    Roles(managed, tmp_path).play(calls)
    same(bare(before), bare(managed.snapshot()), "something is left behind")
