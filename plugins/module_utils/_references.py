# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users call a network: its name, its ID, or the beginning of its ID."""

from __future__ import annotations

from collections.abc import Mapping

from ._errors import InvalidInput


def named(subject: str, reference: str, ids: Mapping[str, str], shortest: int) -> str | None:
    """The name that the reference stands for; ``ids`` are by name. Beginnings shorter than that are taken for names."""
    if reference in ids:
        return reference
    for name, identity in ids.items():
        if identity == reference:
            return name
    found = [name for name, identity in ids.items() if len(reference) >= shortest and identity.startswith(reference)]
    if len(found) > 1:
        names = ", ".join(f'"{name}"' for name in found)
        raise InvalidInput(subject, "name", reference, f"is the ID prefix of {names}", "give more of it")
    return found[0] if found else None
