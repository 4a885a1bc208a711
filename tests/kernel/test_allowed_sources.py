# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports that are published for some clients only: who gets in, and what becomes of those who are in already."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from kernel.support import HOST, PEER, REMOTE, Managed
from kernel.test_ports import PROTOCOLS
from kernel.test_ports_ipv6 import HOST6, NETWORKS, PEER6, REMOTE6, serve_both

from lab import Host, Lab
from lab.servers import FlowBroken

SAME_PORT = 4242  # that a client keeps
WHERE = {4: HOST, 6: HOST6}


@pytest.fixture
def web(managed: Managed, backend: str) -> Managed:
    """web serves 8080 over TCP and UDP, in both families."""
    assert managed.backend == backend
    managed.run("container_network", networks=NETWORKS, framed=False)
    serve_both(managed, "web", 8080)
    return managed


def publish(web: Managed, *sources: str, **more: Any) -> dict[str, Any]:
    texts = [f"8000:8080/{protocol}" for protocol in PROTOCOLS]
    return web.port_mapping(container="web", published_ports=texts, allowed_sources=list(sources), **more)


def served(host: Host, netns: str | None = None, **options: Any) -> dict[int, set[str]]:
    """By which protocols the port answers, in each family."""
    targets = [(protocol, WHERE[version], 8000) for version in WHERE for protocol in PROTOCOLS]
    answers = zip(targets, host.ask_all(targets, netns=netns, timeout=0.5), strict=True)
    found: dict[int, set[str]] = {version: set() for version in WHERE}
    for (protocol, address, _port), answer in answers:
        if answer is not None:
            found[6 if ":" in address else 4].add(protocol)
    return found


ALL = set(PROTOCOLS)


def test_only_they_and_the_host_get_in(lab: Lab, web: Managed) -> None:
    publish(web, f"{PEER}/32", "2001:db8:1::/64")
    assert served(lab.peer) == {4: ALL, 6: ALL}
    assert served(lab.remote) == {4: set(), 6: set()}
    assert served(web.host) == {4: ALL, 6: ALL}
    for container in ("mate", "other", "web"):
        assert served(web.host, container) == {4: set(), 6: set()}, container


def test_containers_get_in_where_they_are_listed(web: Managed) -> None:
    publish(web, "192.168.20.0/24", "fd00:10::/64")
    assert served(web.host, "other") == {4: ALL, 6: set()}
    assert served(web.host, "mate") == {4: set(), 6: ALL}
    assert served(web.host, "web") == {4: set(), 6: ALL}


def test_family_without_a_source_is_closed(lab: Lab, web: Managed) -> None:
    publish(web, PEER)
    assert served(lab.peer) == {4: ALL, 6: set()}
    assert served(web.host) == {4: ALL, 6: ALL}
    publish(web, PEER6)
    assert served(lab.peer) == {4: set(), 6: ALL}
    publish(web, PEER6, "0.0.0.0/0")
    assert served(lab.remote) == {4: ALL, 6: set()}


def test_stay_until_they_are_given_anew(lab: Lab, web: Managed) -> None:
    publish(web, PEER, PEER6)
    texts = [f"8000:8080/{protocol}" for protocol in PROTOCOLS]
    result = web.port_mapping(container="web", published_ports=texts)
    assert not result["changed"] and served(lab.remote) == {4: set(), 6: set()}
    publish(web)
    assert served(lab.remote) == {4: ALL, 6: ALL}


def test_port_that_is_for_some_and_port_that_is_for_all_are_told_apart(lab: Lab, web: Managed) -> None:
    for_some = {"published_ports": ["8000:8080"], "allowed_sources": [REMOTE, REMOTE6]}
    web.port_mapping(
        mappings=[{"container": "web", **for_some}, {"container": "web", "published_ports": ["8001:8080"]}]
    )
    targets = [("tcp", address, port) for address in WHERE.values() for port in (8000, 8001)]
    assert [bool(answer) for answer in lab.peer.ask_all(targets, timeout=0.5)] == [False, True] * 2
    assert all(lab.remote.ask_all(targets))


@pytest.mark.parametrize("version", WHERE)
def test_udp_client_that_may_no_longer_is_answered_no_more(lab: Lab, web: Managed, version: int) -> None:
    publish(web)
    clients = {"peer": lab.peer, "remote": lab.remote, "host": web.host}

    def answered() -> set[str]:
        asked = {
            name: host.ask("udp", WHERE[version], 8000, source_port=SAME_PORT, timeout=0.4)
            for name, host in clients.items()
        }
        return {name for name, answer in asked.items() if answer}

    assert answered() == {"peer", "remote", "host"}
    publish(web, REMOTE, REMOTE6)
    assert answered() == {"remote", "host"}
    publish(web, PEER, PEER6)
    assert answered() == {"peer", "host"}


@pytest.mark.parametrize("version", WHERE)
def test_connection_of_a_client_that_may_no_longer_is_cut_off(lab: Lab, web: Managed, version: int) -> None:
    publish(web)
    with ExitStack() as stack:
        hosts = (lab.peer, lab.remote, web.host)
        theirs, other, own = (stack.enter_context(host.flow(WHERE[version], 8000)) for host in hosts)
        for flow in (theirs, other, own):
            flow.echo()
        publish(web, REMOTE, REMOTE6)
        for flow in (other, own):
            flow.echo()
        with pytest.raises(FlowBroken):
            theirs.echo()


def test_connection_that_is_open_outlives_that_its_port_is_taken_back(lab: Lab, web: Managed) -> None:
    publish(web, PEER)
    with lab.peer.flow(HOST, 8000) as flow:
        flow.echo()
        web.port_mapping(container="web", state="absent")
        flow.echo()
        assert lab.peer.ask("tcp", HOST, 8000, timeout=0.4) is None


def test_loopback_port_is_the_hosts_whoever_is_listed(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["127.0.0.1:8003:8080"], allowed_sources=[PEER])
    assert web.host.ask("tcp", "127.0.0.1", 8003)
    assert lab.peer.ask("tcp", HOST, 8003, timeout=0.3) is None
