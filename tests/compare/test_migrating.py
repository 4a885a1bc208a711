# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks of docs/migrating-from-docker.md do what the page says, also where Docker runs on the same host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compare import daemon, networks, sides
from compare.differences import outcome
from compare.sides import Result, Side

PAGE = Path(__file__).resolve().parents[2] / "docs/migrating-from-docker.md"
BLOCKS = dict(re.findall(r"```yaml\n# (\w+: [\w ]+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
PEER = "192.0.2.20"
Info = dict[str, Any]


def run(side: Side, title: str, **values: str) -> list[Result]:
    """A playbook of the page."""
    plays = [{**play, "gather_facts": False, "become": False} for play in yaml.safe_load(BLOCKS[title])]
    for play in plays:
        play["vars"] = {**play.get("vars", {}), **values}
    return side.play(plays)


def outcomes(results: list[Result]) -> list[str]:
    return [str(each["msg"]) if each["failed"] else outcome(each) for each in results]


def settled(side: Side, title: str) -> None:
    """A second run has nothing to do."""
    assert set(outcomes(run(side, title))) == {"ok"}


def task(side: Side, module: str, **arguments: Any) -> Result:
    tasks = [{"name": module, module: arguments}]
    return side.play([{"hosts": "all", "gather_facts": False, "tasks": tasks}])[0]


def addresses(network: Info) -> dict[str, tuple[str, str]]:
    """By container, address and MAC."""
    return {each["Name"]: (each["IPv4Address"], each["MacAddress"]) for each in network["Containers"].values()}


@pytest.fixture(scope="module")
def docker() -> Iterator[Side]:
    with sides.docker() as side:
        yield side


@pytest.fixture(scope="module")
def here() -> Iterator[Side]:
    with sides.here() as side:
        yield side


def test_page_shows_the_same_playbook_with_other_names() -> None:
    assert sides.renamed(BLOCKS["before: networks"]) == BLOCKS["after: networks"]


def test_networks_come_to_the_same(docker: Side, here: Side) -> None:
    before, after = run(docker, "before: networks"), run(here, "after: networks")
    assert outcomes(before) == outcomes(after)
    assert before[-2]["msg"] == after[-2]["msg"] == "db web"
    for one, other in zip(before, after, strict=True):
        assert networks.comparable(one.get("network")) == networks.comparable(other.get("network"))
    settled(docker, "before: networks")
    settled(here, "after: networks")


def test_containers_have_the_same_addresses_and_ports(docker: Side, here: Side) -> None:
    docker.host.run("docker", "rm", "-f", "web", env=daemon.ENVIRONMENT)
    task(here, "bridgework.network.netns_bridge", containers=[{"name": "web", "state": "absent"}])
    for side, title in ((docker, "before: containers"), (here, "after: containers")):
        assert set(outcomes(run(side, title))) == {"changed"}
        settled(side, title)
    was = task(docker, "community.docker.docker_container_info", name="web")["container"]["NetworkSettings"]
    network = task(here, "bridgework.network.container_network_info", name="shop")["network"]
    ports = run(here, "after: containers")[-1]["ports"]
    assert was["Networks"]["shop"]["IPAddress"] == addresses(network)["web"][0].partition("/")[0] == "172.23.27.10"
    published = {port: [each for each in bound if ":" not in each["HostIp"]] for port, bound in was["Ports"].items()}
    assert published == ports


def test_both_work_side_by_side(docker: Side) -> None:
    def of_docker() -> list[str]:
        lines = docker.host.run("iptables-save").stdout.splitlines()
        return sorted(line for line in lines if line.startswith("-A") and "BRIDGEWORK" not in line)

    rules = of_docker()
    refused = task(
        docker, "bridgework.network.container_network", name="own", ipam_config=[{"subnet": "172.23.27.0/24"}]
    )
    assert "which the host reaches by an interface of its own" in refused["msg"]
    made = task(docker, "bridgework.network.container_network", name="own", connected=["ours"])
    assert outcome(made) == "changed", made
    taken = task(docker, "bridgework.network.port_mapping", container="ours", published_ports=["8000:80"])
    assert taken["failed"] and "8000" in taken["msg"]
    assert docker.host.ping(PEER, netns="ours")
    docker.host.run("docker", "exec", "db", "/bin/busybox", "ping", "-c1", "-W1", PEER, env=daemon.ENVIRONMENT)
    assert of_docker() == rules
    task(docker, "bridgework.network.network_prune", containers=True)
    assert of_docker() == rules


def test_network_moves_with_the_addresses_of_its_containers(docker: Side) -> None:
    run(docker, "before: networks")
    was = {name: task(docker, "community.docker.docker_network_info", name=name) for name in ("shop", "shop-back")}
    for name, info in was.items():
        assert "failed" not in {outcome(each) for each in run(docker, "move: a network", moving=name)}
        now = task(docker, "bridgework.network.container_network_info", name=name)["network"]
        assert addresses(now) == addresses(info["network"])
        assert networks.comparable(now) == networks.comparable(info["network"])
    settled(docker, "move: a network")
    settled(docker, "after: networks")
