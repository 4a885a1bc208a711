# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Custom networks: made, changed, connected, removed."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.support import HOST, REMOTE, Managed, Result, bare, same

from lab import Lab

SUBNET = "192.168.10.0/24"
MTU = "com.docker.network.driver.mtu"
NAME = "com.docker.network.bridge.name"


def subnet_of(result: Result) -> str:
    return result["network"]["IPAM"]["Config"][0]["Subnet"]


def members(result: Result) -> dict[str, str]:
    """Addresses by container."""
    found = result["network"]["Containers"].values()
    return {each["Name"]: each["IPv4Address"].partition("/")[0] for each in found}


def links(managed: Managed) -> set[str]:
    return set(managed.sh("ls /sys/class/net").split())


# Made.


def test_network_is_described_as_docker_does(managed: Managed) -> None:
    config = {"subnet": SUBNET, "gateway": "192.168.10.254", "iprange": "192.168.10.128/25"}
    aux = {"printer": "192.168.10.5"}
    result = managed.container_network(
        name="net-test", ipam_config=[{**config, "aux_addresses": aux}], labels={"env": "lab"}, connected=["web"]
    )
    network = result["network"]
    assert network["Name"] == "net-test" and network["Driver"] == "bridge" and len(network["Id"]) == 64
    assert network["Labels"] == {"env": "lab"} and network["Internal"] is False
    assert network["IPAM"]["Config"] == [
        {
            "Subnet": SUBNET,
            "Gateway": config["gateway"],
            "IPRange": config["iprange"],
            "AuxiliaryAddresses": aux,
        }
    ]
    (member,) = network["Containers"].values()
    assert member["Name"] == "web" and member["IPv4Address"] == f"{managed.address('web')}/24"
    assert member["MacAddress"] == managed.link("eth0", "web")["address"]
    assert network["Options"][NAME] in links(managed) and network["Options"][NAME] == f"br-{network['Id'][:12]}"


def test_containers_that_do_not_exist_are_made_as_empty_namespaces(managed: Managed) -> None:
    managed.container_network(name="net-test", connected=["web", "db"])
    assert managed.sh("ls /run/netns").split() == ["db", "web"]


def test_subnets_are_chosen_one_after_the_other(managed: Managed) -> None:
    result = managed.container_network(networks=[{"name": f"net{i}"} for i in range(3)])
    chosen = [subnet_of(item) for item in result["networks"]]
    assert chosen == ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16"]


def test_chosen_subnet_keeps_off_the_routes_and_nameservers_of_the_host(managed: Managed) -> None:
    managed.sh("ip route add 172.17.5.0/24 via 192.0.2.1; ip addr add 172.18.255.1/24 dev eth0")
    managed.sh("ip route add blackhole 172.19.0.0/16")
    managed.sh(
        "cp /etc/resolv.conf /run/; echo nameserver 172.20.0.53 >/run/ours; mount --bind /run/ours /etc/resolv.conf"
    )
    assert subnet_of(managed.container_network(name="net-test")) == "172.21.0.0/16"


def test_chosen_subnet_stays_when_a_route_comes_up_later(managed: Managed) -> None:
    first = managed.container_network(name="net-test")
    managed.sh("ip route add 172.17.5.0/24 via 192.0.2.1")
    assert subnet_of(managed.container_network(name="net-test")) == subnet_of(first)


def test_there_is_a_subnet_for_31_networks_and_an_error_for_the_next(managed: Managed) -> None:
    result = managed.run("container_network", networks=[{"name": f"net{i}"} for i in range(31)], framed=False)
    assert len({subnet_of(item) for item in result["networks"]}) == 31
    refused = managed.container_network(name="one-more", fails=True)
    assert "no free subnet is left" in refused["msg"]


@pytest.mark.parametrize("subnet", [SUBNET, "192.168.0.0/16", "192.168.10.128/25"])
def test_overlap_is_refused_and_the_other_network_named(managed: Managed, subnet: str) -> None:
    managed.container_network(name="first", ipam_config=[{"subnet": SUBNET}])
    refused = managed.container_network(name="second", ipam_config=[{"subnet": subnet}], fails=True)
    assert 'network "second"' in refused["msg"] and f'overlaps network "first" ({SUBNET})' in refused["msg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "a/b"}, "is not a valid name"),
        ({"name": "a\nb"}, "is not a valid name"),
        ({"name": "a'b\""}, "is not a valid name"),
        ({"name": "a" * 129}, "is too long"),
        ({"name": "host"}, "is predefined"),
        ({"name": "a", "driver": "overlay"}, 'driver "overlay"'),
        ({"name": "a", "driver_options": {"no.such": 1}}, 'driver_options "no.such=1" is unknown'),
        ({"name": "a", "driver_options": {NAME: "a-name-of-16-ch."}}, "too long for an interface"),
        ({"name": "a", "driver_options": {MTU: 70000}}, "is not an MTU"),
        ({"name": "a", "ipam_config": [{"subnet": "192.168.10.1/24"}]}, "has host bits set"),
        ({"name": "a", "ipam_config": [{"subnet": "192.168.10.0"}]}, "is not a subnet"),
        ({"name": "a", "ipam_config": [{"gateway": "192.168.10.1"}]}, "without a subnet"),
        ({"name": "a", "ipam_config": [{"subnet": SUBNET, "gateway": "10.0.0.1"}]}, "is outside the subnet"),
        ({"name": "a", "ipam_config": [{"subnet": SUBNET, "gateway": "192.168.10.255"}]}, "broadcast address"),
        ({"name": "a", "ipam_config": [{"subnet": SUBNET, "iprange": "10.0.0.0/25"}]}, "is not inside the subnet"),
        ({"name": "a", "ipam_config": [{"subnet": SUBNET}, {"subnet": "10.0.0.0/24"}]}, "has several blocks"),
        ({"networks": [{"name": "a"}, {"name": "a"}]}, "is listed twice"),
        ({"name": "a", "connected": ["x/y"]}, "is not a valid name"),
        ({"name": "a", "endpoints": [{"container": "c", "mac_address": "01:00:5e:00:00:01"}]}, "not a unicast"),
        ({"name": "a", "endpoints": [{"container": "c", "interface_name": "lo"}]}, "is not a valid interface name"),
    ],
)
def test_what_can_not_be_honoured_is_refused(managed: Managed, arguments: dict, message: str) -> None:
    assert message in managed.container_network(**arguments, fails=True)["msg"]


# Addresses.


def with_addresses(**config: Any) -> dict[str, Any]:
    return {"name": "net-test", "ipam_config": [{"subnet": "192.168.10.0/29", **config}]}


def test_addresses_are_given_out_from_the_lowest_on(managed: Managed) -> None:
    network = with_addresses(aux_addresses={"printer": "192.168.10.3"})
    assert members(managed.container_network(**network, connected=["a", "b"])) == {
        "a": "192.168.10.2",
        "b": "192.168.10.4",
    }


def test_iprange_bounds_what_is_given_out_but_not_what_is_asked_for(managed: Managed) -> None:
    network = with_addresses(iprange="192.168.10.4/30")
    endpoints = [{"container": "fixed", "ipv4_address": "192.168.10.2"}]
    result = managed.container_network(**network, connected=["a", "b"], endpoints=endpoints)
    assert members(result) == {"fixed": "192.168.10.2", "a": "192.168.10.4", "b": "192.168.10.5"}


@pytest.mark.parametrize(
    ("config", "containers", "message"),
    [
        ({}, "abcde", None),
        ({}, "abcdef", 'subnet "192.168.10.0/29" is exhausted'),
        ({"iprange": "192.168.10.4/30"}, "abc", None),
        ({"iprange": "192.168.10.4/30"}, "abcd", 'iprange "192.168.10.4/30" is exhausted'),
        ({"aux_addresses": {"x": "192.168.10.6"}}, "abcde", "is exhausted"),
    ],
)
def test_exhaustion_is_an_error(managed: Managed, config: dict, containers: str, message: str | None) -> None:
    result = managed.container_network(**with_addresses(**config), connected=[*containers], fails=message is not None)
    assert message is None or message in result["msg"]


def test_address_of_a_container_that_left_is_given_out_again(managed: Managed) -> None:
    managed.container_network(**with_addresses(), connected=["a", "b"])
    result = managed.container_network(name="net-test", connected=["b", "c"])
    assert members(result) == {"b": "192.168.10.3", "c": "192.168.10.2"}


def test_neighbours_know_the_new_owner_of_an_address_at_once(managed: Managed) -> None:
    managed.container_network(**with_addresses(), connected=["a", "b"])
    assert managed.host.ping("192.168.10.2", netns="b") and managed.host.ping("192.168.10.2")
    managed.container_network(name="net-test", connected=["b", "c"])
    assert managed.host.ping("192.168.10.2", netns="b") and managed.host.ping("192.168.10.2")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("192.168.10.2", 'is in use by container "a"'),
        ("192.168.10.1", "is the gateway"),
        ("192.168.10.3", 'is the auxiliary address "printer"'),
        ("192.168.10.8", "is outside the subnet 192.168.10.0/29"),
        ("192.168.10.7", "is the network or broadcast address"),
        ("192.168.10.x", "is not an IP address"),
    ],
)
def test_address_that_can_not_be_had_is_refused(managed: Managed, address: str, message: str) -> None:
    network = with_addresses(aux_addresses={"printer": "192.168.10.3"})
    managed.run("container_network", **network, connected=["a"], framed=False)
    endpoints = [{"container": "b", "ipv4_address": address}]
    refused = managed.container_network(name="net-test", endpoints=endpoints, fails=True)
    assert message in refused["msg"] and 'endpoint of "b"' in refused["msg"] and address in refused["msg"]


# Connected.


def test_connected_is_the_whole_list_unless_it_appends(managed: Managed) -> None:
    managed.container_network(name="net-test", connected=["a", "b"])
    assert set(members(managed.container_network(name="net-test", connected=["c"], appends=True))) == {"a", "b", "c"}
    assert set(members(managed.container_network(name="net-test", connected=["c"]))) == {"c"}
    assert set(members(managed.container_network(name="net-test"))) == {"c"}, "left out, it says nothing"
    assert set(members(managed.container_network(name="net-test", connected=[]))) == {"c"}, "nor does an empty one"
    assert managed.sh("ls /run/netns").split() == ["a", "b", "c"], "containers stay"


def test_endpoints_connect_and_disconnect_single_containers(managed: Managed) -> None:
    managed.container_network(name="net-test", connected=["a", "b"])
    endpoints = [
        {"container": "a", "state": "absent"},
        {"container": "c", "mac_address": "02:00:00:00:00:0c", "interface_name": "lan0", "aliases": ["cache"]},
    ]
    result = managed.container_network(name="net-test", endpoints=endpoints)
    assert set(members(result)) == {"b", "c"}
    assert managed.link("lan0", "c")["address"] == "02:00:00:00:00:0c"
    assert managed.sh("ls /sys/class/net", netns="a").split() == ["lo"]


@pytest.mark.parametrize(
    ("change", "look"),
    [
        ({"ipv4_address": "192.168.10.77"}, lambda link: link["addr_info"][0]["local"] == "192.168.10.77"),
        ({"mac_address": "02:00:00:00:00:77"}, lambda link: link["address"] == "02:00:00:00:00:77"),
        ({"interface_name": "lan0"}, lambda link: link["ifname"] == "lan0"),
    ],
)
def test_endpoint_can_be_changed_and_works_at_once(managed: Managed, change: dict, look: Any) -> None:
    network = {"name": "net-test", "ipam_config": [{"subnet": SUBNET}]}
    managed.container_network(**network, connected=["a", "b"])
    assert managed.host.ping("192.168.10.3", netns="a") and managed.host.ping("192.168.10.2")
    managed.container_network(name="net-test", endpoints=[{"container": "a", **change}])
    assert look(managed.link(change.get("interface_name", "eth0"), "a"))
    address = change.get("ipv4_address", "192.168.10.2")
    assert managed.host.ping(address, netns="b") and managed.host.ping(address), "neighbours know at once"
    assert managed.host.ping("192.168.10.3", netns="a")
    assert managed.host.ping("192.168.10.1", netns="a")
    assert managed.host.ping(HOST, netns="a"), "the default route is there"


def test_two_containers_can_swap_their_addresses(managed: Managed) -> None:
    network = {"name": "net-test", "ipam_config": [{"subnet": SUBNET}]}
    managed.container_network(**network, connected=["a", "b"])
    swapped = [
        {"container": "a", "ipv4_address": "192.168.10.3"},
        {"container": "b", "ipv4_address": "192.168.10.2"},
    ]
    managed.container_network(name="net-test", endpoints=swapped)
    assert managed.address("a") == "192.168.10.3" and managed.address("b") == "192.168.10.2"
    assert managed.host.ping("192.168.10.2", netns="a")


def test_container_of_another_mode_can_not_be_connected(managed: Managed) -> None:
    managed.run("netns_bridge", containers=[{"name": "batch", "mode": "none"}], framed=False)
    refused = managed.container_network(name="net-test", connected=["batch"], fails=True)
    assert '"batch" has the mode none' in refused["msg"]


# Changed in place.


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"env": "prod"}},
        {"attachable": True},
        {"internal": True},
        {"driver_options": {MTU: 1400}},
        {"driver_options": {"com.docker.network.bridge.enable_icc": False}},
        {"ipam_config": [{"gateway": "192.168.10.254"}]},
        {"ipam_config": [{"iprange": "192.168.10.128/25", "aux_addresses": {"x": "192.168.10.9"}}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_change_in_place_does_not_break_a_connection(managed: Managed, change: dict) -> None:
    """A flow between the host and a container, which all of these leave open."""
    managed.container_network(name="net-test", ipam_config=[{"subnet": SUBNET}], connected=["web"])
    index = managed.link("eth0", "web")["ifindex"]
    with managed.host.serve("tcp", 8080, netns="web"), managed.host.flow("192.168.10.2", 8080, source=HOST) as flow:
        flow.echo()
        result = managed.container_network(name="net-test", **change)
        assert result["changed"]
        if "internal" not in change:
            flow.echo()
    assert managed.link("eth0", "web")["ifindex"] == index, "the interface is the same"


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"env": "prod"}},
        {"driver_options": {MTU: 1400}},
        {"ipam_config": [{"gateway": "192.168.10.254"}]},
        {"ipam_config": [{"iprange": "192.168.10.0/25"}]},
        {"ipam_config": [{"subnet": "fd00:10::/64"}]},
        {"enable_ipv6": True},
        {"connected": ["web", "db", "new"]},
    ],
    ids=str,
)
def test_flows_of_containers_outlive_a_change(lab: Lab, managed: Managed, change: dict) -> None:
    """One that comes in by a published port, one that goes out, one to a neighbour."""
    network = {"ipam_config": [{"subnet": SUBNET, "iprange": "192.168.10.0/28"}], "connected": ["web", "db"]}
    managed.container_network(name="net-test", **network)
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    with (
        managed.host.serve("tcp", 8080, netns="web"),
        lab.remote.serve("tcp", 7000),
        lab.remote.flow(HOST, 8000) as incoming,
        managed.host.flow(REMOTE, 7000, netns="web") as outgoing,
        managed.host.flow(managed.address("web"), 8080, netns="db") as neighbouring,
    ):
        flows = (incoming, outgoing, neighbouring)
        for flow in flows:
            flow.echo()
        assert managed.container_network(name="net-test", **change)["changed"]
        for flow in flows:
            flow.echo()


def test_gateway_takes_the_address_of_a_container_by_force(managed: Managed) -> None:
    managed.container_network(name="net-test", ipam_config=[{"subnet": SUBNET}], connected=["web", "db"])
    gateway = [{"subnet": SUBNET, "gateway": managed.address("web")}]
    text = managed.container_network(name="net-test", ipam_config=gateway, fails=True)["msg"]
    assert 'is in use by container "web"; choose another, or set force to give the container another address' in text
    managed.container_network(name="net-test", ipam_config=gateway, force=True)
    assert managed.address("web") == gateway[0]["gateway"].rpartition(".")[0] + ".1", "the lowest that is free now"
    assert managed.host.ping(managed.address("db"), netns="web")


def test_mtu_is_kept_without_containers(managed: Managed) -> None:
    network = managed.container_network(name="net-test", driver_options={MTU: 1400}, connected=["web"])["network"]
    managed.container_network(name="net-test", endpoints=[{"container": "web", "state": "absent"}])
    assert managed.link(network["Options"][NAME])["mtu"] == 1400


def test_new_gateway_is_on_the_bridge_and_in_the_containers(lab: Lab, managed: Managed) -> None:
    managed.container_network(name="net-test", ipam_config=[{"subnet": SUBNET}], connected=["web"])
    result = managed.container_network(name="net-test", ipam_config=[{"gateway": "192.168.10.254"}])
    bridge = managed.link(result["network"]["Options"][NAME])
    assert [each["local"] for each in bridge["addr_info"]] == ["192.168.10.254"]
    assert "via 192.168.10.254" in managed.sh("ip route", netns="web")
    assert managed.host.ping("198.51.100.2", netns="web")


def test_gateway_can_not_be_the_address_of_a_container(managed: Managed) -> None:
    managed.container_network(name="net-test", ipam_config=[{"subnet": SUBNET}], connected=["web"])
    refused = managed.container_network(name="net-test", ipam_config=[{"gateway": "192.168.10.2"}], fails=True)
    assert 'is in use by container "web"' in refused["msg"]


@pytest.mark.parametrize(
    "change", [{"ipam_config": [{"subnet": "10.1.2.0/24"}]}, {"driver_options": {NAME: "br-other"}}]
)
def test_change_that_cuts_containers_off_needs_force(lab: Lab, managed: Managed, change: dict) -> None:
    managed.container_network(name="net-test", ipam_config=[{"subnet": SUBNET}], connected=["web", "db"])
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    refused = managed.container_network(name="net-test", **change, fails=True)
    assert 'would cut off container "db", container "web"' in refused["msg"]
    managed.container_network(name="net-test", **change, force=True)
    assert managed.host.ping(managed.address("web"), netns="db")
    assert managed.host.ping("198.51.100.2", netns="db")
    with managed.host.serve("tcp", 8080, netns="web"):
        assert lab.remote.ask("tcp", HOST, 8000)


def test_options_and_labels_that_are_left_out_stay(managed: Managed) -> None:
    first = managed.container_network(
        name="net-test",
        labels={"env": "lab"},
        driver_options={MTU: 1400},
        internal=True,
        ipam_config=[{"subnet": SUBNET}],
    )
    again = managed.container_network(name="net-test")
    assert again["network"] == first["network"] and not again["changed"]


# Removed.


def test_network_that_is_gone_leaves_nothing(managed: Managed) -> None:
    before = managed.snapshot()
    managed.container_network(name="net-test", ipam_config=[{"subnet": SUBNET}])
    managed.container_network(name="net-test", state="absent")
    same(bare(before), bare(managed.snapshot()), "something is left behind")
    assert not managed.container_network(name="net-test", state="absent")["changed"]


def test_network_in_use_is_refused_and_its_containers_named(managed: Managed) -> None:
    managed.container_network(name="net-test", connected=["web", "db"])
    refused = managed.container_network(name="net-test", state="absent", fails=True)
    assert 'is in use by container "db", container "web"' in refused["msg"]


def test_network_in_use_goes_by_force_and_its_containers_stay(managed: Managed) -> None:
    managed.container_network(name="net-test", connected=["web"])
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    inode = managed.inode("web")
    managed.container_network(name="net-test", state="absent", force=True)
    assert managed.inode("web") == inode
    assert managed.sh("ls /sys/class/net", netns="web").split() == ["lo"]
    assert not [line for line in managed.rules() if "BRIDGEWORK" in line]


def test_of_several_the_one_in_use_stays_and_the_others_go(managed: Managed) -> None:
    managed.container_network(networks=[{"name": "a"}, {"name": "b", "connected": ["web"]}, {"name": "c"}])
    result = managed.container_network(networks=[{"name": name, "state": "absent"} for name in "abc"], partly=True)
    assert [(item["name"], item["changed"], "msg" in item) for item in result["networks"]] == [
        ("a", True, False),
        ("b", False, True),
        ("c", True, False),
    ]
    assert 'network "b"' in result["msg"] and 'container "web"' in result["msg"]
    assert [name for name in links(managed) if name.startswith("br-")] == [
        managed.container_network(name="b")["network"]["Options"][NAME]
    ]


def test_networks_come_and_go_in_one_task(managed: Managed) -> None:
    managed.container_network(name="old", ipam_config=[{"subnet": SUBNET}])
    result = managed.container_network(
        networks=[{"name": "new", "ipam_config": [{"subnet": SUBNET}]}, {"name": "old", "state": "absent"}]
    )
    assert [(item["name"], item["network"] is not None) for item in result["networks"]] == [
        ("new", True),
        ("old", False),
    ]


@pytest.mark.parametrize("length", [64, 20, 12])
def test_network_can_be_removed_by_its_id(managed: Managed, length: int) -> None:
    network = managed.container_network(name="net-test")["network"]
    result = managed.container_network(name=network["Id"][:length], state="absent")
    assert result["changed"] and links(managed) == {"lo", "eth0"}


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_predefined_networks_can_not_be_removed(managed: Managed, name: str) -> None:
    managed.run("netns_bridge", framed=False)
    assert "is predefined" in managed.container_network(name=name, state="absent", fails=True)["msg"]


def test_only_containers_that_a_task_makes_get_its_labels(managed: Managed) -> None:
    managed.run("netns_bridge", containers=[{"name": "old", "labels": {"a": "1"}}], framed=False)
    managed.container_network(name="front", connected=["old", "new"], container_labels={"by": "us"})
    managed.container_network(name="front", connected=["old", "new"], container_labels={"by": "others"})
    found = managed.container_info()["containers"]
    assert {each["name"]: each["labels"] for each in found} == {"old": {"a": "1"}, "new": {"by": "us"}}
