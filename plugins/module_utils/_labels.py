# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters by label: ``key``, or ``key=value``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def has_labels(labels: Mapping[str, str], wanted: Iterable[str]) -> bool:
    """Whether all of the wanted labels are there."""
    return all(_has(labels, *each.partition("=")) for each in wanted)


def _has(labels: Mapping[str, str], key: str, equals: str, value: str) -> bool:
    return key in labels and (not equals or labels[key] == value)
