# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make test` says is true: of parts that fail, and of those that were never come to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PARTS = Path(__file__).resolve().parents[2] / "scripts" / "parts"
# As the kernel does where memory runs out: the process that runs the part's row is gone.
MAKEFILE = """
good:
\t@true
bad:
\t@false
deadly:
\t@kill -9 $$(ps -o ppid= -p $$PPID)
"""


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("good -- good good", "3 passed, 0 failed"),
        ("good bad -- good", "2 passed, 1 failed"),
        ("good -- deadly good", "1 passed, 2 failed"),
        ("deadly -- good", "1 passed, 1 failed"),
    ],
)
def test_all_parts_count(tmp_path: Path, words: str, verdict: str) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(PARTS, tmp_path / "scripts")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    done = subprocess.run(
        [tmp_path / "scripts" / "parts", *words.split()], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines()[-1].startswith(verdict), done.stdout + done.stderr
    assert (done.returncode == 0) == (" 0 failed" in verdict)
