# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts whose kernel was booted without IPv6."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.support import HOST, REMOTE, Managed, bare, same
from kernel.test_isolation import PROTOCOLS, reached

from lab import Lab

pytestmark = pytest.mark.needs_kernel("ipv6.disable=1")

NETWORKS: list[dict[str, Any]] = [
    {"name": "front", "ipam_config": [{"subnet": "192.168.10.0/24"}], "connected": ["web", "mate"]},
    {"name": "back", "internal": True, "ipam_config": [{"subnet": "192.168.20.0/24"}], "connected": ["db"]},
]
ABSENT = [{"name": each["name"], "state": "absent", "force": True} for each in NETWORKS]
WEB, DB = "192.168.10.2", "192.168.20.2"
PORTS = ["8000:8080", "8000:8080/udp", "127.0.0.1:53:8080/udp"]


def serve(managed: Managed, *containers: str) -> None:
    for container in containers:
        for protocol in PROTOCOLS:
            managed.host.serve(protocol, 8080, netns=container)


def test_networks_and_published_ports_work_over_ipv4(lab: Lab, managed: Managed) -> None:
    network = managed.container_network(networks=NETWORKS)["networks"][0]["network"]
    assert (network["EnableIPv4"], network["EnableIPv6"]) == (True, False)
    managed.port_mapping(container="web", published_ports=PORTS)
    serve(managed, "web", "db")
    assert reached(managed.host, WEB, 8080, "mate") == [*PROTOCOLS]
    assert reached(managed.host, DB, 8080, "web") == []
    for client in (lab.remote, lab.peer, managed.host):
        assert reached(client, HOST, 8000) == [*PROTOCOLS]
    assert reached(managed.host, HOST, 8000, "web") == [*PROTOCOLS], "hairpin"
    assert managed.host.ask("udp", "127.0.0.1", 53)
    lab.peer.run("ip", "route", "add", "192.168.10.0/24", "via", HOST)
    assert reached(lab.peer, WEB, 8080) == []
    assert managed.host.ping(REMOTE, netns="web") and not managed.host.ping(REMOTE, netns="db")


def test_modes_and_endpoint_options_work_over_ipv4(managed: Managed) -> None:
    containers = [
        {"name": "web", "ipv4_address": "172.17.0.9", "sysctls": {"net.ipv4.ip_unprivileged_port_start": 80}},
        {"name": "batch", "mode": "none"},
        {"name": "exporter", "mode": "host"},
        {"name": "sidecar", "mode": "container", "target": "web"},
    ]
    managed.netns_bridge(containers=containers)
    assert managed.address("web") == "172.17.0.9"
    assert managed.inode("sidecar") == managed.inode("web")
    shown = {each["name"]: each for each in managed.container_info()["containers"]}
    assert set(shown) == {"web", "batch", "exporter", "sidecar"}
    networks = managed.container_network_info()["networks"]
    assert {each["Name"] for each in networks} == {"bridge", "host", "none"}


def test_what_was_removed_by_hand_is_repaired(managed: Managed) -> None:
    managed.container_network(networks=NETWORKS)
    before = managed.snapshot()
    managed.sh("iptables -t raw -F")
    managed.sh("ip address flush dev eth0", netns="web")
    assert managed.container_network(networks=NETWORKS)["changed"]
    same(before, managed.snapshot(), "it is not as it was")


@pytest.mark.parametrize(
    "options",
    [
        {"enable_ipv6": True},
        {"enable_ipv6": True, "enable_ipv4": False},
        {"ipam_config": [{"subnet": "fd00:10::/64"}]},
        {"ipam_config": [{"subnet": "192.168.30.0/24"}, {"subnet": "fd00:10::/64"}]},
    ],
)
def test_ipv6_is_refused_with_the_option_and_the_setting_of_the_kernel(
    managed: Managed, options: dict[str, Any]
) -> None:
    managed.container_network(networks=NETWORKS)
    error = managed.container_network(name="six", **options, fails=True)["msg"]
    assert error == (
        'network "six": enable_ipv6 "true" needs IPv6, which this kernel does not have; '
        "boot it without ipv6.disable=1, or leave IPv6 out"
    )
    error = managed.container_network(name="front", **options, fails=True)["msg"]
    assert "enable_ipv6" in error and "ipv6.disable=1" in error


def test_host_is_left_as_it_was_found(managed: Managed) -> None:
    before = managed.snapshot()
    managed.container_network(networks=NETWORKS)
    managed.port_mapping(container="web", published_ports=PORTS)
    managed.container_network(networks=ABSENT)
    managed.network_prune(containers=True)
    same(bare(before), bare(managed.snapshot()), "it is not as it was found")
