# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in words: the actions it took (or would take), the lines of its diff, and what each item had to do with it.

Both come from the same steps, so check mode can't say anything but what the run does.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from . import _reserved
from ._firewall.guard import is_guards
from ._firewall.iptables_tree import is_way
from ._hostconfig import (
    HOST,
    RESERVED_PORTS,
    Address,
    FirewallLine,
    Held,
    Link,
    Namespace,
    Route,
    Sysctl,
    endpoint_owner,
    link_of,
    network_owner,
    parent_owner,
)
from ._ipam import bridge_mac, link_local_address
from ._model import Container, PortMapping
from ._plan import CREATE, Plan, Step
from ._state import State

VERBS = {"create": "create", "update": "change", "delete": "remove"}
OWN_CHAIN = re.compile(r" (?:to|from|near)_(\S+)")  # of nftables', with the bridge that it is about
SEPARATORS = (r"[\s/:\"]", r"[\s/_\"@]")  # between the words of a rule; names and IPv6 addresses contain some of them
RECORDS = (("network", "networks"), ("container", "containers"), ("endpoint", "endpoints"), ("port", "mappings"))


def actions(plan: Plan) -> list[str]:
    """One line for each step, in order; of the firewall one for each rule."""
    lines = [_action(step) for step in plan.before_firewall()]
    if plan.firewall is not None:
        removed, added = plan.firewall.removed(), plan.firewall.added()
        lines += [f"remove {_line(rule)}" for rule in removed] + [f"create {_line(rule)}" for rule in added]
        if not removed and not added:
            lines.append("change firewall: its chains or the order of its rules")
    return lines + [_action(step) for step in plan.after_firewall()]


def diff(before: State, after: State, plan: Plan) -> dict[str, str]:
    """Before and after as text, one line a thing, with nothing in it that stays as it is."""
    old, new = _declared_lines(before, after)
    for step in plan.steps():
        if step.before == step.after:
            continue
        ports = _of_list(step)
        if ports is not None:
            for lines, each in zip((old, new), ports):
                lines += [f"sysctl {RESERVED_PORTS}: {each}"] if each else []
            continue
        old += [_line(step.before)] if step.before is not None else []
        new += [_line(each) for each in (step.after, step.peer) if each is not None]
    if plan.firewall is not None:
        removed, added = plan.firewall.removed(), plan.firewall.added()
        if not removed and not added:
            removed, added = plan.firewall.reordered()
        old += [_line(rule) for rule in removed]
        new += [_line(rule) for rule in added]
    return {"before": "".join(f"{line}\n" for line in old), "after": "".join(f"{line}\n" for line in new)}


def touched(before: State, after: State, plan: Plan) -> set[tuple[str, str]]:
    """The networks and containers, as (kind, name), whose declaration, links or rules a run changed."""
    found: set[tuple[str, str]] = set()
    for kind, attribute in RECORDS:
        for record in _changed_records(getattr(before, attribute), getattr(after, attribute)):
            found |= _concerned(kind, record)
    owners = _owners(before, after)
    for step in plan.steps():
        for thing in (step.before, step.after):
            found |= _concerned_by(thing, owners)
    if plan.firewall is not None:
        removed, added = plan.firewall.removed(), plan.firewall.added()
        lines = _without_moved(removed, added) or (*removed, *added) or plan.firewall.reordered()[1]
        found |= _concerned_by_rules(lines, before, after)
    return found


def _without_moved(removed: Iterable[FirewallLine], added: Iterable[FirewallLine]) -> list[FirewallLine]:
    """Lines that went or came, but for those that went from one chain of a table to another, and ways between these.

    A chain that gets too long is split, which is about nobody whose rules it has.
    """
    balance = Counter(map(_in_table, added))
    balance.subtract(map(_in_table, removed))
    return [line for line in (*removed, *added) if balance[_in_table(line)] and not is_way(line.place, line.text)]


def _in_table(line: FirewallLine) -> tuple[str, str]:
    return (line.place.rpartition(" ")[0], line.text)


def _concerned_by_rules(lines: Iterable[FirewallLine], before: State, after: State) -> set[tuple[str, str]]:
    """Whom rules are about: the networks whose bridges and the containers whose addresses they name.

    Those that name none, such as the jumps into our chains, are about all networks.
    """
    names: dict[str, set[tuple[str, str]]] = {}
    on_networks: dict[str, set[tuple[str, str]]] = {}
    for state in (before, after):
        for network in state.routed_networks():
            mac = bridge_mac(network.id)
            own = (network.device, network.id[:12], mac, link_local_address(mac))
            names.update((name, {("network", network.name)}) for name in own)
            for block in network.ipam:
                names.update(
                    (name, {("network", network.name)}) for name in (block.gateway, block.subnet.split("/")[0])
                )
        for endpoint in state.endpoints.values():
            container = ("container", endpoint.container)
            macs = [endpoint.mac] if endpoint.mac is not None else []
            addresses = (*endpoint.addresses, *endpoint.link_local, *map(link_local_address, macs))
            names.update((address, {container}) for address in addresses)
            on_networks.update((address, {("network", endpoint.network), container}) for address in addresses)
            names.update((name, {("network", endpoint.network), container}) for name in (endpoint.host_link, *macs))
    guarded = {**names, **on_networks}  # the guard's are about how a container is on its networks
    found: set[tuple[str, str]] = set()
    for line in lines:
        words = [*re.split("[_@]", line.place), *(word for each in SEPARATORS for word in re.split(each, line.text))]
        words += OWN_CHAIN.findall(f"{line.place} {line.text}")
        meant = guarded if is_guards(line.place) else names
        about = set().union(*(meant[word] for word in words if word in meant))
        found |= about or {("network", name) for name in after.networks}
    return found


def _declared_lines(before: State, after: State) -> tuple[list[str], list[str]]:
    old, new = [], []
    for kind, attribute in RECORDS:
        was, now = getattr(before, attribute), getattr(after, attribute)
        changed = sorted(_changed_keys(was, now))
        old += [_record(kind, was[key]) for key in changed if key in was]
        new += [_record(kind, now[key]) for key in changed if key in now]
    return old, new


def _record(kind: str, record: Any) -> str:
    """A declared record without what differs from run to run."""
    every = record._asdict() if isinstance(record, PortMapping) else asdict(record)
    fields = {key: value for key, value in every.items() if value not in (None, {}, (), [], False)}
    for hidden in ("created", "serial"):
        fields.pop(hidden, None)
    if isinstance(record, Container) and record.ports:
        fields["ports"] = [each.shown for each in record.ports]
    name = fields.pop("name", None)
    shown = f'{kind} "{name}"' if name is not None else kind
    return f"declared {shown}: {json.dumps(fields, sort_keys=True)}"


def _changed_records(was: Mapping[Any, Any], now: Mapping[Any, Any]) -> Iterable[Any]:
    for key in _changed_keys(was, now):
        yield from (each for each in (was.get(key), now.get(key)) if each is not None)


def _changed_keys(was: Mapping[Any, Any], now: Mapping[Any, Any]) -> list[Any]:
    """Most records are the very same; to compare thousands of them field by field would take longer than the task."""
    gone = [key for key in was if key not in now]
    return gone + [key for key, each in now.items() if was.get(key) is not each and was.get(key) != each]


def _concerned(kind: str, record: Any) -> set[tuple[str, str]]:
    if kind in ("network", "container"):
        return {(kind, record.name)}
    found = {("container", record.container)}
    return found | {("network", record.network)} if kind == "endpoint" else found


def _owners(*states: State) -> dict[Any, set[tuple[str, str]]]:
    """Whom a link stands for, by its mark and by its place."""
    found: dict[Any, set[tuple[str, str]]] = {}
    for state in states:
        for network in state.networks.values():
            concerned = {("network", network.name)}
            found[network_owner(network.name)] = concerned
            if not network.foreign_device:  # others may be on it too
                for mark in (parent_owner(network.device), (HOST, network.device)):
                    found[mark] = found.get(mark, set()) | concerned
        for endpoint in state.endpoints.values():
            concerned = {("network", endpoint.network), ("container", endpoint.container)}
            found[endpoint_owner(endpoint.id)] = found[(endpoint.container, endpoint.interface)] = concerned
    return found


def _concerned_by(thing: Any, owners: Mapping[Any, set[tuple[str, str]]]) -> set[tuple[str, str]]:
    if thing is None:
        return set()
    if isinstance(thing, Link):
        return owners.get(thing.owner, set())
    if isinstance(thing, Namespace):
        return {("container", thing.name)}
    place = link_of(thing) if isinstance(thing, Sysctl) else (thing.namespace, thing.link)
    return owners.get(place, {("container", place[0])} if place[0] != HOST else set())


def _of_list(step: Step[Held]) -> tuple[str, str] | None:
    """Where the step changes a list of ports, those that it takes away, and those that it adds."""
    if not isinstance(step.thing, Sysctl) or step.thing.path != RESERVED_PORTS:
        return None
    before = _reserved.parse(step.before.value if isinstance(step.before, Sysctl) else "")
    after = _reserved.parse(step.after.value if isinstance(step.after, Sysctl) else "")
    return _reserved.write(before - after), _reserved.write(after - before)


def _action(step: Step[Held]) -> str:
    ports = _of_list(step)
    if ports is not None:
        changes = [f"{verb} {each}" for verb, each in zip(("release", "reserve"), ports) if each]
        return f"change sysctl {RESERVED_PORTS}: {', '.join(changes)}"
    text = f"{VERBS[step.verb]} {_line(step.thing)}"
    if step.verb == CREATE and step.peer is not None:
        text += f" and {_line(step.peer)}"
    return text


def _line(thing: Held) -> str:
    """Any thing that a host holds, on one line."""
    if isinstance(thing, FirewallLine):
        return f"rule [{thing.place}] {thing.text}"
    if isinstance(thing, Namespace):
        behind = "" if thing.of is None else " on " + ("the host" if thing.of == HOST else f'"{thing.of}"')
        kind = "namespace" if thing.of is None else "handle"
        return f"{kind} /run/netns/{thing.name}{behind}" + ("" if thing.loopback_up else " (lo down)")
    where = f"{thing.namespace}/" if thing.namespace != HOST else ""
    if isinstance(thing, Address):
        return f"address {thing.address} on {where}{thing.link}"
    if isinstance(thing, Route):
        return f"route {thing.destination} via {thing.gateway} on {where}{thing.link}"
    if isinstance(thing, Sysctl):
        return f"sysctl {where}{thing.path} = {thing.value}"
    parts = [" ".join(filter(None, (thing.kind, thing.variant, f"{where}{thing.name}")))]
    parts += [f"mtu {thing.mtu}"] if thing.mtu is not None else []
    parts += [f"on {thing.lower}"] if thing.lower is not None else []
    parts += [f"mac {thing.mac}"] if thing.mac else []
    parts += [f"on {thing.master}"] if thing.master else []
    parts += ["hairpin"] if thing.hairpin else []
    parts += [] if thing.marked else [f"alias {json.dumps(thing.owner)}"]
    parts += ["isolated"] if thing.isolated else []
    parts += ["unguarded"] if thing.unguarded else []
    return ", ".join([*parts, "up" if thing.up else "down"])
