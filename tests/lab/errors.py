# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong, so that it can be read."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


class LabError(RuntimeError):
    """The lab itself can't do what was asked."""


class CommandError(LabError):
    """A command failed; `returncode` is None where it ran out of time."""

    def __init__(self, where: str, argv: Sequence[str], returncode: int | None, stdout: str, stderr: str) -> None:
        self.argv, self.returncode, self.stdout, self.stderr = list(argv), returncode, stdout, stderr
        outcome = "timed out" if returncode is None else f"rc {returncode}"
        lines = [f"{where}: {shlex.join(argv)}: {outcome}"]
        lines += [f"--- {name}\n{text.rstrip()}" for name, text in (("stdout", stdout), ("stderr", stderr)) if text]
        super().__init__("\n".join(lines))
