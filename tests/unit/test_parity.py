# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parity table names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "parity.md"


def rows() -> list[str]:
    return [line for line in TABLE.read_text().splitlines() if line.startswith("|")]


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TABLE.read_text())
    assert links
    assert [link for link in links if not (TABLE.parent / link).exists()] == []


def test_named_tests_exist() -> None:
    code = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))
    defined = set(re.findall(r"def (test_\w+)\(", code))
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    named = {name for row in rows() for name in re.findall(r"\btest_\w+", row)}
    assert named
    assert sorted(named - defined - modules) == []


def test_a_row_that_is_done_names_what_shows_it() -> None:
    """Where nothing is named, the row says that it is not done, or only in part."""
    bare = [row for row in rows() if re.search(r"\| (done|with)\b", row) and "test_" not in row and "tests/" not in row]
    assert bare == []
