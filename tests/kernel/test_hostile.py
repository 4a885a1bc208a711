# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container that is allowed to change its own network (CAP_NET_ADMIN) spoils nobody else's tasks."""

from __future__ import annotations

import pytest
from kernel.support import HOST, Managed, warnings_of

OTHERS = {"networks": [{"name": "back", "connected": ["db"]}]}


@pytest.fixture
def spoilt(managed: Managed) -> Managed:
    managed.run("container_network", networks=[{"name": "front", "connected": ["web", "mate"]}], framed=False)
    return managed


@pytest.mark.parametrize(
    "deed",
    [
        "ip link set eth0 alias 'kubelet'",
        "ip link set eth0 alias 'bridgework network front'",
        "ip link set eth0 alias 'bridgework endpoint 000000000000'",
        "ip link set eth0 name eth9",
        "ip link set eth0 mtu 1000 address 02:00:00:00:00:99",
        "ip link set eth0 down",
        "ip addr flush dev eth0",
        "ip link del eth0",
    ],
)
def test_what_it_does_to_its_interface_is_repaired_by_any_task(spoilt: Managed, deed: str) -> None:
    address = spoilt.address("web")
    spoilt.sh(deed, netns="web")
    spoilt.container_network(**OTHERS)
    assert spoilt.address("web") == address
    assert spoilt.host.ping(HOST, netns="web")


SPOILS = [
    (
        "ip link del eth0; ip link add eth0 type bridge",
        'container "web": interface "eth0" exists and is not Bridgework\'s',
    ),
    (
        "ip link set eth0 down; ip link set eth0 name eth9; ip link add eth0 type bridge",
        'container "web": interface "eth0" exists and is not Bridgework\'s',
    ),
    (
        "ip link add vpn type bridge; ip link set vpn up; ip route replace default dev vpn",
        'container "web": it has a default route that is not Bridgework\'s',
    ),
]


@pytest.mark.parametrize(("deed", "problem"), SPOILS)
def test_tasks_about_others_warn_and_leave_it_as_it_is(spoilt: Managed, deed: str, problem: str) -> None:
    spoilt.sh(deed, netns="web")
    before = {key: value for key, value in spoilt.snapshot().items() if key.startswith("web/")}
    result = spoilt.container_network(**OTHERS)
    assert result["changed"] and spoilt.host.ping(HOST, netns="db")
    (warning,) = warnings_of(result)
    assert warning.startswith(problem) and warning.endswith("(it is left as it is)")
    assert before == {key: value for key, value in spoilt.snapshot().items() if key.startswith("web/")}
    assert not spoilt.network_prune()["changed"]
    assert spoilt.host.ping(HOST, netns="mate")


@pytest.mark.parametrize(("deed", "problem"), SPOILS)
def test_tasks_about_it_fail_until_it_is_mended_or_removed(spoilt: Managed, deed: str, problem: str) -> None:
    spoilt.sh(deed, netns="web")
    refused = [
        spoilt.container_network(name="front", labels={"tier": "1"}, fails=True),
        spoilt.container_network(name="front", connected=["web"], appends=True, fails=True),
        spoilt.port_mapping(container="web", published_ports=["8000:80"], fails=True),
    ]
    assert all(problem in each["msg"] for each in refused), refused
    spoilt.netns_bridge(containers=[{"name": "web", "state": "absent"}])
    spoilt.container_network(name="front", connected=["web"], appends=True)
    assert spoilt.host.ping(HOST, netns="web")


def test_setting_whose_interface_is_gone_is_a_warning_for_others(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "web"}])
    managed.sh("ip link add tun0 type bridge", netns="web")
    settings = {"net.ipv4.conf.tun0.forwarding": 1}
    managed.netns_bridge(containers=[{"name": "web", "sysctls": settings}])
    managed.sh("ip link del tun0", netns="web")
    (warning,) = warnings_of(managed.container_network(**OTHERS))
    assert warning.startswith('container "web": sysctls "net/ipv4/conf/tun0/forwarding" does not exist there')
    assert "tun0" in managed.netns_bridge(containers=[{"name": "web"}], fails=True)["msg"]
    managed.netns_bridge(containers=[{"name": "web", "sysctls": {}}])
    managed.container_network(**OTHERS)
