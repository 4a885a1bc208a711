# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the units of the role ``service``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unit_faults
short_description: Say what is wrong with the units of the role service
version_added: 0.1.0
author: Bridgework contributors
description:
  - Checks a list like C(service_units) of the role C(bridgework.network.service), for what its types don't tell.
  - A text that would add lines to the unit, or lead its command out of the container, is a fault.
options:
  _input:
    description: The units.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Stop where a unit is wrong
  vars:
    faults: "{{ [{'name': 'web', 'exec': '+/usr/sbin/nginx'}] | bridgework.network.unit_faults }}"
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | first }}"
"""

RETURN = r"""
_value:
  description: The faults, each a sentence that names the option, the value and the way out; none where all is well.
  type: list
  elements: str
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from ansible_collections.bridgework.network.plugins.module_utils._validate import NAME, NAME_LENGTH
from ansible_collections.bridgework.network.plugins.plugin_utils._faults import shown

KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What systemd.service(5) has before the path of an executable. "+" leaves all namespaces of the unit.
PREFIXES = "-@:+!|"
# systemd takes quotes and escapes out of the first word before it looks for prefixes.
# A quote just before the path hides none.
HIDDEN = re.compile(r"""\\|['"](?!/)""")
# As systemd splits a command: quotes hold a word together, also in its midst.
WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^ \t'"\\])+""")
LINES = ("exec", "description", "user", "working_directory")
# What the role itself says, by the option that is there for it.
TAKEN: Mapping[str, Mapping[str, str | None]] = {
    "Unit": {"Description": "description", "AssertPathIsMountPoint": None},
    "Service": {
        "ExecStart": "exec",
        "User": "user",
        "DynamicUser": "dynamic_user",
        "WorkingDirectory": "working_directory",
        "Environment": "environment",
        "NetworkNamespacePath": "container",
        "PrivateNetwork": "container",
    },
    "Install": {},
}


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unit_faults": unit_faults}


def unit_faults(units: list[Mapping[str, Any]]) -> list[str]:
    """All that is wrong with them, a line each."""
    names = [str(unit.get("name")) for unit in units]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [
        *(f"service_units: {shown(name)} is there twice; give each unit a name of its own" for name in twice),
        *(f"service_units[{shown(unit.get('name'))}]: {fault}" for unit in units for fault in _faults(unit)),
    ]


def _faults(unit: Mapping[str, Any]) -> Iterator[str]:
    if unit.get("name") is None:
        yield "name is missing; give the unit one"
    for option in ("name", "container"):
        value = unit.get(option)
        if isinstance(value, (int, float)):
            yield f"{option} {shown(value)} is what YAML makes of a name without quotes; write it in quotes"
        elif value is not None and not _is_name(value):
            yield (
                f"{option} {shown(value)} is no name; letters, digits, '.', '_' and '-' make one, "
                f"a letter or a digit first, at most {NAME_LENGTH}"
            )
    if unit.get("state") == "absent":
        return
    if str(unit.get("name")).endswith(".service"):
        yield f"name {shown(unit['name'])}: leave out the .service"
    yield from _command_faults(str(unit.get("exec") or ""))
    for option in LINES:
        yield from _text_faults(option, unit.get(option))
    for name, value in (unit.get("environment") or {}).items():
        if not VARIABLE.fullmatch(str(name)):
            yield f"environment: {shown(name)} is no name of a variable; letters, digits and '_' make one"
        elif CONTROL.search(str(value)):
            yield f"environment: {name} has {shown(value)}, more than one line; leave out what breaks it"
    for section, directives in (unit.get("directives") or {}).items():
        for key, value in (directives or {}).items():
            yield from _directive_faults(section, str(key), value)


def _command_faults(command: str) -> Iterator[str]:
    start = command.lstrip()
    path = start.lstrip(PREFIXES)
    if not start:
        yield "exec is missing; give it the command that the unit starts"
    elif "+" in start[: len(start) - len(path)]:
        yield f"exec {shown(command)}: a command with the prefix + runs outside of the container; leave it out"
    elif HIDDEN.match(path):
        yield (
            f"exec {shown(command)}: a quote or a backslash before the path can hide the prefix +; begin with "
            "the path, and have prefixes before its quotes"
        )
    elif ";" in WORD.findall(command):
        yield f"exec {shown(command)}: a ; by itself begins another command, which can leave the container; quote it"


def _directive_faults(section: str, key: str, value: Any) -> Iterator[str]:
    where = f"directives.{section}.{key}"
    if not KEY.fullmatch(key):
        yield f"directives.{section}: {shown(key)} is no name of a directive; letters, digits and '-' make one"
    elif key in TAKEN.get(section, {}):
        instead = TAKEN[section][key]
        yield f"{where} is the role's own; {f'use the option {instead}' if instead else 'leave it out'}"
    elif isinstance(value, Mapping):
        yield f"{where} {shown(value)} is a dictionary; give it a text, a number, a boolean or a list of them"
    else:
        for each in value if isinstance(value, (list, tuple)) else [value]:
            yield from _text_faults(where, each)


def _text_faults(option: str, value: Any) -> Iterator[str]:
    """A line break would add a directive, and a backslash at the end would swallow the next one."""
    text = "" if value is None else str(value)
    if CONTROL.search(text):
        yield f"{option} {shown(text)} is more than one line; write it as one, without control characters"
    elif text.endswith("\\"):
        yield f"{option} {shown(text)} ends with a backslash, which would go on with the next line; leave it out"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= NAME_LENGTH and NAME.fullmatch(value) is not None
