#!/usr/bin/python
# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prune."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_prune
short_description: Remove networks that no container uses
version_added: 0.1.0
description:
  - Removes networks that no container is connected to, and if asked for, containers that no process uses.
  - In check mode it lists exactly what a run would remove, and says of everything else why it stays.
author:
  - Bridgework contributors (@bridgework)
extends_documentation_fragment:
  - bridgework.network.common
options:
  networks:
    description: Remove networks without endpoints. Predefined ones and those of configuration only stay.
    type: bool
    default: true
  containers:
    description:
      - Remove containers first in whose namespace no process runs and whose namespace no other container shares.
      - Their published ports and endpoints go with them. Containers of mode C(host) stay.
    type: bool
    default: false
  filters:
    description:
      - Remove only what passes all of these filters.
      - V(until) is a point in time before which it was made, as a duration back from now (V(24h), V(1h30m)), a date
        and time (V(2025-01-31T12:00:00), in the host's time zone where there is none in it), or seconds since 1970.
      - V(label) and V(label!) are a label or a list of labels, each a key or C(key=value). What has all of V(label) is
        removed; what has all of V(label!) is not.
    type: dict
"""

EXAMPLES = r"""
- name: See what a prune would remove, and why the rest stays
  bridgework.network.network_prune:
  check_mode: true
  register: prune

- name: Remove unused containers, and then unused networks
  bridgework.network.network_prune:
    containers: true

- name: Remove unused networks of a project that are older than a day
  bridgework.network.network_prune:
    filters:
      until: 24h
      label: project=shop
      label!: keep

- name: Remove unused containers only, and write the firewall rules with nftables
  bridgework.network.network_prune:
    networks: false
    containers: true
    firewall_backend: nftables
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, one line a step.
  returned: always
  type: list
  elements: str
  sample:
    - remove bridge br-0a1b2c3d4e5f, mtu 1500, mac 02:42:8b:5a:11:f0, up
networks:
  description: Names of the networks that were removed.
  returned: always
  type: list
  elements: str
  sample: [net-test]
containers:
  description: Names of the containers that were removed.
  returned: always
  type: list
  elements: str
  sample: [web]
kept:
  description: What stays, and why.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: C(network) or C(container).
      type: str
      sample: network
    name:
      description: Its name.
      type: str
      sample: front
    reason:
      description: Why it stays.
      type: str
      sample: it is in use by container "web"
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bridgework.network.plugins.module_utils._ansible import FIREWALL_BACKEND, run
from ansible_collections.bridgework.network.plugins.module_utils._intent.prune import Pruned, PruneSpec, apply_prune

if TYPE_CHECKING:
    from ansible_collections.bridgework.network.plugins.module_utils._converge import Result


def results(spec: PruneSpec, result: Result[Pruned]) -> dict[str, Any]:
    pruned = result.outcome
    return {
        "networks": [item.name for item in pruned.items if item.kind == "network"],
        "containers": [item.name for item in pruned.items if item.kind == "container"],
        "kept": [{"kind": kind, "name": name, "reason": reason} for kind, name, reason in pruned.kept],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "networks": {"type": "bool", "default": True},
            "containers": {"type": "bool", "default": False},
            "filters": {"type": "dict"},
            "firewall_backend": FIREWALL_BACKEND,
        },
        supports_check_mode=True,
    )
    run(
        module,
        PruneSpec.from_params,
        lambda spec: lambda state, facts: apply_prune(state, facts, spec),
        results,
    )


if __name__ == "__main__":
    main()
