# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From any rule set to any other by a change of what differs, as the real nft takes it and prints what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._firewall import nft
from ansible_collections.bridgework.network.plugins.module_utils._firewall.nftables import TABLE, Nftables, _ours
from ansible_collections.bridgework.network.plugins.module_utils._firewall.ruleset import (
    DirectRule,
    NetworkRules,
    PortRule,
    Ruleset,
    collapsed,
    is_loopback,
)
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import FirewallLines
from lab import Host, Lab

HOST_IPS = {4: ("0.0.0.0", "192.0.2.10", "127.0.0.1", "127.0.0.2"), 6: ("::", "2001:db8::10", "::1")}
TARGETS = {4: ("10.1.0.2", "10.1.0.3"), 6: ("fd00:1::2", "fd00:1::3")}
SOURCES = {4: ("192.0.2.0/25", "192.0.2.128/25", "198.51.100.7/32", "0.0.0.0/0"), 6: ("2001:db8::/32", "fd00::1/128")}
EGRESS = {4: "192.0.2.77", 6: "2001:db8::77"}
SUBNETS = {4: ("10.{0}.0.0/24", "10.{0}.1.0/24", "10.{0}.2.0/31"), 6: ("fd00:{0}:1::/64", "fd00:{0}:2::/64")}


@st.composite
def networks(draw: st.DrawFn, version: int, number: int) -> NetworkRules:
    internal = draw(st.booleans())
    return NetworkRules(
        device=f"br-{number}",
        subnets=tuple(text.format(number) for text in SUBNETS[version] if draw(st.booleans())),
        internal=internal,
        icc=draw(st.booleans()),
        masquerade=draw(st.booleans()),
        protected=internal or draw(st.booleans()),
        open=not internal and draw(st.booleans()),
        trusted=draw(st.sampled_from([(), ("eth0",), ("eth0", "eth1")])),
        source=draw(st.sampled_from([None, EGRESS[version]])),
    )


@st.composite
def rulesets(draw: st.DrawFn, version: int) -> Ruleset:
    numbers = draw(st.lists(st.integers(1, 5), unique=True, max_size=3))
    found = tuple(draw(networks(version, number)) for number in numbers)
    ports: dict[tuple[str, str, int], PortRule] = {}
    direct = []
    for _round in range(draw(st.integers(0, 6)) if found else 0):
        protocol = draw(st.sampled_from(["tcp", "udp", "sctp"]))
        host_ip = draw(st.sampled_from(HOST_IPS[version]))
        target = draw(st.sampled_from(TARGETS[version]))
        port = draw(st.integers(1, 3))
        sources = () if is_loopback(host_ip) else collapsed(draw(st.sets(st.sampled_from(SOURCES[version]))))
        ports[protocol, host_ip, port] = PortRule(protocol, host_ip, port, target, 80, sources)
        links = draw(st.sampled_from([(), ("eth0", "eth1")]))
        if draw(st.booleans()):
            direct.append(DirectRule(protocol, found[0].device, target, port, links, sources))
    return Ruleset(version, found, tuple(ports.values()), tuple(direct))


def read(host: Host) -> FirewallLines:
    return nft.parse(host.run("nft", "-n", "list", "table", *TABLE.split(" ")).stdout)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Lab(["host"]) as lab:
        yield lab.host


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(rulesets(4), rulesets(6)), min_size=2, max_size=4))
def test_any_change_leads_to_what_is_wanted_and_leaves_what_is_the_administrators(
    host: Host, steps: list[tuple[Ruleset, Ruleset]]
) -> None:
    users = "chain user { ip saddr @user_list drop; }\nset user_list { type ipv4_addr; elements = { 203.0.113.9 }; }\n"
    host.run("nft", "-f", "-", input=f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{users}}}\n")
    present: FirewallLines = {}
    for step in steps:
        wanted = Nftables().render(step)
        if not wanted:
            continue
        host.run("nft", "-f", "-", input=nft.change(TABLE, wanted, present))
        held = read(host)
        assert _ours(held) == wanted
        assert held[f"{TABLE} user"] == ("ip saddr @user_list drop",)
        published = {port for ruleset in step if ruleset.networks for port in ruleset.ports}
        assert Nftables().published(_ours(held)) == published
        present = wanted
