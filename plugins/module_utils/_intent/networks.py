# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: created, changed, connected, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import _ipam, _options, _validate
from .._errors import BridgeworkError, InUse, InvalidInput, quoted
from .._facts import Facts
from .._model import PREDEFINED_BRIDGE, PREDEFINED_BRIDGE_DEVICE, PREDEFINED_NETWORKS, IpamBlock, Network
from .._state import State
from . import Item
from .endpoints import EndpointSpec, connect, disconnect, on_trust, readdress, vacate

DRIVERS = ("bridge",)
ID_PREFIX_LENGTH = 12  # as IDs are shown; shorter ones are taken for names


@dataclass(frozen=True)
class NetworkSpec:
    """What a task says of one network; None leaves a default, or an existing network as it is."""

    name: str
    driver: str | None = None
    driver_options: Mapping[str, str] | None = None
    ipam_config: tuple[Mapping[str, Any], ...] | None = None
    internal: bool | None = None
    attachable: bool | None = None
    labels: Mapping[str, str] | None = None
    connected: tuple[str, ...] | None = None
    appends: bool = False
    endpoints: tuple[EndpointSpec, ...] = ()
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
        return cls(
            name=name,
            driver=params.get("driver"),
            driver_options=None if options is None else _options.checked(subject, options),
            ipam_config=None if not ipam else tuple(ipam),
            internal=params.get("internal"),
            attachable=params.get("attachable"),
            labels=None if params.get("labels") is None else text_values(params["labels"]),
            connected=None if connected is None else _names(subject, "connected", connected),
            appends=bool(params.get("appends")),
            endpoints=tuple(EndpointSpec.from_params(subject, each) for each in params.get("endpoints") or ()),
            force=bool(params.get("force")),
            state=params.get("state") or "present",
        )


def _names(subject: str, option: str, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(_validate.name(subject, option, value) for value in _validate.words(values))


def apply_networks(state: State, facts: Facts, specs: Sequence[NetworkSpec]) -> list[Item]:
    """All networks are as their specs say. One that can't be removed is reported and doesn't stop the others."""
    _refuse_repeats("network", "networks", [spec.name for spec in specs])
    guessed = {spec.name for spec in specs if is_guessed(state, facts, spec)}
    items = {}
    for spec in (spec for spec in specs if spec.state == "absent"):
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
        _connect_all(state, facts, network, replace(spec, endpoints=endpoints))
        items[spec.name] = Item("network", spec.name, "present", warning="; ".join(warnings) or None)
    return [items[spec.name] for spec in specs]


def is_guessed(state: State, facts: Facts, spec: NetworkSpec) -> bool:
    """Whether the network's subnet is a guess: in check mode an earlier task may have pretended to make it."""
    return facts.check_mode and spec.name not in state.networks and not spec.ipam_config


def ensure(state: State, facts: Facts, spec: NetworkSpec) -> Network:
    """The network exists and has the endpoints of the spec."""
    network = _declare(state, facts, spec)
    _connect_all(state, facts, network, spec)
    return network


def _declare(state: State, facts: Facts, spec: NetworkSpec) -> Network:
    existing = state.networks.get(spec.name)
    network = _create(state, facts, spec) if existing is None else _update(state, facts, existing, spec)
    if network.name == PREDEFINED_BRIDGE and network.device != PREDEFINED_BRIDGE_DEVICE:
        raise InvalidInput(
            f'network "{network.name}"',
            _options.BRIDGE_NAME,
            network.device,
            "is not the bridge of this predefined network",
            f"leave it out: that is {PREDEFINED_BRIDGE_DEVICE}",
        )
    state.networks[network.name] = network
    return network


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
    if reference in state.networks:
        return state.networks[reference]
    if len(reference) < ID_PREFIX_LENGTH:
        return None
    found = [network for network in state.networks.values() if network.id.startswith(reference)]
    if len(found) > 1:
        names = ", ".join(f'"{network.name}"' for network in found)
        raise InvalidInput(
            f'network "{reference}"', "name", reference, f"is the ID prefix of {names}", "give more of it"
        )
    return found[0] if found else None


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
    driver = _validate.choice(subject, "driver", spec.driver or DRIVERS[0], DRIVERS)
    known = {network.id for network in state.networks.values()}
    devices = {network.device for network in state.networks.values()}
    identity = _ipam.unique_id(
        lambda found: found in known or _device(found) in devices,
        facts.machine_id,
        "network",
        spec.name,
        state.next_serial(),
    )
    options = dict(spec.driver_options or {})
    default = PREDEFINED_BRIDGE_DEVICE if spec.name == PREDEFINED_BRIDGE else _device(identity)
    return Network(
        id=identity,
        name=spec.name,
        driver=driver,
        device=_free_device(state, subject, options.get(_options.BRIDGE_NAME, default), None, spec.name),
        ipam=(_first_block(state, facts, subject, spec),),
        created=facts.now,
        internal=bool(spec.internal),
        attachable=bool(spec.attachable),
        labels=spec.labels or {},
        options=options,
    )


def _update(state: State, facts: Facts, existing: Network, spec: NetworkSpec) -> Network:
    subject = f'network "{existing.name}"'
    _validate.choice(subject, "driver", spec.driver or existing.driver, DRIVERS)
    options = {**existing.options, **(spec.driver_options or {})}
    device = options.get(_options.BRIDGE_NAME, existing.device)
    wanted = replace(
        existing,
        options=options,
        device=existing.device
        if device == existing.device
        else _free_device(state, subject, device, existing, existing.name),
        ipam=(_updated_block(state, facts, subject, existing, spec),),
        internal=existing.internal if spec.internal is None else spec.internal,
        attachable=existing.attachable if spec.attachable is None else spec.attachable,
        labels=existing.labels if spec.labels is None else spec.labels,
    )
    _refuse_disruption(state, subject, existing, wanted, spec.force)
    return wanted


def _refuse_disruption(state: State, subject: str, existing: Network, wanted: Network, force: bool) -> None:
    """Without force nothing is done that every endpoint would feel."""
    differences = [
        (option, old, new)
        for option, old, new in (
            ("subnet", existing.ipam[0].subnet, wanted.ipam[0].subnet),
            (_options.BRIDGE_NAME, existing.device, wanted.device),
        )
        if old != new
    ]
    users = sorted(endpoint.container for endpoint in state.endpoints_on(existing.name))
    if differences and users and not force:
        option, old, new = differences[0]
        raise InUse(
            subject,
            option,
            new,
            f"differs from the present {old} and would cut off " + ", ".join(f'container "{user}"' for user in users),
            "set force to re-create their endpoints",
        )


def _first_block(state: State, facts: Facts, subject: str, spec: NetworkSpec) -> IpamBlock:
    config = _single_config(subject, spec)
    if config.get("subnet"):
        block = _ipam.ipam_block(subject, **config)
        _refuse_overlap(state, facts, subject, block, spec)
        return block
    if config:
        option = sorted(config)[0]
        raise InvalidInput(
            subject, option, config[option], "is given without a subnet", "give the subnet too, or leave both out"
        )
    used = [block.subnet for network in state.networks.values() for block in network.ipam]
    used += [*facts.connected_subnets(), *facts.nameservers()]
    return _ipam.ipam_block(subject, _ipam.free_subnet(subject, used, facts.routed_subnets()))


def _updated_block(state: State, facts: Facts, subject: str, existing: Network, spec: NetworkSpec) -> IpamBlock:
    """The present block with the given keys changed; another subnet starts from a clean sheet."""
    present = existing.ipam[0]
    config = _single_config(subject, spec)
    if not config:
        return present
    subnet = str(_validate.network(subject, "subnet", config.get("subnet", present.subnet)))
    if subnet == present.subnet:
        kept = {
            "gateway": present.gateway,
            "iprange": present.iprange,
            "aux_addresses": present.aux_addresses,
        }
        config = {**kept, **config}
    block = _ipam.ipam_block(subject, **{**config, "subnet": subnet})
    if block.subnet != present.subnet:
        _refuse_overlap(state, facts, subject, block, spec)
    _refuse_reserving_used(state, subject, existing.name, block)
    return block


def _refuse_reserving_used(state: State, subject: str, name: str, block: IpamBlock) -> None:
    holders = {address: e.container for e in state.endpoints_on(name) for address in e.addresses}
    for option, address in [("gateway", block.gateway), *(("aux_addresses", a) for a in block.aux_addresses.values())]:
        if address in holders:
            raise InvalidInput(
                subject,
                option,
                address,
                f'is in use by container "{holders[address]}"',
                "choose another, or give the container another address first",
            )


def _single_config(subject: str, spec: NetworkSpec) -> Mapping[str, Any]:
    """The one IPAM block that a bridge takes, without the keys that were left out."""
    configs = spec.ipam_config or ()
    if len(configs) > 1:
        raise InvalidInput(
            subject,
            "ipam_config",
            ", ".join(str(config.get("subnet")) for config in configs),
            "has several blocks, and a bridge takes one subnet",
            "keep one, and make a network for each of the others",
        )
    found = {key: value for config in configs for key, value in config.items() if value is not None}
    if ":" in found.get("subnet", ""):
        raise InvalidInput(
            subject, "subnet", found["subnet"], "is an IPv6 subnet, which networks don't have yet", "use IPv4"
        )
    return found


def _refuse_overlap(state: State, facts: Facts, subject: str, block: IpamBlock, spec: NetworkSpec) -> None:
    """Not another network's subnet; nor, without force, one that the host itself is in and would be cut off from."""
    for other in state.networks.values():
        if other.name == spec.name:
            continue
        for subnet in _ipam.overlaps(block.subnet, [each.subnet for each in other.ipam]):
            raise InvalidInput(
                subject,
                "subnet",
                block.subnet,
                f'overlaps network "{other.name}" ({subnet})',
                "choose another, or leave subnet out to get a free one",
            )
    for subnet in _ipam.overlaps(block.subnet, facts.connected_subnets()) if not spec.force else ():
        raise InvalidInput(
            subject,
            "subnet",
            block.subnet,
            f"overlaps {subnet}, which the host reaches by an interface of its own and would lose",
            "choose another, or set force if that is meant",
        )


def _free_device(state: State, subject: str, device: str, existing: Network | None, name: str) -> str:
    _validate.interface(subject, _options.BRIDGE_NAME, device)
    if device == PREDEFINED_BRIDGE_DEVICE and name != PREDEFINED_BRIDGE:
        raise InvalidInput(
            subject,
            _options.BRIDGE_NAME,
            device,
            f'is the bridge of the predefined network "{PREDEFINED_BRIDGE}"',
            "choose another name",
        )
    for other in state.networks.values():
        if other.device == device and (existing is None or other.name != existing.name):
            raise InvalidInput(
                subject, _options.BRIDGE_NAME, device, f'is the bridge of network "{other.name}"', "choose another name"
            )
    return device


def _device(identity: str) -> str:
    return "br-" + identity[:12]


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
    fixed = [each for each in present if each.ipv4_address is not None]
    for each in fixed:
        vacate(state, network, each.container)
    for each in fixed:
        connect(state, facts, network, each)
    readdress(state, network)
    free = [each for each in present if each.ipv4_address is None]
    others = [EndpointSpec(name) for name in spec.connected or () if name not in named and name not in absent]
    for each in (*free, *others):
        connect(state, facts, network, each)


def _refuse_repeats(kind: str, option: str, names: Sequence[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise InvalidInput(f'{kind} "{name}"', option, name, "is listed twice", "list it once")
        seen.add(name)
