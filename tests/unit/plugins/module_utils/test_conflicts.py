# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign things where something of ours shall be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._conflicts import Conflict, find_conflicts, left_alone
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import (
    HOST,
    HostConfig,
    Namespace,
    Route,
    Sysctl,
)
from ansible_collections.bridgework.network.plugins.module_utils._plan import UPDATE, Step, make_plan
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.simulated_host import SimulatedHost
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.test_plan import (
    BRIDGE,
    CONTAINERS,
    INNER,
    OUTER,
    ROUTE,
    blue,
    configs,
    hosts,
)

WEB = Namespace("web")
SETTING = Sysctl("web", "net/ipv4/conf/tun0/forwarding", "1")


@pytest.mark.parametrize(
    ("wanted", "present", "conflict"),
    [
        (
            blue(),
            HostConfig(links={BRIDGE.key: replace(BRIDGE, owner="")}),
            Conflict(
                HOST,
                'interface "br0" exists on the host and is not Bridgework\'s; '
                "choose another name for the bridge, or remove that interface",
            ),
        ),
        (
            blue(),
            HostConfig(links={OUTER.key: replace(OUTER, owner="theirs", peer=None)}),
            Conflict(HOST, 'interface "veth0" exists on the host and is not Bridgework\'s; remove that interface'),
        ),
        (
            blue(),
            HostConfig({"web": WEB}, {INNER.key: replace(INNER, owner="kubelet", peer=None)}),
            Conflict(
                "web",
                'container "web": interface "eth0" exists and is not Bridgework\'s; '
                "choose another one with interface_name, or remove it",
            ),
        ),
        (
            blue(),
            HostConfig({"web": Namespace("web", HOST, owned=False)}),
            Conflict(
                "web",
                'container "web": /run/netns/web exists, is not Bridgework\'s and is not the namespace asked for; '
                "remove it or choose another name",
            ),
        ),
        (
            blue(),
            HostConfig({"web": WEB}, foreign_routes=frozenset({Route("web", "tun0", "default", "0.0.0.0")})),
            Conflict(
                "web",
                'container "web": it has a default route that is not Bridgework\'s; '
                "remove that, or connect the container to internal networks only",
            ),
        ),
        (
            blue(sysctls={SETTING.key: SETTING}),
            HostConfig({"web": WEB}),
            Conflict(
                "web",
                'container "web": sysctls "net/ipv4/conf/tun0/forwarding" belongs to an interface that is not '
                "there; leave it out, or make the interface first",
            ),
        ),
    ],
)
def test_conflict_is_told(wanted: HostConfig, present: HostConfig, conflict: Conflict) -> None:
    assert find_conflicts(wanted, present) == [conflict]


@pytest.mark.parametrize(
    "present",
    [
        HostConfig(),
        HostConfig({"web": WEB}),
        blue(),
        blue(links={**blue().links, INNER.key: replace(INNER, owner="theirs")}),
        HostConfig({"web": WEB}, foreign_routes=frozenset({Route("web", "tun0", "default", "::")})),
        blue(foreign_routes=frozenset({replace(ROUTE, link="tun0")})),
        HostConfig({"db": Namespace("db", HOST, owned=False)}),
    ],
)
def test_there_is_none(present: HostConfig) -> None:
    assert find_conflicts(blue(), present) == []


def spaces(step: Step) -> set[str]:
    """The containers that a step acts on; one that puts a host's end back on its bridge acts on none."""
    found = set()
    for thing in filter(None, (step.before, step.after, step.peer)):
        found |= {getattr(thing, "namespace", None) or getattr(thing, "name", "")} - {HOST}
        if step.verb != UPDATE and (peer := getattr(thing, "peer", None)):
            found.add(peer[0])
    return found


def home(config: HostConfig, key: tuple[str, str]) -> str | None:
    """The container that a host's end belongs to."""
    link = config.links.get(key)
    return link.peer[0] if link is not None and link.peer is not None else None


@settings(max_examples=200)
@given(hosts(), configs(), st.sets(st.sampled_from(CONTAINERS)))
def test_container_that_is_left_alone_is_in_no_step(
    drawn: tuple[SimulatedHost, HostConfig], wanted: HostConfig, names: set[str]
) -> None:
    host, earlier = drawn
    present = host.observe(wanted, earlier)
    # The name of a host's end is its endpoint's, so it never goes over to another container.
    assume(all(home(present, key) in (None, home(wanted, key)) for key in wanted.links))
    steps = make_plan(left_alone(wanted, present, names), present).steps()
    assert not [step for step in steps if spaces(step) & names]
