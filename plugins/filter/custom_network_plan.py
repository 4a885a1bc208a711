# SPDX-FileCopyrightText: Bridgework contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``custom_network`` has its modules do."""

from __future__ import annotations

DOCUMENTATION = r"""
name: custom_network_plan
short_description: Say what the role custom_network has its modules do
version_added: 0.1.0
author: Bridgework contributors (@bridgework)
description:
  - Compares what the role P(bridgework.network.custom_network#role) is given with what it made earlier.
  - Networks and containers that are made are marked by a label, and only what has it is ever removed.
options:
  _input:
    description: The networks, as in the role's option C(custom_network_networks).
    type: list
    elements: dict
    required: true
  mappings:
    description: The published ports, as in the role's option C(custom_network_mappings).
    type: list
    elements: dict
    default: []
  state:
    description: Whether the networks and what hangs on them shall be there.
    type: str
    choices: [present, absent]
    default: present
  exclusive:
    description: Whether what is not listed goes.
    type: bool
    default: false
  containers:
    description: The containers with the role's label, as M(bridgework.network.container_info) returns them.
    type: list
    elements: dict
    default: []
  found:
    description: All networks, as M(bridgework.network.container_network_info) returns them.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Look for containers that the role made
  bridgework.network.container_info:
    filters:
      label: bridgework.role=custom_network
  register: made

- name: Look for networks
  bridgework.network.container_network_info:
  register: read

- name: Show which containers would go, were the network front all that is listed
  vars:
    listed:
      - name: front
        connected: [web]
    plan: >-
      {{ listed | bridgework.network.custom_network_plan(state='present', exclusive=true, mappings=[],
      containers=made.containers, found=read.networks) }}
  ansible.builtin.debug:
    var: plan.containers
"""

RETURN = r"""
_value:
  description: What is to be done.
  type: dict
  contains:
    faults:
      description: What a later task would fail at, each a sentence; nothing else is there where there is one.
      type: list
      elements: str
    networks:
      description: The option C(networks) of M(bridgework.network.container_network).
      type: list
      elements: dict
    mappings:
      description: The option C(mappings) of M(bridgework.network.port_mapping).
      type: list
      elements: dict
    containers:
      description: The option C(containers) of M(bridgework.network.netns_bridge).
      type: list
      elements: dict
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.bridgework.network.plugins.filter.container_name import container_name
from ansible_collections.bridgework.network.plugins.module_utils._model import PREDEFINED_NETWORKS
from ansible_collections.bridgework.network.plugins.module_utils._references import ID_PREFIX_LENGTH, named
from ansible_collections.bridgework.network.plugins.plugin_utils._faults import shown

Record = Mapping[str, Any]

LABELS = {"bridgework.role": "custom_network"}
# Networks that are made from a configuration get its labels, whoever makes them: so a configuration has another one.
CONFIGURATION_LABELS = {"bridgework.configuration": "custom_network"}


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"custom_network_plan": custom_network_plan}


def custom_network_plan(
    networks: Sequence[Record],
    mappings: Sequence[Record] = (),
    state: str = "present",
    exclusive: Any = False,
    containers: Sequence[Record] = (),
    found: Sequence[Record] = (),
) -> dict[str, list[Any]]:
    """As DOCUMENTATION has it."""
    networks, mappings, containers, found = map(_plain, (networks, mappings, containers, found))
    faults = list(_misshapen(networks, mappings))
    if faults:
        return _plan(faults=faults)
    call = _Call(networks, mappings, boolean(exclusive, strict=False), containers, found)
    if state == "absent":
        return _plan(networks=call.doomed(), mappings=call.withdrawn(), containers=_absent("name", call.going()))
    faults = list(call.faults())
    if faults:
        return _plan(faults=faults)
    return _plan(
        networks=[*call.wanted(), *call.gone()],
        mappings=[*call.published(), *call.unlisted()],
        containers=_absent("name", call.leaving()),
    )


def _plan(**parts: list[Any]) -> dict[str, list[Any]]:
    return {"faults": [], "networks": [], "mappings": [], "containers": [], **parts}


def _misshapen(networks: Any, mappings: Any) -> Iterator[str]:
    """Texts that Ansible would take for dictionaries."""
    for network in _as_list(networks):
        if not isinstance(network, Mapping):
            yield f"custom_network_networks: {shown(network)} is no dictionary; write it as {{name: NAME}}"
            continue
        labels = network.get("labels") or {}
        if not isinstance(labels, Mapping):
            yield f"labels in custom_network_networks: {shown(labels)} is no dictionary; write it as {{label: value}}"
        for endpoint in _as_list(network.get("endpoints")):
            if not isinstance(endpoint, Mapping):
                where = "endpoints in custom_network_networks"
                yield f"{where}: {shown(endpoint)} is no dictionary; write it as {{container: NAME}}"
    for mapping in _as_list(mappings):
        if not isinstance(mapping, Mapping):
            yield f"custom_network_mappings: {shown(mapping)} is no dictionary; write it as {{container: NAME}}"


@dataclass(frozen=True)
class _Made:
    """A network that the role made earlier."""

    name: str
    members: list[str]
    is_listed: bool
    is_ours_alone: bool

    def removal(self) -> dict[str, Any]:
        return {"name": self.name, "state": "absent", "force": self.is_ours_alone}


class _Call:
    """One call of the role: what it lists, beside what is there."""

    def __init__(
        self,
        networks: Sequence[Record],
        mappings: Sequence[Record],
        exclusive: bool,
        containers: Sequence[Record],
        found: Sequence[Record],
    ) -> None:
        self.networks, self.exclusive = networks, exclusive
        self.mappings = [{**each, "container": container_name(each["container"])} for each in mappings]
        self._ids = {each["Name"]: each["Id"] for each in found}
        self._listed = {self._called(network["name"]): _members(network) for network in self.networks}
        self._containers = _once(name for members in self._listed.values() for name in members)
        self._own = {each["name"]: bool(each["ports"]) for each in containers}
        known = {*self._own, *self._containers}
        self._earlier = [self._made(each, known) for each in found if _is_ours(each)]

    def _called(self, network: Any) -> str:
        """Its name, also where it is given by its ID."""
        text = str(network)
        return named("", text, self._ids, ID_PREFIX_LENGTH) or text

    def _made(self, network: Record, known: set[str]) -> _Made:
        members = [each["Name"] for each in network["Containers"].values()]
        return _Made(network["Name"], members, network["Name"] in self._listed, known.issuperset(members))

    # The networks.

    def wanted(self) -> Iterator[dict[str, Any]]:
        """With the labels, and without members that the role made and that are no longer listed."""
        members = {each.name: each.members for each in self._earlier}
        for network in self.networks:
            name = self._called(network["name"])
            gone = [each for each in members.get(name, []) if each in self._own and each not in self._listed[name]]
            yield {
                **network,
                **_labels(name, network),
                "container_labels": LABELS,
                "endpoints": [*(network.get("endpoints") or []), *_absent("container", gone)],
            }

    def gone(self) -> list[dict[str, Any]]:
        return [each.removal() for each in self._earlier if not each.is_listed]

    def doomed(self) -> list[dict[str, Any]]:
        return [each.removal() for each in self._earlier if each.is_listed or self.exclusive]

    # The published ports, by the container's name.

    def published(self) -> Iterator[dict[str, Any]]:
        """Of a container that the role made these are all that there are."""
        for mapping in self.mappings:
            yield {**mapping, **({"exclusive": True} if mapping["container"] in self._own else {})}

    def unlisted(self) -> list[dict[str, Any]]:
        """Those of the role's containers that none is listed of any more."""
        listed = {each["container"] for each in self.mappings}
        closing = [name for name, has_ports in self._own.items() if has_ports and name not in listed]
        return _absent("container", closing)

    def withdrawn(self) -> list[dict[str, Any]]:
        """Those of containers that go, and those that are listed of containers that stay."""
        return [
            *_absent("container", (name for name in self.going() if self._own[name])),
            *({**each, "state": "absent"} for each in self.mappings if each["container"] not in self._own),
        ]

    # The containers.

    def leaving(self) -> list[str]:
        return [name for name in self._own if name not in self._containers]

    def going(self) -> list[str]:
        return [name for name in self._own if self.exclusive or name in self._containers]

    def faults(self) -> Iterator[str]:
        """Ports that would fail once most of what is listed is made; check mode would not know."""
        gone = {each.name for each in self._earlier if not each.is_listed}
        for mapping in self.mappings:
            name = mapping["container"]
            network = self._called(mapping.get("network") or "")
            said, where = f"container {shown(name)}", f"network {shown(network)}"
            if name not in self._containers:
                yield (
                    f"custom_network_mappings: {said} is in none of custom_network_networks; connect it there, "
                    "or publish its ports with the module port_mapping"
                )
            elif network in gone:
                yield (
                    f"custom_network_mappings: {where} of {said} goes, as it is no longer listed; "
                    "list it in custom_network_networks, or leave it out here"
                )
            elif name not in self._listed.get(network, [name]):
                yield (
                    f"custom_network_mappings: {where} does not list {said}; connect it there, or name another network"
                )


def _members(network: Record) -> list[str]:
    """The containers that it lists."""
    endpoints, connected = _as_list(network.get("endpoints")), _as_list(network.get("connected"))
    given = [*(each["container"] for each in endpoints), *connected]
    return _once(filter(None, map(container_name, given)))


def _as_list(value: Any) -> Sequence[Any]:
    """The list that a module takes it for."""
    if isinstance(value, str):
        return value.split(",")
    return [value] if isinstance(value, (int, float)) else value or []


def _labels(name: str, network: Record) -> dict[str, Any]:
    """The predefined network is none of the role's own, and may have the label of the role bridge."""
    if name in PREDEFINED_NETWORKS:
        return {}
    mark = CONFIGURATION_LABELS if boolean(network.get("config_only") or False, strict=False) else LABELS
    return {"labels": {**(network.get("labels") or {}), **mark}}


def _is_ours(network: Record) -> bool:
    mark = CONFIGURATION_LABELS if network["ConfigOnly"] else LABELS
    return network["Name"] not in PREDEFINED_NETWORKS and mark.items() <= network["Labels"].items()


def _plain(value: Any) -> Any:
    """Without templates: Ansible fills them in where they are asked for one by one."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _absent(key: str, names: Iterable[str]) -> list[dict[str, Any]]:
    return [{key: name, "state": "absent"} for name in names]


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
