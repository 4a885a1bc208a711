# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts whose iptables is of the older kind, iptables-legacy, with networks of both families."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.support import HOST, REMOTE, Managed, bare, same
from kernel.test_ipv6 import DB, HOST6, REMOTE6, WEB, address6
from kernel.test_isolation import PROTOCOLS, reached

from lab import Lab

pytestmark = pytest.mark.needs_kernel("ip6_tables")

NETWORKS: list[dict[str, Any]] = [
    {
        "name": "front",
        "ipam_config": [{"subnet": "fd00:10::/64"}, {"subnet": "192.168.10.0/24"}],
        "connected": ["web", "mate"],
    },
    {"name": "back", "internal": True, "ipam_config": [{"subnet": "fd00:20::/64"}], "connected": ["db"]},
]
PORTS = {"container": "web", "published_ports": ["8000:8080", "8000:8080/udp"]}


@pytest.fixture
def legacy(managed: Managed) -> Managed:
    managed.sh("mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi")
    for tool in ("iptables", "ip6tables"):
        assert "legacy" in managed.sh(f"{tool} -V")
    return managed


@pytest.fixture
def two(lab: Lab, legacy: Managed) -> Managed:
    """web and mate on front, db on an internal network; web and db listen on 8080, web's is published as 8000."""
    legacy.container_network(networks=NETWORKS)
    legacy.port_mapping(**PORTS)
    for protocol in PROTOCOLS:
        for container, address in (("web", "0.0.0.0"), ("web", "::"), ("db", "::")):
            legacy.host.serve(protocol, 8080, netns=container, address=address)
    return legacy


def test_containers_reach_what_they_may_in_both_families(lab: Lab, two: Managed) -> None:
    assert address6(two, "web") == WEB
    assert reached(two.host, WEB, 8080, "mate") == reached(two.host, "192.168.10.2", 8080, "mate") == [*PROTOCOLS]
    assert two.host.ping(REMOTE6, netns="web") and two.host.ping(REMOTE, netns="web")
    assert reached(lab.remote, HOST, 8000) == [*PROTOCOLS]


def test_containers_are_closed_in_both_families(lab: Lab, two: Managed) -> None:
    lab.peer.run("ip", "route", "add", "fd00:10::/64", "via", HOST6)
    lab.peer.run("ip", "route", "add", "192.168.10.0/24", "via", HOST)
    assert reached(lab.peer, WEB, 8080) == reached(lab.peer, "192.168.10.2", 8080) == []
    assert reached(two.host, DB, 8080, "web") == reached(two.host, WEB, 8080, "db") == []
    assert not two.host.ping(REMOTE6, netns="db")
    for tool in ("iptables", "ip6tables"):
        two.sh(f"for table in raw mangle filter; do {tool} -t $table -F; done")
    assert reached(lab.peer, WEB, 8080) == reached(lab.peer, "192.168.10.2", 8080) == [*PROTOCOLS]
    assert reached(two.host, DB, 8080, "web") == [*PROTOCOLS]


def test_what_was_removed_by_hand_is_repaired_in_both_families(two: Managed) -> None:
    before = two.snapshot()
    two.sh("iptables -t nat -D BRIDGEWORK-PORTS 1; ip6tables -t raw -F; ip6tables -D FORWARD -j BRIDGEWORK-FORWARD")
    assert two.port_mapping(**PORTS)["changed"]
    same(before, two.snapshot(), "it is not as it was")


def test_nothing_is_left_of_it_in_either_family(legacy: Managed) -> None:
    legacy.sh("ip6tables -A FORWARD -s fd99::/64 -m comment --comment 'of \"others\"' -j DROP")
    before = legacy.snapshot()
    legacy.container_network(networks=NETWORKS)
    legacy.port_mapping(**PORTS)
    legacy.port_mapping(container="web", state="absent")
    absent = [{"name": each["name"], "state": "absent", "force": True} for each in NETWORKS]
    legacy.container_network(networks=absent)
    legacy.network_prune(containers=True)
    same(bare(before), bare(legacy.snapshot()), "it is not as it was found")
