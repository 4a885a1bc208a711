# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file by which later processes find a lab that outlives its maker."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from lab import topology
from lab.errors import LabError
from lab.host import Host
from lab.identity import Identity
from lab.lab import Lab


def directory() -> Path:
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")


def path(name: str) -> Path:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise LabError(f"lab {name!r}: use letters, digits, - and _ for its name")
    return directory() / f"lab-{name}.json"


def names() -> list[str]:
    """The labs that this user made."""
    files = [file for file in directory().glob("lab-*.json") if file.lstat().st_uid == os.geteuid()]
    return sorted(file.name.removeprefix("lab-").removesuffix(".json") for file in files)


def describe(name: str, lab: Lab) -> dict[str, Any]:
    """{"name", "switch": process, "hosts": {NAME: process + "addresses"}}, process being {"pid", "started"}."""
    assert lab.switch
    hosts = {}
    for host in lab.hosts.values():
        hosts[host.name] = {**_process(host), "addresses": topology.PLANS[host.name].addresses}
    return {"name": name, "switch": _process(lab.switch), "hosts": hosts}


def save(name: str, lab: Lab) -> None:
    """Written beside and moved into place, so that nobody reads half a file or writes through a foreign link."""
    text = json.dumps(describe(name, lab), indent=2) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=directory(), prefix=".lab-", delete=False) as file:
        file.write(text)
    os.replace(file.name, path(name))


def load(name: str) -> Lab | None:
    """The lab of this name, with what is left of it; None where there is no such lab."""
    try:
        descriptor = os.open(path(name), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with open(descriptor, encoding="utf-8") as file:
        # In /tmp anyone can put a file with the pids of others.
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise LabError(f"{path(name)} belongs to another user")
        state = json.load(file)
    hosts = {host: _host(host, process) for host, process in state["hosts"].items()}
    return Lab.attach(hosts, _host("switch", state["switch"]))


def remove(name: str) -> None:
    path(name).unlink(missing_ok=True)


def _process(host: Host) -> dict[str, int]:
    return {"pid": host.identity.pid, "started": host.identity.started}


def _host(name: str, process: dict[str, Any]) -> Host:
    return Host(name, Identity(process["pid"], process["started"]))
