# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit tests touch no host: they give the engine plain values and look at what it returns."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("unit.support", "unit.simulated_host", "unit.simulated_iptables")

# Ten for each that BRIDGEWORK_EXAMPLES asks for: `make fuzz`.
EXAMPLES = max(100, 10 * int(os.environ.get("BRIDGEWORK_EXAMPLES") or 0))

settings.register_profile(
    "unit", deadline=None, max_examples=EXAMPLES, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unit")
