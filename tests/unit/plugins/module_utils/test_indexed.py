# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records are found by their places as a search through all of them would find them, whatever was done before."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._indexed import Indexed
from ansible_collections.bridgework.network.plugins.module_utils._model import Container, Endpoint, PortMapping
from ansible_collections.bridgework.network.plugins.module_utils._state import (
    Containers,
    Endpoints,
    Mappings,
    State,
    address_place,
)

# Few of each, so that records meet.
NETWORKS = ("blue", "red")
NAMES = ("web", "db", "cache")
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
LINKS = ("veth1", "veth2")
ADDRESSES = ("10.1.0.2", "10.1.0.3", "fd00::2")
IDS = ("a" * 64, "b" * 64)


class Words(Indexed):
    """Texts, found by their letters; what is said twice is one place."""

    def places(self, record: str) -> Iterable[Hashable]:
        return record


@dataclass(frozen=True)
class Kind:
    """A kind of dictionary, and by what records are found in it: each place with what a search would look for."""

    make: Callable[..., Indexed]
    keys: st.SearchStrategy[Any]
    records: Callable[[Any], st.SearchStrategy[Any]]
    places: Mapping[Hashable, Callable[[Any], bool]]


def containers(name: str) -> st.SearchStrategy[Container]:
    return st.builds(
        Container,
        id=st.sampled_from(IDS),
        name=st.just(name),
        mode=st.sampled_from(["container", "bridge"]),
        created=st.just("2025-01-01"),
        target=st.sampled_from(["web", "db", None]),
    )


def endpoints(key: tuple[str, str]) -> st.SearchStrategy[Endpoint]:
    return st.builds(
        Endpoint,
        id=st.just("a" * 64),
        network=st.just(key[0]),
        container=st.just(key[1]),
        serial=st.integers(1, 9),
        addresses=st.lists(st.sampled_from(ADDRESSES), max_size=2).map(tuple),
        mac=st.sampled_from(MACS),
        interface=st.just("eth0"),
        host_link=st.sampled_from(LINKS),
    )


def mappings(key: tuple[str, str, int]) -> st.SearchStrategy[PortMapping]:
    mapping = PortMapping("", key[0], 80, key[1], key[2])
    return st.sampled_from(NAMES).map(lambda container: mapping._replace(container=container))


def having(field: str, value: Any) -> Callable[[Any], bool]:
    return lambda record: getattr(record, field) == value


def sharing(target: str | None) -> Callable[[Container], bool]:
    return lambda container: container.mode == "container" and container.target == target


def addressed(network: str, address: str) -> Callable[[Endpoint], bool]:
    return lambda endpoint: endpoint.network == network and address in endpoint.addresses


KINDS = {
    "words": Kind(
        Words,
        st.integers(0, 3),
        lambda _key: st.text("abc", max_size=3),
        {letter: lambda word, letter=letter: letter in word for letter in "abcd"},
    ),
    "containers": Kind(
        Containers,
        st.sampled_from(NAMES),
        containers,
        {
            **{("id", identity): having("id", identity) for identity in IDS},
            **{("target", target): sharing(target) for target in (None, *NAMES)},
        },
    ),
    "endpoints": Kind(
        Endpoints,
        st.tuples(st.sampled_from(NETWORKS), st.sampled_from(NAMES)),
        endpoints,
        {
            **{("network", network): having("network", network) for network in NETWORKS},
            **{("container", name): having("container", name) for name in NAMES},
            **{("mac", mac): having("mac", mac) for mac in MACS},
            **{("host link", link): having("host_link", link) for link in LINKS},
            **{
                address_place(network, address): addressed(network, address)
                for network in NETWORKS
                for address in ADDRESSES
            },
        },
    ),
    "mappings": Kind(
        Mappings,
        st.tuples(
            st.sampled_from(["tcp", "udp"]), st.sampled_from(["0.0.0.0", "192.0.2.7"]), st.sampled_from([80, 443])
        ),
        mappings,
        {("container", name): having("container", name) for name in NAMES},
    ),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

NOTHING = object()


def draw_content(draw: st.DrawFn, kind: Kind) -> dict[Any, Any]:
    keys = draw(st.lists(kind.keys, unique=True, max_size=4))
    return {key: draw(kind.records(key)) for key in keys}


def change(draw: st.DrawFn, kind: Kind, *dictionaries: dict[Any, Any]) -> None:
    """The same is done to each of them, and they say the same of it."""
    key = draw(kind.keys)
    verb = draw(st.sampled_from(["assign", "assign", "delete", "pop", "pop with a default"]))
    record = draw(kind.records(key)) if verb == "assign" else None

    def carry_out(dictionary: dict[Any, Any]) -> Any:
        try:
            if verb == "assign":
                dictionary[key] = record
            elif verb == "delete":
                del dictionary[key]
            elif verb == "pop":
                return dictionary.pop(key)
            else:
                return dictionary.pop(key, NOTHING)
        except KeyError:
            return KeyError
        return None

    said = [carry_out(dictionary) for dictionary in dictionaries]
    assert all(each == said[0] for each in said)


def check(kind: Kind, indexed: Indexed, plain: Mapping[Any, Any]) -> None:
    """Each place leads to what a search through a plain dictionary leads to."""
    assert indexed == plain
    for place, matches in kind.places.items():
        found = [record for record in plain.values() if matches(record)]
        assert sorted(indexed.at(place), key=repr) == sorted(found, key=repr), place
        assert indexed.has(place) == bool(found), place
        assert indexed.count_at(place) == len(found), place


@each_kind
@given(data=st.data())
def test_records_are_found_as_by_a_search(kind: Kind, data: st.DataObject) -> None:
    plain = draw_content(data.draw, kind)
    indexed = kind.make(plain)
    check(kind, indexed, plain)
    for _number in range(data.draw(st.integers(0, 12))):
        change(data.draw, kind, indexed, plain)
        check(kind, indexed, plain)


@each_kind
@given(data=st.data())
def test_copy_is_found_by_itself(kind: Kind, data: st.DataObject) -> None:
    """As runs copy what is declared, and change the copy."""
    original = draw_content(data.draw, kind)
    indexed = kind.make(original)
    copy, plain = kind.make(indexed), dict(original)
    for _number in range(data.draw(st.integers(0, 6))):
        change(data.draw, kind, copy, plain)
    check(kind, copy, plain)
    check(kind, indexed, original)


@each_kind
@given(data=st.data())
def test_what_is_found_is_a_list_of_the_callers_own(kind: Kind, data: st.DataObject) -> None:
    content = draw_content(data.draw, kind)
    indexed = kind.make(content)
    for place in kind.places:
        indexed.at(place).clear()
    check(kind, indexed, content)


def test_records_come_in_the_order_in_which_they_were_put_in() -> None:
    words = Words({2: "a", 1: "ab", 3: "b"})
    words[0] = "ba"
    assert words.at("a") == ["a", "ab", "ba"]
    assert words.at("b") == ["ab", "b", "ba"]


PARTS = ("containers", "endpoints", "mappings")


@st.composite
def states(draw: st.DrawFn) -> State:
    """Of records that need not belong together."""
    content = {part: draw_content(draw, KINDS[part]) for part in PARTS}
    return State(**{part: KINDS[part].make(content[part]) for part in PARTS})


def oldest_first(found: Sequence[Endpoint], wanted: Iterable[Endpoint]) -> bool:
    """Whether these are found, in their order; of two with the same serial either may come first."""
    serials = [endpoint.serial for endpoint in found]
    return serials == sorted(serials) and sorted(found, key=repr) == sorted(wanted, key=repr)


@given(states(), st.data())
def test_state_answers_as_a_search_would(state: State, data: st.DataObject) -> None:
    for _number in range(data.draw(st.integers(0, 6))):
        part = data.draw(st.sampled_from(PARTS))
        change(data.draw, KINDS[part], getattr(state, part))
    every = list(state.endpoints.values())
    for name in NAMES:
        assert oldest_first(state.endpoints_of(name), [each for each in every if each.container == name])
        sharers = [each.name for each in state.containers.values() if sharing(name)(each)]
        assert state.sharers_of(name) == sorted(sharers)
        published = [key for key, mapping in state.mappings.items() if mapping.container == name]
        assert [mapping.key for mapping in state.mappings_of(name)] == sorted(published)
    for network in NETWORKS:
        assert oldest_first(state.endpoints_on(network), [each for each in every if each.network == network])
        for address in ADDRESSES:
            holders = [each for each in every if addressed(network, address)(each)]
            holder = state.holder_of(network, address)
            assert holder in holders if holders else holder is None


@given(states(), st.data())
def test_copy_of_a_state_changes_alone(state: State, data: st.DataObject) -> None:
    content = {part: dict(getattr(state, part)) for part in PARTS}
    copy = state.copy()
    assert copy == state
    for _number in range(data.draw(st.integers(1, 6))):
        part = data.draw(st.sampled_from(PARTS))
        change(data.draw, KINDS[part], getattr(copy, part))
    for part in PARTS:
        check(KINDS[part], getattr(state, part), content[part])
