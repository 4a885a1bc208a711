# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The local connection, into a container of this machine."""

from __future__ import annotations

DOCUMENTATION = r"""
name: netns
short_description: Run tasks inside a container of the local machine
version_added: 0.1.0
author:
  - Bridgework contributors (@bridgework)
description:
  - Runs every command of a task inside the network namespace C(/run/netns/NAME), as C(ip netns exec) does. So a play
    can look at a network from inside, with the modules M(ansible.builtin.wait_for), M(ansible.builtin.uri),
    M(ansible.builtin.command) and all others.
  - The files are those of the local machine, but for those that the container has its own of in C(/etc/netns/NAME),
    such as C(/etc/resolv.conf) and C(/etc/hosts), and C(/sys), which shows the container's devices.
  - The network is that of the container or the task fails. A name that stands for no container, one that is empty or a
    path, and one that has no namespace behind it are errors; nothing ever runs in the host's namespace instead.
  - A container in the mode V(host) is the host's own namespace, because it was declared so; tasks run there. So they do
    by a name that somebody bound or linked to that namespace by hand.
requirements:
  - root on the local machine
  - the command C(ip) of iproute2 (BusyBox's does not do)
options:
  container:
    description:
      - The name of the container, without C(/run/netns/). It has to be there.
      - By default what the inventory has as the address of the host, or else its name there.
    type: str
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_netns_container
  become_success_timeout:
    description:
      - How many seconds P(ansible.builtin.sudo#become) and others have to become another user inside.
      - With a value below 1 the default is used.
    type: int
    default: 10
    vars:
      - name: ansible_netns_become_success_timeout
  become_strip_preamble:
    description: Leave out what such a plugin prints before it has become that user.
    type: bool
    default: true
    vars:
      - name: ansible_netns_become_strip_preamble
extends_documentation_fragment:
  - connection_pipelining
notes:
  - For containers of another machine see P(bridgework.network.netns#become).
  - Cgroups are not to be seen below C(/sys) in there, and what a task mounts is gone when it ends. So set the host
    up by its own connection, and use this one for what is about the network.
  - The remote user is ignored, as P(ansible.builtin.local#connection) does.
seealso:
  - plugin: bridgework.network.netns
    plugin_type: become
  - module: bridgework.network.netns_bridge
  - module: bridgework.network.container_network
"""

EXAMPLES = r"""
# The inventory, where the name of a host is that of its container:
#   containers:
#     hosts:
#       web:
#       db:
#       mail-server:
#         ansible_netns_container: mail
#     vars:
#       ansible_connection: bridgework.network.netns
- name: Look from inside of each container
  hosts: containers
  gather_facts: false
  tasks:
    - name: Reach the database
      ansible.builtin.wait_for:
        host: 192.168.10.3
        port: 5432
        timeout: 5

    - name: Get a page
      ansible.builtin.uri:
        url: http://198.51.100.10/

# In a play for the machine itself, a task for one container
- name: Set up a network, and look from inside
  hosts: localhost
  tasks:
    - name: Have a container
      bridgework.network.container_network:
        name: net-test
        connected: [web]

    - name: Wait for the web server where it listens
      ansible.builtin.wait_for:
        port: 8080
      vars:
        ansible_connection: bridgework.network.netns
        ansible_netns_container: web

    - name: Look at its interfaces as a user whom sudo takes long to look up, and see what it says meanwhile
      ansible.builtin.command: ip -brief address
      become: true
      become_user: www-data
      changed_when: false
      vars:
        ansible_connection: bridgework.network.netns
        ansible_netns_container: web
        ansible_netns_become_success_timeout: 30
        ansible_netns_become_strip_preamble: false
"""

import os
import shlex
import shutil
import subprocess
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.connection.local import Connection as LocalConnection

from ansible_collections.bridgework.network.plugins.module_utils._nsfs import is_network
from ansible_collections.bridgework.network.plugins.plugin_utils import _netns

SUBJECT = "connection netns"


class Connection(LocalConnection):
    """Entered anew for each command, which local starts anew too."""

    transport = "bridgework.network.netns"
    has_pipelining = True
    subject = SUBJECT

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command in the container."""
        entered = shlex.join([*self._enter(), "/bin/sh", "-c", cmd])
        done: tuple[int, bytes, bytes] = super().exec_command(entered, in_data=in_data, sudoable=sudoable)
        return done

    # Files go by way of the container too: /etc/resolv.conf is another one there.

    def put_file(self, in_path: str, out_path: str) -> None:
        """Write a local file to where the container sees it."""
        ConnectionBase.put_file(self, in_path, out_path)
        try:
            with open(in_path, "rb") as source:
                self._transfer(["/bin/sh", "-c", 'cat >"$1"', "sh", out_path], stdin=source)
        except FileNotFoundError:
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}") from None

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Write a file as the container sees it to a local one."""
        ConnectionBase.fetch_file(self, in_path, out_path)
        with open(out_path, "wb") as target:
            self._transfer(["cat", "--", in_path], stdin=subprocess.DEVNULL, stdout=target)

    def _transfer(self, argv: list[str], **streams: t.Any) -> None:
        done = subprocess.run([*self._enter(), *argv], stderr=subprocess.PIPE, check=False, **streams)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip()
            raise AnsibleError(f"{self.subject}: {shlex.join(argv)}: {reason or f'return code {done.returncode}'}")

    def _enter(self) -> list[str]:
        """The words before a command. What they name may be gone by then: ip fails in that case."""
        name = _netns.checked_name(SUBJECT, self.get_option("container"))
        if os.geteuid() != 0:
            remedy = "run ansible-playbook as root, or reach the machine otherwise with become_method"
            raise AnsibleError(_netns.no_root(SUBJECT, os.geteuid(), f"{remedy} bridgework.network.netns"))
        handle = f"{_netns.DIRECTORY}/{name}"
        try:
            is_namespace = os.stat(handle).st_dev == os.stat("/proc/self/ns/net").st_dev
        except OSError:
            raise AnsibleConnectionFailure(_netns.missing(SUBJECT, name)) from None
        if not is_namespace:
            raise AnsibleConnectionFailure(_netns.stale(SUBJECT, name))
        if not _is_network(handle):
            reason = "it is a namespace of another kind than network"
            raise AnsibleConnectionFailure(_netns.closed(SUBJECT, name, reason))
        command = shutil.which("ip", path=f"{os.environ.get('PATH', os.defpath)}:{_netns.SBIN}")
        if command is None:
            raise AnsibleError(_netns.no_command(SUBJECT))
        return [command, "netns", "exec", name]


def _is_network(handle: str) -> bool:
    descriptor = os.open(handle, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return is_network(descriptor)
    finally:
        os.close(descriptor)
