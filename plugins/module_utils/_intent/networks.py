# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: created, changed, connected, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import _drivers, _ipam, _options, _references, _validate
from .._drivers import driver_of
from .._drivers.bridge import device_of
from .._errors import BridgeworkError, InUse, InvalidInput, quoted
from .._facts import Facts
from .._model import PREDEFINED_BRIDGE, PREDEFINED_NETWORKS, Network
from .._references import ID_PREFIX_LENGTH, named
from .._settings import IPV6_MTU
from .._state import State
from . import Item
from .configurations import (
    configuration,
    inherited,
    other_kind,
    refuse_clusters,
    refuse_in_use,
    refuse_own,
    with_kept,
)
from .endpoints import EndpointSpec, connect, disconnect, missing, on_trust, readdress, refit, vacate
from .subnets import first_blocks, refuse_disruption, updated_blocks

IPAM_DRIVERS = ("default", "null")


@dataclass(frozen=True)
class NetworkSpec:
    """What a task says of one network; None leaves a default, or an existing network as it is."""

    name: str
    driver: str | None = None
    driver_options: Mapping[str, str] | None = None
    ipam_config: tuple[Mapping[str, Any], ...] | None = None
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None
    ipam_driver: str | None = None
    ipam_options: Mapping[str, str] | None = None
    config_only: bool | None = None
    config_from: str | None = None
    scope: str | None = None
    ingress: bool | None = None
    internal: bool | None = None
    attachable: bool | None = None
    labels: Mapping[str, str] | None = None
    connected: tuple[str, ...] | None = None
    container_labels: Mapping[str, str] = field(default_factory=dict)  # of containers that are made
    appends: bool = False
    endpoints: tuple[EndpointSpec, ...] = ()
    given: frozenset[str] = frozenset()  # containers that are called by a path, and so have to exist
    force: bool = False
    state: str = "present"

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> NetworkSpec:
        name = params["name"]
        subject = f"network {quoted(name)}"
        _validate.name(subject, "name", name)
        options = params.get("driver_options")
        ipam = params.get("ipam_config")
        connected = params.get("connected")
        endpoints = params.get("endpoints") or ()
        joining = [each["container"] for each in endpoints if each.get("state") != "absent"]
        return cls(
            name=name,
            driver=params.get("driver"),
            driver_options=None if options is None else _drivers.checked_options(subject, options),
            ipam_config=None if not ipam else tuple(ipam),
            enable_ipv4=params.get("enable_ipv4"),
            enable_ipv6=params.get("enable_ipv6"),
            ipam_driver=None
            if params.get("ipam_driver") is None
            else _validate.choice(subject, "ipam_driver", params["ipam_driver"], IPAM_DRIVERS),
            ipam_options=None
            if params.get("ipam_driver_options") is None
            else text_values(params["ipam_driver_options"]),
            config_only=params.get("config_only"),
            config_from=params.get("config_from"),
            scope=params.get("scope"),
            ingress=params.get("ingress"),
            internal=params.get("internal"),
            attachable=params.get("attachable"),
            labels=None if params.get("labels") is None else text_values(params["labels"]),
            # An empty list says nothing, as with docker_network: it is what is left of an expression without a value.
            connected=_names(subject, "connected", connected) if connected else None,
            container_labels=text_values(params.get("container_labels") or {}),
            appends=bool(params.get("appends")),
            endpoints=tuple(EndpointSpec.from_params(subject, each) for each in endpoints),
            given=_references.paths(_validate.words([*(connected or ()), *joining])),
            force=bool(params.get("force")),
            state=params.get("state") or "present",
        )

    @property
    def containers(self) -> set[str]:
        return {*(self.connected or ()), *(each.container for each in self.endpoints)}


def _names(subject: str, option: str, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(_references.container(subject, option, value) for value in _validate.words(values))


def apply_networks(state: State, facts: Facts, specs: Sequence[NetworkSpec]) -> list[Item]:
    """All networks are as their specs say. One that can't be removed is reported and doesn't stop the others."""
    facts.look_up(name for spec in specs for name in spec.containers)
    specs = [_by_name(state, spec) for spec in specs]
    _refuse_repeats("network", "networks", [spec.name for spec in specs])
    guessed = {spec.name for spec in specs if is_guessed(state, facts, spec)}
    items = {}
    # What was made from a configuration goes before it.
    absent = (spec for spec in specs if spec.state == "absent")
    for spec in sorted(absent, key=lambda each: _is_configuration(state, each.name)):
        try:
            name = remove(state, spec.name, spec.force)
            items[spec.name] = Item("network", name, "absent")
        except BridgeworkError as error:
            items[spec.name] = Item("network", spec.name, "absent", str(error))
    present = [spec for spec in specs if spec.state == "present"]
    # Subnets that were asked for come before those that are free to choose.
    for spec in sorted(present, key=lambda each: each.ipam_config is None):
        _declare(state, facts, spec)
    for spec in present:
        network = state.networks[spec.name]
        endpoints, warnings = on_trust(network, spec.endpoints) if spec.name in guessed else (spec.endpoints, [])
        warnings += missing(state, facts, f'network "{network.name}"', spec.given)
        _connect_all(state, facts, network, replace(spec, endpoints=endpoints))
        items[spec.name] = Item("network", spec.name, "present", warning="; ".join(warnings) or None)
    return [items[spec.name] for spec in specs]


def _by_name(state: State, spec: NetworkSpec) -> NetworkSpec:
    """The spec by the network's name, where it is called by its ID. (What shall be absent is found one by one.)"""
    network = None if spec.state == "absent" else find(state, spec.name)
    return spec if network is None else replace(spec, name=network.name)


def _is_configuration(state: State, reference: str) -> bool:
    return reference in state.networks and state.networks[reference].config_only


def is_guessed(state: State, facts: Facts, spec: NetworkSpec) -> bool:
    """Whether the network's subnet is a guess: in check mode an earlier task may have pretended to make it."""
    is_free = not spec.ipam_config and spec.config_from is None
    return facts.check_mode and spec.name not in state.networks and is_free


def ensure(state: State, facts: Facts, spec: NetworkSpec) -> Network:
    """The network exists and has the endpoints of the spec."""
    network = _declare(state, facts, spec)
    _connect_all(state, facts, network, spec)
    return network


def _declare(state: State, facts: Facts, spec: NetworkSpec) -> Network:
    existing = state.networks.get(spec.name)
    if existing is not None and _makes_way(state, existing, spec):
        existing = None
    network = _create(state, facts, spec) if existing is None else _update(state, facts, existing, spec)
    state.networks[network.name] = network
    if not network.config_only:
        refit(state, facts, network)
    return network


def _makes_way(state: State, existing: Network, spec: NetworkSpec) -> bool:
    """Whether the network was taken away to be made anew, as one of another kind."""
    change = other_kind(existing, spec)
    if change is None:
        return False
    refuse_in_use(state, existing)
    users = [endpoint.container for endpoint in state.endpoints_on(existing.name)]
    if users and not spec.force:
        raise _cut_off(f'network "{existing.name}"', *change, users)
    for user in users if spec.config_only else ():
        disconnect(state, existing.name, user)
    del state.networks[existing.name]
    return True


def _cut_off(subject: str, option: str, value: str, present: str, users: Sequence[str]) -> InUse:
    return InUse(
        subject,
        option,
        value,
        f"differs from {present} and would cut off " + ", ".join(f'container "{user}"' for user in sorted(users)),
        "set force to re-create their endpoints",
    )


def remove(state: State, reference: str, force: bool) -> str:
    """The network is gone; returns its name. Without force, one that containers use is refused."""
    if reference in PREDEFINED_NETWORKS:
        raise InvalidInput(
            f'network "{reference}"', "", "", "is predefined and can't be removed", "leave it out of the task"
        )
    network = find(state, reference)
    if network is None:
        return reference
    drop(state, network, force)
    return network.name


def drop(state: State, network: Network, force: bool) -> None:
    """The network is out of the declared state, with its endpoints where force is set."""
    refuse_in_use(state, network)
    users = [endpoint.container for endpoint in state.endpoints_on(network.name)]
    if users and not force:
        raise InUse(
            f'network "{network.name}"',
            "",
            "",
            "is in use by " + ", ".join(f'container "{user}"' for user in sorted(users)),
            "disconnect them first, or set force to have them disconnected",
        )
    for user in users:
        disconnect(state, network.name, user)
    for mapping in [m for m in state.mappings.values() if m.network == network.name]:
        del state.mappings[mapping.key]
    del state.networks[network.name]


def find(state: State, reference: str) -> Network | None:
    """The network of that name, full ID or unique ID prefix."""
    ids = {network.name: network.id for network in state.networks.values()}
    name = named(f"network {quoted(reference)}", reference, ids, ID_PREFIX_LENGTH)
    return None if name is None else state.networks[name]


def text_values(values: Mapping[str, Any]) -> Mapping[str, str]:
    """Labels and options as Docker keeps them: text, with booleans in lower case."""
    return {str(key): _text(value) for key, value in values.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _create(state: State, facts: Facts, spec: NetworkSpec) -> Network:
    subject = f'network "{spec.name}"'
    if spec.name in PREDEFINED_NETWORKS and spec.name != PREDEFINED_BRIDGE:
        raise InvalidInput(
            subject,
            "",
            "",
            "is predefined and has no endpoints",
            f"use netns_bridge with the container mode {spec.name}",
        )
    refuse_clusters(subject, spec)
    identity = _identity(state, facts, spec.name)
    if spec.config_only:
        wanted = configuration(facts, subject, spec, identity)
        _refuse_contradictions(subject, wanted)
        return wanted
    spec = inherited(state, subject, spec)
    options = dict(spec.driver_options or {})
    driver = _chosen(subject, spec.name, spec.driver or _drivers.DEFAULT, options)
    network = Network(
        id=identity,
        name=spec.name,
        driver=driver.name,
        device="",
        ipam=first_blocks(state, facts, subject, spec, driver),
        ipam_driver=spec.ipam_driver or IPAM_DRIVERS[0],
        ipam_options=spec.ipam_options or {},
        config_from=spec.config_from,
        created=facts.now,
        internal=bool(spec.internal),
        attachable=bool(spec.attachable),
        labels=spec.labels or {},
        options=options,
    )
    _refuse_contradictions(subject, network)
    return driver.placed(state, facts, subject, network, None, spec.force)


def _chosen(subject: str, name: str, driver: str, options: Mapping[str, str]) -> _drivers.Driver:
    if name == PREDEFINED_BRIDGE and driver != _drivers.DEFAULT:
        raise InvalidInput(
            subject, "driver", driver, "is not that of this predefined network", f"use {_drivers.DEFAULT}"
        )
    return _drivers.chosen(subject, driver, options)


def _identity(state: State, facts: Facts, name: str) -> str:
    if name == PREDEFINED_BRIDGE:
        return _ipam.predefined_id(facts.machine_id, name)
    known = {network.id for network in state.networks.values()}
    devices = {network.device for network in state.networks.values()}
    return _ipam.unique_id(
        lambda found: found in known or device_of(found) in devices,
        facts.machine_id,
        "network",
        name,
        state.next_serial(),
    )


def _update(state: State, facts: Facts, existing: Network, spec: NetworkSpec) -> Network:
    subject = f'network "{existing.name}"'
    refuse_clusters(subject, spec)
    if existing.config_from is not None:
        refuse_own(subject, spec, existing.config_from)
    if existing.config_only:
        changed = configuration(facts, subject, _with_present(existing, spec), existing.id)
        _refuse_contradictions(subject, changed)
        changed = replace(changed, created=existing.created)
        if changed != existing:
            refuse_in_use(state, existing)
        return changed
    is_kept = spec.driver in (None, existing.driver)
    # Another driver starts from a clean sheet.
    options = _as_given(existing.options, spec.driver_options) if is_kept else spec.driver_options or {}
    driver = _chosen(subject, existing.name, spec.driver or existing.driver, options)
    wanted = replace(
        existing,
        driver=driver.name,
        options=options,
        ipam=updated_blocks(state, facts, subject, existing, spec, driver),
        ipam_options=existing.ipam_options if spec.ipam_options is None else spec.ipam_options,
        internal=existing.internal if spec.internal is None else spec.internal,
        attachable=existing.attachable if spec.attachable is None else spec.attachable,
        labels=_as_given(existing.labels, spec.labels),
    )
    _refuse_contradictions(subject, wanted)
    wanted = driver.placed(state, facts, subject, wanted, existing if is_kept else None, spec.force)
    _refuse_disruption(state, subject, existing, wanted, spec.force)
    return wanted


def _with_present(existing: Network, spec: NetworkSpec) -> NetworkSpec:
    """The spec of a configuration with what it leaves out taken from what is there."""
    return replace(
        spec,
        ipam_driver=spec.ipam_driver or existing.ipam_driver,
        ipam_options=existing.ipam_options if spec.ipam_options is None else spec.ipam_options,
        driver_options=_as_given(existing.options, spec.driver_options),
        ipam_config=with_kept(f'network "{existing.name}"', spec, existing),
        labels=_as_given(existing.labels, spec.labels),
    )


def _as_given(present: Mapping[str, str], given: Mapping[str, str] | None) -> Mapping[str, str]:
    """Where any that was given differs, those that were given; so community.docker's docker_network makes it."""
    if given is None or all(present.get(key) == value for key, value in given.items()):
        return present
    return given


def _refuse_disruption(state: State, subject: str, existing: Network, wanted: Network, force: bool) -> None:
    """Without force nothing is done that every endpoint would feel."""
    refuse_disruption(state, subject, existing, wanted, force)
    users = sorted(endpoint.container for endpoint in state.endpoints_on(existing.name))
    if force or not users:
        return
    if wanted.driver != existing.driver:
        change: tuple[str, str, str] | None = ("driver", existing.driver, wanted.driver)
    else:
        change = driver_of(wanted).uprooting(existing, wanted)
    if change is not None:
        option, was, now = change
        raise _cut_off(subject, option, now, f"the present {was}", users)


def _refuse_contradictions(subject: str, network: Network) -> None:
    found = None if network.config_only else driver_of(network).contradiction(network)
    if found is not None:
        key, problem, remedy = found
        raise InvalidInput(subject, key, network.options[key], problem, remedy)
    if network.block(6) is not None and _options.mtu(network.options) < IPV6_MTU:
        raise InvalidInput(
            subject,
            _options.MTU,
            network.options[_options.MTU],
            "is too small for IPv6",
            f"use {IPV6_MTU} at least (RFC 8200), or leave IPv6 out",
        )


def _connect_all(state: State, facts: Facts, network: Network, spec: NetworkSpec) -> None:
    _refuse_repeats(f'network "{network.name}": endpoint of', "endpoints", [each.container for each in spec.endpoints])
    absent = {each.container for each in spec.endpoints if each.state == "absent"}
    for container in absent.intersection(spec.connected or ()):
        raise InvalidInput(
            f'network "{network.name}"',
            "connected",
            container,
            "is listed in endpoints as absent",
            "take it out of one of the two",
        )
    present = [each for each in spec.endpoints if each.state == "present"]
    named = {each.container for each in present}
    if spec.connected is not None and not spec.appends:
        absent |= {e.container for e in state.endpoints_on(network.name)} - {*spec.connected, *named}
    for container in sorted(absent):
        disconnect(state, network.name, container)
    # Addresses that were asked for come before those that are free to choose; who moves makes room for who comes.
    fixed = [each for each in present if each.fixes_address]
    for each in fixed:
        vacate(state, network, each)
    for each in fixed:
        connect(state, facts, network, each, spec.container_labels)
    readdress(state, facts, network)
    free = [each for each in present if not each.fixes_address]
    others = [EndpointSpec(name) for name in spec.connected or () if name not in named and name not in absent]
    for each in (*free, *others):
        connect(state, facts, network, each, spec.container_labels)


def _refuse_repeats(kind: str, option: str, names: Sequence[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise InvalidInput(f'{kind} "{name}"', option, name, "is listed twice", "list it once")
        seen.add(name)
