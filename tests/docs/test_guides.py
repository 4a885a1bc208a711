# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides show is run, in its order, on throwaway hosts: playbooks, tasks, files and sessions."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docs.control_node import ControlNode
from docs.reader import Reader

from docs import control_node, guides
from lab import Host, Lab

# As the guides call them. The client is elsewhere, behind a router.
HOSTS = {"web1": "host", "web2": "peer", "client": "remote"}
SETTINGS = {
    "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    "ANSIBLE_BECOME_METHOD": "su",  # root is not asked for a password by it, and it is everywhere
    "ANSIBLE_GATHERING": "explicit",  # takes longer than all else, and nothing here asks for facts
    # Python's server looks up its own name first, which takes long where no name server answers.
    "RES_OPTIONS": "timeout:1 attempts:1",
}


class Throwaway:
    """A host of the lab, seen from a folder of the control node, which it shares."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self.directory = host, shlex.quote(str(directory))

    def write(self, path: str, text: str) -> None:
        self.host.run("sh", "-c", 'mkdir -p "$(dirname "$1")"; cat > "$1"', "sh", path, input=text)

    def start(self, words: str) -> None:
        nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.host.popen(
            "sh", "-c", f"cd {self.directory}; exec {words}", env={**SETTINGS, **control_node.SETTINGS}, **nothing
        )

    def run(self, words: str) -> tuple[int, str]:
        script = f"cd {self.directory}; exec 2>&1; {words}"
        done = self.host.run("sh", "-c", script, env={**SETTINGS, **control_node.SETTINGS}, check=False, timeout=120)
        return done.returncode, done.stdout


def reader_in(directory: Path, lab: Lab) -> Reader:
    """Hosts are reached by the connection of the lab, as root."""
    hosts = {name: Throwaway(lab[there], directory) for name, there in HOSTS.items()}
    node = ControlNode(directory, {**os.environ, **SETTINGS})
    for name in ("web1", "web2"):
        reached = {
            "ansible_connection": "throwaway",
            "ansible_throwaway_pid": lab[HOSTS[name]].pid,
            "ansible_python_interpreter": sys.executable,
        }
        node.write(f"host_vars/{name}/throwaway.yml", yaml.safe_dump(reached))
    node.write("inventory.ini", "[servers]\nweb1\nweb2\n")
    return Reader(node, hosts)


def typed(command: str, directory: Path, mark: str = "") -> None:
    """What a guide with this command makes a reader do, wherever that needs no host."""
    (block,) = guides.parse(f"{mark}.. code-block:: console\n\n    $ {command}\n    …\n")
    Reader(ControlNode(directory, os.environ), {}).follow(block)


def test_a_command_that_fails_stops_a_reader_whatever_it_prints(tmp_path: Path) -> None:
    typed("ansible-playbook --version", tmp_path)
    with pytest.raises(AssertionError, match="exit code 1"):
        typed("ansible-playbook no-such-playbook.yml", tmp_path)


def test_a_command_that_the_guide_says_fails_has_to_fail(tmp_path: Path) -> None:
    mark = ".. fails: there is no such playbook\n\n"
    typed("ansible-playbook no-such-playbook.yml", tmp_path, mark)
    with pytest.raises(AssertionError, match="exit code 0"):
        typed("ansible-playbook --version", tmp_path, mark)


@pytest.mark.parametrize("name", guides.names())
def test_each_block_is_a_step_or_says_what_it_needs(name: str) -> None:
    text = (guides.GUIDES / f"{name}.rst").read_text()
    assert len(list(guides.blocks(name))) == text.count("code-block::"), "one is not read"
    unrun = {block.needs for block in guides.blocks(name) if block.needs and not guides.runs_on_machines(name, block)}
    assert sorted(unrun - guides.NOWHERE.keys()) == [], "neither in guides.NOWHERE nor run by `make machines`"


@pytest.mark.parametrize("name", guides.names())
def test_guide_can_be_followed(name: str, tmp_path: Path) -> None:
    steps = [block for block in guides.blocks(name) if not block.needs]
    with Lab() as lab:
        reader_in(tmp_path, lab).follow_all(name, steps)
