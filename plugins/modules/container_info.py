#!/usr/bin/python
# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers, inspected."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_info
short_description: Inspect containers
version_added: 0.1.0
description:
  - Says of containers what was declared, such as mode, endpoints and published ports.
  - Says too what the kernel holds of them now, such as the namespace, who shares it, its processes and routes.
author:
  - Bridgework contributors (@bridgework)
extends_documentation_fragment:
  - bridgework.network.common.info
options:
  name:
    description: Names of containers. Without it all declared containers are inspected.
    type: list
    elements: str
  filters:
    description:
      - Inspect only containers that pass all of these filters, each a value or a list of values.
      - Of several V(label) values, each a key or C(key=value), all must be there.
      - Of several V(mode) values any will do.
      - A container of O(name) that does not pass is none of RV(missing).
    type: dict
"""

EXAMPLES = r"""
- name: Inspect a container, and fail where nothing runs in it
  bridgework.network.container_info:
    name: web
  register: web
  failed_when: web.container.processes | length == 0

- name: Inspect all containers
  bridgework.network.container_info:

- name: Inspect the containers of a project that have an interface of their own
  bridgework.network.container_info:
    filters:
      label: project=shop
      mode: bridge
"""

RETURN = r"""
exists:
  description: Whether each of O(name) is a declared container, and any passes O(filters).
  returned: always
  type: bool
  sample: true
missing:
  description: Those of O(name) that are no declared containers.
  returned: always
  type: list
  elements: str
  sample: []
container:
  description: The first of RV(containers); null where there is none.
  returned: always
  type: dict
  sample:
    name: web
    mode: bridge
containers:
  description: The containers, in the order of O(name); without it sorted by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The container's name.
      type: str
      sample: web
    id:
      description: Its ID, of 64 hexadecimal characters.
      type: str
      sample: 4be1c0d7f36b2a15988e60d3c7f1a92b4be1c0d7f36b2a15988e60d3c7f1a92b
    mode:
      description: Its network mode.
      type: str
      sample: bridge
    target:
      description: The container whose namespace it shares, with mode C(container); null with other modes.
      type: str
      sample: web
    namespace:
      description: The handle that everything joins it by.
      type: str
      sample: /run/netns/web
    namespace_inode:
      description: The inode of the namespace behind the handle; null where there is none.
      type: int
      sample: 4026532573
    namespace_is_the_hosts:
      description: Whether that is the host's own namespace.
      type: bool
      sample: false
    shared_with:
      description: Other containers with the same namespace.
      type: list
      elements: str
      sample: [web-sidecar]
    processes:
      description: Processes that live in the namespace. What is unprintable in a name is escaped.
      type: list
      elements: str
      sample: ["nginx (pid 4711)"]
    labels:
      description: Its labels.
      type: dict
      sample: {}
    networks:
      description:
        - Its endpoints, by network, with C(interface), C(addresses), C(mac_address), C(aliases), C(links),
          C(link_local_ips), C(gw_priority) and C(driver_opts).
      type: dict
      sample:
        net-test:
          interface: eth0
          addresses: [192.168.10.2]
    routes:
      description:
        - The routes of its main table, with C(destination), C(gateway) and C(interface).
        - The gateway is C(0.0.0.0) or C(::) where there is none, or where a route has several. One with several, and
          one that leads nowhere, has an empty interface.
      type: list
      elements: dict
      sample:
        - destination: default
          gateway: 192.168.10.1
          interface: eth0
    ports:
      description:
        - Its published ports in the shape of Docker's C(NetworkSettings.Ports).
        - Those that not everybody may use have C(AllowedSources) besides, which is empty where only the host may.
      type: dict
      sample:
        8080/tcp:
          - HostIp: 0.0.0.0
            HostPort: "8000"
    host_ports:
      description: Ports of the host that it is declared to listen on, with mode C(host).
      type: list
      elements: str
      sample: []
    port_conflicts:
      description:
        - Published ports that a process of the host listens on too. Nobody reaches it there, but for those whom the
          port is not for.
        - Each with the C(port) of the container, C(HostIp), C(HostPort), and in C(listener) which process it is.
      type: list
      elements: dict
      sample:
        - port: 8080/tcp
          HostIp: 0.0.0.0
          HostPort: "8000"
          listener: process nginx (pid 4711), which listens on 0.0.0.0:8000
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bridgework.network.plugins.module_utils import (
    _inspect,
    _listing,
    _references,
    _validate,
)
from ansible_collections.bridgework.network.plugins.module_utils._ansible import show

if TYPE_CHECKING:
    from typing import Optional

    from ansible_collections.bridgework.network.plugins.module_utils._converge import Intent
    from ansible_collections.bridgework.network.plugins.module_utils._facts import Facts
    from ansible_collections.bridgework.network.plugins.module_utils._state import State

    Spec = tuple[Optional[list[str]], dict[str, tuple[str, ...]]]
    Found = tuple[list[str], list[Optional[dict[str, Any]]]]


def read(params: dict[str, Any]) -> Spec:
    return params["name"], _listing.container_filters(params["filters"])


def view_of(spec: Spec) -> Intent[Found]:
    names, filters = spec

    def view(state: State, facts: Facts) -> Found:
        asked = sorted(state.containers) if names is None else _validate.words(names)
        wanted = {_named(text): text for text in asked}
        missing = [text for name, text in wanted.items() if name not in state.containers]
        found = [name for name in wanted if name in state.containers]
        chosen = [name for name in found if _listing.passes(state.containers[name], filters)]
        return missing, [_inspect.container_now(state, facts, name) for name in chosen]

    return view


def _named(text: str) -> str:
    """A path below /run/netns is a name; any other text that stands for no container is a missing one."""
    return _references.container("container", "name", text) if text.startswith("/") else text


def results(_spec: Spec, found: Found) -> dict[str, Any]:
    missing, containers = found
    return {
        "exists": not missing and bool(containers),
        "missing": missing,
        "container": containers[0] if containers else None,
        "containers": containers,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "list", "elements": "str"}, "filters": {"type": "dict"}},
        supports_check_mode=True,
    )
    show(module, read, view_of, results)


if __name__ == "__main__":
    main()
