# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host holds, or must hold: namespaces, links, addresses, routes, sysctls and firewall lines.

One vocabulary for both sides of the comparison: ``_render`` writes it from the model, ``_kernel`` and ``_firewall``
read it from the host, and ``_plan`` compares the two.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Callable, Union

from ._settings import link_in

if TYPE_CHECKING:
    from ._firewall.ruleset import PortRule

HOST = ""  # stands for the host's own namespace wherever a namespace is named
STALE = "?"  # what a handle leads to whose target has gone: no container has this name

RESERVED_PORTS = "net/ipv4/ip_local_reserved_ports"  # of both families

OWNER_PREFIX = "bridgework "
UNFINISHED = OWNER_PREFIX + "unfinished"  # stands in for the mark that a killed run had not set yet
BIRTH_NAME = re.compile(r"bw[0-9a-f]{12}")


def network_owner(name: str) -> str:
    """The mark (link alias) on a network's own interface on the host."""
    return f"{OWNER_PREFIX}network {name}"


def parent_owner(device: str) -> str:
    """The mark (link alias) on a parent that networks share."""
    return f"{OWNER_PREFIX}parent {device}"


def endpoint_owner(identity: str) -> str:
    """The mark (link alias) on both ends of an endpoint's pair."""
    return f"{OWNER_PREFIX}endpoint {identity[:12]}"


def is_birth_name(name: str) -> bool:
    """Whether a link is called as only ours are, before they get their names."""
    return BIRTH_NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Namespace:
    """A name below /run/netns; ``of`` is the container (or HOST) whose namespace a handle leads to, else None.

    On the observed side ``owned`` says that we made the name. The loopback of a namespace that is not ours is left
    as it is, and that behind a handle belongs to somebody else: both count as up. ``since`` is when the container was
    declared. ``anchor`` is the only one that will do, where it has one.
    """

    name: str
    of: str | None = None
    owned: bool = True
    loopback_up: bool = True
    since: str = field(default="", compare=False)
    anchor: str | None = None

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True)
class Link:
    """A network interface. ``peer`` is the key of a veth's other end; ``owner`` is the alias that marks it as ours.

    ``lower`` is the host's interface that a macvlan, ipvlan or vlan is on (observed only of those that are declared),
    and ``variant`` its mode or VLAN ID. An ``mtu`` or ``mac`` that is None is left to the kernel. ``unguarded`` is a
    bridge that takes frames to the LLDP group past all rules, as it does from birth.
    """

    namespace: str
    name: str
    kind: str
    owner: str
    mtu: int | None
    mac: str | None = None
    master: str | None = None
    peer: tuple[str, str] | None = None
    hairpin: bool = False
    isolated: bool = False
    unguarded: bool = False
    up: bool = True
    lower: str | None = None
    variant: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)

    @property
    def marked(self) -> bool:
        return self.owner.startswith(OWNER_PREFIX)

    @property
    def owned(self) -> bool:
        """A container may change the mark on its interface; what that is tied to on the host tells whose it is."""
        return self.marked or self.peer is not None or self.is_stacked

    @property
    def is_stacked(self) -> bool:
        """Whether it is a container's, on an interface of the host's."""
        return self.namespace != HOST and self.lower is not None

    @property
    def index(self) -> int | None:
        """The interface index that a stacked link is born with, by which it is known: that alone it can't change."""
        return 0x40000000 | int(self._tag, 16) & 0x3FFFFFFF if self.is_stacked else None

    @property
    def birth_name(self) -> str:
        """What it is called until it is in its container: older kernels look among the host's for its name."""
        return f"bw{self._tag}" if self.is_stacked else self.name

    @property
    def _tag(self) -> str:
        """Twelve hexadecimal digits for the mark, which may be any text: a container may have changed it."""
        return hashlib.sha256(self.owner.encode(errors="surrogateescape")).hexdigest()[:12]

    @property
    def is_base(self) -> bool:
        """Whether other links may be on it: it comes before them, and goes after them."""
        return self.namespace == HOST and self.peer is None

    def becomes(self, other: Link) -> bool:
        """Whether the kernel changes it into the other, which has its name; if not, it has to be made again."""
        if (self.kind, self.peer, self.lower) != (other.kind, other.peer, other.lower):
            return False
        # Source: drivers/net/macvlan.c, macvlan_changelink(); VLAN IDs stay too.
        fixed = ("passthru",) if self.kind in ("macvlan", "ipvlan") else (self.variant, other.variant)
        return self.variant == other.variant or not {self.variant, other.variant}.intersection(fixed)


@dataclass(frozen=True)
class Address:
    """An address with its prefix length (``192.0.2.1/24``) on a link."""

    namespace: str
    link: str
    address: str


@dataclass(frozen=True)
class Route:
    """A route through a link; the destination is ``default`` or a subnet."""

    namespace: str
    link: str
    destination: str
    gateway: str

    @property
    def version(self) -> int:
        return 6 if ":" in self.gateway else 4


@dataclass(frozen=True)
class Sysctl:
    """A value below /proc/sys, as seen in a namespace; ``key`` is its path (``net/ipv4/ip_forward``).

    One that is not ``lasting`` is never put back, as those that go with their links. One with ``if_there`` is asked for
    only where the kernel has it.
    """

    namespace: str
    path: str
    value: str
    lasting: bool = field(default=True, compare=False)
    if_there: bool = field(default=False, compare=False)

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.path)


def link_of(sysctl: Sysctl) -> tuple[str, str]:
    """The link that a setting belongs to; (namespace, "") for others."""
    return (sysctl.namespace, link_in(sysctl.path) or "")


@dataclass(frozen=True)
class FirewallLine:
    """One line of our firewall rule set, in the words of the backend; the plan only compares it."""

    place: str  # table and chain, in the words of the backend
    text: str


FirewallLines = Mapping[str, tuple[str, ...]]  # place → its lines, in order


class LazyLines(Mapping[str, tuple[str, ...]]):
    """Firewall lines that are made when somebody looks at them, which most runs don't."""

    def __init__(self, make: Callable[[], FirewallLines]) -> None:
        self._make = make

    @cached_property
    def _lines(self) -> FirewallLines:
        return self._make()

    def __getitem__(self, place: str) -> tuple[str, ...]:
        return self._lines[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


Held = Union[Namespace, Link, Address, Route, Sysctl, FirewallLine]


@dataclass(frozen=True)
class Traits:
    """What kind of kernel it is.

    ``heeds_ra``: the host's links that router advertisements configure; ``may_heed_ra``: those for which that was not
    switched off. ``reserved_ports``: those that others have reserved; None where the kernel has no list of them.
    ``told``: settings that the host is told to keep, by path.
    """

    ipv6: bool = True
    heeds_ra: frozenset[str] = frozenset()
    may_heed_ra: frozenset[str] = frozenset()
    reserved_ports: frozenset[int] | None = None
    told: Mapping[str, str] = field(default_factory=dict)


@dataclass
class HostConfig:
    """All of it. ``owed`` are sysctls to put back where they (still) exist; an observed configuration has none.

    ``ports`` says what the firewall lines publish. ``foreign_routes`` are only observed: default routes of containers
    that leave by links that are not ours; one without a gateway has the unspecified address for it. So are
    ``interfaces``, the names of all that the host has, with whether they are up, and ``absent``: containers that others
    run, which have no namespace that is theirs, and why.
    """

    namespaces: dict[str, Namespace] = field(default_factory=dict)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    addresses: frozenset[Address] = frozenset()
    routes: frozenset[Route] = frozenset()
    foreign_routes: frozenset[Route] = frozenset()
    sysctls: dict[tuple[str, str], Sysctl] = field(default_factory=dict)
    owed: dict[tuple[str, str], Sysctl] = field(default_factory=dict)
    firewall: FirewallLines = field(default_factory=dict)
    ports: Callable[[], frozenset[PortRule]] = field(default=frozenset, compare=False)
    interfaces: Mapping[str, bool] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
