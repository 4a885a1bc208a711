# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One read of what the host holds, as far as it concerns us."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Callable

from .._firewall import Firewall
from .._hostconfig import (
    HOST,
    STALE,
    UNFINISHED,
    Address,
    HostConfig,
    Link,
    Namespace,
    Route,
    Sysctl,
    is_birth_name,
)
from .._ledger import Ledger
from .._model import is_reference
from . import Kernel
from .tables import LinkRow, names_of, read_link, read_route


@dataclass(frozen=True)
class Scope:
    """What to look at: all that is wanted, was declared, or is in the ledger.

    Of addresses and routes only these are ours; of links those that bear our mark or whose other end does, and those
    that an unfinished run announced. ``homes`` says in whose container the inner end belongs, by the mark of a pair;
    ``stacked`` the kinds of links by namespace and index; ``seniority`` orders containers, those first that were
    declared first; ``anchors`` are those that containers have, by name.
    """

    namespaces: frozenset[str]
    wanted: frozenset[str]
    targets: Mapping[str, tuple[str, ...]]
    own: frozenset[str]
    ledger: Ledger
    links: frozenset[tuple[str, str]]
    homes: Mapping[str, str]
    stacked: Mapping[tuple[str, int | None], frozenset[str]]
    seniority: Mapping[str, tuple[bool, str, str]]
    anchors: Mapping[str, str]
    addresses: frozenset[Address]
    routes: frozenset[Route]
    routed: frozenset[str]  # the namespaces of these routes
    sysctls: frozenset[tuple[str, str]]
    firewall: Callable[
        [], frozenset[str] | None
    ]  # places; None where a run that was killed may have left lines anywhere

    @classmethod
    def of(cls, ledger: Ledger, wanted: HostConfig, *others: HostConfig) -> Scope:
        configs = (wanted, *others)
        pending = [row for row in ledger.pending if row[0] == "address"]
        gateways = [row for row in ledger.pending if row[0] == "route"]
        routes = frozenset(
            Route(namespace, link, *value.split(" via ")) for _kind, namespace, link, value in gateways
        ).union(*(config.routes for config in configs))
        return cls(
            namespaces=frozenset(ledger.namespaces).union(*(config.namespaces for config in configs)),
            wanted=frozenset(wanted.namespaces),
            targets=_targets(configs),
            own=frozenset(space.name for config in others for space in config.namespaces.values() if space.of is None),
            ledger=ledger,
            links=frozenset().union(*(config.links for config in configs)),
            homes={
                link.owner: link.namespace for config in configs for link in config.links.values() if link.namespace
            },
            stacked=_stacked_links(configs),
            seniority={
                space.name: (space.name not in others[0].namespaces if others else True, space.since, space.name)
                for config in configs
                for space in config.namespaces.values()
            },
            anchors={
                space.name: space.anchor
                for config in configs
                for space in config.namespaces.values()
                if space.anchor is not None
            },
            addresses=frozenset(Address(*row[1:]) for row in pending).union(*(config.addresses for config in configs)),
            routes=routes,
            routed=frozenset(route.namespace for route in routes),
            firewall=lambda: None if ledger.pending else _places(configs),
            sysctls=frozenset().union(*([*config.sysctls, *config.owed] for config in configs)),
        )


def _places(configs: Iterable[HostConfig]) -> frozenset[str] | None:
    """Where lines of the firewall are to be; without a network it can't be known what is left of others."""
    return frozenset().union(*(config.firewall for config in configs)) or None


def _targets(configs: Iterable[HostConfig]) -> dict[str, tuple[str, ...]]:
    """Where handles may lead to, by name: where they shall, and where they did."""
    found: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for space in (space for config in configs for space in config.namespaces.values()):
        if space.of is not None:
            found[space.name] += (space.of,)
    return found


def _stacked_links(configs: Iterable[HostConfig]) -> dict[tuple[str, int | None], frozenset[str]]:
    found: dict[tuple[str, int | None], frozenset[str]] = {}
    for link in (link for config in configs for link in config.links.values() if link.is_stacked):
        place = (link.namespace, link.index)
        found[place] = found.get(place, frozenset()) | {link.kind}
    return found


@dataclass
class _Seen:
    """What was read so far; links by their index, each with that of its peer. The host's come first.

    ``interfaces`` are the names of all that the host has, by index; ``is_up`` whether they are up, by name.
    """

    interfaces: dict[int, str] = field(default_factory=dict)
    is_up: dict[str, bool] = field(default_factory=dict)
    links: dict[str, dict[int, tuple[int, Link]]] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    foreign_routes: list[Route] = field(default_factory=list)
    loopback_up: dict[str, bool] = field(default_factory=dict)


def observe(kernel: Kernel, scope: Scope, firewall: Firewall, expected: HostConfig, declared: str) -> HostConfig:
    """The host's configuration within the scope.

    ``expected``: what it must hold if nobody has changed it; ``declared`` tells the state that asks for it from others.
    """
    inodes = {name: kernel.namespaces.inode(name) for name in (HOST, *scope.namespaces)}
    absent = _absent(kernel, scope, inodes)
    behind = {
        name: _behind(scope, name, inodes)
        for name in sorted(scope.namespaces)
        if inodes[name] is not None and name not in absent
    }
    unwanted = {name for name in scope.ledger.namespaces if name not in scope.wanted}
    behind.update((name, STALE) for name in sorted(unwanted) if kernel.namespaces.is_empty(name))
    looked_into = [HOST, *sorted(name for name, of in behind.items() if of is None)]
    seen = _Seen()
    for namespace in looked_into:
        _look_into(kernel, scope, namespace, seen)
    is_sure = not scope.ledger.pending
    lines = firewall.observe(scope.firewall, expected.firewall, declared if is_sure else "")
    return HostConfig(
        namespaces={
            name: Namespace(
                name, of, owned=name in scope.ledger.namespaces, loopback_up=_loopback_up(scope, seen, name)
            )
            for name, of in behind.items()
        },
        links={link.key: link for links in seen.links.values() for _peer, link in links.values()},
        addresses=scope.addresses.intersection(seen.addresses),
        routes=scope.routes.intersection(seen.routes),
        foreign_routes=frozenset(seen.foreign_routes),
        sysctls=_sysctls(kernel, scope, set(looked_into)),
        firewall=lines,
        ports=expected.ports if lines is expected.firewall else lambda: firewall.published(lines),
        interfaces=seen.is_up,
        absent=absent,
    )


def _absent(kernel: Kernel, scope: Scope, inodes: Mapping[str, int | None]) -> dict[str, str]:
    """The containers that others run without a namespace that could be theirs alone, with the reason."""
    found = {}
    holders: dict[int | None, str] = {}
    for name in sorted(inodes, key=lambda each: (is_reference(each), scope.seniority.get(each, (True, "", each)))):
        if not is_reference(name):
            if name not in scope.targets:  # a handle's namespace is another's
                holders.setdefault(inodes[name], name)
        elif inodes[name] is None:
            found[name] = kernel.namespaces.why_missing(name)
        elif scope.anchors.get(name) not in (None, kernel.namespaces.anchor(name)):
            found[name] = "that process has ended, and another has its number; disconnect it"
        elif inodes[name] == inodes[HOST]:
            found[name] = "it is in the host's own namespace; run it with one of its own"
        elif inodes[name] in holders:
            found[name] = f'it is in the namespace of container "{holders[inodes[name]]}"; name that one instead'
        else:
            holders[inodes[name]] = name
    return found


def _behind(scope: Scope, name: str, inodes: Mapping[str, int | None]) -> str | None:
    """Whose namespace the name really leads to; None where it has one of its own."""
    if inodes[name] == inodes[HOST]:
        return HOST
    made_for = scope.ledger.namespaces.get(name)
    for target in (made_for, *scope.targets.get(name, ())):
        # Where the two are to change roles, the one that is the handle still is not what the other leads to.
        if target is not None and inodes[name] == inodes.get(target) and scope.ledger.namespaces.get(target) != name:
            return target
    # One that was to become a handle when the run broke off is what it was.
    return STALE if made_for is not None and name not in scope.own else None


def _loopback_up(scope: Scope, seen: _Seen, name: str) -> bool:
    return name not in scope.ledger.namespaces or seen.loopback_up.get(name, True)


def _look_into(kernel: Kernel, scope: Scope, namespace: str, seen: _Seen) -> None:
    rows = kernel.tables.links(namespace)
    names = names_of(rows)
    links: dict[int, tuple[int, Link]] = {}
    if namespace == HOST:
        seen.interfaces = names
    for row in rows:
        index, peer, link = row.index, row.lower, read_link(namespace, row, names)
        if link.name == "lo":
            seen.loopback_up[namespace] = link.up
        if namespace == HOST:
            seen.is_up[link.name] = link.up
            if _is_unfinished(scope, link):
                link = replace(link, owner=UNFINISHED)
            if link.kind == "vlan" and link.owned:
                link = replace(link, lower=seen.interfaces.get(peer))
        elif link.kind in scope.stacked.get((namespace, index), ()) and _is_on_host(kernel, namespace, row):
            link = replace(link, lower=seen.interfaces.get(peer))
        elif is_birth_name(link.name) and _is_unfinished(scope, link):
            # In a container somebody else may have made one of any other name since.
            link = replace(link, owner=UNFINISHED)
        if link.kind == "veth" and namespace != HOST:
            link = _joined(scope, seen, index, peer, link)
        if link.owned or link.key in scope.links:
            links[index] = (peer, link)
        for name in row.other_names:
            if (namespace, name) in scope.links and not link.owned:
                links[-index] = (0, replace(link, name=name))
    seen.links[namespace] = links
    ours = {index: link.name for index, (_peer, link) in links.items() if link.owned}
    if ours:
        addresses = (row for row in kernel.tables.addresses(namespace) if row.link in ours)
        seen.addresses += (Address(namespace, ours[row.link], row.cidr) for row in addresses)
    if namespace in scope.routed:
        routes = [read_route(namespace, row, names) for row in kernel.tables.routes(namespace)]
        own = set(ours.values())
        seen.routes += [route for route in routes if route.link in own]
        seen.foreign_routes += [each for each in routes if each.destination == "default" and each.link not in own]


def _is_on_host(kernel: Kernel, namespace: str, row: LinkRow) -> bool:
    """Whether what a container's link is on is in the host's own namespace."""
    return kernel.netlink.is_hosts(row.lower_netns, namespace)


def _is_unfinished(scope: Scope, link: Link) -> bool:
    """Whether a run that was killed may have made it, and not come to mark it."""
    return not link.owned and ("link", link.namespace, link.name, "") in scope.ledger.pending


def _joined(scope: Scope, seen: _Seen, index: int, peer_index: int, inner: Link) -> Link:
    """The inner end of a pair, if it is one, the two ends knowing each other."""
    its_peer, outer = seen.links[HOST].get(peer_index, (0, None))
    if outer is None or outer.kind != "veth" or its_peer != index:
        return inner
    # Its own mark counts only where nothing else says whose end it is: a container may forge it.
    if scope.homes.get(outer.owner, inner.namespace) != inner.namespace:
        return inner
    if outer.owner not in scope.homes and outer.owner not in (UNFINISHED, inner.owner):
        return inner
    if outer.owned:
        seen.links[HOST][peer_index] = (its_peer, replace(outer, peer=inner.key))
    return replace(inner, peer=outer.key) if outer.owned else inner


def _sysctls(kernel: Kernel, scope: Scope, namespaces: set[str]) -> dict[tuple[str, str], Sysctl]:
    paths: dict[str, list[str]] = defaultdict(list)
    for namespace, path in sorted(scope.sysctls):
        if namespace in namespaces:
            paths[namespace].append(path)
    return {
        (namespace, path): Sysctl(namespace, path, value)
        for namespace, wanted in paths.items()
        for path, value in kernel.sysctls.read(namespace, wanted).items()
    }
