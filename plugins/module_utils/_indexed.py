# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dictionaries of records that are found by more than their key."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any


class Indexed(dict):
    """A dictionary with indexes. It changes by assignment, ``del`` and ``pop`` only.

    The indexes are made when they are first asked for: of most copies nobody does.
    """

    def __init__(self, records: Mapping[Any, Any] | None = None) -> None:
        super().__init__(records or {})
        self._made: dict[Hashable, dict[Any, Any]] | None = None

    def places(self, record: Any) -> Iterable[Hashable]:
        """What a record is found by; a subclass says it."""
        raise NotImplementedError

    def at(self, place: Hashable) -> list[Any]:
        """The records that are found there."""
        return list(self._places.get(place, {}).values())

    def has(self, place: Hashable) -> bool:
        return bool(self._places.get(place))

    def count_at(self, place: Hashable) -> int:
        return len(self._places.get(place, ()))

    @property
    def _places(self) -> dict[Hashable, dict[Any, Any]]:
        if self._made is None:
            self._made = found = {}
            places = self.places
            for key, record in self.items():
                for place in places(record):
                    found.setdefault(place, {})[key] = record
        return self._made

    def __setitem__(self, key: Any, record: Any) -> None:
        if self._made is not None:
            if key in self:
                self._forget(key)
            for place in self.places(record):
                self._made.setdefault(place, {})[key] = record
        super().__setitem__(key, record)

    def __delitem__(self, key: Any) -> None:
        self._forget(key)
        super().__delitem__(key)

    def pop(self, key: Any, *default: Any) -> Any:
        if key in self:
            self._forget(key)
        return super().pop(key, *default)

    def _forget(self, key: Any) -> None:
        for place in self.places(self[key]) if self._made is not None else ():
            self._places[place].pop(key, None)
