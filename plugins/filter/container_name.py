# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules call a container that somebody calls otherwise."""

from __future__ import annotations

DOCUMENTATION = r"""
name: container_name
short_description: Say by which name the modules know a container
version_added: 0.1.0
author: Bridgework contributors (@bridgework)
description:
  - Modules take a container by its name, by its path below C(/run/netns), or as a number, which YAML makes of a name
    without quotes, and return its name. The filter does the same, so that what was given can be compared with what
    was returned.
  - What is no valid container is returned as text, as it is.
options:
  _input:
    description: What somebody calls the container.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Look whether a container is there, whatever the inventory calls it
  vars:
    known_as: "{{ '/var/run/netns/web' | bridgework.network.container_name }}"  # web
  bridgework.network.container_info:
    name: "{{ known_as }}"
"""

RETURN = r"""
_value:
  description: The container's name, or the reference to one that somebody else runs.
  type: str
"""

from typing import Any, Callable

from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._references import container


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"container_name": container_name}


def container_name(value: Any) -> str:
    """As DOCUMENTATION has it."""
    text = str(value).strip()
    try:
        return container("", "", text)
    except InvalidInput:
        return text
