# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guides are followed on throwaway hosts, which are made of namespaces."""

from __future__ import annotations

import os

import pytest

pytest.register_assert_rewrite("kernel.support", "docs.guides")


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid():
        pytest.fail("throwaway hosts need root")
