# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of the host that containers in mode host listen on."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._errors import InUse, InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._facts import Listener
from ansible_collections.bridgework.network.plugins.module_utils._intent.containers import ContainerSpec
from ansible_collections.bridgework.network.plugins.module_utils._intent.listening import parse
from ansible_collections.bridgework.network.plugins.module_utils._model import socket_text
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import (
    Declaration,
    FakeFacts,
    refused,
)

WITHDRAW = "choose another port, or withdraw that one first"
STOP = "choose another port, or stop that process; set force where it is the container's own service"


@pytest.fixture
def host() -> Declaration:
    return Declaration()


def on_host(name: str, *ports: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "mode": "host", "ports": list(ports), **more}


def shown(host: Declaration, name: str) -> list[str]:
    return [port.shown for port in host.container(name).ports]


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("8080", ["8080/tcp"]),
        ("53/udp", ["53/udp"]),
        ("53/UDP", ["53/udp"]),
        ("192.0.2.7:53/udp", ["192.0.2.7:53/udp"]),
        ("0.0.0.0:80", ["0.0.0.0:80/tcp"]),
        ("[2001:db8::7]:80", ["[2001:db8::7]:80/tcp"]),
        ("[::]:80", ["[::]:80/tcp"]),
        ("7000-7002/sctp", ["7000/sctp", "7001/sctp", "7002/sctp"]),
    ],
)
def test_syntax(text: str, ports: list[str]) -> None:
    assert [port.shown for port in parse("container", "host", [text])] == ports


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http", 'ports "http" is no port of the host; write it like "8080", "53/udp"'),
        ("8000:80", 'ports "8000" is not an IP address'),
        ("80/icmp", 'ports "80/icmp" has the unknown protocol "icmp"; use one of: tcp, udp, sctp'),
        ("0", 'ports "0" has the port 0; use ports from 1 to 65535'),
        ("70000", 'ports "70000" has the port 70000'),
        ("90-80", 'ports "90-80" has a range that runs backwards; write 80-90'),
        (":80", 'ports "" is not an IP address'),
        ("[::ffff:192.0.2.7]:80", "write 192.0.2.7"),
    ],
)
def test_what_is_no_port_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=r"^container: ") as refusal:
        parse("container", "host", [text])
    assert problem in str(refusal.value)


@pytest.mark.parametrize(
    ("mode", "remedy"),
    [
        ({"mode": "bridge"}, "publish them with port_mapping"),
        ({"mode": "none"}, "leave it out, or use mode host"),
        ({"mode": "container", "target": "db"}, "publish those of the target with port_mapping"),
    ],
)
def test_other_modes_have_no_ports_of_the_host(mode: dict[str, str], remedy: str) -> None:
    problem = f'container "web": ports "80,443" can\'t be set with mode {mode["mode"]}; {remedy}'
    with refused(problem):
        ContainerSpec.from_params({"name": "web", "ports": ["80", "443"], **mode})


def test_ports_stay_where_they_are_left_out_and_go_where_the_list_is_empty(host: Declaration) -> None:
    host.bridge(on_host("a", "80", "53/udp"))
    host.bridge({"name": "a", "mode": "host"})
    assert shown(host, "a") == ["80/tcp", "53/udp"]
    host.bridge(on_host("a"))
    assert shown(host, "a") == []


def test_ports_go_with_the_mode(host: Declaration) -> None:
    host.bridge(on_host("a", "80"))
    host.bridge({"name": "a", "mode": "none", "ports": []})
    host.bridge(on_host("a", "80"))
    host.bridge({"name": "a", "mode": "none"}, force=True)
    host.bridge(on_host("b", "80"))
    host.bridge({"name": "b", "state": "absent"})
    host.bridge(on_host("c", "80"))


def test_ports_can_be_exchanged_in_one_task(host: Declaration) -> None:
    host.bridge(on_host("a", "80", "443"), on_host("b", "22"))
    host.bridge(on_host("a", "22", "443"), on_host("b", "80"))
    assert (shown(host, "a"), shown(host, "b")) == (["22/tcp", "443/tcp"], ["80/tcp"])


class TestClash:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            *(("80", "80"), ("80", "192.0.2.7:80"), ("192.0.2.7:80", "80"), ("[2001:db8::7]:80", "80")),
            *(("0.0.0.0:80", "80"), ("0.0.0.0:80", "192.0.2.7:80")),
            *(("80", "[::]:80"), ("[::]:80", "[2001:db8::7]:80")),
        ],
    )
    def test_port_of_another_container_is_refused(self, host: Declaration, theirs: str, ours: str) -> None:
        host.bridge(on_host("a", theirs))
        problem = (
            f'container "b": ports "{ours}/tcp" is in use by container "a" (mode host, its port {theirs}/tcp); '
            f"{WITHDRAW}"
        )
        with refused(problem, InUse):
            host.bridge(on_host("b", ours), force=True)

    @pytest.mark.parametrize("ours", ["80/udp", "81", "192.0.2.8:80", "[2001:db8::7]:80"])
    def test_other_ports_are_free(self, host: Declaration, ours: str) -> None:
        host.bridge(on_host("a", "192.0.2.7:80"))
        host.bridge(on_host("b", ours))

    @pytest.mark.parametrize("ours", ["[::]:80", "[2001:db8::7]:80"])
    def test_families_have_ports_of_their_own(self, host: Declaration, ours: str) -> None:
        host.bridge(on_host("a", "0.0.0.0:80"))
        host.bridge(on_host("b", ours))
        host.bridge({"name": "web"})
        host.publish("web", "0.0.0.0:81:80")
        host.bridge(on_host("c", "[::]:81"))

    @pytest.mark.parametrize("published", ["80:8080", "192.0.2.7:80:8080"])
    def test_published_port_is_refused(self, host: Declaration, published: str) -> None:
        host.bridge({"name": "web"})
        host.publish("web", published)
        address = "192.0.2.7" if "7" in published else "0.0.0.0"
        problem = (
            f'container "a": ports "80/tcp" is in use by container "web" ({address}:80 leads to its port 8080); '
            f"{WITHDRAW}"
        )
        with refused(problem, InUse):
            host.bridge(on_host("a", "80"), force=True)
        assert "a" not in host.state.containers

    @pytest.mark.parametrize("published", ["80:8080", "192.0.2.7:80:8080", "80-81:80-81"])
    def test_port_can_not_be_published(self, host: Declaration, published: str) -> None:
        host.bridge({"name": "web"}, on_host("a", "80"))
        problem = (
            r'"[0-9.]+:80(-81)?/tcp" is in use by container "a" \(mode host, its port 80/tcp\); choose another port'
        )
        with pytest.raises(InUse, match=problem):
            host.publish("web", published)

    def test_port_is_passed_over_where_another_will_do(self, host: Declaration) -> None:
        host.facts.port_range = (50000, 50001)
        host.bridge({"name": "web"}, on_host("a", "50000", "7000"))
        host.publish("web", "80", "7000-7001:81")
        assert host.ports("web") == {"0.0.0.0:50001:80/tcp", "0.0.0.0:7001:81/tcp"}

    @pytest.mark.parametrize(("address", "ours"), [("0.0.0.0", "80"), ("127.0.0.1", "80"), ("::", "192.0.2.7:80")])
    def test_port_that_a_process_listens_on_is_refused(self, address: str, ours: str) -> None:
        host = Declaration(busy(address, 80))
        problem = (
            f'container "a": ports "{ours}/tcp" is in use by process nginx (pid 7), which listens on '
            f"{socket_text(address, 80)}; {STOP}"
        )
        with refused(problem, InUse):
            host.bridge(on_host("a", ours))
        host.bridge(on_host("a", ours), force=True)
        assert shown(host, "a") == [f"{ours}/tcp"]

    def test_process_on_another_address_is_in_nobodys_way(self) -> None:
        host = Declaration(busy("127.0.0.53", 53))
        host.bridge(on_host("a", "192.0.2.7:53"))

    @pytest.mark.parametrize(("before", "after"), [("80", "0.0.0.0:80"), ("0.0.0.0:80", "192.0.2.7:80")])
    def test_what_is_declared_for_fewer_addresses_is_its_own_service_still(self, before: str, after: str) -> None:
        host = Declaration()
        host.bridge(on_host("a", before))
        host.facts.sockets = busy("0.0.0.0", 80).sockets
        host.facts.holders = {77: "nginx (pid 7)"}
        host.bridge(on_host("a", after))
        assert shown(host, "a") == [f"{after}/tcp"]
        with pytest.raises(InUse, match="in use by process nginx"):
            host.bridge(on_host("a", "80"))

    def test_own_service_is_in_nobodys_way(self, host: Declaration) -> None:
        host.bridge(on_host("a", "80"))
        host.facts.sockets = busy("0.0.0.0", 80).sockets
        host.facts.holders = {77: "nginx (pid 7)"}
        host.bridge(on_host("a", "80", "81"))
        assert shown(host, "a") == ["80/tcp", "81/tcp"]


def busy(address: str, port: int) -> FakeFacts:
    return FakeFacts(sockets={"tcp": [Listener(address, port, 77)]}, holders={77: "nginx (pid 7)"})
