# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guides are followed on throwaway hosts, which are made of namespaces."""

from __future__ import annotations

import os

import pytest

pytest.register_assert_rewrite("kernel.support", "docs.guides", "docs.reader", "docs.control_node")

from docs import guides  # noqa: E402 (after it is rewritten)


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid():
        pytest.fail("throwaway hosts need root")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a green result doesn't speak for."""
    unrun = [(name, block) for name in guides.names() for block in guides.blocks(name) if block.needs]
    terminalreporter.section(f"{len(unrun)} blocks of the guides are not run here")
    for name, block in unrun:
        elsewhere = guides.NOWHERE.get(block.needs, "`make machines` runs it")
        terminalreporter.line(f"{name}.rst:{block.line}: needs {block.needs}; {elsewhere}")
