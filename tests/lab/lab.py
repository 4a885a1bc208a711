# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A set of throwaway hosts, wired together."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import commands, topology
from lab.birth import Birth
from lab.errors import LabError
from lab.host import Host

ALL_HOSTS = tuple(topology.PLANS)
# Each host has these to itself, so nothing that it needs from the machine may be in them.
PRIVATE_DIRECTORIES = ("/run", "/var/lib")


class Lab:
    """Hosts of the topology (all by default), up within the context or between `up()` and `down()`.

    They end with the process that made them, however it ends, unless it calls `detach()`.
    """

    def __init__(self, hosts: Sequence[str] = ALL_HOSTS) -> None:
        unknown = [name for name in hosts if name not in topology.PLANS]
        if unknown or not hosts:
            raise LabError(f"hosts {list(hosts)}: expected one or more of {', '.join(ALL_HOSTS)}")
        self.names = tuple(dict.fromkeys(hosts))
        self.hosts: dict[str, Host] = {}
        self.switch: Host | None = None

    @classmethod
    def attach(cls, hosts: dict[str, Host], switch: Host) -> Lab:
        """A lab that another process made."""
        lab = cls(tuple(hosts))
        lab.hosts, lab.switch = hosts, switch
        return lab

    def __getitem__(self, name: str) -> Host:
        try:
            return self.hosts[name]
        except KeyError:
            raise LabError(f"no host {name} in this lab, only: {', '.join(self.hosts) or 'none, it is down'}") from None

    @property
    def host(self) -> Host:
        return self["host"]

    @property
    def peer(self) -> Host:
        return self["peer"]

    @property
    def router(self) -> Host:
        return self["router"]

    @property
    def remote(self) -> Host:
        return self["remote"]

    def __enter__(self) -> Lab:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> Lab:
        """Make the hosts and wire them. All or none: what fails half-way is taken down again."""
        if self.switch:
            raise LabError("this lab is up already")
        _check_machine()
        try:
            self._start()
            self._wire()
        except BaseException:
            self.down()
            raise
        return self

    def _start(self) -> None:
        births = [Birth("switch", topology.SWITCH_SYSCTLS)]
        try:
            births += [Birth(name, topology.PLANS[name].sysctls) for name in self.names]
            switch, *hosts = [Host(birth.name, birth.finish(), birth) for birth in births]
        except BaseException:
            for birth in births:
                birth.end()
            raise
        self.switch, self.hosts = switch, {host.name: host for host in hosts}

    def _wire(self) -> None:
        assert self.switch
        pids = {name: host.pid for name, host in self.hosts.items()}
        _configure(self.switch, topology.switch_batch(pids))
        with ThreadPoolExecutor() as pool:
            list(pool.map(_configure, self.hosts.values(), map(topology.host_batch, self.hosts)))

    def detach(self) -> Lab:
        """Let the hosts outlive this process. The lab that is returned has them now; this one is as if down."""
        assert self.switch
        for host in self._all():
            host.detach()
        detached = Lab.attach(self.hosts, self.switch)
        self.hosts, self.switch = {}, None
        return detached

    def down(self) -> None:
        """End all hosts and everything in them. Nothing happens where the lab is down already."""
        for host in self._all():
            host.down()
        self.hosts, self.switch = {}, None

    def alive(self) -> bool:
        """Whether the lab is up and all of its hosts are."""
        return bool(self.switch) and all(host.identity.alive() for host in self._all())

    def _all(self) -> list[Host]:
        return [*self.hosts.values(), *([self.switch] if self.switch else [])]


def _configure(host: Host, batch: str) -> None:
    # Into the network namespace alone: in its pid namespace, the pids of the other hosts mean nothing.
    commands.run(host.name, ["nsenter", f"--target={host.pid}", "--net", "--"], ["ip", "-batch", "-"], input=batch)


def _check_machine() -> None:
    if os.geteuid():
        raise LabError("throwaway hosts need root: they are made of namespaces")
    for path in (Path(__file__).resolve(), Path(sys.prefix), Path(sys.executable).resolve()):
        for directory in PRIVATE_DIRECTORIES:
            if path.is_relative_to(directory):
                raise LabError(f"{path}: each throwaway host has a {directory} of its own; use another place for this")
