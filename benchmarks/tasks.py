# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What single tasks cost on hosts with few and with many published ports: in a play, and without Ansible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks import ours, payloads, plays
from benchmarks.plays import Play, Task
from benchmarks.progress import Progress
from benchmarks.scale import Scale
from lab import Host, Lab

FEW = 10
MORE = ["45002:9001"]
ONE, ALL, LISTED = UNCHANGED = ("names a port", "declares all ports by ranges", "lists all ports one by one")
NONE, ANEW = "removes all ports", "publishes all ports"

Found = dict[str, Any]


def measure(scale: Scale, progress: Progress, backend: str) -> Found:
    """Seconds (of tasks and modules) and KiB, all repetitions."""
    with ExitStack() as stack:
        hosts: dict[str, Host] = {}
        for name, count in {"empty": 0, "few": FEW, "many": scale.many}.items():
            progress.say(f"{backend}, a host with {count:,} ports")
            hosts[name] = stack.enter_context(Lab(("host",))).host
            hosts[name].name = name
            ours.share(hosts[name], backend, count)
        counts = {"few": FEW, "many": scale.many}
        return {
            "more": _more(scale, progress, backend, hosts),
            "unchanged": _unchanged(scale, progress, backend, hosts, counts),
            "ping": _ping(scale, progress, backend, hosts["few"]),
            "modules": _modules(scale, progress, backend, hosts, counts),
        }


def _more(scale: Scale, progress: Progress, backend: str, hosts: Mapping[str, Host]) -> Found:
    names = ("empty", "many")
    tasks = [ours.publish(backend, MORE, "more"), ours.publish(backend, MORE, "less", state="absent")]
    done = _rounds(progress, f"{backend}, one port more", dict.fromkeys(names, tasks), hosts, scale.task_rounds)
    return {name: done.seconds_of("more", name) for name in names}


def _unchanged(
    scale: Scale, progress: Progress, backend: str, hosts: Mapping[str, Host], counts: Mapping[str, int]
) -> Found:
    tasks = {name: list(_unchanged_tasks(backend, count).values()) for name, count in counts.items()}
    done = _rounds(progress, f"{backend}, unchanged", tasks, hosts, scale.task_rounds)
    _require_unchanged(done)
    return {title: {name: done.seconds_of(title, name) for name in counts} for title in UNCHANGED}


def _unchanged_tasks(backend: str, count: int) -> dict[str, Task]:
    return {
        ONE: ours.publish(backend, ours.OWN, ONE),
        ALL: ours.spread(backend, count, ALL, ours.as_range),
        LISTED: ours.spread(backend, count, LISTED, ours.one_by_one),
    }


def _ping(scale: Scale, progress: Progress, backend: str, host: Host) -> Found:
    """Tasks that have nothing to do, with a ping before each of them."""
    tasks = {
        "port_mapping": ours.publish(backend, ours.OWN, "port_mapping"),
        "container_network": ours.connect(backend, ours.SHARING, "container_network"),
        "container_info": plays.module("container_info", "container_info", name=[ours.CONTAINER]),
    }
    turns = [each for task in tasks.values() for each in (ours.ping(), task)]
    done = _rounds(progress, f"{backend}, ping", {host.name: turns}, {host.name: host}, scale.ping_rounds)
    _require_unchanged(done)
    return {title: done.seconds_of(title, host.name) for title in ("ping", *tasks)}


def _require_unchanged(run: plays.Run) -> None:
    changed = [each for each in run.tasks if each.changed]
    if changed:
        raise RuntimeError(f"a task that has nothing to do changed something: {changed[0]}")


def _rounds(
    progress: Progress, what: str, tasks: Mapping[str, Sequence[Task]], hosts: Mapping[str, Host], rounds: int
) -> plays.Run:
    """One playbook in which the hosts take turns, that many times."""
    turn: list[Play] = [plays.play(name, each) for name, each in tasks.items()]
    total = rounds * sum(map(len, tasks.values()))
    progress.say(f"{what}, {total} tasks")
    used = {name: hosts[name] for name in tasks}
    return plays.run(used, turn * rounds, lambda count: progress.tick(f"{what}, task {count} of {total}"))


def _modules(
    scale: Scale, progress: Progress, backend: str, hosts: Mapping[str, Host], counts: Mapping[str, int]
) -> Found:
    """What the processes on the host cost, without Ansible's share on the controller."""
    progress.say(f"{backend}, modules without Ansible")
    wanted = {"more": ours.publish(backend, MORE, "more"), "less": ours.publish(backend, MORE, "less", state="absent")}
    jobs = {name: {"ping": ours.ping(), **wanted} for name in ("empty", "many")}
    jobs["few"] = {}
    for name, count in counts.items():
        jobs[name].update(_unchanged_tasks(backend, count))
    # In this order they leave what was there.
    jobs["many"][NONE] = ours.spread(backend, scale.many, NONE, ours.as_range, state="absent")
    jobs["many"][ANEW] = ours.spread(backend, scale.many, ANEW, ours.as_range)
    paths = {name: payloads.capture(hosts[name], tasks) for name, tasks in jobs.items()}
    slow = {title: paths["many"].pop(title) for title in (NONE, ANEW)}
    found: dict[str, list[Found]] = {}
    for number in range(1, scale.module_rounds + 1):
        progress.tick(f"{backend}, modules without Ansible, round {number} of {scale.module_rounds}")
        for name, each in paths.items():
            found.setdefault(name, []).extend(payloads.cost(hosts[name], each))
    for _round in range(scale.slow_rounds):
        progress.say(f"{backend}, modules without Ansible, {scale.many:,} ports at once")
        found["many"] += payloads.cost(hosts["many"], slow)
    return {name: _by_title(runs) for name, runs in found.items()}


def _by_title(runs: Sequence[Mapping[str, Any]]) -> Found:
    found: Found = {}
    for run in runs:
        costs = found.setdefault(run["name"], {"seconds": [], "cpu": [], "memory": []})
        for key, values in costs.items():
            values.append(run[key])
    return found
