# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the connection and the become plugin share: which container, and in which words it is refused.

Both enter by ``ip netns exec``, not by nsenter: in one step it enters the network namespace, gives the task the
container's own resolv.conf, hosts and whatever else is in /etc/netns/NAME, and shows that namespace's devices below
/sys. nsenter does the first of these only. The price is that cgroups are not to be seen below /sys, and that what a
task mounts is gone with it.
"""

from __future__ import annotations

from ansible.errors import AnsibleError

from ansible_collections.bridgework.network.plugins.module_utils import _validate
from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput, quoted

DIRECTORY = "/run/netns"
VARIABLE = "ansible_netns_container"
# Distributions disagree on whether a user's path has it.
SBIN = "/usr/sbin:/sbin"


def checked_name(subject: str, value: str | None) -> str:
    """The name of a container as it may stand in a path and a command. Raises AnsibleError for any other text."""
    if not value:
        raise AnsibleError(f'{subject}: container "" is empty; set {VARIABLE} to the name of a container')
    if "/" in value or ":" in value:
        raise AnsibleError(
            f"{subject}: container {quoted(value)} is not a name below {DIRECTORY}; give the name alone, and make one "
            "for what somebody else runs by bridgework.network.netns_bridge (mode container)"
        )
    try:
        return _validate.name(subject, "container", value)
    except InvalidInput as error:
        raise AnsibleError(str(error)) from None


def missing(subject: str, name: str) -> str:
    """There is no such container."""
    return (
        f'{subject}: container "{name}" is not there: no {DIRECTORY}/{name}; make it by '
        f"bridgework.network.netns_bridge or container_network, or correct {VARIABLE}"
    )


def stale(subject: str, name: str) -> str:
    """The name is there, with no namespace behind it."""
    return (
        f'{subject}: container "{name}" has no network namespace: {DIRECTORY}/{name} is nothing but a file; run the '
        f"task that declares it again, or remove the file"
    )


def closed(subject: str, name: str, reason: str) -> str:
    """A namespace is behind the name, but ip can't enter it as a network's."""
    return (
        f'{subject}: container "{name}" can\'t be entered: {reason}; see whether {DIRECTORY}/{name} is a network '
        f"namespace, or correct {VARIABLE}"
    )


def no_root(subject: str, user: object, remedy: str) -> str:
    """Only root may enter."""
    return f"{subject}: user id {user}: network namespaces need root; {remedy}"


def no_command(subject: str) -> str:
    """The command that enters is missing, or is BusyBox's, which can't."""
    return (
        f"{subject}: the command ip of iproute2 is missing; install the package iproute2 (iproute on Fedora and RHEL)"
    )
