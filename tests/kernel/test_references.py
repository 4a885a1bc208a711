# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that others run, connected by a reference: a process ID, a path, a runtime and a name."""

from __future__ import annotations

import subprocess
import sys
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
    assert warnings_of(managed.container_network(name="net", labels={"a": "b"})), "it can wait"
    managed.container_network(name="net", endpoints=[{"container": "/run/sandboxes/one", "state": "absent"}])
    text = managed.container_network(name="net", connected=["/run/sandboxes/one"], fails=True, framed=False)["msg"]
    assert 'container "/run/sandboxes/one": there is no such file' in text


def test_path_of_a_name_is_that_name(managed: Managed) -> None:
    managed.sh("ip netns add web")
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
        name = f"pid:{pid}"
        managed.container_network(name="net", connected=[name, "web"])
        managed.port_mapping(container=name, published_ports=["8000:8080"])
    until_gone(managed)
    result = managed.container_network(name="other", connected=["db"])
    assert [text for text in warnings_of(result) if f'container "{name}": there is no process {pid}' in text]
    assert warnings_of(managed.container_network(name="net", labels={"a": "b"})), "that can wait"
    text = managed.port_mapping(container=name, published_ports=["8001:8081"], fails=True)["msg"]
    assert f'container "{name}": there is no process {pid}; name one that runs' in text
    managed.container_network(name="net", endpoints=[{"container": name, "state": "absent", "force": True}])
    managed.port_mapping(container=name, state="absent")
    assert not warnings_of(managed.container_network(name="net", labels={"c": "d"}))


def until_gone(managed: Managed) -> None:
    """The kernel takes namespaces away in its own time, and their interfaces with them."""
    managed.sh(
        "for try in $(seq 100); do [ $(ls -d /sys/class/net/veth* | wc -l) = 1 ] && exit; sleep 0.05; done; exit 1"
    )


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_of_two_references_to_one_namespace_the_first_stays(managed: Managed, pid: str, seed: str) -> None:
    managed.sh(f"mkdir -p /run/sandboxes; touch /run/sandboxes/a{seed}")
    managed.sh(f"mount --bind /proc/{pid}/ns/net /run/sandboxes/a{seed}")
    managed.container_network(name="net", connected=[f"pid:{pid}"])
    other = {"name": "other", "connected": [f"/run/sandboxes/a{seed}"]}
    text = managed.container_network(**other, fails=True, framed=False)["msg"]
    assert f'it is in the namespace of container "pid:{pid}"; name that one instead' in text
    assert inside(managed, pid, "ip -o -4 addr show dev eth0").split()[3] == "172.17.0.2/16"


def test_number_that_came_to_another_process_is_not_taken_for_it(managed: Managed) -> None:
    with process(managed.host) as pid:
        managed.container_network(name="net", connected=[f"pid:{pid}"])
    managed.sh(f"echo {int(pid) - 1} > /proc/sys/kernel/ns_last_pid")
    with process(managed.host) as other:
        assert other == pid, "the kernel gave the number again"
        warnings = warnings_of(managed.container_network(name="net", framed=False))
        assert "that process has ended, and another has its number; disconnect it" in "".join(warnings)
        assert inside(managed, pid, "ip -o link | wc -l").strip() == "1"
        managed.container_network(name="net", endpoints=[{"container": f"pid:{pid}", "state": "absent"}])
        assert inside(managed, pid, "ip -o link | wc -l").strip() == "1"
        managed.container_network(name="net", connected=[f"pid:{pid}"])
        assert inside(managed, pid, "ip -o link | wc -l").strip() == "2"


def test_path_of_a_process_is_its_number(managed: Managed, pid: str) -> None:
    with process(managed.host) as pid:
        managed.container_network(name="net", connected=[f"/proc/{pid}/ns/net"])
        found = managed.container_info(name=f"/proc/{pid}/ns/net")["container"]
        assert (found["name"], found["namespace"]) == (f"pid:{pid}", f"/proc/{pid}/ns/net")
    managed.sh(f"echo {int(pid) - 1} > /proc/sys/kernel/ns_last_pid")
    with process(managed.host) as other:
        assert other == pid, "the kernel gave the number again"
        managed.container_network(name="other", connected=["web"], framed=False)
        assert inside(managed, pid, "ip -o link | wc -l").strip() == "1", "a stranger was connected"


EARLIER = """
import sqlite3
with sqlite3.connect("/var/lib/bridgework/state.db") as state:
    state.execute("UPDATE container SET anchor = 'earlier' || anchor WHERE anchor IS NOT NULL")
"""


def test_process_of_an_earlier_boot_is_another_one(managed: Managed, pid: str) -> None:
    managed.container_network(name="net", connected=[f"pid:{pid}"])
    managed.host.run(sys.executable, "-c", EARLIER)
    (warning,) = warnings_of(managed.container_network(name="other", connected=["web"], framed=False))
    assert "that process has ended, and another has its number; disconnect it" in warning


def test_file_that_is_no_namespace_is_not_even_opened(managed: Managed) -> None:
    """To open a pipe would wait for whoever writes to it, to open a watchdog's device would start it."""
    managed.sh("mkfifo /run/pipe; mknod /run/device c 10 130")
    for path in ("/run/pipe", "/run/device"):
        text = managed.container_network(name="net", connected=[path], fails=True, framed=False)["msg"]
        assert f'container "{path}": {path} is not a network namespace; name the file of one' in text


def test_path_that_others_than_root_may_change_is_refused(managed: Managed, pid: str) -> None:
    managed.sh("mkdir -p /run/user /run/sticky /run/crowd /run/own; chown 1000 /run/user; chmod 1777 /run/sticky")
    managed.sh("chgrp 1000 /run/crowd; chmod 775 /run/crowd; ln -s /run/own /run/user/link; ln -s user/link /run/way")
    managed.sh("for each in user sticky crowd own; do mkdir -p /run/$each/deep; touch /run/$each/deep/net; done")
    managed.sh(f"for each in user sticky crowd own; do mount --bind /proc/{pid}/ns/net /run/$each/deep/net; done")
    managed.sh("ln -s deep/net /run/own/net; ln -s /run/own /run/straight; ln -s loop /run/loop")
    loose = "others than root may change {}; name a file that is root's alone to put there"
    for path, problem in {
        "/run/user/deep/net": loose.format("/run/user"),
        "/run/sticky/deep/net": loose.format("/run/sticky"),
        "/run/crowd/deep/net": loose.format("/run/crowd"),
        "/run/way/deep/net": loose.format("/run/user"),
        "/run/own/net": "/run/own/net is a symbolic link; name the file that it leads to",
        "/run/loop/net": "/run/loop/net can't be opened (Too many levels of symbolic links)",
        "/run/own/deep/net/net": "there is no such file; make it, or disconnect it",
    }.items():
        text = managed.container_network(name="net", connected=[path], fails=True, framed=False)["msg"]
        assert f'container "{path}": {problem}' in text
    managed.container_network(name="net", connected=["/run/straight/deep/net"])
    assert inside(managed, pid, "ip -o link | wc -l").strip() == "2"


def test_path_of_a_name_has_to_be_there(managed: Managed) -> None:
    arguments = {"name": "net", "connected": ["/run/netns/typo"]}
    text = managed.container_network(**arguments, fails=True, framed=False)["msg"]
    assert 'container "/run/netns/typo" does not exist; make it first, or name it "typo" to have it made' in text
    assert "there is no /run/netns/typo yet; check mode takes it that" in "".join(
        warnings_of(managed.container_network(**arguments, check=True))
    )
    managed.container_network(name="net", connected=["typo"])
    managed.sh("umount /run/netns/typo; rm /run/netns/typo")
    managed.container_network(**arguments, framed=False)
    assert managed.address("typo") == "172.17.0.2", "what is declared is repaired"


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
    text = managed.container_network(name="net", connected=["web", "/run/plain"], fails=True, framed=False)["msg"]
    assert 'container "/run/plain": /run/plain is not a network namespace' in text


def test_check_mode_takes_it_that_an_earlier_task_starts_it(managed: Managed) -> None:
    predicted = managed.container_network(name="net", connected=["/run/later"], check=True)
    assert predicted["changed"]
    problem = "there is no such file; make it, or disconnect it"
    assert warnings_of(predicted) == [f'container "/run/later": {problem} (it is left as it is)']
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
        ("/proc/self/ns/net", 'is no lasting name of a network namespace; name the process, like "pid:4711"'),
        ("/proc/thread-self/ns/net", "is no lasting name of a network namespace"),
        ("/run/../proc/4711/ns/mnt", "is no lasting name of a network namespace"),
        ("unit:app@.service", 'is a template; name an instance, like "unit:app@one.service"'),
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
