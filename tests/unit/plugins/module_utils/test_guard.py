# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of the bridges as sets and rules, and what nft prints read back as such."""

from __future__ import annotations

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._firewall import guard, nft
from ansible_collections.bridgework.network.plugins.module_utils._firewall.guard import TABLE, Guard
from ansible_collections.bridgework.network.plugins.module_utils._firewall.ruleset import Identity
from ansible_collections.bridgework.network.plugins.module_utils._ipam import bridge_mac, link_local_address
from ansible_collections.bridgework.network.plugins.module_utils._render.firewall import render_identities
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import Declaration

GATEWAY = Identity(macs=("02:00:00:00:00:01",), addresses=("10.0.0.1",))
WEB = Identity(ports=(("veth1", "aa"),), macs=("02:00:00:00:00:02",), addresses=("10.0.0.2",))
SIX = Identity(ports=(("veth2", "bb"),), macs=("02:00:00:00:00:03",), addresses=("fd00::3",))
LINKED = Identity(ports=(("veth3", "cc"),), macs=("02:00:00:00:00:04",), link_local=(("cc", "fe80::7"),))


def elements(*identities: Identity) -> dict[str, tuple[str, ...]]:
    lines = Guard().render(identities)
    return {place.partition("@")[2]: texts for place, texts in lines.items() if "@" in place}


def rules(*identities: Identity, chain: str = "prerouting") -> tuple[str, ...]:
    return Guard().render(identities)[f"{TABLE} {chain}"]


class TestLines:
    def test_without_anybody_to_guard_there_are_none(self) -> None:
        assert Guard().render([]) == {}

    def test_what_is_known_has_its_owners_by_their_ports(self) -> None:
        assert elements(GATEWAY, WEB) == {
            "ports": ('"veth1"',),
            "macs": ("02:00:00:00:00:01", "02:00:00:00:00:02"),
            "macs_owners": ('"veth1" . 02:00:00:00:00:02',),
            "addresses": ("10.0.0.1", "10.0.0.2"),
            "addresses_owners": ('"veth1" . 10.0.0.2',),
        }

    def test_container_owns_all_of_its_own_by_each_of_its_ports(self) -> None:
        both = Identity(ports=(("veth1", "aa"), ("veth2", "bb")), addresses=("10.0.0.2", "10.1.0.2"))
        assert len(elements(both)["addresses_owners"]) == 4

    def test_others_are_passed_by_before_anything_else(self) -> None:
        assert rules(GATEWAY, WEB)[0] == "iifname != @ports accept"

    def test_number_of_rules_does_not_grow_with_the_containers(self) -> None:
        many = [Identity(ports=((f"veth{n}", "aa"),), addresses=(f"10.0.1.{n}",)) for n in range(100)]
        assert len(rules(GATEWAY, WEB, *many)) == len(rules(GATEWAY, WEB))

    def test_rules_of_ipv6_come_with_its_addresses(self) -> None:
        """Others than these are understood by any nft."""
        assert not [rule for rule in rules(GATEWAY, WEB) if "6 " in rule]
        assert [rule for rule in rules(GATEWAY, SIX) if "icmpv6 taddr @targets " in rule]

    def test_what_is_known_on_one_link_is_asked_for_there(self) -> None:
        lines = Guard().render([GATEWAY, WEB, LINKED])
        assert lines[f"{TABLE} @links"] == ('"veth3" : goto link_cc',)
        assert lines[f"{TABLE} @addresses6_cc"] == ("fe80::7",)
        assert "ip6 saddr @addresses6_cc iifname . ip6 saddr != @addresses6_owners drop" in lines[f"{TABLE} link_cc"]
        assert f"{TABLE} @addresses6" not in lines

    def test_every_set_that_a_rule_asks_is_there(self) -> None:
        lines = Guard().render([GATEWAY, WEB, SIX, LINKED])
        sets = {block.split(" ")[1] for block in lines[TABLE] if block.split(" ")[0] in ("set", "map")}
        asked = {word[1:] for texts in lines.values() for text in texts for word in text.split() if word[0] == "@"}
        assert asked <= sets


class TestIdentities:
    def test_network_has_its_gateways_and_its_bridges_mac(self) -> None:
        host = Declaration()
        host.networks({"name": "blue", "ipam_config": [{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}]})
        (identity,) = render_identities(host.state)
        mac = bridge_mac(host["blue"].id)
        assert identity == Identity(macs=(mac,), addresses=("10.0.0.1", "fd00::1", link_local_address(mac)))

    def test_container_on_two_networks_is_one(self) -> None:
        host = Declaration()
        host.network("blue", connected=["web"])
        host.network("red", connected=["web", "db"])
        identity = next(each for each in render_identities(host.state) if len(each.ports) == 2)
        endpoints = [host.endpoint(name, "web") for name in ("blue", "red")]
        assert identity.ports == tuple((each.host_link, host[each.network].id[:12]) for each in endpoints)
        assert identity.addresses == tuple(address for each in endpoints for address in each.addresses)

    def test_network_that_is_config_only_is_nobody(self) -> None:
        host = Declaration()
        host.network("base", config_only=True, subnet="10.0.0.0/24")
        assert render_identities(host.state) == ()

    def test_interface_has_the_address_that_its_mac_makes(self) -> None:
        assert link_local_address("02:42:ac:11:00:02") == "fe80::42:acff:fe11:2"


LISTING = """\
table bridge bridgework {
    comment "by hand"
    flags dormant

    set macs {
        type ether_addr
        elements = { 02:00:00:00:00:02, 02:00:00:00:00:01 }
    }

    set macs_owners {
        type ifname . ether_addr
        size 65535
        elements = { "veth2" . 02:00:00:00:00:02,
                 "veth1" . 02:00:00:00:00:01 comment "a, b" }
    }

    set empty {
        type mark
    }

    chain link_aa {
    }

    chain prerouting {
        type filter hook prerouting priority -300; policy accept;
        iifname != @ports accept
        ether saddr { 02:00:00:00:00:01,
                  02:00:00:00:00:02 } drop
        counter packets 0 bytes 0
    }
}
"""


class TestNft:
    def test_listing_is_read_as_places_and_lines(self) -> None:
        assert nft.parse(LISTING.replace("    ", "\t")) == {
            TABLE: (
                "chain link_aa { }",
                "chain prerouting { type filter hook prerouting priority -300; policy accept; }",
                'comment "by hand"',
                "flags dormant",
                "set empty { type mark; }",
                "set macs { type ether_addr; }",
                "set macs_owners { type ifname . ether_addr; size 65535; }",
            ),
            f"{TABLE} @macs": ("02:00:00:00:00:01", "02:00:00:00:00:02"),
            f"{TABLE} @macs_owners": ('"veth1" . 02:00:00:00:00:01 comment "a, b"', '"veth2" . 02:00:00:00:00:02'),
            f"{TABLE} prerouting": (
                "iifname != @ports accept",
                "ether saddr { 02:00:00:00:00:01, 02:00:00:00:00:02 } drop",
                "counter packets 0 bytes 0",
            ),
        }

    def test_replacement_of_all_by_nothing_takes_the_table_away(self) -> None:
        """Also one that has gone meanwhile."""
        assert nft.replacement(TABLE, {}) == f"add table {TABLE}\ndelete table {TABLE}\n"

    @pytest.mark.parametrize("identities", [(GATEWAY,), (GATEWAY, WEB), (GATEWAY, SIX, LINKED)])
    def test_words_of_old_nft_are_read_as_ours(self, identities: tuple[Identity, ...]) -> None:
        lines = Guard().render(identities)
        old = guard._to_old(lines)
        assert guard._from_old(old) == lines
        assert not [text for texts in old.values() for text in texts if "taddr" in text]
