# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which networks ``container_network_info`` finds, in what shape, and how it prints them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._listing import (
    FIELDS,
    FILTERS,
    Listing,
    ListSpec,
    list_networks,
)
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import (
    Declaration,
    is_one_plain_line,
    refused,
)

PREDEFINED = ["bridge", "host", "none"]
IDS = {"blue": "aaaa" + "0" * 60, "blue-lab": "aaab" + "1" * 60, "red": "bbbb" + "2" * 60}


def listing(host: Declaration, **params: Any) -> Listing:
    """As ``container_network_info``."""
    return list_networks(host.state, host.facts, ListSpec.from_params(params))


def names(host: Declaration, **params: Any) -> list[str]:
    return [network["Name"] for network in listing(host, **params).networks]


def inspected(host: Declaration, name: str) -> dict[str, Any]:
    (network,) = listing(host, name=[name]).networks
    return network


def usage(host: Declaration, name: str) -> dict[str, tuple[int, int]]:
    """By subnet: addresses that are in use, and those that can still be given out."""
    subnets = inspected(host, name)["Status"]["IPAM"]["Subnets"]
    return {subnet: (each["IPsInUse"], each["DynamicIPsAvailable"]) for subnet, each in subnets.items()}


@pytest.fixture
def host() -> Declaration:
    return Declaration()


@pytest.fixture
def shop() -> Declaration:
    """A host with the networks "blue", "blue-lab" and "red", whose IDs are those of IDS; "red" has a container."""
    return with_shop()


def with_shop() -> Declaration:
    host = Declaration()
    host.networks(
        {"name": "blue", "labels": {"project": "shop", "tier": "front"}},
        {"name": "blue-lab", "labels": {"project": "lab", "keep": ""}},
        {"name": "red", "labels": {"project": "shop"}, "internal": True, "connected": ["db"]},
    )
    for name, network_id in IDS.items():
        host.state.networks[name] = replace(host.state.networks[name], id=network_id)
    return host


class TestPredefined:
    def test_they_are_there_where_nothing_was_ever_declared(self, host: Declaration) -> None:
        found = listing(host)
        assert [(each["Name"], each["Driver"], each["Scope"]) for each in found.networks] == [
            ("bridge", "bridge", "local"),
            ("host", "host", "local"),
            ("none", "null", "local"),
        ]
        assert found.missing == []

    def test_bridge_keeps_its_id_when_it_is_made(self, host: Declaration) -> None:
        before = inspected(host, "bridge")
        host.bridge()
        after = inspected(host, "bridge")
        assert (before["Id"], before["Options"]) == (after["Id"], after["Options"])
        assert before["IPAM"]["Config"] == [] and after["IPAM"]["Config"]
        assert names(host) == PREDEFINED

    def test_ids_are_their_own_and_as_long_as_others(self, host: Declaration) -> None:
        ids = {network["Id"] for network in listing(host).networks}
        assert len(ids) == 3 and {len(each) for each in ids} == {64}

    def test_host_and_none_have_the_containers_of_their_modes(self, host: Declaration) -> None:
        host.bridge(
            {"name": "web"},
            {"name": "agent", "mode": "host"},
            {"name": "batch", "mode": "none"},
            {"name": "sidecar", "mode": "container", "target": "agent"},
        )
        members = {
            network["Name"]: {key: each["Name"] for key, each in network["Containers"].items()}
            for network in listing(host).networks
        }
        ids = {name: host.container(name).id for name in ("web", "agent", "batch")}
        assert members == {
            "bridge": {ids["web"]: "web"},
            "host": {ids["agent"]: "agent"},
            "none": {ids["batch"]: "batch"},
        }

    def test_all_networks_have_the_same_keys(self, shop: Declaration) -> None:
        assert len({tuple(network) for network in listing(shop).networks}) == 1


class TestNames:
    def test_networks_are_listed_by_name(self, shop: Declaration) -> None:
        assert names(shop) == ["blue", "blue-lab", "bridge", "host", "none", "red"]

    @pytest.mark.parametrize(
        "reference",
        ["red", IDS["red"], IDS["red"][:12], IDS["red"][:3], " red "],
        ids=["name", "ID", "short", "prefix", "blanks"],
    )
    def test_network_is_found_by_name_id_or_prefix(self, shop: Declaration, reference: str) -> None:
        found = listing(shop, name=[reference])
        assert [network["Name"] for network in found.networks] == ["red"]
        assert found.missing == []

    def test_several_come_in_the_order_that_they_were_asked_for(self, shop: Declaration) -> None:
        assert names(shop, name=["red", "none", "blue"]) == ["red", "none", "blue"]

    def test_network_that_is_asked_for_twice_comes_once(self, shop: Declaration) -> None:
        assert names(shop, name=["red", "bbbb", "red"]) == ["red"]

    def test_what_stands_for_no_network_is_missing(self, shop: Declaration) -> None:
        found = listing(shop, name=["ghost", "red", "cccc", "re", "ghost"])
        assert [network["Name"] for network in found.networks] == ["red"]
        assert found.missing == ["ghost", "cccc", "re"]

    @pytest.mark.parametrize("reference", ["", "BBBB", IDS["red"] + "2", "^red$", "re"])
    def test_name_is_no_pattern(self, shop: Declaration, reference: str) -> None:
        assert listing(shop, name=[reference]) == replace(listing(shop, name=[]), missing=[reference])

    def test_no_names_are_no_networks(self, shop: Declaration) -> None:
        assert listing(shop, name=[]).networks == []

    def test_prefix_of_several_ids_is_refused_and_they_are_named(self, shop: Declaration) -> None:
        with refused('networks: name "aaa" is the ID prefix of "blue", "blue-lab"; give more of it'):
            listing(shop, name=["red", "aaa"])
        assert names(shop, name=["aaaa", "aaab"]) == ["blue", "blue-lab"]

    def test_shorter_beginning_is_taken_for_a_name(self, shop: Declaration) -> None:
        assert listing(shop, name=[IDS["red"][:2]]).missing == [IDS["red"][:2]]

    def test_name_comes_before_the_id_of_another(self, shop: Declaration) -> None:
        red = shop["red"]
        shop.state.networks["red"] = replace(red, id="c" * 64)
        shop.networks({"name": "aaa"}, {"name": IDS["red"]})
        shop.state.networks["red"] = red
        assert names(shop, name=["aaa"]) == ["aaa"]
        assert names(shop, name=[IDS["red"]]) == [IDS["red"]]

    def test_whole_id_comes_before_a_longer_one(self, shop: Declaration) -> None:
        shop.state.networks["red"] = replace(shop["red"], id=IDS["blue"] + "0")
        assert names(shop, name=[IDS["blue"]]) == ["blue"]

    def test_names_and_filters_must_both_agree(self, shop: Declaration) -> None:
        found = listing(shop, name=["red", "blue", "ghost"], filters={"label": "tier"})
        assert [network["Name"] for network in found.networks] == ["blue"]
        assert found.missing == ["ghost"]


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            # A part of the name, or a regular expression.
            ({"name": "blue"}, ["blue", "blue-lab"]),
            ({"name": "lu"}, ["blue", "blue-lab"]),
            ({"name": "^blue$"}, ["blue"]),
            ({"name": "lab$"}, ["blue-lab"]),
            ({"name": "^r.d|lab"}, ["blue-lab", "red"]),
            ({"name": "BLUE"}, []),
            ({"name": ""}, ["blue", "blue-lab", "bridge", "host", "none", "red"]),
            # A part of the ID, or a regular expression.
            ({"id": "0" * 20}, ["blue"]),
            ({"id": "^aaa"}, ["blue", "blue-lab"]),
            ({"id": "^bbbb2{60}$"}, ["red"]),
            ({"id": IDS["blue-lab"]}, ["blue-lab"]),
            ({"id": "b11111111"}, ["blue-lab"]),
            # Whole words.
            ({"driver": "null"}, ["none"]),
            ({"driver": "brid"}, []),
            ({"scope": "local"}, ["blue", "blue-lab", "bridge", "host", "none", "red"]),
            ({"scope": "swarm"}, []),
            ({"scope": "loc"}, []),
            ({"type": "builtin"}, PREDEFINED),
            ({"type": "custom"}, ["blue", "blue-lab", "red"]),
            # Custom networks without containers, and all others.
            ({"dangling": "true"}, ["blue", "blue-lab"]),
            ({"dangling": "false"}, ["bridge", "host", "none", "red"]),
            ({"dangling": True}, ["blue", "blue-lab"]),
            ({"dangling": False}, ["bridge", "host", "none", "red"]),
            ({"dangling": 1}, ["blue", "blue-lab"]),
            ({"dangling": "0"}, ["bridge", "host", "none", "red"]),
            ({"dangling": [True, "true", 1]}, ["blue", "blue-lab"]),
            # Keys, or keys with their values.
            ({"label": "project"}, ["blue", "blue-lab", "red"]),
            ({"label": "project=shop"}, ["blue", "red"]),
            ({"label": "project=sho"}, []),
            ({"label": "project="}, []),
            ({"label": "keep"}, ["blue-lab"]),
            ({"label": "keep="}, ["blue-lab"]),
            ({"label": "shop"}, []),
        ],
    )
    def test_filter(self, shop: Declaration, filters: dict[str, Any], expected: list[str]) -> None:
        assert names(shop, filters=filters) == expected

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"name": ["red", "^none$"]}, ["none", "red"]),
            ({"id": ["^aaaa", "^bbbb"]}, ["blue", "red"]),
            ({"driver": ["host", "null"]}, ["host", "none"]),
            ({"scope": ["swarm", "local"]}, ["blue", "blue-lab", "bridge", "host", "none", "red"]),
            ({"type": ["builtin", "custom"]}, ["blue", "blue-lab", "bridge", "host", "none", "red"]),
        ],
    )
    def test_of_several_values_any_will_do(
        self, shop: Declaration, filters: dict[str, Any], expected: list[str]
    ) -> None:
        assert names(shop, filters=filters) == expected

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            (["project", "tier"], ["blue"]),
            (["project=shop", "tier=front"], ["blue"]),
            (["project=shop", "project=lab"], []),
            (["project", "project=lab"], ["blue-lab"]),
        ],
    )
    def test_of_several_labels_all_must_be_there(
        self, shop: Declaration, labels: list[str], expected: list[str]
    ) -> None:
        assert names(shop, filters={"label": labels}) == expected

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"name": "blue", "label": "project=shop"}, ["blue"]),
            ({"type": "custom", "dangling": "false"}, ["red"]),
            ({"type": "builtin", "dangling": "true"}, []),
            ({"driver": "bridge", "type": "builtin"}, ["bridge"]),
            ({"name": ["blue", "red"], "id": "^bbbb", "driver": "bridge", "scope": "local"}, ["red"]),
        ],
    )
    def test_several_filters_must_all_agree(
        self, shop: Declaration, filters: dict[str, Any], expected: list[str]
    ) -> None:
        assert names(shop, filters=filters) == expected

    @pytest.mark.parametrize("nothing", [None, []])
    @pytest.mark.parametrize("key", FILTERS)
    def test_filter_without_a_value_is_none(self, shop: Declaration, key: str, nothing: Any) -> None:
        assert names(shop, filters={key: nothing}) == names(shop)

    @pytest.mark.parametrize("filters", [None, {}])
    def test_no_filters_let_all_pass(self, shop: Declaration, filters: Any) -> None:
        assert names(shop, filters=filters) == names(shop)

    def test_network_of_configuration_only_is_a_dangling_custom_one(self, host: Declaration) -> None:
        host.network("template", config_only=True, subnet="192.168.10.0/24")
        assert names(host, filters={"type": "custom", "dangling": True, "driver": "null"}) == ["template"]

    def test_network_of_a_container_that_left_is_dangling(self, shop: Declaration) -> None:
        shop.network("red", endpoints=[{"container": "db", "state": "absent"}])
        assert names(shop, filters={"dangling": True}) == ["blue", "blue-lab", "red"]


VALUES = {
    "dangling": st.sampled_from(["true", "false"]),
    "driver": st.sampled_from(["bridge", "host", "null", "overlay"]),
    "id": st.text("ab012", min_size=1, max_size=3),
    "label": st.sampled_from(["project", "project=shop", "project=lab", "tier=front", "keep", "ghost"]),
    "name": st.sampled_from(["blue", "^b", "lab$", "red", "o", "ghost"]),
    "scope": st.sampled_from(["local", "swarm"]),
    "type": st.sampled_from(["builtin", "custom"]),
}
SHOP = with_shop()  # nothing below changes it


@given(
    st.fixed_dictionaries(
        {},
        optional={
            key: st.lists(each, min_size=1, max_size=1 if key == "dangling" else 3) for key, each in VALUES.items()
        },
    )
)
def test_filters_add_up_to_what_each_of_their_values_finds(filters: dict[str, list[str]]) -> None:
    found = set(names(SHOP))
    for key, values in filters.items():
        single = [set(names(SHOP, filters={key: value})) for value in values]
        found &= set.intersection(*single) if key == "label" else set.union(*single)
    assert set(names(SHOP, filters=filters)) == found


@given(st.data())
def test_any_part_of_a_name_or_id_finds_its_network(data: st.DataObject) -> None:
    network = data.draw(st.sampled_from(listing(SHOP).networks))
    key = data.draw(st.sampled_from(["Name", "Id"]))
    first = data.draw(st.integers(0, len(network[key]) - 1))
    last = data.draw(st.integers(first + 1, len(network[key])))
    assert network["Name"] in names(SHOP, filters={key.lower(): network[key][first:last]})


class TestBadFilters:
    @pytest.mark.parametrize(
        ("filters", "text"),
        [
            ({"nmae": "red"}, 'filters "nmae" is unknown; did you mean name?'),
            ({"labels": "red"}, 'filters "labels" is unknown; did you mean label?'),
            ({"Name": "red"}, 'filters "Name" is unknown; did you mean name?'),
            ({"label!": "red"}, 'filters "label!" is unknown; did you mean label?'),
            (
                {"until": "24h"},
                'filters "until" is unknown; use one of: dangling, driver, id, label, name, scope, type',
            ),
            ({"type": "bridge"}, 'filters "type=bridge" is unknown; use builtin or custom'),
            ({"type": ["custom", ""]}, 'filters "type=" is unknown; use builtin or custom'),
            ({"dangling": "maybe"}, 'filters "dangling=maybe" is neither true nor false; use true or false'),
            ({"dangling": [True, False]}, 'filters "dangling" is given more than once; use true or false'),
            ({"dangling": 2}, 'filters "dangling=2" is neither true nor false; use true or false'),
            (
                {"name": "*"},
                'filters "name=*" is not a regular expression (nothing to repeat at position 0); give a part of it',
            ),
            (
                {"id": ["aa", "("]},
                'filters "id=(" is not a regular expression (missing ), unterminated subpattern at position 0); '
                "give a part of it",
            ),
            (
                {"name": "a{99999999999}"},
                'filters "name=a{99999999999}" is not a regular expression (the repetition number is too large); '
                "give a part of it",
            ),
            (
                {"name": "(?a)(?u)"},
                'filters "name=(?a)(?u)" is not a regular expression (ASCII and UNICODE flags are incompatible); '
                "give a part of it",
            ),
            ({"label": {"a": "b"}}, "filters \"label={'a': 'b'}\" is no text; give a text or a list of texts"),
            ({"name": [["red"]]}, "filters \"name=['red']\" is no text; give a text or a list of texts"),
            ({"name": [None]}, 'filters "name=None" is no text; give a text or a list of texts'),
        ],
    )
    def test_filter_is_refused(self, filters: dict[str, Any], text: str) -> None:
        with refused(f"networks: {text}"):
            ListSpec.from_params({"filters": filters})

    @given(st.dictionaries(st.sampled_from(FILTERS) | st.text(max_size=6), st.text(max_size=6), max_size=3))
    @example({"name": "\ud800["})
    @example({"\n": "\x85"})
    def test_any_filters_are_taken_or_refused_on_one_line(self, filters: dict[str, str]) -> None:
        try:
            listing(SHOP, filters=filters)
        except InvalidInput as error:
            assert is_one_plain_line(str(error))


class TestLines:
    def test_table_is_dockers(self, shop: Declaration) -> None:
        short = {each["Name"]: each["Id"][:12] for each in listing(shop).networks}
        assert listing(shop).lines == [
            "NETWORK ID     NAME       DRIVER   SCOPE",
            "aaaa00000000   blue       bridge   local",
            "aaab11111111   blue-lab   bridge   local",
            f"{short['bridge']}   bridge     bridge   local",
            f"{short['host']}   host       host     local",
            f"{short['none']}   none       null     local",
            "bbbb22222222   red        bridge   local",
        ]

    def test_table_has_what_was_found(self, shop: Declaration) -> None:
        assert listing(shop, name=["red"]).lines == [
            "NETWORK ID     NAME   DRIVER   SCOPE",
            "bbbb22222222   red    bridge   local",
        ]

    def test_table_of_nothing_is_its_headings(self, shop: Declaration) -> None:
        assert listing(shop, name=["ghost"]).lines == ["NETWORK ID   NAME   DRIVER   SCOPE"]

    def test_ids_are_whole_on_request(self, shop: Declaration) -> None:
        head, row = listing(shop, name=["red"], no_trunc=True).lines
        assert row.split() == [IDS["red"], "red", "bridge", "local"]
        assert head.index("NAME") == row.index("red") == 67

    def test_quiet_is_ids_alone(self, shop: Declaration) -> None:
        asked = {"name": ["red", "blue"], "quiet": True}
        assert listing(shop, **asked).lines == ["bbbb22222222", "aaaa00000000"]
        assert listing(shop, **asked, no_trunc=True).lines == [IDS["red"], IDS["blue"]]
        assert listing(shop, name=["ghost"], quiet=True).lines == []

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("{id}: {driver}", "aaaa00000000: bridge"),
            ("{name}", "blue"),
            ("{Name} {NAME}", "blue blue"),
            ("{scope}/{internal}/{ipv4}/{ipv6}", "local/false/true/false"),
            ("{labels}", "project=shop,tier=front"),
            ("{created}", "2025-01-01T00:00:00.000000Z"),
            ("{{name}}", "{blue}"),
            ("%s \\1 $name", "%s \\1 $name"),
            ("", ""),
            ("{", "{"),
            ("} {name", "} {name"),
        ],
    )
    def test_format(self, shop: Declaration, text: str, line: str) -> None:
        assert listing(shop, name=["blue"], format=text).lines == [line]

    def test_format_says_whole_ids_on_request(self, shop: Declaration) -> None:
        assert listing(shop, name=["blue"], format="{id}", no_trunc=True).lines == [IDS["blue"]]

    def test_format_has_no_headings(self, shop: Declaration) -> None:
        assert listing(shop, format="{name}").lines == names(shop)
        assert listing(shop, name=["ghost"], format="{name}").lines == []

    def test_format_says_what_a_network_is(self, shop: Declaration) -> None:
        shop.network("six", enable_ipv4=False, enable_ipv6=True)
        text = "{name} {internal} {ipv4} {ipv6} [{labels}]"
        assert listing(shop, name=["six", "red", "host"], format=text).lines == [
            "six false false true []",
            "red true true false [project=shop]",
            "host false true false []",
        ]

    def test_label_that_looks_like_a_placeholder_is_none(self, host: Declaration) -> None:
        host.network("blue", labels={"{name}": "{id}"})
        assert listing(host, name=["blue"], format="{labels}").lines == ["{name}={id}"]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("{nmae}", '"{nmae}" is unknown; did you mean name?'),
            ("{id} {Drivr}", '"{Drivr}" is unknown; did you mean driver?'),
            ("{.ID}", '"{.ID}" is unknown; did you mean id?'),
            ("{{.Name}}", '"{.Name}" is unknown; did you mean name?'),
            ("{ name }", '"{ name }" is unknown; did you mean name?'),
            ("{}", '"{}" is unknown; use one of: ' + ", ".join(FIELDS)),
            ("{0}", '"{0}" is unknown; use one of: ' + ", ".join(FIELDS)),
            ("{\n}", '"{\\n}" is unknown; use one of: ' + ", ".join(FIELDS)),
        ],
    )
    def test_unknown_placeholder_is_refused(self, text: str, problem: str) -> None:
        with refused(f"networks: format {problem}"):
            ListSpec.from_params({"format": text})

    @given(st.text() | st.text("{}name. \n"))
    @example("{\ud800}")
    def test_any_format_is_a_line_for_each_network_or_refused_on_one(self, text: str) -> None:
        try:
            found = listing(SHOP, format=text)
        except InvalidInput as error:
            assert is_one_plain_line(str(error))
        else:
            assert len(found.lines) == len(found.networks)


class TestUsage:
    """How many addresses somebody has, gateway and auxiliary ones included, and how many are left to give out."""

    def test_predefined_network_that_is_not_made_has_none(self, host: Declaration) -> None:
        assert {name: usage(host, name) for name in PREDEFINED} == {name: {} for name in PREDEFINED}

    def test_gateway_is_in_use(self, host: Declaration) -> None:
        host.network("blue", subnet="192.168.10.0/24")
        assert usage(host, "blue") == {"192.168.10.0/24": (1, 253)}

    def test_each_container_takes_one(self, host: Declaration) -> None:
        host.network("blue", subnet="192.168.10.0/24", connected=["web", "db"])
        assert usage(host, "blue") == {"192.168.10.0/24": (3, 251)}
        host.network("blue", connected=["db"])
        assert usage(host, "blue") == {"192.168.10.0/24": (2, 252)}

    def test_auxiliary_addresses_are_in_use(self, host: Declaration) -> None:
        host.network("blue", subnet="192.168.10.0/29", aux_addresses={"nas": "192.168.10.5", "printer": "192.168.10.6"})
        assert usage(host, "blue") == {"192.168.10.0/29": (3, 3)}

    def test_two_names_of_an_auxiliary_address_are_one_address(self, host: Declaration) -> None:
        host.network("blue", subnet="192.168.10.0/29", aux_addresses={"nas": "192.168.10.5", "old": "192.168.10.5"})
        assert usage(host, "blue") == {"192.168.10.0/29": (2, 4)}

    def test_range_bounds_what_is_left_but_not_what_is_in_use(self, host: Declaration) -> None:
        host.network(
            "blue",
            subnet="192.168.10.0/24",
            iprange="192.168.10.64/29",
            aux_addresses={"nas": "192.168.10.64", "printer": "192.168.10.9"},
            endpoints=[{"container": "web"}, {"container": "db", "ipv4_address": "192.168.10.200"}],
        )
        assert host.address("blue", "web") == "192.168.10.65"
        assert usage(host, "blue") == {"192.168.10.0/24": (5, 6)}

    def test_range_at_the_edge_leaves_network_and_broadcast_out(self, host: Declaration) -> None:
        host.network("low", subnet="192.168.10.0/24", iprange="192.168.10.0/29")
        host.network("high", subnet="192.168.11.0/24", iprange="192.168.11.248/29")
        assert usage(host, "low") == {"192.168.10.0/24": (1, 6)}
        assert usage(host, "high") == {"192.168.11.0/24": (1, 7)}

    def test_subnet_of_two_addresses(self, host: Declaration) -> None:
        host.network("tiny", subnet="192.168.10.0/31")
        assert usage(host, "tiny") == {"192.168.10.0/31": (1, 1)}
        host.network("tiny", connected=["web"])
        assert usage(host, "tiny") == {"192.168.10.0/31": (2, 0)}

    def test_ipv6_is_counted_too(self, host: Declaration) -> None:
        block = {"subnet": "fd00:10::/64", "aux_addresses": {"nas": "fd00:10::2"}}
        host.networks({"name": "blue", "ipam_config": [{"subnet": "192.168.10.0/24"}, block], "connected": ["web"]})
        assert usage(host, "blue") == {"192.168.10.0/24": (2, 252), "fd00:10::/64": (3, 2**64 - 1 - 3)}

    def test_ipv6_range(self, host: Declaration) -> None:
        block = {"subnet": "fd00:10::/64", "iprange": "fd00:10::100/120", "gateway": "fd00:10::1ff"}
        host.networks({"name": "six", "enable_ipv4": False, "enable_ipv6": True, "ipam_config": [block]})
        assert usage(host, "six") == {"fd00:10::/64": (1, 255)}

    def test_network_without_addresses_has_none(self, host: Declaration) -> None:
        host.network("flat", ipam_driver="null", connected=["web"])
        assert usage(host, "flat") == {}

    @given(st.integers(28, 31), st.integers(0, 3), st.booleans())
    def test_as_many_containers_as_are_left_get_an_address(self, prefix: int, auxiliary: int, own: bool) -> None:
        assume(auxiliary + own < 2 ** (32 - prefix))
        host = Declaration()
        host.network(
            "blue",
            subnet="192.168.10.0/24",
            iprange=f"192.168.10.128/{prefix}",
            gateway="192.168.10.128" if own else "192.168.10.1",
            aux_addresses={f"aux{number}": f"192.168.10.{128 + own + number}" for number in range(auxiliary)},
        )
        ((used, free),) = usage(host, "blue").values()
        host.network("blue", connected=[f"c{number}" for number in range(free)])
        assert usage(host, "blue") == {"192.168.10.0/24": (used + free, 0)}
        with pytest.raises(InvalidInput, match="is exhausted"):
            host.network("blue", connected=["one-more"], appends=True)
