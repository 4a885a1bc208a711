# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Traffic that is under way while tasks run: it goes on, unless it is led elsewhere; then it goes there at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from kernel.support import HOST, PEER, REMOTE, Managed, killed, parsed, warnings_of

from lab import Answer, Lab

NETWORKS = [
    {"name": "front", "ipam_config": [{"subnet": "192.168.10.0/24"}], "connected": ["web", "mate"]},
    {"name": "back", "ipam_config": [{"subnet": "192.168.20.0/24"}], "connected": ["other"]},
]
SAME_PORT = 4242  # that the client keeps


pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def web(managed: Managed) -> Managed:
    managed.run("container_network", networks=NETWORKS, framed=False)
    return managed


# TCP: flows that nobody led elsewhere.


def tasks_of(turn: int) -> list[tuple[str, dict[str, Any]]]:
    """Other networks, containers and mappings come, change and go."""
    there = {"state": "present" if turn % 3 else "absent", "force": True}
    port = {"container": "mate", "published_ports": [f"{9000 + turn % 5}:80", "9100-9103:80", "53:53/udp"]}
    return [
        ("container_network", {"name": f"other{turn % 4}", **there, **({"connected": ["a", "b"]} if turn % 3 else {})}),
        ("netns_bridge", {"containers": [{"name": f"c{turn % 2}", "state": "absent" if turn % 3 == 2 else "present"}]}),
        ("port_mapping", {**port, "state": "present" if turn % 2 else "absent"}),
        ("port_mapping", {"container": "web", "published_ports": [f"{9200 + turn}:8080"], "exclusive": False}),
        ("network_prune", {"networks": True, "containers": turn % 5 == 0}),
    ]


def test_long_flows_survive_30_rounds_of_other_changes(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["8000:8080", "127.0.0.1:8001:8080"])
    rules = set()
    with ExitStack() as stack:
        stack.enter_context(web.host.serve("tcp", 8080, netns="web"))
        stack.enter_context(lab.remote.serve("tcp", 7000))
        flows = {
            name: stack.enter_context(host.flow(address, port, netns=netns))
            for name, (host, netns, address, port) in {
                "from the remote": (lab.remote, None, HOST, 8000),
                "from the peer": (lab.peer, None, HOST, 8000),
                "from the host": (web.host, None, HOST, 8000),
                "from the host by loopback": (web.host, None, "127.0.0.1", 8001),
                "from the same network by the published port": (web.host, "mate", HOST, 8000),
                "from another network by the published port": (web.host, "other", HOST, 8000),
                "inside the network": (web.host, "mate", web.address("web"), 8080),
                "egress": (web.host, "other", REMOTE, 7000),
            }.items()
        }
        first = {name: flow.echo() for name, flow in flows.items()}
        for turn in range(30):
            outcomes = [web.once(module, arguments) for module, arguments in tasks_of(turn)]
            assert not [each for each in outcomes if each.get("failed")], outcomes
            assert any(each["changed"] for each in outcomes)
            rules.add("\n".join([*web.rules(), web.table()]))
            assert {name: flow.echo() for name, flow in flows.items()} == first
    assert len(rules) > 20, "the rules were hardly changed"


def test_long_flow_survives_the_loss_and_the_repair_of_all_rules(lab: Lab, web: Managed) -> None:
    mapping = {"container": "web", "published_ports": ["8000:8080"]}
    web.port_mapping(**mapping)
    with web.host.serve("tcp", 8080, netns="web"), lab.remote.flow(HOST, 8000) as flow:
        flow.echo()
        web.flush("nat", "filter", "raw")
        web.port_mapping(**mapping)
        flow.echo()


# UDP: a client that keeps its port looks to connection tracking like the same flow.


def publish(web: Managed, container: str, ports: str, **more: Any) -> None:
    web.port_mapping(container=container, published_ports=[ports], **more)


def to_another_container(web: Managed) -> None:
    ports = ["5353:8080/udp"]
    web.port_mapping(
        mappings=[
            {"container": "web", "published_ports": ports, "state": "absent"},
            {"container": "mate", "published_ports": ports},
        ]
    )


def to_a_container_made_anew(web: Managed) -> None:
    publish(web, "web", "5353:8080/udp", state="absent")
    web.netns_bridge(containers=[{"name": "web", "state": "absent"}])
    publish(web, "mate", "5353:8080/udp")


def to_another_address(web: Managed) -> None:
    web.container_network(name="front", endpoints=[{"container": "web", "ipv4_address": "192.168.10.99"}])


def to_another_network(web: Managed) -> None:
    web.container_network(name="back", connected=["web"], appends=True)
    web.container_network(name="front", endpoints=[{"container": "web", "state": "absent"}])


def to_another_port(web: Managed) -> None:
    publish(web, "web", "5353:8081/udp", exclusive=True)


def to_one_address_of_the_host(web: Managed) -> None:
    web.port_mapping(container="web", state="absent")
    publish(web, "mate", f"{HOST}:5353:8080/udp")


@pytest.mark.parametrize(
    ("move", "by"),
    [
        (to_another_container, "mate"),
        (to_a_container_made_anew, "mate"),
        (to_another_address, "web"),
        (to_another_network, "web"),
        (to_another_port, "web 8081"),
        (to_one_address_of_the_host, "mate"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_udp_client_that_keeps_its_port_is_answered_by_the_new_target_at_once(
    lab: Lab, web: Managed, move: Callable[[Managed], None], by: str
) -> None:
    publish(web, "web", "5353:8080/udp")
    web.host.serve("udp", 8080, netns="web")
    web.host.serve("udp", 8081, netns="web", name="web 8081")
    web.host.serve("udp", 8080, netns="mate")
    clients = [(lab.peer, None), (lab.remote, None), (web.host, None), (web.host, "other")]
    for host, netns in clients:
        answer = host.ask("udp", HOST, 5353, netns=netns, source_port=SAME_PORT)
        assert answer and answer.server == "web"
    move(web)
    answers = [host.ask("udp", HOST, 5353, netns=netns, source_port=SAME_PORT) for host, netns in clients]
    assert [answer.server if answer else None for answer in answers] == [by] * len(clients)


def test_udp_clients_of_a_whole_range_are_answered_by_the_new_target_at_once(lab: Lab, web: Managed) -> None:
    first, last = 6000, 6099
    for name in ("web", "mate"):
        for port in (first, last):
            web.host.serve("udp", port, netns=name)
    for name, other in (("web", "mate"), ("mate", "web")):
        ports = [f"{first}-{last}:{first}-{last}/udp"]
        moved = [{"container": other, "state": "absent"}, {"container": name, "published_ports": ports}]
        assert web.once("port_mapping", {"mappings": moved})["changed"]
        for port in (first, last):
            answer = lab.peer.ask("udp", HOST, port, source_port=SAME_PORT)
            assert answer and answer.server == name


def test_udp_client_that_was_there_before_the_mapping_is_answered_at_once(lab: Lab, web: Managed) -> None:
    web.host.serve("udp", 8080, netns="web")
    clients = [(lab.peer, HOST), (web.host, HOST), (web.host, "127.0.0.1"), (web.host, "127.0.0.2")]
    for host, address in clients:
        assert host.ask("udp", address, 5353, source_port=SAME_PORT) is None
    publish(web, "web", "5353:8080/udp")
    for host, address in clients:
        assert host.ask("udp", address, 5353, source_port=SAME_PORT), address


def test_udp_client_of_a_mapping_that_is_taken_back_is_answered_no_more(lab: Lab, web: Managed) -> None:
    publish(web, "web", "5353:8080/udp")
    web.host.serve("udp", 8080, netns="web")
    assert lab.peer.ask("udp", HOST, 5353, source_port=SAME_PORT)
    publish(web, "web", "5353:8080/udp", state="absent")
    assert lab.peer.ask("udp", HOST, 5353, source_port=SAME_PORT, timeout=0.3) is None
    with web.host.serve("udp", 5353):
        assert lab.peer.ask("udp", HOST, 5353, source_port=SAME_PORT) == Answer("host", PEER, SAME_PORT)


def test_flows_that_the_kernel_can_not_be_asked_for_are_said_to_stay(lab: Lab, web: Managed) -> None:
    def task(container: str, *ports: str) -> tuple[str, dict[str, Any]]:
        return "port_mapping", {"container": container, "published_ports": list(ports), "exclusive": True}

    def warned(*call: Any) -> list[str]:
        """As check mode foretells it, and the run in which it comes about says it, but no later one."""
        blind = {"fork": True, "hide_flows": True}
        predicted, done, again = (web.once(*call, check=check, **blind) for check in (True, False, False))
        assert done["changed"] and warnings_of(predicted) == warnings_of(done) and not warnings_of(again)
        return warnings_of(done)

    assert not warned(*task("web", "5353:8080/udp", "8000:8080")), "nobody was led anywhere before"
    web.host.serve("udp", 8080, netns="web")
    web.host.serve("udp", 8081, netns="web", name="web 8081")
    assert lab.peer.ask("udp", HOST, 5353, source_port=SAME_PORT)
    assert not warned(*task("web", "5353:8080/udp", "8000:8081")), "TCP clients notice"
    assert warned(*task("web", "5353:8081/udp")) == [
        "firewall: clients of 0.0.0.0:5353/udp that go on sending are led as before, since this kernel can't be asked "
        "for its flows; load the module that tells of them (modprobe nf_conntrack_netlink) before ports are changed"
    ]
    assert lab.peer.ask("udp", HOST, 5353, source_port=SAME_PORT).server == "web"
    assert not warnings_of(web.once(*task("web", "5353:8080/udp"))), "this one can be asked"


DAMAGES = {
    "iptables": ["iptables -t nat -F BRIDGEWORK-PORTS", "iptables -t nat -F PREROUTING", "iptables -t nat -F"],
    "nftables": [
        "nft flush map inet bridgework wildcards",
        "nft flush chain inet bridgework prerouting",
        "nft delete table inet bridgework",
    ],
}


def test_udp_client_is_answered_at_once_after_rules_were_lost_and_repaired(lab: Lab, web: Managed) -> None:
    publish(web, "web", "5353:8080/udp")
    web.host.serve("udp", 8080, netns="web")
    for damage in DAMAGES[web.backend]:
        web.sh(damage)
        source_port = SAME_PORT + len(damage)
        assert lab.peer.ask("udp", HOST, 5353, source_port=source_port, timeout=0.3) is None
        publish(web, "web", "5353:8080/udp")
        assert lab.peer.ask("udp", HOST, 5353, source_port=source_port), damage


def test_udp_client_is_answered_by_the_new_target_after_a_run_that_was_killed(lab: Lab, web: Managed) -> None:
    """At whatever moment: the next run may find the new rules, and nothing but the flows to set right."""
    web.host.serve("udp", 8080, netns="web")
    web.host.serve("udp", 8080, netns="mate")
    for at in range(1, 100):
        for container, after in (("mate", "web"), ("web", "mate")):
            moved = [{"container": container, "published_ports": ["5353:8080/udp"], "state": "absent"}]
            moved.append({"container": after, "published_ports": ["5353:8080/udp"]})
            assert not web.once("port_mapping", {"mappings": moved}).get("failed")
        answer = lab.peer.ask("udp", HOST, 5353, source_port=SAME_PORT)
        assert answer and answer.server == "mate"
        moved[0]["container"], moved[1]["container"] = "mate", "web"
        (outcome,) = web.outcomes([("port_mapping", {"mappings": moved})], fork=True, fault={"at": at, "how": "kill"})
        if not killed(outcome):
            break
        lab.peer.ask("udp", HOST, 5353, source_port=SAME_PORT, timeout=0.1)
        web.once("port_mapping", {"mappings": moved})
        answer = lab.peer.ask("udp", HOST, 5353, source_port=SAME_PORT)
        assert answer and answer.server == "web", f"killed at moment {at}"
    assert at > 3 and not parsed(outcome).get("failed")


TRACKED = """
import json, socket
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket
tracker = NFCTSocket()
found = {}
for message in list(tracker.dump()):
    flow = NFCTAttrTuple.from_netlink(socket.AF_INET, message.get_attr("CTA_TUPLE_ORIG"))
    if flow.proto == socket.IPPROTO_UDP:
        found[f"{flow.saddr} {flow.daddr}:{flow.dport}"] = message.get_attr("CTA_ID")
print(json.dumps(found))
"""


@pytest.mark.parametrize("change", [{"allowed_sources": [REMOTE]}, {"state": "absent"}], ids=["narrowed", "closed"])
def test_udp_client_of_a_routed_container_is_answered_no_more(
    lab: Lab, managed: Managed, change: dict[str, Any]
) -> None:
    """It asks the container itself, so nothing is translated."""
    managed.container_network(
        name="front",
        ipam_config=[{"subnet": "192.168.10.0/24"}],
        driver_options={"com.docker.network.bridge.gateway_mode_ipv4": "routed"},
        connected=["web"],
    )
    lab.peer.run("ip", "route", "add", "192.168.10.0/24", "via", HOST)
    port = {"container": "web", "published_ports": ["5000:5001/udp"]}
    managed.port_mapping(**port)
    managed.host.serve("udp", 5001, netns="web")
    ask = partial(lab.peer.ask, "udp", "192.168.10.2", 5001, source_port=4242, timeout=0.5)
    assert ask()
    managed.port_mapping(**port, **change)
    assert ask() is None


def tracked(web: Managed) -> dict[str, int]:
    """The identity of each UDP flow that the host tracks."""
    return json.loads(web.host.python(TRACKED).stdout)


def test_other_flows_are_left_alone_when_a_udp_mapping_changes(lab: Lab, web: Managed) -> None:
    publish(web, "web", "5353:8080/udp")
    publish(web, "mate", "5354:8080/udp")
    publish(web, "mate", "5355:5353/udp")
    web.sh("ip addr add 192.0.2.11/24 dev eth0")
    publish(web, "web", "192.0.2.11:53:8080/udp")
    for name in ("web", "mate"):
        web.host.serve("udp", 8080, netns=name)
    web.host.serve("udp", 5353, netns="mate")
    lab.remote.serve("udp", 5353)
    questions = [(lab.peer, None, HOST, 5354), (lab.peer, None, HOST, 5355), (lab.peer, None, "192.0.2.11", 53)]
    questions += [(web.host, "other", REMOTE, 5353), (web.host, "web", REMOTE, 5353), (web.host, None, REMOTE, 5353)]
    questions += [(web.host, "web", web.address("mate"), 5353), (lab.peer, None, HOST, 5353)]
    for host, netns, address, port in questions:
        assert host.ask("udp", address, port, netns=netns), (netns, address, port)
    before = tracked(web)
    assert len(before) >= 7
    to_another_container_of = [{"container": "web", "published_ports": ["5353:8080/udp"], "state": "absent"}]
    to_another_container_of += [{"container": "mate", "published_ports": ["5353:8080/udp"]}]
    web.port_mapping(mappings=to_another_container_of)
    after = tracked(web)
    assert {flow for flow, identity in before.items() if after.get(flow) != identity} == {f"{PEER} {HOST}:5353"}
