# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ipvlan driver: modes, and the hardware address of the parent."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.support import PEER, Managed
from kernel.test_parents import MATE, WEB, lan

from lab import Lab

pytestmark = pytest.mark.needs_kernel("ipvlan")


def in_mode(mode: str, **further: Any) -> dict[str, Any]:
    return lan("ipvlan", driver_options={"parent": "eth0", "ipvlan_mode": mode}, **further)


def test_containers_have_the_hardware_address_of_the_parent(lab: Lab, managed: Managed) -> None:
    managed.container_network(**in_mode("l2"))
    assert managed.link("eth0", "web")["address"] == managed.link("eth0")["address"]
    given = [{"container": "web", "mac_address": "02:00:00:00:00:77"}]
    text = managed.container_network(name="lan", endpoints=given, fails=True)["msg"]
    assert "can't be given with the driver ipvlan, whose containers have that of eth0; leave it out" in text


@pytest.mark.parametrize("mode", ["l3", "l3s"])
def test_layer_3_needs_no_gateway(lab: Lab, managed: Managed, mode: str) -> None:
    subnet = [{"subnet": "10.9.0.0/24"}, {"subnet": "2001:db8:9::/64"}]
    managed.container_network(**in_mode(mode, ipam_config=subnet))
    assert managed.sh("ip route show default", "web").split()[:3] == ["default", "dev", "eth0"]
    assert managed.sh("ip -6 route show default", "web").split()[:3] == ["default", "dev", "eth0"]
    lab.peer.run("ip", "route", "add", "10.9.0.0/24", "via", "192.0.2.10")
    assert managed.host.ping(PEER, netns="web")
    assert managed.host.ping("10.9.0.3", netns="web")


def test_mode_changes_in_place(lab: Lab, managed: Managed) -> None:
    managed.container_network(**in_mode("l3"))
    index = managed.link("eth0", "web")["ifindex"]
    managed.container_network(**in_mode("l3s"))
    shown = managed.link("eth0", "web")
    assert (shown["ifindex"], shown["linkinfo"]["info_data"]["mode"]) == (index, "l3s")
    text = managed.container_network(**in_mode("l2"), fails=True)["msg"]
    assert 'ipvlan_mode "l2" differs from the present l3s and would cut off container "mate", container "web"' in text
    managed.container_network(**in_mode("l2"), force=True)
    assert managed.host.ping(MATE, netns="web")
    assert lab.peer.ping(WEB)


def test_a_parent_has_one_mode(lab: Lab, managed: Managed) -> None:
    managed.container_network(**in_mode("l2"))
    second = {"name": "second", "driver": "ipvlan", "driver_options": {"parent": "eth0", "ipvlan_mode": "l3"}}
    text = managed.container_network(**second, fails=True)["msg"]
    assert 'ipvlan_mode "l3" can\'t share the parent eth0 with network "lan" (l2); a parent has one mode' in text
    second["driver_options"]["ipvlan_mode"] = "l2"
    managed.container_network(**second, connected=["web"])
    assert managed.link("eth1", "web")["linkinfo"]["info_kind"] == "ipvlan"


def test_mode_of_what_is_not_ours_stays(lab: Lab, managed: Managed) -> None:
    managed.sh("ip link add link eth0 name theirs type ipvlan mode l2")
    text = managed.container_network(**in_mode("l3"), fails=True)["msg"]
    assert "can't share the parent eth0 with \"theirs\", which is not Bridgework's (l2)" in text
    managed.container_network(**in_mode("l2"))


def test_mode_is_one_of_three(managed: Managed) -> None:
    text = managed.container_network(**in_mode("l4"), fails=True)["msg"]
    assert 'ipvlan_mode "l4" is unknown; use one of: l2, l3, l3s' in text
