# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks of ours, and hosts on which they have run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import plays
from benchmarks.inside.per_container import host_ports
from benchmarks.plays import Task
from benchmarks.scale import PORTS
from lab import Host

BACKENDS = ("nftables", "iptables")
NETWORK = "bench"
CONTAINER = "web"
FIRST_PORT = 10001  # of a range that is published one to one
SHARERS = 10  # the containers of a host with many ports
SHARING = [CONTAINER, *(f"c{number}" for number in range(1, SHARERS + 1))]
OWN = ["45001:9000"]  # a port of CONTAINER's


def name(backend: str) -> str:
    return f"Bridgework, {backend}"


def ping() -> Task:
    return {"name": "ping", "ansible.builtin.ping": {}}


def connect(backend: str, containers: list[str], title: str = "connect") -> Task:
    """A network with these containers."""
    arguments = {"name": NETWORK, "connected": containers, "firewall_backend": backend}
    return plays.module("container_network", title, **arguments)


def publish(backend: str, ports: list[str], title: str, **more: Any) -> Task:
    """Ports of one container."""
    arguments = {"container": CONTAINER, "published_ports": ports, "firewall_backend": backend, **more}
    return plays.module("port_mapping", title, **arguments)


def bridge(backend: str, title: str) -> Task:
    """A task of the third module, on a host where the container is."""
    arguments = {"containers": [{"name": CONTAINER, "mode": "none"}], "firewall_backend": backend}
    return plays.module("netns_bridge", title, **arguments)


def set_up(backend: str, containers: int) -> list[Task]:
    """That many containers with PORTS published ports each."""
    names = {number: f"c{number}" for number in range(1, containers + 1)}
    mappings = [
        {"container": each, "published_ports": [f"{outer}:{inner}" for outer, inner in host_ports(number, PORTS)]}
        for number, each in names.items()
    ]
    task = plays.module("port_mapping", "publish", mappings=mappings, firewall_backend=backend)
    return [connect(backend, [*names.values()]), task]


def ports(count: int) -> list[str]:
    """A range of that many ports, as one word."""
    last = FIRST_PORT + count - 1
    return [f"{FIRST_PORT}-{last}:{FIRST_PORT}-{last}"] if count else []


def hold(host: Host, backend: str, count: int) -> None:
    """Make the host one with a container that has that many published ports."""
    tasks = [connect(backend, [CONTAINER])]
    if count:
        tasks.append(publish(backend, ports(count), "publish"))
    plays.run({host.name: host}, [plays.play("all", tasks)])


def shares(count: int) -> dict[str, tuple[int, int]]:
    """By container, the first and the last of its ports, where so many are spread over SHARERS containers."""
    each = count // SHARERS
    firsts = {f"c{number}": FIRST_PORT + (number - 1) * each for number in range(1, SHARERS + 1)}
    return {name: (first, first + each - 1) for name, first in firsts.items() if each}


def spread(backend: str, count: int, title: str, words: Callable[[int, int], list[str]], **more: str) -> Task:
    """One task about so many ports of SHARERS containers; `words` says those of a container."""
    mappings = [
        {"container": name, "published_ports": words(first, last), **more}
        for name, (first, last) in shares(count).items()
    ]
    return plays.module("port_mapping", title, mappings=mappings, firewall_backend=backend)


def as_range(first: int, last: int) -> list[str]:
    return [f"{first}-{last}:{first}-{last}"]


def one_by_one(first: int, last: int) -> list[str]:
    return [f"{port}:{port}" for port in range(first, last + 1)]


def share(host: Host, backend: str, count: int) -> None:
    """Make the host one with that many published ports of SHARERS containers, and one of CONTAINER's beside them."""
    tasks = [connect(backend, SHARING), publish(backend, OWN, "own")]
    if count:
        tasks.append(spread(backend, count, "publish", as_range))
    plays.run({host.name: host}, [plays.play("all", tasks)])


def problem(host: Host, backend: str) -> str:
    """Why a backend does not work here; empty where it does."""
    try:
        hold(host, backend, 1)
    except plays.PlayFailed as error:
        return str(error).strip().splitlines()[-1]
    return ""
