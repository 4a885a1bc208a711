# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit tests touch no host: they give the engine plain values and look at what it returns."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HELPERS = "ansible_collections.bridgework.network.tests.unit.plugins.module_utils"
pytest.register_assert_rewrite(*(f"{HELPERS}.{name}" for name in ("support", "simulated_host", "simulated_iptables")))

# As pyproject.toml has it; ansible-test doesn't go by that.
ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tests")]

# Ten for each that BRIDGEWORK_EXAMPLES asks for: `make fuzz`.
EXAMPLES = max(100, 10 * int(os.environ.get("BRIDGEWORK_EXAMPLES") or 0))

settings.register_profile(
    "unit", deadline=None, max_examples=EXAMPLES, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unit")
