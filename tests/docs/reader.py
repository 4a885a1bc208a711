# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody who does what a guide says."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

import pytest
import yaml
from docs.control_node import ControlNode
from docs.guides import Block, Command

from docs import guides

PROGRAMS = ("ansible", "ansible-playbook", "ansible-inventory", "ansible-doc")
# Ways in which a playbook could reach this machine instead of a host of the test.
FORBIDDEN = ("localhost", "127.0.0.1 ", "connection: local", "delegate_to", "lookup('ansible.builtin.pipe")
PATIENCE = 10


class Host(Protocol):
    """Where commands after `web1#`, `web2#` and `client$` are typed."""

    def write(self, path: str, text: str) -> None: ...

    def start(self, words: str) -> None:
        """What a guide starts with `&`."""

    def run(self, words: str) -> tuple[int, str]:
        """Its exit code, and what it prints."""


class Reader:
    def __init__(self, control_node: ControlNode, hosts: Mapping[str, Host]) -> None:
        self.control_node, self.hosts = control_node, hosts
        self.patience = PATIENCE

    def follow_all(self, name: str, blocks: Iterable[Block]) -> None:
        for block in blocks:
            try:
                self.follow(block)
            except AssertionError as error:
                pytest.fail(f"{name}.rst:{block.line}: {error}")

    def follow(self, block: Block) -> None:
        assert not any(word in block.text for word in FORBIDDEN) or "web1#" in block.text or block.caption[:1] == "/"
        if block.caption.startswith("/"):
            self.hosts["web1"].write(block.caption, block.text)
        elif block.caption:
            self.control_node.write(block.caption, block.text)
        elif block.language == "yaml":
            self.play(block)
        elif block.language == "console":
            for command in guides.session(block):
                self.type(command, fails=bool(block.fails))
        else:
            assert block.language in guides.SHOWN_ONLY, f"line {block.line}: {block.language} without a caption"

    def play(self, block: Block) -> None:
        found = yaml.safe_load(block.text)
        play = {"hosts": "web1", "become": True, "gather_facts": False, "tasks": found}
        plays = found if "hosts" in found[0] else [play]
        self.control_node.write("block.yml", json.dumps(plays))
        self.type(Command("$", "ansible-playbook -i inventory.ini block.yml", None))

    def type(self, command: Command, *, fails: bool = False) -> None:
        deadline = time.monotonic() + self.patience
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
        if command.prompt != "$":
            host = self.hosts[command.prompt[:-1]]
            if not command.words.endswith("&"):
                return host.run(command.words)
            host.start(command.words[:-1])
            return 0, ""
        words = shlex.split(command.words)
        assert words[0] in PROGRAMS, f"{words[0]} on the control node"
        return self.control_node.type(shlex.join(words))  # whatever a shell would make of them
