# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``port_mapping`` declares: which host port leads where, and who has it already."""

from __future__ import annotations

from typing import Any

import pytest
from unit.support import Declaration, FakeFacts, refused

from ansible_collections.bridgework.network.plugins.module_utils._errors import InUse
from ansible_collections.bridgework.network.plugins.module_utils._facts import Listener
from ansible_collections.bridgework.network.plugins.module_utils._intent import Item

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
        host.facts.sockets = {"tcp": [Listener("0.0.0.0", port, 77)]}
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
            f"which listens on {theirs}:8000; {NOT_HAVING_IT}",
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
        host.facts.sockets = listening("0.0.0.0", 8000)["sockets"]
        host.publish("web", "8000:80")
        assert host.ports("web") == {"0.0.0.0:8000:80/tcp"}

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
            'port mapping of "web": published_ports "2001:db8::1" is an IPv6 address, which networks don\'t have yet; '
            "use IPv4",
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


@pytest.mark.parametrize(
    ("address", "special"), [("224.0.0.1", "224.0.0.0/4"), ("255.255.255.255", "255.255.255.255/32")]
)
def test_address_that_no_host_can_have_is_refused(host: Declaration, address: str, special: str) -> None:
    with refused(
        f'port mapping of "web": published_ports "{address}" is in {special}, which is not for hosts; '
        "give an address of the host, or leave it out"
    ):
        host.publish("web", f"{address}:8000:80")
