# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls a peer once for each container, as a container engine does, and prints how long each call took.

Usage: per_container.py netavark|cni PROGRAMS FIRST LAST PORTS

Prints the seconds of one container a line. Container N (from 1 on) has the namespace cN, which is there already, and
its port 8080 + I is published as the host's port 10000 + (N - 1) * PORTS + I.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time

FIRST_HOST_PORT = 10000
CONTAINER_PORT = 8080


def container_id(number: int) -> str:
    return hashlib.sha256(f"container {number}".encode()).hexdigest()


def host_ports(number: int, count: int) -> list[tuple[int, int]]:
    """(host port, container port) of a container."""
    first = FIRST_HOST_PORT + (number - 1) * count
    return [(first + each, CONTAINER_PORT + each) for each in range(count)]


def address(number: int) -> str:
    return f"10.88.{(number + 1) // 256}.{(number + 1) % 256}"


def netavark(programs: str, number: int, ports: int) -> None:
    """As Podman calls it, without a DNS server."""
    network = {
        "dns_enabled": False,
        "driver": "bridge",
        "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
        "internal": False,
        "ipv6_enabled": False,
        "name": "podman",
        "network_interface": "podman0",
        "subnets": [{"gateway": "10.88.0.1", "subnet": "10.88.0.0/16"}],
    }
    mappings = [
        {"container_port": inner, "host_ip": "", "host_port": outer, "protocol": "tcp", "range": 1}
        for outer, inner in host_ports(number, ports)
    ]
    config = {
        "container_id": container_id(number),
        "container_name": f"c{number}",
        "port_mappings": mappings,
        "networks": {"podman": {"interface_name": "eth0", "static_ips": [address(number)]}},
        "network_info": {"podman": network},
    }
    words = [f"{programs}/podman/netavark", "--config", "/run/netavark", "setup", f"/run/netns/c{number}"]
    subprocess.run(words, input=json.dumps(config).encode(), stdout=subprocess.DEVNULL, check=True)


def cni(programs: str, number: int, ports: int) -> None:
    """The plugins `bridge` and `portmap`, one after the other, as a runtime calls a list of plugins."""
    common = {"cniVersion": "1.0.0", "name": "bench"}
    ipam = {"type": "host-local", "subnet": "10.88.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {**common, "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": ipam}
    mappings = [
        {"hostPort": outer, "containerPort": inner, "protocol": "tcp"} for outer, inner in host_ports(number, ports)
    ]
    result = cni_add(programs, number, bridge)
    portmap = {**common, "type": "portmap", "runtimeConfig": {"portMappings": mappings}, "prevResult": result}
    cni_add(programs, number, portmap)


def cni_add(programs: str, number: int, config: dict) -> dict:
    environment = {
        "PATH": os.environ["PATH"],
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": container_id(number),
        "CNI_NETNS": f"/run/netns/c{number}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": f"{programs}/cni",
    }
    words = [f"{programs}/cni/{config['type']}"]
    done = subprocess.run(words, input=json.dumps(config).encode(), env=environment, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{config['type']}, container {number}: {done.stdout.decode()}{done.stderr.decode()}")
    return json.loads(done.stdout)


def main() -> None:
    name, programs = sys.argv[1:3]
    first, last, ports = map(int, sys.argv[3:])
    add = {"netavark": netavark, "cni": cni}[name]
    for number in range(first, last + 1):
        began = time.perf_counter()
        add(programs, number, ports)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
