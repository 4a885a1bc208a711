# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many published ports with iptables: each is reached, by whom it is for, and a port more is a small change."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from kernel.frames import END, IPV4, IPV6, PORT, arrived, ethernet, udp
from kernel.support import HOST, PEER, Driver, Managed, managed_lab
from kernel.test_isolation import reached

from lab import Lab

KINDS = ["nft", pytest.param("legacy", marks=pytest.mark.needs_kernel("ip6_tables"))]
HOST6, PEER6 = "2001:db8:1::10", "2001:db8:1::20"
SECOND, SECOND6 = "192.0.2.11", "2001:db8:1::11"
NETWORK = {
    "name": "front",
    "ipam_config": [{"subnet": "192.168.10.0/24"}, {"subnet": "fd00:10::/64"}],
    "connected": ["web", "mate"],
}
MANY = "20000-20999:5000-5999"
SAMPLE = (20000, 20015, 20016, 20255, 20256, 20500, 20999)


def as_legacy(managed: Managed) -> None:
    managed.sh("mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi")
    assert "legacy" in managed.sh("iptables -V")


@pytest.fixture(scope="module", params=[*KINDS, "nftables"])
def crowded(driver: Driver, request: pytest.FixtureRequest) -> Iterator[tuple[Lab, Managed]]:
    """web publishes a thousand ports, and three for some clients only."""
    backend = "nftables" if request.param == "nftables" else "iptables"
    with managed_lab(driver, ("host", "peer", "router", "remote"), backend) as (lab, managed):
        if request.param == "legacy":
            as_legacy(managed)
        managed.container_network(**NETWORK)
        managed.port_mapping(container="web", published_ports=[MANY, "20000-20009:5000-5009/udp"])
        for_some = ["8000:8080", "8000:8080/udp", f"{PORT}:{PORT}/udp"]
        managed.port_mapping(container="web", published_ports=for_some, allowed_sources=[PEER, PEER6])
        managed.sh(f"ip addr add {SECOND}/24 dev eth0; ip addr add {SECOND6}/64 dev eth0")
        for port in (*(number - 15000 for number in SAMPLE), 8080):
            for address in ("0.0.0.0", "::"):
                managed.host.serve("tcp", port, netns="web", address=address, name=str(port))
                managed.host.serve("udp", port, netns="web", address=address, name=str(port))
        yield lab, managed


@pytest.mark.parametrize("address", [HOST, HOST6])
def test_each_leads_to_its_own_target(crowded: tuple[Lab, Managed], address: str) -> None:
    lab, _managed = crowded
    answers = lab.remote.ask_all([("tcp", address, port) for port in SAMPLE])
    assert [answer and answer.server for answer in answers] == [str(port - 15000) for port in SAMPLE]


def test_ports_and_protocols_between_them_are_closed(crowded: tuple[Lab, Managed]) -> None:
    lab, _managed = crowded
    for port, protocols in ((19999, []), (21000, []), (20000, ["tcp", "udp"]), (20015, ["tcp"]), (5000, [])):
        assert reached(lab.peer, HOST, port) == reached(lab.peer, HOST6, port) == protocols


def test_port_for_some_clients_is_reached_by_them_and_by_the_host_itself(crowded: tuple[Lab, Managed]) -> None:
    lab, managed = crowded
    for address in (HOST, HOST6):
        assert reached(lab.peer, address, 8000) == ["tcp", "udp"]
        assert reached(managed.host, address, 8000) == ["tcp", "udp"]
        assert reached(lab.remote, address, 8000) == []
        assert reached(managed.host, address, 8000, "mate") == reached(managed.host, address, 8000, "web") == []
    assert reached(managed.host, "127.0.0.1", 8000) == ["tcp", "udp"]


def test_others_get_what_the_host_itself_has_on_that_port(crowded: tuple[Lab, Managed]) -> None:
    lab, managed = crowded
    with managed.host.serve("tcp", 8000, name="the host's own", address="0.0.0.0"):
        answer = lab.remote.ask("tcp", HOST, 8000)
        assert answer and answer.server == "the host's own"
        answer = lab.peer.ask("tcp", HOST, 8000)
        assert answer and answer.server == "8080"


@pytest.mark.parametrize(
    ("source", "address", "client"),
    [
        (HOST, SECOND, PEER),
        (SECOND, HOST, PEER),
        ("127.0.0.1", HOST, PEER),
        (HOST6, SECOND6, PEER6),
        (SECOND6, HOST6, PEER6),
        ("::1", HOST6, PEER6),
    ],
)
def test_nobody_becomes_the_host_by_its_address(
    crowded: tuple[Lab, Managed], source: str, address: str, client: str
) -> None:
    """The host's own processes may use any port, but who comes from the LAN is none of them."""
    lab, managed = crowded
    peer = lab.peer.run("cat", "/sys/class/net/eth0/address").stdout.strip()
    host, kind = managed.link("eth0")["address"], IPV6 if ":" in source else IPV4
    forged = ethernet(peer, host, kind, udp(source, address, os.urandom(16)))
    honest = ethernet(peer, host, kind, udp(client, address, END))
    assert not arrived(managed.host, forged, honest, sender=None, by=lab.peer, at=("web", "eth0"))


def test_one_port_more_rewrites_one_chain(crowded: tuple[Lab, Managed]) -> None:
    _lab, managed = crowded
    result = managed.port_mapping(container="web", published_ports=["21000:6000"])
    changed = [line for line in result["actions"] if " rule [" in line]
    assert len(changed) == 2, "a rule in each family"
    result = managed.port_mapping(container="web", published_ports=["21000:6000"], state="absent")
    assert len([line for line in result["actions"] if " rule [" in line]) == 2
