# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule set as a table of nftables, and how one such table becomes another."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._firewall import nft
from ansible_collections.bridgework.network.plugins.module_utils._firewall.nftables import (
    TABLE,
    USER_CHAIN,
    Nftables,
    _ours,
    _users,
)
from ansible_collections.bridgework.network.plugins.module_utils._firewall.ruleset import (
    DirectRule,
    NetworkRules,
    PortRule,
    Ruleset,
)
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import FirewallLines

BLUE = NetworkRules("br-blue", ("10.0.0.0/24",))
RED = NetworkRules("br-red", ("10.1.0.0/24",))
SECRET = NetworkRules("br-secret", ("10.2.0.0/24",), internal=True)
SIX = NetworkRules("br-blue", ("fd00::/64",))
WEB = PortRule("tcp", "0.0.0.0", 8000, "10.0.0.2", 80)


def render(*networks: NetworkRules, ports: tuple[PortRule, ...] = (), direct: tuple[DirectRule, ...] = ()) -> dict:
    return dict(Nftables().render([Ruleset(4, networks, ports, direct)]))


def rules(lines: FirewallLines, chain: str) -> tuple[str, ...]:
    return lines.get(f"{TABLE} {chain}", ())


def held(lines: FirewallLines, name: str) -> tuple[str, ...]:
    return lines.get(f"{TABLE} @{name}", ())


class TestTable:
    def test_without_networks_there_is_none(self) -> None:
        assert Nftables().render([Ruleset(4), Ruleset(6)]) == {}

    def test_number_of_rules_is_the_same_for_any_number_of_networks_and_ports(self) -> None:
        many = [NetworkRules(f"br-{n}", (f"10.{n}.0.0/24",)) for n in range(100)]
        ports = tuple(PortRule("tcp", "0.0.0.0", n + 1, "10.0.0.2", 80) for n in range(1000))
        few, lots = render(BLUE, ports=(WEB,)), render(*many, ports=ports)
        chains = ("raw", "prerouting", "output", "ports", "postrouting", "forward", "into")
        assert all(rules(few, chain) == rules(lots, chain) for chain in chains)

    @pytest.mark.parametrize(
        ("port", "where"),
        [
            (WEB, {"wildcards": ["tcp . 8000 : 10.0.0.2 . 80"]}),
            (
                PortRule("sctp", "192.0.2.1", 53, "10.0.0.2", 54),
                {"ports": ["192.0.2.1 . sctp . 53 : 10.0.0.2 . 54"]},
            ),
            (
                PortRule("udp", "127.0.0.1", 53, "10.0.0.2", 54),
                {"own_ports": ["127.0.0.1 . udp . 53 : 10.0.0.2 . 54"]},
            ),
            (
                PortRule("tcp", "0.0.0.0", 1, "10.0.0.2", 2, ("192.0.2.0/24", "198.51.100.1/32")),
                {
                    "own_wildcards": ["tcp . 1 : 10.0.0.2 . 2"],
                    "restricted_wildcards": [
                        "192.0.2.0/24 . tcp . 1 : 10.0.0.2 . 2",
                        "198.51.100.1 . tcp . 1 : 10.0.0.2 . 2",
                    ],
                },
            ),
        ],
    )
    def test_port_stands_where_those_look_it_up_whom_it_is_for(self, port: PortRule, where: dict) -> None:
        lines = render(BLUE, ports=(port,))
        maps = {place.rpartition("@")[2]: [*texts] for place, texts in lines.items() if " : 10.0.0.2" in "".join(texts)}
        assert maps == where
        assert Nftables().published(lines) == {port}

    def test_ports_of_ipv6_are_in_maps_of_their_own(self) -> None:
        port = PortRule("tcp", "::", 8000, "fd00::2", 80)
        lines = Nftables().render([Ruleset(4, (BLUE,), (WEB,)), Ruleset(6, (SIX,), (port,))])
        assert held(lines, "wildcards6") == ("tcp . 8000 : fd00::2 . 80",)
        assert Nftables().published(lines) == {WEB, port}

    def test_what_nobody_uses_is_not_there(self) -> None:
        unused = re.compile("restricted|mangle|apart|unprotected|open|direct|linked|own_|6_|ip6 saddr")
        assert not unused.findall(str(render(BLUE)))

    def test_port_that_may_be_addressed_directly_is_looked_up_by_who_asks(self) -> None:
        rule = DirectRule("tcp", "br-blue", "10.0.0.2", 80)
        by_link = DirectRule("tcp", "br-blue", "10.0.0.3", 80, ("eth0",))
        by_source = DirectRule("tcp", "br-blue", "10.0.0.4", 80, (), ("192.0.2.0/25", "192.0.2.128/25"))
        lines = render(BLUE, direct=(rule, by_link, by_source))
        assert held(lines, "direct") == ("10.0.0.2 . tcp . 80",)
        assert held(lines, "linked") == ('"eth0" . 10.0.0.3 . tcp . 80',)
        assert held(lines, "restricted") == ("192.0.2.0/24 . 10.0.0.4 . tcp . 80",)

    def test_every_set_and_chain_that_a_rule_names_is_there(self) -> None:
        lines = Nftables().render(
            [
                Ruleset(4, (BLUE, SECRET, NetworkRules("br-3", ("10.3.0.0/24",), icc=False, protected=False)), (WEB,)),
                Ruleset(6, (SIX,)),
            ]
        )
        there = {block.split(" ")[1] for block in lines[TABLE]}
        texts = " ".join(text for texts in lines.values() for text in texts if text not in lines[TABLE])
        assert set(re.findall(r"@(\S+)|(?:jump|goto) (\S+)", texts)) <= {
            (a, b) for a in ("", *there) for b in ("", *there)
        }


class TestUsersRules:
    LINES: FirewallLines = {
        TABLE: (*sorted((USER_CHAIN, "chain user_web { }", "set user_list { type ipv4_addr; }")),),
        f"{TABLE} user": ("jump user_web",),
        f"{TABLE} user_web": ("ip saddr @user_list drop",),
        f"{TABLE} @user_list": ("192.0.2.1",),
    }

    def test_are_not_seen(self) -> None:
        ours = render(BLUE)
        both = {**ours, **self.LINES, TABLE: tuple(sorted({*ours[TABLE], *self.LINES[TABLE]}))}
        assert _ours(both) == ours
        assert _users(both) == self.LINES

    def test_alone_are_nothing_of_ours(self) -> None:
        assert _ours(self.LINES) == {}

    def test_chain_is_ours_to_make(self) -> None:
        ours = render(BLUE)
        gone = {**ours, TABLE: tuple(block for block in ours[TABLE] if block != USER_CHAIN)}
        assert _ours(gone) != ours
        assert USER_CHAIN in render(BLUE)[TABLE]
        assert rules(ours, "forward")[0] == "jump user"

    def test_chain_may_have_a_comment(self) -> None:
        ours = render(BLUE)
        blocks = [block.replace(USER_CHAIN, 'chain user { comment "mine"; }') for block in ours[TABLE]]
        assert _ours({**ours, TABLE: tuple(sorted(blocks))}) == ours


class TestChange:
    def test_one_more_port_is_one_element(self) -> None:
        before, after = render(BLUE), render(BLUE, ports=(WEB,))
        assert nft.change(TABLE, after, before).splitlines() == [
            f"add table {TABLE}",
            f"add element {TABLE} wildcards {{ tcp . 8000 : 10.0.0.2 . 80 }}",
        ]

    def test_port_that_leads_elsewhere_goes_before_it_comes(self) -> None:
        other = PortRule("tcp", "0.0.0.0", 8000, "10.0.0.3", 80)
        script = nft.change(TABLE, render(BLUE, ports=(other,)), render(BLUE, ports=(WEB,))).splitlines()
        assert [line.split(" ")[0] for line in script] == ["add", "delete", "add"]

    def test_one_more_network_changes_no_rule(self) -> None:
        script = nft.change(TABLE, render(BLUE, RED), render(BLUE))
        assert "flush" not in script and "br-blue" not in script

    def test_nothing_wanted_takes_the_table_away(self) -> None:
        assert nft.change(TABLE, {}, render(BLUE)) == nft.replacement(TABLE, {})

    def test_what_is_removed_is_let_go_of_first(self) -> None:
        script = nft.change(TABLE, render(BLUE), render(BLUE, SECRET)).splitlines()
        places = [
            script.index(f"flush chain {TABLE} from_br-secret"),
            script.index(f'delete element {TABLE} origins {{ "br-secret" : jump from_br-secret }}'),
            script.index(f"delete chain {TABLE} from_br-secret"),
        ]
        assert places == sorted(places)

    def test_things_of_any_kind_that_were_put_there_by_hand_go(self) -> None:
        lines = render(BLUE)
        present = {**lines, TABLE: (*lines[TABLE], "counter hits { packets 0 bytes 0; }")}
        assert f"delete counter {TABLE} hits" in nft.change(TABLE, lines, present)


WORDS = st.sampled_from(["tcp", "6", "10.0.0.2", "fd00::2", "80", " . ", " : ", "999999", "1.2.3.4.5", '"eth0"', "x"])
LINES = st.sampled_from(["\tchain a {", "\tset b {", "\t\ttype x", "\t\telements = { 1, 2 }", "\t}", "}", "", "\t\tx"])
MAPS = st.sampled_from(["ports", "restricted_wildcards", "own_ports6"])


@given(st.lists(st.text() | st.lists(WORDS).map("".join)), MAPS)
def test_any_elements_are_read(elements: list[str], name: str) -> None:
    lines = {**render(BLUE), f"{TABLE} @{name}": tuple(elements)}
    assert all(isinstance(port, PortRule) for port in Nftables().published(_ours(lines)))


@given(st.lists(LINES | st.text()).map("\n".join))
def test_any_listing_is_read(listing: str) -> None:
    assert isinstance(nft.parse(f"table {TABLE} {{\n{listing}"), dict)
