# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Published ports are kept from outgoing connections, beside those that an administrator keeps from them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kernel.support import PEER, Managed, killed

from lab import Lab

PATH = "/proc/sys/net/ipv4/ip_local_reserved_ports"
NETWORK = {"name": "front", "ipam_config": [{"subnet": "192.168.10.0/24"}], "connected": ["web", "mate"]}
READ = f"import os; print(os.read(os.open({PATH!r}, os.O_RDONLY), 1 << 20).decode())"


def reserved(managed: Managed) -> str:
    return managed.host.python(READ).stdout.strip()


def reserve(managed: Managed, ports: str) -> None:
    managed.sh(f"echo {ports} >{PATH}")


@pytest.fixture
def web(managed: Managed) -> Managed:
    managed.run("container_network", **NETWORK, framed=False)
    return managed


def publish(web: Managed, *ports: str, container: str = "web", **more: Any) -> dict[str, Any]:
    return web.port_mapping(container=container, published_ports=list(ports), **more)


CONNECT = """
import json, socket, sys
address, port = sys.argv[1], int(sys.argv[2])
found = []
for _round in range(int(sys.argv[3])):
    client = socket.create_connection((address, port))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    found.append(client.getsockname()[1])
    client.close()
print(json.dumps(found))
"""


def test_outgoing_connections_get_other_ports(lab: Lab, web: Managed) -> None:
    web.sh("echo 50000 50009 >/proc/sys/net/ipv4/ip_local_port_range")
    with lab.peer.serve("tcp", 7000):
        ask = (CONNECT, PEER, "7000", "40")
        assert {50002, 50003} & {*json.loads(web.host.python(*ask).stdout)}
        publish(web, "50000-50007:80-87")
        assert {*json.loads(web.host.python(*ask).stdout)} <= {50008, 50009}


def test_they_come_and_go_with_the_mappings(web: Managed) -> None:
    result = publish(web, "8000:80", "8001:81/udp", "127.0.0.1:9000:80")
    assert "change sysctl net/ipv4/ip_local_reserved_ports: reserve 8000-8001,9000" in result["actions"]
    assert reserved(web) == "8000-8001,9000"
    publish(web, "8001:81/udp", state="absent")
    assert reserved(web) == "8000,9000"
    web.netns_bridge(containers=[{"name": "web", "state": "absent"}])
    assert reserved(web) == ""


def test_those_of_an_administrator_stay_whatever_comes_and_goes(web: Managed) -> None:
    reserve(web, "22,8000,9100-9110")
    publish(web, "8000:80", "9105:81", "9200:82")
    assert reserved(web) == "22,8000,9100-9110,9200"
    publish(web, "8000:80", state="absent")
    assert reserved(web) == "22,8000,9100-9110,9200"
    web.port_mapping(container="web", state="absent")
    assert reserved(web) == "22,8000,9100-9110"


def test_those_that_an_administrator_adds_meanwhile_stay(web: Managed) -> None:
    publish(web, "8000:80")
    reserve(web, "8000,8888")
    publish(web, "8001:81")
    assert reserved(web) == "8000-8001,8888"
    web.port_mapping(container="web", state="absent")
    assert reserved(web) == "8888"


def test_those_that_are_lost_are_put_back(web: Managed) -> None:
    publish(web, "8000:80", "9000:81")
    reserve(web, "9000,22")
    result = web.netns_bridge(containers=[{"name": "other"}])
    assert "change sysctl net/ipv4/ip_local_reserved_ports: reserve 8000" in result["actions"]
    assert reserved(web) == "22,8000,9000"


def test_random_ports_avoid_those_of_others_but_not_our_own(web: Managed) -> None:
    web.sh("echo 50000 50001 >/proc/sys/net/ipv4/ip_local_port_range")
    reserve(web, "50000")
    assert publish(web, "80/tcp")["ports"]["80/tcp"][0]["HostPort"] == "50001"
    assert publish(web, "80/udp", container="mate")["ports"]["80/udp"][0]["HostPort"] == "50001"
    assert reserved(web) == "50000-50001"


def test_failed_task_leaves_the_list_as_it_was(web: Managed) -> None:
    reserve(web, "22")
    publish(web, "8000:80")
    for at in range(1, 100):
        (outcome,) = web.outcomes(
            [("port_mapping", {"container": "web", "published_ports": ["8001:81"]})],
            fork=True,
            fault={"at": at, "how": "fail"},
        )
        if outcome["code"] == 0:
            break
        assert reserved(web) == "22,8000", f"failed at moment {at}"
    assert at > 2 and reserved(web) == "22,8000-8001"


@pytest.mark.parametrize("taken_back", [True, False])
def test_run_that_is_killed_leaves_nothing_in_the_list(web: Managed, taken_back: bool) -> None:
    """Whatever the next run is about, at whatever moment it was."""
    reserve(web, "22,8002")
    publish(web, "8000:80")
    mapping = {"container": "web", "published_ports": ["8001-8003:81-83"]}
    for at in range(1, 100):
        (outcome,) = web.outcomes([("port_mapping", mapping)], fork=True, fault={"at": at, "how": "kill"})
        if not killed(outcome):
            break
        if taken_back:
            web.once("port_mapping", {**mapping, "state": "absent"})
            assert reserved(web) == "22,8000,8002", f"killed at moment {at}"
        else:
            web.once("netns_bridge", {"containers": [{"name": "other"}]})
            ports = web.once("container_info", {"name": "web"})["container"]["ports"]
            kept = "22,8000-8003" if "81/tcp" in ports else "22,8000,8002"
            assert reserved(web) == kept, f"killed at moment {at}"
            web.once("port_mapping", {**mapping, "state": "absent"})
            assert reserved(web) == "22,8000,8002", f"killed at moment {at}"
    assert at > 3


def test_ten_thousand_scattered_ports_are_reserved_and_let_go(web: Managed) -> None:
    """More than the kernel takes, or Python reads, at a time."""
    reserve(web, "22")
    ports = list(range(20000, 40000, 2))
    everything = {"container": "web", "published_ports": [f"{port}:80" for port in ports]}
    web.run("port_mapping", **everything, framed=False)
    assert reserved(web) == ",".join(map(str, [22, *ports]))
    web.run("port_mapping", container="web", published_ports=["20001:80"], framed=False)
    assert reserved(web) == ",".join(["22", "20000-20002", *map(str, ports[2:])])
    web.run("port_mapping", container="web", published_ports=["20000:80"], state="absent", framed=False)
    assert reserved(web) == ",".join(["22", "20001-20002", *map(str, ports[2:])])
    web.run("port_mapping", container="web", state="absent", framed=False)
    assert reserved(web) == "22"


def test_prediction_says_it(web: Managed) -> None:
    predicted = publish(web, "8000:80", check=True)
    assert "sysctl net/ipv4/ip_local_reserved_ports: 8000" in predicted["diff"]["after"]
    assert reserved(web) == ""
