# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments to changes of the declared state: all validation, all error texts, no I/O.

Every intent takes a state that it may change (the caller hands it a copy), the facts of the host and its typed
arguments, and returns what it has to say of each item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Item:
    """One object of a list that a task was given; why it could not be had, or what to beware of, where that is so."""

    kind: str
    name: str
    state: str
    error: str | None = None
    warning: str | None = None


def items_of(outcome: Any) -> list[Item]:
    """The items that an intent speaks of: it returns them, or an object that has them."""
    return outcome if isinstance(outcome, list) else outcome.items
