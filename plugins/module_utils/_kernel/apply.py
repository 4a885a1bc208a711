# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans carried out, step by step. The first step that fails raises, and nothing after it is tried."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Callable

from .._firewall import Firewall
from .._hostconfig import Address, Link, Namespace, Route
from .._plan import DELETE, UPDATE, FirewallSwap, Plan, Step, Thing_co
from .._progress import Progress
from . import Kernel
from .announce import announce


def apply(kernel: Kernel, plan: Plan, firewall: Firewall) -> None:
    """The host holds what the plan leads to."""

    def each(
        carry_out: Callable[[Kernel, Step[Thing_co]], None], steps: Iterable[Step[Thing_co]]
    ) -> list[Callable[[], None]]:
        return [partial(carry_out, kernel, step) for step in steps]

    with Progress() as progress:
        for act in progress.through("namespaces", each(_link, plan.unlink) + each(_namespace, plan.namespaces)):
            act()
        if plan.firewall is not None:
            progress.at("firewall")
            swap(firewall, plan.firewall)
        for act in progress.through("links", each(_link, plan.links)):
            act()
        progress.at("settings")
        kernel.sysctls.write_all([step.thing for step in plan.settings])
        others = each(_address, plan.addresses) + each(_route, plan.routes) + each(_namespace, plan.farewell)
        for act in progress.through("addresses and routes", others):
            act()
        progress.at("announcements")
        announce(kernel.namespaces, plan.links, plan.addresses)


def swap(firewall: Firewall, lines: FirewallSwap) -> None:
    firewall.apply(lines.after, lines.before)


def _namespace(kernel: Kernel, step: Step[Namespace]) -> None:
    space = step.thing
    if step.verb == UPDATE:
        kernel.netlink.set_loopback(space.name, space.loopback_up)
        return
    kernel.netlink.forget(space.name)
    if step.verb == DELETE:
        # A handle is made again by leading it to where it led.
        kernel.namespaces.remove(space.name, keep=space.of is None)
    elif space.of is None:
        kernel.namespaces.create(space.name)
        kernel.netlink.set_loopback(space.name, space.loopback_up)
    else:
        kernel.namespaces.attach(space.name, space.of)


def _link(kernel: Kernel, step: Step[Link]) -> None:
    if step.verb == DELETE:
        kernel.netlink.remove(step.thing)
    elif step.before is not None:
        kernel.netlink.change(step.before, step.thing)
    elif step.peer is None:
        kernel.netlink.add_link(step.thing)
    else:
        kernel.netlink.add_pair(step.thing, step.peer)


def _address(kernel: Kernel, step: Step[Address]) -> None:
    if step.verb == DELETE:
        kernel.netlink.remove_address(step.thing)
    else:
        kernel.netlink.add_address(step.thing)


def _route(kernel: Kernel, step: Step[Route]) -> None:
    if step.verb == DELETE:
        kernel.netlink.remove_route(step.thing)
    else:
        kernel.netlink.add_route(step.thing)
