# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The numbers of one kind of run; `rounds` are repetitions in which all that is compared takes turns."""

    containers: int  # of the set-up, each with PORTS published ports
    setup_rounds: int
    slow_rounds: int  # of the set-ups that take the peers long
    docker_containers: int
    curve: tuple[int, ...]  # numbers of containers in the plot of set-up times
    latency_ports: tuple[int, ...]
    peer_ports: tuple[int, ...]  # that the peers publish themselves
    latency_rounds: int
    connects: int  # in each round
    many: int
    task_rounds: int
    ping_rounds: int
    module_rounds: int


PORTS = 2

FULL = Scale(
    containers=200,
    setup_rounds=5,
    slow_rounds=2,
    docker_containers=100,
    curve=(1, 25, 50, 100, 200, 400),
    latency_ports=(1, 100, 1000, 10000, 20000),
    peer_ports=(2, 100, 1000),
    latency_rounds=12,
    connects=400,
    many=10000,
    task_rounds=15,
    ping_rounds=30,
    module_rounds=15,
)
QUICK = Scale(
    containers=40,
    setup_rounds=2,
    slow_rounds=1,
    docker_containers=8,
    curve=(1, 40),
    latency_ports=(1, 1000, 20000),
    peer_ports=(2, 40),
    latency_rounds=4,
    connects=150,
    many=10000,
    task_rounds=3,
    ping_rounds=5,
    module_rounds=2,
)
