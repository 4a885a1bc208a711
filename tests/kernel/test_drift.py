# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever somebody removed or changed by hand: check mode reports it, a run repairs it, and nothing else happens."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from kernel.support import HOST, Driver, Managed, Result, managed_lab, same

from lab import Lab

NETWORKS = [
    {
        "name": "front",
        "driver_options": {"com.docker.network.bridge.name": "front0", "com.docker.network.driver.mtu": 1450},
        "ipam_config": [{"subnet": "192.168.10.0/24"}],
        "connected": ["web", "db"],
    },
    {
        "name": "back",
        "internal": True,
        "driver_options": {"com.docker.network.bridge.name": "back0"},
        "ipam_config": [{"subnet": "192.168.20.0/24"}],
        "connected": ["db"],
    },
]
CONTAINERS = [
    {"name": "batch", "mode": "none", "sysctls": {"net.ipv4.ip_unprivileged_port_start": 80}},
    {"name": "exporter", "mode": "host"},
    {"name": "sidecar", "mode": "container", "target": "web"},
]
PORTS = [{"container": "web", "published_ports": ["8000:8080", "127.0.0.1:53:53/udp"]}]


@pytest.fixture
def rich(driver: Driver) -> Iterator[tuple[Lab, Managed]]:
    """A host with something of each kind."""
    with managed_lab(driver, ("host", "peer")) as (lab, managed):
        managed.run("container_network", networks=NETWORKS, framed=False)
        managed.run("netns_bridge", containers=CONTAINERS, framed=False)
        managed.run("port_mapping", mappings=PORTS, framed=False)
        yield lab, managed


def repaired(rich: tuple[Lab, Managed], damage: str) -> Result:
    """The result of a run that declares nothing new after the damage was done; the host is as before it then."""
    managed = rich[1]
    before = managed.snapshot()
    script = damage.replace("VETH", host_end(managed, "web", "eth0"))
    managed.sh(script)
    assert managed.snapshot() != before, "no damage was done"
    result = managed.port_mapping(mappings=PORTS)
    assert result["changed"]
    same(before, managed.snapshot(), "it is not as it was", identity=False)
    works(rich)
    return result


def works(rich: tuple[Lab, Managed]) -> None:
    """The published port, and a neighbour's way to the container."""
    lab, managed = rich
    with managed.host.serve("tcp", 8080, netns="web"):
        assert lab.peer.ask("tcp", HOST, 8000)
        assert managed.host.ask("tcp", "192.168.10.2", 8080, netns="db")


def host_end(managed: Managed, container: str, interface: str) -> str:
    index = managed.link(interface, container)["link_index"]
    (name,) = [
        line.split(":")[1].partition("@")[0]
        for line in managed.sh("ip -o link").splitlines()
        if line.startswith(f"{index}:")
    ]
    return name.strip()


def verbs(result: Result) -> set[tuple[str, str]]:
    """The first two words of each action."""
    return {tuple(action.split(" ")[:2]) for action in result["actions"]}


MAC = r"mac [0-9a-f:]{17}"
PAIR = rf"create veth veth\w{{7}}, mtu 1450, {MAC}?.*and veth web/eth0.*"


@pytest.mark.parametrize(
    ("damage", "actions"),
    [
        ("ip link set front0 down", [r"change bridge front0, mtu 1450, mac \S+, up"]),
        ("ip link set VETH down", [r"change veth veth\w{7}, mtu 1450, .*on front0, hairpin, up"]),
        ("ip -n web link set lo down", [r"change namespace /run/netns/web"]),
        ("ip addr del 192.168.10.1/24 dev front0", [r"create address 192\.168\.10\.1/24 on front0"]),
        (
            "ip -n web addr del 192.168.10.2/24 dev eth0",
            [r"create address 192\.168\.10\.2/24 on web/eth0", r"create route default via 192\.168\.10\.1 on web/eth0"],
        ),
        ("ip -n web route del default", [r"create route default via 192\.168\.10\.1 on web/eth0"]),
        ("ip link set VETH nomaster", [r"change veth veth\w{7}, mtu 1450, .*on front0, hairpin, up"]),
        (
            "ip link set VETH master back0",
            # The kernel gives a bridge the MTU of a narrower port.
            [r"change veth veth\w{7}, mtu 1450, .*on front0, hairpin, up", r"change bridge back0, mtu 1500, .*"],
        ),
        ("ip link set front0 mtu 1400", [r"change bridge front0, mtu 1450, .*"]),
        ("ip link set VETH mtu 1400", [r"change veth veth\w{7}, mtu 1450, .*"]),
        ("ip -n web link set eth0 mtu 1400", [r"change veth web/eth0, mtu 1450, .*"]),
        ("ip -n web link set eth0 address 02:00:00:00:00:99", [r"change veth web/eth0, mtu 1450, .*"]),
        ("ip link set front0 address 02:00:00:00:00:99", [r"change bridge front0, mtu 1450, .*"]),
        ("ip link set VETH type bridge_slave hairpin off", [r"change veth veth\w{7}, .*hairpin, up"]),
        ("ip link set VETH type bridge_slave isolated on", [r"change veth veth\w{7}, .*on front0, hairpin, up"]),
        (
            "ip -n web link set eth0 down",
            [r"change veth web/eth0, mtu 1450, .*, up", r"create route default via 192\.168\.10\.1 on web/eth0"],
        ),
        ("echo 0 >/proc/sys/net/ipv4/ip_forward", [r"change sysctl net/ipv4/ip_forward = 1"]),
        (
            "echo 0 >/proc/sys/net/ipv4/conf/front0/route_localnet",
            [r"change sysctl net/ipv4/conf/front0/route_localnet = 1"],
        ),
        (
            "echo 1 >/proc/sys/net/ipv4/conf/back0/route_localnet",
            [r"change sysctl net/ipv4/conf/back0/route_localnet = 0"],
        ),
        (
            "echo 1 >/proc/sys/net/ipv6/conf/front0/accept_ra",
            [r"change sysctl net/ipv6/conf/front0/accept_ra = 0"],
        ),
        (
            "ip netns exec web sh -c 'echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6'",
            [r"change sysctl web/net/ipv6/conf/eth0/disable_ipv6 = 1"],
        ),
        (
            "ip netns exec batch sh -c 'echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start'",
            [r"change sysctl batch/net/ipv4/ip_unprivileged_port_start = 80"],
        ),
        (
            "ip -n web link set eth0 alias theirs",
            [r"change veth web/eth0, mtu 1450, mac \S+, up"],
        ),
        ("umount /run/netns/exporter; rm /run/netns/exporter", [r"create handle /run/netns/exporter on the host"]),
        ("umount /run/netns/exporter", [r"create handle /run/netns/exporter on the host"]),
        ("ip netns del sidecar", [r'create handle /run/netns/sidecar on "web"']),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_single_change_is_reported_as_such_and_repaired(
    rich: tuple[Lab, Managed], damage: str, actions: list[str]
) -> None:
    found = repaired(rich, damage)["actions"]
    unmatched = [line for line in found if not any(re.fullmatch(pattern, line) for pattern in actions)]
    missing = [pattern for pattern in actions if not any(re.fullmatch(pattern, line) for line in found)]
    assert (unmatched, missing) == ([], [])


@pytest.mark.parametrize(
    "damage",
    [
        "ip link del VETH",
        "ip -n web link del eth0",
        "ip -n web link set eth0 name other0",
        "ip link set VETH down; ip link set VETH name other0",
        "ip netns add elsewhere; ip -n web link set eth0 netns elsewhere; ip netns del elsewhere; "
        "while test -e /sys/class/net/VETH; do sleep 0.01; done",  # a namespace goes some time after its name
    ],
)
def test_damaged_pair_is_made_again(rich: tuple[Lab, Managed], damage: str) -> None:
    actions = repaired(rich, damage)["actions"]
    others = re.compile(r"(?<![\w:])db\b|(?<!on )\bfront0")  # a MAC that the kernel chose may end with db
    assert [line for line in actions if others.search(line)] == [], "only this pair"
    assert any("create veth" in line and "web/eth0" in line for line in actions)


@pytest.mark.parametrize(
    ("damage", "link", "removal"),
    [
        ("ip link set VETH alias ''", r'"veth\w{7}" exists on the host', "ip link del VETH"),
        ("ip link set front0 alias theirs", '"front0" exists on the host', "ip link del front0"),
    ],
)
def test_link_that_lost_our_mark_is_not_touched(
    rich: tuple[Lab, Managed], damage: str, link: str, removal: str
) -> None:
    _lab, managed = rich
    veth = host_end(managed, "web", "eth0")
    managed.sh(damage.replace("VETH", veth))
    message = managed.port_mapping(mappings=PORTS, fails=True)["msg"]
    assert re.search(link, message) and "is not Bridgework's" in message
    managed.sh(removal.replace("VETH", veth))
    managed.port_mapping(mappings=PORTS)
    works(rich)


def test_deleted_bridge_is_made_again_with_its_ports(rich: tuple[Lab, Managed]) -> None:
    actions = repaired(rich, "ip link del front0")["actions"]
    assert len([line for line in actions if line.startswith("create bridge front0")]) == 1
    assert len([line for line in actions if line.startswith("change veth") and "on front0" in line]) == 2
    assert not [line for line in actions if "back0" in line or "remove" in line]


@pytest.mark.parametrize("damage", ["ip netns del web", "umount /run/netns/web", "ip netns del web; ip netns add web"])
def test_lost_namespace_is_made_again_with_all_that_was_in_it(rich: tuple[Lab, Managed], damage: str) -> None:
    _lab, managed = rich
    managed.sh(damage)
    result = managed.port_mapping(mappings=PORTS)
    assert managed.inode("sidecar") == managed.inode("web"), "sharers share the new one"
    works(rich)
    assert not [line for line in result["actions"] if "db/" in line or "back0" in line]


def test_namespaces_that_were_all_deleted_are_made_again(rich: tuple[Lab, Managed]) -> None:
    rich[1].sh("ip -all netns delete; while ls /sys/class/net | grep -q veth; do sleep 0.01; done")
    rich[1].port_mapping(mappings=PORTS)
    works(rich)


def test_host_that_was_rebooted_is_made_again(rich: tuple[Lab, Managed]) -> None:
    """Nothing is left but what was declared."""
    _lab, managed = rich
    before = managed.snapshot()
    managed.sh("ip -all netns delete; umount /run/netns; rm -r /run/netns /run/bridgework; nft flush ruleset")
    managed.sh("while ls /sys/class/net | grep -q veth; do sleep 0.01; done; ip link del front0; ip link del back0")
    managed.sh("echo 0 >/proc/sys/net/ipv4/ip_forward")
    assert managed.port_mapping(mappings=PORTS)["changed"]
    for snapshot in (before, after := managed.snapshot()):
        snapshot.update((key, "there") for key in snapshot if key.startswith("name "))
    same(before, after, "it is not as it was", identity=False)
    works(rich)


def test_two_addresses_that_somebody_added_stay(rich: tuple[Lab, Managed]) -> None:
    _lab, managed = rich
    managed.sh("ip addr add 198.18.0.1/24 dev front0; ip -n web addr add 198.18.0.2/24 dev eth0")
    managed.sh("ip -n web route add 198.18.9.0/24 via 198.18.0.1")
    before = managed.snapshot()
    assert not managed.port_mapping(mappings=PORTS)["changed"]
    same(before, managed.snapshot(), "what is not ours was changed")
    managed.sh("ip addr del 198.18.0.1/24 dev front0; ip -n web addr del 198.18.0.2/24 dev eth0")


# Rules.


def our_rules(managed: Managed) -> list[tuple[str, str]]:
    """(table, rule) of each rule of ours, jumps included."""
    found, table = [], ""
    for line in managed.rules():
        table = line[1:] if line.startswith("*") else table
        if line.startswith("-A") and "BRIDGEWORK" in line:
            found.append((table, line.removeprefix("-A ")))
    return found


def test_each_single_rule_is_missed_and_put_back(rich: tuple[Lab, Managed]) -> None:
    """Check mode names exactly that rule; then all of them are removed at once, one after the other."""
    _lab, managed = rich
    whole = managed.rules()
    rules = our_rules(managed)
    assert len(rules) > 15
    for table, rule in rules:
        place = whole.index("*" + table)
        number = [
            line for line in whole[place : whole.index("COMMIT", place)] if line.startswith(f"-A {rule.split()[0]} ")
        ].index(f"-A {rule}") + 1
        managed.sh(f"iptables -t {table} -D {rule.split()[0]} {number}")
        predicted = managed.once("port_mapping", {"mappings": PORTS}, check=True)
        (action,) = predicted["actions"]
        chain, _space, text = rule.partition(" ")
        assert action.startswith(f"create rule [ip {table} {chain}] ")
        assert same_words(action.partition("] ")[2], text)
        assert predicted["changed"]
        result = managed.once("port_mapping", {"mappings": PORTS})
        assert result["actions"] == [action]
        assert managed.rules() == whole
        assert not managed.once("port_mapping", {"mappings": PORTS})["changed"]


def same_words(ours: str, theirs: str) -> bool:
    """Our text of a rule leaves out what iptables adds on its own."""
    return set(ours.split()) <= set(theirs.split())


@pytest.mark.parametrize(
    "damage",
    [
        "iptables -t nat -F BRIDGEWORK-PORTS",
        "iptables -F BRIDGEWORK-FORWARD",
        "iptables -t raw -F",
        "iptables -F FORWARD; iptables -F BRIDGEWORK-FORWARD; iptables -X BRIDGEWORK-FORWARD",
        "for t in raw nat filter; do iptables -t $t -F; done",
        "for t in raw nat filter; do iptables -t $t -F; iptables -t $t -X; done",
        "nft flush ruleset",
        "iptables -A BRIDGEWORK-FORWARD -j ACCEPT",
        "iptables -I BRIDGEWORK-FORWARD -j ACCEPT",
        "iptables -t raw -I BRIDGEWORK-RAW -j RETURN",
        "iptables -A FORWARD -j BRIDGEWORK-FORWARD",
        "iptables -N BRIDGEWORK-OTHER; iptables -A BRIDGEWORK-OTHER -j ACCEPT",
        "iptables -N BRIDGEWORK-OTHER; iptables -I FORWARD 2 -j BRIDGEWORK-OTHER",
        "iptables -R BRIDGEWORK-FORWARD 1 -j ACCEPT",
        "{ echo '*filter'; echo ':BRIDGEWORK-FORWARD - [0:0]'; iptables-save -t filter | grep '^-A BRIDGE' | tac; "
        "echo COMMIT; } | iptables-restore --noflush",
    ],
)
def test_whole_chains_are_repaired(rich: tuple[Lab, Managed], damage: str) -> None:
    result = repaired(rich, damage)
    assert all(" rule " in line or "firewall" in line for line in result["actions"]), result["actions"]


def test_rules_are_the_same_to_the_older_kind_of_iptables(driver: Driver) -> None:
    with managed_lab(driver, ("host", "peer")) as (lab, managed):
        managed.sh("mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi")
        assert "legacy" in managed.sh("iptables -V")
        managed.container_network(networks=NETWORKS)
        managed.port_mapping(mappings=PORTS)
        works((lab, managed))
        managed.sh("iptables -F; iptables -t nat -D BRIDGEWORK-PORTS 1")
        assert managed.port_mapping(mappings=PORTS)["changed"]
        works((lab, managed))
        managed.container_network(
            networks=[{"name": each["name"], "state": "absent", "force": True} for each in NETWORKS]
        )
        assert not [line for line in managed.rules() if "BRIDGEWORK" in line]


def test_jump_that_lost_its_first_place_is_ours_still(rich: tuple[Lab, Managed]) -> None:
    _lab, managed = rich
    managed.sh("iptables -I FORWARD 1 -s 198.18.0.1 -j DROP")
    assert not managed.port_mapping(mappings=PORTS)["changed"]
    managed.sh("iptables -D FORWARD -s 198.18.0.1 -j DROP")


def test_any_module_repairs_everything(rich: tuple[Lab, Managed]) -> None:
    _lab, managed = rich
    tasks = (
        lambda: managed.network_prune(networks=False),
        lambda: managed.netns_bridge(containers=CONTAINERS),
        lambda: managed.container_network(networks=NETWORKS),
    )
    for task in tasks:
        managed.sh("iptables -F; ip link set front0 down; ip -n web route del default")
        assert task()["changed"]
        works(rich)


def test_item_that_drifted_is_the_one_that_is_reported(rich: tuple[Lab, Managed]) -> None:
    _lab, managed = rich
    managed.sh("ip -n db route del default")
    result = managed.container_network(networks=NETWORKS)
    assert result["changed"]
    managed.sh("ip link set front0 down")
    result = managed.container_network(networks=NETWORKS)
    assert {item["name"]: item["changed"] for item in result["networks"]} == {"front": True, "back": False}


@pytest.mark.parametrize(
    ("damage", "changed"),
    [
        ("iptables -D BRIDGEWORK-N-front0 -o front0 -j DROP", {"front"}),
        ("iptables -t raw -D BRIDGEWORK-RAW -d 192.168.10.0/24 ! -i front0 -j DROP", {"front"}),
        ("iptables -t nat -F BRIDGEWORK-PORTS", {"web", "back"}),
        ("iptables -D FORWARD -j BRIDGEWORK-FORWARD", {"front", "back"}),
    ],
)
def test_items_that_a_repaired_rule_is_about_are_reported(
    rich: tuple[Lab, Managed], damage: str, changed: set[str]
) -> None:
    _lab, managed = rich
    managed.sh(damage)
    items = managed.container_network(networks=NETWORKS, check=True)["networks"]
    items += managed.port_mapping(mappings=PORTS)["mappings"]
    assert {item.get("name", item.get("container")) for item in items if item["changed"]} == changed
