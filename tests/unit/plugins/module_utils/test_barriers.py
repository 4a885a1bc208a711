# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Others' chains in the way, as nft prints them, and what users are told of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._firewall.barriers import Barrier, objections
from ansible_collections.bridgework.network.plugins.module_utils._firewall.neighbours import (
    find_barriers,
    find_legacy_barriers,
    is_in_use,
)


def listing(text: str) -> str:
    """As nft indents it."""
    return text.replace("    ", "\t")


FIREWALLD = listing("""table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state established,related accept
        iifname "lo" accept
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
    }

    chain filter_FORWARD_ZONES {
        iifname "virbr0" goto filter_FWD_libvirt
    }
}
""")
DROPPING = listing("""table ip filter {
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        iifname "docker0" counter packets 0 bytes 0 accept
    }
}
""")
DEVICES = {"bw0": [4], "br-six": [6]}


def told(text: str, devices: dict[str, list[int]] | None = None) -> list[str]:
    table = text.partition(" {")[0].partition(" ")[2]
    return objections(find_barriers(table, text), DEVICES if devices is None else devices)


def test_chain_that_ends_in_a_verdict_is_named_with_its_tools_remedy() -> None:
    assert told(FIREWALLD) == [
        'firewall: chain filter_FORWARD of the table inet firewalld ends in "reject with icmpx admin-prohibited", '
        "which stops what is to pass br-six, bw0; see to it with: firewall-cmd --permanent --zone=trusted "
        "--add-interface=br-six --add-interface=bw0 && firewall-cmd --reload"
    ]


def test_policy_concerns_those_who_forward_its_family() -> None:
    assert told(DROPPING) == [
        "firewall: chain FORWARD of the table ip filter has the policy drop, which stops what is to pass bw0; "
        "set firewall_backend to iptables, or accept these interfaces there, in both directions"
    ]
    assert told(DROPPING, {"br-six": [6]}) == told(DROPPING, {}) == []


@pytest.mark.parametrize("name", ["bw0", "bw*", "*"])
def test_who_names_our_bridges_knows_what_he_does(name: str) -> None:
    assert told(DROPPING.replace("docker0", name), {"bw0": [4]}) == []
    assert told(DROPPING.replace("docker0", "bw"), {"bw0": [4]})


OVERTAKEN = listing("""table ip filter {
    chain FORWARD {
        type filter hook forward priority filter; policy accept;
        iifname "docker0" counter packets 0 bytes 0 accept
        counter packets 0 bytes 0 reject
        counter packets 0 bytes 0 jump BRIDGEWORK-FORWARD
    }
    chain BRIDGEWORK-FORWARD {
        oifname "bw0" counter packets 0 bytes 0 jump BRIDGEWORK-N-bw0
    }
}
""")


def test_rule_that_came_to_stand_before_ours_is_named() -> None:
    told_of = "which stops what is to pass bw0; put that rule behind the jump to BRIDGEWORK-FORWARD"
    assert told(OVERTAKEN) == [
        f'firewall: chain FORWARD of the table ip filter has "reject" before our rules, {told_of}'
    ]
    assert told(OVERTAKEN.replace("bytes 0 reject", "bytes 0 accept")) == []
    older = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j DROP\n-A FORWARD -j BRIDGEWORK-FORWARD\nCOMMIT\n"
    (barrier,) = find_legacy_barriers("ip", older)
    assert barrier == Barrier("ip filter (legacy)", "FORWARD", 'has "DROP" before our rules', (), overtakes=True)


def test_who_looks_interfaces_up_in_a_set_may_know_ours() -> None:
    assert told(DROPPING.replace('"docker0"', "@inside")) == []


@pytest.mark.parametrize(
    "rules",
    [
        "",
        '\t\tiifname "a" drop\n',
        "\t\tip saddr 192.0.2.1 reject\n",
        "\t\tjump drop\n",
        "\t\tdrop\n\t\tcounter accept\n",
    ],
)
def test_chains_that_let_pass_whom_they_do_not_name_are_no_barrier(rules: str) -> None:
    chain = "\tchain f {\n\t\ttype filter hook forward priority filter; policy accept;\n" + rules + "\t}\n"
    assert told(f"table inet own {{\n{chain}}}\n") == []
    assert told(f"table inet own {{\n{chain}}}\n".replace("forward", "input").replace("accept;", "drop;")) == []


@pytest.mark.parametrize(
    "end", ["drop", "counter packets 5 bytes 60 drop", "reject", "reject with tcp reset", 'drop # "why"']
)
def test_ends(end: str) -> None:
    listing = (
        "table inet own {\n\tchain f {\n\t\ttype filter hook forward priority 0; policy accept;\n"
        f"\t\tct state 0x2 accept\n\t\t{end}\n\t}}\n}}\n"
    )
    assert [each.end.startswith("ends in ") for each in find_barriers("inet own", listing)] == [True]


OLDER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A FORWARD -i docker0 -j ACCEPT
-A FORWARD -o virbr+ -j ACCEPT
COMMIT
"""


def test_older_kind_of_iptables_is_asked_the_same() -> None:
    (barrier,) = find_legacy_barriers("ip", OLDER)
    assert barrier == Barrier("ip filter (legacy)", "FORWARD", "has the policy drop", ("lo", "docker0", "virbr*"))
    assert not list(find_legacy_barriers("ip", OLDER.replace("FORWARD DROP", "FORWARD ACCEPT")))
    rejecting = OLDER.replace("FORWARD DROP", "FORWARD ACCEPT").replace(
        "COMMIT", "-A FORWARD -j REJECT --reject-with x"
    )
    (barrier,) = find_legacy_barriers("ip6", rejecting)
    assert barrier.end == 'ends in "-A FORWARD -j REJECT --reject-with x"'


@pytest.mark.parametrize(
    ("chain", "used"),
    [
        ([], False),
        (["type filter hook forward priority filter; policy accept;"], False),
        (["type filter hook forward priority filter; policy drop;"], True),
        ([":FORWARD ACCEPT [0:0]"], False),
        ([":FORWARD DROP [0:0]"], True),
        ([":FORWARD ACCEPT [0:0]", "-A FORWARD -j BRIDGEWORK-USER", "-A FORWARD -j BRIDGEWORK-FORWARD"], False),
        ([":FORWARD ACCEPT [0:0]", "-A FORWARD -j DOCKER-USER"], True),
        (["policy accept;", "counter packets 0 bytes 0 jump BRIDGEWORK-FORWARD"], False),
        (["policy accept;", "counter packets 0 bytes 0 jump BRIDGEWORK-FORWARD", "ip saddr 198.18.0.1 accept"], True),
    ],
)
def test_chain_is_in_use_that_drops_or_has_rules_of_others(chain: list[str], used: bool) -> None:
    assert is_in_use(chain) is used


@given(st.text() | st.lists(st.sampled_from(OLDER.split(" "))).map(" ".join))
def test_any_output_of_the_older_kind_is_read(saved: str) -> None:
    assert all(isinstance(each, Barrier) for each in find_legacy_barriers("ip", saved))


@given(st.text() | st.lists(st.sampled_from((FIREWALLD + DROPPING).split(" "))).map(" ".join))
def test_any_listing_is_read(listing: str) -> None:
    assert all(isinstance(each, Barrier) for each in find_barriers("inet any", listing))
