# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backend a host gets, and what becomes of flows while it changes to the other."""

from __future__ import annotations

import re
import sys

import pytest
from kernel.support import HOST, PEER, Managed, bare, parsed, same, warnings_of

from lab import Lab

NETWORK = {
    "name": "front",
    "ipam_config": [{"subnet": "192.168.10.0/24"}],
    "driver_options": {"com.docker.network.bridge.name": "front0"},
    "connected": ["web", "mate"],
}
PORTS = {"container": "web", "published_ports": ["8000:8080", "8000:8080/udp", "127.0.0.1:9000:8080"]}
WITHDRAWN = {"name": "front", "state": "absent", "force": True}
OTHER = {"iptables": "nftables", "nftables": "iptables"}


@pytest.fixture
def auto(managed: Managed) -> Managed:
    managed.backend = "auto"
    return managed


def used(managed: Managed) -> list[str]:
    """The backends that have rules on the host."""
    places = {"iptables": "iptables-save || true; ip6tables-save || true", "nftables": "nft list tables"}
    words = {"iptables": "BRIDGEWORK-FORWARD", "nftables": "inet bridgework"}
    return [name for name, command in places.items() if words[name] in managed.sh(command)]


# auto.

LEGACY = "mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi; "
HOSTS = {
    "a new one": ("true", "nftables"),
    "one with others' tables of nftables": ("nft add table inet theirs", "nftables"),
    "one that has looked at its rules": ("iptables -nL; ip6tables -nL", "nftables"),
    "one with rules elsewhere": ("iptables -A INPUT -s 198.18.0.1 -j DROP", "nftables"),
    "one that drops what is forwarded": ("iptables -P FORWARD DROP", "iptables"),
    "one that drops IPv6 that is forwarded": ("ip6tables -P FORWARD DROP", "iptables"),
    "one with a rule for what is forwarded": ("iptables -A FORWARD -s 198.18.0.1 -j ACCEPT", "iptables"),
    "one without iptables": (
        "nft add table ip filter; "
        "nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'; "
        "mount --bind /dev/null $(readlink -f $(command -v iptables-restore))",
        "nftables",
    ),
    "one with the older kind, unused": (LEGACY + "iptables -t filter -nL", "nftables"),
    "one with the older kind, that drops": (LEGACY + "iptables -P FORWARD DROP", "iptables"),
    "one with a rule of the older kind": (LEGACY + "ip6tables -A FORWARD -s 2001:db8::1 -j ACCEPT", "iptables"),
}


@pytest.mark.parametrize("what", HOSTS)
def test_new_host_gets_iptables_where_it_forwards_by_iptables(auto: Managed, what: str) -> None:
    command, backend = HOSTS[what]
    auto.sh(command)
    auto.container_network(**NETWORK, framed=what != "one without iptables")
    assert used(auto) == [backend]


def test_looking_for_the_backend_leaves_nothing(auto: Managed) -> None:
    auto.container_network(**NETWORK, check=True)
    assert auto.sh("nft list tables") == ""
    assert "filter" not in auto.sh("cat /proc/net/ip_tables_names 2>/dev/null || true")


def test_host_keeps_what_it_has(auto: Managed) -> None:
    auto.container_network(**NETWORK, firewall_backend="iptables")
    auto.port_mapping(**PORTS)
    assert used(auto) == ["iptables"]
    auto.container_network(**WITHDRAWN)
    auto.container_network(**NETWORK)
    auto.sh("iptables -P FORWARD DROP")
    assert not auto.port_mapping(**PORTS)["changed"]
    assert used(auto) == ["nftables"], "it was new again, and is not any more"


def test_host_without_nft_gets_iptables_and_is_told_what_the_guard_needs(auto: Managed) -> None:
    auto.sh("mount --bind /dev/null $(command -v nft)")
    refused = auto.container_network(**NETWORK, fails=True, framed=False)["msg"]
    assert refused == (
        "firewall_backend: the command nft is missing, which keeps containers from sending as others beside either "
        "backend; install the package nftables"
    )


# The change.


@pytest.mark.parametrize("backend", OTHER)
def test_change_leaves_nothing_of_the_old_one(lab: Lab, managed: Managed, backend: str) -> None:
    before = managed.snapshot()
    managed.backend = backend
    managed.container_network(**NETWORK)
    managed.port_mapping(**PORTS)
    managed.backend = OTHER[backend]
    assert managed.port_mapping(**PORTS)["changed"]
    assert used(managed) == [OTHER[backend]]
    for protocol in ("tcp", "udp"):
        with managed.host.serve(protocol, 8080, netns="web"):
            assert lab.peer.ask(protocol, HOST, 8000)
    managed.port_mapping(container="web", state="absent")
    managed.container_network(**WITHDRAWN)
    managed.network_prune(containers=True)
    same(bare(before), bare(managed.snapshot()), "something is left behind")


# Prints a word for each new connection that failed, then how many worked; ends with its standard input.
KNOCKING = """
import select, socket, sys
worked = 0
print(flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1) as connection:
            connection.sendall(b"?\\n")
            if not connection.recv(64):
                raise OSError("no answer")
        worked += 1
    except OSError as error:
        print("failed:", error, flush=True)
print("worked:", worked, flush=True)
"""

# The same for datagrams of one flow.
ASKING = """
import select, socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(1)
link.connect((sys.argv[1], int(sys.argv[2])))
worked = 0
print(flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    try:
        link.send(b"?")
        link.recv(64)
        worked += 1
    except OSError as error:
        print("failed:", error, flush=True)
print("worked:", worked, flush=True)
"""
# One connection that goes on.
TALKING = """
import select, socket, sys
worked = 0
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2) as connection:
    print(flush=True)
    while not select.select([sys.stdin], [], [], 0.002)[0]:
        connection.sendall(b"x" * 100)
        left = 100
        while left:
            left -= len(connection.recv(left))
        worked += 1
print("worked:", worked, flush=True)
"""
ECHOING = """
import socket, sys, threading
server = socket.create_server(("", int(sys.argv[1])))
print(flush=True)
while True:
    connection, _peer = server.accept()
    def echo(connection=connection):
        while data := connection.recv(4096):
            connection.sendall(data)
    threading.Thread(target=echo, daemon=True).start()
"""


def test_flows_go_on_and_new_ones_come_about_while_it_changes_to_and_fro(lab: Lab, managed: Managed) -> None:
    ports = {"container": "web", "published_ports": [*PORTS["published_ports"], "7000:7777"]}
    managed.run("container_network", **NETWORK, framed=False)
    managed.run("port_mapping", **ports, framed=False)
    for protocol in ("tcp", "udp"):
        managed.host.serve(protocol, 8080, netns="web")
    lab.peer.serve("tcp", 7001)
    started = [managed.host.popen(sys.executable, "-c", ECHOING, "7777", netns="web", stdout=-1, text=True)]
    assert started[0].stdout.readline() == "\n"
    asking = {
        "new ones by the port": (lab.peer, None, KNOCKING, HOST, "8000"),
        "new ones of the host itself": (lab.host, None, KNOCKING, "127.0.0.1", "9000"),
        "new ones of a neighbour": (lab.host, "mate", KNOCKING, HOST, "8000"),
        "new ones outwards": (lab.host, "web", KNOCKING, PEER, "7001"),
        "a flow of datagrams": (lab.peer, None, ASKING, HOST, "8000"),
        "a connection": (lab.peer, None, TALKING, HOST, "7000"),
    }
    clients = {}
    for what, (host, netns, source, address, port) in asking.items():
        clients[what] = host.popen(
            sys.executable, "-c", source, address, port, netns=netns, stdin=-1, stdout=-1, text=True
        )
        assert clients[what].stdout.readline() == "\n", what
    for backend in ["nftables", "iptables"] * 4:
        result = managed.once("port_mapping", {**ports, "firewall_backend": backend})
        assert result["changed"], result
        assert used(managed) == [backend]
    for what, client in clients.items():
        client.stdin.close()
        said = client.stdout.read().split("\n")[:-1]
        assert len(said) == 1 and int(re.fullmatch(r"worked: (\d+)", said[0])[1]) > 50, (what, said[:9])


def test_loopback_port_is_closed_to_the_lan_while_it_changes(lab: Lab, managed: Managed) -> None:
    """moby#41872, at each moment of a change: a peer that routes loopback addresses here goes on knocking."""
    managed.run("container_network", **NETWORK, framed=False)
    managed.run("port_mapping", **PORTS, framed=False)
    managed.host.serve("tcp", 8080, netns="web")
    managed.sh("echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet")
    lab.peer.run(
        "sh",
        "-ec",
        "echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet; ip addr del 127.0.0.1/8 dev lo; "
        f"ip route add 127.0.0.0/8 via {HOST} src {PEER}",
    )
    knocking = KNOCKING.replace("timeout=1", "timeout=0.02")
    client = lab.peer.popen(sys.executable, "-c", knocking, "127.0.0.1", "9000", stdin=-1, stdout=-1, text=True)
    for backend in ["nftables", "iptables"] * 4:
        assert managed.once("port_mapping", {**PORTS, "firewall_backend": backend})["changed"]
    for number in range(4):
        ports = {**PORTS, "published_ports": [*PORTS["published_ports"], f"{8100 + number}:8080"]}
        assert managed.once("port_mapping", {**ports, "firewall_backend": "nftables"})["changed"]
    client.stdin.close()
    said = client.stdout.read().split()
    assert said[-2:] == ["worked:", "0"] and said.count("failed:") > 20


# Others in the way.


def test_policy_of_iptables_that_stops_what_nftables_lets_through_is_named(lab: Lab, managed: Managed) -> None:
    lab.peer.serve("tcp", 7000)
    managed.backend = "nftables"
    managed.sh("iptables -P FORWARD DROP")
    (warning,) = warnings_of(managed.container_network(**NETWORK))
    assert "chain FORWARD of the table ip filter has the policy drop" in warning
    assert "set firewall_backend to iptables, or accept these interfaces there" in warning
    assert not managed.host.ask("tcp", PEER, 7000, netns="web")
    assert warnings_of(managed.container_network(**NETWORK, firewall_backend="iptables")) == []
    assert managed.host.ask("tcp", PEER, 7000, netns="web"), "what the remedy leads to"


def test_policy_of_the_older_kind_is_named_too(managed: Managed) -> None:
    managed.backend = "nftables"
    managed.sh(LEGACY + "iptables -P FORWARD DROP")
    (warning,) = warnings_of(managed.container_network(**NETWORK))
    assert "chain FORWARD of the table ip filter (legacy) has the policy drop" in warning


def test_killed_between_the_two_is_brought_to_an_end_by_the_next_run(managed: Managed) -> None:
    managed.run("container_network", **NETWORK, framed=False)
    managed.run("port_mapping", **PORTS, framed=False)
    for backend in ("nftables", "iptables"):
        for at in range(1, 60):
            fault = {"at": at, "how": "kill"}
            (outcome,) = managed.outcomes(
                [("port_mapping", {**PORTS, "firewall_backend": backend})], fork=True, fault=fault
            )
            if outcome["code"] == 0:
                break
            assert used(managed), "never without rules"
            managed.once("port_mapping", {**PORTS, "firewall_backend": OTHER[backend]})
            assert used(managed) == [OTHER[backend]]
        assert at > 3 and parsed(outcome)["changed"]
        assert used(managed) == [backend]


# The administrator's own rules.


@pytest.mark.parametrize(
    ("backend", "rule", "empty"),
    [
        ("iptables", "iptables -A BRIDGEWORK-USER -s 198.18.0.1 -j DROP", "iptables -F BRIDGEWORK-USER"),
        ("iptables", "ip6tables -A BRIDGEWORK-USER -s 2001:db8::1 -j DROP", "ip6tables -F BRIDGEWORK-USER"),
        (
            "nftables",
            "nft add rule inet bridgework user ip saddr 198.18.0.1 drop",
            "nft flush chain inet bridgework user",
        ),
    ],
)
def test_rules_of_the_administrator_are_never_left_behind_unasked(
    managed: Managed, backend: str, rule: str, empty: str
) -> None:
    dual = {**NETWORK, "ipam_config": [*NETWORK["ipam_config"], {"subnet": "fd00:10::/64"}]}
    managed.container_network(**dual, firewall_backend=backend)
    managed.sh(rule)
    refusal = managed.container_network(**dual, firewall_backend=OTHER[backend], fails=True)["msg"]
    assert refusal.startswith(f'firewall_backend "{OTHER[backend]}": the chain ') and "has rules" in refusal
    assert used(managed) == [backend]
    managed.sh(empty)
    managed.container_network(**dual, firewall_backend=OTHER[backend])


# Both kinds of iptables.


@pytest.mark.needs_kernel("ip6_tables")
@pytest.mark.parametrize("kinds", [("nft", "legacy"), ("legacy", "nft")], ids=" to ".join)
@pytest.mark.parametrize("then", ["goes on", "is taken back", "changes the backend"])
def test_host_whose_iptables_becomes_the_other_kind_keeps_nothing_of_the_first(
    lab: Lab, managed: Managed, kinds: tuple[str, str], then: str
) -> None:
    dual = {**NETWORK, "ipam_config": [*NETWORK["ipam_config"], {"subnet": "fd00:10::/64"}]}
    managed.sh("cp -a /etc/alternatives /run/alternatives; mount --bind /run/alternatives /etc/alternatives")
    turn(managed, kinds[0])
    managed.container_network(**dual, firewall_backend="iptables")
    port = {"container": "mate", "published_ports": ["8000:8080"]}
    managed.port_mapping(**port)
    managed.host.serve("tcp", 8080, netns="mate")
    assert lab.peer.ask("tcp", HOST, 8000)
    turn(managed, kinds[1])
    if then == "goes on":
        assert managed.port_mapping(**port)["changed"]
    elif then == "is taken back":
        managed.port_mapping(**port, state="absent")
    else:
        managed.port_mapping(**port, firewall_backend="nftables")
    assert (lab.peer.ask("tcp", HOST, 8000) is not None) == (then != "is taken back")
    saved = managed.sh(f"iptables-{kinds[0]}-save; ip6tables-{kinds[0]}-save")
    assert "BRIDGEWORK" not in saved


def turn(managed: Managed, kind: str) -> None:
    """The commands of iptables are of that kind, as update-alternatives has it."""
    for family in ("iptables", "ip6tables"):
        for tool in ("", "-save", "-restore"):
            managed.sh(f"ln -sfn /usr/sbin/{family}-{kind}{tool} /etc/alternatives/{family}{tool}")
    assert {"nft": "nf_tables"}.get(kind, kind) in managed.sh("iptables -V; ip6tables -V")
