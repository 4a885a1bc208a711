# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says of itself: its actions, its diff, and which items it changed. All of it, and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._firewall import Firewall
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import (
    RESERVED_PORTS,
    HostConfig,
    Sysctl,
    Traits,
)
from ansible_collections.bridgework.network.plugins.module_utils._ledger import Ledger
from ansible_collections.bridgework.network.plugins.module_utils._plan import Plan, make_plan
from ansible_collections.bridgework.network.plugins.module_utils._render import render
from ansible_collections.bridgework.network.plugins.module_utils._report import actions, diff, touched
from ansible_collections.bridgework.network.plugins.module_utils._state import State
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import Declaration

BRIDGE = "br-blue"
PORTS = "ip nat BRIDGEWORK-PORTS"
RULE = "-p tcp --dport 8000 -j DNAT --to-destination 192.168.10.2:80"


@pytest.fixture
def host() -> Declaration:
    """The network "blue" with "web", which publishes a port, and "db" in it; "batch" is on no network."""
    host = Declaration()
    host.network(
        "blue",
        subnet="192.168.10.0/24",
        driver_options={"com.docker.network.bridge.name": BRIDGE},
        connected=["web", "db"],
    )
    host.bridge({"name": "batch", "mode": "none", "sysctls": {"net.core.somaxconn": 5}})
    host.publish("web", "8000:80")
    return host


def held(state: State) -> HostConfig:
    return render(state, Ledger(), Firewall(), Traits())


def changed_lines(before: State, after: State, plan: Plan) -> list[str]:
    """The - and + lines that Ansible shows."""
    shown = diff(before, after, plan)
    lines = difflib.unified_diff(shown["before"].splitlines(), shown["after"].splitlines(), lineterm="", n=0)
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def without_rule(config: HostConfig) -> HostConfig:
    lines = tuple(line for line in config.firewall[PORTS] if line != RULE)
    return replace(config, firewall={**config.firewall, PORTS: lines})


def with_bridge_down(config: HostConfig) -> HostConfig:
    key = ("", BRIDGE)
    return replace(config, links={**config.links, key: replace(config.links[key], up=False)})


def without_address(namespace: str) -> Callable[[HostConfig], HostConfig]:
    return lambda config: replace(
        config, addresses=frozenset(each for each in config.addresses if each.namespace != namespace)
    )


def without_routes(config: HostConfig) -> HostConfig:
    return replace(config, routes=frozenset(each for each in config.routes if each.namespace != "db"))


def with_sysctl(namespace: str, path: str, value: str) -> Callable[[HostConfig], HostConfig]:
    def change(config: HostConfig) -> HostConfig:
        key = (namespace, path)
        return replace(config, sysctls={**config.sysctls, key: replace(config.sysctls[key], value=value)})

    return change


class TestRepair:
    """The declared state stays; the host differs from it in one thing."""

    @pytest.mark.parametrize(
        ("drift", "action", "lines", "items"),
        [
            (without_rule, f"create rule [{PORTS}] {RULE}", [f"+rule [{PORTS}] {RULE}"], {("container", "web")}),
            (
                with_bridge_down,
                "change bridge br-blue, mtu 1500, mac {mac}, up",
                ["-bridge br-blue, mtu 1500, mac {mac}, down", "+bridge br-blue, mtu 1500, mac {mac}, up"],
                {("network", "blue")},
            ),
            (
                without_address(""),
                "create address 192.168.10.1/24 on br-blue",
                ["+address 192.168.10.1/24 on br-blue"],
                {("network", "blue")},
            ),
            (
                without_routes,
                "create route default via 192.168.10.1 on db/eth0",
                ["+route default via 192.168.10.1 on db/eth0"],
                {("network", "blue"), ("container", "db")},
            ),
            (
                with_sysctl("db", "net/ipv6/conf/eth0/accept_ra", "1"),
                "change sysctl db/net/ipv6/conf/eth0/accept_ra = 0",
                [
                    "-sysctl db/net/ipv6/conf/eth0/accept_ra = 1",
                    "+sysctl db/net/ipv6/conf/eth0/accept_ra = 0",
                ],
                {("network", "blue"), ("container", "db")},
            ),
            (
                with_sysctl("", f"net/ipv4/conf/{BRIDGE}/route_localnet", "0"),
                f"change sysctl net/ipv4/conf/{BRIDGE}/route_localnet = 1",
                [
                    f"-sysctl net/ipv4/conf/{BRIDGE}/route_localnet = 0",
                    f"+sysctl net/ipv4/conf/{BRIDGE}/route_localnet = 1",
                ],
                {("network", "blue")},
            ),
            (
                with_sysctl("batch", "net/core/somaxconn", "4096"),
                "change sysctl batch/net/core/somaxconn = 5",
                ["-sysctl batch/net/core/somaxconn = 4096", "+sysctl batch/net/core/somaxconn = 5"],
                {("container", "batch")},
            ),
            (
                with_sysctl("", "net/ipv4/ip_forward", "0"),
                "change sysctl net/ipv4/ip_forward = 1",
                ["-sysctl net/ipv4/ip_forward = 0", "+sysctl net/ipv4/ip_forward = 1"],
                set(),
            ),
        ],
    )
    def test_is_one_action_and_just_its_lines(
        self,
        host: Declaration,
        drift: Callable[[HostConfig], HostConfig],
        action: str,
        lines: list[str],
        items: set[tuple[str, str]],
    ) -> None:
        wanted = held(host.state)
        mac = wanted.links[("", BRIDGE)].mac
        plan = make_plan(wanted, drift(wanted))
        assert actions(plan) == [action.format(mac=mac)]
        assert changed_lines(host.state, host.state, plan) == [line.format(mac=mac) for line in lines]
        assert touched(host.state, host.state, plan) == items

    def test_rules_in_another_order_are_said_and_shown(self, host: Declaration) -> None:
        host.publish("db", "9000:90")
        wanted = held(host.state)
        swapped = replace(wanted, firewall={**wanted.firewall, PORTS: wanted.firewall[PORTS][::-1]})
        plan = make_plan(wanted, swapped)
        assert actions(plan) == ["change firewall: its chains or the order of its rules"]
        shown = diff(host.state, host.state, plan)
        rules = [f"rule [{PORTS}] {line}" for line in wanted.firewall[PORTS]]
        assert shown["after"].splitlines() == rules
        assert shown["before"].splitlines() == rules[::-1]

    def test_nothing_to_repair_is_nothing_to_say(self, host: Declaration) -> None:
        wanted = held(host.state)
        plan = make_plan(wanted, wanted)
        assert actions(plan) == []
        assert diff(host.state, host.state, plan) == {"before": "", "after": ""}
        assert touched(host.state, host.state, plan) == set()


class TestChange:
    """The declared state changes, and the host follows."""

    def changes(self, host: Declaration, change: Callable[[], object]) -> tuple[State, State, Plan]:
        before = host.state
        change()
        return before, host.state, make_plan(held(host.state), held(before))

    def test_published_port_is_its_declaration_and_its_rule(self, host: Declaration) -> None:
        before, after, plan = self.changes(host, lambda: host.publish("db", "192.0.2.7:5432:5432"))
        rule = f"rule [{PORTS}] -d 192.0.2.7/32 -p tcp --dport 5432 -j DNAT --to-destination 192.168.10.3:5432"
        link = next(e.host_link for e in after.endpoints.values() if e.container == "db")
        assert f"create {rule}" in actions(plan)
        assert changed_lines(before, after, plan) == [
            f"-veth {link}, mtu 1500, on {BRIDGE}, up",
            '+declared port: {"container": "db", "container_port": 5432, "host_ip": "192.0.2.7", "host_port": 5432, '
            '"protocol": "tcp"}',
            f"+veth {link}, mtu 1500, on {BRIDGE}, hairpin, up",
            f"+{rule}",
        ]
        assert ("container", "db") in touched(before, after, plan)
        assert ("container", "web") not in touched(before, after, plan)

    def test_published_port_that_splits_a_chain_is_about_its_container_alone(self, host: Declaration) -> None:
        host.publish("db", "8100-8114:5000-5014")
        before = host.state.copy()
        host.publish("db", "8115:5015")
        plan = make_plan(held(host.state), held(before))
        assert "-p tcp --dport 7936:8191 -j BRIDGEWORK-TCP-7936-8191" in "\n".join(actions(plan))
        assert touched(before, host.state, plan) == {("container", "db")}

    def test_labels_alone_are_a_declaration_and_no_action(self, host: Declaration) -> None:
        before, after, plan = self.changes(host, lambda: host.network("blue", labels={"tier": "front"}))
        assert actions(plan) == []
        old, new = changed_lines(before, after, plan)
        assert old.startswith('-declared network "blue": {') and "labels" not in old
        assert new.startswith('+declared network "blue": {') and '"labels": {"tier": "front"}' in new
        assert touched(before, after, plan) == {("network", "blue")}

    def test_aliases_alone_are_a_matter_of_network_and_container(self, host: Declaration) -> None:
        endpoint = {"container": "web", "aliases": ["www"]}
        before, after, plan = self.changes(host, lambda: host.network("blue", endpoints=[endpoint]))
        assert actions(plan) == []
        assert touched(before, after, plan) == {("network", "blue"), ("container", "web")}

    def test_pair_is_one_action(self, host: Declaration) -> None:
        before, after, plan = self.changes(host, lambda: host.network("blue", connected=["cache"], appends=True))
        endpoint = host.endpoint("blue", "cache")
        assert (
            f"create veth {endpoint.host_link}, mtu 1500, on {BRIDGE}, up and "
            f"veth cache/eth0, mtu 1500, mac {endpoint.mac}, up"
        ) in actions(plan)
        assert "create namespace /run/netns/cache" in actions(plan)
        assert touched(before, after, plan) == {("network", "blue"), ("container", "cache")}
        assert not [line for line in changed_lines(before, after, plan) if line.startswith("-")]

    def test_only_the_items_that_changed_are_said_to(self, host: Declaration) -> None:
        before, after, plan = self.changes(
            host, lambda: host.networks({"name": "red"}, {"name": "blue", "connected": ["web", "db"]})
        )
        assert touched(before, after, plan) == {("network", "red")}

    def test_removal_is_shown_as_such(self, host: Declaration) -> None:
        before, after, plan = self.changes(host, lambda: host.bridge({"name": "batch", "state": "absent"}))
        assert actions(plan) == ["remove namespace /run/netns/batch"]
        lines = changed_lines(before, after, plan)
        assert [line[:28] for line in lines] == ['-declared container "batch":', "-namespace /run/netns/batch"]
        assert touched(before, after, plan) == {("container", "batch")}

    def test_handles_name_what_they_lead_to(self, host: Declaration) -> None:
        _before, _after, plan = self.changes(
            host,
            lambda: host.bridge(
                {"name": "agent", "mode": "host"}, {"name": "log", "mode": "container", "target": "web"}
            ),
        )
        assert sorted(actions(plan)) == [
            "create handle /run/netns/agent on the host",
            'create handle /run/netns/log on "web"',
        ]


@pytest.mark.parametrize(
    ("before", "after", "action", "lines"),
    [
        ("22,8000-8001", "22,8001-8002", "release 8000, reserve 8002", ["-{}: 8000", "+{}: 8002"]),
        ("22", "22,8000-8001", "reserve 8000-8001", ["+{}: 8000-8001"]),
        ("22,8000", "22", "release 8000", ["-{}: 8000"]),
    ],
)
def test_list_of_reserved_ports_is_told_by_what_comes_and_goes(
    before: str, after: str, action: str, lines: list[str]
) -> None:
    """Thousands may stay."""
    old, new = (Sysctl("", RESERVED_PORTS, value) for value in (before, after))
    plan = make_plan(HostConfig(sysctls={new.key: new}), HostConfig(sysctls={old.key: old}))
    assert actions(plan) == [f"change sysctl {RESERVED_PORTS}: {action}"]
    assert changed_lines(State(), State(), plan) == [each.format(f"sysctl {RESERVED_PORTS}") for each in lines]
