#!/usr/bin/python
# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge and the containers on it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_bridge
short_description: A bridge and the containers on it, in all four network modes
version_added: 0.1.0
description:
  - Makes a bridge on the host, and containers with a network namespace each.
  - Whatever its mode, a container is reached at C(/run/netns/NAME), so that C(ip netns exec), systemd's
    C(NetworkNamespacePath=), Podman's C(--network ns:) and others join it in the same way.
  - Containers that are not listed are left alone.
author:
  - Bridgework contributors (@bridgework)
extends_documentation_fragment:
  - bridgework.network.common
  - bridgework.network.common.ipam_config
options:
  name:
    description:
      - The device name of the bridge. V(bw0) is the predefined network C(bridge).
      - With O(containers) the bridge is only made where one of them has the mode V(bridge) and is present, or where
        O(ipam_config), O(driver_options) or O(labels) describe it.
    type: str
    default: bw0
  driver_options:
    description:
      - Options of the bridge, with Docker's keys.
      - They are those of the module M(bridgework.network.container_network).
    type: dict
  labels:
    description: Labels of the network, as key and value.
    type: dict
  containers:
    description: The containers, in any order.
    type: list
    elements: dict
    suboptions:
      name:
        description: The container's name.
        type: str
        required: true
      mode:
        description:
          - V(bridge) is a namespace of its own with an interface on the bridge.
          - V(none) is a namespace of its own with nothing but C(lo).
          - V(host) is a handle on the host's own namespace.
          - V(container) is a handle on the namespace of O(containers[].target).
        type: str
        choices: [bridge, none, host, container]
        default: bridge
      target:
        description: The container whose namespace to share, with O(containers[].mode=container).
        type: str
      ipv4_address:
        description: The address on the bridge. Without it the lowest free one is given out, and kept.
        type: str
      ipv6_address:
        description: As O(containers[].ipv4_address), of the IPv6 subnet.
        type: str
      mac_address:
        description: The hardware address. Without it one is derived from the names of network and container.
        type: str
      interface_name:
        description: The name of the interface inside the container; C(eth0), C(eth1) and so on by default.
        type: str
      sysctls:
        description:
          - Kernel settings of the container's namespace. Keys begin with C(net.).
          - Each is tried out first, and refused where the kernel does not take it or would show another value.
          - They go back to what they were when they are no longer listed.
        type: dict
      ports:
        description:
          - Ports of the host that a service of the container listens on, with O(containers[].mode=host), such as
            V(8080), V(53/udp), V(192.0.2.7:53/udp) or V(7000-7010). Without them the container's ports stay as they
            are declared. Without an address a port is on all addresses of the host, with V(0.0.0.0) on all of IPv4
            and with V([::]) on all of IPv6.
          - A port that is published, that another container in mode V(host) has, or that a process listens on is
            refused. What listens on a port that the container has already is taken for its own service.
          - Nobody can publish such a port, and the kernel does not give it to outgoing connections.
        type: list
        elements: str
      labels:
        description: Labels of the container, as key and value.
        type: dict
      state:
        description: V(absent) removes the container with all its endpoints and published ports.
        type: str
        choices: [present, absent]
        default: present
  force:
    description:
      - Remove a container although others share its namespace, and those with it.
      - Change a mode although processes or other containers use the namespace.
      - Take a container in mode V(host) off the host's network although its service has ports there.
      - Change a subnet, or remove the bridge, although containers use it.
      - Give a container in mode V(host) a port that a process listens on already, as its own service may.
      - Take a subnet that the host itself is in, by an interface of its own.
    type: bool
    default: false
  state:
    description: V(absent) removes the bridge and the listed containers.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Make the default bridge and a container of each mode
  bridgework.network.netns_bridge:
    containers:
      - name: web
      - name: batch
        mode: none
      - name: node-exporter
        mode: host
        ports: ["9100"]
      - name: web-sidecar
        mode: container
        target: web

- name: Give a container a fixed address on a bridge of its own
  bridgework.network.netns_bridge:
    name: br-lab
    ipam_config:
      - subnet: 192.168.50.0/24
    containers:
      - name: dns
        ipv4_address: 192.168.50.53

- name: Make a bridge of both families, and a container with all that may be chosen
  bridgework.network.netns_bridge:
    name: br-site
    enable_ipv4: true
    enable_ipv6: true
    ipam_config:
      - subnet: 192.168.51.0/24
        iprange: 192.168.51.128/25
        gateway: 192.168.51.1
        aux_addresses:
          printer: 192.168.51.200
      - subnet: 2001:db8:51::/64
    driver_options:
      com.docker.network.driver.mtu: "1400"
    labels:
      project: site
    firewall_backend: nftables
    containers:
      - name: probe
        ipv6_address: 2001:db8:51::53
        mac_address: "02:42:c0:a8:33:63"
        interface_name: lan0
        sysctls:
          net.ipv4.ip_unprivileged_port_start: 0
        labels:
          project: site

- name: Remove a bridge, and disconnect what is on it
  bridgework.network.netns_bridge:
    name: br-site
    state: absent
    force: true

- name: Remove a container, wherever it is connected
  bridgework.network.netns_bridge:
    containers:
      - name: batch
        state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, one line a step.
  returned: always
  type: list
  elements: str
  sample:
    - create bridge bw0, mtu 1500, mac 02:42:8b:5a:11:f0, up
network:
  description: The bridge's network in the shape of C(docker network inspect); null where it does not exist.
  returned: always
  type: dict
  sample:
    Name: bridge
    Driver: bridge
containers:
  description: One result for each listed container.
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
    container:
      description: The container with its mode, namespace, networks and ports; null where it is absent.
      type: dict
      sample:
        name: web
        mode: bridge
        namespace: /run/netns/web
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bridgework.network.plugins.module_utils import _inspect
from ansible_collections.bridgework.network.plugins.module_utils._ansible import (
    FIREWALL_BACKEND,
    IPAM_CONFIG,
    STATE,
    item_results,
    run,
)
from ansible_collections.bridgework.network.plugins.module_utils._intent.containers import BridgeSpec, apply_bridge

if TYPE_CHECKING:
    from ansible_collections.bridgework.network.plugins.module_utils._converge import Result
    from ansible_collections.bridgework.network.plugins.module_utils._intent import Item

CONTAINERS = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "mode": {"type": "str", "choices": ["bridge", "none", "host", "container"], "default": "bridge"},
        "target": {"type": "str"},
        "ipv4_address": {"type": "str"},
        "ipv6_address": {"type": "str"},
        "mac_address": {"type": "str"},
        "interface_name": {"type": "str"},
        "sysctls": {"type": "dict"},
        "ports": {"type": "list", "elements": "str"},
        "labels": {"type": "dict"},
        "state": STATE,
    },
}


def results(spec: BridgeSpec, result: Result[list[Item]]) -> dict[str, Any]:
    listed = [item for item in result.outcome if item.kind == "container"]
    network = next((each.name for each in result.after.networks.values() if each.device == spec.device), None)
    return {
        "network": None if network is None else _inspect.network(result.after, network),
        "containers": item_results(listed, result, "container", _inspect.container),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "bw0"},
            "ipam_config": IPAM_CONFIG,
            "enable_ipv4": {"type": "bool"},
            "enable_ipv6": {"type": "bool"},
            "driver_options": {"type": "dict"},
            "labels": {"type": "dict"},
            "containers": CONTAINERS,
            "force": {"type": "bool", "default": False},
            "state": STATE,
            "firewall_backend": FIREWALL_BACKEND,
        },
        supports_check_mode=True,
    )
    run(
        module,
        BridgeSpec.from_params,
        lambda spec: lambda state, facts: apply_bridge(state, facts, spec),
        results,
    )


if __name__ == "__main__":
    main()
