# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules of the collection inside throwaway hosts, without what ansible-playbook costs.

It has all imported already, and forks a worker into each host that it hears of. It reads one JSON line
{"host": [pid, started], "jobs": [JOB, ...]} at a time and answers with one, the outcomes in the order of the jobs.

    {"module": name, "arguments": {…}}                a single one is run by the worker itself, several each by a fork
    {"snapshot": true}
    {…, "fork": true, "user": 65534, "environment": {…}, "fault": {"at": 3, "how": "fail" or "kill"},
     "hide_flows": true}

A fault stops the run the moment before its Nth change to the host: by an error of the kernel's, or by SIGKILL.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import gc
import importlib
import io
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import traceback
from typing import Any
from unittest import mock

import pyroute2
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args
from kernel.faults import Faults, hide_flows
from kernel.snapshot import take

# The modules import it when they need it; here every worker has it already.
importlib.import_module("netaddr")

NAMESPACES = ("mnt", "uts", "ipc", "net", "pid")
MODULES = {
    name: importlib.import_module(f"ansible_collections.bridgework.network.plugins.modules.{name}")
    for name in (
        "container_info",
        "container_network",
        "container_network_info",
        "netns_bridge",
        "network_prune",
        "port_mapping",
    )
}
CRASHED = 70
BIRTHS = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty"}  # of processes, as Python audits them

Job = dict[str, Any]
Outcome = dict[str, Any]

_libc = ctypes.CDLL(None, use_errno=True)


# In a host.


def work(channel: socket.socket) -> None:
    """The life of a worker: until the other end is closed, or its host is gone."""
    with channel.makefile("rw") as lines:
        for line in lines:
            jobs = json.loads(line)
            alone = len(jobs) == 1 and not jobs[0].get("fork")
            outcomes = [run_here(jobs[0])] if alone else [finish(each) for each in [start(job) for job in jobs]]
            lines.write(json.dumps(outcomes) + "\n")
            lines.flush()


def run_here(job: Job) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(job)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "points": 0, "processes": 0}


def run(job: Job) -> int:
    """The exit code; what is printed is the result."""
    warnings._global_warnings.clear()  # they would be those of the last run too
    try:
        if job.get("snapshot"):
            print(json.dumps(take()))
            return 0
        environment = mock.patch.dict(os.environ, job.get("environment") or {})
        with patch_module_args(job["arguments"]), environment:
            MODULES[job["module"]].main()
        raise AssertionError("the module ended without a result")
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return CRASHED


def start(job: Job) -> dict[str, Any]:
    """A job on its way in a process of its own: that, and where its output goes."""
    running: dict[str, Any] = {name: os.memfd_create(name) for name in ("out", "err")}
    running["counters"] = mmap.mmap(-1, 16)
    running["pid"] = os.fork()
    if running["pid"] == 0:
        os.dup2(running["out"], 1)
        os.dup2(running["err"], 2)
        with open(1, "w", closefd=False) as sys.stdout, open(2, "w", closefd=False) as sys.stderr:
            code = _run_apart(job, running["counters"])
        os._exit(code)
    return running


def _run_apart(job: Job, counters: mmap.mmap) -> int:
    if job.get("fault"):
        Faults(**job["fault"], counter=counters).install()
    if job.get("hide_flows"):
        hide_flows()
    if job.get("user"):
        os.setuid(job["user"])
    started: list[str] = []
    sys.addaudithook(lambda event, _arguments: started.append(event) if event in BIRTHS else None)
    code = run(job)
    counters[8:16] = struct.pack("Q", len(started))
    return code


def finish(running: dict[str, Any]) -> Outcome:
    _pid, status = os.waitpid(running["pid"], 0)
    points, processes = struct.unpack("QQ", running["counters"][:16])
    running["counters"].close()
    outcome = {"code": os.waitstatus_to_exitcode(status), "points": points, "processes": processes}
    for name in ("out", "err"):
        os.lseek(running[name], 0, os.SEEK_SET)
        with open(running[name], encoding="utf-8", errors="replace") as file:
            outcome[name] = file.read()
    return outcome


# On the machine.


def employ(pid: int) -> socket.socket:
    """A worker in the host whose PID 1 has this pid, and the way to talk to it."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        with contextlib.suppress(BaseException):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            ours.close()
            _enter(pid)
            # Only a child is in the pid namespace that was entered. An orphan would be the machine's PID 1's to reap,
            # which may take it seconds; the host can't end before.
            worker = os.fork()
            if worker == 0:
                work(theirs)
            else:
                theirs.close()
                os.waitpid(worker, 0)
        os._exit(0)
    theirs.close()
    return ours


def _enter(pid: int) -> None:
    descriptors = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in NAMESPACES]
    for descriptor in descriptors:
        if _libc.setns(descriptor, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        os.close(descriptor)


def _warm_up() -> None:
    """Have all imported that is imported late: not every user may read the interpreter's files."""
    for codec in ("ascii", "unicode_escape"):
        codecs.lookup(codec)
    with pyroute2.IPRoute() as netlink:
        list(netlink.get_links())


def main() -> None:
    _warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaps the workers' parents
    gc.freeze()  # or every fork copies what its garbage collector looks at
    workers: dict[tuple[int, int], socket.socket] = {}
    for line in sys.stdin:
        request = json.loads(line)
        host = tuple(request["host"])
        if host not in workers:
            for ended in select.select(workers.values(), [], [], 0)[0]:
                workers = {key: worker for key, worker in workers.items() if worker is not ended}
                ended.close()
            workers[host] = employ(host[0])
        with workers[host].makefile("rw") as lines:
            lines.write(json.dumps(request["jobs"]) + "\n")
            lines.flush()
            print(lines.readline().strip(), flush=True)


if __name__ == "__main__":
    main()
