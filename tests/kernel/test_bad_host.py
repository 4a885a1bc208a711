# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that lack something or are broken: one line says what and what to do, and the host stays as it is."""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kernel.support import Managed, Result, check_error, same, unlocked

from lab import Host

STATE = "/var/lib/bridgework/state.db"
MEMORY = "/run/bridgework/firewall"
NOBODY = 65534
# Each of them has something to do on a host that was prepared by `used`.
TASKS: dict[str, dict[str, Any]] = {
    "container_network": {"name": "back", "connected": ["web", "batch"]},
    "netns_bridge": {"containers": [{"name": "batch"}]},
    "network_prune": {},
    "port_mapping": {"container": "web", "published_ports": ["8001:8080"]},
}


@pytest.fixture
def used(managed: Managed) -> Managed:
    """A host with a container that publishes a port, and a network that could be pruned."""
    networks = [{"name": "front", "connected": ["web"]}, {"name": "unused"}]
    managed.run("container_network", networks=networks, framed=False)
    managed.run("port_mapping", container="web", published_ports=["8000:8080"], framed=False)
    return managed


@contextmanager
def hidden(managed: Managed, path: str, behind: str = "/dev/null") -> Iterator[None]:
    """Another file in the place of this one."""
    path = managed.sh(f"readlink -f {path}").strip()
    managed.sh(f"mount --bind {behind} {path}")
    try:
        yield
    finally:
        managed.sh(f"umount {path}")


@contextmanager
def read_only(managed: Managed, path: str) -> Iterator[None]:
    managed.sh(f"mountpoint -q {path} || mount --bind {path} {path}; mount -o remount,ro,bind {path}")
    try:
        yield
    finally:
        managed.sh(f"mount -o remount,rw,bind {path}")


def refuse(managed: Managed, message: str, **job: Any) -> None:
    """Every module fails with this message, in check mode too."""
    for module, arguments in TASKS.items():
        for check in (True, False):
            refused(managed.once(module, arguments, check=check, **job), message)


def refused(result: Result, message: str) -> None:
    assert result.get("failed"), result
    check_error(result["msg"])
    assert re.search(message, result["msg"]), result["msg"]


# What is missing.


def test_user_who_is_not_root_is_refused(used: Managed) -> None:
    before = used.snapshot()
    refuse(
        used, "^user id 65534: network namespaces need root; run the task with become: true$", user=NOBODY, fork=True
    )
    same(before, used.snapshot(), "something was changed")


def test_missing_iptables_is_named(used: Managed) -> None:
    before = used.snapshot()
    with hidden(used, "$(command -v iptables-save)"):
        refuse(
            used, '^firewall_backend "iptables": the command iptables-save is missing; install the package iptables$'
        )
    same(before, used.snapshot(), "something was changed")
    used.container_network(**TASKS["container_network"])


def test_containers_without_a_network_need_no_iptables(managed: Managed) -> None:
    with hidden(managed, "$(command -v iptables-save)"):
        assert managed.once("netns_bridge", {"containers": [{"name": "batch", "mode": "none"}]})["changed"]


def test_iptables_that_does_not_work_is_named(used: Managed) -> None:
    used.sh(f"rm {MEMORY}")  # or nothing would have to be read
    before = used.snapshot()
    with hidden(used, "$(command -v iptables-save)", behind="/bin/false"):
        refuse(used, "^iptables-save failed: exit code 1; .*by hand")
    same(before, used.snapshot(), "something was changed")


@pytest.mark.parametrize("library", ["pyroute2", "netaddr"])
@pytest.mark.parametrize("check", [False, True])
def test_missing_library_is_named_with_its_packages(
    managed: Managed, tmp_path: Path, library: str, check: bool
) -> None:
    before = managed.snapshot()
    for module, arguments in TASKS.items():
        result = run_with(interpreter_without(tmp_path, library), managed.host, module, check, arguments)
        refused(result, rf"required Python library \({library}\b")
        assert f"pip install {library}" in result["msg"] and f"python3-{library}" in result["msg"]
    same(before, managed.snapshot(), "something was changed")


def test_no_other_library_is_needed(managed: Managed, tmp_path: Path) -> None:
    task = {"name": "front", "connected": ["web"]}
    assert run_with(interpreter_without(tmp_path), managed.host, "container_network", False, task)["changed"]


def interpreter_without(directory: Path, *libraries: str) -> str:
    """A path for Python, without site-packages of its own, that has Ansible and what else we need, but for these."""
    site = Path(sysconfig.get_path("purelib"))
    for name in {"ansible", "pyroute2", "netaddr"}.difference(libraries):
        if not (directory / name).exists():
            (directory / name).symlink_to(site / name)
    return str(directory)


def run_with(path: str, host: Host, module: str, check: bool, arguments: dict[str, Any]) -> Result:
    """A module run by an interpreter that finds its libraries in that path."""
    request = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}}
    collections = next(each for each in sys.path if os.path.isdir(f"{each}/ansible_collections/bridgework"))
    run = host.run(
        *(sys.executable, "-S", "-m", f"ansible_collections.bridgework.network.plugins.modules.{module}"),
        input=json.dumps(request),
        env={"PYTHONPATH": f"{path}:{collections}", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert not run.stderr, run.stderr
    return json.loads(run.stdout)


# What is broken.

NO_BACKUP = "restore it from a backup, or move it away to start anew$"
OVERWRITE = f"import os; size = os.path.getsize('{STATE}'); file = open('{STATE}', 'r+b')"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (f"head -c 8192 /dev/urandom >{STATE}", rf"can't be read \(file is not a database\); {NO_BACKUP}"),
        (f"echo 'no database at all' >{STATE}", rf"can't be read \(file is not a database\); {NO_BACKUP}"),
        (f"truncate -s -4096 {STATE}", rf"can't be read \(database disk image is malformed\); {NO_BACKUP}"),
        (f"truncate -s 5000 {STATE}", rf"can't be read \(database disk image is malformed\); {NO_BACKUP}"),
        (
            f'python3 -c "{OVERWRITE}; file.seek(4096); file.write(bytes(size - 4096))"',
            rf"can't be read \(database disk image is malformed\); {NO_BACKUP}",
        ),
        (f"rm {STATE}; mkdir {STATE}", rf"can't be read \(unable to open database file\); {NO_BACKUP}"),
        (
            f"rm {STATE}; python3 -c \"import sqlite3; sqlite3.connect('{STATE}').execute('PRAGMA user_version = 1')\"",
            rf"can't be read \(no such table: [\w.]+\); {NO_BACKUP}",
        ),
        (
            f"python3 -c \"import sqlite3; sqlite3.connect('{STATE}').execute('PRAGMA user_version = 99')\"",
            "has schema version 99, this collection knows \\d+; upgrade the collection bridgework.network$",
        ),
    ],
    ids=["noise", "text", "shorter", "short", "zeroes", "directory", "no tables", "of the future"],
)
def test_state_file_that_can_not_be_read_is_left_alone(used: Managed, damage: str, message: str) -> None:
    used.sh(damage)
    before, content = used.snapshot(), used.sh(f"find {STATE} -type f -exec sha256sum {{}} +")
    refuse(used, f'^state file "{STATE}": {message}')
    same(before, used.snapshot(), "something was changed")
    assert used.sh(f"find {STATE} -type f -exec sha256sum {{}} +") == content


def test_empty_state_file_is_a_new_one(managed: Managed) -> None:
    managed.sh(f"mkdir -m 0700 -p {os.path.dirname(STATE)}; : >{STATE}")
    managed.container_network(name="front", connected=["web"])


@pytest.mark.parametrize("module", TASKS)
def test_state_directory_that_can_not_be_written_to_stops_a_run(used: Managed, module: str) -> None:
    before = used.snapshot()
    with read_only(used, os.path.dirname(STATE)):
        refused(used.once(module, TASKS[module]), rf'^state file "{STATE}": can\'t be written \(.*\); see to that')
        assert not used.once("port_mapping", {"container": "web", "published_ports": ["8000:8080"]})["changed"]
    same(before, used.snapshot(), "something was changed", identity=False)
    assert used.once(module, TASKS[module])["changed"]


def test_state_directory_that_can_not_be_made_stops_the_first_run(managed: Managed) -> None:
    managed.sh(f": >{os.path.dirname(STATE)}")
    before = managed.snapshot()
    refused(managed.once("container_network", {"name": "front"}), rf'^state file "{STATE}": can\'t be written')
    same(before, unlocked(managed.snapshot()), "something was changed")


@pytest.mark.parametrize(
    "damage", ["rm -r /run/bridgework; : >/run/bridgework", "rm /run/bridgework/lock; mkdir /run/bridgework/lock"]
)
def test_lock_that_can_not_be_had_stops_a_run(used: Managed, damage: str) -> None:
    used.sh(damage)
    before = used.snapshot()
    for module, arguments in TASKS.items():
        refused(used.once(module, arguments), '^lock "/run/bridgework/lock": can\'t be opened .*; see')
    same(before, used.snapshot(), "something was changed")


def test_lock_that_can_not_be_written_to_stops_a_run_but_in_check_mode(used: Managed) -> None:
    before = used.snapshot()
    with read_only(used, "/run/bridgework"):
        for module, arguments in TASKS.items():
            refused(used.once(module, arguments), '^lock "/run/bridgework/lock": can\'t be opened .*; see')
            assert used.once(module, arguments, check=True)["changed"]
    same(before, used.snapshot(), "something was changed")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/proc/sys", r"^host: sysctl net/\S+ can't be set to \"\d\": .* \(Read-only file system\)"),
        (
            "/run/netns",
            "^the host refused a step, and is as it was before: .*Read-only file system: '/run/netns/batch'",
        ),
    ],
)
def test_host_that_lets_nothing_be_set_is_left_as_it_was(used: Managed, path: str, message: str) -> None:
    before = used.snapshot()
    with read_only(used, path):
        refused(used.once("container_network", TASKS["container_network"]), message)
    same(before, used.snapshot(), "something was changed")
    used.container_network(**TASKS["container_network"])


# What others hold.


@contextmanager
def xtables_lock(managed: Managed, seconds: float) -> Iterator[None]:
    source = (
        "import fcntl, time; file = open('/run/xtables.lock', 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        f"print(flush=True); time.sleep({seconds})"
    )
    process = managed.host.popen(sys.executable, "-c", source, stdout=-1, text=True)
    process.stdout.readline()
    try:
        yield
    finally:
        managed.host.stop(process)


@pytest.fixture
def legacy(managed: Managed) -> Iterator[Managed]:
    """A host whose iptables is of the older kind, the one with a lock."""
    other = managed.sh("readlink -f $(command -v iptables-legacy)").strip()
    with hidden(managed, "$(command -v iptables)", behind=other):
        yield managed


def test_run_waits_for_the_lock_of_iptables(legacy: Managed) -> None:
    started = time.monotonic()
    with xtables_lock(legacy, seconds=1):
        assert legacy.once("container_network", {"name": "front", "connected": ["web"]})["changed"]
    assert time.monotonic() - started > 0.9
    legacy.run("port_mapping", container="web", published_ports=["8000:8080"])


def test_lock_of_iptables_that_is_never_let_go_is_named(legacy: Managed) -> None:
    legacy.container_network(name="front", connected=["web"])
    before = legacy.snapshot()
    with xtables_lock(legacy, seconds=60):
        refused(
            legacy.once("container_network", {"name": "back", "connected": ["web", "batch"]}),
            "^iptables-restore: another program has held the lock /run/xtables.lock.* 10 seconds; .*run the task again",
        )
    same(before, legacy.snapshot(), "something was changed")
    legacy.container_network(name="back", connected=["web", "batch"])
