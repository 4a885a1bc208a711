# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies as an SVG picture."""

from __future__ import annotations

DOCUMENTATION = r"""
name: svg
short_description: Draw container networks as an SVG picture
version_added: 0.1.0
author: Bridgework contributors (@bridgework)
description:
  - Draws the networks, containers and published ports of a host, or of several hosts, as an SVG picture.
  - A network is a panel with a card for each of its containers, their addresses and published ports. One on several
    networks is in the first, and dashed in the others. All there is to say is shown to who points at a card.
  - The picture loads nothing from elsewhere, and is light or dark as the reader's system is.
options:
  _input:
    description:
      - The result C(topology) of M(bridgework.network.container_network_info), or a list of those of several hosts.
    type: raw
    required: true
seealso:
  - module: bridgework.network.container_network_info
  - plugin: bridgework.network.mermaid
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at all there is
  bridgework.network.container_network_info:
    topology: true
  register: seen

- name: Write one picture of all hosts
  ansible.builtin.copy:
    content: "{{ ansible_play_hosts | map('extract', hostvars, ['seen', 'topology']) | bridgework.network.svg }}"
    dest: /tmp/topology.svg
    mode: "0644"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
_value:
  description: The text of an SVG picture.
  type: str
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.bridgework.network.plugins.module_utils._drawing import svg as drawing
from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput


def svg(value: Any) -> str:
    try:
        return drawing.svg("filter svg", value)
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[[Any], str]]:
        return {"svg": svg}
