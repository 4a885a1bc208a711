# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose the ports are that the kernel gives to nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils import _reserved
from ansible_collections.bridgework.network.plugins.module_utils._ledger import Ledger
from ansible_collections.bridgework.network.plugins.module_utils._model import PortMapping
from ansible_collections.bridgework.network.plugins.module_utils._state import Mappings, State
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import is_one_plain_line

PORTS = st.frozensets(st.integers(1, 30) | st.integers(1, 65535))


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ((), ""),
        ((22,), "22"),
        ((8001, 8000), "8000-8001"),
        ((1, 3, 4, 5, 7), "1,3-5,7"),
        (range(1, 65536), "1-65535"),
    ],
)
def test_list_is_written_in_ranges(ports: list[int], text: str) -> None:
    assert _reserved.write(ports) == text
    assert _reserved.parse(text) == frozenset(ports)


@given(PORTS)
def test_what_is_written_is_read_back(ports: frozenset[int]) -> None:
    text = _reserved.write(ports)
    assert _reserved.parse(text) == ports and is_one_plain_line(text)


@pytest.mark.parametrize("text", ["65536", "1-99999999999999", "a", "1-b", "-"])
def test_other_texts_are_no_list(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        _reserved.parse(text)


def declared(ports: frozenset[int]) -> State:
    mappings = [PortMapping("web", "tcp", 80, "0.0.0.0", port) for port in ports]
    return State(mappings=Mappings({mapping.key: mapping for mapping in mappings}))


class Host:
    """The list, and what our records say of it, with runs that may be killed at any point."""

    def __init__(self, listed: frozenset[int]) -> None:
        self.listed, self.state, self.ledger = listed, State(), Ledger()

    def publish(self, ports: frozenset[int], killed_after: int = 3) -> None:
        after = declared(ports)
        others = _reserved.of_others(self.listed, self.state, self.ledger)
        announced = self.ledger.copy()
        row = _reserved.announcement(self.state, after, others)
        announced.pending |= {row} if row else set()
        if killed_after > 0:
            self.ledger = announced
        if killed_after > 1:
            self.listed = _reserved.parse(_reserved.wanted(after, others).value)
        if killed_after > 2:
            self.state, self.ledger = after, Ledger(shared_ports=_reserved.shared(after, others))


@given(PORTS, st.lists(st.tuples(PORTS, st.integers(0, 3)), max_size=5))
def test_ports_of_others_are_there_before_and_after_everything(
    others: frozenset[int], runs: list[tuple[frozenset[int], int]]
) -> None:
    host = Host(others)
    for ports, killed_after in runs:
        host.publish(ports, killed_after)
        assert others <= host.listed
        if killed_after == 3:
            assert host.listed == others | ports
    host.publish(frozenset())
    assert host.listed == others


@given(PORTS, PORTS, PORTS)
def test_ports_that_others_add_meanwhile_stay(
    others: frozenset[int], ports: frozenset[int], more: frozenset[int]
) -> None:
    host = Host(others)
    host.publish(ports)
    host.listed |= more
    host.publish(ports)
    host.publish(frozenset())
    assert host.listed == others | (more - ports)
