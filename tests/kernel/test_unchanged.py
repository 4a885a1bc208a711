# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host on which nothing happened isn't read again, and one on which something did is."""

from __future__ import annotations

import pytest
from kernel.support import Managed, parsed

TASK = ("port_mapping", {"container": "web", "published_ports": ["8000:8080"]})
BACKENDS = ("iptables", "nftables")
MEMORY = "/run/bridgework/firewall"

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def settled(managed: Managed) -> Managed:
    managed.run("container_network", framed=False, name="front", connected=["web"])
    managed.run(TASK[0], framed=False, **TASK[1])
    return managed


def look(managed: Managed) -> tuple[bool, int]:
    """Whether a task that asks for nothing new changed something, and how many processes it started."""
    (outcome,) = managed.outcomes([TASK], fork=True)
    return parsed(outcome)["changed"], outcome["processes"]


def test_nothing_is_read_where_nothing_happened(settled: Managed) -> None:
    assert look(settled) == (False, 0)


FOREIGN = {
    "a foreign table": "nft add table inet foreign",
    "a foreign rule of iptables": "iptables -I INPUT -s 198.18.0.1 -j DROP",
    "no memory": f"rm {MEMORY}",
    "a memory that can't be read": f"head -c 100 /dev/urandom >{MEMORY}",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_all_is_read_once_after(settled: Managed, what: str) -> None:
    settled.sh(FOREIGN[what])
    changed, processes = look(settled)
    assert not changed and processes > 0
    assert look(settled) == (False, 0)


OURS = {
    "a rule less": {
        "iptables": "iptables -t nat -D PREROUTING 1",
        "nftables": "nft flush chain inet bridgework raw",
    },
    "another rule in its place": {
        "iptables": "iptables -R BRIDGEWORK-FORWARD 1 -j ACCEPT",
        "nftables": "nft insert rule inet bridgework forward accept",
    },
    "a port less": {
        "iptables": "iptables -t nat -F BRIDGEWORK-PORTS",
        "nftables": "nft delete element inet bridgework wildcards { tcp . 8000 }",
    },
    "no table": {
        "iptables": "nft delete table ip nat",
        "nftables": "nft delete table inet bridgework",
    },
    "a set less of the guard": dict.fromkeys(BACKENDS, "nft flush set bridge bridgework macs"),
    "all": dict.fromkeys(BACKENDS, "nft flush ruleset"),
}


@pytest.mark.parametrize("what", OURS)
def test_drift_is_found(settled: Managed, what: str) -> None:
    assert look(settled) == (False, 0)
    settled.sh(OURS[what][settled.backend])
    assert settled.run(*TASK[:1], check=True, **TASK[1])["changed"]
    assert look(settled)[0], "the run in check mode took nothing for mended"
    assert look(settled) == (False, 0)


def test_memory_of_another_time_or_place_is_none(settled: Managed) -> None:
    """The kernel counts anew after a boot, and in each namespace: the same number there says nothing."""
    settled.sh(f"sed -i 's/^[^ ]* /00000000-0000-0000-0000-000000000000 /' {MEMORY}")
    changed, processes = look(settled)
    assert not changed and processes > 0


def test_what_somebody_else_does_during_a_run_is_seen_by_the_next(settled: Managed) -> None:
    """Our lines are taken away between the end of our transactions and the look at what they came to."""
    settled.sh(
        'cp /usr/sbin/nft /run/nft.real; chmod +x /run/nft.real; echo \'#!/bin/sh\n/run/nft.real "$@" || exit\n'
        f'case "$*" in -f*) {OURS["a rule less"][settled.backend]};; esac\' >/run/nft.fake; chmod +x /run/nft.fake; '
        "mount --bind /run/nft.fake /usr/sbin/nft"
    )
    settled.run("container_network", framed=False, name="front", connected=["web", "db"])
    settled.sh("umount /usr/sbin/nft")
    changed, _processes = look(settled)
    assert changed
