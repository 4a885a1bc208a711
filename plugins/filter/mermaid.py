# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topologies as a Mermaid flowchart."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mermaid
short_description: Draw container networks as a Mermaid flowchart
version_added: 0.1.0
author: Bridgework contributors (@bridgework)
description:
  - Draws the networks, containers and published ports of a host, or of several hosts, as a Mermaid flowchart.
  - Mermaid draws no more than 500 edges and 50,000 characters. What is beyond is said by number, so many containers are
    better shown by P(bridgework.network.svg#filter).
options:
  _input:
    description:
      - The result C(topology) of M(bridgework.network.container_network_info), or a list of those of several hosts.
    type: raw
    required: true
seealso:
  - module: bridgework.network.container_network_info
  - plugin: bridgework.network.svg
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at all there is
  bridgework.network.container_network_info:
    topology: true
  register: seen

- name: Write a page of all hosts, as GitLab and others show it
  ansible.builtin.copy:
    content: |
      ```mermaid
      {{ ansible_play_hosts | map('extract', hostvars, ['seen', 'topology']) | bridgework.network.mermaid }}
      ```
    dest: /tmp/topology.md
    mode: "0644"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
_value:
  description: The text of a Mermaid flowchart.
  type: str
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.bridgework.network.plugins.module_utils._drawing import mermaid as drawing
from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput


def mermaid(value: Any) -> str:
    try:
        return drawing.mermaid("filter mermaid", value)
    except InvalidInput as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[[Any], str]]:
        return {"mermaid": mermaid}
