# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Published ports: who reaches them, who has them already, and what becomes of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from kernel.support import HOST, PEER, REMOTE, Driver, Managed, managed_lab, warnings_of

from lab import Answer, Host, Lab

PROTOCOLS = ("tcp", "udp")
NETWORKS = [
    {"name": "front", "ipam_config": [{"subnet": "192.168.10.0/24"}], "connected": ["web", "mate"]},
    {"name": "back", "ipam_config": [{"subnet": "192.168.20.0/24"}], "connected": ["other"]},
]
WEB = "192.168.10.2"
SECOND = "192.0.2.11"
pytestmark = pytest.mark.usefixtures("backend")
FORMS = {
    "random": "8080",
    "given": "8000:8080",
    "address-random": f"{HOST}::8080",
    "address-given": f"{HOST}:8001:8080",
}


def port_of(result: dict[str, Any], protocol: str, host_ip: str = "0.0.0.0", which: int = 0) -> int:
    bindings = [each for each in result["ports"][f"8080/{protocol}"] if each["HostIp"] == host_ip]
    return int(bindings[which]["HostPort"])


# Who reaches them.


@pytest.fixture(scope="module", params=[0, 1], ids=["bridge-nf-0", "bridge-nf-1"])
def published(
    driver: Driver, backend: str, request: pytest.FixtureRequest
) -> Iterator[tuple[Lab, dict[str, dict[str, int]]]]:
    """web's 8080, published in all four forms over both protocols: the host ports by form and protocol."""
    with managed_lab(driver, ("host", "peer", "router", "remote"), backend) as (lab, managed):
        managed.sh(f"echo {request.param} >/proc/sys/net/bridge/bridge-nf-call-iptables")
        managed.run("container_network", networks=NETWORKS, framed=False)
        texts = [f"{form}/{protocol}" for form in FORMS.values() for protocol in PROTOCOLS]
        managed.port_mapping(container="web", published_ports=texts)
        host_ports: dict[str, dict[str, int]] = {form: {} for form in FORMS}
        for form, text in FORMS.items():
            for protocol in PROTOCOLS:
                result = managed.port_mapping(container="web", published_ports=[f"{text}/{protocol}"])
                bindings = result["ports"][f"8080/{protocol}"]
                address = HOST if form.startswith("address") else "0.0.0.0"
                ports = [int(each["HostPort"]) for each in bindings if each["HostIp"] == address]
                given = {"given": 8000, "address-given": 8001}.get(form)
                (host_ports[form][protocol],) = [
                    port for port in ports if (port == given if given else port not in (8000, 8001))
                ]
        for protocol in PROTOCOLS:
            managed.host.serve(protocol, 8080, netns="web")
        yield lab, host_ports


CLIENTS = {
    "remote": ("remote", None, HOST),
    "peer": ("peer", None, HOST),
    "host": ("host", None, HOST),
    "host by loopback": ("host", None, "127.0.0.1"),
    "container of the same network": ("host", "mate", HOST),
    "container of the same network by its gateway": ("host", "mate", "192.168.10.1"),
    "container of another network": ("host", "other", HOST),
    "container of another network by its gateway": ("host", "other", "192.168.20.1"),
    "the container itself": ("host", "web", HOST),
    "the container itself by its gateway": ("host", "web", "192.168.10.1"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_all_forms_are_reached_by(published, client: str) -> None:
    lab, host_ports = published
    host, netns, address = CLIENTS[client]
    targets = {
        (form, protocol): (protocol, address, port)
        for form, ports in host_ports.items()
        for protocol, port in ports.items()
    }
    answers = dict(zip(targets, lab[host].ask_all(targets.values(), netns=netns, timeout=0.5), strict=True))
    everywhere = {key for key in targets if address == HOST or not key[0].startswith("address")}
    assert {key for key, answer in answers.items() if answer} == everywhere


@pytest.mark.parametrize(("client", "address"), [("remote", REMOTE), ("peer", PEER)])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_server_sees_the_real_address_of_the_client(published, client: str, address: str, protocol: str) -> None:
    lab, host_ports = published
    answer = lab[client].ask(protocol, HOST, host_ports["given"][protocol], source_port=4242)
    assert answer == Answer("web", address, 4242)


def test_gateway_of_the_network_is_the_client_where_replies_would_not_come_back(published) -> None:
    lab, host_ports = published
    for netns in ("mate", "web"):
        answer = lab.host.ask("tcp", HOST, host_ports["given"]["tcp"], netns=netns)
        assert answer and answer.seen_from == "192.168.10.1"


# What is published.


@pytest.fixture
def web(managed: Managed) -> Managed:
    managed.run("container_network", networks=NETWORKS, framed=False)
    return managed


def serve_names(managed: Managed, *ports: int, netns: str = "web") -> None:
    """TCP servers in the container that answer with their port."""
    for port in ports:
        managed.host.serve("tcp", port, netns=netns, name=str(port))


def answering(host: Host, *ports: int, address: str = HOST) -> list[str | None]:
    answers = host.ask_all([("tcp", address, port) for port in ports], timeout=0.3)
    return [answer.server if answer else None for answer in answers]


def test_result_has_the_shape_of_docker(web: Managed) -> None:
    result = web.port_mapping(container="web", published_ports=["8000:8080", "127.0.0.1:53:53/udp"])
    assert result["ports"] == {
        "8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8000"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
    }


def test_port_on_an_address_answers_only_there(lab: Lab, web: Managed) -> None:
    web.sh(f"ip addr add {SECOND}/24 dev eth0")
    web.port_mapping(container="web", published_ports=[f"{SECOND}:8002:8080", "127.0.0.1:8003:8080"])
    serve_names(web, 8080)
    assert answering(lab.peer, 8002, address=SECOND) == ["8080"]
    assert answering(lab.peer, 8002, 8003, address=HOST) == [None, None]
    assert answering(web.host, 8002, 8003, address="127.0.0.1") == [None, "8080"]


def test_same_port_on_two_addresses_leads_to_two_containers(lab: Lab, web: Managed) -> None:
    web.sh(f"ip addr add {SECOND}/24 dev eth0")
    web.port_mapping(
        mappings=[
            {"container": "web", "published_ports": [f"{HOST}:80:8080"]},
            {"container": "mate", "published_ports": [f"{SECOND}:80:8080"]},
        ]
    )
    web.host.serve("tcp", 8080, netns="web")
    web.host.serve("tcp", 8080, netns="mate")
    assert answering(lab.peer, 80) == ["web"] and answering(lab.peer, 80, address=SECOND) == ["mate"]


def test_range_is_mapped_one_to_one(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["7000-7002:9000-9002"])
    serve_names(web, 9000, 9001, 9002)
    assert answering(lab.peer, 7000, 7001, 7002, 7003) == ["9000", "9001", "9002", None]


def test_range_for_one_port_gives_the_first_free_one(web: Managed) -> None:
    with web.host.serve("tcp", 7000):
        result = web.port_mapping(
            mappings=[{"container": name, "published_ports": ["7000-7002:8080"]} for name in ("web", "mate")]
        )
        assert [item["ports"]["8080/tcp"][0]["HostPort"] for item in result["mappings"]] == ["7001", "7002"]
        refused = web.port_mapping(container="other", published_ports=["7000-7002:8080"], fails=True)
        assert "no free port left" in refused["msg"]


def test_range_without_host_ports_gives_random_ones(web: Managed) -> None:
    result = web.port_mapping(container="web", published_ports=["9000-9002"])
    ports = {binding["HostPort"] for bindings in result["ports"].values() for binding in bindings}
    assert set(result["ports"]) == {"9000/tcp", "9001/tcp", "9002/tcp"} and len(ports) == 3


def test_exposed_ports_are_published_on_request(lab: Lab, web: Managed) -> None:
    result = web.port_mapping(container="web", publish_all_ports=True, exposed_ports=["8080", "8081/udp"])
    serve_names(web, 8080)
    assert answering(lab.peer, port_of(result, "tcp")) == ["8080"]
    assert set(result["ports"]) == {"8080/tcp", "8081/udp"}


def test_random_ports_come_from_the_range_of_the_host_but_for_reserved_ones(web: Managed) -> None:
    web.sh("echo 50000 50002 >/proc/sys/net/ipv4/ip_local_port_range")
    web.sh("echo 50001 >/proc/sys/net/ipv4/ip_local_reserved_ports")
    with web.host.serve("tcp", 50000):
        result = web.port_mapping(container="web", published_ports=["8080"])
        assert port_of(result, "tcp") == 50002
        assert "no free host port" in web.port_mapping(container="mate", published_ports=["8080"], fails=True)["msg"]


def test_exclusive_takes_back_what_is_not_listed(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["8000:8080", "8001:8080"])
    web.port_mapping(container="web", published_ports=["8001:8080", "8002:8080"], exclusive=True)
    serve_names(web, 8080)
    assert answering(lab.peer, 8000, 8001, 8002) == [None, "8080", "8080"]


@pytest.mark.parametrize(
    ("taken_back", "left"),
    [
        ({"published_ports": ["8000:8080"]}, [None, "8080", "8080"]),
        ({"published_ports": ["8000-8001:8080-8081"]}, [None, "8080", "8080"]),
        ({}, [None, None, None]),
        ({"published_ports": ["9999:8080"]}, ["8080", "8080", "8080"]),
    ],
)
def test_ports_are_taken_back(lab: Lab, web: Managed, taken_back: dict, left: list) -> None:
    web.port_mapping(container="web", published_ports=["8000:8080", "8001:8080", "8002:8080"])
    web.port_mapping(container="web", state="absent", **taken_back)
    serve_names(web, 8080)
    assert answering(lab.peer, 8000, 8001, 8002) == left


def test_port_can_change_hands_in_one_task(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["8000:8080"])
    web.port_mapping(
        mappings=[
            {"container": "mate", "published_ports": ["8000:8080"]},
            {"container": "web", "published_ports": ["8000:8080"], "state": "absent"},
        ]
    )
    web.host.serve("tcp", 8080, netns="mate")
    assert answering(lab.peer, 8000) == ["mate"]


def test_port_leads_to_the_network_that_is_named(lab: Lab, web: Managed) -> None:
    web.container_network(name="back", connected=["web"], appends=True)
    back = web.address("web", "eth1")
    web.port_mapping(container="web", published_ports=["8000:8080"])
    web.port_mapping(container="web", published_ports=["8001:8080"], network="back")
    web.host.serve("tcp", 8080, netns="web", address=WEB, name="front")
    web.host.serve("tcp", 8080, netns="web", address=back, name="back")
    assert answering(lab.peer, 8000, 8001) == ["front", "back"]
    assert answering(lab.remote, 8000, 8001) == ["front", "back"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"container": "sidecar", "published_ports": ["80"]}, 'shares the namespace of "web"'),
        ({"container": "exporter", "published_ports": ["80"]}, "has the host's own ports"),
        ({"container": "web", "published_ports": ["0:80"]}, "has the port 0"),
        ({"container": "web", "published_ports": ["70000:80"]}, "has the port 70000"),
        ({"container": "web", "published_ports": ["1-2:1-3"]}, "ranges of unequal length"),
        ({"container": "web"}, "no port is given"),
        ({"container": "web", "published_ports": ["80:80", "80:81"]}, 'is in use by container "web"'),
    ],
)
def test_what_can_not_be_published_is_refused(web: Managed, arguments: dict, message: str) -> None:
    containers = [
        {"name": "batch", "mode": "none"},
        {"name": "exporter", "mode": "host"},
        {"name": "sidecar", "mode": "container", "target": "web"},
    ]
    web.run("netns_bridge", containers=containers, framed=False)
    assert message in web.port_mapping(**arguments, fails=True)["msg"]


@pytest.mark.parametrize(
    ("where", "refusal"),
    [
        ({"container": "nobody"}, 'container "nobody" is unknown'),
        ({"container": "batch"}, 'container "batch" is on no network'),
        ({"container": "web", "network": "back"}, 'network "back" has no endpoint of this container'),
    ],
)
def test_what_is_not_there_is_refused_but_in_check_mode_an_earlier_task_may_make_it(
    web: Managed, where: dict, refusal: str
) -> None:
    web.run("netns_bridge", containers=[{"name": "batch", "mode": "none"}], framed=False)
    port = {"published_ports": ["8000:8080"], **where}
    assert refusal in web.port_mapping(**port, fails=True, framed=False)["msg"]
    predicted = web.port_mapping(**port, check=True)
    assert predicted["changed"] and port_of(predicted, "tcp") == 8000
    (warning,) = warnings_of(predicted)
    assert "check mode takes it that an earlier task sees to that" in warning


# Who has them already.


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("listens_on", "published_on", "clash"),
    [
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", HOST, True),
        (HOST, "0.0.0.0", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("::", "0.0.0.0", True),
        (HOST, HOST, True),
        ("127.0.0.1", HOST, False),
    ],
)
def test_port_of_a_foreign_process_is_refused_and_the_process_named(
    web: Managed, protocol: str, listens_on: str, published_on: str, clash: bool
) -> None:
    kind = {"tcp": "STREAM", "udp": "DGRAM"}[protocol]
    source = (
        "import os, socket, sys\n"
        "open('/proc/self/comm', 'w').write('my\\nserver')\n"
        f"s = socket.socket(socket.AF_INET{'6' * (':' in listens_on)}, socket.SOCK_{kind})\n"
        f"s.bind(({listens_on!r}, 8000)); s.type == socket.SOCK_STREAM and s.listen()\n"
        "print(os.getpid(), flush=True); sys.stdin.read()"
    )
    process = web.host.popen(sys.executable, "-c", source, stdin=-1, stdout=-1, text=True)
    pid = process.stdout.readline().strip()
    ports = {"container": "web", "published_ports": [f"{published_on}:8000:8080/{protocol}"]}
    if clash:
        message = web.port_mapping(**ports, fails=True)["msg"]
        assert rf"process my\nserver (pid {pid})" in message and f"{published_on}:8000/{protocol}" in message
    else:
        web.port_mapping(**ports)


def test_port_of_the_other_protocol_is_free(web: Managed) -> None:
    with web.host.serve("udp", 8000):
        web.port_mapping(container="web", published_ports=["8000:8080/tcp"])


def test_port_of_a_process_in_a_container_is_free(web: Managed) -> None:
    with web.host.serve("tcp", 8000, netns="web"):
        web.port_mapping(container="web", published_ports=["8000:8000"])


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("8000", "8000", True),
        ("8000", f"{HOST}:8000", True),
        (f"{HOST}:8000", "8000", True),
        (f"{HOST}:8000", "127.0.0.1:8000", False),
    ],
)
def test_port_of_another_container_is_refused_and_the_container_named(
    web: Managed, first: str, second: str, clash: bool
) -> None:
    web.port_mapping(container="web", published_ports=[f"{first}:8080"])
    result = web.port_mapping(container="mate", published_ports=[f"{second}:8080"], fails=clash)
    assert not clash or 'container "web"' in result["msg"]


# What becomes of them.


def test_random_port_stays_whatever_else_changes(lab: Lab, web: Managed) -> None:
    random = {"container": "web", "published_ports": ["8080", "8080/udp"]}
    first = web.port_mapping(**random)["ports"]
    web.port_mapping(container="mate", published_ports=["8080", "9000:8080"])
    assert web.port_mapping(**random)["ports"] == first
    web.container_network(name="front", endpoints=[{"container": "web", "ipv4_address": "192.168.10.99"}])
    assert web.port_mapping(**random)["ports"] == first
    web.container_network(name="back", connected=["web"], appends=True)
    web.container_network(name="front", endpoints=[{"container": "web", "state": "absent"}])
    assert web.port_mapping(**random)["ports"] == first
    serve_names(web, 8080)
    assert answering(lab.peer, int(first["8080/tcp"][0]["HostPort"])) == ["8080"]


def test_several_random_ports_of_one_container_port_stay(web: Managed) -> None:
    twice = {"container": "web", "published_ports": ["8080", "8080"]}
    result = web.port_mapping(**twice)
    assert port_of(result, "tcp", which=0) != port_of(result, "tcp", which=1)


def test_random_port_survives_a_process_that_listens_there_later(web: Managed) -> None:
    random = {"container": "web", "published_ports": ["8080"]}
    first = web.port_mapping(**random)
    with web.host.serve("tcp", port_of(first, "tcp")):
        assert web.port_mapping(**random)["ports"] == first["ports"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_process_that_listens_on_a_published_port_later_is_named(web: Managed, protocol: str) -> None:
    """Its clients are led to the container, which it can't know."""
    mapping = {"container": "web", "published_ports": [f"8000:8080/{protocol}"]}
    web.port_mapping(**mapping)
    assert web.container_info(name="web")["container"]["port_conflicts"] == []
    with web.host.serve(protocol, 8000, address=HOST):
        (conflict,) = web.container_info(name="web")["container"]["port_conflicts"]
        listener = conflict.pop("listener")
        assert re.fullmatch(rf"process python\S* \(pid \d+\), which listens on {HOST}:8000", listener)
        assert conflict == {"port": f"8080/{protocol}", "HostIp": "0.0.0.0", "HostPort": "8000"}
        result = web.port_mapping(**mapping)
        assert not result["changed"]
        (warning,) = warnings_of(result)
        assert f'"0.0.0.0:8000/{protocol}" leads to the container, and not to {listener}' in warning
    assert not warnings_of(web.port_mapping(**mapping))


def test_connections_of_the_host_are_in_nobodys_way(lab: Lab, web: Managed) -> None:
    """Each has the port that it was given, and waits for nobody."""
    web.sh("echo 50000 50009 >/proc/sys/net/ipv4/ip_local_port_range")
    with lab.peer.serve("tcp", 7000), web.host.flow(PEER, 7000) as flow:
        port = flow.echo().seen_port
        assert not warnings_of(web.port_mapping(container="web", published_ports=[f"{port}:8080"]))
        flow.echo()


def test_mapping_follows_its_container_to_a_new_address(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["8000:8080"])
    serve_names(web, 8080)
    assert answering(lab.peer, 8000) == ["8080"]
    web.container_network(name="front", endpoints=[{"container": "web", "ipv4_address": "192.168.10.99"}])
    assert answering(lab.peer, 8000) == ["8080"]


def test_mapping_follows_its_container_to_another_network(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["8000:8080"])
    serve_names(web, 8080)
    web.container_network(name="front", endpoints=[{"container": "web", "state": "absent"}])
    assert answering(lab.peer, 8000) == [None], "it waits"
    web.container_network(name="back", connected=["web"], appends=True)
    assert answering(lab.peer, 8000) == ["8080"]


def test_mapping_goes_with_its_container(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["8000:8080"])
    web.netns_bridge(containers=[{"name": "web", "state": "absent"}])
    assert not [rule for rule in web.rules() if "DNAT --to" in rule] and WEB not in web.table()
    web.container_network(name="front", connected=["web"], appends=True)
    serve_names(web, 8080)
    assert answering(lab.peer, 8000) == [None], "nor does it come back with the name"
    web.port_mapping(container="mate", published_ports=["8000:8080"])


def test_port_whose_container_leaves_its_network_is_said_to_lead_nowhere(lab: Lab, web: Managed) -> None:
    web.container_network(name="back", connected=["web"], appends=True)
    port = {"container": "web", "published_ports": ["8000:8080"]}
    web.port_mapping(**port, network="back")
    left = web.container_network(name="back", endpoints=[{"container": "web", "state": "absent"}])
    (warning,) = warnings_of(left)
    assert 'container "web": its published port 0.0.0.0:8000/tcp leads nowhere now' in warning
    (warning,) = warnings_of(web.port_mapping(**port))
    assert '"0.0.0.0:8000/tcp" leads nowhere, as the container is not on the network "back"' in warning
    assert not warnings_of(web.port_mapping(**port, network="front"))
    serve_names(web, 8080)
    assert answering(lab.peer, 8000) == ["8080"]
