# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers, clients and flows of traffic.py, as objects of the test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import CommandError, LabError

if TYPE_CHECKING:
    from lab.host import Host

# Isolated and without site-packages: it starts in half the time.
TRAFFIC = (sys.executable, "-I", "-S", str(Path(__file__).with_name("traffic.py")))


class FlowBroken(LabError):
    """A connection could not be made, or did not last."""


@dataclass(frozen=True)
class Answer:
    """Who answered, and the client's address and port as the server saw them."""

    server: str
    seen_from: str
    seen_port: int


class Server:
    """A server that listens from its creation to `stop()`, or to the end of the `with` block."""

    def __init__(self, host: Host, protocol: str, address: str, port: int, name: str, netns: str | None) -> None:
        self.host, self.protocol, self.address, self.name = host, protocol, address, name
        self._process, ready = _start(host, ("serve", protocol, address, str(port), name), netns)
        self.port = int(ready)

    def stop(self) -> None:
        """The port is free when this returns."""
        self.host.forget(self._process)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Flow:
    """A long-lived TCP connection; `rounds` counts the answered requests."""

    def __init__(
        self, host: Host, address: str, port: int, netns: str | None, source: str | None, timeout: float
    ) -> None:
        self.host, self.rounds = host, 0
        options = [f"--timeout={timeout}", *([f"--source={source}"] if source else [])]
        self._process, ready = _start(host, ("flow", *options, address, str(port)), netns)
        self._check(ready)

    def echo(self) -> Answer:
        """One request and its answer, on this connection. Raises FlowBroken."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = Answer(**self._check(self._process.stdout.readline()))
        self.rounds += 1
        return answer

    def _check(self, line: str) -> dict:
        result = json.loads(line or '{"failure": "its host is down"}')
        if "failure" in result:
            self.close()
            raise FlowBroken(f"{self.host.name}: connection broken after {self.rounds} rounds: {result['failure']}")
        return result

    def close(self) -> None:
        self.host.forget(self._process)

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(
    host: Host,
    targets: Sequence[tuple[str, str, int]],
    netns: str | None,
    *,
    source: str | None = None,
    source_port: int = 0,
    timeout: float = 1,
) -> list[Answer | None]:
    """Ask all targets at once; None for each that gave no answer."""
    options = [f"--source-port={source_port}", f"--timeout={timeout}", *([f"--source={source}"] if source else [])]
    done = host.run(*TRAFFIC, "ask", *options, *(_url(*target) for target in targets), netns=netns)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [None if "failure" in answer else Answer(**answer) for answer in answers]


def _url(protocol: str, address: str, port: int) -> str:
    return f"{protocol}://[{address}]:{port}" if ":" in address else f"{protocol}://{address}:{port}"


def _start(host: Host, words: Sequence[str], netns: str | None) -> tuple[subprocess.Popen[str], str]:
    """Start traffic.py, and wait for its first line. Raises CommandError where it ends without one."""
    pipe = subprocess.PIPE
    process = host.popen(*TRAFFIC, *words, netns=netns, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout and process.stderr
    ready = process.stdout.readline()
    if not ready:
        stderr = process.stderr.read()
        host.forget(process)
        raise CommandError(host.name, words, process.returncode, "", stderr)
    return process, ready
