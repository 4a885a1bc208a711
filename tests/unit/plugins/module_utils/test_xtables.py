# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The older iptables' tables as the kernel gives them out: all of a rule tells, but for its counters."""

from __future__ import annotations

import errno
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._kernel import xtables
from ansible_collections.bridgework.network.plugins.module_utils._kernel.xtables import KINDS, Kind, without_counters

Rule = tuple[bytes, bytes, bytes]  # what is before its counters, these, and what is behind


def written(kind: Kind, rules: list[Rule]) -> bytes:
    """As struct ipt_entry and ip6t_entry have it."""
    text = b""
    for head, counters, tail in rules:
        length = struct.pack("=H", kind.counters + 16 + len(tail))
        head = head[: kind.next_offset] + length + head[kind.next_offset + 2 : kind.counters]
        text += head + counters + tail
    return text


HEADS = st.binary(min_size=152, max_size=152)
COUNTERS = st.binary(min_size=16, max_size=16)
TAILS = st.binary(max_size=64)
RULES = st.lists(st.tuples(HEADS, COUNTERS, TAILS), max_size=5)


@pytest.mark.parametrize("kind", KINDS)
@given(rules=RULES, counters=COUNTERS)
def test_counters_make_no_difference(kind: Kind, rules: list[Rule], counters: bytes) -> None:
    later = [(head, counters, tail) for head, _counters, tail in rules]
    assert without_counters(kind, written(kind, rules)) == without_counters(kind, written(kind, later))


@pytest.mark.parametrize("kind", KINDS)
@given(rules=RULES.filter(bool), data=st.data())
def test_anything_else_does(kind: Kind, rules: list[Rule], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(rules) - 1))
    head, counters, tail = rules[number]
    others = [*rules[:number], (head, counters, tail + b"\x01"), *rules[number + 1 :]]
    assert without_counters(kind, written(kind, rules)) != without_counters(kind, written(kind, others))


@given(rules=st.binary(min_size=256, max_size=4096))
def test_what_is_no_table_comes_to_an_end_too(rules: bytes) -> None:
    for kind in KINDS:
        with suppress(struct.error):  # it ends within a rule
            assert len(without_counters(kind, rules)) >= len(rules)


def test_table_that_grows_between_two_questions_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, asked = [8, 16], []

    def ask(_link: object, _level: int, option: int, question: bytes) -> bytes:
        if option == xtables.SO_GET_INFO:
            return xtables.INFO.pack(b"nat", *range(11), 1, sizes[min(len(asked), 1)])
        asked.append(len(question) - xtables.ENTRIES.size)
        if asked == [8]:
            raise BlockingIOError(errno.EAGAIN, "it is not of that size")
        return question[: xtables.ENTRIES.size] + b"r" * 16

    monkeypatch.setattr(xtables, "_ask", ask)
    monkeypatch.setattr(xtables.socket, "socket", NoSocket)
    assert xtables.read_table(KINDS[0], b"nat") == b"r" * 16
    assert asked == [8, 16]


class NoSocket:
    def __init__(self, *_arguments: object) -> None: ...

    def __enter__(self) -> NoSocket:
        return self

    def __exit__(self, *_exception: object) -> None: ...


def test_host_without_such_tables_has_no_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = [kind._replace(names="/nonexistent") for kind in KINDS]
    monkeypatch.setattr(xtables, "KINDS", nowhere)
    assert xtables.read_fingerprint() == ""
