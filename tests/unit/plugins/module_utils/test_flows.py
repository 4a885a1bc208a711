# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which flows a change of the published ports leaves behind."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._firewall.iptables import Iptables
from ansible_collections.bridgework.network.plugins.module_utils._firewall.ruleset import (
    NetworkRules,
    PortRule,
    Ruleset,
)
from ansible_collections.bridgework.network.plugins.module_utils._flows import Flow, PortChange, is_left_behind
from ansible_collections.bridgework.network.plugins.module_utils._kernel.conntrack import Table, forget_left_behind

HOST, SECOND, RESOLVER = "192.0.2.10", "192.0.2.11", "198.51.100.53"
WEB, DB = "10.1.0.2", "10.1.0.3"
LOCAL = {HOST, SECOND, "127.0.0.1"}

EVERYWHERE = PortRule("udp", "0.0.0.0", 53, WEB, 5353)
HERE = PortRule("udp", HOST, 53, WEB, 5353)
TO_DB = PortRule("udp", "0.0.0.0", 53, DB, 5353)
TO_WEB = Flow("udp", HOST, 53, WEB, 5353)
TO_HOST = Flow("udp", HOST, 53, HOST, 53)


@pytest.mark.parametrize(
    ("before", "after", "flow", "left_behind"),
    [
        pytest.param([EVERYWHERE], [], TO_WEB, True, id="taken back"),
        pytest.param([HERE], [], TO_WEB, True, id="taken back from an address"),
        pytest.param([EVERYWHERE], [], TO_HOST, False, id="of a process of the host"),
        pytest.param([EVERYWHERE], [TO_DB], TO_WEB, True, id="led elsewhere"),
        pytest.param([EVERYWHERE], [TO_DB], Flow("udp", HOST, 53, DB, 5353), False, id="led there already"),
        pytest.param([EVERYWHERE], [PortRule("udp", "0.0.0.0", 53, WEB, 53)], TO_WEB, True, id="another port of it"),
        pytest.param([], [EVERYWHERE], TO_HOST, True, id="to the host, which leads it on now"),
        pytest.param([], [EVERYWHERE], Flow("udp", "127.0.0.9", 53, "127.0.0.9", 53), True, id="to a loopback address"),
        pytest.param([], [EVERYWHERE], Flow("udp", RESOLVER, 53, RESOLVER, 53), False, id="through the host"),
        pytest.param([], [HERE], Flow("udp", SECOND, 53, SECOND, 53), False, id="to another address of the host"),
        pytest.param([], [HERE], Flow("udp", HOST, 54, HOST, 54), False, id="to another port"),
        pytest.param([], [HERE], Flow("tcp", HOST, 53, HOST, 53), False, id="of another protocol"),
        pytest.param([EVERYWHERE], [EVERYWHERE], TO_WEB, False, id="untouched"),
        pytest.param([EVERYWHERE], [EVERYWHERE], TO_HOST, False, id="untouched, though it leads elsewhere"),
        pytest.param([EVERYWHERE], [HERE], Flow("udp", SECOND, 53, WEB, 5353), True, id="on an address less"),
    ],
)
def test_flow_is_left_behind_by_a_change(
    before: list[PortRule], after: list[PortRule], flow: Flow, left_behind: bool
) -> None:
    change = PortChange.towards(frozenset(after), frozenset(before))
    assert is_left_behind(flow, change, LOCAL) == left_behind


def test_ports_whose_clients_may_have_flows_are_named() -> None:
    closed, opened = EVERYWHERE, PortRule("udp", "0.0.0.0", 54, WEB, 5354)
    narrowed = PortRule("tcp", "::", 80, "fd00:1::2", 80)
    after = frozenset({opened, TO_DB, narrowed._replace(sources=("2001:db8::/64",))})
    change = PortChange.towards(after, frozenset({closed, narrowed}))
    assert change.left_behind == ["0.0.0.0:53/udp", "[::]:80/tcp"]
    assert not PortChange.towards(frozenset({opened}), frozenset()).left_behind


TO_SOME = PortRule("udp", "0.0.0.0", 53, WEB, 5353, ("198.51.100.0/24", "203.0.113.7/32"))
TO_SOME_BY_TCP = PortRule("tcp", "0.0.0.0", 53, WEB, 5353, ("198.51.100.0/24",))
BY_TCP = PortRule("tcp", "0.0.0.0", 53, WEB, 5353)


def of(client: str, flow: Flow = TO_WEB, **more: str) -> Flow:
    return replace(flow, client=client, **more)


@pytest.mark.parametrize(
    ("before", "after", "flow", "left_behind"),
    [
        pytest.param([EVERYWHERE], [TO_SOME], of("203.0.113.8"), True, id="of one who may no longer"),
        pytest.param([EVERYWHERE], [TO_SOME], of("203.0.113.7"), False, id="of one who still may"),
        pytest.param([EVERYWHERE], [TO_SOME], of(HOST), False, id="of the host itself"),
        pytest.param([EVERYWHERE], [TO_SOME], of("203.0.113.8", TO_HOST), False, id="to a process of the host"),
        pytest.param([TO_SOME], [EVERYWHERE], of("203.0.113.7"), False, id="of one who might before"),
        pytest.param([TO_SOME], [EVERYWHERE], of("203.0.113.8", TO_HOST), True, id="of one who comes in now"),
        pytest.param([], [TO_SOME], of("203.0.113.8", TO_HOST), False, id="of one whom a new port is not for"),
        pytest.param([BY_TCP], [TO_SOME_BY_TCP], of("203.0.113.8", protocol="tcp"), True, id="over TCP"),
        pytest.param([BY_TCP], [TO_SOME_BY_TCP], of("198.51.100.8", protocol="tcp"), False, id="over TCP, still"),
        pytest.param([BY_TCP], [TO_SOME_BY_TCP], of("203.0.113.8", TO_HOST, protocol="tcp"), False, id="TCP, to us"),
        pytest.param([TO_SOME_BY_TCP], [BY_TCP], of("203.0.113.8", protocol="tcp"), False, id="over TCP, more"),
        pytest.param([BY_TCP], [], of("203.0.113.8", protocol="tcp"), False, id="over TCP, of a port taken back"),
    ],
)
def test_flow_is_left_behind_by_a_change_of_who_may_use_a_port(
    before: list[PortRule], after: list[PortRule], flow: Flow, left_behind: bool
) -> None:
    change = PortChange.towards(frozenset(after), frozenset(before))
    assert is_left_behind(flow, change, LOCAL) == left_behind


@pytest.mark.parametrize(
    ("port", "flow", "left_behind"),
    [
        (PortRule("udp", "::", 53, "fd00::2", 53), Flow("udp", "2001:db8::7", 53, "2001:db8::7", 53), True),
        (PortRule("udp", "::", 53, "fd00::2", 53), Flow("udp", "::1", 53, "::1", 53), True),
        (PortRule("udp", "::", 53, "fd00::2", 53), Flow("udp", HOST, 53, HOST, 53), False),
        (EVERYWHERE, Flow("udp", "2001:db8::7", 53, "2001:db8::7", 53), False),
        (PortRule("sctp", "0.0.0.0", 53, WEB, 5353), Flow("sctp", HOST, 53, HOST, 53), True),
    ],
)
def test_families_are_told_apart_and_sctp_lasts_too(port: PortRule, flow: Flow, left_behind: bool) -> None:
    change = PortChange.towards(frozenset({port}), frozenset())
    assert is_left_behind(flow, change, {*LOCAL, "2001:db8::7"}) == left_behind


@pytest.mark.parametrize(
    ("rules", "declared"),
    [([EVERYWHERE], []), ([], [EVERYWHERE]), ([EVERYWHERE], [TO_DB]), ([TO_DB], [EVERYWHERE])],
)
def test_rules_and_declared_state_that_disagree_both_count(rules: list[PortRule], declared: list[PortRule]) -> None:
    """A run that was killed between the swap and the end of it left either as it was."""
    for after in ([EVERYWHERE], [TO_DB], []):
        change = PortChange.towards(frozenset(after), frozenset(rules), frozenset(declared))
        assert change.opened <= set(after) and not change.closed & set(after)
        assert change.all >= set(rules) ^ set(after) and change.all >= set(declared) ^ set(after)


def test_tcp_is_left_to_its_clients() -> None:
    assert not PortChange.towards(frozenset({PortRule("tcp", HOST, 80, WEB, 80)}), frozenset()).all


ports = st.builds(
    PortRule,
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from(["0.0.0.0", HOST, "127.0.0.1"]),
    st.integers(1, 65535),
    st.ip_addresses(v=4).map(str),
    st.integers(1, 65535),
    st.just(()),
)


@given(st.lists(ports, unique_by=lambda port: (port.protocol, port.host_ip, port.host_port)))
def test_published_ports_are_read_back_from_their_rules(published: list[PortRule]) -> None:
    rules = Ruleset(networks=(NetworkRules("br-front", ("10.1.0.0/16",)),), ports=tuple(published))
    assert Iptables().published(Iptables().render([rules])) == set(published)


@pytest.mark.parametrize("lost", ["ip nat PREROUTING", "ip nat OUTPUT", "ip nat BRIDGEWORK-PORTS"])
def test_rules_that_nothing_leads_to_publish_nothing(lost: str) -> None:
    rules = Iptables().render([Ruleset(networks=(NetworkRules("br-front", ("10.1.0.0/16",)),), ports=(EVERYWHERE,))])
    assert Iptables().published(rules)
    assert not Iptables().published({place: lines for place, lines in rules.items() if place != lost})


def fail(*_arguments: Any, **_more: Any) -> Any:
    raise OSError(93, "Protocol not supported")


@pytest.mark.parametrize("name", ["__init__", "_dump"])
def test_kernel_that_keeps_its_flows_to_itself_is_no_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(Table, name, fail)
    netlink: Any = SimpleNamespace(local_addresses=lambda: LOCAL)
    forget_left_behind(netlink, PortChange.towards(frozenset({EVERYWHERE}), frozenset()))
