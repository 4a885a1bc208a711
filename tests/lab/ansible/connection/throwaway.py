# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local connection, into a throwaway host: every command and file goes through nsenter."""

from __future__ import annotations

import os

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.bridgework.network.plugins.connection.netns import Connection as NetnsConnection

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


class Connection(NetnsConnection):
    """As into a container; but a host is entered by its process."""

    transport = "throwaway"
    subject = "throwaway host"

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
