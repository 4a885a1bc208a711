# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``port_mapping`` declares: which host port leads where, and who has it already."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils import _inspect, _sources
from ansible_collections.bridgework.network.plugins.module_utils._errors import InUse, InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._facts import Listener
from ansible_collections.bridgework.network.plugins.module_utils._intent import Item
from ansible_collections.bridgework.network.plugins.module_utils._model import socket_text
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import (
    Declaration,
    FakeFacts,
    is_one_plain_line,
    refused,
)

NOT_HAVING_IT = "choose another port, or leave it out"


def a_host(**facts: Any) -> Declaration:
    """A host with the network "blue" and in it "web" and "db"."""
    host = Declaration(FakeFacts(**facts))
    host.network("blue", subnet="192.168.10.0/24", connected=["web", "db"])
    return host


def listening(address: str, port: int, protocol: str = "tcp") -> dict[str, Any]:
    """The facts of a host where nginx listens."""
    return {"sockets": {protocol: [Listener(address, port, 77)]}, "holders": {77: "nginx (pid 7)"}}


@pytest.fixture
def host() -> Declaration:
    return a_host()


def random_port(host: Declaration, container: str = "web") -> int:
    (mapping,) = (mapping for mapping in host.state.mappings_of(container) if mapping.random)
    return mapping.host_port


class TestPublishing:
    @pytest.mark.parametrize(
        ("texts", "expected"),
        [
            (["8000:80"], {"0.0.0.0:8000:80/tcp"}),
            (["0.0.0.0:8000:80"], {"0.0.0.0:8000:80/tcp"}),
            (["192.0.2.7:13306:3306"], {"192.0.2.7:13306:3306/tcp"}),
            (["127.0.0.1:53:53/udp"], {"127.0.0.1:53:53/udp"}),
            (["8000:80", "8001:80"], {"0.0.0.0:8000:80/tcp", "0.0.0.0:8001:80/tcp"}),
            (["53:53/udp", "53:53/tcp"], {"0.0.0.0:53:53/udp", "0.0.0.0:53:53/tcp"}),
            (["192.0.2.7:80:80", "192.0.2.8:80:80"], {"192.0.2.7:80:80/tcp", "192.0.2.8:80:80/tcp"}),
            (["7000-7001:80-81"], {"0.0.0.0:7000:80/tcp", "0.0.0.0:7001:81/tcp"}),
            (["7000-7010:80"], {"0.0.0.0:7000:80/tcp"}),
            (["7000-7010:80", "7000-7010:80"], {"0.0.0.0:7000:80/tcp", "0.0.0.0:7001:80/tcp"}),
            (["7000-7001:80", "7000:80"], {"0.0.0.0:7000:80/tcp", "0.0.0.0:7001:80/tcp"}),
            (["7000-7001:80", "7000:81"], {"0.0.0.0:7001:80/tcp", "0.0.0.0:7000:81/tcp"}),
        ],
    )
    def test_given_host_port(self, host: Declaration, texts: list[str], expected: set[str]) -> None:
        host.publish("web", *texts)
        assert host.ports("web") == expected
        before = host.state.copy()
        host.publish("web", *texts)
        assert host.state == before, "a second run changes nothing"

    @pytest.mark.parametrize("text", ["8080", "192.0.2.7::8080", "53/udp"])
    def test_random_host_port_is_chosen_once_and_stays(self, host: Declaration, text: str) -> None:
        host.publish("web", text)
        port = random_port(host)
        first, last = host.facts.port_range
        assert first <= port <= last
        host.facts.sockets, host.facts.holders = {"tcp": [Listener("0.0.0.0", port, 77)]}, {77: "nginx (pid 7)"}
        host.facts.port_range = (1, 10)
        host.publish("web", text)
        assert random_port(host) == port

    def test_prediction_of_check_mode_holds(self) -> None:
        runs = [a_host(), a_host()]
        for host in runs:
            host.publish("web", "80", "81/udp")
        assert runs[0].state == runs[1].state

    def test_random_port_avoids_mappings_listeners_and_reserved_ports(self) -> None:
        host = a_host(port_range=(7000, 7003), reserved=frozenset({7000}), **listening("127.0.0.1", 7001))
        host.publish("db", "7002:80")
        host.publish("web", "80")
        assert random_port(host) == 7003

    def test_no_random_port_left_is_refused(self) -> None:
        host = a_host(port_range=(7000, 7001))
        host.publish("db", "7000-7001:80-81")
        with refused(
            'port mapping of "web": published_ports "80" finds no free host port from 7000 to 7001; '
            "widen net.ipv4.ip_local_port_range, or name a host port"
        ):
            host.publish("web", "80")

    def test_no_random_port_left_since_others_reserved_all_is_said(self) -> None:
        host = a_host(port_range=(7000, 7001), reserved=frozenset({7000, 7001, 9000}))
        with refused(
            'port mapping of "web": published_ports "80" finds no free host port from 7000 to 7001: all of them are '
            "in net.ipv4.ip_local_reserved_ports; take some out there, widen net.ipv4.ip_local_port_range, or name a "
            "host port"
        ):
            host.publish("web", "80")

    def test_range_that_the_task_itself_fills_is_no_reason_to_widen_it(self, host: Declaration) -> None:
        with refused(
            'port mapping of "web": published_ports "0.0.0.0:7000-7001/tcp" has no free port left: the task gives '
            "all of them to ports of this container; list fewer ports for it, or a longer range",
            InUse,
        ):
            host.publish("web", "7000-7001:80", "7000-7001:81", "7000-7001:82")

    def test_range_that_the_container_itself_has_filled_earlier_may_be_replaced(self, host: Declaration) -> None:
        host.publish("web", "7000-7001:80-81")
        with refused(
            'port mapping of "web": published_ports "0.0.0.0:7000-7001/tcp" has no free port left (the first is in '
            'use by container "web" (0.0.0.0:7000 leads to its port 80)); '
            "set exclusive to replace all that the container publishes, or widen the range",
            InUse,
        ):
            host.publish("web", "7000-7001:82")

    def test_first_free_port_of_a_range_is_taken_and_kept(self) -> None:
        host = a_host(**listening("0.0.0.0", 7000))
        host.publish("db", "7001:80")
        host.publish("web", "7000-7010:80")
        assert host.ports("web") == {"0.0.0.0:7002:80/tcp"}
        host.publish("db", state="absent")
        host.publish("web", "7000-7010:80")
        assert host.ports("web") == {"0.0.0.0:7002:80/tcp"}

    def test_all_exposed_ports_are_published_on_random_ones(self, host: Declaration) -> None:
        host.publish("web", publish_all_ports=True, exposed_ports=["80", "53/udp", "7000-7001"])
        mappings = host.state.mappings_of("web")
        assert {(mapping.container_port, mapping.protocol) for mapping in mappings} == {
            (80, "tcp"),
            (53, "udp"),
            (7000, "tcp"),
            (7001, "tcp"),
        }
        assert all(mapping.random for mapping in mappings)
        before = host.state.copy()
        host.publish("web", publish_all_ports=True, exposed_ports=["80", "53/udp", "7000-7001"])
        assert host.state == before

    def test_exposed_port_that_is_published_already_gets_no_random_one(self, host: Declaration) -> None:
        host.publish("web", "8000:80", publish_all_ports=True, exposed_ports=["80", "53/udp"])
        assert {text.rpartition(":")[2] for text in host.ports("web")} == {"80/tcp", "53/udp"}
        assert len(host.ports("web")) == 2

    def test_exposed_ports_alone_publish_nothing(self, host: Declaration) -> None:
        host.publish("web", "8000:80", exposed_ports=["443"])
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}

    def test_mapping_survives_a_new_address_of_its_container(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        host.network("blue", endpoints=[{"container": "web", "ipv4_address": "192.168.10.50"}])
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}

    def test_network_is_kept_and_can_change(self, host: Declaration) -> None:
        host.network("red", connected=["web"])
        host.publish("web", "8000:80", network="blue")
        host.publish("web", "8000:80")
        (mapping,) = host.state.mappings_of("web")
        assert mapping.network == "blue"
        host.publish("web", "8000:80", network="red")
        (mapping,) = host.state.mappings_of("web")
        assert mapping.network == "red"

    def test_items_are_the_containers(self, host: Declaration) -> None:
        items = host.mappings(
            {"container": "web", "published_ports": ["8000:80"]}, {"container": "db", "state": "absent"}
        )
        assert items == [Item("container", "web", "present"), Item("container", "db", "absent")]

    def test_given_ports_of_a_task_come_before_those_that_are_free_to_choose(self) -> None:
        host = a_host(port_range=(7000, 7002))
        host.mappings(
            {"container": "web", "published_ports": ["80", "7000-7001:81"]},
            {"container": "db", "published_ports": ["7000:80"]},
        )
        assert host.ports("db") == {"0.0.0.0:7000:80/tcp"}
        assert host.ports("web") == {"0.0.0.0:7001:81/tcp", "0.0.0.0:7002:80/tcp"}


class TestTakingOver:
    """A random port that is asked for by its number is a given one from then on."""

    def test_random_port_becomes_a_given_one(self, host: Declaration) -> None:
        host.publish("web", "80")
        (mapping,) = host.state.mappings_of("web")
        host.publish("web", f"{mapping.host_port}:80")
        (after,) = host.state.mappings_of("web")
        assert (after.host_port, after.random) == (mapping.host_port, False)

    def test_range_does_not_take_it_over(self, host: Declaration) -> None:
        host.publish("web", "80")
        (mapping,) = host.state.mappings_of("web")
        host.publish("web", f"{mapping.host_port}-{mapping.host_port + 1}:80")
        assert {each.host_port for each in host.state.mappings_of("web")} == {mapping.host_port, mapping.host_port + 1}


class TestClash:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("0.0.0.0", "0.0.0.0"),
            ("0.0.0.0", "192.0.2.7"),
            ("0.0.0.0", "127.0.0.1"),
            ("192.0.2.7", "0.0.0.0"),
            ("192.0.2.7", "192.0.2.7"),
        ],
    )
    def test_port_of_another_mapping_is_refused_and_names_the_container(
        self, host: Declaration, theirs: str, ours: str
    ) -> None:
        host.publish("db", f"{theirs}:8000:5432")
        with refused(
            f'port mapping of "web": published_ports "{ours}:8000/tcp" is in use by container "db" '
            f"({theirs}:8000 leads to its port 5432); {NOT_HAVING_IT}",
            InUse,
        ):
            host.publish("web", f"{ours}:8000:80")

    @pytest.mark.parametrize("theirs", ["0.0.0.0", "::", "192.0.2.7"])
    @pytest.mark.parametrize("ours", ["0.0.0.0", "192.0.2.7"])
    def test_port_of_a_foreign_process_is_refused_and_names_it(self, theirs: str, ours: str) -> None:
        host = a_host(**listening(theirs, 8000))
        with refused(
            f'port mapping of "web": published_ports "{ours}:8000/tcp" is in use by process nginx (pid 7), '
            f"which listens on {socket_text(theirs, 8000)}; {NOT_HAVING_IT}",
            InUse,
        ):
            host.publish("web", f"{ours}:8000:80")
        assert not host.state.mappings

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("192.0.2.7:8000:80", "192.0.2.8:8000:80"),
            ("192.0.2.7:8000:80", "127.0.0.1:8000:80"),
            ("8000:80", "8001:80"),
            ("8000:80/udp", "8000:80/tcp"),
        ],
    )
    def test_other_address_port_or_protocol_is_no_clash(self, host: Declaration, theirs: str, ours: str) -> None:
        host.publish("db", theirs)
        host.publish("web", ours)
        assert len(host.state.mappings) == 2

    def test_listener_of_the_other_protocol_is_no_clash(self) -> None:
        host = a_host(**listening("0.0.0.0", 8000, "udp"))
        host.publish("web", "8000:80")
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}

    def test_mapping_that_is_there_is_not_checked_against_listeners(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        host.facts.sockets, host.facts.holders = listening("0.0.0.0", 8000).values()
        (item,) = host.publish("web", "8000:80")
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}
        assert item.warning == (
            'port mapping of "web": published_ports "0.0.0.0:8000/tcp" leads to the container, and not to process '
            "nginx (pid 7), which listens on 0.0.0.0:8000; stop that, or publish another port"
        )

    def test_full_range_is_refused_and_names_the_first_holder(self, host: Declaration) -> None:
        host.publish("db", "7000-7001:80-81")
        with refused(
            'port mapping of "web": published_ports "0.0.0.0:7000-7001/tcp" has no free port left '
            '(the first is in use by container "db" (0.0.0.0:7000 leads to its port 80)); widen the range',
            InUse,
        ):
            host.publish("web", "7000-7001:80")

    def test_two_containers_of_one_task_clash_too(self, host: Declaration) -> None:
        with refused(
            'port mapping of "db": published_ports "0.0.0.0:8000/tcp" is in use by container "web" '
            f"(0.0.0.0:8000 leads to its port 80); {NOT_HAVING_IT}",
            InUse,
        ):
            host.mappings(
                {"container": "web", "published_ports": ["8000:80"]},
                {"container": "db", "published_ports": ["8000:80"]},
            )
        assert not host.state.mappings

    def test_port_given_up_in_the_same_task_is_free(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        host.mappings(
            {"container": "db", "published_ports": ["8000:80"]},
            {"container": "web", "published_ports": ["8000:80"], "state": "absent"},
        )
        assert (host.ports("web"), host.ports("db")) == (set(), {"0.0.0.0:8000:80/tcp"})

    def test_port_dropped_by_exclusive_in_the_same_task_is_free(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        host.mappings(
            {"container": "db", "published_ports": ["8000:80"]},
            {"container": "web", "published_ports": ["8001:80"], "exclusive": True},
        )
        assert (host.ports("web"), host.ports("db")) == ({"0.0.0.0:8001:80/tcp"}, {"0.0.0.0:8000:80/tcp"})


class TestRemoval:
    @pytest.mark.parametrize(
        ("texts", "left"),
        [
            (["8000:80"], {"0.0.0.0:8001:81/tcp"}),
            (["8000-8001:80-81"], set()),
            ([], set()),
            (["8000:81"], {"0.0.0.0:8000:80/tcp", "0.0.0.0:8001:81/tcp"}),
            (["192.0.2.7:8000:80"], {"0.0.0.0:8000:80/tcp", "0.0.0.0:8001:81/tcp"}),
        ],
    )
    def test_given_ports_go_or_all_where_none_is_given(
        self, host: Declaration, texts: list[str], left: set[str]
    ) -> None:
        host.publish("web", "8000:80", "8001:81")
        host.publish("db", "9000:80")
        host.publish("web", *texts, state="absent")
        assert host.ports("web") == left
        assert host.ports("db") == {"0.0.0.0:9000:80/tcp"}

    def test_random_port_goes_by_its_container_port(self, host: Declaration) -> None:
        host.publish("web", "80", "8000:80")
        host.publish("web", "80", state="absent")
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}

    def test_name_of_a_network_bounds_what_is_taken_back(self, host: Declaration) -> None:
        host.network("red", subnet="192.168.20.0/24", connected=["web"])
        host.publish("web", "8000:80")
        host.publish("web", "8001:80", network="red")
        host.publish("web", network="nonet", state="absent")
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp", "0.0.0.0:8001:80/tcp"}
        host.publish("web", network="blue", state="absent")
        assert host.ports("web") == {"0.0.0.0:8001:80/tcp"}
        host.publish("web", network="red", state="absent")
        assert host.ports("web") == set()

    @pytest.mark.parametrize(
        ("params", "said"),
        [
            (
                {"exposed_ports": ["80"]},
                'exposed_ports "80" does not say which ports are to be taken back; set publish',
            ),
            ({"allowed_sources": ["192.0.2.7"]}, 'allowed_sources "192.0.2.7" does not say which ports'),
            ({"exclusive": True}, 'exclusive "true" does not say which ports are to be taken back; leave it out'),
        ],
    )
    def test_what_does_not_say_which_ports_takes_back_none(
        self, host: Declaration, params: dict[str, Any], said: str
    ) -> None:
        host.publish("web", "8000:80")
        with pytest.raises(InvalidInput, match=said):
            host.publish("web", state="absent", **params)

    @pytest.mark.parametrize("unwanted", [["8000:80"], []])
    def test_port_that_is_wanted_and_unwanted_is_refused(self, host: Declaration, unwanted: list[str]) -> None:
        wanted = {"container": "web", "published_ports": ["8001:81", "8000:80"] if unwanted else ["8000:80"]}
        with refused(
            'port mapping of "web": mappings "80/tcp" is listed both present and absent; leave one of the two out'
        ):
            host.mappings(wanted, {"container": "web", "published_ports": unwanted, "state": "absent"})

    def test_other_ports_of_a_container_may_go_in_the_same_task(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        host.mappings(
            {"container": "web", "published_ports": ["8001:81"]},
            {"container": "web", "published_ports": ["8000:80"], "state": "absent"},
        )
        assert host.ports("web") == {"0.0.0.0:8001:81/tcp"}

    @pytest.mark.parametrize(
        ("text", "shown", "stays"),
        [
            ("8000:81", "8000:81/tcp", "0.0.0.0:8000/tcp leads to port 80"),
            ("192.0.2.7:8000:80", "192.0.2.7:8000:80/tcp", "0.0.0.0:8000/tcp leads to port 80"),
            ("7990-8010:81", "7990-8010:81/tcp", "0.0.0.0:8000/tcp leads to port 80"),
            ("80", "80/tcp", "0.0.0.0:8000/tcp leads to port 80"),
            ("192.0.2.7::80", "192.0.2.7::80/tcp", "0.0.0.0:8000/tcp leads to port 80"),
        ],
    )
    def test_what_is_published_otherwise_than_it_is_taken_back_is_named(
        self, host: Declaration, text: str, shown: str, stays: str
    ) -> None:
        host.publish("web", "8000:80")
        (item,) = host.publish("web", text, state="absent")
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}
        assert item.warning == (
            f'port mapping of "web": published_ports "{shown}" takes nothing back, and {stays} still; '
            "write it as it is published, or leave published_ports out to take back all"
        )

    @pytest.mark.parametrize("text", ["8001:80", "8000:80/udp", "81", "443"])
    def test_what_is_not_published_in_any_way_is_as_it_should_be(self, host: Declaration, text: str) -> None:
        host.publish("web", "8000:80")
        assert host.publish("web", text, state="absent")[0].warning is None

    def test_what_the_task_publishes_itself_is_no_mistake(self, host: Declaration) -> None:
        task = [
            {"container": "web", "published_ports": ["80"], "state": "absent"},
            {"container": "web", "published_ports": ["8000:80"]},
        ]
        for _run in range(2):
            assert [item.warning for item in host.mappings(*task)] == [None, None]

    def test_name_of_a_network_is_a_condition(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        assert host.publish("web", "8000:80", network="red", state="absent")[0].warning is None
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}

    def test_ports_of_another_container_than_the_one_that_is_misspelt_are_named(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        (item,) = host.publish("wbe", "8000:80", state="absent")
        assert item.warning == (
            'port mapping of "wbe": there is no such container, and 0.0.0.0:8000/tcp leads to container "web"; '
            "name that one to take it back"
        )

    def test_unknown_container_publishes_nothing_as_it_is(self, host: Declaration) -> None:
        assert host.publish("lost", "8000:80", state="absent") == [Item("container", "lost", "absent")]


class TestExclusive:
    def test_what_is_not_listed_goes(self, host: Declaration) -> None:
        host.publish("web", "8000:80", "8001:81", "443")
        host.publish("db", "9000:80")
        port = random_port(host)
        host.publish("web", "8000:80", "443", exclusive=True)
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp", f"0.0.0.0:{port}:443/tcp"}
        assert host.ports("db") == {"0.0.0.0:9000:80/tcp"}

    def test_empty_list_takes_all_back(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        host.publish("web", exclusive=True)
        assert host.ports("web") == set()

    def test_what_another_item_of_the_task_lists_stays(self, host: Declaration) -> None:
        task = [
            {"container": "web", "published_ports": ["8000:80"], "exclusive": True},
            {"container": "web", "published_ports": ["8001:81"]},
        ]
        host.mappings(*task)
        host.mappings(*task)
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp", "0.0.0.0:8001:81/tcp"}


class TestContainer:
    def test_unknown_container_is_refused(self, host: Declaration) -> None:
        with refused(
            'port mapping of "lost": container "lost" is unknown; '
            "connect it to a network with container_network or netns_bridge first"
        ):
            host.publish("lost", "8000:80")

    def test_check_mode_trusts_that_an_earlier_task_makes_the_container(self) -> None:
        host = a_host(check_mode=True)
        (item,) = host.publish("later", "8000:80")
        assert item.warning is not None and item.warning.startswith('port mapping of "later": there is no such')

    @pytest.mark.parametrize(
        ("container", "text"),
        [
            (
                {"name": "c", "mode": "container", "target": "web"},
                'container "c" shares the namespace of "web"; publish on that container',
            ),
            (
                {"name": "c", "mode": "host"},
                'container "c" has the host\'s own ports; let it listen on the port itself',
            ),
            (
                {"name": "c", "mode": "none"},
                'container "c" is on no network; connect it to one with container_network first',
            ),
        ],
    )
    def test_container_that_cant_publish_is_refused(
        self, host: Declaration, container: dict[str, Any], text: str
    ) -> None:
        host.bridge(container)
        with refused(f'port mapping of "c": {text}'):
            host.publish("c", "8000:80")

    def test_container_on_internal_networks_only_is_refused(self, host: Declaration) -> None:
        host.network("back", internal=True, connected=["c"])
        host.network("rear", internal=True, connected=["c"])
        with refused(
            'port mapping of "c": container "c" is only on internal networks ("back", "rear"); '
            "connect it to a network that is not internal"
        ):
            host.publish("c", "8000:80")

    def test_internal_network_asked_for_is_refused(self, host: Declaration) -> None:
        host.network("back", internal=True, connected=["web"])
        with refused(
            'port mapping of "web": container "web" is only on internal networks ("back"); '
            "connect it to a network that is not internal"
        ):
            host.publish("web", "8000:80", network="back")

    def test_network_without_the_container_is_refused(self, host: Declaration) -> None:
        host.network("red")
        with refused('port mapping of "web": network "red" has no endpoint of this container; connect it there first'):
            host.publish("web", "8000:80", network="red")


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (
            {"container": "a/b", "published_ports": ["80"]},
            "port mapping of \"a/b\": container \"a/b\" is not a valid name; use letters, digits, '_', '.' and '-', "
            "and begin with a letter or digit",
        ),
        (
            {"container": "web", "published_ports": ["80"], "network": "a\nb"},
            "port mapping of \"web\": network \"a\\nb\" is not a valid name; use letters, digits, '_', '.' and '-', "
            "and begin with a letter or digit",
        ),
        (
            {"container": "web"},
            'port mapping of "web": no port is given; set published_ports, or publish_all_ports with exposed_ports',
        ),
        (
            {"container": "web", "exposed_ports": ["80"]},
            'port mapping of "web": no port is given; set published_ports, or publish_all_ports with exposed_ports',
        ),
        (
            {"container": "web", "publish_all_ports": True},
            'port mapping of "web": publish_all_ports "true" is set without exposed_ports; '
            "list the container's ports there",
        ),
        (
            {"container": "web", "published_ports": ["0:80"]},
            'port mapping of "web": published_ports "0:80" has the port 0; use ports from 1 to 65535',
        ),
        (
            {"container": "web", "published_ports": ["70000:80"]},
            'port mapping of "web": published_ports "70000:80" has the port 70000; use ports from 1 to 65535',
        ),
        (
            {"container": "web", "published_ports": ["7000-7002:80-81"]},
            'port mapping of "web": published_ports "7000-7002:80-81" has ranges of unequal length '
            "(3 host ports, 2 container ports); make them equally long, or name a single container port",
        ),
        (
            {"container": "web", "published_ports": ["[2001:db8::1]:53:53/udp"]},
            'port mapping of "web": published_ports "2001:db8::1" can\'t lead to this container, which has no IPv6 '
            "address; connect it to a network with enable_ipv6, or publish on an IPv4 address",
        ),
    ],
)
def test_bad_input_is_refused(host: Declaration, params: dict[str, Any], text: str) -> None:
    with refused(text):
        host.mappings(params)


class TestWarnings:
    def test_address_that_the_host_does_not_have_may_come_later(self, host: Declaration) -> None:
        (item,) = host.publish("web", "192.0.2.99:8000:80", "192.0.2.7:8001:80", "127.0.0.9:8002:80", "0.0.0.0:8003:80")
        assert item.warning == (
            'port mapping of "web": published_ports "192.0.2.99" is no address of this host now; '
            "the port answers there once it is"
        )
        assert host.publish("web", state="absent")[0].warning is None

    @pytest.mark.parametrize("texts", [["8000:80"], ["8000:80", "192.0.2.7:8001:80"]])
    def test_binding_of_the_network_that_the_host_does_not_have_may_come_later(
        self, host: Declaration, texts: list[str]
    ) -> None:
        key = "com.docker.network.bridge.host_binding_ipv4"
        host.network("bound", driver_options={key: "192.0.2.99"}, connected=["api"])
        expected = (
            f'port mapping of "api": {key} "192.0.2.99" of the network "bound" is no address of this host now; '
            "the port answers there once it is"
        )
        for _run in range(2):
            assert host.publish("api", *texts)[0].warning == expected
        assert host.publish("api", "192.0.2.7:8002:80")[0].warning is None, "another address is given"
        assert host.publish("api", state="absent")[0].warning is None
        host.network("bound", driver_options={key: "192.0.2.7"}, force=True)
        assert host.publish("api", *texts)[0].warning is None

    @pytest.mark.parametrize(
        ("arguments", "missing"),
        [
            ({"container": "cache"}, "there is no such container yet"),
            ({"container": "batch"}, "it is on no network yet"),
            ({"container": "web", "network": "red"}, 'it is not on the network "red" yet'),
        ],
    )
    def test_check_mode_trusts_earlier_tasks(self, arguments: dict[str, str], missing: str) -> None:
        host = a_host(check_mode=True)
        host.bridge({"name": "batch"})
        host.networks({"name": "bridge", "endpoints": [{"container": "batch", "state": "absent"}]})
        (item,) = host.mappings({"published_ports": ["8000:80"], **arguments})
        assert item.warning == (
            f'port mapping of "{arguments["container"]}": {missing}; '
            "check mode takes it that an earlier task sees to that, and can't show the rules"
        )

    def test_check_mode_does_not_trust_what_no_task_can_mend(self) -> None:
        host = a_host(check_mode=True)
        host.bridge({"name": "exporter", "mode": "host"})
        with refused(
            'port mapping of "exporter": container "exporter" has the host\'s own ports; '
            "let it listen on the port itself"
        ):
            host.publish("exporter", "8000:80")


class TestItsOwnPort:
    """A host port that the very container publishes already."""

    def test_leads_elsewhere_only_exclusively(self, host: Declaration) -> None:
        host.publish("web", "8000:80")
        with refused(
            'port mapping of "web": published_ports "0.0.0.0:8000/tcp" is in use by container "web" '
            "(0.0.0.0:8000 leads to its port 80); "
            "set exclusive to replace all that the container publishes, or unpublish that first",
            InUse,
        ):
            host.publish("web", "8000:81")
        host.publish("web", "8000:81", exclusive=True)
        assert host.ports("web") == {"0.0.0.0:8000:81/tcp"}

    @pytest.mark.parametrize("texts", [("8000:80", "8000:80"), ("8000:80", "192.0.2.7:8000:81")])
    def test_is_listed_once(self, host: Declaration, texts: tuple[str, ...]) -> None:
        with pytest.raises(InUse, match=r"; list each host port once$"):
            host.publish("web", *texts)


def test_blanks_around_commas_do_no_harm(host: Declaration) -> None:
    host.publish("web", "8000:80", " 8001:81 ")
    host.publish("db", publish_all_ports=True, exposed_ports=["5432", " 53/udp"])
    assert host.ports("web") == {"0.0.0.0:8000:80/tcp", "0.0.0.0:8001:81/tcp"}
    assert len(host.ports("db")) == 2


def test_loopback_address_of_ipv6_is_refused(dual: Declaration) -> None:
    with refused(
        'port mapping of "both": published_ports "::1" can\'t lead to a container: the kernel takes no answers to it '
        "from another link; publish on 127.0.0.1, or on an address of the host"
    ):
        dual.publish("both", "[::1]:8000:80")


@pytest.mark.parametrize(
    ("address", "special"), [("224.0.0.1", "224.0.0.0/4"), ("255.255.255.255", "255.255.255.255/32")]
)
def test_address_that_no_host_can_have_is_refused(host: Declaration, address: str, special: str) -> None:
    with refused(
        f'port mapping of "web": published_ports "{address}" is in {special}, which is not for hosts; '
        "give an address of the host, or leave it out"
    ):
        host.publish("web", f"{address}:8000:80")


def a_host_of_both_families(**facts: Any) -> Declaration:
    """A host with the networks "four", "six" and "both", and on each a container of that name."""
    host = Declaration(FakeFacts(addresses=frozenset({"192.0.2.7", "2001:db8::7"}), **facts))
    host.network("four", subnet="192.168.4.0/24", connected=["four"])
    host.network("six", enable_ipv4=False, ipam_config=[{"subnet": "fd00:6::/64"}], connected=["six"])
    host.network("both", ipam_config=[{"subnet": "192.168.46.0/24"}, {"subnet": "fd00:46::/64"}], connected=["both"])
    return host


@pytest.fixture
def dual() -> Declaration:
    return a_host_of_both_families()


class TestFamilies:
    @pytest.mark.parametrize(
        ("container", "text", "expected"),
        [
            ("four", "8000:80", {"0.0.0.0:8000:80/tcp"}),
            ("six", "8000:80", {":::8000:80/tcp"}),
            ("both", "8000:80", {"0.0.0.0:8000:80/tcp", ":::8000:80/tcp"}),
            ("both", "[::]:8000:80/sctp", {":::8000:80/sctp"}),
            ("both", "[2001:db8::7]:53:53/udp", {"2001:db8::7:53:53/udp"}),
            ("both", "0.0.0.0:8000:80", {"0.0.0.0:8000:80/tcp"}),
            ("both", "192.0.2.7:8000:80", {"192.0.2.7:8000:80/tcp"}),
            (
                "both",
                "7000-7001:80-81",
                {"0.0.0.0:7000:80/tcp", ":::7000:80/tcp", "0.0.0.0:7001:81/tcp", ":::7001:81/tcp"},
            ),
            ("both", "7000-7001:80", {"0.0.0.0:7000:80/tcp", ":::7000:80/tcp"}),
        ],
    )
    def test_port_is_published_in_those_that_the_container_has(
        self, dual: Declaration, container: str, text: str, expected: set[str]
    ) -> None:
        assert dual.publish(container, text)[0].warning is None
        assert dual.ports(container) == expected
        before = dual.state.copy()
        dual.publish(container, text)
        assert dual.state == before, "a second run changes nothing"
        dual.publish(container, text, state="absent")
        assert dual.ports(container) == set()

    @pytest.mark.parametrize("text", ["80", "7000-7010:80"])
    def test_both_have_the_same_port_which_is_free_in_both(self, text: str) -> None:
        host = a_host_of_both_families(port_range=(7000, 7002), **listening("192.0.2.7", 7000))
        host.publish("six", "7001:80")
        host.publish("both", text)
        assert host.ports("both") == {"0.0.0.0:7002:80/tcp", ":::7002:80/tcp"}

    def test_families_have_ports_of_their_own(self, dual: Declaration) -> None:
        dual.publish("four", "8000:80")
        dual.publish("six", "8000:80")
        with refused(
            'port mapping of "both": published_ports "0.0.0.0:8000/tcp" is in use by container "four" '
            f"(0.0.0.0:8000 leads to its port 80); {NOT_HAVING_IT}",
            InUse,
        ):
            dual.publish("both", "8000:80")
        with refused(
            'port mapping of "both": published_ports "[2001:db8::7]:8000/tcp" is in use by container "six" '
            f"([::]:8000 leads to its port 80); {NOT_HAVING_IT}",
            InUse,
        ):
            dual.publish("both", "[2001:db8::7]:8000:80")

    @pytest.mark.parametrize("text", ["8000:80", "80", "7000-7010:80"])
    def test_family_that_the_container_gets_later_is_added_under_the_same_port(
        self, dual: Declaration, text: str
    ) -> None:
        dual.publish("four", text)
        (mapping,) = dual.state.mappings_of("four")
        dual.network("both", connected=["four"], appends=True)
        dual.publish("four", text)
        port = mapping.host_port
        assert dual.ports("four") == {f"0.0.0.0:{port}:80/tcp", f":::{port}:80/tcp"}
        assert {each.random for each in dual.state.mappings_of("four")} == {mapping.random}

    def test_family_whose_port_is_taken_meanwhile_is_refused(self, dual: Declaration) -> None:
        dual.publish("four", "8000:80")
        dual.publish("six", "8000:80")
        dual.network("both", connected=["four"], appends=True)
        with refused(
            'port mapping of "four": published_ports "[::]:8000/tcp" is in use by container "six" '
            f"([::]:8000 leads to its port 80); {NOT_HAVING_IT}",
            InUse,
        ):
            dual.publish("four", "8000:80")

    def test_family_that_the_container_has_lost_goes_exclusively(self, dual: Declaration) -> None:
        dual.publish("both", "8000:80")
        dual.network("four", connected=["both"], appends=True)
        dual.networks({"name": "both", "endpoints": [{"container": "both", "state": "absent"}]})
        dual.publish("both", "8000:80")
        assert dual.ports("both") == {"0.0.0.0:8000:80/tcp", ":::8000:80/tcp"}
        dual.publish("both", "8000:80", exclusive=True)
        assert dual.ports("both") == {"0.0.0.0:8000:80/tcp"}

    @pytest.mark.parametrize("text", ["8000:80", "80", "7000-7010:80"])
    @pytest.mark.parametrize("before", [None, "both"])
    @pytest.mark.parametrize(("network", "left"), [("four", "0.0.0.0"), ("six", "::")])
    def test_half_whose_family_the_new_network_lacks_goes_with_the_move(
        self, dual: Declaration, text: str, before: str | None, network: str, left: str
    ) -> None:
        dual.publish("both", text, network=before)
        port = next(iter(dual.state.mappings_of("both"))).host_port
        dual.network(network, connected=["both"], appends=True)
        dual.publish("both", text, network=network)
        (mapping,) = dual.state.mappings_of("both")
        assert (mapping.host_ip, mapping.host_port, mapping.network) == (left, port, network)

    def test_half_that_is_declared_by_itself_stays_on_its_network(self, dual: Declaration) -> None:
        dual.network("four", connected=["both"], appends=True)
        dual.publish("both", "8000:80", network="both")
        task = [
            {"container": "both", "published_ports": ["8000:80"], "network": "four"},
            {"container": "both", "published_ports": ["[::]:8000:80"], "network": "both"},
        ]
        dual.mappings(*task)
        after = dual.state.copy()
        assert {each.host_ip: each.network for each in after.mappings_of("both")} == {"0.0.0.0": "four", "::": "both"}
        dual.mappings(*task)
        dual.publish("both", "8000:80", network="four")  # which moves nothing any more
        assert dual.state == after

    def test_check_mode_takes_no_half_away_for_a_network_that_an_earlier_task_connects(self) -> None:
        host = a_host_of_both_families(check_mode=True)
        host.publish("both", "8000:80")
        host.network("later")
        host.publish("both", "8000:80", network="later")
        assert host.ports("both") == {"0.0.0.0:8000:80/tcp", ":::8000:80/tcp"}

    def test_binding_of_the_network_is_for_ipv4_and_leaves_ipv6_out(self, dual: Declaration) -> None:
        key = "com.docker.network.bridge.host_binding_ipv4"
        dual.network("bound", enable_ipv6=True, driver_options={key: "192.0.2.7"}, connected=["web"])
        dual.publish("web", "8000:80", "[::]:8001:80")
        assert dual.ports("web") == {"192.0.2.7:8000:80/tcp", ":::8001:80/tcp"}
        dual.publish("web", "8000:80", state="absent")
        assert dual.ports("web") == {":::8001:80/tcp"}

    @pytest.mark.parametrize(
        ("container", "address", "version", "other"), [("four", "::", 6, 4), ("six", "0.0.0.0", 4, 6)]
    )
    def test_family_that_the_container_lacks_is_refused(
        self, dual: Declaration, container: str, address: str, version: int, other: int
    ) -> None:
        written = f"[{address}]" if version == 6 else address
        with refused(
            f'port mapping of "{container}": published_ports "{address}" can\'t lead to this container, which has no '
            f"IPv{version} address; connect it to a network with enable_ipv{version}, or publish on an IPv{other} "
            "address"
        ):
            dual.publish(container, f"{written}:8000:80")

    def test_container_without_addresses_is_refused(self, dual: Declaration) -> None:
        dual.network("bare", ipam_driver="null", connected=["web"])
        with refused(
            'port mapping of "web": container "web" has no IPv4 address and none of IPv6; '
            "connect it to a network that gives it one"
        ):
            dual.publish("web", "8000:80")

    def test_each_leads_to_the_network_that_has_it(self, dual: Declaration) -> None:
        dual.network("six", connected=["four"], appends=True)
        dual.publish("four", "8000:80")
        found = {}
        for mapping in dual.state.mappings_of("four"):
            endpoint = dual.state.publishing_endpoint(mapping)
            found[mapping.host_ip] = endpoint and endpoint.network
        assert found == {"0.0.0.0": "four", "::": "six"}

    @pytest.mark.parametrize(
        ("listens_on", "v6only", "text", "clash"),
        [
            ("::", False, "0.0.0.0:8000:80", "0.0.0.0"),
            ("::", False, "192.0.2.7:8000:80", "192.0.2.7"),
            ("::", True, "0.0.0.0:8000:80", None),
            ("::", True, "8000:80", "[::]"),
            ("::", False, "8000:80", "0.0.0.0"),
            ("0.0.0.0", False, "[::]:8000:80", None),
            ("0.0.0.0", False, "8000:80", "0.0.0.0"),
            ("2001:db8::7", False, "0.0.0.0:8000:80", None),
            ("2001:db8::7", False, "8000:80", "[::]"),
            ("2001:db8::7", False, "[2001:db8::8]:8000:80", None),
        ],
    )
    def test_listener_is_in_the_way_in_the_families_that_it_listens_in(
        self, listens_on: str, v6only: bool, text: str, clash: str | None
    ) -> None:
        sockets = {"tcp": [Listener(listens_on, 8000, 77, v6only)]}
        host = a_host_of_both_families(sockets=sockets, holders={77: "nginx (pid 7)"})
        if clash is None:
            host.publish("both", text)
            return
        with pytest.raises(InUse) as caught:
            host.publish("both", text)
        assert f'"{clash}:8000/tcp" is in use by process nginx (pid 7)' in str(caught.value)


class TestSources:
    def sources(self, host: Declaration, container: str = "both") -> dict[str, tuple[str, ...]]:
        return {mapping.host_ip: mapping.sources for mapping in host.state.mappings_of(container)}

    @pytest.mark.parametrize(
        ("given", "four", "six"),
        [
            ([], (), ()),
            (["10.0.0.0/8"], ("10.0.0.0/8",), ("::/128",)),
            (["2001:db8::/32"], ("0.0.0.0/32",), ("2001:db8::/32",)),
            (["10.0.0.0/8", "192.0.2.7", "::/0"], ("10.0.0.0/8", "192.0.2.7/32"), ()),
        ],
    )
    def test_are_told_apart_by_family(
        self, dual: Declaration, given: list[str], four: tuple[str, ...], six: tuple[str, ...]
    ) -> None:
        dual.publish("both", "8000:80", allowed_sources=given)
        assert self.sources(dual) == {"0.0.0.0": four, "::": six}

    def test_stay_where_they_are_not_given(self, dual: Declaration) -> None:
        dual.publish("both", "8000:80", allowed_sources=["10.0.0.0/8"])
        dual.publish("both", "8000:80")
        assert self.sources(dual) == {"0.0.0.0": ("10.0.0.0/8",), "::": ("::/128",)}
        dual.publish("both", "8000:80", allowed_sources=["2001:db8::/32"])
        assert self.sources(dual) == {"0.0.0.0": ("0.0.0.0/32",), "::": ("2001:db8::/32",)}
        dual.publish("both", "8000:80", allowed_sources=[])
        assert self.sources(dual) == {"0.0.0.0": (), "::": ()}

    def test_are_of_the_listed_ports_only(self, dual: Declaration) -> None:
        dual.mappings(
            {"container": "four", "published_ports": ["8000:80"], "allowed_sources": ["10.0.0.0/8"]},
            {"container": "four", "published_ports": ["8001:80"]},
        )
        assert {mapping.host_port: mapping.sources for mapping in dual.state.mappings_of("four")} == {
            8000: ("10.0.0.0/8",),
            8001: (),
        }

    def test_family_that_comes_later_is_closed_where_the_other_is_not_open(self, dual: Declaration) -> None:
        dual.publish("four", "8000:80", allowed_sources=["10.0.0.0/8"])
        dual.publish("four", "8001:80")
        dual.network("both", connected=["four"], appends=True)
        dual.publish("four", "8000:80", "8001:80")
        found = {(each.host_ip, each.host_port): each.sources for each in dual.state.mappings_of("four")}
        assert found == {
            ("0.0.0.0", 8000): ("10.0.0.0/8",),
            ("::", 8000): ("::/128",),
            ("0.0.0.0", 8001): (),
            ("::", 8001): (),
        }

    def test_port_on_an_address_that_is_closed_by_them_is_worth_a_warning(self, dual: Declaration) -> None:
        (item,) = dual.publish("both", "[2001:db8::7]:8000:80", "8001:80", allowed_sources=["10.0.0.0/8"])
        assert item.warning == (
            'port mapping of "both": published_ports "2001:db8::7" is for the host itself only, since allowed_sources '
            "has nobody of IPv6"
        )

    def test_are_shown_beside_the_port(self, dual: Declaration) -> None:
        dual.publish("both", "8000:80", allowed_sources=["10.0.0.0/8"])
        dual.publish("both", "8001:81")
        assert _inspect.ports(dual.state, "both") == {
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "8000", "AllowedSources": ["10.0.0.0/8"]},
                {"HostIp": "::", "HostPort": "8000", "AllowedSources": []},
            ],
            "81/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8001"}, {"HostIp": "::", "HostPort": "8001"}],
        }

    def test_given_as_one_text_may_have_blanks(self, dual: Declaration) -> None:
        dual.publish("four", "8000:80", allowed_sources=["10.0.0.0/8", " 192.0.2.0/24"])
        assert self.sources(dual, "four") == {"0.0.0.0": ("10.0.0.0/8", "192.0.2.0/24")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'is no address or subnet; write it like "192.0.2.0/24", "192.0.2.7" or "2001:db8::/32"'),
        ("10.0.0.0/33", 'is no address or subnet; write it like "192.0.2.0/24", "192.0.2.7" or "2001:db8::/32"'),
        ("localhost", 'is no address or subnet; write it like "192.0.2.0/24", "192.0.2.7" or "2001:db8::/32"'),
        ("10.0.0.1/8", "has host bits set; use 10.0.0.0/8"),
        ("2001:db8::1/32", "has host bits set; use 2001:db8::/32"),
        ("fe80::1%eth0", "names an interface; leave that out: a port is published on all of them"),
        ("::ffff:10.0.0.1", "is an IPv4 address in the form of an IPv6 one; write it like 10.0.0.1"),
        ("224.0.0.0/4", "is no client's address; leave it out"),
        ("0.0.0.0", "is no client's address; write 0.0.0.0/0 for everybody"),
    ],
)
def test_bad_source_is_refused(dual: Declaration, text: str, problem: str) -> None:
    with refused(f'port mapping of "both": allowed_sources "{text}" {problem}'):
        dual.publish("both", "8000:80", allowed_sources=["192.0.2.0/24", text])
    assert not dual.state.mappings


@given(st.lists(st.ip_addresses().map(str) | st.text() | st.text(alphabet="0123456789abcdef:./%"), max_size=3))
def test_any_sources_are_taken_or_refused_on_one_line(texts: list[str]) -> None:
    try:
        found = _sources.parse("it", texts)
    except InvalidInput as error:
        assert is_one_plain_line(str(error))
    else:
        assert found is not None and set(found) == {4, 6}
        for version, subnets in found.items():
            assert [ipaddress.ip_network(subnet).version for subnet in subnets] == [version] * len(subnets)


PORTS = st.integers(0, 65536) | st.sampled_from([80, 8000, 8001])
NUMBERS = PORTS.map(str) | st.tuples(PORTS, PORTS).map(lambda pair: "-".join(map(str, pair)))
ADDRESSES = st.sampled_from(["", "0.0.0.0", "192.0.2.7", "127.0.0.1", "[::]", "[2001:db8::7]", "[::1]", "::", "x"])
PUBLISHED = st.builds(
    lambda address, host, container, protocol: ":".join(filter(None, [address, host, container])) + protocol,
    ADDRESSES,
    st.just("") | NUMBERS.filter(lambda text: "-" not in text),
    PORTS.map(str),
    st.sampled_from(["", "/tcp", "/udp", "/sctp", "/x", "/"]),
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"container": st.sampled_from(["four", "six", "both", "lost"])},
            optional={
                "published_ports": st.lists(PUBLISHED | st.text(max_size=8), max_size=4),
                "exposed_ports": st.lists(PORTS.map(str), max_size=2),
                "publish_all_ports": st.booleans(),
                "allowed_sources": st.lists(st.sampled_from(["10.0.0.0/8", "::/0", "2001:db8::/32", "1"]), max_size=2),
                "exclusive": st.booleans(),
                "state": st.sampled_from(["present", "absent"]),
            },
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_task_is_refused_on_one_line_or_done_for_good(items: list[dict[str, Any]]) -> None:
    host = a_host_of_both_families(port_range=(50000, 50020))
    try:
        host.mappings(*items)
    except InvalidInput as error:
        assert is_one_plain_line(str(error)) and not host.state.mappings
        return
    once = host.state.copy()
    assert all(key == mapping.key for key, mapping in once.mappings.items())
    try:
        host.mappings(*items)
    except InUse:
        # An item that takes back what another one publishes makes room at first, and not any more.
        assert len({each["container"] for each in items}) < len(items) or any(
            each.get("state") == "absent" for each in items
        )
    else:
        assert host.state.mappings == once.mappings or any(each.get("state") == "absent" for each in items)
