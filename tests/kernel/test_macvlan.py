# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The macvlan driver: modes, hardware addresses, VLANs for parents."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.support import HOST, PEER, Managed
from kernel.test_parents import LAN, MATE, ROUTER, WEB, lan, seen_by_peer

from lab import Lab

MAC = "02:00:00:00:00:77"


def in_mode(mode: str, **further: Any) -> dict[str, Any]:
    return lan("macvlan", driver_options={"parent": "eth0", "macvlan_mode": mode}, **further)


@pytest.mark.parametrize(("mode", "is_heard"), [("bridge", True), ("private", False), ("vepa", False)])
def test_containers_hear_each_other_as_the_mode_says(lab: Lab, managed: Managed, mode: str, is_heard: bool) -> None:
    managed.container_network(**in_mode(mode))
    assert managed.host.ping(MATE, netns="web") == is_heard
    assert managed.host.ping(PEER, netns="web")
    assert managed.host.ping(PEER, netns="mate")


def test_mode_changes_under_a_connection(lab: Lab, managed: Managed) -> None:
    managed.container_network(**in_mode("bridge"))
    managed.host.serve("tcp", 8080, netns="web")
    with lab.peer.flow(WEB, 8080) as flow:
        flow.echo()
        managed.container_network(**in_mode("private"))
        flow.echo()
    assert not managed.host.ping(MATE, netns="web")
    managed.container_network(**in_mode("bridge"))
    assert managed.host.ping(MATE, netns="web")


def test_one_container_has_the_whole_parent_in_mode_passthru(lab: Lab, managed: Managed) -> None:
    text = managed.container_network(**in_mode("passthru", connected=["web"]), fails=True)["msg"]
    assert f'macvlan_mode "passthru" would cut the host off from eth0, where it has {HOST}' in text
    managed.container_network(**in_mode("passthru", connected=["web"]), force=True)
    assert not managed.container_network(**in_mode("passthru", connected=["web"]))["changed"]
    assert seen_by_peer(lab, managed, "web") == WEB
    assert managed.link("eth0", "web")["address"] == managed.link("eth0")["address"]
    text = managed.container_network(name="lan", connected=["web", "mate"], fails=True)["msg"]
    assert "in mode passthru one container has the whole parent eth0" in text
    mac = [{"container": "web", "mac_address": MAC}]
    text = managed.container_network(name="lan", endpoints=mac, fails=True)["msg"]
    assert f'mac_address "{MAC}" can\'t be given with the driver macvlan, whose containers have that of eth0' in text
    second = {"name": "second", "driver": "macvlan", "driver_options": {"parent": "eth0"}}
    text = managed.container_network(**second, fails=True)["msg"]
    assert 'macvlan_mode "bridge" can\'t share the parent eth0 with network "lan" (passthru)' in text


def test_mode_passthru_comes_and_goes_only_by_force(lab: Lab, managed: Managed) -> None:
    managed.sh("ip address flush dev eth0")
    managed.container_network(**in_mode("bridge", connected=["web"]))
    mac = managed.link("eth0", "web")["address"]
    text = managed.container_network(**in_mode("passthru", connected=["web"]), fails=True)["msg"]
    assert 'macvlan_mode "passthru" differs from the present bridge and would cut off container "web"' in text
    managed.container_network(**in_mode("passthru", connected=["web"]), force=True)
    assert managed.link("eth0", "web")["address"] == managed.link("eth0")["address"]
    managed.container_network(**in_mode("bridge", connected=["web"]), force=True)
    assert managed.link("eth0", "web")["address"] == mac


def test_hardware_address_is_the_one_that_was_given(lab: Lab, managed: Managed) -> None:
    managed.container_network(**in_mode("bridge", endpoints=[{"container": "web", "mac_address": MAC}]))
    assert managed.link("eth0", "web")["address"] == MAC
    managed.host.ping(PEER, netns="web")
    assert MAC in lab.peer.run("ip", "neigh", "show", WEB).stdout
    managed.sh("ip link set eth0 address 02:00:00:00:00:78", "web")
    assert managed.container_network(name="lan")["changed"]
    assert managed.link("eth0", "web")["address"] == MAC


def test_hardware_address_of_the_parent_is_refused(lab: Lab, managed: Managed) -> None:
    given = [{"container": "web", "mac_address": managed.link("eth0")["address"]}]
    text = managed.container_network(**in_mode("bridge", endpoints=given), fails=True)["msg"]
    assert "is that of the parent eth0; leave mac_address out to get one of its own" in text


def test_parent_is_shared_with_what_is_not_ours(lab: Lab, managed: Managed) -> None:
    managed.sh("ip link add link eth0 name theirs type macvlan mode bridge; ip link set theirs up")
    managed.container_network(**in_mode("bridge"))
    passthru = in_mode("passthru", connected=[], endpoints=[{"container": "mate", "state": "absent"}], force=True)
    text = managed.container_network(**passthru, fails=True)["msg"]
    assert "can't share the parent eth0 with \"theirs\", which is not Bridgework's (bridge)" in text
    managed.container_network(name="lan", state="absent", force=True)
    assert managed.link("theirs")


def test_networks_share_a_parent(lab: Lab, managed: Managed) -> None:
    managed.container_network(**in_mode("bridge"))
    blocks = [{"subnet": "203.0.113.0/24"}]
    second = {"name": "second", "driver": "macvlan", "driver_options": {"parent": "eth0"}, "ipam_config": blocks}
    managed.container_network(**second, connected=["web"])
    assert managed.link("eth1", "web")["addr_info"][0]["local"] == "203.0.113.2"
    taken = {"name": "third", "driver": "macvlan", "driver_options": {"parent": "eth0"}}
    text = managed.container_network(**taken, ipam_config=[{"subnet": LAN, "gateway": ROUTER}], fails=True)["msg"]
    assert f'subnet "{LAN}" overlaps network "lan"' in text


def test_parent_changes_only_by_force_where_containers_are_connected(lab: Lab, managed: Managed) -> None:
    managed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up")
    managed.container_network(**lan("macvlan"))
    moved = lan("macvlan", driver_options={"parent": "up0"})
    text = managed.container_network(**moved, fails=True)["msg"]
    assert 'parent "up0" differs from the present eth0 and would cut off container "mate", container "web"' in text
    managed.container_network(**moved, force=True)
    assert not managed.host.ping(PEER, netns="web")
    assert managed.host.ping(MATE, netns="web")


# A VLAN for a parent.

needs_vlans = pytest.mark.needs_kernel("8021q")


def on_vlan(name: str, subnet: str, **further: Any) -> dict[str, Any]:
    network = {"name": name, "driver": "macvlan", "driver_options": {"parent": "eth0.10"}}
    return {**network, "ipam_config": [{"subnet": subnet}], **further}


@needs_vlans
def test_vlan_is_made_for_its_first_network_and_goes_with_the_last(lab: Lab, managed: Managed) -> None:
    managed.container_network(**on_vlan("red", "10.10.0.0/24", connected=["web"]))
    vlan = managed.link("eth0.10")
    assert vlan["linkinfo"]["info_data"]["id"] == 10
    assert not vlan["addr_info"], "it is for containers only"
    lab.peer.run("ip", "link", "add", "link", "eth0", "name", "eth0.10", "type", "vlan", "id", "10")
    lab.peer.run("ip", "address", "add", "10.10.0.9/24", "dev", "eth0.10")
    lab.peer.run("ip", "link", "set", "eth0.10", "up")
    assert managed.host.ping("10.10.0.9", netns="web")
    managed.container_network(**on_vlan("blue", "10.11.0.0/24", connected=["web"]))
    managed.container_network(name="red", state="absent", force=True)
    assert managed.link("eth0.10")
    managed.container_network(name="blue", state="absent", force=True)
    assert "eth0.10" not in managed.sh("ip -o link")


@needs_vlans
def test_vlan_that_was_there_stays(lab: Lab, managed: Managed) -> None:
    managed.sh("ip link add link eth0 name eth0.10 type vlan id 10; ip link set eth0.10 up")
    managed.container_network(**on_vlan("red", "10.10.0.0/24", connected=["web"]))
    managed.container_network(name="red", state="absent", force=True)
    assert managed.link("eth0.10")


@needs_vlans
def test_vlan_of_ours_is_no_trunk(lab: Lab, managed: Managed) -> None:
    managed.container_network(**on_vlan("red", "10.10.0.0/24", connected=["web"]))
    nested = {"name": "blue", "driver": "macvlan", "driver_options": {"parent": "eth0.10.20"}}
    text = managed.container_network(**nested, fails=True)["msg"]
    assert 'parent "eth0.10.20" is on eth0.10, which is Bridgework\'s own' in text


@needs_vlans
def test_vlan_that_was_deleted_comes_back_with_what_was_on_it(lab: Lab, managed: Managed) -> None:
    managed.container_network(**on_vlan("red", "10.10.0.0/24", connected=["web", "mate"]))
    managed.sh("ip link del eth0.10")
    assert managed.container_network(name="red")["changed"]
    assert managed.host.ping("10.10.0.3", netns="web")


@pytest.mark.needs_kernel("dummy")
def test_network_without_a_parent_leads_nowhere(lab: Lab, managed: Managed) -> None:
    before = managed.sh("ip -o link | wc -l")
    managed.container_network(name="island", driver="macvlan", connected=["web", "mate"])
    assert managed.host.ping(managed.address("mate"), netns="web")
    assert managed.sh("ip route show default", "web") == ""
    managed.container_network(name="island", state="absent", force=True)
    assert managed.sh("ip -o link | wc -l") == before
