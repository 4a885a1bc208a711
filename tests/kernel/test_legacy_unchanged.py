# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The older iptables: a host on which nothing happened isn't read again, though the kernel counts no changes there."""

from __future__ import annotations

import pytest
from kernel.support import Managed
from kernel.test_port_tree import as_legacy
from kernel.test_unchanged import TASK, look

pytestmark = pytest.mark.needs_kernel("ip6_tables")


@pytest.fixture
def settled(managed: Managed) -> Managed:
    """The first run after one that changed something reads all of it."""
    as_legacy(managed)
    managed.run("container_network", framed=False, name="front", connected=["web"], firewall_backend="iptables")
    managed.run(TASK[0], framed=False, **TASK[1])
    changed, processes = look(managed)
    assert not changed and processes > 0
    return managed


def test_nothing_is_read_where_nothing_happened(settled: Managed) -> None:
    assert look(settled) == (False, 0)


def test_packets_are_nothing_that_happens(settled: Managed) -> None:
    with settled.host.serve("tcp", 8080, netns="web"):
        assert settled.host.ask("tcp", "192.0.2.10", 8000)
    assert look(settled) == (False, 0)


FOREIGN = {
    "a foreign rule": "iptables -I INPUT -s 198.18.0.1 -j DROP",
    "a policy": "iptables -P INPUT ACCEPT; iptables -P FORWARD DROP",
    "a foreign table": "ip6tables -t security -L",
    "a foreign table of nftables": "nft add table inet foreign",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_all_is_read_once_after(settled: Managed, what: str) -> None:
    settled.sh(FOREIGN[what])
    changed, processes = look(settled)
    assert not changed and processes > 0
    assert look(settled) == (False, 0)


OURS = {
    "a rule less": "iptables -t nat -D PREROUTING 1",
    "another rule in its place": "iptables -R BRIDGEWORK-FORWARD 1 -j ACCEPT",
    "another port": "iptables -t nat -R BRIDGEWORK-PORTS 1 -p tcp --dport 8001 -j DNAT --to-destination 172.17.0.2",
    "a set less of the guard": "nft flush set bridge bridgework macs",
    "all": "iptables -t nat -F",
}


@pytest.mark.parametrize("what", OURS)
def test_drift_is_found(settled: Managed, what: str) -> None:
    assert look(settled) == (False, 0)
    settled.sh(OURS[what])
    assert settled.run(*TASK[:1], check=True, **TASK[1])["changed"]
    assert look(settled)[0], "the run in check mode took nothing for mended"
    assert not look(settled)[0]
    assert look(settled) == (False, 0)
