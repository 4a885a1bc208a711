#!/usr/bin/python
# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_network
short_description: Container networks without a daemon, as docker network makes them
version_added: 0.1.0
description:
  - Creates, changes and removes networks of containers, and connects containers to them.
  - Takes one network at the top level, or many in O(networks); many cost hardly more than one.
  - A container that does not exist yet is created as an empty network namespace at C(/run/netns/NAME).
author:
  - Bridgework contributors (@bridgework)
extends_documentation_fragment:
  - bridgework.network.common
  - bridgework.network.common.ipam_config
  - bridgework.network.common.docker_connection
options:
  name:
    description:
      - The network's name. Of one that is there its ID, or the first 12 or more characters of it, will do too.
    type: str
    aliases: [network_name]
  networks:
    description: Several networks in one task, each with the options of a single one, which can't be given beside it.
    type: list
    elements: dict
    suboptions:
      name:
        description: The network's name, as O(name).
        type: str
        required: true
      driver:
        description: As O(driver).
        type: str
      driver_options:
        description: As O(driver_options).
        type: dict
      ipam_config:
        description: As O(ipam_config).
        type: list
        elements: dict
        suboptions:
          subnet:
            description: The subnet in CIDR form, with no host bits set.
            type: str
          iprange:
            description: The part of the subnet that addresses are chosen from.
            type: str
          gateway:
            description: The address of the bridge, or of the router in the network of a parent.
            type: str
          aux_addresses:
            description: Addresses that are never given out, by name.
            type: dict
      enable_ipv4:
        description: As O(enable_ipv4).
        type: bool
      enable_ipv6:
        description: As O(enable_ipv6).
        type: bool
      ipam_driver:
        description: As O(ipam_driver).
        type: str
      ipam_driver_options:
        description: As O(ipam_driver_options).
        type: dict
      config_only:
        description: As O(config_only).
        type: bool
      config_from:
        description: As O(config_from).
        type: str
      scope:
        description: As O(scope).
        type: str
        choices: [local, global, swarm]
      ingress:
        description: As O(ingress).
        type: bool
      internal:
        description: As O(internal).
        type: bool
      attachable:
        description: As O(attachable).
        type: bool
      labels:
        description: As O(labels).
        type: dict
      connected:
        description: As O(connected).
        type: list
        elements: str
        aliases: [containers]
      appends:
        description: As O(appends).
        type: bool
        default: false
        aliases: [incremental]
      container_labels:
        description: As O(container_labels).
        type: dict
      endpoints:
        description: As O(endpoints).
        type: list
        elements: dict
        suboptions:
          container:
            description: The container's name.
            type: str
            required: true
          ipv4_address:
            description: The address in this network.
            type: str
          ipv6_address:
            description: The IPv6 address in this network.
            type: str
          mac_address:
            description: The hardware address.
            type: str
          interface_name:
            description: The name of the interface inside the container.
            type: str
          aliases:
            description: Further names of the container in this network.
            type: list
            elements: str
          links:
            description: Names of other containers for this one.
            type: list
            elements: str
          link_local_ips:
            description: Further addresses, link-local ones.
            type: list
            elements: str
          gw_priority:
            description: The default routes lead through the network with the highest one.
            type: int
          driver_opts:
            description: Options of the endpoint, with Docker's keys.
            type: dict
          force:
            description: For playbooks written for Docker; disconnecting needs no force.
            type: bool
            default: false
          state:
            description: Whether the container is connected.
            type: str
            choices: [present, absent]
            default: present
      force:
        description: As O(force).
        type: bool
        default: false
      state:
        description: As O(state).
        type: str
        choices: [present, absent]
        default: present
  driver:
    description:
      - The driver of the network; V(bridge) where none is given.
      - Containers on V(macvlan) and V(ipvlan) are in the network that the parent leads to, with addresses of that
        network. The host has no part in it, publishes no ports for them, and can't talk to them by the parent itself.
      - Another driver is taken by a network that containers are on only with O(force).
    type: str
  driver_options:
    description:
      - Options of the driver, with Docker's keys and meanings.
      - Where one differs from what the network has, the network has just the given ones afterwards.
      - Of C(com.docker.network.bridge.) the options C(name), C(enable_icc), C(enable_ip_masquerade),
        C(gateway_mode_ipv4) and C(gateway_mode_ipv6) (V(nat), V(nat-unprotected), V(routed), V(isolated)),
        C(host_binding_ipv4), C(inhibit_ipv4) and C(trusted_host_interfaces) (separated by colons).
      - Of C(com.docker.network.) the options C(driver.mtu), C(container_iface_prefix), C(host_ipv4) and C(host_ipv6).
      - With the drivers V(macvlan) and V(ipvlan) C(parent), an interface of the host that is up. One like C(eth0.10)
        that is not there is made, as VLAN 10 of C(eth0), and goes with the last network on it. Without a parent the
        containers reach each other only.
      - C(macvlan_mode) is V(bridge), V(private), V(vepa) or V(passthru), C(ipvlan_mode) V(l2), V(l3) or V(l3s).
      - In mode V(passthru) one container has all of the parent, and may change its MAC. Where the host has addresses on
        it, that takes O(force), and so does a change to or from that mode, or between V(l2) and the other two, where
        containers are connected.
      - The first interface of an ipvlan sets the mode of all on its parent, also of those that others made in
        containers, which can't be seen.
      - Both drivers take C(com.docker.network.driver.mtu) and C(com.docker.network.container_iface_prefix) too.
    type: dict
  ipam_driver:
    description:
      - V(default), or V(null) for a network without addresses, that is layer 2 and nothing more.
    type: str
  ipam_driver_options:
    description: Kept and shown.
    type: dict
  config_only:
    description:
      - Keep the network as a configuration for others and nothing more; there is nothing of it on the host.
    type: bool
  config_from:
    description:
      - The name of a network that was made with O(config_only), whose subnets, options, labels and so on this one gets.
    type: str
  scope:
    description: For playbooks written for Docker; V(local) is the only one.
    type: str
    choices: [local, global, swarm]
  ingress:
    description: For playbooks written for Docker; there is no such network.
    type: bool
  internal:
    description: No way out of the network and none in.
    type: bool
  attachable:
    description: Kept and shown, for playbooks written for Docker; every network can be attached to.
    type: bool
  labels:
    description:
      - Labels of the network, as key and value.
      - Where one differs from what the network has, the network has just the given ones afterwards.
    type: dict
  connected:
    description:
      - Names of containers that are connected. Others are disconnected, unless O(appends) is set.
      - Left out or empty, it says nothing, as in C(community.docker.docker_network). The last container is disconnected
        by O(endpoints[].state=absent).
    type: list
    elements: str
    aliases: [containers]
  appends:
    description: O(connected) adds to the containers that are connected already.
    type: bool
    default: false
    aliases: [incremental]
  container_labels:
    description: Labels of the containers that this task makes. Those that are there already keep their own.
    type: dict
  endpoints:
    description: Containers that are connected in a particular way, or not.
    type: list
    elements: dict
    suboptions:
      container:
        description: The container's name.
        type: str
        required: true
      ipv4_address:
        description:
          - The address in this network. It may lie outside O(ipam_config[].iprange), but not outside the subnet.
          - Without it the lowest free one is given out, and kept.
        type: str
      ipv6_address:
        description: As O(endpoints[].ipv4_address), of the IPv6 subnet.
        type: str
      mac_address:
        description: The hardware address. Without it one is derived from the names of network and container.
        type: str
      interface_name:
        description: The name of the interface inside the container; C(eth0), C(eth1) and so on by default.
        type: str
      aliases:
        description: Further names of the container in this network, kept and shown.
        type: list
        elements: str
      links:
        description: Names of other containers for this one, as C(CONTAINER) or C(CONTAINER:NAME), kept and shown.
        type: list
        elements: str
      link_local_ips:
        description: Further addresses, of 169.254.0.0/16 or fe80::/10.
        type: list
        elements: str
      gw_priority:
        description:
          - The default routes lead through the network with the highest one, in each family apart.
          - Of several with the same one, the oldest that is not internal.
          - Ports are published through the same network, unless told otherwise.
        type: int
      driver_opts:
        description:
          - Options of the endpoint, with Docker's keys.
          - C(com.docker.network.endpoint.sysctls) is a comma-separated list of kernel settings of the interface, with
            C(IFNAME) for its name, such as V(net.ipv4.conf.IFNAME.log_martians=1).
          - C(com.docker.network.endpoint.ifname) is the same as O(endpoints[].interface_name).
        type: dict
      force:
        description:
          - For playbooks written for Docker. A container is disconnected without it too, also one whose namespace is
            gone.
        type: bool
        default: false
      state:
        description: V(absent) disconnects the container.
        type: str
        choices: [present, absent]
        default: present
  force:
    description:
      - With O(state=absent), disconnect the containers that use the network.
      - With O(state=present), allow changes that re-create the endpoints of the network, such as another subnet, and a
        subnet that the host itself is in, by an interface of its own.
    type: bool
    default: false
  state:
    description:
      - V(absent) removes the network. One that containers use is refused without O(force).
      - Of several, one that can't be removed is reported and does not keep the others.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Create a network, and two containers in it
  bridgework.network.container_network:
    name: net-test
    ipam_config:
      - subnet: 192.168.10.0/24
        gateway: 192.168.10.1
    connected:
      - web
      - db

- name: Connect one more container, with an address of its own
  bridgework.network.container_network:
    name: net-test
    endpoints:
      - container: cache
        ipv4_address: 192.168.10.50

- name: Create several networks at once, one of them without a way out
  bridgework.network.container_network:
    networks:
      - name: front
        connected: [web]
      - name: back
        internal: true
        connected: [web, db]

- name: Put a container into the network that eth0 leads to; eth0.10 would be its VLAN 10
  bridgework.network.container_network:
    name: lab
    driver: macvlan
    driver_options:
      parent: eth0
    ipam_config:
      - subnet: 198.51.100.0/24
        gateway: 198.51.100.1
        iprange: 198.51.100.192/26
    connected: [cache]

- name: Set up interfaces in detail, and disconnect another container
  bridgework.network.container_network:
    name: net-test
    endpoints:
      - container: proxy
        interface_name: lan0
        link_local_ips: [169.254.7.7]
        gw_priority: 10
        aliases: [gateway]
        links: ["db:sql"]
        driver_opts:
          com.docker.network.endpoint.sysctls: net.ipv4.conf.IFNAME.log_martians=1
      - container: cache
        state: absent

- name: Keep a configuration, and make a network from it
  bridgework.network.container_network:
    networks:
      - name: site
        config_only: true
        ipam_config:
          - subnet: 192.168.60.0/24
        labels:
          project: site
      - name: site-web
        config_from: site
        connected: [web]
        container_labels:
          project: site

- name: Create a network of layer 2, where containers have the addresses that they give themselves
  bridgework.network.container_network:
    name: wire
    ipam_driver: "null"
    ipam_driver_options:
      purpose: test bench

- name: Use a task of a playbook for community.docker, with the firewall rules in nftables whatever the host has
  bridgework.network.container_network:
    name: shop
    driver: bridge
    attachable: true
    scope: local
    ingress: false
    firewall_backend: nftables
    endpoints:
      - container: old
        state: absent
        force: true

- name: Remove a network and disconnect whatever is in it
  bridgework.network.container_network:
    name: net-test
    state: absent
    force: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, one line a step.
  returned: always
  type: list
  elements: str
  sample:
    - create bridge br-0a1b2c3d4e5f, mtu 1500, mac 02:42:8b:5a:11:f0, up
network:
  description:
    - The network in the shape of C(docker network inspect); null where it is absent.
    - Of several networks, the first.
  returned: always
  type: dict
  sample:
    Name: net-test
    Driver: bridge
networks:
  description: One result for each network.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The network's name.
      type: str
      sample: net-test
    state:
      description: The state that was asked for.
      type: str
      sample: present
    changed:
      description: Whether anything of this network changed.
      type: bool
      sample: true
    network:
      description: The network in the shape of C(docker network inspect); null where it is absent.
      type: dict
      sample:
        Name: net-test
    failed:
      description: That the network could not be removed.
      type: bool
      returned: on failure
      sample: true
    msg:
      description: Why the network could not be removed.
      type: str
      returned: on failure
      sample: 'network "net-test": is in use by container "db"; disconnect them first, or set force'
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bridgework.network.plugins.module_utils import _inspect
from ansible_collections.bridgework.network.plugins.module_utils._ansible import (
    DOCKER_CONNECTION,
    FIREWALL_BACKEND,
    IPAM_CONFIG,
    STATE,
    item_results,
    run,
)
from ansible_collections.bridgework.network.plugins.module_utils._intent.networks import NetworkSpec, apply_networks

if TYPE_CHECKING:
    from ansible_collections.bridgework.network.plugins.module_utils._converge import Result
    from ansible_collections.bridgework.network.plugins.module_utils._intent import Item

ENDPOINTS = {
    "type": "list",
    "elements": "dict",
    "options": {
        "container": {"type": "str", "required": True},
        "ipv4_address": {"type": "str"},
        "ipv6_address": {"type": "str"},
        "mac_address": {"type": "str"},
        "interface_name": {"type": "str"},
        "aliases": {"type": "list", "elements": "str"},
        "links": {"type": "list", "elements": "str"},
        "link_local_ips": {"type": "list", "elements": "str"},
        "gw_priority": {"type": "int"},
        "driver_opts": {"type": "dict"},
        "force": {"type": "bool", "default": False},
        "state": STATE,
    },
}

NETWORK = {
    "driver": {"type": "str"},
    "driver_options": {"type": "dict"},
    "ipam_config": IPAM_CONFIG,
    "enable_ipv4": {"type": "bool"},
    "enable_ipv6": {"type": "bool"},
    "ipam_driver": {"type": "str"},
    "ipam_driver_options": {"type": "dict"},
    "config_only": {"type": "bool"},
    "config_from": {"type": "str"},
    "scope": {"type": "str", "choices": ["local", "global", "swarm"]},
    "ingress": {"type": "bool"},
    "internal": {"type": "bool"},
    "attachable": {"type": "bool"},
    "labels": {"type": "dict"},
    "connected": {"type": "list", "elements": "str", "aliases": ["containers"]},
    "appends": {"type": "bool", "default": False, "aliases": ["incremental"]},
    "endpoints": ENDPOINTS,
    "container_labels": {"type": "dict"},
    "force": {"type": "bool", "default": False},
    "state": STATE,
}


def read(params: dict[str, Any]) -> list[NetworkSpec]:
    if params["networks"] is None:  # also where it is given as null
        return [NetworkSpec.from_params(params)]
    return [NetworkSpec.from_params(each) for each in params["networks"]]


def results(specs: list[NetworkSpec], result: Result[list[Item]]) -> dict[str, Any]:
    networks = item_results(result.outcome, result, "network", _inspect.network)
    return {"network": networks[0]["network"] if networks else None, "networks": networks}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "aliases": ["network_name"]},
            "networks": {
                "type": "list",
                "elements": "dict",
                "options": {"name": {"type": "str", "required": True}, **NETWORK},
            },
            **NETWORK,
            **DOCKER_CONNECTION,
            "firewall_backend": FIREWALL_BACKEND,
        },
        mutually_exclusive=[(option, "networks") for option in ("name", *NETWORK)],
        required_one_of=[("name", "networks")],
        supports_check_mode=True,
    )
    run(
        module,
        read,
        lambda specs: lambda state, facts: apply_networks(state, facts, specs),
        results,
    )


if __name__ == "__main__":
    main()
