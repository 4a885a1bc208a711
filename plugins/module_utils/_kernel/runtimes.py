# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where containers that others run have their network namespaces, asked of their runtimes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable

TIMEOUT = 60  # seconds that a runtime may take to answer
FIELDS = "{{.Id}} {{.Name}} {{.State.Pid}}"


class NotFound(Exception):
    """There is no namespace behind a reference; the text says why, and the way out."""


@dataclass(frozen=True)
class Runtime:
    """How a runtime is asked for the processes of containers: ``ask`` takes names and returns process IDs, by name."""

    ask: Callable[[list[str]], dict[str, int]]
    program: str
    package: str
    what: str  # what it calls its containers


def locate(references: Iterable[str]) -> dict[str, str | NotFound]:
    """The files that stand for the namespaces of these, or why there is none."""
    found: dict[str, str | NotFound] = {}
    asked: dict[str, list[str]] = {}
    for reference in references:
        kind, _colon, name = reference.partition(":")
        if reference.startswith("/"):
            found[reference] = reference if os.path.exists(reference) else NotFound("there is no such file")
        elif kind == "pid":
            found[reference] = _of_process(int(name), f"there is no process {name}; name one that runs")
        else:
            asked.setdefault(kind, []).append(name)
    for kind, names in asked.items():
        found.update((f"{kind}:{name}", answer) for name, answer in _asked(RUNTIMES[kind], names).items())
    return found


def _asked(runtime: Runtime, names: list[str]) -> dict[str, str | NotFound]:
    try:
        processes = runtime.ask(names)
    except FileNotFoundError:
        gone = NotFound(f"the program {runtime.program} is missing; install the package {runtime.package}")
        return dict.fromkeys(names, gone)
    except subprocess.TimeoutExpired:
        silent = NotFound(f"{runtime.program} gave no answer within {TIMEOUT} seconds; see to that service")
        return dict.fromkeys(names, silent)
    except NotFound as error:
        return dict.fromkeys(names, error)
    idle = f"{runtime.program} has no running {runtime.what} of that name; start it, or disconnect it"
    return {name: _of_process(processes.get(name, 0), idle) for name in names}


def _of_process(pid: int, otherwise: str) -> str | NotFound:
    path = f"/proc/{pid}/ns/net"
    return path if pid and os.path.exists(path) else NotFound(otherwise)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False
    )


def _inspect(program: str) -> Callable[[list[str]], dict[str, int]]:
    """Docker and Podman: one that is not there is left out of the answer. Names and beginnings of IDs will do."""

    def ask(names: list[str]) -> dict[str, int]:
        done = _run(program, "inspect", "--type", "container", "--format", FIELDS, "--", *names)
        lines = [line.split() for line in done.stdout.splitlines()]
        known = [(identity, name.lstrip("/"), int(pid)) for identity, name, pid in lines]
        if done.returncode and not known and not re.search("no such", done.stderr, re.IGNORECASE):
            raise NotFound(f"{program} can't be asked: {_last_line(done.stderr)}; see to that service")
        found = {}
        for wanted in names:
            matches = [pid for identity, name, pid in known if name == wanted]
            matches += [pid for identity, name, pid in known if identity.startswith(wanted)]
            if matches:
                found[wanted] = matches[0]
        return found

    return ask


def _units(names: list[str]) -> dict[str, int]:
    """systemd: one block for each unit, in order, also for those that do not exist."""
    done = _run("systemctl", "show", "--property", "Id,MainPID", "--", *names)
    if done.returncode:
        raise NotFound(f"systemctl can't be asked: {_last_line(done.stderr)}; is systemd running here?")
    blocks = [_properties(block) for block in done.stdout.strip().split("\n\n")]
    return {name: int(block.get("MainPID") or 0) for name, block in zip(names, blocks)}


def _each(*command: str) -> Callable[[list[str]], dict[str, int]]:
    """A runtime that is asked for one container at a time, and answers with nothing but the process ID."""

    def ask(names: list[str]) -> dict[str, int]:
        answers = {name: _run(*command, name).stdout.strip() for name in names}
        return {name: int(answer) for name, answer in answers.items() if answer.isdigit()}

    return ask


def _properties(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


RUNTIMES = {
    "docker": Runtime(_inspect("docker"), "docker", "docker.io or docker-ce-cli", "container"),
    "podman": Runtime(_inspect("podman"), "podman", "podman", "container"),
    "machine": Runtime(
        _each("machinectl", "show", "--property", "Leader", "--value"), "machinectl", "systemd-container", "machine"
    ),
    "lxc": Runtime(_each("lxc-info", "--pid", "--no-humanize", "--name"), "lxc-info", "lxc", "container"),
    "unit": Runtime(_units, "systemctl", "systemd", "service"),
}
