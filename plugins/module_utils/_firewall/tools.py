# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own commands that firewalls are made with."""

from __future__ import annotations

import os
import shutil


def search_path() -> str:
    """Where commands are looked for: PATH, and where root's are on hosts whose PATH is a plain user's."""
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def find(tool: str) -> str | None:
    """The path of a command; None where the host lacks it."""
    return shutil.which(tool, path=search_path())
