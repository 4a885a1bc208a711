# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of single values: names, interface names, addresses, subnets. Each raises one clear error."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from ._errors import InvalidInput

if TYPE_CHECKING:
    import netaddr

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
NAME_LENGTH = 128
INTERFACE_LENGTH = 15  # IFNAMSIZ less the closing NUL, include/uapi/linux/if.h
RESERVED_INTERFACES = ("lo", "all", "default")  # "all" and "default" have another meaning below /proc/sys/net
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def name(subject: str, option: str, value: str | None) -> str:
    """A network's or container's name, in Docker's alphabet."""
    if value is None:
        raise InvalidInput(subject, option, "null", "is no name", f"give the {option}, or leave the task out")
    if not NAME.fullmatch(value):
        raise InvalidInput(
            subject,
            option,
            value,
            "is not a valid name",
            "use letters, digits, '_', '.' and '-', and begin with a letter or digit",
        )
    if len(value) > NAME_LENGTH:
        raise InvalidInput(
            subject, option, value, f"is too long ({len(value)} characters)", f"use at most {NAME_LENGTH}"
        )
    return value


def words(values: Iterable[str] | None) -> list[str]:
    """A list's texts; one that was written as a string may have blanks around its commas."""
    return [value.strip(" ") for value in values or ()]


def filter_values(subject: str, key: str, value: Any) -> tuple[str, ...]:
    """The texts of a filter's value or list of values; none where it is null."""
    values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    for each in values:
        if not isinstance(each, (str, int, float)):
            raise InvalidInput(subject, "filters", f"{key}={each}", "is no text", "give a text or a list of texts")
    return tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in values)


def interface(subject: str, option: str, value: str) -> str:
    """A network interface's name, as narrow as the kernel and the firewall tools take it."""
    if len(value) > INTERFACE_LENGTH:
        raise InvalidInput(
            subject,
            option,
            value,
            f"is too long for an interface ({len(value)} characters)",
            f"use at most {INTERFACE_LENGTH}",
        )
    if not NAME.fullmatch(value) or value in RESERVED_INTERFACES:
        raise InvalidInput(
            subject,
            option,
            value,
            "is not a valid interface name",
            "use letters, digits, '_', '.' and '-', begin with a letter or digit, and keep off "
            + ", ".join(RESERVED_INTERFACES),
        )
    return value


def mac(subject: str, option: str, value: str) -> str:
    """A unicast hardware address, in lower case with colons."""
    text = value.lower().replace("-", ":")
    if not MAC.fullmatch(text):
        raise InvalidInput(subject, option, value, "is not a MAC address", 'write it like "02:42:ac:11:00:02"')
    if int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
        raise InvalidInput(
            subject, option, value, "is not a unicast MAC address", "use an even first byte, for example 02"
        )
    return text


def network(subject: str, option: str, value: str) -> netaddr.IPNetwork:
    """A subnet with no host bits set."""
    import netaddr

    try:
        parsed = netaddr.IPNetwork(value) if "/" in value else None
    except (netaddr.AddrFormatError, ValueError):
        parsed = None
    if parsed is None:
        raise InvalidInput(subject, option, value, "is not a subnet", 'write it like "192.168.10.0/24"')
    if parsed.ip != parsed.network:
        raise InvalidInput(subject, option, value, "has host bits set", f"use {parsed.cidr}")
    return parsed


def address(subject: str, option: str, value: str) -> netaddr.IPAddress:
    """A single address, without a prefix length."""
    import netaddr

    try:
        if not isinstance(value, str):
            raise ValueError
        return netaddr.IPAddress(value, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError) as error:
        raise InvalidInput(subject, option, value, "is not an IP address", "write it like 192.168.10.5") from error


def sysctl(subject: str, key: str) -> str:
    """A sysctl of a network namespace, as its path below /proc/sys."""
    path = key if "/" in key else key.replace(".", "/")
    if not re.fullmatch(r"net(/[A-Za-z0-9_.-]+)+", path) or "/../" in path + "/" or "/./" in path + "/":
        raise InvalidInput(
            subject, "sysctls", key, "is not a sysctl of the network namespace", 'use a key that begins with "net."'
        )
    return path


def choice(subject: str, option: str, value: str, allowed: Collection[str], remedy: str | None = None) -> str:
    """One of a fixed set of words."""
    if value not in allowed:
        raise InvalidInput(subject, option, value, "is unknown", remedy or "use one of: " + ", ".join(allowed))
    return value
