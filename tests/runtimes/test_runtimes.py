# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that real runtimes run: Docker, Podman, LXC, systemd-nspawn with systemd-machined, services of systemd."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kernel.support import Managed, warnings_of
from runtimes.runtimes import Containers

from lab import Host

SUBNET, ADDRESS = "172.30.0.0/24", "172.30.0.9"
PLAIN = "172.30.0.2"


def connect(managed: Managed, reference: str, **arguments: Any) -> None:
    """It and a plain container, in one network."""
    endpoints = [{"container": reference, "ipv4_address": ADDRESS}, {"container": "plain", "ipv4_address": PLAIN}]
    managed.container_network(name="net", ipam_config=[{"subnet": SUBNET}], endpoints=endpoints, **arguments)


def ours(containers: Containers, name: str) -> dict[str, Any] | None:
    """Its interface in our network, without what goes with its making."""
    for link in json.loads(containers.inside(name, "ip -json address show")):
        if ADDRESS in [each.get("local") for each in link["addr_info"]]:
            return {key: link[key] for key in ("ifname", "address", "mtu", "operstate")}
    return None


def test_running_container_is_connected_and_published(containers: Containers, managed: Managed, client: str) -> None:
    reference = containers.create("web")
    before = containers.network("web")
    connect(managed, reference)
    assert ours(containers, "web")
    assert managed.host.ping(ADDRESS, netns="plain")
    assert containers.inside("web", f"ping -n -q -c1 -W5 {PLAIN}")
    managed.port_mapping(container=reference, published_ports=["8000:8080"])
    namespace = f"/proc/{containers.pid('web')}/ns/net"
    with managed.host.serve("tcp", 8080, netns=namespace, name="web"):
        answer = managed.host.ask("tcp", "192.0.2.10", 8000, netns=client, timeout=10)
    assert answer and answer.server == "web"
    found = managed.container_info(name=reference)["container"]
    assert found["namespace"] == namespace
    assert found["namespace_inode"] == int(containers.inside("web", "stat -L -c %i /proc/self/ns/net"))
    assert found["processes"] == [f"busybox (pid {containers.pid('web')})"]
    assert found["ports"] == {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8000"}]}
    managed.port_mapping(container=reference, state="absent", framed=False)
    managed.container_network(name="net", endpoints=[{"container": reference, "state": "absent"}])
    assert containers.network("web") == before, "what its runtime gave it is as it was"


def test_restarted_container_is_connected_again_by_the_next_task(containers: Containers, managed: Managed) -> None:
    reference = containers.create("web")
    connect(managed, reference, framed=False)
    sharer = {"name": "sidecar", "mode": "container", "target": reference}
    managed.netns_bridge(containers=[sharer], framed=False)
    before, pid = ours(containers, "web"), containers.pid("web")
    assert before
    containers.stop("web")
    containers.start("web")
    assert containers.pid("web") != pid and ours(containers, "web") is None
    managed.container_network(name="other")
    assert ours(containers, "web") == before
    assert managed.host.ping(ADDRESS, netns="plain")
    assert managed.inode("sidecar") == int(containers.inside("web", "stat -L -c %i /proc/self/ns/net"))
    assert managed.host.ping(PLAIN, netns="sidecar")


def test_stopped_container_fails_tasks_about_it_and_no_others(containers: Containers, managed: Managed) -> None:
    reference = containers.create("web")
    connect(managed, reference, framed=False)
    containers.stop("web")
    (warning,) = warnings_of(managed.container_network(name="other"))
    assert f'container "{reference}": ' in warning and "start it, or disconnect it" in warning
    asked = [
        managed.container_network(name="other", connected=[reference], fails=True, framed=False),
        managed.port_mapping(container=reference, published_ports=["8000:8080"], fails=True, framed=False),
    ]
    for result in asked:
        assert f'container "{reference}": ' in result["msg"] and "start it, or disconnect it" in result["msg"]
    managed.container_network(name="net", endpoints=[{"container": reference, "state": "absent"}])
    assert not warnings_of(managed.container_network(name="net", labels={"a": "b"}, framed=False))
    containers.start("web")
    assert not managed.container_network(name="other", framed=False)["changed"]
    assert ours(containers, "web") is None


def test_container_that_is_not_there_is_named(containers: Containers, managed: Managed) -> None:
    reference = f"{containers.kind}:{containers.name('nowhere')}"
    text = managed.container_network(name="net", connected=[reference], fails=True, framed=False)["msg"]
    assert f'container "{reference}": ' in text and "of that name; start it, or disconnect it" in text
    predicted = managed.container_network(name="net", connected=[reference], check=True)
    assert f'container "{reference}": ' in warnings_of(predicted)[0], "an earlier task may have pretended to start it"


@pytest.mark.parametrize("prepared", ["docker", "podman"], indirect=True)
def test_beginning_of_an_id_is_a_reference(containers: Containers, managed: Managed, host: Host) -> None:
    reference = containers.create("web")
    command = [containers.kind, "inspect", "--type", "container", "--format", "{{.Id}}", "web"]
    prefix = f"{containers.kind}:{host.run(*command).stdout[:12]}"
    connect(managed, prefix)
    assert ours(containers, "web")
    text = managed.container_network(name="net", connected=[prefix, reference], fails=True, framed=False)["msg"]
    assert f'it is in the namespace of container "{prefix}"; name that one instead' in text


@pytest.mark.parametrize("prepared", ["unit"], indirect=True)
def test_service_in_the_namespace_of_the_host_is_refused(containers: Containers, managed: Managed, host: Host) -> None:
    containers.create("web")
    host.run("sed", "-i", "/PrivateNetwork/d", "/run/systemd/system/web.service")
    host.run("sh", "-ec", "systemctl daemon-reload; systemctl restart web.service", timeout=60)
    before = host.run("ip", "-brief", "address").stdout
    text = managed.container_network(name="net", connected=["unit:web.service"], fails=True, framed=False)["msg"]
    assert 'container "unit:web.service": it is in the host\'s own namespace; run it with one of its own' in text
    assert host.run("ip", "-brief", "address").stdout == before
