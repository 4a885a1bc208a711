# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Others that do the same: called once for each container, in a throwaway host."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare import daemon

from benchmarks.inside import per_container
from benchmarks.scale import PORTS
from benchmarks.shapes import Marks
from lab import Host, LabError

INSIDE = Path(__file__).resolve().parent / "inside"
UNPACKED = Path(__file__).resolve().parents[1] / ".cache/bench"
PROGRAMS = UNPACKED / "root/usr/lib"
NETWORK = "bench"

Add = Callable[[int, int], Iterator[float]]


@dataclass(frozen=True)
class Peer:
    """`running` gives the function that adds containers FIRST to LAST, and yields the seconds that each took."""

    name: str
    chains: str  # a pattern of the names of chains that it makes for each container
    running: Callable[[Host], AbstractContextManager[Add]]
    marks: Callable[[int], Marks]  # of a container
    namespace: Callable[[Host, int], str]  # of a container: its path in the host


def _marks(number: int) -> Marks:
    ports = tuple(outer for outer, _inner in per_container.host_ports(number, PORTS))
    return Marks(per_container.address(number), ports, per_container.container_id(number))


def _docker_marks(number: int) -> Marks:
    return Marks(f"172.18.{(number + 1) // 256}.{(number + 1) % 256}", _marks(number).ports)


def make_namespaces(host: Host, first: int, last: int) -> None:
    batch = "".join(f"netns add c{number}\n" for number in range(first, last + 1))
    host.run("ip", "-batch", "-", input=batch, timeout=120)


def _per_container(name: str) -> Callable[[Host], AbstractContextManager[Add]]:
    @contextmanager
    def running(host: Host) -> Iterator[Add]:
        def add(first: int, last: int) -> Iterator[float]:
            """Its namespaces are made first, which counts for nothing."""
            make_namespaces(host, first, last)
            words = [str(INSIDE / "per_container.py"), name, str(PROGRAMS), *map(str, (first, last, PORTS))]
            yield from _lines(host, words)

        yield add

    return running


def _lines(host: Host, words: Sequence[str]) -> Iterator[float]:
    """The numbers that a script in the host prints."""
    process = host.popen(sys.executable, *words, stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            yield float(line)
        if process.wait(timeout=10):
            raise LabError(f"{host.name}: {words}: rc {process.returncode}")
    finally:
        host.stop(process)


@contextmanager
def _docker(host: Host) -> Iterator[Add]:
    with daemon.running(host, ["--userland-proxy=false"]):
        docker(host, "network", "create", "--subnet=172.18.0.0/16", NETWORK)

        def add(first: int, last: int) -> Iterator[float]:
            for number in range(first, last + 1):
                published = [f"--publish={outer}:{inner}" for outer, inner in per_container.host_ports(number, PORTS)]
                began = time.perf_counter()
                start(host, f"c{number}", f"--network={NETWORK}", *published)
                yield time.perf_counter() - began

        yield add


def docker(host: Host, *words: str) -> str:
    return host.run("docker", *words, env=daemon.ENVIRONMENT, timeout=60).stdout.strip()


def start(host: Host, name: str, *options: str) -> None:
    docker(host, "run", "--detach", "--name", name, *options, daemon.IMAGE)


def _docker_namespace(host: Host, number: int) -> str:
    return f"/proc/{docker(host, 'inspect', '--format', '{{.State.Pid}}', f'c{number}')}/ns/net"


def _named_namespace(host: Host, number: int) -> str:
    return f"/run/netns/c{number}"


NETAVARK = Peer("netavark", "(?!)", _per_container("netavark"), _marks, _named_namespace)
CNI = Peer("CNI bridge + portmap", "CNI-(DN-)?[0-9a-f].*", _per_container("cni"), _marks, _named_namespace)
DOCKER = Peer("Docker", "(?!)", _docker, _docker_marks, _docker_namespace)
PEERS = (NETAVARK, CNI, DOCKER)


def packages() -> list[str]:
    """What was unpacked."""
    names = [each.removesuffix(".deb").rpartition("_")[0] for each in (UNPACKED / "packages").read_text().split()]
    return [*(name.replace("_", " ") for name in names), f"docker.io {daemon.VERSION}"]


def firewall(host: Host) -> str:
    return host.run("iptables-save").stdout


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]
