# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of nftables: the administrator's part of it, changes by hand, and how little a task touches."""

from __future__ import annotations

import re

import pytest
from kernel.support import HOST, Managed, bare, same
from kernel.test_isolation import PROTOCOLS, reached

from lab import Lab

FRONT, FRONT6, WEB, HOST6 = "192.168.10.0/24", "fd00:10::/64", "192.168.10.2", "2001:db8:1::10"
NETWORK = {
    "name": "front",
    "ipam_config": [{"subnet": FRONT}, {"subnet": FRONT6}],
    "driver_options": {"com.docker.network.bridge.name": "front0"},
    "connected": ["web", "mate"],
}
INSIDE = {"name": "inside", "internal": True, "ipam_config": [{"subnet": "192.168.20.0/24"}], "connected": ["db"]}
PORTS = {"container": "web", "published_ports": ["8000:8080", "8000:8080/udp", "127.0.0.1:9000:8080"]}
GUESTS = {"container": "mate", "published_ports": ["8500:8080"], "allowed_sources": ["192.0.2.0/28"]}
GONE = {"networks": [{"name": name, "state": "absent", "force": True} for name in ("front", "inside")]}
TABLE = "inet bridgework"


@pytest.fixture(scope="module")
def backend() -> str:
    return "nftables"


pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def host(managed: Managed) -> Managed:
    """Two networks, ports for all, for the host itself and for some clients."""
    managed.run("container_network", networks=[NETWORK, INSIDE], framed=False)
    managed.run("port_mapping", mappings=[PORTS, GUESTS], framed=False)
    for protocol in PROTOCOLS:
        for address in ("0.0.0.0", "::"):
            managed.host.serve(protocol, 8080, netns="web", address=address)
    return managed


def publish(host: Managed, **options: object) -> dict:
    return host.port_mapping(mappings=[PORTS, GUESTS], **options)


def users(host: Managed) -> str:
    """What the administrator has in our table."""
    return "\n".join(re.findall(r"(?ms)^\t(?:chain|set|map) user.*?^\t\}", host.table()))


# The administrator's.


RULES = f"""
    add set {TABLE} user_list {{ type ipv4_addr; elements = {{ 203.0.113.9 }}; }}
    add chain {TABLE} user_web
    add rule {TABLE} user_web meta l4proto tcp ct original proto-dst 8000 drop
    add rule {TABLE} user ip saddr @user_list drop
    add rule {TABLE} user jump user_web
"""


def test_rules_come_first_and_every_run_leaves_them_there(lab: Lab, host: Managed) -> None:
    assert users(host) == "\tchain user {\n\t}"
    assert reached(lab.peer, HOST, 8000) == reached(lab.peer, HOST6, 8000) == [*PROTOCOLS]
    host.host.run("nft", "-f", "-", input=RULES)
    held = users(host)
    assert held.count("\n") > 8
    assert not publish(host)["changed"], "it is no drift"
    host.port_mapping(container="web", published_ports=["8001:8080"])
    host.sh(f"nft flush chain {TABLE} forward; nft delete element {TABLE} wildcards '{{ udp . 8000 }}'")
    assert publish(host)["changed"]
    host.sh(f"nft add table {TABLE} '{{ comment \"made\"; flags dormant; }}'")
    assert publish(host)["changed"], "also where the whole table is made anew"
    assert users(host) == held
    host.sh(f"nft flush chain {TABLE} into; nft flush set {TABLE} bridges; nft add chain {TABLE} theirs")
    assert publish(host)["changed"]
    assert users(host) == held
    assert reached(lab.peer, HOST, 8000) == reached(lab.peer, HOST6, 8000) == ["udp"]


def test_closed_port_can_be_opened(lab: Lab, host: Managed) -> None:
    routed = {"com.docker.network.bridge.gateway_mode_ipv4": "routed"}
    host.container_network(**{**NETWORK, "driver_options": {**NETWORK["driver_options"], **routed}})
    lab.peer.run("ip", "route", "add", FRONT, "via", HOST)
    host.host.serve("tcp", 9090, netns="web")
    assert reached(lab.peer, WEB, 9090) == []
    host.sh(f"nft add rule {TABLE} user tcp dport 9090 accept")
    assert reached(lab.peer, WEB, 9090) == ["tcp"]


def test_rules_outlive_the_last_network_and_are_at_work_again_with_the_next(lab: Lab, host: Managed) -> None:
    host.sh(f"nft add rule {TABLE} user meta l4proto udp drop")
    host.container_network(**GONE)
    assert host.table().split() == f"table {TABLE} {{ chain user {{ meta l4proto 17 drop }} }}".split()
    host.container_network(**NETWORK)
    publish(host, framed=False)
    assert reached(lab.peer, HOST, 8000) == reached(lab.peer, HOST6, 8000) == ["tcp"]
    host.container_network(**GONE, firewall_backend="iptables")
    assert "meta l4proto 17 drop" in host.table()


def test_without_rules_all_goes_with_the_last_network(managed: Managed) -> None:
    before = managed.snapshot()
    managed.container_network(networks=[NETWORK, INSIDE])
    managed.sh(f"nft add rule {TABLE} user accept; nft flush chain {TABLE} user")
    managed.container_network(**GONE)
    managed.network_prune(containers=True)
    same(bare(before), bare(managed.snapshot()), "something is left behind")


def test_chain_may_have_a_comment(host: Managed) -> None:
    host.container_network(**GONE)
    rules = 'chain user { comment "mine"; meta l4proto 17 drop; }'
    host.host.run("nft", "-f", "-", input=f"table {TABLE} {{\n{rules}\n}}\n")
    host.container_network(**NETWORK)
    host.sh(f"nft add table {TABLE} '{{ flags dormant; }}'")
    assert host.container_network(**NETWORK)["changed"]
    assert users(host).count("meta l4proto 17 drop") == users(host).count("mine") == 1


def test_what_is_left_of_a_table_without_the_chain_goes_too(host: Managed) -> None:
    host.sh(f"nft flush chain {TABLE} forward; nft delete chain {TABLE} user")
    host.container_network(**GONE)
    assert host.table() == ""


def test_rules_that_were_there_before_us_are_used(lab: Lab, managed: Managed) -> None:
    managed.sh(f"nft add table {TABLE}; nft add chain {TABLE} user; nft add rule {TABLE} user meta l4proto 6 drop")
    managed.container_network(**NETWORK)
    managed.port_mapping(**PORTS)
    for protocol in PROTOCOLS:
        managed.host.serve(protocol, 8080, netns="web")
    assert reached(lab.peer, HOST, 8000) == ["udp"]


# By hand.


DAMAGES = {
    "no port": f"flush map {TABLE} wildcards",
    "a port that leads elsewhere": f"delete element {TABLE} wildcards {{ tcp . 8000 }}; "
    f"add element {TABLE} wildcards {{ tcp . 8000 : 192.168.10.3 . 80 }}",
    "a port that nobody published": f"add element {TABLE} wildcards {{ tcp . 7 : {WEB} . 7 }}",
    "a client more": f"add element {TABLE} restricted_wildcards "
    "{ 203.0.113.0/24 . tcp . 8500 : 192.168.10.3 . 8080 }",
    "no clients": f"flush map {TABLE} restricted_wildcards",
    "no bridge": f"flush set {TABLE} bridges",
    "no network": f"flush map {TABLE} networks",
    "a network that leads elsewhere": f"delete element {TABLE} networks {{ front0 }}; "
    f"add element {TABLE} networks {{ front0 : accept }}",
    "no rules": "; ".join(f"flush chain {TABLE} {chain}" for chain in ("raw", "forward", "into", "prerouting")),
    "a rule more": f"add rule {TABLE} into accept",
    "a rule in front": f"insert rule {TABLE} forward accept",
    "a rule in another order": f"flush chain {TABLE} to_front0; add rule {TABLE} to_front0 drop; "
    f'add rule {TABLE} to_front0 iifname "front0" return',
    "another policy": f"add chain {TABLE} forward {{ policy drop; }}",
    "no chain": f"flush chain {TABLE} output; delete chain {TABLE} output",
    "no chain of the administrator's": f"flush chain {TABLE} forward; delete chain {TABLE} user",
    "chains, sets and more of somebody's": f"add chain {TABLE} theirs; add set {TABLE} theirs {{ type ipv4_addr; }}; "
    f"add rule {TABLE} theirs ip saddr @theirs drop; add rule {TABLE} into jump theirs; add counter {TABLE} theirs",
    "a table that sleeps": f"add table {TABLE} {{ flags dormant; }}",
    "no table": f"delete table {TABLE}",
    "nothing": "flush ruleset",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_told_in_check_mode_and_repaired(lab: Lab, host: Managed, what: str) -> None:
    before = host.snapshot()
    host.host.run("nft", "-f", "-", input=DAMAGES[what].replace("; ", "\n").replace(";\n}", "; }"))
    assert publish(host, check=True)["changed"]
    assert publish(host)["changed"]
    same(before, host.snapshot(), "it is not as it was")
    assert reached(lab.peer, HOST, 8000) == reached(lab.peer, HOST6, 8000) == [*PROTOCOLS]


def test_items_that_a_repair_is_about_are_the_ones_reported(host: Managed) -> None:
    host.sh(f"nft delete element {TABLE} wildcards '{{ tcp . 8000 }}'")
    result = publish(host)
    assert [item["changed"] for item in result["mappings"]] == [True, False]
    assert result["actions"] == [f"create rule [{TABLE} @wildcards] tcp . 8000 : {WEB} . 8080"]


def test_what_is_saved_by_hand_can_be_loaded_and_is_the_same(host: Managed) -> None:
    host.sh("{ echo flush ruleset; nft list ruleset; } >/run/saved; nft flush ruleset; nft -f /run/saved")
    assert not publish(host)["changed"]


@pytest.mark.parametrize("internal", [False, True])
def test_network_that_was_there_has_nothing_to_do_with_one_that_comes_or_goes(host: Managed, internal: bool) -> None:
    both = [NETWORK, {"name": "new", "internal": internal, "connected": ["other"]}]
    result = host.container_network(networks=both)
    assert [item["changed"] for item in result["networks"]] == [False, True]
    result = host.container_network(networks=[NETWORK, {"name": "new", "state": "absent", "force": True}])
    assert [item["changed"] for item in result["networks"]] == [False, True]


OTHER_WORDS = """#!/bin/sh
/run/nft.real "$@" >/run/listed.$$ || exit
sed 's/ct state 0x2,0x4/ct state established,related/; s/fib daddr type 2/fib daddr type local/; s/ -300;/ raw;/
     s/meta l4proto { 6, 17, 132 }/meta l4proto { tcp, udp, sctp }/' /run/listed.$$
rm /run/listed.$$
"""


def test_words_of_another_version_of_nft_are_found_out(host: Managed) -> None:
    """By having it print our rules; what it has other words for is no drift."""
    before = host.snapshot()
    host.host.run("sh", "-ec", "cat >/run/nft.fake", input=OTHER_WORDS)
    host.sh("cp /usr/sbin/nft /run/nft.real; chmod +x /run/nft.*; mount --bind /run/nft.fake /usr/sbin/nft")
    host.sh("nft add table inet foreign")
    assert not host.once("port_mapping", PORTS)["changed"]
    host.sh(f"nft flush chain {TABLE} into; nft flush chain {TABLE} ports")
    result = host.once("port_mapping", PORTS)
    assert result["changed"] and len(result["actions"]) == 3 + 4, result["actions"]
    host.sh("nft delete table inet foreign")
    assert not host.once("port_mapping", PORTS)["changed"]
    host.sh("umount /usr/sbin/nft")
    same(before, host.snapshot(), "it is not as it was")


# How little.


def test_one_port_more_is_one_element_in_each_family(host: Managed) -> None:
    """What others see of it: nft monitor prints what a transaction consists of."""
    monitor = host.host.popen("nft", "-n", "monitor", stdout=-1, text=True)
    host.sh("sleep 0.3")
    host.run("port_mapping", container="web", published_ports=["8001:8080"], framed=False)
    host.sh("nft add table inet last")
    seen = list(iter(monitor.stdout.readline, "add table inet last\n"))
    host.host.stop(monitor)
    assert [line.strip() for line in seen if not line.startswith("#")] == [
        f"add element {TABLE} wildcards {{ 6 . 8001 : {WEB} . 8080 }}",
        f"add element {TABLE} wildcards6 {{ 6 . 8001 : fd00:10::2 . 8080 }}",
    ]


# Bad hosts.


WITHOUT_FIB = """#!/bin/sh
case "$*" in -f*|-c*) ;; *) exec /run/nft.real "$@";; esac
cat >/run/script
line=$(grep -n -m1 "fib daddr" /run/script) || exec /run/nft.real "$@" </run/script
echo "/dev/stdin:${line%%:*}:1-17: Error: Could not process rule: No such file or directory" >&2
exit 1
"""


def test_kernel_without_what_the_rules_ask_is_named_and_nothing_changed(managed: Managed) -> None:
    """nft that refuses what asks for the kind of an address, in the words of a kernel that can't tell."""
    managed.host.run("sh", "-ec", "cat >/run/nft.fake", input=WITHOUT_FIB)
    managed.sh("cp /usr/sbin/nft /run/nft.real; chmod +x /run/nft.*; mount --bind /run/nft.fake /usr/sbin/nft")
    for check in (True, False):
        message = managed.once("container_network", NETWORK, check=check)["msg"]
        assert message.startswith("nft refused the rule set: ") and "(fib daddr type != 2 accept)" in message
        assert "CONFIG_NFT_FIB_INET" in message and managed.table() == ""
    assert managed.sh("ip -br link show type bridge; ls /run/netns") == ""
