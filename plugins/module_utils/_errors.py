# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, as one line that names the thing, the value and the way out."""

from __future__ import annotations

from collections.abc import Sequence


class BridgeworkError(Exception):
    """Any failure that a user can understand; its text is one line and complete in itself."""


class InvalidInput(BridgeworkError):
    """An argument that can't be honoured.

    The text reads ``<subject>: <option> "<value>" <problem>; <remedy>``.
    """

    def __init__(self, subject: str, option: str, value: object, problem: str, remedy: str) -> None:
        self.option = option
        self.value = value
        named = "" if option == "" else f"{option} {quoted(value)} "
        super().__init__(f"{subject}: {named}{problem}; {remedy}")


class InUse(InvalidInput):
    """A refusal because something else still uses the object."""


class HostError(BridgeworkError):
    """The host lacks something that the work needs: a tool, a kernel feature, a privilege."""


class NamespaceGone(HostError):
    """A namespace went away between two looks at it."""

    def __init__(self, container: str) -> None:
        super().__init__(f'container "{container}": its namespace is gone; run the task again')


class StateError(BridgeworkError):
    """The declared state of the host can't be read or written."""


class KernelError(BridgeworkError):
    """The kernel or a firewall tool refused a step; in a container where that is named."""

    def __init__(self, text: str, container: str = "") -> None:
        self.container = container
        super().__init__(text)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first of several names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def quoted(value: object) -> str:
    """A value as users see it in an error: on one line, whatever it contains."""
    text = str(value)
    return '"' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A remedy that names what was probably meant."""
    import difflib

    near = [each for each in known if each.rpartition(".")[2] == word] or difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else "use one of: " + ", ".join(known)
