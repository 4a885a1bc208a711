#!/usr/bin/python
# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports."""

from __future__ import annotations

DOCUMENTATION = r"""
module: port_mapping
short_description: Publish ports of containers, as docker run -p does
version_added: 0.1.0
description:
  - Leads ports of the host to ports of containers, for clients elsewhere, on the host itself, in the same and in other
    networks, and in the container itself, over TCP, UDP and SCTP, with IPv4 and IPv6.
  - Takes one container at the top level, or many in O(mappings); many cost hardly more than one.
  - A published port follows its container to another address.
author:
  - Bridgework contributors (@bridgework)
extends_documentation_fragment:
  - bridgework.network.common
options:
  container:
    description: The container's name.
    type: str
  published_ports:
    description:
      - Ports in Docker's syntax, C([[ADDRESS:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]). The protocol is C(tcp), C(udp) or
        C(sctp); an IPv6 address stands in brackets.
      - Quote them, since YAML reads C(53:53) as the number 3233.
      - Without an address a port is published on all of the host's, in IPv4 and in IPv6 as far as the container has an
        address of them, under the same number. These are two entries in RV(ports). Where the container gets the other
        family later, the next run adds the other entry.
      - The host's own processes reach them by any of its addresses but C(::1), where they are refused at once, and go
        on to C(127.0.0.1) where they were given the name C(localhost). The kernel takes no answers to C(::1) from a
        container.
      - Where the network has the driver option C(com.docker.network.bridge.host_binding_ipv4), its address stands in
        for one that is left out, and IPv6 is left out with it, as with Docker.
      - Without a host port a free one is chosen once, and stays.
      - Ranges of equal length are mapped one to one.
      - Of a range of host ports for a single container port, the first free one is taken.
    type: list
    elements: str
    aliases: [ports]
  publish_all_ports:
    description:
      - Publish each of O(exposed_ports) on a random port of the host.
      - Those that O(published_ports) has already get no other one.
    type: bool
    default: false
  exposed_ports:
    description: The ports that the container's service has, for O(publish_all_ports).
    type: list
    elements: str
  network:
    description:
      - The network whose endpoint the ports lead to, where the container has several.
      - Ports that lead to another one are moved. Of one that is published in both families, the half whose family the
        network lacks is published no longer.
      - Replies leave by the container's default route. Where that is another network, the host must not have strict
        reverse path filtering on its bridge (C(net.ipv4.conf.*.rp_filter=1)), which drops them.
      - A container that others run, such as C(docker:web), keeps the default route that its runtime gave it. Whether
        replies that leave that way get out is up to that network.
    type: str
  allowed_sources:
    description:
      - Addresses and subnets, in CIDR form, of the clients that may use these ports. For others they are as if they
        were not published. Processes of the host itself always may.
      - Left out, it stays as it is for ports that are published already, and everybody may use new ones. An empty list
        lets everybody in again.
      - It is for both families at once. A port whose family none of the sources is of is closed in that family; list
        C(::/0) or C(0.0.0.0/0) too to let everybody in there.
      - Where a port that not everybody may use comes to be published in another family, since the container got that
        later, nobody may use it there until the option says who.
    type: list
    elements: str
  exclusive:
    description: Ports of the container that are not listed are published no longer.
    type: bool
    default: false
  mappings:
    description: Several containers in one task, each with the options of a single one, which can't be given beside it.
    type: list
    elements: dict
    suboptions:
      container:
        description: As O(container).
        type: str
        required: true
      published_ports:
        description: As O(published_ports).
        type: list
        elements: str
        aliases: [ports]
      publish_all_ports:
        description: As O(publish_all_ports).
        type: bool
        default: false
      exposed_ports:
        description: As O(exposed_ports).
        type: list
        elements: str
      network:
        description: As O(network).
        type: str
      allowed_sources:
        description: As O(allowed_sources).
        type: list
        elements: str
      exclusive:
        description: As O(exclusive).
        type: bool
        default: false
      state:
        description: As O(state).
        type: str
        choices: [present, absent]
        default: present
  state:
    description:
      - V(absent) takes the given ports back, or all of the container's where none is given.
      - With O(network), of these only those that lead there.
      - Ports that are not published are as they should be. There is a warning where what seems to be meant is published
        in another way than the one given, and stays.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Publish port 8080 of a container as port 8000 of the host
  bridgework.network.port_mapping:
    container: web
    published_ports:
      - "8000:8080"

- name: Publish on a random port, on one address, and over UDP
  bridgework.network.port_mapping:
    mappings:
      - container: web
        published_ports: ["8443", "127.0.0.1::9090"]
      - container: dns
        published_ports: ["192.0.2.10:53:53/udp"]

- name: Publish on all addresses of one family, and on one address of IPv6
  bridgework.network.port_mapping:
    container: proxy
    published_ports:
      - "[::]:8000:8080"
      - "0.0.0.0:8001:8080"
      - "[2001:db8::10]:53:53/udp"

- name: Publish a range one to one, the first free port of another, and an SCTP port
  bridgework.network.port_mapping:
    container: signalling
    published_ports:
      - "7000-7010:7000-7010/udp"
      - "8000-8010:80"
      - "2905:2905/sctp"

- name: Publish all ports of a service on random ones, by one of the container's networks
  bridgework.network.port_mapping:
    container: web
    network: red
    publish_all_ports: true
    exposed_ports: ["8080", "8443"]

- name: Publish for some clients only
  bridgework.network.port_mapping:
    container: db
    published_ports: ["5432:5432"]
    allowed_sources: ["192.0.2.0/24", "2001:db8:7::/48"]

- name: Publish for everybody again
  bridgework.network.port_mapping:
    container: db
    published_ports: ["5432:5432"]
    allowed_sources: []

- name: Take one port back, and all of another container's
  bridgework.network.port_mapping:
    mappings:
      - container: web
        published_ports: ["8000:8080"]
        state: absent
      - container: db
        state: absent

- name: Publish nothing but these
  bridgework.network.port_mapping:
    container: web
    exclusive: true
    published_ports:
      - "8000:8080"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, one line a step.
  returned: always
  type: list
  elements: str
  sample:
    - create rule [ip nat BRIDGEWORK-PORTS] -p tcp --dport 8000 -j DNAT --to-destination 192.168.10.2:8080
ports:
  description:
    - The container's published ports in the shape of Docker's C(NetworkSettings.Ports).
    - Those that not everybody may use have C(AllowedSources) besides, which is empty where only the host may.
    - Of several containers, those of the first.
  returned: always
  type: dict
  sample:
    8080/tcp:
      - HostIp: 0.0.0.0
        HostPort: "8000"
      - HostIp: "::"
        HostPort: "8000"
mappings:
  description: One result for each container.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The container's name.
      type: str
      sample: web
    state:
      description: The state that was asked for.
      type: str
      sample: present
    changed:
      description: Whether anything of this container changed.
      type: bool
      sample: true
    ports:
      description: As RV(ports).
      type: dict
      sample:
        8080/tcp:
          - HostIp: 0.0.0.0
            HostPort: "8000"
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bridgework.network.plugins.module_utils import _inspect
from ansible_collections.bridgework.network.plugins.module_utils._ansible import (
    FIREWALL_BACKEND,
    STATE,
    item_results,
    run,
)
from ansible_collections.bridgework.network.plugins.module_utils._intent.ports import MappingSpec, apply_mappings

if TYPE_CHECKING:
    from ansible_collections.bridgework.network.plugins.module_utils._converge import Result
    from ansible_collections.bridgework.network.plugins.module_utils._intent import Item

MAPPING = {
    "published_ports": {"type": "list", "elements": "str", "aliases": ["ports"]},
    "publish_all_ports": {"type": "bool", "default": False},
    "exposed_ports": {"type": "list", "elements": "str"},
    "network": {"type": "str"},
    "allowed_sources": {"type": "list", "elements": "str"},
    "exclusive": {"type": "bool", "default": False},
    "state": STATE,
}


def read(params: dict[str, Any]) -> list[MappingSpec]:
    if params["mappings"] is None:  # also where it is given as null
        return [MappingSpec.from_params(params)]
    return [MappingSpec.from_params(each) for each in params["mappings"]]


def results(specs: list[MappingSpec], result: Result[list[Item]]) -> dict[str, Any]:
    mappings = item_results(result.outcome, result, "ports", _inspect.ports)
    return {"ports": mappings[0]["ports"] if mappings else {}, "mappings": mappings}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str"},
            "mappings": {
                "type": "list",
                "elements": "dict",
                "options": {"container": {"type": "str", "required": True}, **MAPPING},
            },
            **MAPPING,
            "firewall_backend": FIREWALL_BACKEND,
        },
        mutually_exclusive=[(option, "mappings") for option in ("container", *MAPPING)],
        required_one_of=[("container", "mappings")],
        supports_check_mode=True,
    )
    run(
        module,
        read,
        lambda specs: lambda state, facts: apply_mappings(state, facts, specs),
        results,
    )


if __name__ == "__main__":
    main()
