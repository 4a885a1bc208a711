# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that others run, connected by a reference: a process ID, a path, a runtime and a name."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kernel.support import HOST, Managed, bare, same, warnings_of

from lab import Host, Lab


@contextmanager
def process(host: Host, *prefix: str) -> Iterator[str]:
    """The process ID, as the host sees it, of one that is in a network namespace of its own."""
    script = "echo $$; exec sleep 1000"
    running = host.popen("unshare", "--net", *prefix, "sh", "-c", script, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout
        yield running.stdout.readline().strip()
    finally:
        host.stop(running)


def inside(managed: Managed, pid: str, command: str) -> str:
    return managed.host.run("nsenter", f"--target={pid}", "--net", "--", "sh", "-ec", command).stdout


@pytest.fixture
def pid(managed: Managed) -> Iterator[str]:
    with process(managed.host) as found:
        yield found


def test_process_is_connected_and_published(lab: Lab, managed: Managed, pid: str) -> None:
    before = managed.snapshot()
    name = f"pid:{pid}"
    result = managed.container_network(name="net", endpoints=[{"container": name, "ipv4_address": "172.17.0.9"}])
    (shown,) = result["network"]["Containers"].values()
    assert (shown["Name"], shown["IPv4Address"]) == (name, "172.17.0.9/16")
    managed.container_network(name="net", connected=["web"], appends=True)
    assert managed.host.ping("172.17.0.9", netns="web")
    assert "default via 172.17.0.1" in inside(managed, pid, "ip route")
    managed.port_mapping(container=name, published_ports=["8000:8080"])
    managed.sh(f"ip netns attach inner {pid}")
    with managed.host.serve("tcp", 8080, netns="inner"):
        answer = lab.remote.ask("tcp", HOST, 8000)
    managed.sh("ip netns delete inner")
    assert answer and answer.server == "inner"
    found = managed.container_info(name=name)["container"]
    assert found["namespace"] == f"/proc/{pid}/ns/net"
    assert found["namespace_inode"] == int(inside(managed, pid, "stat -L -c %i /proc/self/ns/net"))
    assert found["ports"] == {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8000"}]}
    managed.port_mapping(container=name, state="absent")
    managed.container_network(name="net", state="absent", force=True)
    assert managed.container_info(name=name)["missing"] == [name], "there is nothing more to say of it"
    assert inside(managed, pid, "ip -o link | wc -l").strip() == "1"
    managed.netns_bridge(containers=[{"name": "web", "state": "absent"}])
    same(bare(before), bare(managed.snapshot()), "something is left", identity=False)


def test_path_is_connected(managed: Managed, pid: str) -> None:
    managed.sh("mkdir -p /run/sandboxes; touch /run/sandboxes/one")
    managed.sh(f"mount --bind /proc/{pid}/ns/net /run/sandboxes/one")
    managed.container_network(name="net", connected=["/run/sandboxes/one", "web"])
    assert managed.host.ping("172.17.0.2", netns="web")
    assert managed.container_info(name="/run/sandboxes/one")["container"]["namespace"] == "/run/sandboxes/one"
    managed.sh("umount /run/sandboxes/one; rm /run/sandboxes/one")
    text = managed.container_network(name="net", labels={"a": "b"}, fails=True, framed=False)["msg"]
    assert 'container "/run/sandboxes/one": there is no such file' in text


def test_path_of_a_name_is_that_name(managed: Managed) -> None:
    managed.container_network(name="net", connected=["/run/netns/web"])
    assert not managed.container_network(name="net", connected=["web", "/var/run/netns/web"][:1])["changed"]
    assert managed.container_info(name="/var/run/netns/web")["container"]["name"] == "web"


def test_namespace_can_be_shared(managed: Managed, pid: str) -> None:
    containers = [{"name": "sidecar", "mode": "container", "target": f"pid:{pid}"}]
    managed.netns_bridge(containers=containers)
    assert managed.inode("sidecar") == int(inside(managed, pid, "stat -L -c %i /proc/self/ns/net"))
    managed.container_network(name="net", connected=[f"pid:{pid}"])
    assert managed.address("sidecar") == "172.17.0.2"
    managed.container_network(name="net", connected=["other"])
    assert managed.container_info(name=f"pid:{pid}")["exists"], "it is still a target"
    managed.netns_bridge(containers=[{"name": "sidecar", "state": "absent"}])
    assert not managed.container_info(name=f"pid:{pid}")["exists"]


def test_bridge_of_netns_bridge_takes_references(managed: Managed, pid: str) -> None:
    sysctls = {"net.ipv4.ip_unprivileged_port_start": 80}
    managed.netns_bridge(containers=[{"name": f"pid:{pid}", "sysctls": sysctls}])
    assert inside(managed, pid, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start").strip() == "80"
    managed.netns_bridge(containers=[{"name": f"pid:{pid}", "state": "absent"}])
    assert inside(managed, pid, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start").strip() == "1024"
    for mode in ("none", "host"):
        text = managed.netns_bridge(containers=[{"name": f"pid:{pid}", "mode": mode}], fails=True)["msg"]
        assert f'mode "{mode}" can\'t be that of a container that somebody else runs; use mode bridge' in text


def test_default_route_of_its_runtime_is_left(managed: Managed, pid: str) -> None:
    inside(managed, pid, "ip link add eth0 type veth peer name eth0-peer; ip addr add 10.9.9.2/24 dev eth0")
    inside(managed, pid, "ip link set eth0 up; ip link set eth0-peer up; ip route add default via 10.9.9.1")
    managed.container_network(name="net", connected=[f"pid:{pid}"])
    assert "172.17.0.2/16" in inside(managed, pid, "ip addr show dev eth1"), "eth0 is taken"
    assert inside(managed, pid, "ip route show default").split()[:3] == ["default", "via", "10.9.9.1"]
    inside(managed, pid, "ip route del default")
    assert managed.container_network(name="net")["changed"]
    assert inside(managed, pid, "ip route show default").split()[:3] == ["default", "via", "172.17.0.1"]


# One that does not run.


def test_process_that_ended_leaves_others_alone(managed: Managed) -> None:
    with process(managed.host) as pid:
        managed.container_network(name="net", connected=[f"pid:{pid}", "web"])
    result = managed.container_network(name="other", connected=["db"])
    assert [
        f'container "pid:{pid}": there is no process {pid}; name one that runs' in text for text in warnings_of(result)
    ]
    text = managed.container_network(name="net", labels={"a": "b"}, fails=True)["msg"]
    assert f'container "pid:{pid}": there is no process {pid}' in text
    managed.container_network(name="net", endpoints=[{"container": f"pid:{pid}", "state": "absent", "force": True}])
    assert not warnings_of(managed.container_network(name="net", labels={"a": "b"}))


def test_number_that_came_to_another_process_is_not_taken_for_it(managed: Managed) -> None:
    with process(managed.host) as pid:
        managed.container_network(name="net", connected=[f"pid:{pid}"])
    managed.sh(f"echo {int(pid) - 1} > /proc/sys/kernel/ns_last_pid")
    with process(managed.host) as other:
        assert other == pid, "the kernel gave the number again"
        text = managed.container_network(name="net", fails=True, framed=False)["msg"]
        assert "that process has ended, and another has its number; disconnect it" in text
        managed.container_network(name="net", endpoints=[{"container": f"pid:{pid}", "state": "absent"}])
        assert inside(managed, pid, "ip -o link | wc -l").strip() == "1"
        managed.container_network(name="net", connected=[f"pid:{pid}"])
        assert inside(managed, pid, "ip -o link | wc -l").strip() == "2"


def test_reference_to_the_host_or_to_another_container_is_refused(managed: Managed) -> None:
    text = managed.container_network(name="net", connected=["pid:1"], fails=True, framed=False)["msg"]
    assert 'container "pid:1": it is in the host\'s own namespace; run it with one of its own' in text
    managed.container_network(name="net", connected=["web"])
    running = managed.host.popen(
        "ip", "netns", "exec", "web", "sh", "-c", "echo $$; exec sleep 1000", stdout=-1, text=True
    )
    try:
        pid = running.stdout.readline().strip()
        text = managed.container_network(name="net", connected=["web", f"pid:{pid}"], fails=True, framed=False)["msg"]
        assert 'it is in the namespace of container "web"; name that one instead' in text
    finally:
        managed.host.stop(running)
    managed.sh("touch /run/plain")
    for path, problem in {"/run/plain": "is not a network namespace", "/proc/1/ns/mnt": "is not a network"}.items():
        text = managed.container_network(name="net", connected=["web", path], fails=True, framed=False)["msg"]
        assert f'container "{path}": {path} {problem}' in text


def test_check_mode_takes_it_that_an_earlier_task_starts_it(managed: Managed) -> None:
    predicted = managed.container_network(name="net", connected=["/run/later"], check=True)
    assert predicted["changed"]
    assert warnings_of(predicted) == ['container "/run/later": there is no such file (it is left as it is)']
    before = managed.snapshot()
    assert managed.container_network(name="net", connected=["/run/later"], fails=True, framed=False)
    same(bare(before), bare(managed.snapshot()), "the failure left something")
    # The number of a process is not known before it runs.
    assert managed.container_network(name="net", connected=["pid:999999"], fails=True)


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("dokcer:web", 'is a reference of an unknown kind, "dokcer"; did you mean docker?'),
        ("pid:web", 'is not a valid reference; write it like "pid:4711"'),
        ("pid:0", "is not a valid reference"),
        ("unit:nginx", 'is not a valid reference; write it like "unit:nginx.service"'),
        ("docker:", 'is not a valid reference; write it like "docker:web"'),
        ("/run/../etc/a b", "is not a valid path of a namespace"),
        ("/", "is not a valid path of a namespace"),
        ("/run/netns/-x", "is not a valid name"),
    ],
)
def test_reference_that_is_none_is_refused(managed: Managed, reference: str, problem: str) -> None:
    assert problem in managed.container_network(name="net", connected=[reference], fails=True)["msg"]
    assert problem in managed.port_mapping(container=reference, published_ports=["80"], fails=True)["msg"]


@pytest.mark.parametrize(
    ("reference", "program"),
    [("docker:web", "docker"), ("podman:web", "podman"), ("lxc:web", "lxc-info"), ("machine:web", "machinectl")],
)
def test_missing_runtime_is_named(managed: Managed, reference: str, program: str) -> None:
    if managed.host.run("sh", "-c", f"command -v {program}", check=False).returncode == 0:
        pytest.skip(f"{program} is installed here; make vm runs real ones")
    text = managed.container_network(name="net", connected=[reference], fails=True, framed=False)["msg"]
    assert f'container "{reference}": the program {program} is missing; install the package' in text
