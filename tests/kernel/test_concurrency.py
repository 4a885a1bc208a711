# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on one host at the same time: they wait for each other."""

from __future__ import annotations

import json
from typing import Any

from kernel.support import HOST, Managed, Result, bare, parsed, same, serving

from lab import Lab

NUMBER = 40
NETWORK = "net-test"

Runs = list[tuple[str, dict[str, Any]]]


def all_succeed(managed: Managed, runs: Runs, **options: Any) -> list[Result]:
    """The results of the runs, which start at the same time."""
    results = [parsed(outcome) for outcome in managed.outcomes(runs, **options)]
    assert [result["msg"] for result in results if result.get("failed")] == []
    return results


def names(prefix: str, count: int = NUMBER) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def connect(name: str) -> tuple[str, dict[str, Any]]:
    return "container_network", {"name": NETWORK, "connected": [name], "appends": True}


def publish(number: int, name: str) -> tuple[str, dict[str, Any]]:
    """A random port, one of UDP too, and a given one."""
    return "port_mapping", {"container": name, "published_ports": ["8080", "8080/udp", f"{10000 + number}:8081"]}


def host_ports(result: Result, port: str) -> list[int]:
    return [int(binding["HostPort"]) for binding in result["ports"][port]]


def veths(managed: Managed) -> list[str]:
    return [
        link["ifname"] for link in json.loads(managed.sh("ip -json link show type veth")) if link["ifname"] != "eth0"
    ]


def test_forty_runs_connect_and_publish_without_a_duplicate(lab: Lab, managed: Managed) -> None:
    """The first of them finds a host on which none has ever run."""
    containers = names("c")
    assert all(result["changed"] for result in all_succeed(managed, [connect(name) for name in containers]))
    published = all_succeed(managed, [publish(number, name) for number, name in enumerate(containers)])
    assert all(result["changed"] for result in published)

    members = managed.container_network(name=NETWORK)["network"]["Containers"].values()
    assert {each["Name"] for each in members} == set(containers)
    for key in ("IPv4Address", "MacAddress", "EndpointID"):
        assert len({each[key] for each in members}) == NUMBER, key
    assert len(veths(managed)) == NUMBER
    shown = managed.sh(f"for name in {' '.join(containers)}; do ip -n $name -o -4 address show eth0; done")
    assert {line.split()[3] for line in shown.splitlines()} == {each["IPv4Address"] for each in members}

    random = [host_ports(result, "8080/tcp")[0] for result in published]
    assert len(set(random)) == NUMBER
    assert len({host_ports(result, "8080/udp")[0] for result in published}) == NUMBER
    with serving(managed.host, containers, 8080, 8081):
        targets = {("tcp", HOST, port): f"{name}:8080" for name, port in zip(containers, random, strict=True)}
        targets.update({("tcp", HOST, 10000 + number): f"{name}:8081" for number, name in enumerate(containers)})
        answers = lab.peer.ask_all(targets, timeout=5)
        assert [answer.server if answer else None for answer in answers] == [*targets.values()]


def test_runs_that_make_and_runs_that_remove_do_not_disturb_each_other(lab: Lab, managed: Managed) -> None:
    old, new = names("old", NUMBER // 2), names("new", NUMBER // 2)
    before = managed.snapshot()
    managed.run("container_network", name=NETWORK, connected=[*old, *new], framed=False)
    mappings = [publish(number, name)[1] for number, name in enumerate(old)]
    managed.run("port_mapping", mappings=mappings, framed=False)
    runs: Runs = []
    for number, (goes, comes) in enumerate(zip(old, new, strict=True)):
        runs.append(("netns_bridge", {"containers": [{"name": goes, "state": "absent"}]}))
        runs.append(publish(100 + number, comes))
    assert all(result["changed"] for result in all_succeed(managed, runs))
    assert managed.sh("ls /run/netns").split() == sorted(new) and len(veths(managed)) == len(new)
    with serving(managed.host, new, 8081):
        ports = [10000 + number for number in range(200)]
        answers = lab.peer.ask_all([("tcp", HOST, port) for port in ports], timeout=1)
        reached = {port: answer.server for port, answer in zip(ports, answers, strict=True) if answer}
        assert reached == {10100 + number: f"{name}:8081" for number, name in enumerate(new)}
    managed.network_prune(containers=True)
    same(bare(before), bare(managed.snapshot()), "something was left behind")


def test_forty_runs_of_all_kinds_do_not_disturb_each_other(managed: Managed) -> None:
    managed.run("container_network", name=NETWORK, connected=["web"], framed=False)
    runs: Runs = []
    for number in range(NUMBER // 4):
        runs += [
            ("container_network", {"name": f"net{number}", "connected": ["web"]}),
            ("netns_bridge", {"containers": [{"name": f"c{number}"}]}),
            ("port_mapping", {"container": "web", "published_ports": [f"{8000 + number}:8080"]}),
            ("network_prune", {}),
        ]
    all_succeed(managed, runs)
    managed.network_prune()
    links = managed.sh("ip -o link show type bridge").splitlines()
    assert len(links) == NUMBER // 4 + 2
    assert len(managed.sh("ls /sys/class/net", netns="web").split()) == NUMBER // 4 + 2


def test_the_same_task_forty_times_changes_once(managed: Managed) -> None:
    runs: Runs = [("container_network", {"name": NETWORK, "connected": ["web", "db"]})] * NUMBER
    assert [result["changed"] for result in all_succeed(managed, runs)].count(True) == 1


def test_one_port_goes_to_one_of_forty_that_ask_for_it(managed: Managed) -> None:
    containers = names("c")
    managed.run("container_network", name=NETWORK, connected=containers, framed=False)
    runs: Runs = [("port_mapping", {"container": name, "published_ports": ["8000:8080"]}) for name in containers]
    results = [parsed(outcome) for outcome in managed.outcomes(runs)]
    (winner,) = [name for name, result in zip(containers, results, strict=True) if not result.get("failed")]
    refusals = {result["msg"].partition(": ")[2] for result in results if result.get("failed")}
    assert len(refusals) == 1 and f'in use by container "{winner}"' in refusals.pop()


def test_check_mode_sees_the_whole_of_another_run_or_nothing_of_it(managed: Managed) -> None:
    managed.run("container_network", name=NETWORK, framed=False)
    task = {"name": NETWORK, "connected": ["web", "db"]}
    runs: Runs = [("container_network", {**task, "_ansible_check_mode": bool(number % 4)}) for number in range(NUMBER)]
    seen = {tuple(result["actions"]) for result in all_succeed(managed, runs)}
    assert len(seen - {()}) == 1


def test_check_mode_never_fails_for_what_real_runs_do_meanwhile(managed: Managed) -> None:
    managed.run("container_network", name=NETWORK, connected=names("old", 10), framed=False)
    check = {"_ansible_check_mode": True}
    runs: Runs = []
    for number in range(10):
        runs += [
            ("netns_bridge", {"containers": [{"name": f"old{number}", "state": "absent"}]}),
            ("container_network", {**connect(f"new{number}")[1], **check}),
            connect(f"new{number}"),
            ("network_prune", {"containers": True, **check}),
            ("container_network", {"name": f"other{number}", "connected": [f"new{number}"], **check}),
            ("netns_bridge", {"containers": [{"name": f"c{number}"}], **check}),
            ("netns_bridge", {"containers": [{"name": f"c{number}"}]}),
        ]
    all_succeed(managed, runs)
    assert managed.sh("ls /run/netns").split() == sorted([*names("new", 10), *names("c", 10)])
