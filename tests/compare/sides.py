# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two sides that are compared: each runs playbooks in a throwaway host of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from compare import daemon

from lab import Host, Lab

HERE = Path(__file__).resolve().parent
# What is there before the first task, on both sides: one container in the host's namespace, the others on the bridge.
CONTAINERS = ("web", "db", "cache")
HOST_CONTAINER = "proxy"
RENAMED = {
    "community.docker.docker_network_info": "bridgework.network.container_network_info",
    "community.docker.docker_network": "bridgework.network.container_network",
}
TIMEOUT = 3600

Play = Mapping[str, Any]
Result = Mapping[str, Any]

SETTINGS = {
    "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
    "ANSIBLE_STDOUT_CALLBACK": "record",
    "ANSIBLE_DEPRECATION_WARNINGS": "false",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    # Gone with the host.
    "ANSIBLE_LOCAL_TEMP": "/run/ansible/local",
    "ANSIBLE_REMOTE_TEMP": "/run/ansible/remote",
}


@dataclass(frozen=True)
class Side:
    """A host and what playbooks in it need."""

    name: str
    host: Host
    environment: Mapping[str, str]

    def play(self, plays: Sequence[Play], *options: str) -> list[Result]:
        """Run a playbook; the results of its tasks in order. A task that fails does not stop it."""
        book, record = (self.host_file(name) for name in ("playbook.yml", "record"))
        self.write(book, yaml.safe_dump(list(plays), sort_keys=False))
        words = ["ansible-playbook", "-i", "localhost,", "-c", "local", book, *options]
        environment = {**SETTINGS, **self.environment, "RECORD": record}
        done = self.host.run(
            "sh", "-c", f': >{record}; exec "$@"', "sh", *words, env=environment, check=False, timeout=TIMEOUT
        )
        lines = self.host.run("cat", record).stdout.splitlines()
        if not lines:
            raise RuntimeError(f"{self.name}: no task ran:\n{done.stdout}{done.stderr}")
        return [json.loads(line) for line in lines]

    def host_file(self, name: str) -> str:
        return f"/run/{name}"

    def write(self, path: str, text: str) -> None:
        """A file in the host, of which nothing is seen outside."""
        self.host.run("sh", "-c", 'cat >"$1"', "sh", path, input=text)


@contextmanager
def docker() -> Iterator[Side]:
    """Docker's side. (Our modules are to be had there too.)"""
    with Lab(hosts=("host", "peer")) as lab, daemon.running(lab.host):
        for name in CONTAINERS:
            daemon.start_container(lab.host, name)
        daemon.start_container(lab.host, HOST_CONTAINER, "--network=host")
        environment = {
            **daemon.ENVIRONMENT,
            "ANSIBLE_COLLECTIONS_PATH": f"{daemon.UNPACKED / 'collections'}:{os.environ['ANSIBLE_COLLECTIONS_PATH']}",
            "PYTHONPATH": f"{daemon.UNPACKED / 'python'}:{os.environ['PYTHONPATH']}",
        }
        yield Side("docker", lab.host, environment)


@contextmanager
def here() -> Iterator[Side]:
    """Our side."""
    with Lab(hosts=("host",)) as lab:
        side = Side("here", lab.host, {})
        listed = [*({"name": name} for name in CONTAINERS), {"name": HOST_CONTAINER, "mode": "host"}]
        task = {"name": "Containers", "bridgework.network.netns_bridge": {"containers": listed}}
        [made] = side.play([{"hosts": "all", "gather_facts": False, "tasks": [task]}])
        if made["failed"]:
            raise RuntimeError(made["msg"])
        yield side


SIDES: dict[str, Any] = {"docker": docker, "here": here}


def renamed(text: str) -> str:
    """The same playbook for our side: only the modules' names are others."""
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    return text
