# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dictionaries of records that are found by more than their key."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeVar

Key = TypeVar("Key")
Record = TypeVar("Record")


class Indexed(dict[Key, Record]):
    """A dictionary with indexes. It changes by assignment, ``del`` and ``pop`` only.

    The indexes are made when they are first asked for: of most copies nobody does.
    """

    def __init__(self, records: Mapping[Key, Record] | None = None) -> None:
        super().__init__(records or {})
        self._made: dict[Hashable, dict[Key, Record]] | None = None

    def places(self, record: Record) -> Iterable[Hashable]:
        """What a record is found by; a subclass says it."""
        raise NotImplementedError

    def at(self, place: Hashable) -> list[Record]:
        """The records that are found there."""
        return list(self._places.get(place, {}).values())

    def has(self, place: Hashable) -> bool:
        return bool(self._places.get(place))

    def count_at(self, place: Hashable) -> int:
        return len(self._places.get(place, ()))

    @property
    def _places(self) -> dict[Hashable, dict[Key, Record]]:
        if self._made is None:
            found: dict[Hashable, dict[Key, Record]] = {}
            self._made = found
            places = self.places
            for key, record in self.items():
                for place in places(record):
                    found.setdefault(place, {})[key] = record
        return self._made

    def __setitem__(self, key: Key, record: Record) -> None:
        if self._made is not None:
            if key in self:
                self._forget(key)
            for place in self.places(record):
                self._made.setdefault(place, {})[key] = record
        super().__setitem__(key, record)

    def __delitem__(self, key: Key) -> None:
        self._forget(key)
        super().__delitem__(key)

    def pop(self, key: Key, *default: Any) -> Any:
        if key in self:
            self._forget(key)
        return super().pop(key, *default)

    def _forget(self, key: Key) -> None:
        for place in self.places(self[key]) if self._made is not None else ():
            self._places[place].pop(key, None)
