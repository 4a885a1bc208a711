# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of the playbook on both sides, which run at the same time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from compare import sides, tasks
from compare.sides import Result

Results = Mapping[tuple[str, str], Result]


def _run(name: str) -> Results:
    with sides.SIDES[name]() as side:
        return tasks.results(side, tasks.playbook(name))


@pytest.fixture(scope="session")
def outcomes() -> dict[str, Results]:
    """By the side's name, the results by task and phase."""
    if os.geteuid():
        pytest.fail("throwaway hosts need root")
    with ThreadPoolExecutor() as pool:
        return dict(zip(sides.SIDES, pool.map(_run, sides.SIDES), strict=True))
