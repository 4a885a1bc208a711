# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How filters say what is wrong with what a role is given."""

from __future__ import annotations

import json
from typing import Any


def shown(value: Any) -> str:
    """A value as it may be written in YAML."""
    return json.dumps(value, ensure_ascii=False, default=str)
