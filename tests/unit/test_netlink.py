# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps of the kernel's tables that a change interrupts: no test can have a kernel do that so often and no oftener."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyroute2
import pytest
from pyroute2.netlink import NLM_F_DUMP_INTR, NLM_F_MULTI
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted

from ansible_collections.bridgework.network.plugins.module_utils._errors import KernelError
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import HOST, Address, Route
from ansible_collections.bridgework.network.plugins.module_utils._kernel.netlink import DUMP_ATTEMPTS, Netlink


class Message(dict):
    """Fields and attributes alike."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(header={"flags": NLM_F_MULTI}, **fields)

    def get_attr(self, name: str) -> Any:
        return self.get(name)


TABLES = {
    "links": [Message(index=1, IFLA_IFNAME="lo"), Message(index=2, IFLA_IFNAME="eth0")],
    "addresses": [
        Message(index=1, IFA_LOCAL="127.0.0.1", prefixlen=8),
        Message(index=2, IFA_LOCAL="10.1.0.2", prefixlen=24),
    ],
    "routes": [Message(RTA_OIF=2, RTA_DST="10.9.0.0", dst_len=16, RTA_GATEWAY="10.1.0.1", family=2, table=254)],
}
# What had been sent when the change came, and is true no more.
OUTDATED = {
    "links": Message(index=3, IFLA_IFNAME="gone0"),
    "addresses": Message(index=2, IFA_LOCAL="10.1.0.99", prefixlen=24),
    "routes": Message(RTA_OIF=2, RTA_DST="10.99.0.0", dst_len=16, RTA_GATEWAY="10.1.0.1", family=2, table=254),
}


class Socket:
    """What we use of pyroute2's."""

    def __init__(self, kernel: Kernel, namespace: str) -> None:
        self.namespace, self.closed = namespace, False
        self._kernel, self._broken_off = kernel, False

    def get_links(self) -> Iterator[Message]:
        return self._dump("links")

    def get_addr(self) -> Iterator[Message]:
        return self._dump("addresses")

    def get_routes(self, **_filter: int) -> Iterator[Message]:
        return self._dump("routes")

    def close(self) -> None:
        self.closed = True

    def _dump(self, table: str) -> Iterator[Message]:
        assert not self.closed
        assert not self._broken_off, "the rest of the last dump is taken for the answer"
        self._kernel.asked += 1
        if self._kernel.interruptions:
            self._kernel.interruptions -= 1
            self._broken_off = True
            yield OUTDATED[table]
            raise NetlinkDumpInterrupted()
        yield from TABLES[table]


class Kernel:
    """One that interrupts so many dumps; with the namespaces in which it opens sockets."""

    def __init__(self) -> None:
        self.interruptions = self.asked = 0
        self.sockets: list[Socket] = []
        self._namespace = HOST

    @contextmanager
    def inside(self, namespace: str) -> Iterator[None]:
        self._namespace = namespace
        yield
        self._namespace = HOST

    def open(self, **_options: bool) -> Socket:
        self.sockets.append(Socket(self, self._namespace))
        return self.sockets[-1]

    def opened(self, namespace: str) -> list[Socket]:
        return [socket for socket in self.sockets if socket.namespace == namespace]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(pyroute2, "IPRoute", kernel.open)
    return kernel


@pytest.fixture
def netlink(kernel: Kernel) -> Netlink:
    return Netlink(kernel)  # type: ignore[arg-type]


NAMES = {2: "eth0"}
READS: dict[str, tuple[Callable[[Netlink], Any], Any]] = {
    "links": (lambda netlink: netlink.links("web"), TABLES["links"]),
    "addresses": (lambda netlink: netlink.addresses("web", NAMES), [Address("web", "eth0", "10.1.0.2/24")]),
    "addresses of the host": (lambda netlink: netlink.local_addresses(), {"127.0.0.1", "10.1.0.2"}),
    "routes": (lambda netlink: netlink.routes("web", NAMES), [Route("web", "eth0", "10.9.0.0/16", "10.1.0.1")]),
    "foreign routes": (lambda netlink: netlink.foreign_routes("web", lambda _link: False), [("10.9.0.0/16", False)]),
}


@pytest.mark.parametrize(("read", "found"), READS.values(), ids=READS)
@pytest.mark.parametrize("interruptions", [0, 1, DUMP_ATTEMPTS - 1])
def test_interrupted_dump_is_asked_for_again_until_it_is_whole(
    kernel: Kernel, netlink: Netlink, read: Callable[[Netlink], Any], found: Any, interruptions: int
) -> None:
    kernel.interruptions = interruptions
    assert read(netlink) == found
    assert kernel.interruptions == 0


def test_socket_of_an_interrupted_dump_is_dropped(kernel: Kernel, netlink: Netlink) -> None:
    kernel.interruptions = 2
    for _again in range(2):
        netlink.links("web")
    assert [socket.closed for socket in kernel.opened("web")] == [True, True, False]


def test_sockets_of_other_namespaces_stay(kernel: Kernel, netlink: Netlink) -> None:
    netlink.links(HOST)
    netlink.links("db")
    kernel.interruptions = 1
    for namespace in ("web", HOST, "db"):
        netlink.links(namespace)
    assert [[socket.closed for socket in kernel.opened(name)] for name in (HOST, "db")] == [[False], [False]]


@pytest.mark.parametrize(("namespace", "where"), [(HOST, "host"), ("web", 'container "web"')])
def test_dump_that_is_never_whole_is_one_error(kernel: Kernel, netlink: Netlink, namespace: str, where: str) -> None:
    kernel.interruptions = DUMP_ATTEMPTS
    with pytest.raises(KernelError) as caught:
        netlink.links(namespace)
    assert str(caught.value) == f"{where}: the kernel's tables can't be read: dump interrupted; run the task again"
    assert kernel.asked == DUMP_ATTEMPTS
    assert all(socket.closed for socket in kernel.sockets)


def test_tables_can_be_read_after_that_error(kernel: Kernel, netlink: Netlink) -> None:
    kernel.interruptions = DUMP_ATTEMPTS
    with pytest.raises(KernelError):
        netlink.links("web")
    assert netlink.links("web") == TABLES["links"]


def marked(socket: Socket, table: str) -> Iterator[Message]:
    """As pyroute2 0.9 hands out a dump that was interrupted: whole, with the kernel's mark on the rest of it."""
    socket._kernel.asked += 1
    if socket._kernel.interruptions:
        socket._kernel.interruptions -= 1
        message = Message(**{key: value for key, value in TABLES[table][0].items() if key != "header"})
        message["header"] = {"flags": NLM_F_DUMP_INTR}
        yield message
        return
    yield from TABLES[table]


def test_dump_that_is_marked_as_interrupted_is_asked_for_again(
    kernel: Kernel, netlink: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Socket, "_dump", marked)
    kernel.interruptions = 1
    assert netlink.links("web") == TABLES["links"]
    assert kernel.asked == 2
