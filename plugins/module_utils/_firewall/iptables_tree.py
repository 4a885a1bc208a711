# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many rules as a shallow tree of chains: a packet is shown a few dozen of them, however many there are. Pure.

Rules are sorted by what they ask of a packet, written as a number: their key. Keys that begin with the same bits are a
block, and a block with many rules is a chain that leads on by the next four bits. Which chains there are follows from
the rules alone, not from the order in which they came, so one rule more changes one chain, and now and then splits it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, Protocol

from .._model import PROTOCOLS
from .iptables_text import PREFIX

STEP = 4  # bits by which a chain leads on, so to 16 others at most
FEW = 16  # lines that a chain holds before it leads on
LONGEST_NAME = 28  # XT_EXTENSION_MAXNAMELEN, include/uapi/linux/netfilter/x_tables.h
WAY = re.compile(rf"(?:-d \S+ )?(?:-p \w+ (?:--dport \S+ )?)?-j {PREFIX}\S+")
PROTOCOL_BITS, PORT_BITS = 4, 16
ABOUT_PORT = PROTOCOL_BITS + PORT_BITS


class Block(NamedTuple):
    """All keys that begin as this one does: up to the last bits, which are free."""

    key: int
    free: int


class Rule(NamedTuple):
    """The lines of one rule, with the last of the keys of packets that it is for. One with free bits is for a block.

    Of rules with the same last key the more special ones are less, as tuples go.
    """

    last: int
    free: int
    lines: tuple[str, ...]


class Keys(Protocol):
    """What the bits of keys say."""

    bits: int

    def match(self, block: Block) -> str:
        """What packets have in common that are for a block."""

    def name(self, block: Block) -> str:
        """The block in words."""


class PortKeys:
    """Keys of published ports: protocol, port, address of the host."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._width = address_bits(version)
        self.bits = ABOUT_PORT + self._width

    def rule(self, protocol: str, host_ip: str | None, port: int, lines: tuple[str, ...]) -> Rule:
        """That of a port, on one address or (None) on all."""
        key = PROTOCOLS.index(protocol) << PORT_BITS | port
        if host_ip is None:
            return Rule((key + 1 << self._width) - 1, self._width, lines)
        return Rule(key << self._width | number(host_ip), 0, lines)

    def match(self, block: Block) -> str:
        fixed = self.bits - block.free
        port = port_match(block.key >> self._width, min(fixed, ABOUT_PORT))
        return address_match(self._address(block), fixed - ABOUT_PORT, self.version) + port

    def name(self, block: Block) -> str:
        fixed = self.bits - block.free
        port = port_name(block.key >> self._width, min(fixed, ABOUT_PORT))
        return "-".join((*port, *address_name(self._address(block), fixed - ABOUT_PORT, self.version)))

    def _address(self, block: Block) -> int:
        return block.key & (1 << self._width) - 1


class TargetKeys:
    """Keys of containers' ports: address of the container, protocol, port."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._width = address_bits(version)
        self.bits = self._width + ABOUT_PORT

    def rule(self, protocol: str, address: str, port: int, lines: tuple[str, ...]) -> Rule:
        key = (number(address) << PROTOCOL_BITS | PROTOCOLS.index(protocol)) << PORT_BITS | port
        return Rule(key, 0, lines)

    def match(self, block: Block) -> str:
        port = port_match(self._port(block), ABOUT_PORT - block.free)
        return address_match(block.key >> ABOUT_PORT, self.bits - block.free, self.version) + port

    def name(self, block: Block) -> str:
        port = port_name(self._port(block), ABOUT_PORT - block.free)
        return "-".join((*address_name(block.key >> ABOUT_PORT, self.bits - block.free, self.version), *port))

    def _port(self, block: Block) -> int:
        return block.key & (1 << ABOUT_PORT) - 1


def grow(keys: Keys, root: str, kind: str, rules: Iterable[Rule]) -> dict[str, tuple[str, ...]]:
    """The chains of the rules by their names; that of the root is there without a rule, too.

    ``kind`` begins the names of all others. Of two rules that are for the same packet the more special one comes first.
    """
    chains: dict[str, tuple[str, ...]] = {}
    pending: list[tuple[str, Block, Sequence[Rule]]] = [(root, Block(0, keys.bits), sorted(rules))]
    while pending:
        name, block, held = pending.pop()
        lines: list[str] = []
        for part in [held] if _is_leaf(block, held) else _parts(block, held):
            if part is held or part[-1].free >= block.free or len(part) == len(part[0].lines) == 1:
                lines += chain.from_iterable(rule.lines for rule in part)
                continue
            inner = _block_of(part)
            branch = chain_name(kind + keys.name(inner))
            lines.append(f"{keys.match(inner)}-j {branch}")
            pending.append((branch, inner, part))
        chains[name] = tuple(lines)
    return chains


def is_way(place: str, line: str) -> bool:
    """Whether a line only leads from one chain of a tree to another."""
    return WAY.fullmatch(line) is not None and place.rpartition(" ")[2].startswith(PREFIX)


def _is_leaf(block: Block, rules: Sequence[Rule]) -> bool:
    """Whether there are few lines, or nothing that sets the rules apart."""
    if len(rules) > FEW:
        return rules[0].free >= block.free
    return sum(len(rule.lines) for rule in rules) <= FEW or rules[0].free >= block.free


def _parts(block: Block, rules: Sequence[Rule]) -> Iterator[Sequence[Rule]]:
    """The rules by the next bits of their keys, and last those that are for the whole block."""
    free = block.free - STEP
    end = len(rules)
    while rules[end - 1].free >= block.free:
        end -= 1
    start = 0
    while start < end:
        behind = (rules[start].last >> free) + 1 << free
        middle = bisect_left(rules, (behind,), start, end)  # by the first of their fields
        yield rules[start:middle]
        start = middle
    if end < len(rules):
        yield rules[end:]


def _block_of(rules: Sequence[Rule]) -> Block:
    """The smallest block with all of them."""
    differing = max((rules[0].last ^ rules[-1].last).bit_length(), rules[-1].free)
    free = -(-differing // STEP) * STEP
    return Block(rules[0].last >> free << free, free)


def chain_name(words: str) -> str:
    """A chain of ours by what it is for, or where that is too long, by a hash of it."""
    name = PREFIX + words
    return name if len(name) <= LONGEST_NAME else PREFIX + hashlib.sha256(words.encode()).hexdigest()[:16]


def port_match(key: int, fixed: int) -> str:
    """Of protocol and port, as far as they are fixed."""
    if fixed <= 0:
        return ""
    protocol = f"-p {PROTOCOLS[key >> PORT_BITS]} "
    return protocol if fixed == PROTOCOL_BITS else f"{protocol}--dport {_ports(key, fixed, ':')} "


def port_name(key: int, fixed: int) -> tuple[str, ...]:
    if fixed <= 0:
        return ()
    protocol = PROTOCOLS[key >> PORT_BITS].upper()
    return (protocol,) if fixed == PROTOCOL_BITS else (protocol, _ports(key, fixed, "-"))


def _ports(key: int, fixed: int, between: str) -> str:
    first, size = key & (1 << PORT_BITS) - 1, 1 << ABOUT_PORT - fixed
    return f"{first}{between}{first + size - 1}" if size > 1 else str(first)


def address_match(address: int, fixed: int, version: int) -> str:
    """Of the destination, as far as it is fixed."""
    return f"-d {_subnet(address, fixed, version)} " if fixed > 0 else ""


def address_name(address: int, fixed: int, version: int) -> tuple[str, ...]:
    return (_subnet(address, fixed, version),) if fixed > 0 else ()


def _subnet(address: int, fixed: int, version: int) -> str:
    kind = ipaddress.IPv6Address if version == 6 else ipaddress.IPv4Address
    return f"{kind(address)}/{min(fixed, address_bits(version))}"


def address_bits(version: int) -> int:
    return 128 if version == 6 else 32


@lru_cache(maxsize=4096)
def number(address: str) -> int:
    return int(ipaddress.IPv6Address(address) if ":" in address else ipaddress.IPv4Address(address))
