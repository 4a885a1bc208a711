# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans carried out, step by step. The first step that fails raises, and nothing after it is tried."""

from __future__ import annotations

from typing import Callable

from .._firewall import Firewall
from .._hostconfig import Address, Link, Namespace, Route, Sysctl
from .._plan import CREATE, DELETE, UPDATE, FirewallSwap, Plan, Step
from .._progress import Progress
from . import Kernel
from .announce import announce


def apply(kernel: Kernel, plan: Plan, firewall: Firewall) -> None:
    """The host holds what the plan leads to."""
    with Progress() as progress:
        for step in progress.through("namespaces", (*plan.unlink, *plan.namespaces)):
            carry_out(kernel, step)
        if plan.firewall is not None:
            progress.at("firewall")
            swap(firewall, plan.firewall)
        for step in progress.through("links", plan.links):
            carry_out(kernel, step)
        sysctls = [step.thing for step in plan.settings if isinstance(step.thing, Sysctl)]
        progress.at("settings")
        kernel.sysctls.write_all(sysctls)
        others = [step for step in (*plan.settings, *plan.farewell) if not isinstance(step.thing, Sysctl)]
        for step in progress.through("addresses and routes", others):
            carry_out(kernel, step)
        progress.at("announcements")
        announce(kernel.namespaces, (*plan.links, *plan.settings))


def swap(firewall: Firewall, lines: FirewallSwap) -> None:
    firewall.apply(lines.after, lines.before)


def carry_out(kernel: Kernel, step: Step) -> None:
    """One step other than the firewall's and the sysctls'."""
    _ACTIONS[type(step.thing), step.verb](kernel, step)


def _create_namespace(kernel: Kernel, step: Step) -> None:
    space = step.thing
    kernel.netlink.forget(space.name)
    if space.of is None:
        kernel.namespaces.create(space.name)
        kernel.netlink.set_loopback(space.name, space.loopback_up)
    else:
        kernel.namespaces.attach(space.name, space.of)


def _delete_namespace(kernel: Kernel, step: Step) -> None:
    kernel.netlink.forget(step.thing.name)
    # A handle is made again by leading it to where it led.
    kernel.namespaces.remove(step.thing.name, keep=step.thing.of is None)


def _create_link(kernel: Kernel, step: Step) -> None:
    if step.peer is None:
        kernel.netlink.add_link(step.thing)
    else:
        kernel.netlink.add_pair(step.thing, step.peer)


_ACTIONS: dict[tuple[type, str], Callable[[Kernel, Step], None]] = {
    (Namespace, CREATE): _create_namespace,
    (Namespace, UPDATE): lambda kernel, step: kernel.netlink.set_loopback(step.thing.name, step.thing.loopback_up),
    (Namespace, DELETE): _delete_namespace,
    (Link, CREATE): _create_link,
    (Link, UPDATE): lambda kernel, step: kernel.netlink.change(step.before, step.after),
    (Link, DELETE): lambda kernel, step: kernel.netlink.remove(step.thing),
    (Address, CREATE): lambda kernel, step: kernel.netlink.add_address(step.thing),
    (Address, DELETE): lambda kernel, step: kernel.netlink.remove_address(step.thing),
    (Route, CREATE): lambda kernel, step: kernel.netlink.add_route(step.thing),
    (Route, DELETE): lambda kernel, step: kernel.netlink.remove_route(step.thing),
}
