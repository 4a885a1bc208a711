# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints at their limits: as many as a bridge has ports, and hardware addresses that are taken already."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.module_utils import _ipam
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import Declaration, refused

NAMES = [f"c{number:04}" for number in range(1023)]


def no_port(network: str = "blue") -> str:
    return (
        f'network "{network}": endpoint of "web": a bridge has no more than 1023 ports; connect it to another network'
    )


@pytest.fixture(scope="module")
def filled() -> Declaration:
    host = Declaration()
    host.network("blue", subnet="10.0.0.0/16", connected=NAMES[:-1])
    return host


@pytest.fixture
def almost_full(filled: Declaration) -> Declaration:
    """A host with the network "blue", which has one port left."""
    host = Declaration()
    host.state = filled.state.copy()
    return host


@pytest.fixture
def full(almost_full: Declaration) -> Declaration:
    """A host with the network "blue", which has no port left."""
    almost_full.network("blue", endpoints=[{"container": NAMES[-1]}])
    return almost_full


class TestPortsOfABridge:
    def test_last_port_is_given_out(self, almost_full: Declaration) -> None:
        almost_full.network("blue", connected=[NAMES[-1]], appends=True)
        assert almost_full.on("blue") == set(NAMES)

    @pytest.mark.parametrize("task", [{"connected": ["web"], "appends": True}, {"endpoints": [{"container": "web"}]}])
    def test_one_more_is_refused(self, full: Declaration, task: dict[str, Any]) -> None:
        before = full.state.copy()
        with refused(no_port()):
            full.network("blue", **task)
        assert full.state == before

    def test_list_that_is_too_long_is_refused_as_a_whole(self, almost_full: Declaration) -> None:
        with refused(no_port()):
            almost_full.network("blue", connected=[*NAMES, "web"])
        assert almost_full.on("blue") == set(NAMES[:-1])

    def test_container_of_netns_bridge_is_refused_too(self) -> None:
        host = Declaration()
        host.network("bridge", subnet="10.0.0.0/16", connected=NAMES)
        with refused(no_port("bridge")):
            host.bridge({"name": "web"})

    def test_endpoints_of_a_full_network_can_be_repeated_and_changed(self, full: Declaration) -> None:
        before = full.state.copy()
        full.network("blue", connected=NAMES)
        assert full.state == before
        full.network("blue", endpoints=[{"container": NAMES[0], "aliases": ["first"]}])
        assert full.endpoint("blue", NAMES[0]).aliases == ("first",)

    def test_port_that_is_given_up_in_the_same_task_is_free(self, full: Declaration) -> None:
        full.network("blue", connected=[*NAMES[1:], "web"])
        assert full.on("blue") == {*NAMES[1:], "web"}

    def test_other_networks_have_ports_of_their_own(self, full: Declaration) -> None:
        full.network("red", subnet="10.1.0.0/16", connected=["web", NAMES[0]])
        assert full.on("red") == {"web", NAMES[0]}


class TestDerivedMac:
    """The MAC that "web" would get in "blue" was given to somebody else."""

    def derived(self, *given: str) -> str:
        """What "web" gets where these were given to others."""
        host = self.host(*given)
        host.network("blue", connected=["web"], appends=True)
        return host.endpoint("blue", "web").mac

    def host(self, *given: str, network: str = "blue") -> Declaration:
        host = Declaration()
        host.network("blue", subnet="192.168.10.0/24")
        endpoints = [{"container": f"db{number}", "mac_address": mac} for number, mac in enumerate(given)]
        host.network(network, endpoints=endpoints)
        return host

    def test_another_one_is_derived_and_is_the_same_on_each_run(self) -> None:
        first = self.derived()
        second = self.derived(first)
        assert second != first
        assert self.derived(first) == second

    def test_it_is_a_local_unicast_address_too(self) -> None:
        assert self.derived(self.derived()).startswith("02:")

    def test_that_one_may_have_been_given_to_somebody_too(self) -> None:
        first = self.derived()
        second = self.derived(first)
        third = self.derived(first, second)
        assert third not in (first, second)
        assert self.derived(second, first) == third

    def test_somebody_in_another_network_has_it(self) -> None:
        first = self.derived()
        host = self.host(first, network="red")
        host.network("blue", connected=["web"])
        assert host.endpoint("blue", "web").mac == self.derived(first)
        assert host.endpoint("red", "db0").mac == first

    def test_endpoint_keeps_it_when_the_first_one_is_free_again(self) -> None:
        host = self.host(self.derived())
        host.network("blue", connected=["web"], appends=True)
        mac = host.endpoint("blue", "web").mac
        host.network("blue", endpoints=[{"container": "db0", "mac_address": "02:00:00:00:00:01"}])
        host.network("blue", connected=["web"], appends=True)
        assert host.endpoint("blue", "web").mac == mac


def test_mac_of_the_bridge_is_no_containers() -> None:
    host = Declaration()
    host.network("blue")
    mac = _ipam.bridge_mac(host["blue"].id)
    with refused(
        f'network "blue": endpoint of "web": mac_address "{mac}" is that of the network\'s bridge; '
        "leave mac_address out to get one of its own"
    ):
        host.network("blue", endpoints=[{"container": "web", "mac_address": mac}])
