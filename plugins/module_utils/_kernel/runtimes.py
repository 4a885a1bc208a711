# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes are the containers that others run, asked of their runtimes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Callable

TIMEOUT = 10  # seconds that a runtime may take to answer
FIELDS = "{{.Id}} {{.Name}} {{.State.Pid}}"
ANSWER = re.compile(r"(?P<identity>[0-9a-f]{12,64}) /?(?P<name>\S+) (?P<pid>[0-9]{1,10})")
PREFIX = re.compile(r"[0-9a-f]{12,64}")  # shorter ones are taken for names
LOCAL = "unix://"
ADDRESSES = ("DOCKER_HOST", "CONTAINER_HOST")


class NotFound(Exception):
    """There is no namespace behind a reference; the text says why, and the way out."""


Answers = dict[str, "int | NotFound"]  # process IDs by name; what does not run has 0, or is left out


@dataclass(frozen=True)
class Runtime:
    """How a runtime is asked for the processes of containers, by their names."""

    ask: Callable[[list[str]], Answers]
    program: str
    package: str
    what: str  # what it calls its containers


class Runtimes:
    """The runtimes of a host. One that has once given no answer in time isn't asked again."""

    def __init__(self) -> None:
        self._silent: dict[str, NotFound] = {}

    def ask(self, references: Iterable[str]) -> Answers:
        """The processes of these, or why there is none; each runtime is asked once for all that are its."""
        asked: dict[str, list[str]] = {}
        for kind, _colon, name in (reference.partition(":") for reference in references):
            asked.setdefault(kind, []).append(name)
        return {
            f"{kind}:{name}": answer for kind, names in asked.items() for name, answer in self._ask(kind, names).items()
        }

    def _ask(self, kind: str, names: list[str]) -> Answers:
        runtime = RUNTIMES[kind]
        answers: Answers = {}
        if kind not in self._silent:
            try:
                answers = runtime.ask(names)
            except FileNotFoundError:
                missing = f"the program {runtime.program} is missing; install the package {runtime.package}"
                return dict.fromkeys(names, NotFound(missing))
            except OSError as error:
                broken = f"the program {runtime.program} can't be run ({error.strerror}); see to it"
                return dict.fromkeys(names, NotFound(broken))
            except NotFound as error:
                return dict.fromkeys(names, error)
        silent = [answer for answer in answers.values() if isinstance(answer, Silent)]
        if silent:
            self._silent[kind] = silent[0]
        idle = NotFound(f"{runtime.program} has no running {runtime.what} of that name; start it, or disconnect it")
        return {name: answers.get(name) or self._silent.get(kind, idle) for name in names}


class Silent(NotFound):
    """A runtime did not answer in time."""


def _run(*command: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a program. Raises Silent."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=environment(os.environ),
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Silent(f"{command[0]} gave no answer within {TIMEOUT} seconds; see to that service") from None
        finally:
            if process.poll() is None:  # with all that it started, or its pipes stay open
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What a runtime's program is started with: it is to ask on this very host, as process IDs mean nothing elsewhere.

    Docker's "default" context is that of DOCKER_HOST or else the usual socket, whatever root's own settings name.
    """
    kept = {key: value for key, value in given.items() if key not in ADDRESSES or value.startswith(LOCAL)}
    kept.pop("CONTAINER_CONNECTION", None)
    return {**kept, "DOCKER_CONTEXT": "default", "LC_ALL": "C.UTF-8"}


def _inspect(program: str) -> Callable[[list[str]], Answers]:
    """Docker and Podman: one that is not there is left out of the answer. Names and beginnings of IDs will do."""

    def ask(names: list[str]) -> Answers:
        code, out, err = _run(program, "inspect", "--type", "container", "--format", FIELDS, "--", *names)
        known = [match for match in map(ANSWER.fullmatch, out.splitlines()) if match]
        by_name = {match["name"]: int(match["pid"]) for match in known}
        found: Answers = {}
        for name in names:
            begun = {match["identity"]: int(match["pid"]) for match in known if match["identity"].startswith(name)}
            if name in by_name:
                found[name] = by_name[name]
            elif PREFIX.fullmatch(name) and len(begun) == 1:
                found.update((name, pid) for pid in begun.values())
            elif code and not re.search(r"no such (container|object)", err, re.IGNORECASE):
                found[name] = _trouble(program, err)
        return found

    return ask


def _units(names: list[str]) -> Answers:
    """systemd: one block for each unit, in order, also for those that do not exist."""
    code, out, err = _run("systemctl", "show", "--property", "Id,MainPID", "--", *names)
    if code:
        raise NotFound(f"systemctl can't be asked: {_last_line(err)}; is systemd running here?")
    blocks = out.strip().split("\n\n")
    if len(blocks) != len(names):
        raise NotFound(f"systemctl can't be asked: it spoke of {len(blocks)} of {len(names)} units; see to it")
    return {name: _number(re.search(r"^MainPID=(.*)$", block, re.MULTILINE)) for name, block in zip(names, blocks)}


def _each(unknown: str, *command: str) -> Callable[[list[str]], Answers]:
    """A runtime that is asked for one container at a time, and answers with nothing but the process ID.

    ``unknown`` is in what it says of one that it does not have.
    """

    def ask(names: list[str]) -> Answers:
        found: Answers = {}
        for name in names:
            try:
                code, out, err = _run(*command, name)
            except Silent as error:
                found[name] = error
                break
            found[name] = _number(re.fullmatch(r"\s*(.*?)\s*", out))
            if code and err.strip() and unknown not in err:
                found[name] = _trouble(command[0], err)
        return found

    return ask


def _number(match: re.Match[str] | None) -> int:
    return int(match[1]) if match and re.fullmatch(r"[0-9]{1,10}", match[1]) else 0


def _trouble(program: str, err: str) -> NotFound:
    return NotFound(f"{program} can't be asked: {_last_line(err)}; see to that service")


def _last_line(text: str) -> str:
    """What a program said last, with nothing in it that is not printable."""
    lines = text.strip().splitlines() or ["it said nothing"]
    return "".join(each if each.isprintable() else "?" for each in lines[-1].strip())


RUNTIMES = {
    "docker": Runtime(_inspect("docker"), "docker", "docker.io or docker-ce-cli", "container"),
    "podman": Runtime(_inspect("podman"), "podman", "podman", "container"),
    "machine": Runtime(
        _each("No machine", "machinectl", "show", "--property", "Leader", "--value"),
        "machinectl",
        "systemd-container",
        "machine",
    ),
    "lxc": Runtime(
        _each("doesn't exist", "lxc-info", "--pid", "--no-humanize", "--name"), "lxc-info", "lxc", "container"
    ),
    "unit": Runtime(_units, "systemctl", "systemd", "service"),
}
