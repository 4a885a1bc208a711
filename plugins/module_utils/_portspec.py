# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's syntax of published and exposed ports, parsed.

``[[ADDRESS:]HOST_PORT[-LAST]:]CONTAINER_PORT[-LAST][/PROTOCOL]``, with IPv6 addresses in brackets; an empty HOST_PORT
behind an address asks for a random one. Source: the ``--publish`` option in the reference of ``docker run``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from . import _validate
from ._errors import InvalidInput, quoted
from ._model import PROTOCOLS, HostPort, socket_text

PORTS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", re.ASCII)
SYNTAX = (
    'write it like "8080", "8000:8080", "192.0.2.7::8080", "192.0.2.7:8000:8080", "[2001:db8::7]:53:53/udp" or '
    '"7000-7010:7000-7010/sctp"'
)
LISTENING_SYNTAX = 'write it like "8080", "53/udp", "192.0.2.7:53/udp", "[2001:db8::7]:53/udp" or "7000-7010"'
# What each option calls such a text, and how it is written.
FORMS = {
    "published_ports": ("is not a port mapping", SYNTAX),
    "exposed_ports": ("is not a container port", 'write it like "8080", "53/udp" or "7000-7010"'),
    "ports": ("is no port of the host", LISTENING_SYNTAX),
}


@dataclass(frozen=True)
class PublishedPort:
    """One container port and the host ports that it may have.

    ``host_ports`` holds the first and last candidate, both included; None asks for a random port. Without ``host_ip``
    it is published on every address, in each family that the container has.
    """

    protocol: str
    container_port: int
    host_ip: str | None = None
    host_ports: tuple[int, int] | None = None

    @property
    def shown(self) -> str:
        """As users write it."""
        first, last = self.host_ports or ("", "")
        host = f"{first}-{last}" if first != last else f"{first}"
        if self.host_ip is not None:
            host = socket_text(self.host_ip, host)
        return ":".join(filter(None, (host, f"{self.container_port}/{self.protocol}")))


def parse_published(subject: str, texts: Iterable[str]) -> list[PublishedPort]:
    """All ports that the texts publish, one entry a container port, in the order given."""
    return [port for text in texts for port in _published(subject, text)]


def parse_exposed(subject: str, texts: Iterable[str]) -> list[PublishedPort]:
    """All ports that the texts expose (``80``, ``53/udp``, ``7000-7002``), each to be given a random host port."""
    found: list[PublishedPort] = []
    for text in texts:
        body, protocol = _split_protocol(subject, "exposed_ports", text)
        first, last = _ports(subject, "exposed_ports", text, body)
        found.extend(PublishedPort(protocol, port) for port in range(first, last + 1))
    return found


def parse_listening(subject: str, texts: Iterable[str]) -> list[HostPort]:
    """All ports of the host that the texts name (``8080``, ``53/udp``, ``192.0.2.7:53/udp``, ``7000-7002``).

    Without an address they are on all of either family; ``0.0.0.0`` and ``[::]`` are those of one.
    """
    found: set[HostPort] = set()
    for text in texts:
        body, protocol = _split_protocol(subject, "ports", text)
        before, colon, ports = body.rpartition(":")
        first, last = _ports(subject, "ports", text, ports)
        host_ip = _host_address(subject, before.strip("[]"), "ports") if colon else ""
        found.update(HostPort(protocol, host_ip, port) for port in range(first, last + 1))
    return sorted(found)


def _published(subject: str, text: str) -> list[PublishedPort]:
    body, protocol = _split_protocol(subject, "published_ports", text)
    host_ip, host, container = _split_fields(subject, text, body)
    first, last = _ports(subject, "published_ports", text, container)
    count = last - first + 1
    if not host:
        return [PublishedPort(protocol, first + i, host_ip, None) for i in range(count)]
    host_first, host_last = _ports(subject, "published_ports", text, host)
    host_count = host_last - host_first + 1
    if count == 1:
        return [PublishedPort(protocol, first, host_ip, (host_first, host_last))]
    if host_count != count:
        raise InvalidInput(
            subject,
            "published_ports",
            text,
            f"has ranges of unequal length ({host_count} host ports, {count} container ports)",
            "make them equally long, or name a single container port",
        )
    return [PublishedPort(protocol, first + i, host_ip, (host_first + i, host_first + i)) for i in range(count)]


def _split_protocol(subject: str, option: str, text: str) -> tuple[str, str]:
    body, slash, protocol = text.partition("/")
    if not slash:
        return body, PROTOCOLS[0]
    protocol = protocol.lower()
    if protocol not in PROTOCOLS:
        raise InvalidInput(
            subject, option, text, f"has the unknown protocol {quoted(protocol)}", "use one of: " + ", ".join(PROTOCOLS)
        )
    return body, protocol


def _split_fields(subject: str, text: str, body: str) -> tuple[str | None, str, str]:
    """Host address (canonical, or None), host ports and container ports, as yet unparsed."""
    bracketed = re.fullmatch(r"\[([^]]*)\]:(.*)", body)
    fields = [bracketed.group(1), *bracketed.group(2).split(":")] if bracketed else body.split(":")
    if len(fields) == 3 and fields[0]:
        return _host_address(subject, fields[0]), fields[1], fields[2]
    if bracketed or len(fields) > 2 or (len(fields) == 2 and not fields[0]):
        raise InvalidInput(subject, "published_ports", text, "is not a port mapping", SYNTAX)
    return None, "" if len(fields) == 1 else fields[0], fields[-1]


def _host_address(subject: str, text: str, option: str = "published_ports") -> str:
    address = _validate.address(subject, option, text)
    if address.version == 6 and address.is_ipv4_mapped():
        plain = address.ipv4()
        raise InvalidInput(subject, option, text, "is an IPv4 address in the form of an IPv6 one", f"write {plain}")
    return str(address)


def _ports(subject: str, option: str, text: str, ports: str) -> tuple[int, int]:
    match = PORTS.fullmatch(ports)
    if not match:
        raise InvalidInput(subject, option, text, *FORMS[option])
    first, last = int(match.group(1)), int(match.group(2) or match.group(1))
    for port in (first, last):
        if not 1 <= port <= 65535:
            raise InvalidInput(subject, option, text, f"has the port {port}", "use ports from 1 to 65535")
    if last < first:
        raise InvalidInput(subject, option, text, "has a range that runs backwards", f"write {last}-{first}")
    return first, last
