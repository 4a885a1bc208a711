# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: the ordered steps that lead from what a host holds to what it must hold. Pure.

`changed`, the diff, check mode, rollback and repair all come from here. Rolling back is planning towards what was
observed before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from ._conflicts import is_replaced
from ._hostconfig import (
    HOST,
    STALE,
    Address,
    FirewallLine,
    FirewallLines,
    Held,
    HostConfig,
    Link,
    Namespace,
    Route,
    Sysctl,
    link_of,
)
from ._model import is_reference
from ._settings import COPIED, IPV6_MTU, is_rewritten_by, rank

CREATE, UPDATE, DELETE = "create", "update", "delete"

if TYPE_CHECKING:
    LinkKey = tuple[str, str]  # a namespace, and a link in it

Thing_co = TypeVar("Thing_co", bound=Held, covariant=True)


@dataclass(frozen=True)
class Step(Generic[Thing_co]):
    """One thing to do: ``before`` is what the host holds, ``after`` what it shall hold; None stands for nothing.

    A pair of links is created in one step: the host's end in ``after``, the container's in ``peer``. The firewall is
    one step whatever its size, with the lines that it takes away and adds.
    """

    verb: str
    before: Thing_co | None = None
    after: Thing_co | None = None
    peer: Link | None = None

    @property
    def thing(self) -> Thing_co:
        found = self.after if self.after is not None else self.before
        if found is None:
            raise AssertionError("a step of nothing")
        return found


@dataclass(frozen=True)
class FirewallSwap:
    """The whole of our rule set, before and after; it is swapped in one go."""

    before: FirewallLines
    after: FirewallLines

    def removed(self) -> list[FirewallLine]:
        return [*self._removed]

    def added(self) -> list[FirewallLine]:
        return [*self._added]

    # Found once: there may be tens of thousands of lines.

    @cached_property
    def _removed(self) -> tuple[FirewallLine, ...]:
        return tuple(_lines_missing_from(self.after, self.before))

    @cached_property
    def _added(self) -> tuple[FirewallLine, ...]:
        return tuple(_lines_missing_from(self.before, self.after))

    def reordered(self) -> tuple[list[FirewallLine], list[FirewallLine]]:
        """All lines of the places that differ, before and after."""
        places = [place for place in sorted(self.after) if self.after[place] != self.before.get(place)]
        before = [FirewallLine(place, text) for place in places for text in self.before.get(place, ())]
        return before, [FirewallLine(place, text) for place in places for text in self.after[place]]


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they are safe: what closes comes before what opens.

    Links go before the firewall that covers them, and come after it.
    """

    unlink: tuple[Step[Link], ...] = ()
    namespaces: tuple[Step[Namespace], ...] = ()
    firewall: FirewallSwap | None = None
    links: tuple[Step[Link], ...] = ()
    settings: tuple[Step[Sysctl], ...] = ()
    addresses: tuple[Step[Address], ...] = ()
    routes: tuple[Step[Route], ...] = ()
    farewell: tuple[Step[Namespace], ...] = ()

    def before_firewall(self) -> list[Step[Held]]:
        return [*self.unlink, *self.namespaces]

    def after_firewall(self) -> list[Step[Held]]:
        return [*self.links, *self.settings, *self.addresses, *self.routes, *self.farewell]

    def steps(self) -> list[Step[Held]]:
        """Everything but the firewall, in order."""
        return self.before_firewall() + self.after_firewall()

    def __bool__(self) -> bool:
        return self.firewall is not None or bool(self.steps())


def make_plan(wanted: HostConfig, present: HostConfig) -> Plan:
    """The steps from present to wanted, between which there is no conflict.

    Present things that are not wanted go if they are ours.
    """
    removed_names, unlink, created, updated = _links(wanted, present)
    reborn = {name for name, space in wanted.namespaces.items() if is_replaced(space, present.namespaces.get(name))}
    fresh = {link.key for step in created for link in (step.after, step.peer) if isinstance(link, Link)}
    gone = removed_names | {key for key in present.links if key[0] in reborn}
    sysctls = _sysctls(wanted, present, fresh, gone, reborn)
    dark = _without_ipv6(wanted, sysctls)
    deaths, births = _namespaces(wanted, present)
    return Plan(
        unlink=tuple(unlink),
        # A name that changes hands is freed before it is taken.
        namespaces=(*(step for step in deaths if step.thing.key in wanted.namespaces), *births),
        firewall=_firewall(wanted.firewall, present.firewall),
        # A bridge takes its MTU from its first port, and loses it with its last one, unless it was set before.
        links=tuple(sorted((*created, *updated), key=lambda step: not step.thing.is_base)),
        settings=tuple(sysctls),
        addresses=tuple(_addresses(wanted, present, fresh, gone, dark)),
        routes=tuple(_routes(wanted, present, fresh, gone, dark)),
        farewell=tuple(step for step in deaths if step.thing.key not in wanted.namespaces),
    )


def _namespaces(wanted: HostConfig, present: HostConfig) -> tuple[list[Step[Namespace]], list[Step[Namespace]]]:
    """Names to take away, handles before what they lead to; names to make, handles after what they lead to."""
    deaths: list[Step[Namespace]] = []
    births: list[Step[Namespace]] = []
    for name, space in present.namespaces.items():
        if name not in wanted.namespaces:
            if space.owned:
                deaths.append(Step(DELETE, before=space))
        elif is_replaced(wanted.namespaces[name], space):
            deaths.append(Step(DELETE, before=space))
    for name, space in wanted.namespaces.items():
        if name not in present.namespaces or is_replaced(space, present.namespaces[name]):
            # A rollback may wish for what can't be granted, nor be missed.
            if space.of == STALE or is_reference(name):
                continue
            births.append(Step(CREATE, after=space))
        elif present.namespaces[name].loopback_up != space.loopback_up:
            births.append(Step(UPDATE, before=present.namespaces[name], after=space))
    deaths.sort(key=lambda step: step.thing.of is None)
    births.sort(key=lambda step: step.thing.of is not None)
    return deaths, births


def _links(
    wanted: HostConfig, present: HostConfig
) -> tuple[set[LinkKey], list[Step[Link]], list[Step[Link]], list[Step[Link]]]:
    """Keys of the links that go, the steps that remove, create and update."""
    to_create = {key for key, link in wanted.links.items() if _must_be_made(link, wanted, present)}
    gone = {key for key, link in present.links.items() if link.owned and (key not in wanted.links or key in to_create)}
    gone |= {link.peer for key, link in present.links.items() if key in gone and link.peer is not None}
    gone |= {key for key, link in present.links.items() if link.owned and (HOST, link.lower) in gone}
    # Whatever lost its other end or its name on the way has to be made again.
    to_create |= {key for key in gone if key in wanted.links}
    to_create |= {peer for peer in (wanted.links[key].peer for key in to_create) if peer in wanted.links}
    gone |= {key for key in to_create if key in present.links}
    unlink = [Step(DELETE, before=present.links[key]) for key in _one_end_each(gone, present)]
    unlink.sort(key=lambda step: step.thing.is_base)
    create = [_creation(wanted.links[key], wanted) for key in _one_end_each(to_create, wanted)]
    update = []
    for key, link in wanted.links.items():
        if key in to_create:
            continue
        holder = present.links[key]
        if link.master is not None and (HOST, link.master) in to_create:
            holder = replace(holder, master=None)
        if _visible(link, holder) != holder:
            update.append(Step(UPDATE, before=holder, after=link))
    return gone, unlink, create, update


def _must_be_made(link: Link, wanted: HostConfig, present: HostConfig) -> bool:
    holder = present.links.get(link.key)
    if holder is None or not holder.becomes(link):
        return True
    if link.namespace == HOST and holder.owner != link.owner:
        return True
    return (
        is_replaced(wanted.namespaces[link.namespace], present.namespaces.get(link.namespace))
        if link.namespace
        else False
    )


def _one_end_each(keys: Iterable[LinkKey], where: HostConfig) -> list[LinkKey]:
    """Of a pair the host's end, or the only one that is there: the other end shares its fate."""
    chosen: dict[LinkKey, None] = {}
    for key in sorted(keys, key=lambda one: (one[0] != HOST, one)):
        if key in where.links and where.links[key].peer not in chosen:
            chosen[key] = None
    return list(chosen)


def _creation(link: Link, wanted: HostConfig) -> Step[Link]:
    return Step(CREATE, after=link, peer=wanted.links[link.peer] if link.peer is not None else None)


def _visible(wanted: Link, present: Link) -> Link:
    """The wanted link, with what was left to the kernel taken from the present one."""
    return replace(
        wanted,
        mac=present.mac if wanted.mac is None else wanted.mac,
        mtu=present.mtu if wanted.mtu is None else wanted.mtu,
    )


def _without_ipv6(wanted: HostConfig, sysctls: Iterable[Step[Sysctl]]) -> set[LinkKey]:
    """The links that lose their IPv6 addresses and routes before these are looked at one by one."""
    off = {
        link_of(step.thing) for step in sysctls if step.thing.path.endswith("/disable_ipv6") and step.thing.value == "1"
    }
    return off | {key for key, link in wanted.links.items() if link.mtu is not None and link.mtu < IPV6_MTU}


def _addresses(
    wanted: HostConfig, present: HostConfig, fresh: set[LinkKey], gone: set[LinkKey], dark: set[LinkKey]
) -> list[Step[Address]]:
    lost = fresh | gone
    there = {
        each
        for each in present.addresses
        if (each.namespace, each.link) not in lost and not (":" in each.address and (each.namespace, each.link) in dark)
    }
    doomed = sorted(there - wanted.addresses, key=_place)
    missing = sorted(wanted.addresses - there, key=_place)
    # Taken away first: where the primary address of a subnet goes, the kernel takes the others along.
    return [*(Step(DELETE, before=each) for each in doomed), *(Step(CREATE, after=each) for each in missing)]


def _routes(
    wanted: HostConfig, present: HostConfig, fresh: set[LinkKey], gone: set[LinkKey], dark: set[LinkKey]
) -> list[Step[Route]]:
    # A link that is or goes down loses its routes, as does one that loses its last IPv4 address: fib_disable_ip().
    down = {key for config in (present, wanted) for key, link in config.links.items() if not link.up}
    bare = _with_ipv4(present.addresses - wanted.addresses) - _with_ipv4(present.addresses & wanted.addresses)

    def falls(route: Route) -> bool:
        place = (route.namespace, route.link)
        return place in down or place in (bare if route.version == 4 else dark)

    there = {each for each in present.routes if (each.namespace, each.link) not in fresh | gone}
    doomed = sorted((each for each in there - wanted.routes if not falls(each)), key=_place)
    missing = sorted((each for each in wanted.routes if each not in there or falls(each)), key=_place)
    return [*(Step(DELETE, before=each) for each in doomed), *(Step(CREATE, after=each) for each in missing)]


def _with_ipv4(addresses: Iterable[Address]) -> set[LinkKey]:
    """The links that have one of the addresses, in IPv4."""
    return {(each.namespace, each.link) for each in addresses if ":" not in each.address}


def _place(each: Address | Route) -> tuple[str, ...]:
    return (each.namespace, each.link, each.address if isinstance(each, Address) else each.destination)


def _sysctls(
    wanted: HostConfig, present: HostConfig, fresh: set[LinkKey], gone: set[LinkKey], reborn: set[str]
) -> list[Step[Sysctl]]:
    steps = []
    for key, sysctl in wanted.sysctls.items():
        holder = present.sysctls.get(key)
        if holder is not None and (link_of(sysctl) in fresh or sysctl.namespace in reborn):
            holder = None
        elif holder is None and sysctl.if_there and link_of(sysctl) not in fresh:
            continue
        if holder is None or holder.value != sysctl.value:
            steps.append(Step(CREATE if holder is None else UPDATE, before=holder, after=sysctl))
    owed = [
        sysctl
        for key, sysctl in wanted.owed.items()
        if key in present.sysctls and link_of(sysctl) not in gone and key[0] not in reborn
    ]
    steps += [
        Step(UPDATE, before=present.sysctls[sysctl.key], after=sysctl)
        for sysctl in owed
        if present.sysctls[sysctl.key].value != sysctl.value
    ]
    # Writing a leading setting rewrites others, also those that are right now.
    written = {step.thing.key for step in steps}
    leaders = {key for key in written if key[1] in COPIED}
    for sysctl in (*wanted.sysctls.values(), *owed) if leaders else ():
        led = any(sysctl.namespace == namespace and is_rewritten_by(sysctl.path, path) for namespace, path in leaders)
        if led and sysctl.key not in written and sysctl.key in present.sysctls:
            steps.append(Step(UPDATE, before=present.sysctls[sysctl.key], after=sysctl))
    steps.sort(key=lambda step: rank(step.thing.path))
    return steps


def _firewall(wanted: FirewallLines, present: FirewallLines) -> FirewallSwap | None:
    return None if wanted is present or wanted == present else FirewallSwap(present, wanted)


def _lines_missing_from(these: FirewallLines, those: FirewallLines) -> Iterable[FirewallLine]:
    """Lines of those that these lack, as often as they lack them."""
    for place in sorted(those):
        here, there = these.get(place, ()), those[place]
        if here == there:
            continue
        missing = Counter(there)
        missing.subtract(here)
        for text in there if any(count > 0 for count in missing.values()) else ():
            if missing[text] > 0:
                missing[text] -= 1
                yield FirewallLine(place, text)
