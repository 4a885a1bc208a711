# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of a host that a task might change, as a flat table of texts: two of them compare at a glance."""

from __future__ import annotations

import ctypes
import glob
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from typing import Any

NAMES = "/run/netns"
STATE = "/var/lib/bridgework/state.db"
OWN = "/proc/self/ns/net"
# Which the kernel changes by itself, moments after something else did.
VOLATILE = re.compile(r"operstate|.*_timer|link_netnsid|.*valid_life_time|.*preferred_life_time|tentative|.*\.state")
IPV6 = ("disable_ipv6", "accept_ra", "forwarding", "accept_redirects")
FLAGS = ("UP", "PROMISC", "ALLMULTI", "NOARP")

_libc = ctypes.CDLL(None, use_errno=True)


def take() -> dict[str, str]:
    """The host that this process is in: "namespace/thing key" → value."""
    found = dict(_files())
    found.update(_firewall())
    found.update(_state())
    home = os.open(OWN, os.O_RDONLY)
    looked_into = set()
    for name in ("", *_names()):
        path = f"{NAMES}/{name}" if name else OWN
        inode = os.stat(path).st_ino
        if inode in looked_into or not _enter(path):
            continue
        looked_into.add(inode)
        found.update((f"{name}/{key}", value) for key, value in (*_links(), *_sysctls()))
        _libc.setns(home, 0)
    return found


def _names() -> list[str]:
    return sorted(os.listdir(NAMES)) if os.path.isdir(NAMES) else []


def _enter(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return _libc.setns(descriptor, 0x40000000) == 0  # CLONE_NEWNET
    finally:
        os.close(descriptor)


def _files() -> Iterator[tuple[str, str]]:
    for name in _names():
        status = os.stat(f"{NAMES}/{name}")
        yield f"name {name}", f"{status.st_dev}:{status.st_ino}"
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split()[4] for line in file]
    for name in _names():
        yield f"mounts {name}", str(mounts.count(f"{NAMES}/{name}"))
    for directory in ("/var/lib/bridgework", "/run/bridgework"):
        for path in sorted(glob.glob(f"{directory}*/**", recursive=True)):
            yield f"file {path}", oct(os.stat(path).st_mode)


def _firewall() -> Iterator[tuple[str, str]]:
    for tool in ("iptables", "ip6tables"):
        saved = subprocess.run([f"{tool}-save"], capture_output=True, text=True, check=False).stdout
        for table, lines in tables(saved).items():
            for number, line in enumerate(lines):
                yield f"{tool} {table} {number:03}", line
    # The elements of a set come in any order.
    for family in ("bridge", "inet"):
        listed = subprocess.run(["nft", "-n", "list", "ruleset", family], capture_output=True, text=True, check=False)
        words = (re.sub(r"elements = \{|[,}]", "", line).strip() for line in listed.stdout.splitlines())
        for number, line in enumerate(sorted(words)):
            yield f"nft {family} {number:04}", line


def tables(saved: str) -> dict[str, list[str]]:
    """The lines of iptables-save by table, without comments and counters.

    A table that holds nothing but built-in chains as they are from birth is the same as no table.
    """
    found: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
            found[table] = []
        elif not line.startswith(("#", "COMMIT")):
            found[table].append(re.sub(r" \[\d+:\d+\]$", "", line))
    return {table: lines for table, lines in found.items() if not all(line.endswith(" ACCEPT") for line in lines)}


def _state() -> Iterator[tuple[str, str]]:
    if not os.path.exists(STATE):
        return
    try:
        with closing(sqlite3.connect(f"file:{STATE}?mode=ro", uri=True)) as connection:
            rows = [line for line in connection.iterdump() if line.startswith("INSERT")]
    except sqlite3.Error as error:
        rows = [str(error)]
    for row in sorted(rows):
        yield f"state {row}", ""


def _links() -> Iterator[tuple[str, str]]:
    shown = subprocess.run(
        ["ip", "-details", "-json", "-batch", "-"],
        input="address show\nroute show table all\n",
        capture_output=True,
        text=True,
        errors="replace",  # a link's alias is bytes of any kind
        check=True,
    ).stdout
    # One JSON text after the other; the routes' may be missing.
    links, *routes = (json.loads(line) for line in shown.splitlines() if line.strip())
    for link in links:
        yield from _flat(f"link {link['ifname']}", link)
    for route in (route for each in routes for route in each):
        route.pop("expires", None)
        route["flags"] = [flag for flag in route.get("flags", []) if flag not in ("linkdown", "dead")]
        if not route["dst"].startswith(("fe80", "ff00", "multicast")) and route.get("type") not in ("local", "anycast"):
            yield f"route {json.dumps(route, sort_keys=True)}", ""


def _flat(prefix: str, thing: Any) -> Iterator[tuple[str, str]]:
    for key, value in thing.items():
        name = f"{prefix}.{key}" if "." in prefix else f"{prefix} .{key}"
        if key == "flags":
            value = [flag for flag in value if flag in FLAGS]
        if VOLATILE.fullmatch(key) or VOLATILE.fullmatch(name.rpartition(" ")[2]):
            continue
        if key == "addr_info":
            for address in (each for each in value if each["family"] == "inet" or each["scope"] == "global"):
                where = f"{prefix} address {address.get('local')}/{address.get('prefixlen')}"
                yield from _flat(where, {k: v for k, v in address.items() if k not in ("local", "prefixlen")})
        elif isinstance(value, dict):
            yield from _flat(name, value)
        else:
            yield name, json.dumps(value)


def _sysctls() -> Iterator[tuple[str, str]]:
    root = "/proc/sys/net"
    paths = ["ipv4/ip_forward", "ipv4/ip_unprivileged_port_start", "ipv4/ip_local_reserved_ports"]
    for link in os.listdir(f"{root}/ipv4/conf"):
        paths += [f"ipv4/conf/{link}/{name}" for name in os.listdir(f"{root}/ipv4/conf/{link}")]
    if os.path.isdir(f"{root}/ipv6"):
        paths += [f"ipv6/conf/{link}/{name}" for link in os.listdir(f"{root}/ipv6/conf") for name in IPV6]
    for path in paths:
        yield f"sysctl net/{path}", _read(f"{root}/{path}")


def _read(path: str) -> str:
    # Hundreds of them: open() costs three times as much.
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # write-only
        return ""
    try:
        return os.read(descriptor, 4096).decode().strip()
    except OSError:  # without a value
        return ""
    finally:
        os.close(descriptor)
