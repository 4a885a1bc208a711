# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The goals, and what came of each: results in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import ours, peers, setups, tasks
from benchmarks.figures import median

Results = Mapping[str, Any]
KIB_IN_MB = 1024**2 / 1000**2 / 1024

PEERS_FACTOR, FLOOR_FACTOR = 10, 3
MORE_FACTOR, UNCHANGED_FACTOR, PING_FACTOR = 1.3, 1.5, 1.6
CONNECT_FACTOR = {"nftables": 1.3, "iptables": 3.0}
MEMORY_MB = 120
PINGED = ("port_mapping", "container_network")


@dataclass(frozen=True)
class Verdict:
    """A measured value against its limit, both in `unit`; `least`: the limit is the least, not the most."""

    backend: str
    value: float
    limit: float
    unit: str = "×"
    least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit

    @property
    def text(self) -> str:
        shown = f"{self.value:.{0 if self.value >= 100 else 1 if self.value >= 10 else 2}f}{self.unit}"
        if self.met:
            return f"met: {shown}"
        off = self.limit / self.value if self.least else self.value / self.limit
        return f"**missed: {shown}**, by a factor of {off:.2f}"


@dataclass(frozen=True)
class Row:
    """One goal: what, the limit in words, and the verdict on each backend that was measured."""

    what: str
    wanted: str
    verdicts: tuple[Verdict, ...]


def rows(results: Results) -> Iterator[Row]:
    found = _of(results)
    count, ports = results["setup"]["containers"], results["setup"]["ports"]
    work = f"{count} containers and {ports} ports from nothing, in one play"
    for peer in (peers.NETAVARK, peers.CNI):
        yield found(
            f"{work}, Ansible's time included, against {peer.name}",
            f"at least {PEERS_FACTOR} times faster",
            lambda backend, name=peer.name: Verdict(backend, _faster(results, backend, name), PEERS_FACTOR, least=True),
        )
    yield found(
        f"{work}, Ansible's start-up aside, against the floor",
        f"at most {FLOOR_FACTOR} times",
        lambda backend: Verdict(backend, _against_floor(results, backend), FLOOR_FACTOR),
    )
    many = f"{results['tasks_at']:,}"
    yield found(
        f"one more port on a host with {many}, against one more on a host with none",
        f"at most {MORE_FACTOR} times",
        lambda backend: Verdict(backend, _ratio(results["tasks"][backend]["more"], "many", "empty"), MORE_FACTOR),
    )
    for title in tasks.UNCHANGED:
        yield found(
            f"unchanged task that {title}, on a host with {many} ports against one with {tasks.FEW}",
            f"at most {UNCHANGED_FACTOR} times",
            lambda backend, title=title: Verdict(
                backend, _ratio(results["tasks"][backend]["unchanged"][title], "many", "few"), UNCHANGED_FACTOR
            ),
        )
    most = max(spot["ports"] for spot in results["latency"]["spots"])
    for figure in ("p50", "p99"):
        yield found(
            f"TCP connect, {figure}, through the last of {most:,} ports against the only one",
            "at most {nftables} times on nftables, {iptables} on iptables".format(**CONNECT_FACTOR),
            lambda backend, figure=figure: Verdict(
                backend, _connect(results, backend, figure, most), CONNECT_FACTOR[backend]
            ),
        )
    for title in PINGED:
        yield found(
            f"one unchanged task of `{title}`, against `ansible.builtin.ping` in the same play",
            f"at most {PING_FACTOR} times",
            lambda backend, title=title: Verdict(
                backend, _ratio(results["tasks"][backend]["ping"], title, "ping"), PING_FACTOR
            ),
        )
    yield found(
        f"memory of the module, at its peak, with {many} ports",
        f"less than {MEMORY_MB} MB",
        lambda backend: Verdict(backend, memory(results["tasks"][backend]), MEMORY_MB, " MB"),
    )


def _of(results: Results) -> Callable[[str, str, Callable[[str], Verdict]], Row]:
    backends: Sequence[str] = list(results["tasks"])

    def row(what: str, wanted: str, judge: Callable[[str], Verdict]) -> Row:
        return Row(what, wanted, tuple(judge(backend) for backend in backends))

    return row


def seconds(results: Results, way: str) -> float:
    return median([run["seconds"] for run in results["setup"]["runs"][way]])


def _faster(results: Results, backend: str, peer: str) -> float:
    return seconds(results, peer) / seconds(results, ours.name(backend))


def _against_floor(results: Results, backend: str) -> float:
    own = seconds(results, ours.name(backend)) - seconds(results, setups.STARTUP)
    return own / seconds(results, setups.FLOOR)


def _ratio(times: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    return median(times[one]) / median(times[other])


def _connect(results: Results, backend: str, figure: str, most: int) -> float:
    own = {spot["ports"]: spot for spot in results["latency"]["spots"] if spot["way"] == ours.name(backend)}
    return own[most][figure] / own[1][figure]


def memory(found: Results) -> float:
    """The largest of all runs on the host with many ports, in MB."""
    return max(max(costs["memory"]) for costs in found["modules"]["many"].values()) * KIB_IN_MB
