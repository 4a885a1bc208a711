# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values below /proc/sys, which shows the network namespace of the thread that looks."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Mapping, Sequence

from .. import _reserved
from .._errors import KernelError
from .._hostconfig import OWNER_PREFIX, RESERVED_PORTS, Sysctl, Traits
from .._settings import ALONG, link_in, on_link, rank, written_in_turn
from .namespaces import Namespaces

ROOT = "/proc/sys"
TOLD = "/etc/sysctl.d/90-bridgework.conf"  # of the role prepare
PARTS_AT_A_TIME = 300  # of a list that are written at once: of 12 characters at most, where the smallest page has 4096
BITMAP_LENGTH = 1 << 18  # every other one of 65536 ports takes 191052
# What the kernel rewrites when forwarding is switched off: inet_forward_change(), addrconf_fixup_forwarding().
AFTER_FORWARDING_OFF = {"forwarding": "0", "accept_redirects": "1"}


class Sysctls:
    """Reading and writing sysctls in any of a host's namespaces."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self.replaced: dict[tuple[str, str], str] = {}  # what each sysctl held before our first write

    def read(self, namespace: str, paths: Iterable[str]) -> dict[str, str]:
        """The values of those paths that exist."""
        with self._namespaces.inside(namespace):
            values = {path: _read(path) for path in paths}
        return {path: value for path, value in values.items() if value is not None}

    def write_all(self, sysctls: Sequence[Sysctl]) -> None:
        """All in this order; what they replace is remembered as it is before the first of them."""
        for sysctl in sysctls:
            with self._namespaces.inside(sysctl.namespace):
                self.replaced.setdefault(sysctl.key, _read(sysctl.path) or "")
        for sysctl, fault in written_in_turn(sysctls, self.write).items():
            where = f'container "{sysctl.namespace}"' if sysctl.namespace else "host"
            raise KernelError(
                f'{where}: sysctl {sysctl.path} can\'t be set to "{sysctl.value}": it {fault}',
                container=sysctl.namespace,
            )

    def write(self, sysctl: Sysctl) -> str | None:
        """What speaks against the value, in words, or None."""
        with self._namespaces.inside(sysctl.namespace):
            if sysctl.if_there and _read(sysctl.path) is None:
                return None
            return _write(sysctl.path, sysctl.value)

    def tried(self, values: Mapping[str, str]) -> dict[str, str]:
        """What speaks against each value, in words; tried out in a namespace that nobody else sees.

        Settings of links are tried on its loopback, which takes what others take but for a few, such as MTUs.
        """
        if not values:
            return {}
        places = {path: path if link_in(path) is None else on_link(path, "lo") for path in values}
        with self._namespaces.apart():
            faults = written_in_turn(sorted(values, key=rank), lambda path: _write(places[path], values[path]))
            kept = [path for path, place in places.items() if place == path and path not in faults]
            faults.update((path, fault) for path in kept for fault in (_differs(path, values[path]),) if fault)
        return faults

    def followers(self, leader: str) -> dict[str, str]:
        """Host values that switching a forwarding setting on and off again would not bring back."""
        family = leader.split("/")[1]
        paths = [os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/net/{family}/conf/*/forwarding")]
        paths += ALONG.get(leader, ())
        values = {path: _read(path) for path in paths}
        return {
            path: value
            for path, value in values.items()
            if value is not None and path != leader and value != AFTER_FORWARDING_OFF[os.path.basename(path)]
        }


def has_ipv6() -> bool:
    return os.path.isdir(f"{ROOT}/net/ipv6")


def read_traits(unfinished: Collection[str]) -> Traits:
    """What the kernel can do, and does on its own; ``unfinished`` links are what a run that was killed has left."""
    links = [link for link in os.listdir("/sys/class/net") if link not in unfinished]
    reserved = _read(RESERVED_PORTS)
    return Traits(
        ipv6=has_ipv6(),
        heeds_ra=frozenset(filter(_heeds_ra, links)),
        may_heed_ra=frozenset(link for link in links if _accept_ra(link) in ("1", "2")),
        reserved_ports=None if reserved is None else _reserved.parse(reserved),
        told=_told(),
    )


def _told() -> dict[str, str]:
    """What the role prepare has written down for the host's next boots, in the spelling of paths."""
    try:
        with open(TOLD, encoding="utf-8", errors="replace") as file:
            lines = [line.partition("=") for line in file if not line.startswith("#")]
    except OSError:
        return {}
    return {path.strip(): value.strip() for path, sign, value in lines if sign}


def _write(path: str, value: str) -> str | None:
    """What went wrong, in words. A value that reads back otherwise would differ from what is wanted for ever."""
    if _read(path) is None:
        return "does not exist there, or can't be read"
    try:
        if path == RESERVED_PORTS:
            _reserve(value)
        else:
            with open(os.path.join(ROOT, path), "w", encoding="ascii") as file:
                file.write(value + "\n")
    except UnicodeEncodeError:
        return "takes ASCII only"
    except OSError as error:
        return f"is refused by the kernel ({error.strerror})"
    return _differs(path, value)


def _reserve(value: str) -> None:
    """A list that may be longer than the kernel takes, or shows, at a time.

    It takes a page at a time. What is written to its beginning replaces it, all else is added: so where nothing is to
    go, nothing is let go of for a moment. Source: kernel/sysctl.c, proc_do_large_bitmap().
    """
    parts, offset = _missing_parts(value)
    descriptor = os.open(os.path.join(ROOT, RESERVED_PORTS), os.O_WRONLY | os.O_CLOEXEC)
    try:
        for first in range(0, len(parts), PARTS_AT_A_TIME):
            piece = ",".join(parts[first : first + PARTS_AT_A_TIME]) + "\n"
            offset += os.pwrite(descriptor, piece.encode("ascii"), offset)
    finally:
        os.close(descriptor)


def _missing_parts(value: str) -> tuple[list[str], int]:
    """What has to be written for the list to be that value, and where to begin."""
    try:
        asked, there = _reserved.parse(value), _reserved.parse(_read(RESERVED_PORTS) or "")
    except ValueError:  # what is wrong with it is for the kernel to say
        return value.split(","), 0
    return (_reserved.write(asked - there).split(","), 1) if there <= asked else (value.split(","), 0)


def _heeds_ra(link: str) -> bool:
    """Whether the host is configured by what it hears there; bridges and their ports are others' business."""
    if any(os.path.exists(f"/sys/class/net/{link}/{mark}") for mark in ("bridge", "brport")) or _is_ours(link):
        return False
    return link != "lo" and _accept_ra(link) == "1" and _read(f"net/ipv6/conf/{link}/forwarding") == "0"


def _accept_ra(link: str) -> str | None:
    return _read(f"net/ipv6/conf/{link}/accept_ra")


def _is_ours(link: str) -> bool:
    """Whether it is a link of ours, maybe one that was taken out of its bridge."""
    try:
        with open(f"/sys/class/net/{link}/ifalias", encoding="utf-8", errors="replace") as file:
            return file.read().startswith(OWNER_PREFIX)
    except OSError:
        return False


def _differs(path: str, value: str) -> str | None:
    found = _read(path)
    return None if found == value else f'reads back as "{found}"'


def _read(path: str) -> str | None:
    try:
        if path == RESERVED_PORTS:
            return _read_whole(path)
        with open(os.path.join(ROOT, path), encoding="ascii", errors="replace") as file:
            return " ".join(file.read().split())
    except OSError:
        return None


def _read_whole(path: str) -> str:
    """A bitmap is only shown to who asks for all of it at once."""
    descriptor = os.open(os.path.join(ROOT, path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, BITMAP_LENGTH).decode("ascii").strip()
    finally:
        os.close(descriptor)
