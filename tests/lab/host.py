# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A throwaway host, and what can be done in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from lab import commands, servers
from lab.birth import Birth
from lab.commands import environment
from lab.errors import CommandError
from lab.identity import Identity


class Host:
    """A process tree in its own net, mount, pid, uts and ipc namespaces."""

    def __init__(self, name: str, identity: Identity, birth: Birth | None = None) -> None:
        """`birth` is given where this process owns the host; else the host was found again by its identity."""
        self.name = name
        self.identity = identity
        self._birth = birth
        self._processes: list[subprocess.Popen[Any]] = []

    @property
    def pid(self) -> int:
        """The host's PID 1, as seen from outside."""
        return self.identity.pid

    @property
    def enter(self) -> list[str]:
        """The words to put before a command to run it in the host, in the directory of the caller."""
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
        return ["nsenter", f"--target={self.pid}", *namespaces, f"--wdns={os.getcwd()}", "--"]

    def prefix(self, netns: str | None = None) -> list[str]:
        """Like `enter`, into a network namespace of the host (its name, or its path), and tied to the caller."""
        # nsenter forks, to get into the pid namespace: without this, killing it would leave the command running.
        tied = [*self.enter, "setpriv", "--pdeathsig=KILL", "--"]
        if netns is None:
            return tied
        return [*tied, "nsenter", f"--net={netns}", "--"] if "/" in netns else [*tied, "ip", "netns", "exec", netns]

    def run(
        self,
        *argv: str,
        netns: str | None = None,
        input: str | None = None,
        check: bool = True,
        timeout: float | None = 30,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. `env` is added to the caller's. Raises CommandError unless `check` is off."""
        where = f"{self.name}/{netns}" if netns else self.name
        return commands.run(where, self.prefix(netns), argv, input=input, check=check, timeout=timeout, env=env)

    def popen(
        self, *argv: str, netns: str | None = None, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a command; end it by `stop()`, or with the host. `options` are those of Popen.

        The process is nsenter, the command is its child: to kill it, see `commands.kill_entered()`.
        """
        process = subprocess.Popen([*self.prefix(netns), *argv], env=environment(env), **options)
        self._processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[Any]) -> None:
        """Kill what `popen()` started; it has let go of its ports and files when this returns."""
        commands.kill_entered(process)
        self.forget(process)

    def forget(self, process: subprocess.Popen[Any]) -> None:
        """Wait for the end of what `popen()` started."""
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        process.wait(timeout=10)
        if process in self._processes:
            self._processes.remove(process)

    def python(self, source: str, *args: str, netns: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run Python source in the host, by the caller's interpreter; `args` are its sys.argv[1:]."""
        return self.run(sys.executable, "-c", source, *args, netns=netns)

    def serve(
        self, protocol: str, port: int, *, netns: str | None = None, name: str | None = None, address: str = "0.0.0.0"
    ) -> servers.Server:
        """A TCP or UDP server that listens when this returns. Port 0: a free one. It answers as `name`."""
        return servers.Server(self, protocol, address, port, name or netns or self.name, netns)

    def ask(
        self,
        protocol: str,
        address: str,
        port: int,
        *,
        netns: str | None = None,
        source: str | None = None,
        source_port: int = 0,
        timeout: float = 1,
    ) -> servers.Answer | None:
        """Ask such a server once; None where no answer came: refused, unreachable, or silence."""
        options = {"source": source, "source_port": source_port, "timeout": timeout}
        return servers.ask(self, [(protocol, address, port)], netns, **options)[0]

    def ask_all(
        self, targets: Iterable[tuple[str, str, int]], *, netns: str | None = None, timeout: float = 1
    ) -> list[servers.Answer | None]:
        """Ask many (protocol, address, port) at the same time; the answers are in the order of the targets."""
        return servers.ask(self, list(targets), netns, timeout=timeout)

    def flow(
        self, address: str, port: int, *, netns: str | None = None, source: str | None = None, timeout: float = 2
    ) -> servers.Flow:
        """A TCP connection that stays, to such a server. Raises FlowBroken where it can't be made."""
        return servers.Flow(self, address, port, netns, source, timeout)

    def ping(self, address: str, *, netns: str | None = None) -> bool:
        """Whether one echo request is answered within a second."""
        done = self.run("ping", "-n", "-q", "-c1", "-W1", address, netns=netns, check=False)
        if done.returncode > 2:
            raise CommandError(self.name, done.args, done.returncode, done.stdout, done.stderr)
        return done.returncode == 0

    def detach(self) -> None:
        """Let the host outlive this process."""
        if self._birth:
            self._birth.release()
            self._birth = None

    def down(self) -> None:
        """End the host and everything in it."""
        self.identity.kill()
        if self._birth:
            self._birth.end()
        for process in list(self._processes):
            self.forget(process)
