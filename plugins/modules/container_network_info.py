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
  topology:
    description:
      - Return RV(topology) too, the networks, containers and published ports of the whole host as data and as
        pictures, whatever O(name) and O(filters) select.
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

# seen.topology.svg is a picture that any browser shows; the filters svg and mermaid draw several hosts in one.
- name: Look at all there is
  bridgework.network.container_network_info:
    topology: true
  register: seen
"""

RETURN = r"""
exists:
  description: Whether there is a network for each of O(name), and any passes O(filters).
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
    - The networks in the shape of C(docker network inspect), in the order of O(name); without it sorted by name.
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
topology:
  description:
    - What the host has. The filters P(bridgework.network.svg#filter) and P(bridgework.network.mermaid#filter) draw it
      too, and several hosts in one picture.
  returned: with O(topology)
  type: dict
  contains:
    host:
      description: What the host calls itself.
      type: str
      sample: shop-1
    networks:
      description: The networks that are something on the host, by name.
      type: list
      elements: dict
      contains:
        name:
          description: The network's name.
          type: str
          sample: net-test
        driver:
          description: Its driver.
          type: str
          sample: bridge
        device:
          description: The interface of the host that its endpoints are on.
          type: str
          sample: br-9f2d3c4b5a60
        internal:
          description: Whether there is no way out of it.
          type: bool
          sample: false
        subnets:
          description: Its subnets, each with C(subnet) and C(gateway).
          type: list
          elements: dict
          sample:
            - subnet: 192.168.10.0/24
              gateway: 192.168.10.1
        labels:
          description: Its labels.
          type: dict
          sample: {}
    containers:
      description: The containers, by name.
      type: list
      elements: dict
      contains:
        name:
          description: The container's name.
          type: str
          sample: web
        mode:
          description: Its network mode.
          type: str
          sample: bridge
        target:
          description: The container whose namespace it shares, with mode C(container); null with other modes.
          type: str
          sample: web
        networks:
          description:
            - The networks that it is on, each with C(network), C(interface) and C(addresses). The first leads out.
          type: list
          elements: dict
          sample:
            - network: net-test
              interface: eth0
              addresses: [192.168.10.2]
        labels:
          description: Its labels.
          type: dict
          sample: {}
    ports:
      description: The published ports, by container.
      type: list
      elements: dict
      contains:
        container:
          description: The container that it leads to.
          type: str
          sample: web
        network:
          description: The network by which it gets there; null where it leads nowhere now.
          type: str
          sample: net-test
        protocol:
          description: The protocol.
          type: str
          sample: tcp
        container_port:
          description: The port of the container.
          type: int
          sample: 8080
        host_ip:
          description: The address of the host; C(0.0.0.0) or C(::) for all of a family.
          type: str
          sample: 0.0.0.0
        host_port:
          description: The port of the host.
          type: int
          sample: 8000
        allowed_sources:
          description:
            - The subnets that alone may use it. It is empty where only the host itself may, and null where everybody
              may.
          type: list
          elements: str
          sample: [192.0.2.0/24]
    mermaid:
      description: All this as a Mermaid flowchart.
      type: str
      sample: flowchart LR
    svg:
      description: All this as an SVG picture.
      type: str
      sample: <svg xmlns="http://www.w3.org/2000/svg">
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bridgework.network.plugins.module_utils._ansible import DOCKER_CONNECTION, show
from ansible_collections.bridgework.network.plugins.module_utils._listing import Listing, ListSpec, list_networks

if TYPE_CHECKING:
    from ansible_collections.bridgework.network.plugins.module_utils._converge import Intent
    from ansible_collections.bridgework.network.plugins.module_utils._facts import Facts
    from ansible_collections.bridgework.network.plugins.module_utils._state import State


def view_of(spec: ListSpec, with_topology: bool) -> Intent[tuple[Listing, dict[str, Any]]]:
    def view(state: State, facts: Facts) -> tuple[Listing, dict[str, Any]]:
        return list_networks(state, facts, spec), _drawn(state, facts) if with_topology else {}

    return view


def _drawn(state: State, facts: Facts) -> dict[str, Any]:
    # Only who asks for a picture has these read.
    from ansible_collections.bridgework.network.plugins.module_utils._drawing.mermaid import mermaid
    from ansible_collections.bridgework.network.plugins.module_utils._drawing.svg import svg
    from ansible_collections.bridgework.network.plugins.module_utils._topology import topology

    found = topology(state, facts.hostname())
    return {"topology": {**found, "mermaid": mermaid("topology", found), "svg": svg("topology", found)}}


def results(_spec: ListSpec, found: tuple[Listing, dict[str, Any]]) -> dict[str, Any]:
    listing, drawn = found
    return {
        "exists": not listing.missing and bool(listing.networks),
        "missing": listing.missing,
        "network": listing.networks[0] if listing.networks else None,
        "networks": listing.networks,
        "lines": listing.lines,
        **drawn,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str"},
            "filters": {"type": "dict"},
            "format": {"type": "str"},
            "no_trunc": {"type": "bool", "default": False},
            "quiet": {"type": "bool", "default": False},
            "topology": {"type": "bool", "default": False},
            **DOCKER_CONNECTION,
        },
        mutually_exclusive=[("format", "quiet")],
        supports_check_mode=True,
    )
    show(
        module,
        ListSpec.from_params,
        lambda spec: view_of(spec, module.params["topology"]),
        results,
    )


if __name__ == "__main__":
    main()
