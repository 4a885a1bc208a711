# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides show is run, in its order, on throwaway hosts: playbooks, tasks, files and sessions."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from docs.guides import Block, Command

from docs import guides
from lab import Lab

ROOT = Path(__file__).resolve().parents[2]
# As the guides call them. The client is elsewhere, behind a router.
HOSTS = {"web1": "host", "web2": "peer", "client": "remote"}
CONTROL_NODE = ("ansible", "ansible-playbook", "ansible-inventory", "ansible-doc")
# Ways in which a playbook could reach this machine instead of a throwaway host.
FORBIDDEN = ("localhost", "127.0.0.1 ", "connection: local", "delegate_to", "lookup('ansible.builtin.pipe")
PATIENCE = 10
SETTINGS = {
    "ANSIBLE_NOCOLOR": "true",
    "ANSIBLE_FORCE_COLOR": "false",
    "ANSIBLE_DEPRECATION_WARNINGS": "false",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    "ANSIBLE_BECOME_METHOD": "su",  # root is not asked for a password by it, and it is everywhere
    "ANSIBLE_GATHERING": "explicit",  # takes longer than all else, and nothing here asks for facts
    "PYTHONUNBUFFERED": "1",
    # Python's server looks up its own name first, which takes long where no name server answers.
    "RES_OPTIONS": "timeout:1 attempts:1",
    "COLUMNS": "200",
}


class Reader:
    """Somebody who does what a guide says."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        for name in ("web1", "web2"):
            self._host_vars(name, lab[HOSTS[name]].pid)
        self._write("inventory.ini", "[servers]\nweb1\nweb2\n")

    def _host_vars(self, name: str, pid: int) -> None:
        """A host is reached by the connection of the lab, as root."""
        reached = {
            "ansible_connection": "throwaway",
            "ansible_throwaway_pid": pid,
            "ansible_python_interpreter": sys.executable,
        }
        self._write(f"host_vars/{name}/throwaway.yml", yaml.safe_dump(reached))

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def follow(self, block: Block) -> None:
        assert not any(word in block.text for word in FORBIDDEN) or "web1#" in block.text or block.caption[:1] == "/"
        if block.caption.startswith("/"):
            self.lab["host"].run(
                "sh", "-c", 'mkdir -p "$(dirname "$1")"; cat > "$1"', "sh", block.caption, input=block.text
            )
        elif block.caption:
            self._write(block.caption, block.text)
        elif block.language == "yaml":
            self.play(block)
        elif block.language == "console":
            for command in guides.session(block):
                self.type(command, fails=bool(block.fails))
        else:
            assert block.language in guides.SHOWN_ONLY, f"line {block.line}: {block.language} without a caption"

    def play(self, block: Block) -> None:
        found = yaml.safe_load(block.text)
        plays = found if "hosts" in found[0] else [{"hosts": "web1", "gather_facts": False, "tasks": found}]
        self._write("block.yml", json.dumps(plays))
        self.type(Command("$", "ansible-playbook -i inventory.ini block.yml", None))

    def type(self, command: Command, *, fails: bool = False) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            code, said = self._run(command)
            # What a shell prints may be its failure, if the guide shows more of it than `…`.
            counts = command.prompt == "$" or command.output in (None, "…")
            done = not counts or (code != 0) == fails
            done = done and (command.output is None or guides.matches(command.output, said))
            # A server takes a moment to start.
            if done or command.prompt == "$" or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert done, (
            f"{command.prompt} {command.words}\n{said}\n--- exit code {code}; the guide shows\n{command.output}"
        )

    def _run(self, command: Command) -> tuple[int, str]:
        if command.prompt == "$":
            words = shlex.split(command.words)
            assert words[0] in CONTROL_NODE, f"{words[0]} on the control node"
            merged = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
            done = subprocess.run(
                words, cwd=self.directory, env={**os.environ, **SETTINGS}, text=True, check=False, timeout=120, **merged
            )
            return done.returncode, done.stdout
        host = self.lab[HOSTS[command.prompt[:-1]]]
        shell = f"cd {shlex.quote(str(self.directory))}; "
        if command.words.endswith("&"):
            host.popen(
                "sh",
                "-c",
                shell + "exec " + command.words[:-1],
                env=SETTINGS,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            return 0, ""
        done = host.run("sh", "-c", shell + "exec 2>&1; " + command.words, env=SETTINGS, check=False, timeout=120)
        return done.returncode, done.stdout


def typed(command: str, directory: Path, mark: str = "") -> None:
    """What a guide with this command makes a reader do, wherever that needs no host."""
    reader = Reader.__new__(Reader)
    reader.directory = directory
    (block,) = guides.parse(f"{mark}.. code-block:: console\n\n    $ {command}\n    …\n")
    reader.follow(block)


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
    needed = {block.needs for block in guides.blocks(name)} - {""}
    assert sorted(needed - guides.NEEDS.keys()) == [], "not in guides.NEEDS"


@pytest.mark.parametrize("name", guides.names())
def test_guide_can_be_followed(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    steps = [block for block in guides.blocks(name) if not block.needs]
    # A throwaway host has a /run and a /tmp of its own, and sees the rest of this machine.
    directory = ROOT / ".cache/guides" / name
    subprocess.run(["rm", "-rf", str(directory)], check=True)
    directory.mkdir(parents=True)
    with Lab() as lab:
        reader = Reader(lab, directory)
        for block in steps:
            try:
                reader.follow(block)
            except AssertionError as error:
                pytest.fail(f"{name}.rst:{block.line}: {error}")
