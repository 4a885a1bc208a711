# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Published ports over SCTP. Connection tracking knows it on most kernels; not all have sockets of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kernel.support import HOST, REMOTE, Managed
from kernel.test_ports_ipv6 import HOST6, NETWORKS, REMOTE6

from lab import Host, Lab

SAME_PORT = 4242

# INIT and INIT ACK of RFC 9260, with its CRC32c, through sockets that see all of the protocol: they need no SCTP in the
# kernel. A server answers with its name in the cookie; both say what they saw, as JSON.
ASSOCIATION = """
import json, select, socket, struct, sys

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _round in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF

def packet(source, destination, tag, kind, own_tag, cookie=b""):
    parameter = struct.pack(">HH", 7, 4 + len(cookie)) + cookie + bytes(-len(cookie) % 4) if cookie else b""
    length = 20 + (4 + len(cookie) if cookie else 0)
    chunk = struct.pack(">BBHIIHHI", kind, 0, length, own_tag, 65536, 1, 1, 1) + parameter
    header = struct.pack(">HHI", source, destination, tag)
    return header + struct.pack("<I", crc32c(header + bytes(4) + chunk)) + chunk

def receive(raw, family):
    data, peer = raw.recvfrom(2048)
    data = data[(data[0] & 15) * 4:] if family == socket.AF_INET else data
    source, destination, _tag, checksum = struct.unpack(">HHI", data[:8]) + struct.unpack("<I", data[8:12])
    kind, _flags, length, own_tag = struct.unpack(">BBHI", data[12:20])
    assert checksum == crc32c(data[:8] + bytes(4) + data[12:]), "checksum"
    return peer[0], source, destination, kind, own_tag, data[36:12 + length]

mode, address, port, own = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
raw = socket.socket(family, socket.SOCK_RAW, 132)
if mode == "serve":
    print(flush=True)
    while True:
        peer, source, destination, kind, tag, _rest = receive(raw, family)
        if kind == 1 and destination == port:
            answer = json.dumps({"server": own, "seen_from": peer, "seen_port": source}).encode()
            raw.sendto(packet(port, source, tag, 2, 77, answer), (peer, 0))
raw.sendto(packet(int(own), port, 0, 1, 4711), (address, 0))
while select.select([raw], [], [], 0.7)[0]:
    peer, source, destination, kind, _tag, rest = receive(raw, family)
    if kind == 2 and destination == int(own) and (peer, source) == (address, port):
        print(rest.decode())
        break
"""


@contextmanager
def serving(managed: Managed, container: str, port: int) -> Iterator[None]:
    """An SCTP server in both families."""
    processes = [
        managed.host.popen(
            *(sys.executable, "-c", ASSOCIATION, "serve", address, str(port), container),
            netns=container,
            stdout=subprocess.PIPE,
            text=True,
        )
        for address in ("0.0.0.0", "::")
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "\n"
        yield
    finally:
        for process in processes:
            managed.host.stop(process)


def asked(host: Host, address: str, port: int, own_port: int = SAME_PORT) -> tuple[str, str, int] | None:
    """Who answers, and whom it takes for its client."""
    said = host.python(ASSOCIATION, "ask", address, str(port), str(own_port)).stdout
    return tuple(json.loads(said).values()) if said else None


@pytest.fixture
def web(managed: Managed, backend: str) -> Managed:
    assert managed.backend == backend
    managed.run("container_network", networks=NETWORKS, framed=False)
    return managed


def test_port_is_reached_in_both_families_and_sees_its_client(lab: Lab, web: Managed) -> None:
    result = web.port_mapping(container="web", published_ports=["2905:36412/sctp"])
    assert [each["HostIp"] for each in result["ports"]["36412/sctp"]] == ["0.0.0.0", "::"]
    with serving(web, "web", 36412):
        assert asked(lab.remote, HOST, 2905) == ("web", REMOTE, SAME_PORT)
        assert asked(lab.remote, HOST6, 2905) == ("web", REMOTE6, SAME_PORT)
        assert asked(lab.remote, HOST, 2906) is None


def test_association_is_led_to_the_new_container_at_once(lab: Lab, web: Managed) -> None:
    """Its ports are often fixed, so that it looks to connection tracking like the one before."""
    mapping = {"published_ports": ["2905:36412/sctp"]}
    web.port_mapping(container="web", **mapping)
    with serving(web, "web", 36412), serving(web, "mate", 36412):
        for address in (HOST, HOST6):
            assert asked(lab.remote, address, 2905)[0] == "web"
        moved = [{"container": "web", **mapping, "state": "absent"}, {"container": "mate", **mapping}]
        web.port_mapping(mappings=moved)
        for address in (HOST, HOST6):
            assert asked(lab.remote, address, 2905)[0] == "mate"


def test_sources_that_are_not_allowed_get_no_answer(lab: Lab, web: Managed) -> None:
    web.port_mapping(container="web", published_ports=["2905:36412/sctp"], allowed_sources=[REMOTE])
    with serving(web, "web", 36412):
        assert asked(lab.remote, HOST, 2905)
        assert asked(lab.remote, HOST6, 2905) is None and asked(lab.peer, HOST, 2905) is None


SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
server.bind(("0.0.0.0", int(sys.argv[1])))
server.listen()
print(flush=True)
while True:
    connection, peer = server.accept()
    connection.send(peer[0].encode())
    connection.close()
"""
CLIENT = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
client.settimeout(3)
client.connect((sys.argv[1], int(sys.argv[2])))
print(client.recv(64).decode())
"""


@pytest.mark.needs_kernel("sctp")
def test_sockets_talk_through_a_published_port(lab: Lab, managed: Managed) -> None:
    managed.run("container_network", networks=NETWORKS, framed=False)
    managed.port_mapping(container="web", published_ports=["2905:36412/sctp"])
    pipe = subprocess.PIPE
    server = managed.host.popen(sys.executable, "-c", SERVER, "36412", netns="web", stdout=pipe, text=True)
    assert server.stdout.readline() == "\n"
    assert lab.remote.python(CLIENT, HOST, "2905").stdout.strip() == REMOTE


@pytest.mark.needs_kernel("sctp")
def test_port_of_a_process_that_listens_is_refused(managed: Managed) -> None:
    managed.run("container_network", networks=NETWORKS, framed=False)
    process = managed.host.popen(sys.executable, "-c", SERVER, "2905", stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "\n"
    refused = managed.port_mapping(container="web", published_ports=["2905:36412/sctp"], fails=True)
    assert "which listens on 0.0.0.0:2905" in refused["msg"]
    managed.port_mapping(container="web", published_ports=["2905:36412/tcp"])
