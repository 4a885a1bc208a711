# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two virtual machines, as somebody reaches them who is not root there but may become it by sudo.

BRIDGEWORK_MACHINES is the file that `machines.py up` printed; scripts/machines has it made.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.register_assert_rewrite("docs.guides", "docs.reader", "docs.control_node")

from docs.control_node import ControlNode  # noqa: E402 (after it is rewritten)

ROOT = Path(__file__).resolve().parents[2]
# What is in no commit, and may be large.
NOT_IN_A_CHECKOUT = shutil.ignore_patterns(".*", "__pycache__", "output", "*.tar.gz")
TIME_LIMIT = 1800
# As the README and the guides call them.
NAMES = {"host": "web1 web1.example.org 192.0.2.10", "peer": "web2 client 192.0.2.20"}
TIMES: list[str] = []


@dataclass(frozen=True)
class Machine:
    name: str
    ssh: tuple[str, ...]
    sudo: bool

    def run(self, words: str, text: str | None = None) -> tuple[int, str]:
        shell = f"{'sudo ' if self.sudo else ''}sh -c {shlex.quote(words)} 2>&1"
        given = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        done = subprocess.run(
            [*self.ssh, self.name, shell], stdout=subprocess.PIPE, text=True, check=False, timeout=TIME_LIMIT, **given
        )
        return done.returncode, done.stdout

    def start(self, words: str) -> None:
        assert self.run(f"setsid {words} </dev/null >/dev/null 2>&1 &")[0] == 0

    def write(self, path: str, text: str) -> None:
        place = shlex.quote(path)
        assert self.run(f'mkdir -p "$(dirname {place})" && cat >{place}', text)[0] == 0


Clock = Callable[[str, float], None]


@pytest.fixture(scope="session")
def clock() -> Clock:
    """Notes how long something took since it was begun."""
    return lambda what, begun: TIMES.append(f"{time.monotonic() - begun:5.0f} s  {what}")


@pytest.fixture(scope="session")
def lab() -> dict:
    file = os.environ.get("BRIDGEWORK_MACHINES") or pytest.fail("no machines; scripts/machines makes them")
    return json.loads(Path(file).read_text())


@pytest.fixture(scope="session")
def ssh_config(lab: dict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("ssh")
    config = directory / "config"
    hosts = [
        f"Host {names}\n  HostName 127.0.0.1\n  Port {lab['hosts'][name]['port']}\n" for name, names in NAMES.items()
    ]
    both = f"Host *\n  User {lab['user']}\n  IdentityFile {lab['key']}\n  StrictHostKeyChecking no\n"
    both += "  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    config.write_text(
        "".join(hosts) + both + f"  ControlMaster auto\n  ControlPath {directory}/%n\n  ControlPersist yes\n"
    )
    yield config
    for socket in directory.iterdir():
        if socket != config:
            subprocess.run(["ssh", "-F", config, "-O", "exit", socket.name], check=True, capture_output=True)


@pytest.fixture(scope="session")
def web1(ssh_config: Path) -> Machine:
    return Machine("web1", ("ssh", "-F", str(ssh_config)), sudo=True)


@pytest.fixture(scope="session")
def client(ssh_config: Path) -> Machine:
    return Machine("client", ("ssh", "-F", str(ssh_config)), sudo=False)


@pytest.fixture(scope="session")
def control_node(ssh_config: Path, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> ControlNode:
    """With what the README says for the installation, typed in a checkout."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_SSH_COMMON_ARGS": f"-F {ssh_config}",
        # Nothing is fetched.
        "ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9",
    }
    node = ControlNode(home, environment, TIME_LIMIT)
    shutil.copytree(ROOT, home / "checkout", ignore=NOT_IN_A_CHECKOUT)
    (_language, words), *_rest = readme_blocks()
    begun = time.monotonic()
    node.at(home / "checkout").run(words.removeprefix("$ "))
    clock("README, step 1: built and installed", begun)
    return node


def readme_blocks() -> list[tuple[str, str]]:
    """Language and text of each block of "Five minutes to a published service"."""
    (section,) = re.findall(r"^## Five minutes .*?(?=^## )", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("on emulated machines it took")
    for each in TIMES:
        terminalreporter.line(each)
