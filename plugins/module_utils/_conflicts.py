# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign things where something of ours shall be. Pure.

What is foreign is never touched. On the host that makes a task fail. In a container, which may be in hostile hands, it
fails the tasks that are about this container; for all others the container is left as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._hostconfig import HOST, HostConfig, Link, Namespace, Route
from ._model import is_reference
from ._settings import link_in

if TYPE_CHECKING:
    from typing import TypeVar

    from ._hostconfig import Address

    Key = TypeVar("Key")
    Value = TypeVar("Value")
    OnLink = TypeVar("OnLink", Address, Route)


@dataclass(frozen=True)
class Conflict:
    """One of them, in words; ``container`` is HOST where it is the host's.

    ``is_absence``: something of somebody else's is not there, and is waited for. ``may_come``: an earlier task of the
    play may bring it.
    """

    container: str
    problem: str
    is_absence: bool = False
    may_come: bool = False


@dataclass(frozen=True)
class Waiting:
    """An interface that can't be there now, in words; ``is_new``: nor was it asked for before."""

    problem: str
    is_new: bool


def find_conflicts(wanted: HostConfig, present: HostConfig) -> list[Conflict]:
    """All that keeps the host from holding what is wanted."""
    return [
        *_absences(wanted, present),
        *_names(wanted, present),
        *_links(wanted, present),
        *_routes(wanted, present),
        *_sysctls(wanted, present),
    ]


def find_waiting(wanted: HostConfig, old: HostConfig, present: HostConfig) -> list[Waiting]:
    """Interfaces that have to wait, since what they are to be on is gone."""
    return [
        Waiting(
            f'container "{link.namespace}": the interface "{link.lower}", which {link.name} is to be on, is gone; '
            "bring it back, or disconnect the container from that network",
            is_new=key not in old.links or old.links[key].lower != link.lower,
        )
        for key, link in wanted.links.items()
        if _is_stranded(link, wanted, present)
    ]


def _is_stranded(link: Link, wanted: HostConfig, present: HostConfig) -> bool:
    if not link.is_stacked or link.lower in present.interfaces:
        return False
    parent = wanted.links.get((HOST, str(link.lower)))
    return parent is None or not (parent.lower is None or parent.lower in present.interfaces)


def without_waiting(wanted: HostConfig, old: HostConfig, present: HostConfig) -> HostConfig:
    """What is wanted, without the settings of interfaces that were there when these were declared, and will not be.

    They wait for an interface of that name to come back. So do those of the host's uplinks, the VLANs of these, and
    what is on them. A default route waits too where whoever runs the container gives it one.
    """
    stranded = {key for key, link in wanted.links.items() if _is_stranded(link, wanted, present)}
    # One whose parent has another name now is as good as it was.
    held = {key: present.links[key] for key in stranded if key in present.links and present.links[key].owned}
    stranded -= held.keys()
    wanted = replace(
        wanted,
        links={**{key: link for key, link in _lasting(wanted, present) if key not in stranded}, **held},
        addresses=frozenset(each for each in wanted.addresses if (each.namespace, each.link) not in stranded),
        routes=frozenset(
            each
            for each in wanted.routes
            if (each.namespace, each.link) not in stranded and not _is_provided(each, present)
        ),
    )

    def waits(key: tuple[str, str]) -> bool:
        is_old = key in old.sysctls or key[0] == HOST or (key[0], link_in(key[1])) in stranded
        return is_old and not _will_be_there(wanted, present, *key)

    return replace(wanted, sysctls={key: each for key, each in wanted.sysctls.items() if not waits(key)})


def _will_be_there(wanted: HostConfig, present: HostConfig, namespace: str, path: str) -> bool:
    """Whether the interface of a setting, if it has one, is there when all else is as it is wanted."""
    link = link_in(path)
    if link in (None, "lo") or (namespace, link) in wanted.links:
        return True
    if namespace == HOST:
        return (namespace, path) in present.sysctls
    holder = present.namespaces.get(namespace)
    if holder is None or is_replaced(wanted.namespaces[namespace], holder) or (namespace, path) not in present.sysctls:
        return False
    leaving = present.links.get((namespace, str(link)))
    return leaving is None or not leaving.owned


def left_alone(wanted: HostConfig, present: HostConfig, containers: Collection[str]) -> HostConfig:
    """What is wanted, but that of these containers as it is now.

    The host's ends of their pairs, which a container can't reach, stay as they are wanted where they are there.
    """

    def theirs(link: Link) -> bool:
        return link.namespace in containers or (link.peer is not None and link.peer[0] in containers)

    ends = {key for config in (wanted, present) for key, link in config.links.items() if theirs(link)}
    held = {key: _as_port(link, wanted.links.get(key)) for key, link in present.links.items() if link.owned}
    return replace(
        wanted,
        namespaces=_mixed(wanted.namespaces, present.namespaces, containers),
        links=_mixed(wanted.links, held, ends),
        addresses=_merged(wanted.addresses, present.addresses, containers),
        routes=_merged(wanted.routes, present.routes, containers),
        sysctls={key: each for key, each in wanted.sysctls.items() if key[0] not in containers},
        owed={key: each for key, each in wanted.owed.items() if key[0] not in containers},
    )


def _as_port(present: Link, wanted: Link | None) -> Link:
    """A host's end with what it is to be as a port of its bridge."""
    if present.namespace != HOST or wanted is None:
        return present
    return replace(
        present, master=wanted.master, hairpin=wanted.hairpin, isolated=wanted.isolated, up=wanted.up, mtu=wanted.mtu
    )


def is_replaced(wanted: Namespace, present: Namespace | None) -> bool:
    """Whether a name leads elsewhere than it shall."""
    return present is not None and wanted.of != present.of


def _mixed(wanted: dict[Key, Value], present: dict[Key, Value], keys: Collection[Key]) -> dict[Key, Value]:
    """The present ones of these keys, the wanted ones of all others."""
    kept = {key: each for key, each in wanted.items() if key not in keys}
    return {**kept, **{key: present[key] for key in keys if key in present}}


def _merged(wanted: frozenset[OnLink], present: frozenset[OnLink], containers: Collection[str]) -> frozenset[OnLink]:
    kept = {each for each in wanted if each.namespace not in containers}
    return frozenset(kept | {each for each in present if each.namespace in containers})


def _absences(wanted: HostConfig, present: HostConfig) -> Iterable[Conflict]:
    """Containers that others run and handles on them, where these are not there."""
    for name, space in wanted.namespaces.items():
        if name in present.absent:
            yield Conflict(name, f'container "{name}": {present.absent[name]}', True, _may_be_started(name))
        elif space.of is not None and space.of in present.absent:
            problem = f'container "{name}": it is to share the namespace of "{space.of}": {present.absent[space.of]}'
            yield Conflict(name, problem, True, _may_be_started(space.of))


def _may_be_started(reference: str) -> bool:
    """Whether it can be known by its name before it is started."""
    return not reference.startswith("pid:")


def _names(wanted: HostConfig, present: HostConfig) -> Iterable[Conflict]:
    for name, space in wanted.namespaces.items():
        holder = present.namespaces.get(name)
        if holder is not None and not holder.owned and is_replaced(space, holder):
            yield Conflict(
                name,
                f'container "{name}": /run/netns/{name} exists, is not Bridgework\'s and is not the namespace '
                "asked for; remove it or choose another name",
            )


def _links(wanted: HostConfig, present: HostConfig) -> Iterable[Conflict]:
    for key, link in wanted.links.items():
        holder = present.links.get(key)
        if holder is not None and not holder.owned:
            yield Conflict(link.namespace, _foreign_link(link))


def _foreign_link(link: Link) -> str:
    if link.namespace == HOST:
        remedy = "choose another name for the bridge, or remove that interface"
        if link.kind != "bridge":
            remedy = "remove that interface"
        return f'interface "{link.name}" exists on the host and is not Bridgework\'s; {remedy}'
    return (
        f'container "{link.namespace}": interface "{link.name}" exists and is not Bridgework\'s; '
        "choose another one with interface_name, or remove it"
    )


def _is_provided(route: Route, present: HostConfig) -> bool:
    others = (route.destination, route.version)
    return is_reference(route.namespace) and any(
        each.namespace == route.namespace and (each.destination, each.version) == others
        for each in present.foreign_routes
    )


def _lasting(wanted: HostConfig, present: HostConfig) -> Iterable[tuple[tuple[str, str], Link]]:
    """The links that can be as wanted. A VLAN whose trunk is gone or has another name stays as it is, if it is there;

    one whose trunk is down can't be up.
    """
    for key, link in wanted.links.items():
        held = present.links.get(key)
        if link.namespace != HOST or link.lower is None or present.interfaces.get(link.lower):
            yield key, link
        elif link.lower in present.interfaces:
            yield key, replace(link, up=held is not None and held.up)
        elif held is not None and held.owned:
            yield key, held


def _routes(wanted: HostConfig, present: HostConfig) -> Iterable[Conflict]:
    foreign = {(route.namespace, route.destination, route.version) for route in present.foreign_routes}
    for route in sorted(wanted.routes - present.routes, key=lambda each: (each.namespace, each.destination)):
        if (route.namespace, route.destination, route.version) in foreign:
            yield Conflict(
                route.namespace,
                f'container "{route.namespace}": it has a {route.destination} route that is not Bridgework\'s; '
                "remove that, or connect the container to internal networks only",
            )


def _sysctls(wanted: HostConfig, present: HostConfig) -> Iterable[Conflict]:
    for (namespace, path), sysctl in wanted.sysctls.items():
        if not _will_be_there(wanted, present, namespace, path):
            yield Conflict(
                namespace,
                f'container "{namespace}": sysctls "{sysctl.path}" belongs to an interface that is not there; '
                "leave it out, or make the interface first",
            )
