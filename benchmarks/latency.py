# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a TCP connect through the last of many published ports takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import ours, peers, shapes
from benchmarks.figures import percentile
from benchmarks.inside import per_container
from benchmarks.peers import INSIDE, Peer
from benchmarks.progress import Progress
from benchmarks.scale import PORTS, Scale
from benchmarks.shapes import Growth, Tables
from lab import Host, Lab

HOST_ADDRESS = "192.0.2.10"
DIRECT = "no firewall"
CLIENT_CPU, SERVER_CPU = sorted(os.sched_getaffinity(0))[0], sorted(os.sched_getaffinity(0))[-1]
WARM_UP = 20  # connects at the start of a burst that are not counted

Found = dict[str, Any]


@dataclass
class Spot:
    """A client, and a published port that it connects to. `origin`: real, or written out after the peer's pattern."""

    way: str
    ports: int
    origin: str
    port: int
    client: subprocess.Popen[str]
    bursts: list[list[float]] = field(default_factory=list)

    def burst(self, count: int) -> None:
        assert self.client.stdin and self.client.stdout
        self.client.stdin.write(f"{HOST_ADDRESS} {self.port} {count + WARM_UP}\n")
        self.client.stdin.flush()
        line = self.client.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.way}, {self.ports} ports: no connection through port {self.port}")
        self.bursts.append(json.loads(line)[WARM_UP:])

    def found(self) -> Found:
        times = [each for burst in self.bursts for each in burst]
        rounds = [percentile(burst, 0.5) for burst in self.bursts]
        figures = {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "connects": len(times)}
        return {"way": self.way, "ports": self.ports, "origin": self.origin, **figures, "rounds": rounds}


def serve(host: Host, ports: Sequence[int], netns: str | None = None) -> None:
    """A server, for as long as the host is there."""
    words = [sys.executable, "-I", "-S", str(INSIDE / "accept.py"), str(SERVER_CPU), *map(str, ports)]
    process = host.popen(*words, netns=netns, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "\n":
        raise RuntimeError(f"{host.name}: the server does not listen")


def client(host: Host) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    words = [sys.executable, "-I", "-S", str(INSIDE / "connect.py"), str(CLIENT_CPU)]
    process = host.popen(*words, stdin=pipe, stdout=pipe, text=True)
    if process.stdout.readline() != "\n":
        raise RuntimeError(f"{host.name}: the client does not start")
    return process


def measure(scale: Scale, progress: Progress, backends: Sequence[str]) -> Found:
    """Latencies of all in turn; and how long the peers took to come to the rule sets that they made themselves."""
    grown = {peer.name: _grow(peer, scale, progress) for peer in peers.PEERS}
    with ExitStack() as stack:
        spots = [_direct(stack)]
        for backend in backends:
            for count in scale.latency_ports:
                progress.say(f"{ours.name(backend)}, a host with {count:,} ports")
                spots.append(_ours(stack, backend, count))
        for peer in peers.PEERS:
            for count in [PORTS, *(each for each in scale.latency_ports if each > PORTS)]:
                progress.say(f"{peer.name}, a rule set of {count:,} ports")
                spots.append(_written(stack, peer, count, grown[peer.name]))
        for number in range(scale.latency_rounds):
            turn = number % len(spots)
            for spot in spots[turn:] + spots[:turn]:
                progress.tick(f"round {number + 1} of {scale.latency_rounds}, {spot.way}, {spot.ports:,} ports")
                spot.burst(scale.connects)
        spots += [spot for each in grown.values() for spot in each.spots]
        return {
            "spots": [spot.found() for spot in spots],
            "curves": {name: each.curve for name, each in grown.items()},
            "same_shape": {name: each.verified for name, each in grown.items()},
        }


def _direct(stack: ExitStack) -> Spot:
    """A server of the host itself, on a host without any rule."""
    lab = stack.enter_context(Lab(("host", "peer")))
    serve(lab.host, [8080])
    return Spot(DIRECT, 0, "real", 8080, client(lab.peer))


def _ours(stack: ExitStack, backend: str, count: int) -> Spot:
    lab = stack.enter_context(Lab(("host", "peer")))
    ours.hold(lab.host, backend, count)
    last = ours.FIRST_PORT + count - 1
    serve(lab.host, [last], netns=ours.CONTAINER)
    return Spot(ours.name(backend), count, "real", last, client(lab.peer))


@dataclass(frozen=True)
class Grown:
    """What is known of a peer after it has made many containers."""

    base: Tables  # with one container
    growth: Growth  # by one container
    device: str  # the bridge's name
    spots: list[Spot]
    curve: list[list[float]]  # ports, and the seconds that it took to come there
    verified: list[int]  # numbers of ports where what is written out was the same as what the peer had made


def _grow(peer: Peer, scale: Scale, progress: Progress) -> Grown:
    """Let a peer make containers, with a look at each size."""
    total = scale.peer_ports[-1] // PORTS
    with Lab(("host", "peer")) as lab, peer.running(lab.host) as add:
        host, connecting = lab.host, client(lab.peer)
        seconds, tables, spots, curve = 0.0, [], [], []
        sizes = {count // PORTS: count for count in scale.peer_ports}
        real: dict[int, Tables] = {}
        number = 0
        for stop in sorted({1, 2, 3, *sizes}):
            for each in add(number + 1, stop):
                number, seconds = number + 1, seconds + each
                curve.append([number * PORTS, seconds])
                progress.tick(f"{peer.name}, container {number} of {total}")
            if number <= 3:
                tables.append(shapes.parse(peers.firewall(host)))
            if number in sizes:
                real[number] = shapes.parse(peers.firewall(host))
                spots.append(_look(peer, lab, number, connecting, scale))
        growth = Growth.between(tables[1], tables[2], peer.marks(3))
        route = json.loads(host.run("ip", "-json", "route", "get", peer.marks(1).address).stdout)
        verified = [sizes[size] for size, has in real.items() if _is_same(peer, tables, growth, size, has)]
        return Grown(tables[0], growth, route[0]["dev"], spots, curve, verified)


def _is_same(peer: Peer, tables: list[Tables], growth: Growth, size: int, real: Tables) -> bool:
    more = [peer.marks(number) for number in range(2, size + 1)]
    return shapes.same_shape(shapes.grown(tables[0], growth, more), real, peer.chains)


def _look(peer: Peer, lab: Lab, number: int, connecting: subprocess.Popen[str], scale: Scale) -> Spot:
    """Connect through the last port of a peer's last container, all bursts in one go."""
    outer, inner = per_container.host_ports(number, PORTS)[-1]
    serve(lab.host, [inner], netns=peer.namespace(lab.host, number))
    spot = Spot(peer.name, number * PORTS, "real", outer, connecting)
    for _round in range(max(2, scale.latency_rounds // 2)):
        spot.burst(scale.connects)
    return spot


def _written(stack: ExitStack, peer: Peer, count: int, grown: Grown) -> Spot:
    """A peer's rule set with as many ports, the last of which leads to a container made by hand."""
    lab = stack.enter_context(Lab(("host", "peer")))
    last = count // PORTS
    own = peer.marks(1)
    containers = [peer.marks(number) for number in range(2, last)]
    if last > 1:
        containers.append(replace(peer.marks(last), address=own.address))
    tables = shapes.grown(grown.base, grown.growth, containers)
    gateway = f"{own.address.rpartition('.')[0]}.1"
    batch = f"""
        link add {grown.device} up type bridge
        address add {gateway}/16 dev {grown.device}
        netns add c1
        link add v1 master {grown.device} up type veth peer name eth0 netns c1
    """
    inside = f"link set eth0 up\naddress add {own.address}/16 dev eth0\nroute add default via {gateway}\n"
    lab.host.run("ip", "-batch", "-", input="".join(f"{line.strip()}\n" for line in batch.strip().splitlines()))
    lab.host.run("ip", "-batch", "-", netns="c1", input=inside)
    lab.host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    lab.host.run("iptables-restore", input=shapes.written(tables), timeout=120)
    outer, inner = per_container.host_ports(last, PORTS)[-1]
    serve(lab.host, [inner], netns="c1")
    return Spot(peer.name, count, "written out", outer, client(lab.peer))
