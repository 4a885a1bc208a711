# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many containers with published ports, from nothing: a play of ours, the peers once a container, and the floor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import floor, ours, peers, plays
from benchmarks.inside.per_container import host_ports
from benchmarks.peers import Peer
from benchmarks.progress import Progress
from benchmarks.scale import PORTS, Scale
from lab import Host, Lab

HOSTS = ("host", "peer")
HOST_ADDRESS = "192.0.2.10"
FLOOR = "floor"
STARTUP = "start-up"

Found = dict[str, Any]


def measure(scale: Scale, progress: Progress, backends: Sequence[str]) -> Found:
    """Seconds of each run, by the way it was done. `parts` are those of runs that have some."""
    runs: dict[str, list[Found]] = {}
    for number in range(1, scale.setup_rounds + 1):
        for way, run in _round(scale, progress, backends, number):
            runs.setdefault(way, []).append(run)
    found: Found = {"containers": scale.containers, "ports": scale.containers * PORTS, "runs": runs}
    found["docker"] = _docker(scale, progress)
    found["curves"] = {
        ours.name(backend): [_point(progress, backend, count) for count in scale.curve] for backend in backends
    }
    return found


def _round(scale: Scale, progress: Progress, backends: Sequence[str], number: int) -> Iterator[tuple[str, Found]]:
    """Every way once, one after the other."""
    label = f"round {number} of {scale.setup_rounds}"
    count = scale.containers
    progress.say(f"{label}, Ansible's start-up and the floor")
    with Lab(HOSTS) as lab:
        yield STARTUP, {"seconds": plays.run({"host": lab.host}, [plays.play("all", [ours.ping()])]).seconds}
    with Lab(HOSTS) as lab:
        parts = floor.build(lab.host, count)
        _check(lab, f"/run/netns/c{count}", count)
        yield FLOOR, {"seconds": sum(parts.values()), "parts": parts}
    for backend in backends:
        progress.say(f"{label}, {ours.name(backend)}, {count} containers")
        yield ours.name(backend), _ours(backend, count)
    if number <= scale.slow_rounds:
        for peer in (peers.NETAVARK, peers.CNI):
            yield peer.name, _peer(peer, count, progress, label)


def _ours(backend: str, count: int) -> Found:
    with Lab(HOSTS) as lab:
        run = plays.run({"host": lab.host}, [plays.play("all", ours.set_up(backend, count))])
        _check(lab, f"/run/netns/c{count}", count)
        return {"seconds": run.seconds, "parts": {each.task: each.seconds for each in run.tasks}}


def _peer(peer: Peer, count: int, progress: Progress, label: str) -> Found:
    with Lab(HOSTS) as lab, peer.running(lab.host) as add:
        times = []
        for seconds in add(1, count):
            times.append(seconds)
            progress.tick(f"{label}, {peer.name}, container {len(times)} of {count}")
        _check(lab, peer.namespace(lab.host, count), count)
    return {"seconds": sum(times)}


def _docker(scale: Scale, progress: Progress) -> Found:
    """Containers of Docker's, and as many without a network: the difference is what the network costs."""
    count, times, bare = scale.docker_containers, [], []
    progress.say("Docker, the daemon starts")
    with Lab(HOSTS) as lab, peers.DOCKER.running(lab.host) as add:
        for number in range(1, count + 1):
            times += add(number, number)
            bare.append(_bare(lab.host, number))
            progress.tick(f"Docker, container {number} of {count}")
        _check(lab, peers.DOCKER.namespace(lab.host, count), count)
    return {"containers": count, "seconds": sum(times), "without": sum(bare)}


def _bare(host: Host, number: int) -> float:
    began = time.perf_counter()
    peers.start(host, f"bare{number}", "--network=none")
    return time.perf_counter() - began


def _point(progress: Progress, backend: str, count: int) -> list[float]:
    progress.say(f"{ours.name(backend)}, {count} containers")
    return [count * PORTS, _ours(backend, count)["seconds"]]


def _check(lab: Lab, namespace: str, count: int) -> None:
    """A set-up that does not lead to the last container counts for nothing."""
    outer, inner = host_ports(count, PORTS)[-1]
    with lab.host.serve("tcp", inner, netns=namespace, name="last"):
        answer = lab.peer.ask("tcp", HOST_ADDRESS, outer)
    if answer is None:
        raise RuntimeError(f"port {outer} does not lead to the last container")
