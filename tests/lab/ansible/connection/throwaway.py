# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local connection, into a throwaway host: every command and file goes through nsenter."""

from __future__ import annotations

import os
import shlex
import subprocess
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: throwaway
short_description: Run tasks in a throwaway host of the tests
description:
  - Enters the mount, uts, ipc, net and pid namespaces of a process on this machine.
author: Bridgework contributors
options:
  pid:
    description: The host's PID 1, as this machine sees it.
    type: int
    required: true
    vars:
      - name: ansible_throwaway_pid
  become_success_timeout:
    description: Number of seconds to wait for become to succeed.
    type: int
    default: 10
    vars:
      - name: ansible_local_become_success_timeout
  become_strip_preamble:
    description: Strip internal become output preceding the command's.
    type: bool
    default: true
    vars:
      - name: ansible_local_become_strip_preamble
extends_documentation_fragment:
  - connection_pipelining
"""


class Connection(LocalConnection):
    """Entered anew for each command, like local's."""

    transport = "throwaway"
    has_pipelining = True

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command in the host."""
        entered = shlex.join([*self._enter(), "/bin/sh", "-c", cmd])
        return super().exec_command(entered, in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Write a file of the controller to the host."""
        ConnectionBase.put_file(self, in_path, out_path)
        try:
            with open(in_path, "rb") as source:
                self._transfer(["/bin/sh", "-c", 'cat >"$1"', "sh", out_path], stdin=source)
        except FileNotFoundError:
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}") from None

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Write a file of the host to the controller."""
        ConnectionBase.fetch_file(self, in_path, out_path)
        with open(out_path, "wb") as target:
            self._transfer(["cat", "--", in_path], stdin=subprocess.DEVNULL, stdout=target)

    def _transfer(self, argv: list[str], **streams: t.Any) -> None:
        done = subprocess.run([*self._enter(), *argv], stderr=subprocess.PIPE, check=False, **streams)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip()
            raise AnsibleError(f"throwaway host: {shlex.join(argv)}: {reason or f'rc {done.returncode}'}")

    def _enter(self) -> list[str]:
        pid = self.get_option("pid")
        try:
            outside = os.path.samefile(f"/proc/{pid}/ns/net", "/proc/self/ns/net")
        except OSError as error:
            raise AnsibleConnectionFailure(f"throwaway host: no such process, is the lab down? {error}") from None
        if outside:
            # The pid of a host that is gone may belong to any process now; tasks must never reach this machine.
            raise AnsibleConnectionFailure(f"throwaway host: process {pid} is in no host of its own, is the lab down?")
        return ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
