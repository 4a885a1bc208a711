# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host on which nothing happened isn't read again, and one on which something did is.

Also where the older iptables holds our rules, whose changes the kernel doesn't count.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from kernel.support import Managed, parsed
from kernel.test_port_tree import as_legacy

TASK = ("port_mapping", {"container": "web", "published_ports": ["8000:8080"]})
LEGACY = pytest.param("legacy", marks=pytest.mark.needs_kernel("ip6_tables"), id="legacy")
COUNTED = ("iptables", "nftables")
KINDS = (*COUNTED, LEGACY)
MEMORY = "/run/bridgework/firewall"

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A backend, or iptables of the older kind."""
    return request.param


@pytest.fixture
def backend(kind: str) -> str:
    return "iptables" if kind == "legacy" else kind


@pytest.fixture
def settled(kind: str, managed: Managed) -> Managed:
    if kind == "legacy":
        as_legacy(managed)
    managed.run("container_network", framed=False, name="front", connected=["web"])
    managed.run(TASK[0], framed=False, **TASK[1])
    if kind == "legacy":
        assert_read(managed)
    return managed


def look(managed: Managed) -> tuple[bool, int]:
    """Whether a task that asks for nothing new changed something, and how many processes it started."""
    (outcome,) = managed.outcomes([TASK], fork=True)
    return parsed(outcome)["changed"], outcome["processes"]


def assert_read(managed: Managed) -> None:
    changed, processes = look(managed)
    assert not changed and processes > 0


def cases(commands: Mapping[str, Mapping[str, str]]) -> list[object]:
    """Each kind with each of its commands; what is said of no kind is for all."""
    kinds = {kind if isinstance(kind, str) else kind.id: () if isinstance(kind, str) else kind.marks for kind in KINDS}
    return [
        pytest.param(kind, each.get(kind) or each[""], id=f"{what}-{kind}", marks=marks)
        for what, each in commands.items()
        for kind, marks in kinds.items()
        if kind in each or "" in each
    ]


def test_nothing_is_read_where_nothing_happened(settled: Managed) -> None:
    assert look(settled) == (False, 0)


@pytest.mark.parametrize("kind", [LEGACY], indirect=True)
def test_packets_are_nothing_that_happens(settled: Managed) -> None:
    with settled.host.serve("tcp", 8080, netns="web"):
        assert settled.host.ask("tcp", "192.0.2.10", 8000)
    assert look(settled) == (False, 0)


FOREIGN = {
    "a foreign table of nftables": {"": "nft add table inet foreign"},
    "a foreign rule of iptables": {"": "iptables -I INPUT -s 198.18.0.1 -j DROP"},
    "a policy": {"legacy": "iptables -P INPUT ACCEPT; iptables -P FORWARD DROP"},
    "a foreign table": {"legacy": "ip6tables -t security -L"},
    "no memory": dict.fromkeys(COUNTED, f"rm {MEMORY}"),
    "a memory that can't be read": dict.fromkeys(COUNTED, f"head -c 100 /dev/urandom >{MEMORY}"),
}


@pytest.mark.parametrize(("kind", "command"), cases(FOREIGN), indirect=["kind"])
def test_all_is_read_once_after(settled: Managed, command: str) -> None:
    settled.sh(command)
    assert_read(settled)
    assert look(settled) == (False, 0)


OURS = {
    "a rule less": {
        "": "iptables -t nat -D PREROUTING 1",
        "nftables": "nft flush chain inet bridgework raw",
    },
    "another rule in its place": {
        "": "iptables -R BRIDGEWORK-FORWARD 1 -j ACCEPT",
        "nftables": "nft insert rule inet bridgework forward accept",
    },
    "a port less": {
        "iptables": "iptables -t nat -F BRIDGEWORK-PORTS",
        "nftables": "nft delete element inet bridgework wildcards { tcp . 8000 }",
    },
    "another port": {
        "legacy": "iptables -t nat -R BRIDGEWORK-PORTS 1 -p tcp --dport 8001 -j DNAT --to-destination 172.17.0.2",
    },
    "no table": {
        "iptables": "nft delete table ip nat",
        "nftables": "nft delete table inet bridgework",
        "legacy": "iptables -t nat -F",
    },
    "a set less of the guard": {"": "nft flush set bridge bridgework macs"},
    "all": dict.fromkeys(COUNTED, "nft flush ruleset"),
}


@pytest.mark.parametrize(("kind", "command"), cases(OURS), indirect=["kind"])
def test_drift_is_found(settled: Managed, kind: str, command: str) -> None:
    assert look(settled) == (False, 0)
    settled.sh(command)
    assert settled.run(*TASK[:1], check=True, **TASK[1])["changed"]
    assert look(settled)[0], "the run in check mode took nothing for mended"
    if kind == "legacy":  # what a change comes to can't be foretold there, and is read once
        assert not look(settled)[0]
    assert look(settled) == (False, 0)


@pytest.mark.parametrize("kind", COUNTED, indirect=True)
def test_memory_of_another_time_or_place_is_none(settled: Managed) -> None:
    """The kernel counts anew after a boot, and in each namespace: the same number there says nothing."""
    settled.sh(f"sed -i 's/^[^ ]* /00000000-0000-0000-0000-000000000000 /' {MEMORY}")
    assert_read(settled)


@pytest.mark.parametrize("kind", COUNTED, indirect=True)
def test_what_somebody_else_does_during_a_run_is_seen_by_the_next(settled: Managed) -> None:
    """Our lines are taken away between the end of our transactions and the look at what they came to."""
    command = OURS["a rule less"].get(settled.backend, OURS["a rule less"][""])
    settled.sh(
        'cp /usr/sbin/nft /run/nft.real; chmod +x /run/nft.real; echo \'#!/bin/sh\n/run/nft.real "$@" || exit\n'
        f'case "$*" in -f*) {command};; esac\' >/run/nft.fake; chmod +x /run/nft.fake; '
        "mount --bind /run/nft.fake /usr/sbin/nft"
    )
    settled.run("container_network", framed=False, name="front", connected=["web", "db"])
    settled.sh("umount /usr/sbin/nft")
    changed, _processes = look(settled)
    assert changed
