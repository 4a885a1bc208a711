# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users call a network (its name, its ID or the beginning of that) and a container (its name, or who runs it)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from . import _validate
from ._errors import InvalidInput, did_you_mean, quoted
from ._model import is_reference

# What follows the colon: a process ID, or a name as the runtime has it.
KINDS = {
    "pid": re.compile(r"[1-9][0-9]{0,9}"),
    "docker": _validate.NAME,
    "podman": _validate.NAME,
    "machine": re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*"),
    "lxc": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*"),
    "unit": re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@:\\-]*(?<!@)\.service"),  # APP@.service is a template
}
PATH = re.compile(r"(/[A-Za-z0-9_.@:+-]+)+")
NAMED = re.compile(r"/(?:var/)?run/netns/([^/]+)")
PROCESS = re.compile(r"/proc/(?:[1-9][0-9]*/task/)?([1-9][0-9]{0,9})/ns/net")
LENGTH = 250  # of a whole reference
ID_PREFIX_LENGTH = 12  # of a network, as IDs are shown; shorter ones are taken for names


def container(subject: str, option: str, value: str | None) -> str:
    """A container's name, or a reference to a network namespace that somebody else runs:

    a path, ``pid:N``, ``docker:NAME``, ``podman:NAME``, ``machine:NAME``, ``lxc:NAME`` or ``unit:NAME.service``. A path
    below /run/netns is the name there, and that of a process (or thread) is its number.
    """
    if value is not None and value.startswith("/"):
        return _path(subject, option, value)
    if value is None or ":" not in value:
        return _validate.name(subject, option, value)
    kind, _colon, rest = value.partition(":")
    if kind not in KINDS:
        remedy = did_you_mean(kind, tuple(KINDS))
        raise InvalidInput(subject, option, value, f"is a reference of an unknown kind, {quoted(kind)}", remedy)
    if not KINDS[kind].fullmatch(rest) or len(value) > LENGTH:
        if value.endswith("@.service"):
            raise InvalidInput(subject, option, value, "is a template", 'name an instance, like "unit:app@one.service"')
        example = {"pid": "pid:4711", "unit": "unit:nginx.service"}.get(kind, f"{kind}:web")
        raise InvalidInput(subject, option, value, "is not a valid reference", f'write it like "{example}"')
    return value


def paths(values: Iterable[str]) -> frozenset[str]:
    """The names among these values that are given as paths, and so are not made where they are missing."""
    found = (container("", "", value) for value in values if value.startswith("/"))
    return frozenset(name for name in found if not is_reference(name))


def _path(subject: str, option: str, value: str) -> str:
    path = posixpath.normpath(value.replace("//", "/"))
    if not PATH.fullmatch(path) or len(path) > LENGTH:
        raise InvalidInput(
            subject, option, value, "is not a valid path of a namespace", 'write it like "/var/run/netns/web"'
        )
    process = PROCESS.fullmatch(path)
    if process is not None:
        return f"pid:{process.group(1)}"
    if path.startswith("/proc/"):  # "self" is whoever looks, and what a process has open changes with it
        raise InvalidInput(
            subject, option, value, "is no lasting name of a network namespace", 'name the process, like "pid:4711"'
        )
    named_below = NAMED.fullmatch(path)
    return path if named_below is None else _validate.name(subject, option, named_below.group(1))


def named(subject: str, reference: str, ids: Mapping[str, str], shortest: int) -> str | None:
    """The name that the reference stands for; ``ids`` are by name. Beginnings shorter than that are taken for names."""
    if reference in ids:
        return reference
    for name, identity in ids.items():
        if identity == reference:
            return name
    found = [name for name, identity in ids.items() if len(reference) >= shortest and identity.startswith(reference)]
    if len(found) > 1:
        names = ", ".join(f'"{name}"' for name in found)
        raise InvalidInput(subject, "name", reference, f"is the ID prefix of {names}", "give more of it")
    return found[0] if found else None
