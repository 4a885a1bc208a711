# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's tables: dumps that a change interrupts, or that fail, as no test can have a kernel do."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._errors import HostError, KernelError
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import HOST
from ansible_collections.bridgework.network.plugins.module_utils._kernel.tables import (
    ATTEMPTS,
    AddressRow,
    LinkRow,
    RouteRow,
    Tables,
)

MULTI, INTERRUPTED = 0x2, 0x10
ERROR, DONE = 2, 3
NEWLINK, NEWADDR, NEWROUTE = 16, 20, 24


def message(kind: int, body: bytes, flags: int = MULTI) -> bytes:
    whole = struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
    return whole + b"\0" * (-len(whole) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def link(index: int, name: str, *attributes: bytes, up: bool = True) -> bytes:
    head = struct.pack("=BxHiII", 0, 1, index, int(up), 0)
    return message(NEWLINK, head + attribute(3, name.encode() + b"\0") + b"".join(attributes))


ADDRESS = message(
    NEWADDR,
    struct.pack("=BBBBI", socket.AF_INET, 24, 0, 0, 2) + attribute(2, bytes([10, 1, 0, 2])) + attribute(1, b"1234"),
)


def route(table: int, *attributes: bytes, family: int = socket.AF_INET) -> bytes:
    return message(NEWROUTE, struct.pack("=BBBBBBBBI", family, 16, 0, 0, table, 0, 0, 0, 0) + b"".join(attributes))


OIF, GATEWAY = attribute(4, struct.pack("=I", 2)), attribute(5, bytes([10, 1, 0, 1]))
DESTINATION = attribute(1, bytes([10, 9, 0, 0]))
ALL = message(DONE, struct.pack("=i", 0))


class Socket:
    """Gives what the kernel would send, a datagram at a time."""

    def __init__(self, *datagrams: bytes) -> None:
        self._datagrams, self.closed = list(datagrams), False

    def send(self, request: bytes) -> None:
        (length,) = struct.unpack_from("=I", request)
        assert length == len(request)

    def recv(self, _most: int) -> bytes:
        return self._datagrams.pop(0)

    def close(self) -> None:
        self.closed = True


class Kernel(Tables):
    """One that answers in turn with these."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.sockets = list(answers), []

    def _open(self, namespace: str) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.sockets.append(Socket(*answer))
        return self.sockets[-1]


def test_rows_of_all_datagrams_are_found() -> None:
    found = Kernel([link(1, "lo") + link(2, "eth0"), link(3, "eth1"), ALL]).links("web")
    assert [(row.index, row.name, row.up, row.mac, row.lower_netns) for row in found] == [
        (1, "lo", True, "", None),
        (2, "eth0", True, "", None),
        (3, "eth1", True, "", None),
    ]


def test_link_has_all_that_it_is_compared_by() -> None:
    details = attribute(1, b"bridge\0") + attribute(2 | 0x8000, attribute(9, struct.pack("=H", 1 << 14)))
    port = attribute(4, b"bridge\0") + attribute(5 | 0x8000, attribute(4, b"\1") + attribute(33, b"\1"))
    names = attribute(53, b"first\0") + attribute(53, b"second\0")
    body = (
        *(attribute(1, bytes(range(6))), attribute(4, struct.pack("=I", 1400)), attribute(10, struct.pack("=I", 7))),
        *(attribute(5, struct.pack("=I", 9)), attribute(37, struct.pack("=i", 0)), attribute(20, b"\xffmine\0")),
        *(attribute(18 | 0x8000, details + port), attribute(52 | 0x8000, names)),
    )
    assert Kernel([link(4, "bw0", *body, up=False), ALL]).links(HOST) == [
        LinkRow(
            index=4,
            name="bw0",
            kind="bridge",
            alias="\ufffdmine",
            hardware=1,
            up=False,
            mtu=1400,
            mac="00:01:02:03:04:05",
            master=7,
            lower=9,
            lower_netns=0,
            variant="",
            group_mask=1 << 14,
            hairpin=True,
            isolated=True,
            other_names=("first", "second"),
        )
    ]


@pytest.mark.parametrize(
    ("kind", "value", "variant"),
    [
        ("macvlan", struct.pack("=I", 4), "bridge"),
        ("ipvlan", struct.pack("=H", 2), "l3s"),
        ("ipvlan", struct.pack("=H", 9), "9"),
        ("vlan", struct.pack("=H", 10), "10"),
        ("vxlan", struct.pack("=I", 10), ""),
    ],
)
def test_variant_is_the_mode_or_the_vlan(kind: str, value: bytes, variant: str) -> None:
    info = attribute(18, attribute(1, kind.encode() + b"\0") + attribute(2, attribute(1, value)))
    (row,) = Kernel([link(4, "x", info), ALL]).links(HOST)
    assert row.variant == variant


def test_address_is_the_nearer_end_of_a_link_from_point_to_point() -> None:
    assert Kernel([ADDRESS, ALL]).addresses("web") == [AddressRow(2, "10.1.0.2", 24)]


def test_routes_are_those_of_the_main_table() -> None:
    large = attribute(15, struct.pack("=I", 1000))
    answer = [
        route(254, OIF, GATEWAY) + route(254, OIF, DESTINATION),
        route(255, OIF, DESTINATION) + route(0, OIF, large) + route(254, OIF, family=128),
        ALL,
    ]
    assert Kernel(answer).routes("web") == [RouteRow(4, 2, "", "10.1.0.1"), RouteRow(4, 2, "10.9.0.0/16", "")]


OUTDATED = [message(NEWLINK, struct.pack("=BxHiII", 0, 1, 9, 1, 0), MULTI | INTERRUPTED), ALL]


@pytest.mark.parametrize("interruptions", [0, 1, ATTEMPTS - 1])
def test_interrupted_dump_is_asked_for_again_until_it_is_whole(interruptions: int) -> None:
    kernel = Kernel(*[OUTDATED] * interruptions, [link(1, "lo"), ALL])
    assert [row.name for row in kernel.links("web")] == ["lo"]
    assert not kernel.answers
    assert all(each.closed for each in kernel.sockets)


def test_mark_on_the_last_message_counts_too() -> None:
    kernel = Kernel([link(9, "gone0"), message(DONE, struct.pack("=i", 0), MULTI | INTERRUPTED)], [ALL])
    assert kernel.links("web") == []


def said(kernel: Kernel, namespace: str = "web") -> str:
    with pytest.raises((KernelError, HostError)) as caught:
        kernel.links(namespace)
    assert all(each.closed for each in kernel.sockets)
    return str(caught.value)


@pytest.mark.parametrize(("namespace", "where"), [(HOST, "host"), ("web", 'container "web"')])
def test_dump_that_is_never_whole_is_one_error(namespace: str, where: str) -> None:
    text = f"{where}: the kernel's tables can't be read: they change all the time; run the task again"
    assert said(Kernel(*[OUTDATED] * ATTEMPTS), namespace) == text


@pytest.mark.parametrize("kind", [ERROR, DONE])
def test_refusal_of_the_kernel_is_one_error(kind: int) -> None:
    answer = [message(kind, struct.pack("=i", -errno.EPERM))]
    text = f"container \"web\": the kernel's tables can't be read: {os.strerror(errno.EPERM)}; run the task again"
    assert said(Kernel(answer)) == text


def test_namespace_that_is_gone_is_named() -> None:
    assert said(Kernel(FileNotFoundError())) == 'container "web": its namespace is gone; run the task again'
