# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``container_network`` declares: networks made, changed in place, connected, refused, removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._errors import InUse, InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._intent import Item
from ansible_collections.bridgework.network.plugins.module_utils._model import IpamBlock
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import (
    Declaration,
    FakeFacts,
    refused,
)

MTU = "com.docker.network.driver.mtu"
NAME = "com.docker.network.bridge.name"
ICC = "com.docker.network.bridge.enable_icc"


@pytest.fixture
def host() -> Declaration:
    return Declaration()


@pytest.fixture
def blue() -> Declaration:
    """A host with the network "blue", 192.168.10.0/24, and in it "web" at .2 and "db" at .3."""
    host = Declaration()
    host.network("blue", subnet="192.168.10.0/24", connected=["web", "db"])
    return host


class TestCreation:
    def test_network_without_a_subnet_gets_the_first_free_one(self, host: Declaration) -> None:
        host.network("blue")
        host.network("red")
        assert host["blue"].ipam == (IpamBlock("172.17.0.0/16", "172.17.0.1"),)
        assert host["red"].ipam == (IpamBlock("172.18.0.0/16", "172.18.0.1"),)

    def test_free_subnet_avoids_routes_and_nameservers_of_the_host(self) -> None:
        host = Declaration(FakeFacts(connected=["172.17.0.0/16", "fd00::/8"], servers=["172.18.9.9"]))
        host.network("blue")
        assert host["blue"].ipam[0].subnet == "172.19.0.0/16"

    def test_free_subnet_avoids_what_is_routed_elsewhere_where_it_can(self) -> None:
        host = Declaration(FakeFacts(routes=["172.16.0.0/14", "0.0.0.0/32"]))
        host.network("blue")
        host.facts.routes = ["0.0.0.0/1", "128.0.0.0/1"]
        host.network("red")
        assert [host[name].ipam[0].subnet for name in ("blue", "red")] == ["172.20.0.0/16", "172.17.0.0/16"]

    def test_blanks_around_commas_do_no_harm(self, host: Declaration) -> None:
        host.network("blue", connected=["web", " db "])
        assert host.on("blue") == {"web", "db"}

    def test_whole_block_is_kept_as_given(self, host: Declaration) -> None:
        host.network(
            "blue",
            subnet="192.168.10.0/24",
            gateway="192.168.10.254",
            iprange="192.168.10.128/25",
            aux_addresses={"router": "192.168.10.128"},
            connected=["web"],
        )
        block = IpamBlock("192.168.10.0/24", "192.168.10.254", "192.168.10.128/25", {"router": "192.168.10.128"})
        assert host["blue"].ipam == (block,)
        assert host.address("blue", "web") == "192.168.10.129"

    def test_keys_of_the_block_that_were_left_out_may_be_null(self, host: Declaration) -> None:
        nothing = {"iprange": None, "gateway": None, "aux_addresses": None}
        host.networks({"name": "blue", "ipam_config": [{"subnet": "192.168.10.0/24", **nothing}]})
        host.networks({"name": "red", "ipam_config": [{"subnet": None, **nothing}]})
        assert host["blue"].ipam == (IpamBlock("192.168.10.0/24", "192.168.10.1"),)
        assert host["red"].ipam == (IpamBlock("172.17.0.0/16", "172.17.0.1"),)

    def test_defaults_are_dockers(self, host: Declaration) -> None:
        host.network("blue")
        network = host["blue"]
        assert (network.driver, network.internal, network.attachable) == ("bridge", False, False)
        assert (network.labels, network.options) == ({}, {})
        assert network.device == "br-" + network.id[:12]
        assert network.created == host.facts.now

    def test_attributes_are_kept(self, host: Declaration) -> None:
        host.network(
            "blue",
            internal=True,
            attachable=True,
            labels={"tier": 1, "hot": True},
            driver_options={MTU: 1400, ICC: False},
        )
        network = host["blue"]
        assert (network.internal, network.attachable) == (True, True)
        assert network.labels == {"tier": "1", "hot": "true"}
        assert network.options == {MTU: "1400", ICC: "false"}

    def test_device_can_be_named(self, host: Declaration) -> None:
        host.network("blue", driver_options={NAME: "br-blue"})
        assert host["blue"].device == "br-blue"

    def test_network_named_bridge_is_the_predefined_one(self, host: Declaration) -> None:
        host.network("bridge")
        assert host["bridge"].device == "bw0"

    def test_second_run_changes_nothing(self, host: Declaration) -> None:
        task = {
            "endpoints": [{"container": "cache", "ipv4_address": "192.168.10.9", "mac_address": "02:00:00:00:00:0A"}],
            "subnet": "192.168.10.0/24",
            "labels": {"a": 1},
            "connected": ["web", "db"],
            "driver_options": {MTU: 1400},
        }
        host.network("blue", **task)
        first = host.state.copy()
        host.network("blue", **task)
        assert host.state == first

    def test_prediction_of_check_mode_holds(self) -> None:
        runs = [Declaration(), Declaration()]
        for host in runs:
            host.network("blue", connected=["web", "db"])
        assert runs[0].state == runs[1].state

    def test_recreated_network_gives_its_containers_the_same_macs(self, blue: Declaration) -> None:
        before = blue.endpoint("blue", "web")
        blue.network("blue", state="absent", force=True)
        blue.network("blue", connected=["web"])
        after = blue.endpoint("blue", "web")
        assert after.mac == before.mac
        assert after.id != before.id


BAD_NETWORKS = [
    ({"name": ""}, 'network "": name "" is not a valid name; '),
    ({"name": "a/b"}, 'network "a/b": name "a/b" is not a valid name; '),
    ({"name": 'a"b'}, 'network "a\\"b": name "a\\"b" is not a valid name; '),
    ({"name": "a\nb"}, 'network "a\\nb": name "a\\nb" is not a valid name; '),
    ({"name": "a b"}, 'network "a b": name "a b" is not a valid name; '),
    ({"connected": ["a/b"]}, 'network "blue": connected "a/b" is not a valid name; '),
    ({"endpoints": [{"container": "a b"}]}, 'network "blue": container "a b" is not a valid name; '),
]


@pytest.mark.parametrize(("params", "text"), BAD_NETWORKS)
def test_bad_name_is_refused(host: Declaration, params: dict[str, Any], text: str) -> None:
    with refused(text + "use letters, digits, '_', '.' and '-', and begin with a letter or digit"):
        host.networks({"name": "blue", **params})


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"driver": "overlay"}, 'driver "overlay" is unknown; use one of: bridge, macvlan, ipvlan'),
        ({"subnet": "192.168.10.1/24"}, 'subnet "192.168.10.1/24" has host bits set; use 192.168.10.0/24'),
        ({"subnet": "192.168.10.0"}, 'subnet "192.168.10.0" is not a subnet; write it like "192.168.10.0/24"'),
        (
            {"subnet": "fd00::/64", "enable_ipv6": False},
            'enable_ipv6 "false" is given with ipam_config fd00::/64 of that family; leave one of the two out',
        ),
        (
            {"enable_ipv4": False},
            'enable_ipv4 "false" leaves no address family; set enable_ipv6, or leave it out',
        ),
        (
            {"enable_ipv6": True, "driver_options": {MTU: 1279}},
            'com.docker.network.driver.mtu "1279" is too small for IPv6; '
            "use 1280 at least (RFC 8200), or leave IPv6 out",
        ),
        (
            {"endpoints": [{"container": "web", "ipv6_address": "fd00::5"}]},
            'endpoint of "web": ipv6_address "fd00::5" is of a family that the network does not have (IPv6); '
            "set enable_ipv6 on the network, or leave it out",
        ),
        (
            {"subnet": "192.168.10.0/24", "gateway": "10.0.0.1"},
            'gateway "10.0.0.1" is outside the subnet 192.168.10.0/24; choose an address inside it',
        ),
        (
            {"subnet": "192.168.10.0/24", "iprange": "10.0.0.0/25"},
            'iprange "10.0.0.0/25" is not inside the subnet 192.168.10.0/24; choose a part of it',
        ),
        (
            {"gateway": "192.168.10.1"},
            'gateway "192.168.10.1" is given without a subnet; give the subnet too, or leave both out',
        ),
        (
            {"iprange": "192.168.10.0/25"},
            'iprange "192.168.10.0/25" is given without a subnet; give the subnet too, or leave both out',
        ),
        (
            {"ipam_config": [{"subnet": "192.168.10.0/24"}, {"subnet": "192.168.11.0/24"}]},
            'ipam_config "192.168.10.0/24, 192.168.11.0/24" has several blocks of IPv4, and a bridge takes one subnet '
            "a family; "
            "keep one, and make a network for each of the others",
        ),
        (
            {"driver_options": {NAME: "br/blue"}},
            f"{NAME} \"br/blue\" is not a valid interface name; use letters, digits, '_', '.' and '-', "
            "begin with a letter or digit, and keep off lo, all, default",
        ),
        (
            {"driver_options": {NAME: "a" * 16}},
            f'{NAME} "{"a" * 16}" is too long for an interface (16 characters); use at most 15',
        ),
        (
            {"driver_options": {"mtu": "1400"}},
            'driver_options "mtu=1400" is unknown; did you mean com.docker.network.driver.mtu?',
        ),
    ],
)
def test_bad_option_is_refused(host: Declaration, params: dict[str, Any], text: str) -> None:
    with refused(f'network "blue": {text}'):
        host.network("blue", **params)
    assert not host.state.networks


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (
            {"ipv4_address": "10.0.0.5"},
            'ipv4_address "10.0.0.5" is outside the subnet 192.168.10.0/24; choose an address inside it',
        ),
        ({"ipv4_address": "web"}, 'ipv4_address "web" is not an IP address; write it like 192.168.10.5'),
        (
            {"ipv4_address": "192.168.10.1"},
            'ipv4_address "192.168.10.1" is the gateway; leave ipv4_address out to get a free address',
        ),
        (
            {"ipv4_address": "192.168.10.3"},
            'ipv4_address "192.168.10.3" is in use by container "db"; leave ipv4_address out to get a free address',
        ),
        ({"mac_address": "02:42"}, 'mac_address "02:42" is not a MAC address; write it like "02:42:ac:11:00:02"'),
        (
            {"interface_name": "a/b"},
            "interface_name \"a/b\" is not a valid interface name; use letters, digits, '_', '.' and '-', "
            "begin with a letter or digit, and keep off lo, all, default",
        ),
        (
            {"interface_name": "a-very-long-name"},
            'interface_name "a-very-long-name" is too long for an interface (16 characters); use at most 15',
        ),
        (
            {"aliases": ["a b"]},
            "aliases \"a b\" is not a valid name; use letters, digits, '_', '.' and '-', "
            "and begin with a letter or digit",
        ),
    ],
)
@pytest.mark.parametrize("container", ["cache", "web"])
def test_bad_endpoint_is_refused(blue: Declaration, container: str, endpoint: dict[str, Any], text: str) -> None:
    with refused(f'network "blue": endpoint of "{container}": {text}'):
        blue.network("blue", endpoints=[{"container": container, **endpoint}])


def test_container_listed_twice_is_refused(blue: Declaration) -> None:
    with refused('network "blue": endpoint of "web": endpoints "web" is listed twice; list it once'):
        blue.network("blue", endpoints=[{"container": "web"}, {"container": "web", "state": "absent"}])


def test_network_listed_twice_is_refused(host: Declaration) -> None:
    with refused('network "blue": networks "blue" is listed twice; list it once'):
        host.networks({"name": "blue"}, {"name": "blue", "state": "absent"})


@pytest.mark.parametrize("mode", ["host", "none"])
def test_predefined_networks_without_endpoints_cant_be_made(host: Declaration, mode: str) -> None:
    with refused(
        f'network "{mode}": is predefined and has no endpoints; use netns_bridge with the container mode {mode}'
    ):
        host.network(mode)


def test_predefined_network_keeps_its_bridge(host: Declaration) -> None:
    with refused(
        f'network "bridge": {NAME} "br0" is not the bridge of this predefined network; leave it out: that is bw0'
    ):
        host.network("bridge", driver_options={NAME: "br0"})
    host.network("bridge", driver_options={NAME: "bw0"})
    assert host["bridge"].device == "bw0"


class TestOverlap:
    @pytest.mark.parametrize("subnet", ["192.168.10.0/24", "192.168.10.128/25", "192.168.0.0/16", "192.168.10.8/31"])
    def test_overlap_is_refused_and_names_the_other_network(self, blue: Declaration, subnet: str) -> None:
        with refused(
            f'network "red": subnet "{subnet}" overlaps network "blue" (192.168.10.0/24); '
            "choose another, or leave subnet out to get a free one"
        ):
            blue.network("red", subnet=subnet)

    @pytest.mark.parametrize(
        ("subnets", "problem"),
        [
            (["10.2.0.128/25", "10.2.0.0/24"], '"10.2.0.0/24" overlaps another one of the task (10.2.0.128/25)'),
            (["10.2.0.0/24", "10.2.0.128/25"], '"10.2.0.128/25" overlaps another one of the task (10.2.0.0/24)'),
            (["10.2.0.0/24", "10.3.0.0/24", "10.2.0.0/24"], '"10.2.0.0/24" is listed twice'),
        ],
    )
    @pytest.mark.parametrize("is_there", [False, True])
    @pytest.mark.parametrize("params", [{"driver": "macvlan"}, {"config_only": True}])
    def test_overlap_inside_a_network_is_refused_in_any_order(
        self, host: Declaration, subnets: list[str], problem: str, is_there: bool, params: dict[str, Any]
    ) -> None:
        if is_there:
            host.network("lan", ipam_config=[{"subnet": "10.2.0.0/24"}], **params)
        remedy = "list it once" if "twice" in problem else "choose another, or leave one of the two out"
        with refused(f'network "lan": subnet {problem}; {remedy}'):
            host.network("lan", ipam_config=[{"subnet": subnet} for subnet in subnets], **params)

    def test_overlap_by_a_change_is_refused_too(self, blue: Declaration) -> None:
        blue.network("red")
        with refused(
            'network "red": subnet "192.168.10.0/25" overlaps network "blue" (192.168.10.0/24); '
            "choose another, or leave subnet out to get a free one"
        ):
            blue.network("red", subnet="192.168.10.0/25", force=True)

    def test_neighbouring_subnets_are_fine(self, blue: Declaration) -> None:
        blue.network("red", subnet="192.168.11.0/24")
        assert host_names(blue) == {"blue", "red"}

    def test_subnet_of_a_network_that_the_task_removes_is_free(self, blue: Declaration) -> None:
        blue.networks(
            {"name": "red", "ipam_config": [{"subnet": "192.168.10.0/24"}]},
            {"name": "blue", "state": "absent", "force": True},
        )
        assert host_names(blue) == {"red"}

    def test_device_of_another_network_is_refused(self, blue: Declaration) -> None:
        device = blue["blue"].device
        with refused(f'network "red": {NAME} "{device}" is the bridge of network "blue"; choose another name'):
            blue.network("red", driver_options={NAME: device})


def host_names(host: Declaration) -> set[str]:
    return set(host.state.networks)


class TestHostsOwnSubnet:
    """A bridge in a subnet of the host's own would cut the host off from its neighbours there."""

    PROBLEM = (
        'network "blue": subnet "192.0.2.0/25" overlaps 192.0.2.0/24, which the host reaches by an interface of its '
        "own and would lose; choose another, or set force if that is meant"
    )

    def test_is_refused(self) -> None:
        host = Declaration(FakeFacts(connected=["192.0.2.0/24"]))
        with refused(self.PROBLEM):
            host.network("blue", subnet="192.0.2.0/25")

    def test_is_taken_by_force(self) -> None:
        host = Declaration(FakeFacts(connected=["192.0.2.0/24"]))
        host.network("blue", subnet="192.0.2.0/25", force=True)
        assert host["blue"].ipam[0].subnet == "192.0.2.0/25"

    def test_does_not_concern_a_network_that_is_there(self) -> None:
        host = Declaration()
        host.network("blue", subnet="192.0.2.0/25")
        host.facts.connected = ["192.0.2.0/24"]
        host.network("blue", subnet="192.0.2.0/25", labels={"a": "b"})
        assert host["blue"].labels == {"a": "b"}


class TestConnected:
    def test_contradiction_between_the_lists_is_refused(self, host: Declaration) -> None:
        with refused('network "blue": connected "db" is listed in endpoints as absent; take it out of one of the two'):
            host.network("blue", connected=["web", "db"], endpoints=[{"container": "db", "state": "absent"}])

    def test_lowest_free_addresses_are_given_in_the_order_listed(self, blue: Declaration) -> None:
        assert blue.address("blue", "web") == "192.168.10.2"
        assert blue.address("blue", "db") == "192.168.10.3"

    def test_unknown_container_is_made_as_an_empty_namespace(self, blue: Declaration) -> None:
        assert blue.container("web").mode == "bridge"
        assert blue.container("web").owns_namespace

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({}, {"web", "db"}),
            ({"connected": ["web"]}, {"web"}),
            ({"connected": ["web", "cache"]}, {"web", "cache"}),
            ({"connected": []}, {"web", "db"}),
            ({"connected": ["cache"], "appends": True}, {"web", "db", "cache"}),
            ({"connected": [], "appends": True}, {"web", "db"}),
            ({"endpoints": [{"container": "cache"}]}, {"web", "db", "cache"}),
            ({"endpoints": [{"container": "web", "state": "absent"}]}, {"db"}),
            ({"endpoints": [{"container": "other", "state": "absent"}]}, {"web", "db"}),
            ({"connected": ["web"], "endpoints": [{"container": "cache"}]}, {"web", "cache"}),
            ({"connected": ["web"], "appends": True, "endpoints": [{"container": "db", "state": "absent"}]}, {"web"}),
        ],
    )
    def test_list_is_canonical_unless_appended(
        self, blue: Declaration, params: dict[str, Any], expected: set[str]
    ) -> None:
        blue.network("blue", **params)
        assert blue.on("blue") == expected

    def test_disconnected_container_stays_declared(self, blue: Declaration) -> None:
        blue.network("blue", endpoints=[{"container": "web", "state": "absent"}])
        assert blue.container("web").mode == "bridge"

    def test_those_who_stay_keep_their_addresses(self, blue: Declaration) -> None:
        blue.network("blue", connected=["cache", "db"])
        assert blue.address("blue", "db") == "192.168.10.3"
        assert blue.address("blue", "cache") == "192.168.10.2"

    def test_addresses_asked_for_come_before_those_that_are_free_to_choose(self, host: Declaration) -> None:
        host.network(
            "blue",
            subnet="192.168.10.0/24",
            connected=["a"],
            endpoints=[{"container": "b"}, {"container": "c", "ipv4_address": "192.168.10.2"}],
        )
        assert host.address("blue", "c") == "192.168.10.2"
        assert {host.address("blue", "a"), host.address("blue", "b")} == {"192.168.10.3", "192.168.10.4"}

    def test_interfaces_are_numbered_and_skip_foreign_ones(self) -> None:
        host = Declaration(FakeFacts(interfaces={"web": {"eth1"}}))
        for name in ("blue", "red", "green"):
            host.network(name, connected=["web"])
        assert [host.endpoint(name, "web").interface for name in ("blue", "red", "green")] == ["eth0", "eth2", "eth3"]

    def test_endpoint_is_made_as_asked_for(self, blue: Declaration) -> None:
        blue.network(
            "blue",
            endpoints=[
                {
                    "container": "cache",
                    "ipv4_address": "192.168.10.50",
                    "mac_address": "02-00-00-00-00-0A",
                    "interface_name": "lan0",
                    "aliases": ["redis", "store"],
                }
            ],
        )
        endpoint = blue.endpoint("blue", "cache")
        assert endpoint.addresses == ("192.168.10.50",)
        assert (endpoint.mac, endpoint.interface) == ("02:00:00:00:00:0a", "lan0")
        assert endpoint.aliases == ("redis", "store")

    def test_interface_name_taken_in_the_container_is_refused(self, blue: Declaration) -> None:
        with refused(
            'network "red": endpoint of "web": interface_name "eth0" is its interface in network "blue"; '
            "choose another name"
        ):
            blue.network("red", endpoints=[{"container": "web", "interface_name": "eth0"}])

    def test_mac_of_another_container_is_refused(self, blue: Declaration) -> None:
        mac = blue.endpoint("blue", "db").mac
        with refused(
            f'network "blue": endpoint of "web": mac_address "{mac}" is in use by container "db"; '
            "leave mac_address out to get one of its own"
        ):
            blue.network("blue", endpoints=[{"container": "web", "mac_address": mac}])

    def test_mac_of_the_containers_other_endpoint_is_refused(self, blue: Declaration) -> None:
        mac = blue.endpoint("blue", "web").mac
        with refused(
            f'network "red": endpoint of "web": mac_address "{mac}" is in use by container "web"; '
            "leave mac_address out to get one of its own"
        ):
            blue.network("red", endpoints=[{"container": "web", "mac_address": mac}])

    @pytest.mark.parametrize("mode", ["none", "host"])
    def test_container_of_another_mode_is_refused(self, host: Declaration, mode: str) -> None:
        host.bridge({"name": "web", "mode": mode})
        with refused(
            f'network "blue": container "web" has the mode {mode} and can\'t be connected; '
            "set its mode to bridge with netns_bridge first"
        ):
            host.network("blue", connected=["web"])

    def test_exhausted_range_is_refused(self, host: Declaration) -> None:
        host.network("blue", subnet="10.0.0.0/24", iprange="10.0.0.8/31", connected=["a", "b"])
        with refused(
            'network "blue": iprange "10.0.0.8/31" is exhausted: every address is taken; '
            "disconnect a container or widen the iprange"
        ):
            host.network("blue", connected=["c"], appends=True)

    def test_address_given_up_in_the_same_task_is_free(self, blue: Declaration) -> None:
        blue.network(
            "blue",
            endpoints=[{"container": "web", "state": "absent"}, {"container": "db", "ipv4_address": "192.168.10.2"}],
        )
        assert blue.address("blue", "db") == "192.168.10.2"

    def test_two_containers_exchange_their_addresses(self, blue: Declaration) -> None:
        blue.network(
            "blue",
            endpoints=[
                {"container": "web", "ipv4_address": "192.168.10.3"},
                {"container": "db", "ipv4_address": "192.168.10.2"},
            ],
        )
        assert (blue.address("blue", "web"), blue.address("blue", "db")) == ("192.168.10.3", "192.168.10.2")


class TestChangeInPlace:
    @pytest.mark.parametrize(
        ("params", "attribute", "value"),
        [
            ({"internal": True}, "internal", True),
            ({"attachable": True}, "attachable", True),
            ({"labels": {"tier": "front"}}, "labels", {"tier": "front"}),
            ({"labels": {}}, "labels", {}),
            ({"driver_options": {MTU: 1400}}, "options", {MTU: "1400"}),
            (
                {"iprange": "192.168.10.128/25"},
                "ipam",
                (IpamBlock("192.168.10.0/24", "192.168.10.1", "192.168.10.128/25"),),
            ),
            ({"gateway": "192.168.10.254"}, "ipam", (IpamBlock("192.168.10.0/24", "192.168.10.254"),)),
            (
                {"aux_addresses": {"router": "192.168.10.9"}},
                "ipam",
                (IpamBlock("192.168.10.0/24", "192.168.10.1", None, {"router": "192.168.10.9"}),),
            ),
        ],
    )
    def test_endpoints_stay_as_they_are(
        self, blue: Declaration, params: dict[str, Any], attribute: str, value: object
    ) -> None:
        endpoints = dict(blue.state.endpoints)
        blue.network("blue", **params)
        assert getattr(blue["blue"], attribute) == value
        assert blue.state.endpoints == endpoints

    def test_what_is_not_mentioned_stays(self, host: Declaration) -> None:
        host.network("blue", internal=True, labels={"a": "1"}, driver_options={MTU: 1400}, subnet="10.0.0.0/24")
        before = host["blue"]
        host.network("blue", attachable=True)
        assert host["blue"] == replace(before, attachable=True)

    @pytest.mark.parametrize(("option", "attribute"), [("labels", "labels"), ("driver_options", "options")])
    def test_given_ones_are_all_where_any_of_them_differs(self, host: Declaration, option: str, attribute: str) -> None:
        """As in community.docker, whose docker_network then makes the network anew with just these."""
        two, other = {MTU: "1400", ICC: "false"}, {MTU: "1500"}
        host.network("blue", **{option: two})
        host.network("blue", **{option: {ICC: "false"}})
        assert getattr(host["blue"], attribute) == two
        host.network("blue", **{option: other})
        assert getattr(host["blue"], attribute) == other
        host.network("blue", **{option: {}})
        assert getattr(host["blue"], attribute) == other

    @pytest.mark.parametrize("length", [64, 12])
    def test_network_may_be_called_by_its_id(self, blue: Declaration, length: int) -> None:
        [item] = blue.network(blue["blue"].id[:length], internal=True)
        assert (item.name, blue["blue"].internal, list(blue.state.networks)) == ("blue", True, ["blue"])

    @pytest.mark.parametrize("given", [("10.1.0.0/24", "10.0.0.0/24"), ("10.1.0.0/24",)])
    def test_subnets_that_are_there_may_be_told_in_any_order_and_in_part(
        self, host: Declaration, given: tuple[str, ...]
    ) -> None:
        def make(*subnets: str) -> None:
            blocks = [{"subnet": subnet} for subnet in subnets]
            host.network("lan", driver="macvlan", ipam_config=blocks)

        make("10.0.0.0/24", "10.1.0.0/24")
        before = host["lan"]
        make(*given)
        assert host["lan"] == before

    def test_id_and_creation_date_stay(self, blue: Declaration) -> None:
        before = blue["blue"]
        blue.facts.now = "2025-02-02T00:00:00.000000Z"
        blue.network("blue", subnet="10.0.0.0/24", internal=True, force=True)
        assert (blue["blue"].id, blue["blue"].created) == (before.id, before.created)

    @pytest.mark.parametrize(
        ("endpoint", "attribute", "value"),
        [
            ({"ipv4_address": "192.168.10.50"}, "addresses", ("192.168.10.50",)),
            ({"mac_address": "02-00-00-00-00-0A"}, "mac", "02:00:00:00:00:0a"),
            ({"interface_name": "lan0"}, "interface", "lan0"),
            ({"aliases": ["www"]}, "aliases", ("www",)),
        ],
    )
    def test_endpoint_is_changed_without_a_new_one(
        self, blue: Declaration, endpoint: dict[str, Any], attribute: str, value: object
    ) -> None:
        before = blue.endpoint("blue", "web")
        blue.network("blue", endpoints=[{"container": "web", **endpoint}])
        after = blue.endpoint("blue", "web")
        assert getattr(after, attribute) == value
        assert (after.id, after.host_link, after.serial) == (before.id, before.host_link, before.serial)

    @pytest.mark.parametrize(
        ("option", "block"),
        [("gateway", {"gateway": "192.168.10.2"}), ("aux_addresses", {"aux_addresses": {"a": "192.168.10.2"}})],
    )
    def test_address_of_a_container_cant_be_reserved(
        self, blue: Declaration, option: str, block: dict[str, Any]
    ) -> None:
        with refused(
            f'network "blue": {option} "192.168.10.2" is in use by container "web"; '
            "choose another, or set force to give the container another address"
        ):
            blue.network("blue", **block)

    @pytest.mark.parametrize(
        ("params", "option", "new", "old"),
        [
            ({"subnet": "10.0.0.0/24"}, "subnet", "10.0.0.0/24", "192.168.10.0/24"),
            ({"subnet": "192.168.10.0/25"}, "subnet", "192.168.10.0/25", "192.168.10.0/24"),
            ({"driver_options": {NAME: "br-blue"}}, NAME, "br-blue", None),
        ],
    )
    def test_change_that_cuts_containers_off_needs_force(
        self, blue: Declaration, params: dict[str, Any], option: str, new: str, old: str | None
    ) -> None:
        old = old or blue["blue"].device
        with refused(
            f'network "blue": {option} "{new}" differs from the present {old} and would cut off '
            'container "db", container "web"; set force to re-create their endpoints',
            InUse,
        ):
            blue.network("blue", **params)
        blue.network("blue", force=True, **params)
        assert blue.on("blue") == {"web", "db"}

    def test_network_without_containers_is_changed_without_force(self, host: Declaration) -> None:
        host.network("blue", subnet="192.168.10.0/24", gateway="192.168.10.9")
        host.network("blue", subnet="10.0.0.0/24", driver_options={NAME: "br-blue"})
        assert host["blue"].ipam == (IpamBlock("10.0.0.0/24", "10.0.0.1"),)
        assert host["blue"].device == "br-blue"

    def test_containers_move_to_the_new_subnet(self, blue: Declaration) -> None:
        blue.network("blue", subnet="10.0.0.0/24", force=True)
        assert blue.address("blue", "web") == "10.0.0.2"
        assert blue.address("blue", "db") == "10.0.0.3"

    def test_wider_subnet_keeps_the_addresses(self, blue: Declaration) -> None:
        blue.network("blue", subnet="192.168.0.0/16", force=True)
        assert blue.address("blue", "web") == "192.168.10.2"

    @pytest.mark.parametrize("address", ["192.168.10.127", "192.168.10.200"])
    def test_narrower_subnet_moves_whom_it_has_no_place_for(self, blue: Declaration, address: str) -> None:
        blue.network("blue", endpoints=[{"container": "db", "ipv4_address": address}])
        blue.network("blue", subnet="192.168.10.0/25", force=True)
        assert blue.address("blue", "web") == "192.168.10.2"
        assert blue.address("blue", "db") == "192.168.10.3"

    def test_address_asked_for_in_the_new_subnet_is_kept_free(self, blue: Declaration) -> None:
        blue.network(
            "blue",
            subnet="10.0.0.0/24",
            force=True,
            endpoints=[{"container": "db", "ipv4_address": "10.0.0.2"}],
        )
        assert blue.address("blue", "db") == "10.0.0.2"
        assert blue.address("blue", "web") == "10.0.0.3"

    def test_new_subnet_must_have_room_for_all(self, blue: Declaration) -> None:
        with refused(
            'network "blue": subnet "10.0.0.0/30" is exhausted: every address is taken; '
            "disconnect a container or widen the subnet"
        ):
            blue.network("blue", subnet="10.0.0.0/30", force=True)


class TestRemoval:
    def test_network_in_use_is_refused_and_names_its_users(self, blue: Declaration) -> None:
        (item,) = blue.network("blue", state="absent")
        assert item.error == (
            'network "blue": is in use by container "db", container "web"; '
            "disconnect them first, or set force to have them disconnected"
        )
        assert blue.on("blue") == {"web", "db"}

    def test_force_disconnects_the_users(self, blue: Declaration) -> None:
        (item,) = blue.network("blue", state="absent", force=True)
        assert item == Item("network", "blue", "absent")
        assert not blue.state.networks and not blue.state.endpoints
        assert set(blue.state.containers) == {"web", "db"}

    def test_one_that_cant_go_is_reported_and_keeps_no_other(self, blue: Declaration) -> None:
        blue.network("red")
        items = blue.networks(
            {"name": "red", "state": "absent"},
            {"name": "blue", "state": "absent"},
            {"name": "bridge", "state": "absent"},
            {"name": "green"},
            {"name": "none-such", "state": "absent"},
        )
        assert [(item.name, item.state, item.error is None) for item in items] == [
            ("red", "absent", True),
            ("blue", "absent", False),
            ("bridge", "absent", False),
            ("green", "present", True),
            ("none-such", "absent", True),
        ]
        assert host_names(blue) == {"blue", "green"}

    @pytest.mark.parametrize("name", ["bridge", "host", "none"])
    def test_predefined_networks_stay(self, host: Declaration, name: str) -> None:
        (item,) = host.network(name, state="absent", force=True)
        assert item.error == f'network "{name}": is predefined and can\'t be removed; leave it out of the task'

    def test_absent_network_stays_absent(self, host: Declaration) -> None:
        assert host.network("blue", state="absent") == [Item("network", "blue", "absent")]

    @pytest.mark.parametrize("length", [64, 20, 12])
    def test_id_or_a_part_of_it_will_do(self, host: Declaration, length: int) -> None:
        host.network("blue")
        (item,) = host.network(host["blue"].id[:length], state="absent")
        assert item == Item("network", "blue", "absent")
        assert not host.state.networks

    def test_part_of_an_id_too_short_is_a_name(self, host: Declaration) -> None:
        host.network("blue")
        host.network(host["blue"].id[:3], state="absent")
        assert host_names(host) == {"blue"}

    def test_results_keep_the_order_of_the_task_with_ids_too(self, host: Declaration) -> None:
        host.networks({"name": "blue"}, {"name": "red"})
        items = host.networks({"name": host["blue"].id, "state": "absent"}, {"name": "red", "state": "absent"})
        assert [item.name for item in items] == ["blue", "red"]

    def test_ports_published_on_the_network_go_with_it(self, blue: Declaration) -> None:
        blue.network("red", connected=["web"])
        blue.publish("web", "8000:80", network="blue")
        blue.publish("web", "8001:81")
        blue.network("blue", state="absent", force=True)
        assert blue.ports("web") == {"0.0.0.0:8001:81/tcp"}


def test_subnet_asked_for_is_kept_free_for_the_network_that_asks(host: Declaration) -> None:
    host.networks({"name": "blue"}, {"name": "red", "ipam_config": [{"subnet": "172.17.0.0/16"}]})
    assert host["red"].ipam[0].subnet == "172.17.0.0/16"
    assert host["blue"].ipam[0].subnet == "172.18.0.0/16"


class TestCheckMode:
    def test_address_is_not_judged_against_a_subnet_that_is_a_guess(self) -> None:
        host = Declaration(FakeFacts(check_mode=True))
        endpoints = [{"container": "web", "ipv4_address": "192.168.10.50"}]
        (item,) = host.network("blue", endpoints=endpoints)
        assert item.warning == (
            'network "blue": endpoint of "web": ipv4_address "192.168.10.50" is outside 172.17.0.0/16, which was '
            "chosen freely; check mode takes it that an earlier task gives the subnet"
        )
        items = host.bridge({"name": "db", "ipv4_address": "192.168.11.50"})
        assert "earlier task gives the subnet" in str(items[-1].warning)
        with pytest.raises(InvalidInput, match="is outside the subnet"):
            host.network("blue", endpoints=endpoints)

    def test_it_is_where_the_subnet_is_given_or_nothing_is_pretended(self) -> None:
        endpoints = [{"container": "web", "ipv4_address": "192.168.10.50"}]
        with pytest.raises(InvalidInput, match="is outside the subnet"):
            Declaration(FakeFacts(check_mode=True)).network("blue", subnet="10.0.0.0/24", endpoints=endpoints)
        with pytest.raises(InvalidInput, match="is outside the subnet"):
            Declaration().network("blue", endpoints=endpoints)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"subnet": "10.0.0.0/24", "iprange": "10.0.0.1/32"}, 'iprange "10.0.0.1/32"'),
        ({"subnet": "10.0.0.0/24", "iprange": "10.0.0.0/32"}, 'iprange "10.0.0.0/32"'),
        ({"subnet": "10.0.0.0/31", "aux_addresses": {"a": "10.0.0.1"}}, 'subnet "10.0.0.0/31"'),
    ],
)
def test_block_without_an_address_for_a_container_is_refused(block: dict, text: str) -> None:
    with refused(f'network "blue": {text} leaves no address for a container; use a wider one'):
        Declaration().network("blue", **block)


def test_device_of_the_predefined_bridge_is_nobody_elses() -> None:
    with refused(
        'network "mine": com.docker.network.bridge.name "bw0" is the bridge of the predefined network "bridge"; '
        "choose another name"
    ):
        Declaration().network("mine", driver_options={"com.docker.network.bridge.name": "bw0"})


def test_name_that_is_null_is_refused() -> None:
    with refused('network "None": name "null" is no name; give the name, or leave the task out'):
        Declaration().networks({"name": None})
