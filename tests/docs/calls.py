# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of modules on a throwaway host that is in trouble, and what they say."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible
from kernel.support import Managed, warnings_of

ROOT = Path(__file__).resolve().parents[2]
STATE_FILE = "/var/lib/bridgework/state.db"
Call = dict[str, Any]


def said(managed: Managed, call: Call) -> list[str]:
    """The message of a call that fails, the warnings of one that doesn't."""
    with contextlib.ExitStack() as stack:
        for trouble, make in TROUBLES.items():
            if trouble in call:
                stack.enter_context(make(managed, call[trouble]))
        if "python" in call:
            return [without_packages(managed, call)]
        job: dict[str, Any] = {"fork": True, "user": call["as_user"]} if "as_user" in call else {}
        if "path" in call:
            job = {"fork": True, "environment": {"PATH": call["path"]}}
        result = managed.once(call["module"], call["arguments"], check=call.get("check", False), **job)
        return [result["msg"]] if result.get("failed") else warnings_of(result)


def without_packages(managed: Managed, call: Call) -> str:
    """What a Python says that has Ansible, but no other package."""
    directory = ROOT / ".cache/docs-without-packages"
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / "ansible"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(ansible.__file__).parent)
    source = (
        "import importlib, json, sys\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        "name, arguments = sys.argv[1:]\n"
        "module = importlib.import_module('ansible_collections.bridgework.network.plugins.modules.' + name)\n"
        "with patch_module_args(json.loads(arguments)):\n"
        "    module.main()\n"
    )
    path = f"{directory}:{ROOT / '.cache/collections'}"
    words = [sys.executable, call["python"], "-c", source, call["module"], json.dumps(call["arguments"])]
    done = managed.host.run(*words, env={"PYTHONPATH": path}, check=False)
    return json.loads(done.stdout)["msg"]


@contextlib.contextmanager
def hidden(managed: Managed, command: str) -> Iterator[None]:
    path = managed.sh(f"readlink -f $(command -v {command})").strip()
    managed.sh(f"mount --bind /dev/null {path}")
    yield
    managed.sh(f"umount {path}")


@contextlib.contextmanager
def state_file(managed: Managed, kind: str) -> Iterator[None]:
    content = {
        "not a database": "cp /etc/passwd /run/other.db",
        "of a later version": f"{sys.executable} -c '{FUTURE}'",
    }[kind]
    managed.sh(f"{content}; mount --bind /run/other.db {STATE_FILE}")
    yield
    managed.sh(f"umount {STATE_FILE}; rm /run/other.db")


FUTURE = 'import sqlite3; sqlite3.connect("/run/other.db").execute("PRAGMA user_version = 99")'


@contextlib.contextmanager
def listening(managed: Managed, port: int) -> Iterator[None]:
    with managed.host.serve("tcp", port):
        yield


@contextlib.contextmanager
def published(managed: Managed, port: int) -> Iterator[None]:
    managed.once("port_mapping", {"container": "web", "published_ports": [f"{port}:80"]})
    yield


@contextlib.contextmanager
def own_rule(managed: Managed, _wanted: bool) -> Iterator[None]:
    managed.sh("nft add rule inet bridgework user counter accept")
    yield
    managed.sh("nft flush chain inet bridgework user")


@contextlib.contextmanager
def namespace(managed: Managed, name: str) -> Iterator[None]:
    managed.sh(f"ip netns add {name}")
    yield
    managed.sh(f"ip netns delete {name}")


@contextlib.contextmanager
def forward(managed: Managed, policy: str) -> Iterator[None]:
    chain = f"{{ type filter hook forward priority 0; policy {policy}; }}"
    managed.sh(f"nft add table inet other; nft 'add chain inet other forward {chain}'")
    yield
    managed.sh("nft delete table inet other")


TROUBLES = {
    "published": published,
    "listens": listening,
    "hidden": hidden,
    "state_file": state_file,
    "own_rule": own_rule,
    "namespace": namespace,
    "forward": forward,
}
