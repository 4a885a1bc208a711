# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules of the collection as methods of a throwaway host, with what every run has to keep checked at every run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import Host, Lab

DRIVER = Path(__file__).with_name("driver.py")
HOST, PEER, REMOTE = "192.0.2.10", "192.0.2.20", "198.51.100.2"
KILLED = -9

Result = dict[str, Any]
Snapshot = dict[str, str]


class Driver:
    """The process that forks into hosts; see driver.py."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        pipe = subprocess.PIPE
        environment = {**os.environ, "PYTHONPATH": path, "LC_ALL": "C.UTF-8"}
        environment["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        self._process = subprocess.Popen(
            [sys.executable, str(DRIVER)], stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def do(self, host: Host, *jobs: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The outcomes of the jobs, which run at the same time."""
        assert self._process.stdin and self._process.stdout
        request = {"host": [host.identity.pid, host.identity.started], "jobs": jobs}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        with self._process as process:
            assert process.stdin
            process.stdin.close()


class Managed:
    """A host under the modules. Each real run that succeeds is framed by two others:

    before it one in check mode, which must leave the host alone and predict the result, and after it one that must
    find nothing to do. One that fails must say why in one line, in check mode too, and leave the host alone.

    ``backend`` is the firewall_backend of tasks that don't name one.
    """

    def __init__(self, host: Host, driver: Driver, backend: str = "iptables") -> None:
        self.host = host
        self.backend = backend
        self.environment: dict[str, str] = {}  # of modules, beside the test's own
        self._driver = driver

    def netns_bridge(self, **arguments: Any) -> Result:
        return self.run("netns_bridge", **arguments)

    def container_network(self, **arguments: Any) -> Result:
        return self.run("container_network", **arguments)

    def port_mapping(self, **arguments: Any) -> Result:
        return self.run("port_mapping", **arguments)

    def network_prune(self, **arguments: Any) -> Result:
        return self.run("network_prune", **arguments)

    def container_info(self, **arguments: Any) -> Result:
        return self.look("container_info", **arguments)

    def container_network_info(self, **arguments: Any) -> Result:
        return self.look("container_network_info", **arguments)

    def look(self, module: str, *, fails: bool = False, **arguments: Any) -> Result:
        """The result of a module that only looks: check mode makes no difference, and the host stays as it is."""
        before = self.snapshot()
        predicted = self.once(module, arguments, check=True)
        result = _expected(self.once(module, arguments), fails)
        same(flat(predicted), flat(result), "check mode sees something else")
        same(before, self.snapshot(), "looking changed the host")
        assert fails or result["changed"] is False, result
        return result

    def run(
        self,
        module: str,
        *,
        check: bool = False,
        fails: bool = False,
        partly: bool = False,
        framed: bool = True,
        **arguments: Any,
    ) -> Result:
        """A module's result. `fails`: it has to; `partly`: it has to, having done what could be done."""
        before = self.snapshot() if framed or check else {}
        if check or framed:
            predicted = self.once(module, arguments, check=True)
            same(before, self.snapshot(), "check mode changed the host")
        if check:
            return _expected(predicted, fails)
        result = _expected(self.once(module, arguments), fails or partly)
        if framed:
            same(flat(predicted), flat(result), "check mode predicted another result")
            if fails:
                same(unlocked(before), unlocked(self.snapshot()), "a run that failed changed the host")
            else:
                self._check_repeated(module, arguments, partly)
        return result

    def _check_repeated(self, module: str, arguments: Mapping[str, Any], partly: bool) -> None:
        again = _expected(self.once(module, arguments), partly)
        assert not again["changed"] and not again["actions"], f"a second run found something to do: {again}"
        assert again["diff"] == {"before": "", "after": ""}, again["diff"]
        assert not [item for item in _items(again) if item["changed"]], again

    def once(self, module: str, arguments: Mapping[str, Any], *, check: bool = False, **job: Any) -> Result:
        """One run and nothing around it."""
        return parsed(self.outcomes([(module, arguments)], check=check, **job)[0])

    def outcomes(
        self, runs: Iterable[tuple[str, Mapping[str, Any]]], *, check: bool = False, **job: Any
    ) -> list[dict[str, Any]]:
        """What the driver says of runs at the same time. `job`: further keys of a job, such as a fault."""
        internal = {"_ansible_check_mode": check, "_ansible_diff": True}
        job.setdefault("environment", self.environment)
        jobs = [
            {"module": module, "arguments": {**internal, **self._chosen(module), **arguments}, **job}
            for module, arguments in runs
        ]
        return self._driver.do(self.host, *jobs)

    def _chosen(self, module: str) -> dict[str, str]:
        return {} if module.endswith("_info") else {"firewall_backend": self.backend}

    def snapshot(self) -> Snapshot:
        """All of the host that a task might change."""
        (outcome,) = self._driver.do(self.host, {"snapshot": True})
        assert outcome["code"] == 0, outcome["err"]
        return json.loads(outcome["out"])

    # What tests ask for all the time.

    def sh(self, command: str, netns: str | None = None) -> str:
        return self.host.run("sh", "-ec", command, netns=netns).stdout

    def inode(self, container: str) -> int:
        """The namespace behind a handle."""
        return int(self.sh(f"stat -L -c %i /run/netns/{container}"))

    def link(self, name: str, netns: str | None = None) -> dict[str, Any]:
        """A link as `ip -details -json address show` has it."""
        shown = self.host.run("ip", "-details", "-json", "address", "show", "dev", name, netns=netns).stdout
        return json.loads(shown)[0]

    def address(self, container: str, interface: str = "eth0") -> str:
        """A container's IPv4 address."""
        found = [each for each in self.link(interface, container)["addr_info"] if each["family"] == "inet"]
        assert len(found) == 1, found
        return found[0]["local"]

    def flush(self, *tables: str) -> None:
        """Take our rules out of tables as iptables has them, by hand."""
        chains = {"raw": ["raw"], "filter": ["forward"], "nat": ["prerouting", "output", "postrouting"]}
        for table in tables:
            if self.backend == "nftables":
                self.sh("".join(f"nft flush chain inet bridgework {chain}\n" for chain in chains.get(table, [])))
            else:
                self.sh(f"iptables -t {table} -F; ip6tables -t {table} -F")

    def table(self) -> str:
        """Our table of nftables as nft prints it; nothing where there is none."""
        return self.sh("nft -n list table inet bridgework 2>/dev/null || true")

    def rules(self) -> list[str]:
        """The lines of iptables-save, without comments and counters."""
        saved = self.host.run("iptables-save").stdout
        lines = [line for line in saved.splitlines() if not line.startswith("#")]
        return [re.sub(r" \[\d+:\d+\]$", "", line) for line in lines]


def _items(result: Result) -> Iterator[dict[str, Any]]:
    for value in result.values():
        for item in value if isinstance(value, list) else []:
            if isinstance(item, dict) and "changed" in item:
                yield item


def parsed(outcome: Mapping[str, Any]) -> Result:
    """The result of a run that came to its end; `processes` of it is how many it started."""
    assert outcome["code"] in (0, 1) and not outcome["err"], f"the module crashed:\n{outcome['err']}{outcome['out']}"
    result = json.loads(outcome["out"])
    result.pop("invocation", None)
    return result


def warnings_of(result: Result) -> list[str]:
    """The warnings' texts; ansible-core 2.19 and later give more than that."""
    return [each if isinstance(each, str) else each["event"]["msg"] for each in result.get("warnings", [])]


def killed(outcome: Mapping[str, Any]) -> bool:
    return outcome["code"] == KILLED


def _expected(result: Result, fails: bool) -> Result:
    assert bool(result.get("failed")) == fails, json.dumps(result, indent=2)
    if fails:
        check_error(result["msg"])
    return result


def check_error(text: str) -> None:
    """An error is one line that says what to do."""
    assert "\n" not in text and "Traceback" not in text, text
    assert ": " in text or "; " in text, text


def flat(value: Any, place: str = "") -> Snapshot:
    """A result as a flat table, without what differs from run to run."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if pairs is None:
        return {place: str(value)}
    found = {} if value else {place: "empty"}
    for key, each in pairs:
        if key != "Created":
            found.update(flat(each, f"{place}.{key}"))
    return found


# What a thing that was removed and made again can't have back.
IDENTITY = re.compile(
    r".*\.(ifindex|link_index|linkinfo\.info_slave_data\.(id|no|designated_port))|/link veth\w{7} \.address"
)


def same(before: Snapshot, after: Snapshot, complaint: str, *, identity: bool = True) -> None:
    """Without `identity`, things may have been made anew."""
    keys = [key for key in sorted({*before, *after}) if identity or not IDENTITY.fullmatch(key)]
    found = [f"{key}: {before.get(key)} -> {after.get(key)}" for key in keys if before.get(key) != after.get(key)]
    if found:
        pytest.fail("\n".join([f"{complaint}: {len(found)} differences", *found[:30]]))


def unlocked(snapshot: Snapshot) -> Snapshot:
    """Without the file that runs wait for each other by."""
    return {key: value for key, value in snapshot.items() if not key.startswith("file /run/bridgework")}


def bare(snapshot: Snapshot) -> Snapshot:
    """Without our own records: what is left of us on a host from which all is removed."""
    return {key: value for key, value in snapshot.items() if not key.startswith(("file ", "state "))}


@contextmanager
def managed_lab(
    driver: Driver, hosts: Sequence[str] = ("host",), backend: str = "iptables"
) -> Iterator[tuple[Lab, Managed]]:
    with Lab(hosts) as lab:
        yield lab, Managed(lab.host, driver, backend)


# Answers as the servers of the lab do.
SERVING = """
import ctypes, json, os, selectors, socket, sys
libc, selector = ctypes.CDLL(None, use_errno=True), selectors.DefaultSelector()
names, ports = sys.argv[1].split(), sys.argv[2].split()
for name in names:
    descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
    assert libc.setns(descriptor, 0x40000000) == 0  # CLONE_NEWNET
    os.close(descriptor)
    for port in ports:
        server = socket.create_server(("0.0.0.0", int(port)), backlog=128)
        selector.register(server, selectors.EVENT_READ, f"{name}:{port}")
print(flush=True)
while True:
    for key, _events in selector.select():
        connection, peer = key.fileobj.accept()
        with connection:
            connection.recv(64)
            answer = {"server": key.data, "seen_from": peer[0], "seen_port": peer[1]}
            connection.sendall(json.dumps(answer).encode() + b"\\n")
"""


@contextmanager
def serving(host: Host, containers: Iterable[str], *ports: int) -> Iterator[None]:
    """One process that is a TCP server on each of the ports in each of the containers; it answers as NAME:PORT."""
    words = (" ".join(containers), " ".join(map(str, ports)))
    process = host.popen(sys.executable, "-c", SERVING, *words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "\n"
        yield
    finally:
        host.stop(process)
