# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Into a container of the managed host, over any connection."""

from __future__ import annotations

DOCUMENTATION = r"""
name: netns
short_description: Run tasks inside a container of the managed host
version_added: 0.1.0
author:
  - Bridgework contributors (@bridgework)
description:
  - Runs a task inside the network namespace C(/run/netns/NAME) of the managed host, as C(ip netns exec) does, over
    whatever connection leads to that host. So a play can look at a network from inside, with the modules
    M(ansible.builtin.wait_for), M(ansible.builtin.uri), M(ansible.builtin.command) and all others.
  - Only root enters a namespace. A remote user who is root already needs nothing else; any other one becomes root by
    sudo first, with O(become_exe), O(become_flags) and O(become_pass) as P(ansible.builtin.sudo#become) takes them.
  - Inside, the task runs as O(become_user). One that is not root is become by C(su) there, which asks root for no
    password.
  - The files are those of the host, but for those that the container has its own of in C(/etc/netns/NAME), such as
    C(/etc/resolv.conf) and C(/etc/hosts), and C(/sys), which shows the container's devices.
  - The network is that of the container or the task fails. A name that stands for no container, one that is empty or a
    path, and one that has no namespace behind it are errors; nothing ever runs in the host's namespace instead.
  - A container in the mode V(host) is the host's own namespace, because it was declared so; tasks run there. So they do
    by a name that somebody bound or linked to that namespace by hand.
requirements:
  - root on the managed host, or sudo to become root
  - the command C(ip) of iproute2 (BusyBox's does not do)
  - the command C(su), for a O(become_user) other than root
options:
  container:
    description: The name of the container, without C(/run/netns/). It has to be there.
    type: str
    ini:
      - section: netns_become_plugin
        key: container
    env:
      - name: ANSIBLE_NETNS_CONTAINER
    vars:
      - name: ansible_netns_container
  become_user:
    description: Who runs the task inside the container, by name. A number is no name.
    type: str
    default: root
    ini:
      - section: privilege_escalation
        key: become_user
      - section: netns_become_plugin
        key: user
    vars:
      - name: ansible_become_user
      - name: ansible_netns_user
    env:
      - name: ANSIBLE_BECOME_USER
      - name: ANSIBLE_NETNS_USER
    keyword:
      - name: become_user
  become_exe:
    description: By what a remote user who is not root becomes root. It has to take the options of sudo.
    type: str
    default: sudo
    ini:
      - section: privilege_escalation
        key: become_exe
      - section: netns_become_plugin
        key: executable
    vars:
      - name: ansible_become_exe
      - name: ansible_netns_exe
    env:
      - name: ANSIBLE_BECOME_EXE
      - name: ANSIBLE_NETNS_EXE
    keyword:
      - name: become_exe
  become_flags:
    description: Options of O(become_exe).
    type: str
    default: -H -S -n
    ini:
      - section: privilege_escalation
        key: become_flags
      - section: netns_become_plugin
        key: flags
    vars:
      - name: ansible_become_flags
      - name: ansible_netns_flags
    env:
      - name: ANSIBLE_BECOME_FLAGS
      - name: ANSIBLE_NETNS_FLAGS
    keyword:
      - name: become_flags
  become_pass:
    description: The password that O(become_exe) asks the remote user for.
    type: str
    ini:
      - section: netns_become_plugin
        key: password
    vars:
      - name: ansible_become_password
      - name: ansible_become_pass
      - name: ansible_netns_pass
    env:
      - name: ANSIBLE_BECOME_PASS
      - name: ANSIBLE_NETNS_PASS
notes:
  - Ansible asks become plugins only in tasks with C(become=true). Others run in the host's namespace, whatever their
    C(become_method).
  - Cgroups are not to be seen below C(/sys) in there, and what a task mounts is gone when it ends. So set the host up
    with P(ansible.builtin.sudo#become), and use this plugin for what is about the network.
  - Files are copied to the host as the remote user, before the task enters the container. So M(ansible.builtin.copy)
    writes what the container sees, but what connection plugins do by themselves is outside of it.
  - With C(delegate_to), Ansible reads C(ansible_netns_container) before a loop has its item. So loop over
    M(ansible.builtin.include_tasks) there, and give the name no default that would hide the missing item.
seealso:
  - plugin: bridgework.network.netns
    plugin_type: connection
  - module: bridgework.network.netns_bridge
  - module: bridgework.network.container_network
"""

EXAMPLES = r"""
- name: Look from inside of two containers
  hosts: container_hosts
  become: true
  tasks:
    - name: Have two containers on one network
      bridgework.network.container_network:
        name: net-test
        connected: [web, db]

    - name: Reach the database from web
      ansible.builtin.wait_for:
        host: 192.168.10.3
        port: 5432
        timeout: 5
      become: true
      become_method: bridgework.network.netns
      vars:
        ansible_netns_container: web

    - name: Get a page as a user who is not root
      ansible.builtin.uri:
        url: http://198.51.100.10/
      become: true
      become_method: bridgework.network.netns
      become_user: www-data
      vars:
        ansible_netns_container: web

# A user who is not root, and becomes it by a sudo of their own and a password
- name: Look from inside as one who is asked for a password
  hosts: container_hosts
  remote_user: deploy
  become: true
  become_method: bridgework.network.netns
  vars:
    ansible_netns_container: web
    ansible_become_exe: /usr/local/bin/sudo
    ansible_become_flags: -H -S
    ansible_become_password: "{{ password_of_deploy }}"
  tasks:
    - name: See the routes of web
      ansible.builtin.command: ip route
      changed_when: false
"""

import re
import shlex
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.become import BecomeBase

from ansible_collections.bridgework.network.plugins.module_utils._errors import quoted
from ansible_collections.bridgework.network.plugins.plugin_utils import _netns

SUBJECT = "become netns"
USER_ID = "@USER_ID@"
REASON = "@REASON@"
# What id takes for a user's number, and su does not.
NUMBER = re.compile(r"\s*\+?\d+")
# Options of sudo with a single letter and no value, which may be written together.
FLAGS = re.compile(r"-[AbBEeHiKklNnPSsVv]+")


class Insider(str):
    """A user inside of a container, who is never the one outside, even where both are root.

    Ansible leaves a become plugin out if `become_user != remote_user` doesn't hold, and would run in the host's
    namespace. Equality is as ever: it tells which users may read each other's files.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __ne__(self, other: object) -> bool:
        return True


class BecomeModule(BecomeBase):
    """Root by sudo where it has to be, then the namespace, then the user."""

    name = "bridgework.network.netns"
    # sudo's words: see ansible.builtin.sudo
    fail = ("Sorry, try again.",)
    missing = ("Sorry, a password is required to run sudo", "sudo: a password is required")

    def get_option(self, option: str, hostvars: t.Any = None, playcontext: t.Any = None) -> t.Any:
        """As for any plugin; but see Insider."""
        found = super().get_option(option, hostvars=hostvars, playcontext=playcontext)
        return Insider(found or "root") if option == "become_user" else found

    def build_become_command(self, cmd: str, shell: t.Any) -> str:
        """The command with all that has to be checked on the host before it."""
        super().build_become_command(cmd, shell)
        if not cmd:
            return cmd
        name = _netns.checked_name(SUBJECT, self.get_option("container"))
        user = str(self.get_option("become_user"))
        entered = self._entered(name, user, cmd, shell)
        return f"{self._refusal()}; inside={shlex.quote(entered)}; {self._as_root()}"

    def check_success(self, b_output: bytes) -> t.Any:
        """Connections ask this of each line they get until then, so it is where a refusal of the host is found."""
        refused = re.search(rb"%b (.*)\n" % self._mark().encode(), b_output)
        if self._id and refused:
            raise AnsibleError(refused.group(1).decode(errors="replace").rstrip("\r"))
        return super().check_success(b_output)

    def _mark(self) -> str:
        return f"NETNS-REFUSED-{self._id}"

    def _refusal(self) -> str:
        """A function of the shell. On both outputs: not all connections look at the first."""
        return f'refuse() {{ echo "{self._mark()} $1"; echo "$1" >&2; exit 1; }}'

    def _as_root(self) -> str:
        """Runs $inside as root."""
        command = (self.get_option("become_exe") or "").strip() or "sudo"
        program = self._words("become_exe", command)[0]
        flags = self._words("become_flags", self.get_option("become_flags") or "")
        if self.get_option("become_pass"):
            self.prompt = f"[sudo via ansible, key={self._id}] password:"
            flags = [*filter(None, map(_asking, flags)), "-p", self.prompt]
        missing = _netns.no_root(
            SUBJECT, USER_ID, f"install {command}, name another become_exe, or set remote_user to root"
        )
        return (
            'if [ "$(id -u)" = 0 ]; then exec /bin/sh -c "$inside"; fi; '
            f"{_unless(f'command -v {shlex.quote(program)} >/dev/null', missing)}; "
            f'exec {command} {shlex.join(flags)} -u root /bin/sh -c "$inside"'
        )

    def _words(self, option: str, text: str) -> list[str]:
        try:
            return shlex.split(text)
        except ValueError:
            raise AnsibleError(
                f"{SUBJECT}: {option} {quoted(text)} opens a quotation that it never closes; write it as for a shell"
            ) from None

    def _entered(self, name: str, user: str, cmd: str, shell: t.Any) -> str:
        """What root runs: the checks, then the command in the container."""
        handle = f"{_netns.DIRECTORY}/{name}"
        checks = [
            self._refusal(),
            f"PATH=$PATH:{_netns.SBIN}",
            _unless('[ "$(id -u)" = 0 ]', _netns.no_root(SUBJECT, USER_ID, "see to it that become_exe leads to root")),
            _unless(f"[ -e {handle} ]", _netns.missing(SUBJECT, name)),
            # Where stat is missing, ip finds the same out, in worse words.
            _unless(f'[ "$(stat -Lc %d {handle})" = "$(stat -Lc %d /proc/self/ns/net)" ]', _netns.stale(SUBJECT, name)),
            _unless("ip -V 2>/dev/null | grep -q iproute2", _netns.no_command(SUBJECT)),
            # Handles of other kinds of namespaces are files of the same device.
            _unless(f"reason=$(ip netns exec {name} true 2>&1)", _netns.closed(SUBJECT, name, REASON)),
        ]
        if user == "root":
            command = self._build_success_command(cmd, shell)
        else:
            unknown = f"{SUBJECT}: become_user {quoted(user)} is unknown on the host; name one of /etc/passwd"
            checks.append(_unless(_is_known(user), unknown))
            # A service's user may have no shell to log in with.
            wanted = self._build_success_command(cmd, shell, noexe=True)
            command = f"su -s /bin/sh -c {wanted} -- {shlex.quote(user)}"
        return "; ".join([*checks, f"exec ip netns exec {name} {command}"])


def _unless(condition: str, text: str) -> str:
    """A step of a shell script that refuses with the text."""
    return f"{condition} || refuse {_said(text)}"


def _said(text: str) -> str:
    """The text as a word of the shell, which fills in who it runs as, and what ip said."""
    quoted_text = shlex.quote(text)
    for mark, value in ((USER_ID, "$(id -u)"), (REASON, '$(echo "$reason" | tail -n 1)')):
        quoted_text = quoted_text.replace(mark, f"'\"{value}\"'")
    return quoted_text


def _is_known(user: str) -> str:
    """A condition of the shell: there is a user of that name."""
    word = shlex.quote(user)
    if NUMBER.fullmatch(user):
        return f'[ "$(id -un -- {word} 2>/dev/null)" = {word} ]'
    return f"id -u -- {word} >/dev/null 2>&1"


def _asking(flag: str) -> str:
    """A flag of sudo as it must be where a password is going to be given; empty where nothing of it is left."""
    if flag == "--non-interactive":
        return ""
    asking = flag.replace("n", "") if FLAGS.fullmatch(flag) else flag
    return "" if asking == "-" else asking
