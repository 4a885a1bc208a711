# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The four network modes of a container, and the handle that each of them has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kernel.support import Managed, bare, same, warnings_of

MODES = {
    "bridge": {"mode": "bridge"},
    "none": {"mode": "none"},
    "host": {"mode": "host"},
    "container": {"mode": "container", "target": "target"},
}
FOUR = [
    {"name": "web"},
    {"name": "batch", "mode": "none"},
    {"name": "exporter", "mode": "host"},
    {"name": "sidecar", "mode": "container", "target": "web"},
]


def own_inode(managed: Managed) -> int:
    return int(managed.sh("stat -L -c %i /proc/self/ns/net"))


def names(managed: Managed) -> list[str]:
    return managed.sh("ls /run/netns 2>/dev/null || true").split()


@contextmanager
def process_in(managed: Managed, container: str) -> Iterator[int]:
    """A process that lives in the container; its pid in the host."""
    with managed.host.serve("tcp", 0, netns=container):
        yield int(managed.sh(f"ip netns pids {container}"))


@pytest.fixture
def four(managed: Managed) -> Managed:
    managed.run("netns_bridge", containers=FOUR, framed=False)
    return managed


# What each mode is.


def test_bridge_and_none_have_a_namespace_of_their_own(four: Managed) -> None:
    assert len({own_inode(four), four.inode("web"), four.inode("batch")}) == 3


def test_host_and_container_are_the_very_namespace_of_the_host_and_the_target(four: Managed) -> None:
    assert four.inode("exporter") == own_inode(four)
    assert four.inode("sidecar") == four.inode("web")


@pytest.mark.parametrize("enter", ["ip netns exec {0}", "nsenter --net=/run/netns/{0} --"])
def test_every_handle_can_be_entered(four: Managed, enter: str) -> None:
    for container in ("web", "batch", "exporter", "sidecar"):
        entered = four.sh(f"{enter.format(container)} stat -L -c %i /proc/self/ns/net")
        assert int(entered) == four.inode(container)


def test_loopback_is_up(four: Managed) -> None:
    for container in ("web", "batch"):
        assert four.host.ping("127.0.0.1", netns=container)


def test_none_has_nothing_but_loopback(four: Managed) -> None:
    assert four.sh("ls /sys/class/net", netns="batch").split() == ["lo"]


def test_sharers_share_addresses_ports_and_loopback(four: Managed) -> None:
    with four.host.serve("tcp", 8080, netns="web", address="127.0.0.1", name="web"):
        answer = four.host.ask("tcp", "127.0.0.1", 8080, netns="sidecar")
    assert answer and answer.server == "web"
    assert four.address("sidecar") == four.address("web")


def test_results_describe_each_container(four: Managed) -> None:
    again = four.netns_bridge(containers=FOUR)
    modes = {item["name"]: item["container"]["mode"] for item in again["containers"]}
    assert modes == {"web": "bridge", "batch": "none", "exporter": "host", "sidecar": "container"}
    (web, *_others) = (item["container"] for item in again["containers"])
    assert web["namespace"] == "/run/netns/web"
    assert web["networks"]["bridge"]["addresses"] == [four.address("web")]


def test_bridge_is_made_only_where_a_container_needs_it(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "batch", "mode": "none"}, {"name": "exporter", "mode": "host"}])
    assert "bw0" not in managed.sh("ls /sys/class/net").split()
    managed.netns_bridge()
    assert "bw0" in managed.sh("ls /sys/class/net").split()


def test_containers_that_are_not_listed_stay(four: Managed) -> None:
    before = {name: four.inode(name) for name in names(four)}
    four.netns_bridge(containers=[{"name": "one-more"}])
    assert before.items() <= {name: four.inode(name) for name in names(four)}.items()


def test_target_may_be_listed_after_its_sharer(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "a", "mode": "container", "target": "b"}, {"name": "b", "mode": "none"}])
    assert managed.inode("a") == managed.inode("b")


def test_sharers_can_be_shared(managed: Managed) -> None:
    chain = [{"name": each, "mode": "container", "target": target} for each, target in ("cb", "ba")]
    managed.netns_bridge(containers=[*chain, {"name": "a"}])
    assert managed.inode("c") == managed.inode("b") == managed.inode("a")


def test_target_may_be_a_handle_on_the_host(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "a", "mode": "container", "target": "b"}, {"name": "b", "mode": "host"}])
    assert managed.inode("a") == own_inode(managed)


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([{"name": "a", "mode": "container"}], "without a target"),
        ([{"name": "a", "mode": "container", "target": "a"}], "is the container itself"),
        (
            [{"name": "a", "mode": "container", "target": "b"}, {"name": "b", "mode": "container", "target": "a"}],
            "leads back to the container itself",
        ),
        ([{"name": "a", "mode": "none"}, {"name": "a"}], "is listed twice"),
    ],
)
def test_targets_that_lead_nowhere_are_refused(managed: Managed, containers: list, message: str) -> None:
    assert message in managed.netns_bridge(containers=containers, fails=True)["msg"]


def test_owner_and_handle_change_roles_in_one_task(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "a", "mode": "none"}, {"name": "b", "mode": "container", "target": "a"}])
    managed.netns_bridge(
        containers=[{"name": "b", "mode": "none"}, {"name": "a", "mode": "container", "target": "b"}], force=True
    )
    assert managed.inode("a") == managed.inode("b") != own_inode(managed)


def test_unknown_target_is_refused_and_in_check_mode_taken_on_trust(managed: Managed) -> None:
    """An earlier task of the play may only have pretended to make it."""
    arguments = {"containers": [{"name": "a", "mode": "container", "target": "b"}]}
    refused = managed.run("netns_bridge", fails=True, framed=False, **arguments)
    assert 'target "b" is no container on this host' in refused["msg"]
    predicted = managed.netns_bridge(check=True, **arguments)
    assert predicted["changed"]
    assert warnings_of(predicted) == [
        'container "a": there is no container "b" yet; check mode takes it that an earlier task makes it'
    ]


# Removal.


def test_removed_container_leaves_nothing(managed: Managed) -> None:
    before = managed.snapshot()
    managed.netns_bridge(containers=FOUR)
    managed.netns_bridge(containers=[{**each, "state": "absent"} for each in FOUR], state="absent")
    same(bare(before), bare(managed.snapshot()), "something is left behind")


@pytest.mark.parametrize("order", list(itertools.permutations(("web", "sidecar"))))
def test_sharers_go_together_in_any_order(four: Managed, order: tuple[str, ...]) -> None:
    four.netns_bridge(containers=[{"name": name, "state": "absent"} for name in order])
    assert names(four) == ["batch", "exporter"]


def test_removing_a_handle_never_removes_the_namespace_behind_it(four: Managed) -> None:
    with four.host.serve("tcp", 8080, netns="web"):
        four.netns_bridge(containers=[{"name": "exporter", "state": "absent"}, {"name": "sidecar", "state": "absent"}])
        assert names(four) == ["batch", "web"]
        assert four.host.ask("tcp", four.address("web"), 8080)
    assert four.link("eth0")["addr_info"]


def test_shared_container_is_not_removed_and_its_sharers_are_named(four: Managed) -> None:
    four.netns_bridge(containers=[{"name": "logger", "mode": "container", "target": "web"}])
    refused = four.netns_bridge(containers=[{"name": "web", "state": "absent"}], fails=True)
    assert 'container "web"' in refused["msg"] and '"logger", "sidecar"' in refused["msg"]
    assert "force" in refused["msg"]


def test_shared_container_is_removed_with_its_sharers_by_force(four: Managed) -> None:
    four.netns_bridge(containers=[{"name": "web", "state": "absent"}], force=True)
    assert names(four) == ["batch", "exporter"]


def test_process_keeps_its_namespace_when_the_name_goes(four: Managed) -> None:
    inode = four.inode("batch")
    with process_in(four, "batch") as pid:
        four.netns_bridge(containers=[{"name": "batch", "state": "absent"}])
        assert int(four.sh(f"stat -L -c %i /proc/{pid}/ns/net")) == inode


# Changes of the mode.


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(MODES, 2)))
def test_mode_can_be_changed(managed: Managed, old: str, new: str) -> None:
    containers = [{"name": "target", "mode": "none"}, {"name": "app", **MODES[old]}]
    managed.run("netns_bridge", containers=containers, framed=False)
    before = managed.inode("app")
    managed.netns_bridge(containers=[{"name": "app", **MODES[new]}])
    behind = {"host": own_inode(managed), "container": managed.inode("target")}
    if new in behind:
        assert managed.inode("app") == behind[new]
    else:
        assert managed.inode("app") not in behind.values()
        assert sorted(managed.sh("ls /sys/class/net", netns="app").split()) == (
            ["eth0", "lo"] if new == "bridge" else ["lo"]
        )
        assert managed.host.ping("127.0.0.1", netns="app")
    if {old, new} == {"bridge", "none"}:
        assert managed.inode("app") == before, "its processes keep their namespace"


@pytest.mark.parametrize("mode", ["host", "container"])
def test_namespace_in_use_is_not_taken_away_without_force(managed: Managed, mode: str) -> None:
    containers = [
        {"name": "target", "mode": "none"},
        {"name": "app", "mode": "none"},
        {"name": "sharer", "mode": "container", "target": "app"},
    ]
    managed.netns_bridge(containers=containers)
    with process_in(managed, "app") as pid:
        change = {"containers": [{"name": "app", **MODES[mode]}]}
        message = managed.netns_bridge(**change, fails=True)["msg"]
        assert 'container "sharer"' in message and f"(pid {pid})" in message
        managed.netns_bridge(**change, force=True)
    assert managed.inode("sharer") == managed.inode("app"), "sharers go along"


# Namespaces that others made.


@pytest.fixture
def foreign(managed: Managed) -> Managed:
    managed.sh("ip netns add theirs")
    managed.sh("ip -n theirs link add type veth; ip -n theirs addr add 198.18.0.1/24 dev veth0")
    return managed


@pytest.mark.parametrize("mode", ["bridge", "none"])
def test_foreign_namespace_is_adopted_and_left_behind_as_it_was(foreign: Managed, mode: str) -> None:
    before = foreign.snapshot()
    foreign.netns_bridge(containers=[{"name": "theirs", "mode": mode}])
    assert (foreign.sh("ip -br link show eth0 || true", netns="theirs") != "") == (mode == "bridge")
    foreign.netns_bridge(containers=[{"name": "theirs", "state": "absent"}], state="absent")
    same(bare(before), bare(foreign.snapshot()), "something is left behind")


@pytest.mark.parametrize("state", ["present", "absent"])  # of the bridge
def test_namespace_without_a_record_stays_and_is_named(managed: Managed, state: str) -> None:
    managed.run("netns_bridge", containers=[{"name": "web", "mode": "none"}], framed=False)
    managed.sh("rm /var/lib/bridgework/state.db")
    result = managed.netns_bridge(containers=[{"name": "web", "state": "absent"}], state=state)
    assert warnings_of(result) == [
        'container "web": there is no record of it, so /run/netns/web stays; '
        "if nobody needs it, remove it with ip netns delete web"
    ]
    managed.sh("ip netns delete web")
    assert not warnings_of(managed.netns_bridge(containers=[{"name": "web", "state": "absent"}], state=state))


def test_interfaces_of_a_foreign_namespace_keep_their_names(foreign: Managed) -> None:
    foreign.sh("ip -n theirs link set veth0 name eth0")
    foreign.netns_bridge(containers=[{"name": "theirs"}])
    assert foreign.address("theirs", "eth0") == "198.18.0.1"
    assert foreign.address("theirs", "eth1") == "172.17.0.2"


def test_taken_interface_name_in_a_foreign_namespace_is_refused(foreign: Managed) -> None:
    refused = foreign.netns_bridge(containers=[{"name": "theirs", "interface_name": "veth0"}], fails=True)
    assert '"theirs"' in refused["msg"] and '"veth0"' in refused["msg"]


def test_foreign_namespace_can_be_shared(foreign: Managed) -> None:
    foreign.netns_bridge(containers=[{"name": "mine", "mode": "container", "target": "theirs"}])
    inode = foreign.inode("theirs")
    assert foreign.inode("mine") == inode
    foreign.netns_bridge(containers=[{"name": name, "state": "absent"} for name in ("mine", "theirs")])
    assert names(foreign) == ["theirs"] and foreign.inode("theirs") == inode


@pytest.mark.parametrize("mode", ["host", "container"])
def test_foreign_namespace_is_not_replaced_by_a_handle(foreign: Managed, mode: str) -> None:
    foreign.netns_bridge(containers=[{"name": "target", "mode": "none"}])
    refused = foreign.netns_bridge(containers=[{"name": "theirs", **MODES[mode]}], fails=True)
    assert "/run/netns/theirs" in refused["msg"]


@pytest.mark.parametrize("mode", ["bridge", "none"])
def test_name_that_is_the_hosts_own_namespace_is_refused(managed: Managed, mode: str) -> None:
    managed.sh("ip netns attach theirs 1")
    refused = managed.netns_bridge(containers=[{"name": "theirs", "mode": mode}], fails=True)
    assert "/run/netns/theirs" in refused["msg"]


def test_foreign_handle_on_the_host_is_adopted_and_left_behind(managed: Managed) -> None:
    managed.sh("ip netns attach theirs 1")
    managed.netns_bridge(containers=[{"name": "theirs", "mode": "host"}])
    managed.netns_bridge(containers=[{"name": "theirs", "state": "absent"}])
    assert managed.inode("theirs") == own_inode(managed)


def test_file_that_is_no_namespace_is_refused(managed: Managed) -> None:
    managed.sh("mkdir -p /run/netns/theirs")
    result = managed.once("netns_bridge", {"containers": [{"name": "theirs", "mode": "none"}]})
    assert result["failed"] and "/run/netns/theirs" in result["msg"]


# Kernel settings of a container.


def test_settings_of_a_container_are_its_own(managed: Managed) -> None:
    path = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    host = managed.sh(f"cat {path}")
    setting = {"net.ipv4.ip_unprivileged_port_start": 80}
    managed.netns_bridge(containers=[{"name": "web", "mode": "none", "sysctls": setting}])
    assert managed.sh(f"cat {path}", netns="web").strip() == "80"
    assert managed.sh(f"cat {path}") == host
    managed.netns_bridge(containers=[{"name": "web", "mode": "none"}])
    assert managed.sh(f"cat {path}", netns="web").strip() == "80", "left out, they stay"
    managed.netns_bridge(containers=[{"name": "web", "mode": "none", "sysctls": {}}])
    assert managed.sh(f"cat {path}", netns="web") == host


def test_settings_of_a_foreign_namespace_go_back(foreign: Managed) -> None:
    foreign.sh("echo 1000 >/proc/sys/net/ipv4/ip_unprivileged_port_start", netns="theirs")
    before = foreign.snapshot()
    settings = {"net.ipv4.ip_unprivileged_port_start": 80, "net/ipv4/conf/all/forwarding": 1}
    foreign.netns_bridge(containers=[{"name": "theirs", "mode": "none", "sysctls": settings}])
    foreign.netns_bridge(containers=[{"name": "theirs", "state": "absent"}])
    same(bare(before), bare(foreign.snapshot()), "something is left behind")
    start = foreign.sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", netns="theirs")
    assert start.strip() == "1000"


def test_settings_of_a_link_of_ours_go_back_too(managed: Managed) -> None:
    path = "/proc/sys/net/ipv4/conf/eth0/log_martians"
    managed.netns_bridge(containers=[{"name": "web"}])
    before = managed.sh(f"cat {path}", netns="web").strip()
    managed.netns_bridge(containers=[{"name": "web", "sysctls": {"net.ipv4.conf.eth0.log_martians": 1}}])
    assert managed.sh(f"cat {path}", netns="web").strip() == "1"
    managed.netns_bridge(containers=[{"name": "web", "sysctls": {}}])
    assert managed.sh(f"cat {path}", netns="web").strip() == before != "1"


def test_setting_of_all_links_does_not_undo_that_of_one(managed: Managed) -> None:
    """The kernel copies what is written for all of them to each."""
    settings = {"net.ipv6.conf.all.disable_ipv6": 0, "net.ipv4.conf.all.forwarding": 1}
    settings["net.ipv4.conf.eth0.forwarding"] = 0
    managed.netns_bridge(containers=[{"name": "web"}])
    managed.sh("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6", netns="web")
    managed.netns_bridge(containers=[{"name": "web", "sysctls": settings}])
    read = "cd /proc/sys/net; cat ipv6/conf/eth0/disable_ipv6 ipv6/conf/lo/disable_ipv6 ipv4/conf/eth0/forwarding"
    assert managed.sh(read, netns="web").split() == ["1", "0", "0"]


def test_settings_that_lead_others_go_back_with_them(managed: Managed) -> None:
    """On a new container: what its interface had before the leading setting was written."""
    settings = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.eth0.forwarding": 0, "net.ipv4.conf.all.accept_redirects": 1}
    managed.netns_bridge(containers=[{"name": "web", "sysctls": settings}])
    read = "cd /proc/sys/net/ipv4; cat ip_forward conf/eth0/forwarding conf/all/accept_redirects"
    assert managed.sh(read, netns="web").split() == ["1", "0", "1"]
    managed.netns_bridge(containers=[{"name": "web", "sysctls": {}}])
    assert managed.sh(read, netns="web").split() == ["0", "0", "1"]


def test_settings_that_bound_each_other_are_written_in_an_order_that_works(managed: Managed) -> None:
    settings = {"net.ipv4.ip_unprivileged_port_start": 0, "net.ipv4.ip_local_port_range": "100 200"}
    managed.netns_bridge(containers=[{"name": "web", "mode": "none", "sysctls": settings}])
    managed.netns_bridge(
        containers=[{"name": "web", "mode": "none", "sysctls": {**settings, "net.ipv4.ip_local_port_range": "50 200"}}]
    )
    managed.sh("ip netns del web")
    managed.container_network(name="back")
    read = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ip_local_port_range"
    assert managed.sh(read, netns="web").split() == ["0", "50", "200"]


def test_settings_that_contradict_each_other_are_refused(managed: Managed) -> None:
    settings = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.forwarding": 0}
    refused = managed.netns_bridge(containers=[{"name": "web", "mode": "none", "sysctls": settings}], fails=True)
    assert 'sysctls "net/ipv4/ip_forward=1" reads back as "0"' in refused["msg"]


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"net.ipv4.no_such": 1}, '"net/ipv4/no_such=1" does not exist there, or can\'t be read'),
        ({"net.ipv4.route.flush": 1}, '"net/ipv4/route/flush=1" does not exist there, or can\'t be read'),
        ({"net.ipv4.ip_forward": "maybe"}, '"net/ipv4/ip_forward=maybe" is refused by the kernel (Invalid argument)'),
        ({"net.ipv4.ip_default_ttl": 999}, '"net/ipv4/ip_default_ttl=999" is refused by the kernel (Invalid argument)'),
        ({"net.ipv4.conf.eth0.rp_filter": "0x1"}, '"net/ipv4/conf/eth0/rp_filter=0x1" reads back as "1"'),
        ({"net.ipv4.ip_local_reserved_ports": "5,6,7"}, '"net/ipv4/ip_local_reserved_ports=5,6,7" reads back as "5-7"'),
    ],
)
@pytest.mark.parametrize("known", [False, True], ids=["new container", "known container"])
def test_setting_that_can_not_be_kept_is_refused(
    managed: Managed, setting: dict[str, Any], problem: str, known: bool
) -> None:
    """Also by check mode: it is tried out where nobody sees it."""
    if known:
        managed.netns_bridge(containers=[{"name": "web"}])
    refused = managed.netns_bridge(containers=[{"name": "web", "sysctls": setting}], fails=True)
    assert refused["msg"].startswith('container "web": sysctls "') and problem in refused["msg"], refused["msg"]


def test_setting_of_an_interface_that_is_not_there_is_refused(managed: Managed) -> None:
    setting = {"net.ipv4.conf.tun0.rp_filter": 1}
    managed.netns_bridge(containers=[{"name": "web", "sysctls": setting}], fails=True)
    managed.netns_bridge(containers=[{"name": "web"}])
    refused = managed.netns_bridge(containers=[{"name": "web", "sysctls": setting}], fails=True)
    assert 'sysctls "net/ipv4/conf/tun0/rp_filter" belongs to an interface that is not there' in refused["msg"]


def on_host(*ports: str, name: str = "exporter") -> list[dict[str, Any]]:
    return [{"name": name, "mode": "host", "ports": list(ports)}]


def test_ports_of_a_service_on_the_host_are_its_own(managed: Managed) -> None:
    managed.run("netns_bridge", containers=[{"name": "web"}], framed=False)
    result = managed.netns_bridge(containers=on_host("9100", "53/udp"))
    assert result["containers"][0]["container"]["host_ports"] == ["9100/tcp", "53/udp"]
    refusal = managed.port_mapping(container="web", published_ports=["9100:80"], fails=True)["msg"]
    assert 'is in use by container "exporter" (mode host, its port 9100/tcp)' in refusal
    refusal = managed.netns_bridge(containers=on_host("9100", name="other"), fails=True)["msg"]
    assert 'container "other": ports "9100/tcp" is in use by container "exporter"' in refusal
    with managed.host.serve("tcp", 9100), managed.host.serve("udp", 53):
        managed.netns_bridge(containers=on_host("9100", "53/udp"))  # its own service listens
    managed.netns_bridge(containers=on_host("53/udp"))
    managed.port_mapping(container="web", published_ports=["9100:80"])


@pytest.mark.parametrize("mode", ["bridge", "container"])
def test_service_with_ports_is_not_taken_off_the_host_s_network_unasked(managed: Managed, mode: str) -> None:
    managed.run("netns_bridge", containers=[*on_host("9100"), {"name": "target", "mode": "none"}], framed=False)
    change = {"name": "exporter", **MODES[mode]}
    refusal = managed.netns_bridge(containers=[change], fails=True)["msg"]
    assert f'mode "{mode}" would take it off the host\'s network, where its service has 9100/tcp' in refusal
    managed.netns_bridge(containers=[{**change, "ports": []}])
    managed.netns_bridge(containers=on_host("9100"))
    managed.netns_bridge(containers=[change], force=True)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_port_that_somebody_has_is_no_service_s(managed: Managed, protocol: str) -> None:
    managed.run("netns_bridge", containers=[{"name": "web"}], framed=False)
    managed.run("port_mapping", container="web", published_ports=[f"8000:80/{protocol}"], framed=False)
    refusal = managed.netns_bridge(containers=on_host(f"8000/{protocol}"), fails=True)["msg"]
    assert f'ports "8000/{protocol}" is in use by container "web" (0.0.0.0:8000 leads to its port 80)' in refusal
    with managed.host.serve(protocol, 9100):
        refusal = managed.netns_bridge(containers=on_host(f"9100/{protocol}"), fails=True)["msg"]
        assert f'ports "9100/{protocol}" is in use by process ' in refusal and "set force" in refusal
        managed.netns_bridge(containers=on_host(f"9100/{protocol}"), force=True)


def test_port_of_a_service_is_kept_from_outgoing_connections(managed: Managed) -> None:
    managed.sh("echo 22 >/proc/sys/net/ipv4/ip_local_reserved_ports")
    managed.netns_bridge(containers=on_host("40000"))
    assert managed.sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports").strip() == "22,40000"
    managed.netns_bridge(containers=[{"name": "exporter", "state": "absent"}])
    assert managed.sh("cat /proc/sys/net/ipv4/ip_local_reserved_ports").strip() == "22"
