# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is closed stays closed while rules are being replaced: with iptables each table is a transaction of its own."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kernel.support import HOST, PEER, Managed
from kernel.test_isolation import route_to_loopback_of_the_host
from kernel.test_port_tree import KINDS, as_legacy

from lab import Host, Lab

FRONT, FRONT6, WEB, WEB6, HOST6 = "192.168.10.0/24", "fd00:10::/64", "192.168.10.2", "fd00:10::2", "2001:db8:1::10"
NETWORK = {"name": "front", "ipam_config": [{"subnet": FRONT}, {"subnet": FRONT6}], "connected": ["web", "mate"]}
BRIDGE = "com.docker.network.bridge"

# One datagram after the other, each of a flow of its own.
ATTACK = """
import socket, sys, time
print(flush=True)
while True:
    time.sleep(0.002)  # or there were more flows than a host can keep track of
    for target in sys.argv[1:]:
        address, _at, port = target.rpartition("@")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(f"attack on {target}".encode(), (address, int(port)))
            except OSError:
                pass
"""
# What of that arrives at a link, when it is told to end.
WATCH = """
import re, select, socket, sys
found = set()
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as watcher:  # ETH_P_ALL
    watcher.bind(("eth0", 3))
    print(flush=True)
    while watcher in (ready := select.select([watcher, sys.stdin], [], [])[0]) and sys.stdin not in ready:
        found |= set(re.findall(rb"attack on (\\S+)", watcher.recv(2048)))
print(b" ".join(sorted(found)).decode(), flush=True)
"""


@contextmanager
def attacked(host: Host, *targets: str) -> Iterator[None]:
    process = host.popen(sys.executable, "-c", ATTACK, *targets, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "\n"
        yield
    finally:
        host.stop(process)


class Watch:
    """At the link of a container."""

    def __init__(self, host: Host, netns: str) -> None:
        pipe = subprocess.PIPE
        self._process = host.popen(sys.executable, "-c", WATCH, netns=netns, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout.readline() == "\n"

    def seen(self) -> set[str]:
        """The targets of the attacks that got here."""
        out, _err = self._process.communicate("\n", timeout=10)
        return set(out.split())


CHANGES = [
    ("port_mapping", {"container": "mate", "published_ports": ["8000-8030:9000-9030/udp"]}),
    ("container_network", {"name": "front", "driver_options": {f"{BRIDGE}.enable_ip_masquerade": "false"}}),
    ("port_mapping", {"container": "mate", "published_ports": ["8000-8030:9000-9030/udp"], "state": "absent"}),
    ("container_network", {"name": "front", "driver_options": {f"{BRIDGE}.enable_ip_masquerade": "true"}}),
    ("port_mapping", {"container": "mate", "published_ports": ["127.0.0.1:9001:8080/udp"]}),
    ("container_network", {"name": "back", "internal": True, "connected": ["mate"]}),
    ("container_network", {"name": "back", "state": "absent", "force": True}),
    ("port_mapping", {"container": "mate", "published_ports": ["127.0.0.1:9001:8080/udp"], "state": "absent"}),
    ("container_network", {"name": "front", "driver_options": {f"{BRIDGE}.trusted_host_interfaces": "other0"}}),
    ("container_network", {"name": "front", "driver_options": {f"{BRIDGE}.trusted_host_interfaces": "other1"}}),
]


@pytest.mark.parametrize("kind", [*KINDS, "nftables", "one after the other"])
def test_what_is_closed_stays_so_in_thirty_changes(lab: Lab, managed: Managed, kind: str) -> None:
    if kind == "legacy":
        as_legacy(managed)
    backends = {"nftables": ["nftables"], "one after the other": ["nftables", "iptables"]}.get(kind, ["iptables"])
    managed.backend = backends[-1]
    managed.once("container_network", NETWORK)
    for ports, sources in (("127.0.0.1:9000:8080/udp", []), ("7000:8080/udp", [PEER])):
        managed.once("port_mapping", {"container": "web", "published_ports": [ports], "allowed_sources": sources})
    managed.sh("echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet")
    lab.peer.run("ip", "route", "add", FRONT, "via", HOST)
    lab.peer.run("ip", "route", "add", FRONT6, "via", HOST6)
    route_to_loopback_of_the_host(lab.peer, HOST)
    ways = (f"{WEB}@8080", f"{WEB6}@8080", "127.0.0.1@9000", "127.0.0.1@7000", f"{HOST}@9000", f"{HOST}@8080")
    watch = Watch(managed.host, "web")
    with attacked(lab.peer, *ways), attacked(lab.remote, f"{HOST}@7000", f"{HOST6}@7000"):
        for _round in range(3):
            for (module, arguments), backend in zip(CHANGES, itertools.cycle(backends)):
                result = managed.once(module, {**arguments, "firewall_backend": backend})
                assert result.get("changed") and not result.get("failed"), result
    assert watch.seen() == set()
    watch = Watch(managed.host, "web")
    with attacked(lab.peer, *ways, f"{HOST}@7000"):
        managed.flush("raw", "mangle", "filter")
        time.sleep(0.2)
    assert {f"{WEB}@8080", f"{WEB6}@8080", f"{HOST}@7000"} <= watch.seen(), "it is the rules that close it"
