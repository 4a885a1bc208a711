# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers on a bridge: with each other, and through the host with the outside."""

from __future__ import annotations

import json

import pytest
from kernel.support import HOST, PEER, REMOTE, Managed

from lab import Lab

PAIR = [{"name": "web"}, {"name": "db"}]
ICC = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
MTU = "com.docker.network.driver.mtu"


def default_routes(managed: Managed, container: str) -> list[tuple[str, str]]:
    """Gateway and interface of each."""
    shown = managed.host.run("ip", "-json", "route", "show", "default", netns=container).stdout
    return [(route["gateway"], route["dev"]) for route in json.loads(shown)]


def test_containers_reach_each_other(managed: Managed) -> None:
    managed.netns_bridge(containers=PAIR)
    web, db = managed.address("web"), managed.address("db")
    assert managed.host.ping(web, netns="db") and managed.host.ping(db, netns="web")
    with managed.host.serve("tcp", 8080, netns="web"), managed.host.serve("udp", 8080, netns="web"):
        answers = managed.host.ask_all([("tcp", web, 8080), ("udp", web, 8080)], netns="db")
    assert [answer and answer.seen_from for answer in answers] == [db, db]


def test_host_reaches_containers(managed: Managed) -> None:
    managed.netns_bridge(containers=PAIR)
    assert managed.host.ping(managed.address("web"))


def test_address_of_the_bridge_is_the_default_gateway(managed: Managed) -> None:
    managed.netns_bridge(ipam_config=[{"subnet": "10.1.2.0/24", "gateway": "10.1.2.254"}], containers=PAIR)
    assert managed.link("bw0")["addr_info"][0]["local"] == "10.1.2.254"
    for container in ("web", "db"):
        assert default_routes(managed, container) == [("10.1.2.254", "eth0")]
        assert managed.host.ping("10.1.2.254", netns=container)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_outside_sees_the_address_of_the_host(lab: Lab, managed: Managed, protocol: str) -> None:
    managed.netns_bridge(containers=PAIR)
    with lab.remote.serve(protocol, 7000), lab.peer.serve(protocol, 7000):
        seen = [managed.host.ask(protocol, address, 7000, netns="web") for address in (REMOTE, PEER)]
    assert [answer and answer.seen_from for answer in seen] == [HOST, HOST]


@pytest.mark.usefixtures("backend")
def test_outside_sees_the_address_of_the_container_without_masquerading(lab: Lab, managed: Managed) -> None:
    managed.netns_bridge(driver_options={MASQUERADE: False}, containers=PAIR)
    lab.router.run("ip", "route", "add", "172.17.0.0/16", "via", HOST)
    with lab.remote.serve("tcp", 7000):
        answer = managed.host.ask("tcp", REMOTE, 7000, netns="web")
    assert answer and answer.seen_from == managed.address("web")


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_containers_of_a_bridge_without_icc_reach_only_the_outside(lab: Lab, managed: Managed, bridge_nf: int) -> None:
    managed.sh(f"echo {bridge_nf} >/proc/sys/net/bridge/bridge-nf-call-iptables")
    managed.netns_bridge(driver_options={ICC: False}, containers=PAIR)
    web = managed.address("web")
    with managed.host.serve("tcp", 8080, netns="web"):
        assert managed.host.ask("tcp", web, 8080), "the host reaches it"
        assert managed.host.ask("tcp", web, 8080, netns="db", timeout=0.3) is None
    assert not managed.host.ping(web, netns="db")
    assert managed.host.ping(REMOTE, netns="db") and managed.host.ping(REMOTE, netns="web")


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bridge_nf", [0, 1])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_published_ports_are_the_same_to_others_without_icc(
    lab: Lab, managed: Managed, bridge_nf: int, protocol: str
) -> None:
    """Of the same bridge, too, unless br_netfilter keeps the translated packet on the bridge, which keeps icc off."""
    managed.sh(f"echo {bridge_nf} >/proc/sys/net/bridge/bridge-nf-call-iptables")
    managed.netns_bridge(driver_options={ICC: False}, containers=PAIR)
    managed.port_mapping(container="web", published_ports=[f"8000:8080/{protocol}"])
    with managed.host.serve(protocol, 8080, netns="web"):
        assert lab.remote.ask(protocol, HOST, 8000)
        assert bool(managed.host.ask(protocol, HOST, 8000, netns="db", timeout=0.3)) == (not bridge_nf)


@pytest.mark.parametrize("family", ["iptables", "ip6tables"])
def test_icc_stays_off_whatever_is_done_to_br_netfilter_afterwards(managed: Managed, family: str) -> None:
    switch = f"/proc/sys/net/bridge/bridge-nf-call-{family}"
    managed.netns_bridge(driver_options={ICC: False}, containers=PAIR, enable_ipv6=True)
    addresses = [each["local"] for each in managed.link("eth0", "web")["addr_info"] if each["scope"] == "global"]
    for value in (0, 1):
        managed.sh(f"echo {value} >{switch}")
        assert not [address for address in addresses if managed.host.ping(address, netns="db")]


@pytest.mark.usefixtures("backend")
def test_icc_can_be_switched(managed: Managed) -> None:
    managed.netns_bridge(containers=PAIR)
    web = managed.address("web")
    for on in (False, True):
        managed.netns_bridge(driver_options={ICC: on})
        managed.sh("ip neigh flush all", netns="db")  # or it would wait before it asks for web once more
        assert managed.host.ping(web, netns="db") == on


def test_mtu_is_set_on_all_three_ends(managed: Managed) -> None:
    managed.netns_bridge(driver_options={MTU: 1400}, containers=[{"name": "web"}])
    managed.netns_bridge(containers=[{"name": "db"}])
    ports = json.loads(managed.sh("ip -json link show master bw0"))
    assert len(ports) == 2 and {port["mtu"] for port in ports} == {1400}
    assert {managed.link("bw0")["mtu"], *(managed.link("eth0", name)["mtu"] for name in ("web", "db"))} == {1400}
    web = managed.address("web")
    big = ("ping", "-c1", "-W1", "-M", "do", "-s")
    assert managed.host.run(*big, "1372", web, netns="db", check=False).returncode == 0
    assert managed.host.run(*big, "1373", web, netns="db", check=False).returncode != 0


@pytest.mark.parametrize("mtu", [9000, 1400])
def test_mtu_can_be_changed(managed: Managed, mtu: int) -> None:
    managed.netns_bridge(containers=[{"name": "web"}])
    managed.netns_bridge(driver_options={MTU: mtu})
    ports = json.loads(managed.sh("ip -json link show master bw0"))
    assert {ports[0]["mtu"], managed.link("bw0")["mtu"], managed.link("eth0", "web")["mtu"]} == {mtu}


def test_two_addresses_are_a_network(lab: Lab, managed: Managed) -> None:
    managed.netns_bridge(ipam_config=[{"subnet": "10.9.8.0/31"}], containers=[{"name": "web"}])
    assert managed.address("web") == "10.9.8.1"
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    with lab.remote.serve("tcp", 7000), managed.host.serve("tcp", 8080, netns="web"):
        assert managed.host.ask("tcp", REMOTE, 7000, netns="web")
        assert lab.remote.ask("tcp", HOST, 8000)
    refused = managed.netns_bridge(containers=[{"name": "db"}], fails=True)
    assert "exhausted" in refused["msg"]


def test_addresses_and_names_can_be_given(managed: Managed) -> None:
    managed.netns_bridge(
        name="br-lab",
        ipam_config=[{"subnet": "10.1.2.0/24"}],
        containers=[
            {"name": "dns", "ipv4_address": "10.1.2.53", "mac_address": "02-00-5E-00-53-01", "interface_name": "lan0"}
        ],
    )
    link = managed.link("lan0", "dns")
    assert (link["addr_info"][0]["local"], link["address"]) == ("10.1.2.53", "02:00:5e:00:53:01")
    assert managed.link("br-lab")["linkinfo"]["info_kind"] == "bridge"


def test_address_that_is_asked_for_comes_before_those_that_are_free_to_choose(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "any"}, {"name": "fixed", "ipv4_address": "172.17.0.2"}])
    assert managed.address("any") == "172.17.0.3"


def test_two_containers_can_swap_their_addresses(managed: Managed) -> None:
    managed.netns_bridge(containers=PAIR)
    managed.netns_bridge(
        containers=[{"name": "web", "ipv4_address": "172.17.0.3"}, {"name": "db", "ipv4_address": "172.17.0.2"}]
    )
    assert managed.host.ping("172.17.0.3", netns="db")


def test_address_and_mac_are_the_same_after_the_bridge_was_made_anew(managed: Managed) -> None:
    managed.netns_bridge(containers=PAIR)
    before = [(managed.address(name), managed.link("eth0", name)["address"]) for name in ("web", "db")]
    managed.netns_bridge(containers=[{**each, "state": "absent"} for each in PAIR], state="absent")
    managed.netns_bridge(containers=PAIR)
    assert [(managed.address(name), managed.link("eth0", name)["address"]) for name in ("web", "db")] == before


def test_container_on_two_networks_leaves_by_the_first(lab: Lab, managed: Managed) -> None:
    managed.container_network(networks=[{"name": "one", "connected": ["web"]}, {"name": "two", "connected": ["web"]}])
    assert managed.address("web", "eth0") != managed.address("web", "eth1")
    assert default_routes(managed, "web") == [("172.17.0.1", "eth0")]
    assert managed.host.ping(REMOTE, netns="web")
    managed.container_network(name="one", endpoints=[{"container": "web", "state": "absent"}])
    assert default_routes(managed, "web") == [("172.18.0.1", "eth1")]
    assert managed.host.ping(REMOTE, netns="web")


def test_neighbours_can_not_configure_a_container(lab: Lab, managed: Managed) -> None:
    managed.netns_bridge(containers=PAIR)
    for place, link in ((None, "bw0"), ("web", "eth0")):
        assert managed.sh(f"cat /proc/sys/net/ipv6/conf/{link}/accept_ra", netns=place).strip() == "0"
        families = [each["family"] for each in managed.link(link, place)["addr_info"]]
        assert families == ["inet"], "no address of the kernel's own either"
