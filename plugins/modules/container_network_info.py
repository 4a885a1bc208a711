#!/usr/bin/python
# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks, listed and inspected."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_network_info
short_description: List and inspect container networks
version_added: 0.1.0
description:
  - Does what C(docker network ls) and C(docker network inspect) do.
  - The predefined networks C(bridge), C(host) and C(none) are always there.
author:
  - Bridgework contributors (@bridgework)
extends_documentation_fragment:
  - bridgework.network.common.info
  - bridgework.network.common.docker_connection
options:
  name:
    description:
      - Names, IDs or unique prefixes of IDs. Without it all networks are listed.
      - One that stands for no network is no error; see RV(exists) and RV(missing).
    type: list
    elements: str
  filters:
    description:
      - List only networks that pass all of these filters, each a value or a list of values.
      - V(name) and V(id) are parts of it, or regular expressions; V(driver) and V(scope) are whole words.
      - V(type) is V(builtin) or V(custom); V(dangling) is V(true) or V(false), for custom networks without
        containers or all others.
      - Of the values of one filter any will do.
      - Of several V(label) values, each a key or C(key=value), all must be there.
    type: dict
  format:
    description:
      - What a line of RV(lines) says of a network, with placeholders such as V({id}), V({name}) and V({driver}).
      - "Known are: created, driver, id, internal, ipv4, ipv6, labels, name, scope."
    type: str
  no_trunc:
    description: Show IDs in full in RV(lines), not just their first 12 characters.
    type: bool
    default: false
  quiet:
    description: Show nothing but IDs in RV(lines).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Print what docker network ls would
  bridgework.network.container_network_info:

- name: Inspect one network
  bridgework.network.container_network_info:
    name: net-test
  register: inspected

- name: Find the custom networks of a project that nothing uses
  bridgework.network.container_network_info:
    filters:
      type: custom
      dangling: true
      label: project=shop
    format: "{id}: {driver}"

- name: Print the IDs of all networks in full
  bridgework.network.container_network_info:
    quiet: true
    no_trunc: true
"""

RETURN = r"""
exists:
  description: Whether there is a network for each of O(name).
  returned: always
  type: bool
  sample: true
missing:
  description: Those of O(name) that stand for no network.
  returned: always
  type: list
  elements: str
  sample: []
network:
  description: The first of RV(networks); null where there is none.
  returned: always
  type: dict
  sample:
    Name: net-test
    Driver: bridge
networks:
  description:
    - The networks in the shape of C(docker network inspect), by name.
    - C(Status) has how many addresses of each subnet are in use, gateway and auxiliary addresses included, and how many
      can still be given out.
  returned: always
  type: list
  elements: dict
  sample:
    - Name: net-test
      Driver: bridge
lines:
  description:
    - One line a network as C(docker network ls) prints it, after a line of headings.
    - With O(format) or O(quiet) as these say, and without headings.
  returned: always
  type: list
  elements: str
  sample:
    - NETWORK ID     NAME       DRIVER   SCOPE
    - 9f2d3c4b5a60   net-test   bridge   local
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bridgework.network.plugins.module_utils._ansible import DOCKER_CONNECTION, show
from ansible_collections.bridgework.network.plugins.module_utils._listing import ListSpec, list_networks


def results(spec, listing):
    return {
        "exists": not listing.missing and bool(listing.networks),
        "missing": listing.missing,
        "network": listing.networks[0] if listing.networks else None,
        "networks": listing.networks,
        "lines": listing.lines,
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str"},
            "filters": {"type": "dict"},
            "format": {"type": "str"},
            "no_trunc": {"type": "bool", "default": False},
            "quiet": {"type": "bool", "default": False},
            **DOCKER_CONNECTION,
        },
        mutually_exclusive=[("format", "quiet")],
        supports_check_mode=True,
    )
    show(
        module,
        ListSpec.from_params,
        lambda spec: lambda state, facts: list_networks(state, facts, spec),
        results,
    )


if __name__ == "__main__":
    main()
