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
        "ip link set eth0 alias $(printf 'a\\377b')",
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
        "ip link del eth0; ip link add other0 type bridge; ip link property add dev other0 altname eth0",
        'container "web": interface "eth0" exists and is not Bridgework\'s',
    ),
    (
        "ip route del default; ip route add unreachable default",
        'container "web": it has a default route that is not Bridgework\'s',
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


def test_handle_of_another_kind_of_namespace_is_named_with_the_way_out(spoilt: Managed) -> None:
    spoilt.sh("ip link del eth0", netns="web")  # the kernel would take it away at some time after the umount
    spoilt.sh("umount /run/netns/web; mount --bind /proc/self/ns/uts /run/netns/web")
    spoilt.sh("touch /run/netns/new; mount --bind /proc/self/ns/user /run/netns/new")
    refused = {"web": [spoilt.container_info(name=["web"], fails=True)], "new": []}
    for name, results in refused.items():
        results += [
            spoilt.netns_bridge(containers=[{"name": name, "mode": "bridge"}], fails=True),
            spoilt.container_network(name="front", connected=[name], appends=True, fails=True),
        ]
        assert {each["msg"] for each in results} == {
            f'container "{name}": /run/netns/{name} is a namespace of another kind than network; unmount and remove '
            "it, and run the task again"
        }
    spoilt.sh("umount /run/netns/web /run/netns/new; rm /run/netns/web /run/netns/new")
    spoilt.container_network(name="front", connected=["web", "new"], appends=True)
    assert spoilt.host.ping(HOST, netns="web") and spoilt.host.ping(HOST, netns="new")


@pytest.mark.parametrize(
    "deed",
    [
        "ip route flush table main",  # the gateway is out of reach
        "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start; echo 100 200 >/proc/sys/net/ipv4/ip_local_port_range",
    ],
)
def test_what_the_kernel_refuses_in_it_only_then_is_a_warning_for_others(spoilt: Managed, deed: str) -> None:
    """Nothing foreign is in the way, so nobody can tell before."""
    settings = {"net.ipv4.ip_unprivileged_port_start": 500}
    spoilt.run("netns_bridge", containers=[{"name": "web", "sysctls": settings, "mode": "bridge"}], framed=False)
    spoilt.sh(deed, netns="web")
    result = spoilt.run("container_network", framed=False, **OTHERS)
    assert result["changed"] and spoilt.host.ping(HOST, netns="db")
    (warning,) = warnings_of(result)
    assert warning.startswith('container "web": ') and warning.endswith("(it is left as it is)")
    assert not spoilt.run("container_network", framed=False, **OTHERS)["changed"]
    refused = spoilt.run("container_network", name="front", labels={"a": "1"}, fails=True, framed=False)
    assert refused["msg"].startswith('container "web": ')


def test_forged_mark_takes_nobodys_interface_away(spoilt: Managed) -> None:
    """A container that knows another's mark, and gives its own links the numbers of the other's pair."""
    spoilt.run("netns_bridge", containers=[{"name": "zz", "mode": "none"}], framed=False)
    victim = spoilt.link("eth0", "web")
    mark, inner, outer = victim["ifalias"], victim["ifindex"], victim["link_index"]
    spoilt.sh(f"ip link add e9 index {inner} type veth peer name e8 index {outer}", netns="zz")
    spoilt.sh(f"ip link set e9 alias '{mark}'", netns="zz")
    result = spoilt.container_network(**OTHERS)
    assert not [line for line in result["actions"] if "web" in line]
    assert spoilt.link("eth0", "web")["ifindex"] == inner


def test_container_that_is_left_alone_is_kept_apart_all_the_same(managed: Managed) -> None:
    """Its end of the pair is its own, the host's end is not."""
    managed.sh("echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables")
    options = {"com.docker.network.bridge.enable_icc": False}
    managed.run("container_network", name="front", driver_options=options, connected=["web", "mate"], framed=False)
    managed.sh("ip link add vpn type bridge; ip link set vpn up; ip route replace default dev vpn", netns="web")
    managed.sh("echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables")
    managed.container_network(**OTHERS)
    assert not managed.host.ping(managed.address("mate"), netns="web")


def test_settings_of_an_interface_wait_for_it(managed: Managed) -> None:
    managed.sh("ip netns add ext; ip -n ext link add tun0 type bridge")
    read = "cat /proc/sys/net/ipv4/conf/tun0/forwarding"
    managed.netns_bridge(containers=[{"name": "ext", "sysctls": {"net.ipv4.conf.tun0.forwarding": 1}}])
    managed.sh("ip link del tun0", netns="ext")
    assert not managed.container_network(**OTHERS).get("warnings")
    assert not managed.netns_bridge(containers=[{"name": "ext"}])["changed"]
    managed.sh("ip link add tun0 type bridge", netns="ext")
    assert managed.sh(read, netns="ext").strip() == "0"
    assert managed.container_network(**OTHERS)["changed"]
    assert managed.sh(read, netns="ext").strip() == "1"


def test_settings_of_an_interface_that_a_task_takes_away_wait_too(managed: Managed) -> None:
    settings = {"net.ipv4.conf.eth0.rp_filter": 2, "net.ipv4.neigh.eth0.gc_stale_time": 120}
    managed.netns_bridge(containers=[{"name": "web", "sysctls": settings}])
    managed.netns_bridge(containers=[{"name": "web", "interface_name": "eth7"}])
    managed.container_network(**OTHERS)
    managed.netns_bridge(containers=[{"name": "web", "interface_name": "eth0"}])
    read = "cat /proc/sys/net/ipv4/conf/eth0/rp_filter /proc/sys/net/ipv4/neigh/eth0/gc_stale_time"
    assert managed.sh(read, netns="web").split() == ["2", "120"]
    managed.sh("ip link del eth0", netns="web")
    managed.container_network(**OTHERS)
    assert managed.sh(read, netns="web").split() == ["2", "120"]
    managed.netns_bridge(containers=[{"name": "web", "mode": "none"}])
