# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual machine itself is the host here: systemd, which all of these are about, is not in a throwaway host."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("kernel.support")

from kernel.support import Driver, Managed  # noqa: E402
from runtimes.runtimes import RUNTIMES, Containers  # noqa: E402

from lab import Host  # noqa: E402
from lab.identity import Identity  # noqa: E402


@pytest.fixture(scope="session")
def host() -> Host:
    """It goes with its containers, so it may be treated as a throwaway one."""
    if os.environ.get("BRIDGEWORK_VM") != "1":
        pytest.fail("these run in the virtual machine only: make vm")
    return Host("vm", Identity.of(1))


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


@pytest.fixture
def managed(host: Host, driver: Driver) -> Iterator[Managed]:
    """The host, from which all of ours is removed in the end."""
    managed = Managed(host, driver)
    yield managed
    shown = managed.once("container_network_info", {"filters": {"type": "custom"}})["networks"]
    if shown:
        networks = [{"name": each["Name"], "state": "absent", "force": True} for each in shown]
        assert not managed.once("container_network", {"networks": networks}).get("failed")
    ours = [each["name"] for each in managed.once("container_info", {})["containers"]]
    if ours:
        containers = [{"name": each, "state": "absent"} for each in ours]
        assert not managed.once("netns_bridge", {"containers": containers}).get("failed")


@pytest.fixture
def client(host: Host) -> Iterator[str]:
    """A neighbour of the host, which is 192.0.2.10 to it."""
    host.run("sh", "-ec", "ip netns add client; ip link add client0 type veth peer name eth0 netns client")
    host.run("sh", "-ec", "ip address add 192.0.2.10/24 dev client0; ip link set client0 up")
    host.run("sh", "-ec", "ip address add 192.0.2.20/24 dev eth0; ip link set eth0 up", netns="client")
    yield "client"
    host.run("sh", "-ec", "ip link delete client0; ip netns delete client")


@pytest.fixture(scope="module", params=list(RUNTIMES))
def prepared(request: pytest.FixtureRequest, host: Host) -> Iterator[Containers]:
    containers = Containers(host, request.param)
    containers.prepare()
    yield containers
    containers.finish()


@pytest.fixture
def containers(prepared: Containers, managed: Managed) -> Iterator[Containers]:
    """Those of each runtime in turn."""
    yield prepared
    prepared.clean()
