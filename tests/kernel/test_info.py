# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of networks and containers, against what the kernel has; that nothing is changed, see `Managed.look`."""

from __future__ import annotations

import ipaddress
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kernel.support import HOST, Managed, Result, bare, same
from kernel.test_bad_host import NOBODY, STATE, hidden, read_only, refused
from kernel.test_concurrency import all_succeed, names
from kernel.test_ipv6 import address6
from kernel.test_modes import own_inode, process_in

from lab import Lab

MODULES = ("container_info", "container_network_info")
FRONT = {
    "name": "front",
    "ipam_config": [
        {"subnet": "192.168.10.0/24", "iprange": "192.168.10.64/29", "aux_addresses": {"nas": "192.168.10.64"}},
        {"subnet": "fd00:10::/64"},
    ],
    "labels": {"project": "shop", "tier": "front"},
    "endpoints": [{"container": "web", "aliases": ["www"]}, {"container": "db", "ipv4_address": "192.168.10.200"}],
}
BACK = {"name": "back", "internal": True, "labels": {"project": "shop"}}
CONTAINERS = [
    {"name": "web", "mode": "bridge", "labels": {"tier": "front"}},
    {"name": "sidecar", "mode": "container", "target": "web"},
    {"name": "batch", "mode": "none"},
    {"name": "exporter", "mode": "host"},
    {"name": "agent", "mode": "host"},
]


@pytest.fixture
def shop(managed: Managed) -> Managed:
    """Networks of both families, and containers of every mode."""
    managed.run("container_network", networks=[FRONT, BACK], framed=False)
    managed.run("netns_bridge", containers=CONTAINERS[1:], framed=False)
    return managed


def network(managed: Managed, name: str) -> dict[str, Any]:
    return managed.container_network_info(name=[name])["network"]


def container(managed: Managed, name: str) -> dict[str, Any]:
    return managed.container_info(name=[name])["container"]


def found(result: Result) -> list[str]:
    """The names of what was found, networks or containers."""
    things = result.get("networks", result.get("containers"))
    return [each.get("Name", each.get("name")) for each in things]


# A host that is new to all this.


def test_networks_of_an_empty_host_are_the_predefined_three(managed: Managed) -> None:
    result = managed.container_network_info()
    assert found(result) == ["bridge", "host", "none"]
    assert (result["exists"], result["missing"], result["network"]["Name"]) == (True, [], "bridge")
    assert [line.split()[1:] for line in result["lines"]] == [
        ["ID", "NAME", "DRIVER", "SCOPE"],
        ["bridge", "bridge", "local"],
        ["host", "host", "local"],
        ["none", "null", "local"],
    ]


def test_empty_host_has_no_containers(managed: Managed) -> None:
    assert managed.container_info() == {
        "changed": False,
        "exists": False,
        "missing": [],
        "container": None,
        "containers": [],
    }


def test_predefined_bridge_is_the_same_before_and_after_it_is_made(managed: Managed) -> None:
    before = network(managed, "bridge")
    managed.netns_bridge()
    assert network(managed, before["Id"])["Name"] == "bridge"
    assert before["Options"]["com.docker.network.bridge.name"] in managed.sh("ls /sys/class/net").split()


# Networks.


def test_network_is_shown_as_it_was_returned_when_it_was_made(managed: Managed) -> None:
    for task in (FRONT, BACK):
        made = managed.container_network(**task)["network"]
        assert network(managed, task["name"]) == made


def test_network_is_shown_as_the_kernel_has_it(shop: Managed) -> None:
    shown = network(shop, "front")
    bridge = shop.link(shown["Options"]["com.docker.network.bridge.name"])
    addresses = {f"{each['local']}/{each['prefixlen']}" for each in bridge["addr_info"] if each["scope"] == "global"}
    subnets = [ipaddress.ip_network(block["Subnet"]) for block in shown["IPAM"]["Config"]]
    gateways = [block["Gateway"] for block in shown["IPAM"]["Config"]]
    assert addresses == {f"{gateway}/{net.prefixlen}" for gateway, net in zip(gateways, subnets, strict=True)}
    members = {each["Name"]: each for each in shown["Containers"].values()}
    assert set(members) == {"web", "db"}
    for name, member in members.items():
        assert member["MacAddress"] == shop.link("eth0", name)["address"]
        assert member["IPv4Address"] == f"{shop.address(name)}/24"
        assert member["IPv6Address"] == f"{address6(shop, name)}/64"


def test_addresses_are_counted_until_the_last_is_given_out(managed: Managed) -> None:
    """The range has 8 addresses, one of them an auxiliary one; the gateway and one container are outside of it."""
    managed.run("container_network", **FRONT, framed=False)
    subnets = network(managed, "front")["Status"]["IPAM"]["Subnets"]
    assert subnets == {
        "192.168.10.0/24": {"IPsInUse": 4, "DynamicIPsAvailable": 6},
        "fd00:10::/64": {"IPsInUse": 3, "DynamicIPsAvailable": 2**64 - 1 - 3},
    }
    more = {"name": "front", "appends": True}
    managed.container_network(**more, connected=[f"c{number}" for number in range(6)])
    assert network(managed, "front")["Status"]["IPAM"]["Subnets"]["192.168.10.0/24"] == {
        "IPsInUse": 10,
        "DynamicIPsAvailable": 0,
    }
    assert "is exhausted" in managed.container_network(**more, connected=["one-more"], fails=True)["msg"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({}, ["back", "bridge", "front", "host", "none"]),
        ({"name": ["front", "back"]}, ["front", "back"]),
        ({"name": ["front", "front"]}, ["front"]),
        ({"name": "front, back"}, ["front", "back"]),
        ({"name": []}, []),
        ({"filters": {"name": "o"}}, ["front", "host", "none"]),
        ({"filters": {"name": ["^b", "^none$"]}}, ["back", "bridge", "none"]),
        ({"filters": {"label": "project=shop"}}, ["back", "front"]),
        ({"filters": {"label": ["project=shop", "tier"]}}, ["front"]),
        ({"filters": {"type": "custom", "dangling": True}}, ["back"]),
        ({"filters": {"dangling": False}}, ["bridge", "front", "host", "none"]),
        ({"filters": {"driver": ["host", "null"]}}, ["host", "none"]),
        ({"filters": {"scope": "swarm"}}, []),
        ({"name": ["front", "back"], "filters": {"label": "tier"}}, ["front"]),
    ],
)
def test_networks_are_found_by_name_and_filter(shop: Managed, arguments: dict[str, Any], names: list[str]) -> None:
    result = shop.container_network_info(**arguments)
    assert found(result) == names
    assert result["network"] == (result["networks"][0] if names else None)
    assert (result["exists"], result["missing"]) == (bool(names), [])
    assert [line.split()[1] for line in result["lines"][1:]] == names


def test_names_that_stand_for_no_network_are_no_error(shop: Managed) -> None:
    result = shop.container_network_info(name=["ghost", "front", "fron"])
    assert (found(result), result["exists"], result["missing"]) == (["front"], False, ["ghost", "fron"])
    result = shop.container_network_info(name=["ghost"])
    assert (result["exists"], result["missing"], result["network"], result["networks"]) == (False, ["ghost"], None, [])


def test_id_finds_its_network_and_so_does_its_beginning(shop: Managed) -> None:
    ids = {each["Name"]: each["Id"] for each in shop.container_network_info()["networks"]}
    names = [*ids]
    assert found(shop.container_network_info(name=[*ids.values()])) == names
    assert found(shop.container_network_info(name=[each[:12] for each in ids.values()])) == names
    assert shop.container_network_info(name=[next(iter(ids.values()))[:2]])["missing"], (
        "too short to be meant for an ID"
    )


def test_lines_are_as_asked_for(shop: Managed) -> None:
    ids = {each["Name"]: each["Id"] for each in shop.container_network_info()["networks"]}
    asked = {"name": ["front", "back"]}
    assert shop.container_network_info(**asked, quiet=True)["lines"] == [ids["front"][:12], ids["back"][:12]]
    assert shop.container_network_info(**asked, quiet=True, no_trunc=True)["lines"] == [ids["front"], ids["back"]]
    text = "{id}: {driver}, internal {internal}, IPv6 {ipv6}, {labels}"
    assert shop.container_network_info(**asked, format=text)["lines"] == [
        f"{ids['front'][:12]}: bridge, internal false, IPv6 true, project=shop,tier=front",
        f"{ids['back'][:12]}: bridge, internal true, IPv6 false, project=shop",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": {"lable": "a"}}, 'networks: filters "lable" is unknown; did you mean label?'),
        ({"filters": {"type": "cusom"}}, 'networks: filters "type=cusom" is unknown; use builtin or custom'),
        ({"format": "{nmae}"}, 'networks: format "{nmae}" is unknown; did you mean name?'),
        ({"format": "{name}", "quiet": True}, "parameters are mutually exclusive: format|quiet"),
    ],
)
def test_bad_input_is_refused(managed: Managed, arguments: dict[str, Any], message: str) -> None:
    assert managed.container_network_info(**arguments, fails=True)["msg"] == message


# Containers.


def test_all_declared_containers_are_listed_by_name(shop: Managed) -> None:
    shop.sh("ip netns add theirs")
    result = shop.container_info()
    assert found(result) == ["agent", "batch", "db", "exporter", "sidecar", "web"]
    assert {each["name"]: each["mode"] for each in result["containers"]} == {
        "agent": "host",
        "batch": "none",
        "db": "bridge",
        "exporter": "host",
        "sidecar": "container",
        "web": "bridge",
    }
    assert (result["exists"], result["missing"], result["container"]["name"]) == (True, [], "agent")


def test_containers_come_in_the_order_that_they_were_asked_for(shop: Managed) -> None:
    result = shop.container_info(name="web, ghost,batch,/run/netns/web,theirs,/proc/1/ns/net")
    missing = ["ghost", "theirs", "/proc/1/ns/net"]
    assert (found(result), result["exists"], result["missing"]) == (["web", "batch"], False, missing)
    assert shop.container_info(name=[])["containers"] == []
    result = shop.container_info(name=["ghost"])
    assert (result["exists"], result["container"], result["containers"]) == (False, None, [])


def test_container_is_shown_as_it_was_declared(managed: Managed) -> None:
    made = managed.netns_bridge(containers=CONTAINERS)["containers"]
    for item in made:
        shown = container(managed, item["name"])
        assert item["container"].items() <= shown.items()
    assert container(managed, "web")["labels"] == {"tier": "front"}
    assert container(managed, "sidecar")["target"] == "web"


def test_namespaces_are_those_that_the_handles_lead_to(shop: Managed) -> None:
    shown = {each["name"]: each for each in shop.container_info()["containers"]}
    assert {name: each["namespace"] for name, each in shown.items()} == {name: f"/run/netns/{name}" for name in shown}
    assert {name: each["namespace_inode"] for name, each in shown.items()} == {name: shop.inode(name) for name in shown}
    assert shown["exporter"]["namespace_inode"] == own_inode(shop)
    assert sorted(name for name, each in shown.items() if each["namespace_is_the_hosts"]) == ["agent", "exporter"]


def test_inode_is_the_one_that_ls_shows_of_a_process(shop: Managed) -> None:
    with process_in(shop, "batch") as pid:
        shown = shop.sh(f"ls -l /proc/{pid}/ns/net").split()[-1]
        assert shown == f"net:[{container(shop, 'batch')['namespace_inode']}]"


def test_sharers_of_a_namespace_name_each_other(shop: Managed) -> None:
    shop.netns_bridge(containers=[{"name": "logger", "mode": "container", "target": "sidecar"}])
    assert {each["name"]: each["shared_with"] for each in shop.container_info()["containers"]} == {
        "agent": ["exporter"],
        "batch": [],
        "db": [],
        "exporter": ["agent"],
        "logger": ["sidecar", "web"],
        "sidecar": ["logger", "web"],
        "web": ["logger", "sidecar"],
    }


def test_processes_are_those_that_live_in_the_namespace(shop: Managed) -> None:
    assert container(shop, "web")["processes"] == []
    with shop.host.serve("tcp", 8080, netns="sidecar"), shop.host.serve("udp", 8080, netns="web"):
        pids = shop.sh("ip netns pids web").split()
        expected = {f"{shop.sh(f'cat /proc/{pid}/comm').strip()} (pid {pid})" for pid in pids}
        assert len(expected) == 2
        for name in ("web", "sidecar"):
            assert set(container(shop, name)["processes"]) == expected
        for name in ("batch", "db"):
            assert container(shop, name)["processes"] == []
    assert container(shop, "web")["processes"] == []


def test_processes_of_the_host_are_those_of_its_handles(shop: Managed) -> None:
    processes = container(shop, "exporter")["processes"]
    assert [each for each in processes if each.endswith("(pid 1)")]


def kernel_routes(managed: Managed, netns: str | None) -> set[tuple[str, str, str]]:
    """The main table as `ip route` shows it: destination, gateway and interface."""
    routes = set()
    for family, nowhere in (("-4", "0.0.0.0"), ("-6", "::")):
        for route in json.loads(managed.host.run("ip", family, "-json", "route", netns=netns).stdout or "[]"):
            destination = route["dst"] if route["dst"] == "default" else str(ipaddress.ip_network(route["dst"]))
            routes.add((destination, route.get("gateway", nowhere), route.get("dev", "")))
    return routes


def shown_routes(managed: Managed, name: str) -> set[tuple[str, str, str]]:
    routes = container(managed, name)["routes"]
    return {(route["destination"], route["gateway"], route["interface"]) for route in routes}


def test_routes_of_both_families_are_those_of_the_main_table(lab: Lab, shop: Managed) -> None:
    expected = {
        ("default", "192.168.10.1", "eth0"),
        ("192.168.10.0/24", "0.0.0.0", "eth0"),
        ("default", "fd00:10::1", "eth0"),
        ("fd00:10::/64", "::", "eth0"),
    }
    for name in ("web", "sidecar"):
        assert expected <= shown_routes(shop, name)
        assert shown_routes(shop, name) == kernel_routes(shop, name)
    assert shown_routes(shop, "batch") == kernel_routes(shop, "batch") == set()
    assert shown_routes(shop, "exporter") == kernel_routes(shop, None)


def test_routes_that_were_made_by_hand_are_shown_too(shop: Managed) -> None:
    shop.sh("ip route add 198.18.0.0/15 via 192.168.10.1; ip route add unreachable 10.99.0.0/16", netns="web")
    shop.sh("ip route add 10.98.0.0/16 via 192.168.10.1 table 77", netns="web")
    routes = shown_routes(shop, "web")
    assert {("198.18.0.0/15", "192.168.10.1", "eth0"), ("10.99.0.0/16", "0.0.0.0", "")} <= routes
    assert not [route for route in routes if route[0] == "10.98.0.0/16"]


def test_endpoints_are_shown_by_network(shop: Managed) -> None:
    shop.run("container_network", name="back", connected=["web"], framed=False)
    networks = container(shop, "web")["networks"]
    assert {name: each["interface"] for name, each in networks.items()} == {"front": "eth0", "back": "eth1"}
    assert networks["front"]["addresses"] == [shop.address("web"), address6(shop, "web")]
    assert networks["front"]["mac_address"] == shop.link("eth0", "web")["address"]
    assert networks["front"]["aliases"] == ["www"]
    assert networks["back"]["addresses"] == [shop.address("web", "eth1")]
    assert container(shop, "sidecar")["networks"] == container(shop, "batch")["networks"] == {}


def test_published_ports_are_shown_and_answer(lab: Lab, shop: Managed) -> None:
    published = shop.run(
        "port_mapping", container="web", published_ports=["8000:8080", f"{HOST}::53/udp"], framed=False
    )
    ports = container(shop, "web")["ports"]
    assert ports == published["ports"]
    assert ports["8080/tcp"][0]["HostPort"] == "8000"
    with shop.host.serve("udp", 53, netns="web"):
        (binding,) = ports["53/udp"]
        assert lab.peer.ask("udp", binding["HostIp"], int(binding["HostPort"]))
    assert container(shop, "db")["ports"] == {}


@pytest.mark.parametrize(
    "damage",
    [
        "ip netns del web",
        "umount /run/netns/web",
        "ip netns del web; mkdir /run/netns/web",
        "umount /run/netns/web; mount --bind /etc/hostname /run/netns/web",
    ],
)
def test_container_whose_namespace_was_taken_away_by_hand_is_still_declared(shop: Managed, damage: str) -> None:
    shop.run("port_mapping", container="web", published_ports=["8000:8080"], framed=False)
    before, inode = container(shop, "web"), shop.inode("web")
    shop.sh(damage)
    assert container(shop, "web") == {
        **before,
        "namespace_inode": None,
        "namespace_is_the_hosts": False,
        "shared_with": [],
        "processes": [],
        "routes": [],
    }
    sidecar = container(shop, "sidecar")
    assert (sidecar["namespace_inode"], sidecar["shared_with"]) == (inode, [])
    assert sidecar["routes"] == before["routes"]
    assert "web" in [each["Name"] for each in network(shop, "front")["Containers"].values()]


def test_namespace_that_was_made_again_is_shown(shop: Managed) -> None:
    shop.sh("ip netns del batch")
    assert container(shop, "batch")["namespace_inode"] is None
    assert shop.network_prune(networks=False)["changed"]
    assert container(shop, "batch")["namespace_inode"] == shop.inode("batch")


def test_handle_that_somebody_replaced_is_shown_as_it_is(shop: Managed) -> None:
    """What is declared is one thing, what is there another."""
    shop.sh("ip netns del batch; ip netns attach batch 1")
    shown = container(shop, "batch")
    assert (shown["mode"], shown["namespace_is_the_hosts"]) == ("none", True)
    assert shown["shared_with"] == ["agent", "exporter"]


# What a look needs, and what it does not.


@contextmanager
def lock_held(managed: Managed, seconds: float) -> Iterator[None]:
    source = (
        "import fcntl, time; file = open('/run/bridgework/lock', 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        f"print(flush=True); time.sleep({seconds})"
    )
    process = managed.host.popen(sys.executable, "-c", source, stdout=-1, text=True)
    assert process.stdout
    process.stdout.readline()
    try:
        yield
    finally:
        managed.host.stop(process)


def test_look_waits_for_no_run(shop: Managed) -> None:
    with lock_held(shop, seconds=20):
        started = time.monotonic()
        assert shop.container_info()["exists"] and shop.container_network_info()["exists"]
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("path", ["/run/bridgework", "/var/lib/bridgework", "/run/netns", "/proc/sys"])
def test_look_writes_nowhere(shop: Managed, path: str) -> None:
    with read_only(shop, path):
        assert shop.container_info()["exists"] and shop.container_network_info()["exists"]


def test_look_needs_no_iptables(shop: Managed) -> None:
    with hidden(shop, "$(command -v iptables-save)"):
        for module in MODULES:
            assert shop.once(module, {})["exists"]


def test_looks_see_whole_changes_while_runs_go_on(managed: Managed) -> None:
    """Each of the runs makes a network with a container, or takes one away."""
    old, new = names("old", 10), names("new", 10)
    before = managed.snapshot()
    managed.run(
        "container_network", networks=[{"name": name, "connected": [f"c-{name}"]} for name in old], framed=False
    )
    runs: list[tuple[str, dict[str, Any]]] = []
    for gone, made in zip(old, new, strict=True):
        runs.append(("netns_bridge", {"containers": [{"name": f"c-{gone}", "state": "absent"}]}))
        runs.append(("container_info", {}))
        runs.append(("container_network", {"name": made, "connected": [f"c-{made}"], "enable_ipv6": True}))
        runs.append(("container_network_info", {}))
    for result in all_succeed(managed, runs):
        for shown in result.get("networks", []):
            if "Status" in shown and shown["Name"] in new:
                assert [each["Name"] for each in shown["Containers"].values()] == [f"c-{shown['Name']}"]
    assert sorted(found(managed.container_info())) == [f"c-{name}" for name in new]
    managed.run("network_prune", containers=True, framed=False)
    same(bare(before), bare(managed.snapshot()), "something is left behind")


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("check", [False, True])
def test_user_who_is_not_root_is_refused(shop: Managed, module: str, check: bool) -> None:
    refused(
        shop.once(module, {}, check=check, user=NOBODY, fork=True),
        "^user id 65534: network namespaces need root; run the task with become: true$",
    )


@pytest.mark.parametrize("module", MODULES)
def test_state_file_that_can_not_be_read_is_named(shop: Managed, module: str) -> None:
    shop.sh(f"echo 'no database at all' >{STATE}")
    message = shop.look(module, fails=True)["msg"]
    assert message.startswith(f'state file "{STATE}": can\'t be read (file is not a database); ')


def test_connection_to_docker_says_nothing_but_of_another_host(managed: Managed) -> None:
    local = {"docker_host": "unix:///var/run/docker.sock", "tls": False, "timeout": 60, "api_version": "auto"}
    managed.container_network(name="net", **local)
    assert managed.container_network_info(name="net", **local)["exists"]
    remote = {"docker_host": "tcp://192.0.2.20:2376"}
    problem = 'docker_host "tcp://192.0.2.20:2376" may be another host than the task\'s; leave it out'
    assert problem in managed.container_network(name="other", **remote, fails=True)["msg"]
    assert problem in managed.container_network_info(name="net", **remote, fails=True)["msg"]


def test_containers_are_found_by_label_and_mode(managed: Managed) -> None:
    labelled = {"name": "shop", "labels": {"project": "shop", "tier": ""}}
    managed.run("netns_bridge", containers=[labelled, {"name": "exporter", "mode": "host"}], framed=False)

    def found(**arguments: Any) -> list[str]:
        return [each["name"] for each in managed.container_info(**arguments)["containers"]]

    assert found(filters={"label": "project"}) == found(filters={"label": ["project=shop", "tier"]}) == ["shop"]
    assert found(filters={"label": "project=other"}) == found(filters={"label": "project", "mode": "host"}) == []
    assert found(filters={"mode": ["host", "none"]}) == ["exporter"]
    asked = managed.container_info(name=["shop", "exporter", "lost"], filters={"mode": "host"})
    assert (asked["missing"], [each["name"] for each in asked["containers"]]) == (["lost"], ["exporter"])
    refusal = managed.look("container_info", filters={"labels": "x"}, fails=True)["msg"]
    assert refusal == 'containers: filters "labels" is unknown; did you mean label?'
    refusal = managed.look("container_info", filters={"mode": "nat"}, fails=True)["msg"]
    assert refusal == 'containers: filters "mode=nat" is unknown; use one of: bridge, none, host, container'
