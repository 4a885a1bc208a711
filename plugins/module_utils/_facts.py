# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an intent may ask about the host. Read lazily by ``_kernel.facts``; a test gives plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from ._hostconfig import Route


class Listener(NamedTuple):
    """A socket that waits for peers; ``inode`` leads to the process that holds it.

    One on ``::`` that is not ``v6only`` takes those of IPv4 too.
    """

    address: str
    port: int
    inode: int
    v6only: bool = False


@dataclass(frozen=True)
class Interface:
    """An interface of the host; ``owner`` is its mark where it is ours, ``master`` what it is a port of.

    ``lower`` is the interface that it is on, if that is the host's too, ``variant`` its mode or VLAN ID. ``addresses``
    are without link-local ones and prefix lengths.
    """

    kind: str
    is_up: bool
    mtu: int
    owner: str | None = None
    master: str | None = None
    mac: str = ""
    lower: str | None = None
    variant: str = ""
    is_ethernet: bool = True
    addresses: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        return self.owner is not None


class Facts(Protocol):
    """One host, as far as intents need it. Nothing here changes the host."""

    machine_id: str
    now: str  # RFC 3339, UTC
    check_mode: bool  # what earlier tasks only pretended to make is not there

    def hostname(self) -> str:
        """What the host calls itself."""

    def routed_subnets(self) -> Sequence[str]:
        """Destinations of all routes that are not ours, default routes left out."""

    def nameservers(self) -> Sequence[str]:
        """Addresses of the host's nameservers."""

    def connected_subnets(self) -> Sequence[str]:
        """Subnets that the host reaches directly, by interfaces that are not ours."""

    def has_ipv6(self) -> bool:
        """Whether the kernel has IPv6."""

    def interface(self, name: str) -> Interface | None:
        """The host's interface of that name; None where there is none."""

    def interfaces_on(self, lower: str) -> Mapping[str, Interface]:
        """The host's interfaces that are on that one, by name."""

    def has_link_kind(self, kind: str) -> bool:
        """Whether the kernel has interfaces of that kind, in the words of ``ip link add type``."""

    def local_addresses(self) -> frozenset[str]:
        """The host's own addresses."""

    def listeners(self, protocol: str) -> Sequence[Listener]:
        """Sockets of the host's namespace that would clash with a published port."""

    def holder_of(self, listener: Listener) -> str:
        """Who has the socket open, in words for an error."""

    def ephemeral_ports(self) -> tuple[int, int]:
        """First and last port that random mappings are taken from."""

    def reserved_ports(self) -> frozenset[int]:
        """Ports that others keep out of automatic assignment."""

    def has_namespace(self, container: str) -> bool:
        """Whether ``/run/netns/NAME`` exists, whoever made it."""

    def made_namespace(self, container: str) -> bool:
        """Whether we made ``/run/netns/NAME``, also in a run that was killed before it could declare the container."""

    def namespace_inode(self, container: str) -> int | None:
        """The inode of the namespace that ``/run/netns/NAME`` leads to; of the host's own for ""; None without one."""

    def look_up(self, containers: Iterable[str]) -> None:
        """These are going to be asked about; who runs some of them is then asked for all at once."""

    def namespace_anchor(self, container: str) -> str | None:
        """What tells the process of ``pid:N``, in its namespace, from others of that number; None for all else."""

    def namespace_path(self, container: str) -> str:
        """The file that stands for the container's namespace; empty where a reference leads nowhere."""

    def routes_in(self, container: str) -> Sequence[Route]:
        """The routes of the main table in the container's namespace."""

    def to_utc(self, local: Any) -> Any:
        """A datetime without an offset, taken as the host's local time."""

    def processes_in(self, container: str) -> list[str]:
        """Processes that live in the container's namespace, as ``name (pid N)``."""

    def foreign_interfaces(self, container: str) -> set[str]:
        """Names of interfaces in an existing namespace that are not ours."""

    def sysctl_faults(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """What keeps values (by path) from being a container's settings, in words; those that will do are left out."""
