# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Others' rules that take or drop what is for published ports, as nft and iptables-save print them."""

from __future__ import annotations

import json
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._firewall import barriers
from ansible_collections.bridgework.network.plugins.module_utils._firewall.detours import Detour, objections
from ansible_collections.bridgework.network.plugins.module_utils._firewall.neighbours import find_legacy, find_native
from ansible_collections.bridgework.network.plugins.module_utils._model import PortMapping
from ansible_collections.bridgework.network.plugins.module_utils._state import Mappings

LOCAL = ["192.0.2.10", "192.0.2.11", "2001:db8::10", "127.0.0.1", "::1"]
PUBLISHED = [
    PortMapping("web", "tcp", 80, "0.0.0.0", 8000),
    PortMapping("web", "tcp", 80, "::", 8000),
    PortMapping("dns", "udp", 53, "192.0.2.10", 53),
    PortMapping("inner", "tcp", 80, "127.0.0.1", 9000),
]
MAPPINGS = Mappings({mapping.key: mapping for mapping in PUBLISHED})
ALL, DNS, FOUR, SIX = "0.0.0.0:8000/tcp [::]:8000/tcp", "192.0.2.10:53/udp", "0.0.0.0:8000/tcp", "[::]:8000/tcp"


def native(rules: str, *, kind: str = "nat", policy: str = "accept", family: str = "inet", more: str = "") -> str:
    lines = "".join(f"\t\t{line.strip()}\n" for line in rules.splitlines() if line.strip())
    head = f"\t\ttype {kind} hook prerouting priority dstnat; policy {policy};\n"
    return f"table {family} theirs {{\n\tchain early {{\n{head}{lines}\t}}\n{more}}}\n"


def taken(listing: str) -> str:
    """The published ports that are said to be taken, as after a time in the memory."""
    table = listing.partition(" {")[0].partition(" ")[2]
    _barriers, found = find_native(table, listing, LOCAL)
    return ports_in(objections(remembered(found), MAPPINGS, lambda: LOCAL))


def taken_legacy(rules: str, table: str = "nat", family: str = "ip") -> str:
    _barriers, found = find_legacy(family, f"*{table}\n:PREROUTING ACCEPT [0:0]\n{rules}COMMIT\n", LOCAL)
    return ports_in(objections(remembered(found), MAPPINGS, lambda: LOCAL))


def remembered(found: list[Detour]) -> list[Detour]:
    return [Detour(*each) for each in json.loads(json.dumps(found))]


def ports_in(told: list[str]) -> str:
    shown = chain.from_iterable(line.partition("is for ")[2].split(" of container ") for line in told)
    return " ".join(word for text in shown for word in text.split() if "/" in word)


@pytest.mark.parametrize(
    ("rule", "ports"),
    [
        ("tcp dport 8000 dnat ip to 10.0.0.1:80", ALL),
        ("tcp dport { 80, 443, 7000-9000 } counter packets 7 bytes 420 redirect to :3128", ALL),
        ("meta l4proto { tcp, udp } th dport 53 redirect to :5353", DNS),
        ("ip daddr 192.0.2.10 tcp dport 8000 dnat ip to 10.0.0.1", ALL.split(" ", maxsplit=1)[0]),
        ("ip daddr 192.0.2.0/24 udp dport 53 redirect", DNS),
        ("ip daddr != 192.0.2.11 tcp dport 8000 redirect", FOUR),
        ("ip6 daddr 2001:db8::10 tcp dport 8000 redirect to :80", SIX),
        ('iifname != "docker0" tcp dport 8000 dnat ip to 172.30.0.2:80 comment "a drop"', ALL),
        ("fib daddr type local tcp dport 8000 redirect", ALL),
        ("ct state new tcp dport != 22 redirect to :3128", ALL),
        ("ip saddr 198.51.100.0/24 tcp dport 8000 redirect", FOUR),
        ("udp dport 53 tproxy to :5353", DNS),
        ('meta l4proto tcp  tcp dport 8000 counter xt target "DNAT"', ALL),
        ("redirect to :3128", f"{DNS} {ALL}"),
        # Not for these ports, or nobody can tell.
        ("tcp dport 8001 dnat ip to 10.0.0.1:80", ""),
        ("udp dport 8000 redirect", ""),
        ("tcp dport != 8000 redirect", ""),
        ("tcp dport 9000 redirect", ""),
        ("ip daddr 198.51.100.7 tcp dport 8000 redirect", ""),
        ("ip daddr 192.0.2.11 udp dport 53 redirect", ""),
        ("ip daddr != 192.0.2.0/24 udp dport 53 redirect", ""),
        ("fib daddr type != local tcp dport 8000 redirect", ""),
        ("ct state established tcp dport 8000 redirect", ""),
        ("meta mark 0x00000007 tcp dport 8000 redirect", ""),
        ("ip daddr . tcp dport { 192.0.2.10 . 8000 } redirect", ""),
        ("tcp dport @those redirect", ""),
        ("dnat ip to tcp dport map { 8000 : 10.0.0.1 }", ""),
        ("tcp dport 8000 counter", ""),
        ("tcp dport 8000 accept", ""),
        # What is let pass before.
        ("tcp dport 8000 accept\ntcp dport 8000 redirect", ""),
        ("tcp dport 8000 return\nredirect to :3128", DNS),
        ("ip daddr 192.0.2.11 accept\ntcp dport 8000 redirect", ALL),
        ('iifname "docker0" return\ntcp dport 8000 redirect', ALL),
        ("accept\nredirect", ""),
        ('iifname "lo" tcp dport 8000 redirect', ""),
    ],
)
def test_rule_that_leads_elsewhere_is_named_with_the_ports_that_it_takes(rule: str, ports: str) -> None:
    assert taken(native(rule)).split() == ports.split()


def test_family_of_the_table_counts() -> None:
    assert taken(native("tcp dport 8000 redirect", family="ip")) == FOUR
    assert taken(native("tcp dport 8000 redirect", family="ip6")) == SIX


INNER = """
    chain theirs {
        iifname "docker0" counter packets 0 bytes 0 return
        tcp dport 8000 counter packets 0 bytes 0 dnat to 172.30.0.2:80
    }

    chain other {
        tcp dport 9 accept
    }

    chain through {
        goto theirs
        redirect to :3128
    }

    chain BRIDGEWORK-PORTS {
        tcp dport 8000 dnat to 192.168.10.2:80
    }
""".replace("    ", "\t")


@pytest.mark.parametrize(
    ("jump", "ports"),
    [
        ("fib daddr type local counter packets 0 bytes 0 jump theirs", ALL),
        ("meta l4proto tcp goto theirs", ALL),
        ("ip daddr 192.0.2.11 jump theirs", FOUR),
        ("meta l4proto udp jump theirs", ""),
        ("tcp dport 8000 return\njump theirs", ""),
        ("meta mark 0x1 jump theirs", ""),
        ("jump BRIDGEWORK-PORTS", ""),
        ("jump nowhere", ""),
        # Nothing comes back from where goto leads.
        ("goto other\ntcp dport 8000 redirect", ""),
        ("meta l4proto udp goto other\nredirect to :3128", ALL),
        ("jump through", ALL),
    ],
)
def test_chains_are_followed_into_each_other(jump: str, ports: str) -> None:
    assert taken(native(jump, more=INNER)) == ports


def test_chains_that_lead_into_each_other_forever_come_to_an_end() -> None:
    loop = "\tchain theirs {\n\t\tjump theirs\n\t\tjump theirs\n\t}\n"
    assert taken(native("jump theirs", more=loop)) == ""


@pytest.mark.parametrize(
    ("rules", "policy", "ports"),
    [
        ("tcp dport 8000 drop", "accept", ALL),
        ("udp dport 53 reject with icmpx port-unreachable", "accept", DNS),
        ("tcp dport 8000 accept\nct state established,related accept", "drop", DNS),
        ('iifname "lo" accept\nct state established accept', "drop", f"{DNS} {ALL}"),
        ('iifname { "lo", "eth0" } accept', "drop", ""),
        ("ip saddr 198.51.100.7 drop", "accept", ""),
        ('iifname "eth1" tcp dport 8000 drop', "accept", ""),
        ("ip saddr @known accept\ntcp dport 8000 drop", "accept", ""),
        ("tcp dport vmap { 22 : accept }\ntcp dport 8000 drop", "accept", ""),
        ("tcp dport 8000 return", "drop", f"{DNS} {ALL}"),
        ("goto other", "drop", f"{DNS} {ALL}"),
        ("ip daddr 127.0.0.1 drop", "accept", ""),
        ("fib saddr . iif oif missing drop", "accept", ""),
        ("", "accept", ""),
    ],
)
def test_what_drops_a_published_port_before_it_is_looked_up_is_named(rules: str, policy: str, ports: str) -> None:
    assert taken(native(rules, kind="filter", policy=policy)).split() == ports.split()


def test_what_is_said() -> None:
    table = "inet theirs"
    rules = "tcp dport 8000 counter packets 5 bytes 300 dnat ip to 10.0.0.1:80\n"
    _barriers, found = find_native(table, native(rules), LOCAL)
    assert objections(found, MAPPINGS, lambda: LOCAL) == [
        'firewall: the rule "tcp dport 8000 dnat ip to 10.0.0.1:80" of the chain early of the table inet theirs leads '
        'elsewhere what is for 0.0.0.0:8000/tcp of container "web", [::]:8000/tcp of container "web"; take it away, or '
        "publish another port"
    ]
    _barriers, found = find_native(table, native("tcp dport 8000 accept", kind="filter", policy="drop"), LOCAL)
    assert objections(found, MAPPINGS, lambda: LOCAL) == [
        "firewall: the policy drop of the chain early of the table inet theirs stops what is for 192.0.2.10:53/udp of "
        'container "dns"; accept that before it, or take it away'
    ]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('iifname "docker0" tcp dport 8000 redirect', 'comes in by "docker0" and'),
        ('iifname { "eth1", "br-*" } tcp dport 8000 redirect', 'comes in by "eth1" or "br-*" and'),
        ('iifname != "docker0" tcp dport 8000 redirect', 'does not come in by "docker0" and'),
        (
            'iifname "eth1" ip saddr 198.51.100.0/24 tcp dport 8000 redirect',
            'comes in by "eth1" and comes from "198.51.100.0/24" and',
        ),
        ('iifname "eth1" jump theirs', 'comes in by "eth1" and'),
        ("tcp dport 8000 redirect", ""),
    ],
)
def test_whose_packets_a_rule_leads_elsewhere_is_said(rule: str, words: str) -> None:
    more = "\tchain theirs {\n\t\ttcp dport 8000 redirect\n\t}\n"
    _barriers, found = find_native("inet theirs", native(rule, more=more), LOCAL)
    (told,) = objections(remembered(found), MAPPINGS, lambda: LOCAL)
    said = " ".join(filter(None, ("leads elsewhere what", words, "is for 0.0.0.0:8000/tcp of")))
    assert f" of the table inet theirs {said} container" in told


DOCKER = """-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport {} -j DNAT --to-destination 172.30.0.2:80
"""


@pytest.mark.parametrize(
    ("rules", "ports"),
    [
        (DOCKER.format(8000), FOUR),
        (DOCKER.format(9000), ""),
        ("-A PREROUTING -g theirs\n-A PREROUTING -j REDIRECT\n-A theirs -p udp -j REDIRECT\n", DNS),
        ("-A PREROUTING -p tcp -m multiport --dports 80,443,7000:9000 -j REDIRECT --to-ports 3128\n", FOUR),
        ('-A PREROUTING -p udp -m comment --comment "a \\"b\\"" -m udp --dport 53 -j REDIRECT\n', DNS),
        ("-A PREROUTING -d 192.0.2.10/32 -j DNAT --to-destination 10.0.0.1\n", f"{DNS} {FOUR}"),
        ("-A PREROUTING -p tcp -m conntrack --ctstate NEW -m tcp ! --dport 22 -j REDIRECT\n", FOUR),
        ("-A PREROUTING -d 198.51.100.7/32 -p tcp -m tcp --dport 8000 -j DNAT --to-destination 10.0.0.1\n", ""),
        ("-A PREROUTING -p tcp -m set --match-set a src -m tcp --dport 8000 -j REDIRECT\n", ""),
        ("-A PREROUTING ! -p tcp -j REDIRECT\n", ""),
        ("-A PREROUTING -p tcp -m tcp --dport 8000 -j ACCEPT\n-A PREROUTING -p tcp -j REDIRECT --to-ports 3128\n", ""),
        ('-A PREROUTING -m comment --comment "open -j DNAT\n', ""),
    ],
)
def test_older_kind_of_iptables_is_asked_the_same(rules: str, ports: str) -> None:
    assert taken_legacy(rules).split() == ports.split()


def test_older_kind_says_whose_packets_too() -> None:
    rule = "-A PREROUTING -s 198.51.100.7/32 ! -i docker0 -p tcp -m tcp --sport 68 --dport 8000 -j REDIRECT"
    saved = f"*nat\n:PREROUTING ACCEPT [0:0]\n{rule}\nCOMMIT\n"
    (told,) = objections(find_legacy("ip", saved, LOCAL)[1], MAPPINGS, lambda: LOCAL)
    assert (
        'leads elsewhere what comes from "198.51.100.7/32" and does not come in by "docker0" and comes from port "68" '
        "and is for 0.0.0.0:8000/tcp of" in told
    )


def test_older_kind_drops_early() -> None:
    assert taken_legacy("-A PREROUTING -p udp -m udp --dport 53 -j DROP\n", "raw") == DNS
    assert taken_legacy("-A PREROUTING -d 172.30.0.2/32 ! -i docker0 -j DROP\n", "raw") == ""


# Bridges, by name.


def stopped(listing: str) -> list[tuple[str, list[str]]]:
    table = listing.partition(" {")[0].partition(" ")[2]
    found, _detours = find_native(table, listing, LOCAL)
    return [
        (each.end, [name for name in ("bw0", "br-1") if barriers.objections([each], {name: [4]})]) for each in found
    ]


FORWARD = (
    "table ip filter {{\n\tchain FORWARD {{\n\t\ttype filter hook forward priority filter; policy accept;\n{}\t}}\n}}\n"
)


@pytest.mark.parametrize(
    ("rules", "devices"),
    [
        ('iifname "bw0" counter packets 0 bytes 0 drop', ["bw0"]),
        ('oifname { "bw0", "eth7" } reject', ["bw0"]),
        ('iifname "b*" drop', ["bw0", "br-1"]),
        ('iifname "bw0" oifname "eth0" drop', []),
        ('iifname "bw0" tcp dport 25 drop', []),
        ('iifname != "bw0" drop', []),
        ('ip saddr 192.0.2.1 accept\niifname "bw0" drop', []),
        ('ct state established accept\niifname "bw0" drop', ["bw0"]),
        ('iifname "bw0" accept\noifname "bw0" drop', []),
    ],
)
def test_rule_that_stops_one_of_our_bridges_by_its_name_is_named(rules: str, devices: list[str]) -> None:
    listing = FORWARD.format("".join(f"\t\t{line}\n" for line in rules.splitlines()))
    assert [name for _end, names in stopped(listing) for name in names] == devices


def test_rule_before_our_jump_counts_and_one_behind_it_does_not() -> None:
    early = '\t\tiifname "bw0" drop\n\t\tjump BRIDGEWORK-FORWARD\n'
    late = '\t\tjump BRIDGEWORK-FORWARD\n\t\tiifname "bw0" drop\n'
    (before,), (behind,) = (find_native("ip filter", FORWARD.format(each), LOCAL)[0] for each in (early, late))
    assert (before.overtakes, behind.overtakes) == (True, False)
    assert before.end == 'has "iifname "bw0" drop" before our rules'


@pytest.mark.parametrize(
    ("rules", "policy", "devices"),
    [
        ('iifname { "lo", "eth0" } accept\nct state established accept', "drop", ["bw0", "br-1"]),
        ('iifname "eth0" accept\niifname "br-*" accept', "drop", ["bw0"]),
        ('iifname "lo" accept\ndrop', "accept", ["bw0", "br-1"]),
        ('iifname != "eth0" accept', "drop", []),
        ("ip saddr 172.16.0.0/12 accept", "drop", []),
        ('iifname "bw0" drop', "accept", ["bw0"]),
        ('fib daddr type local iifname "bw0" drop', "accept", []),
    ],
)
def test_chain_that_drops_early_what_comes_from_our_bridges_is_named(
    rules: str, policy: str, devices: list[str]
) -> None:
    listing = native(rules, kind="filter", policy=policy)
    assert [name for _end, names in stopped(listing) for name in names] == devices


WORDS = [*(DOCKER.format(8000) + native('iifname { "a" } tcp dport { 8000, 9-7 } dnat ip to 10.0.0.1')).split(" "), "!"]


@given(st.text() | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_rule_is_read(text: str) -> None:
    line = text.replace("\n", " ")
    assert isinstance(taken(native(f"{line}\nredirect")), str)
    assert isinstance(taken_legacy(f"-A PREROUTING {line}\n-A {line}\n"), str)
