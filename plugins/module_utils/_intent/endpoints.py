# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers and their endpoints: made, connected, disconnected, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import _ipam, _validate
from .._errors import InUse, InvalidInput, quoted
from .._facts import Facts
from .._model import Container, Endpoint, Network
from .._state import State

BRIDGE_PORTS = 1023  # net/bridge/br_private.h: BR_MAX_PORTS, less port 0


@dataclass(frozen=True)
class EndpointSpec:
    """What a task says of one endpoint; None leaves a choice to us, or an existing endpoint as it is."""

    container: str
    ipv4_address: str | None = None
    mac_address: str | None = None
    interface_name: str | None = None
    aliases: tuple[str, ...] | None = None
    state: str = "present"

    @classmethod
    def from_params(cls, subject: str, params: Mapping[str, Any], container_option: str = "container") -> EndpointSpec:
        container = _validate.name(subject, container_option, params[container_option])
        where = f'{subject}: endpoint of "{container}"'
        mac, interface = params.get("mac_address"), params.get("interface_name")
        aliases = params.get("aliases")
        return cls(
            container=container,
            ipv4_address=params.get("ipv4_address"),
            mac_address=None if mac is None else _validate.mac(where, "mac_address", mac),
            interface_name=None if interface is None else _validate.interface(where, "interface_name", interface),
            aliases=None
            if aliases is None
            else tuple(_validate.name(where, "aliases", alias) for alias in _validate.words(aliases)),
            state=params.get("state") or "present",
        )


def new_container(state: State, facts: Facts, name: str, mode: str, target: str | None = None) -> Container:
    """A record for a container that is not declared yet."""
    container = Container(
        id=_ipam.unique_id(
            lambda identity: state.containers.has(("id", identity)),
            facts.machine_id,
            "container",
            name,
            state.next_serial(),
        ),
        name=name,
        mode=mode,
        created=facts.now,
        target=target,
    )
    state.containers[name] = container
    return container


def on_trust(network: Network, specs: Sequence[EndpointSpec]) -> tuple[tuple[EndpointSpec, ...], list[str]]:
    """Endpoints for a subnet that is only a guess, without the addresses that it has no place for, and warnings."""
    found, warnings = [], []
    for spec in specs:
        address, subnet = spec.ipv4_address, network.ipam[0].subnet
        if address is not None and not _ipam.has_place_for(subnet, str(_validate.address("", "ipv4_address", address))):
            warnings.append(
                f'network "{network.name}": endpoint of "{spec.container}": ipv4_address {quoted(address)} is outside '
                f"{subnet}, which was chosen freely; check mode takes it that an earlier task gives the subnet"
            )
            spec = replace(spec, ipv4_address=None)
        found.append(spec)
    return tuple(found), warnings


def connect(state: State, facts: Facts, network: Network, spec: EndpointSpec) -> None:
    """The container has an endpoint on the network, as the spec says."""
    subject = f'network "{network.name}"'
    container = state.containers.get(spec.container) or new_container(state, facts, spec.container, "bridge")
    if container.mode != "bridge":
        raise InvalidInput(
            subject,
            "container",
            container.name,
            f"has the mode {container.mode} and can't be connected",
            "set its mode to bridge with netns_bridge first",
        )
    existing = state.endpoints.get((network.name, container.name))
    if existing is None:
        _add(state, facts, network, container, spec)
    else:
        _change(state, network, existing, spec)


def _add(state: State, facts: Facts, network: Network, container: Container, spec: EndpointSpec) -> None:
    subject = f'network "{network.name}": endpoint of "{container.name}"'
    if state.endpoints.count_at(("network", network.name)) >= BRIDGE_PORTS:
        raise InvalidInput(
            subject, "", "", f"a bridge has no more than {BRIDGE_PORTS} ports", "connect it to another network"
        )
    serial = state.next_serial()
    identity = _endpoint_id(state, facts, network, container, serial)
    state.endpoints[(network.name, container.name)] = Endpoint(
        id=identity,
        network=network.name,
        container=container.name,
        serial=serial,
        addresses=(_address(state, network, container.name, spec),),
        mac=_free_mac(state, network, subject, spec) or _derived_mac(state, facts, network, container),
        interface=_free_interface(state, facts, subject, container.name, spec),
        host_link=host_link(identity),
        aliases=spec.aliases or (),
    )


def _change(state: State, network: Network, existing: Endpoint, spec: EndpointSpec) -> None:
    subject = f'network "{network.name}": endpoint of "{existing.container}"'
    wanted = existing
    if spec.ipv4_address is not None:
        wanted = replace(wanted, addresses=(_address(state, network, existing.container, spec),))
    if spec.mac_address is not None and spec.mac_address != existing.mac:
        wanted = replace(wanted, mac=_free_mac(state, network, subject, spec))
    if spec.interface_name is not None and spec.interface_name != existing.interface:
        _refuse_taken_interface(state, subject, existing.container, spec.interface_name)
        wanted = replace(wanted, interface=spec.interface_name)
    if spec.aliases is not None:
        wanted = replace(wanted, aliases=spec.aliases)
    state.endpoints[(network.name, existing.container)] = wanted


def disconnect(state: State, network: str, container: str) -> None:
    """The container has no endpoint on the network; its published ports wait for another one."""
    state.endpoints.pop((network, container), None)


def remove_container(state: State, name: str, force: bool) -> None:
    """The container is gone with its endpoints and published ports; with force, so are the handles on it."""
    sharers = state.sharers_of(name)
    if sharers and not force:
        raise InUse(
            f'container "{name}"',
            "",
            "",
            "its namespace is shared by " + ", ".join(f'"{sharer}"' for sharer in sharers),
            "remove those first, or set force to remove them too",
        )
    for sharer in sharers:
        remove_container(state, sharer, force)
    drop_endpoints(state, name)
    drop_mappings(state, name)
    state.containers.pop(name, None)


def drop_endpoints(state: State, container: str) -> None:
    for endpoint in state.endpoints_of(container):
        disconnect(state, endpoint.network, container)


def vacate(state: State, network: Network, container: str) -> None:
    """The container's endpoint, if there is one, has no address until it gets the next."""
    endpoint = state.endpoints.get((network.name, container))
    if endpoint is not None:
        state.endpoints[(network.name, container)] = replace(endpoint, addresses=())


def drop_mappings(state: State, container: str) -> None:
    for mapping in state.mappings_of(container):
        del state.mappings[mapping.key]


def readdress(state: State, network: Network) -> None:
    """Endpoints whose address no host can have in the network's (new) subnet get another one."""
    for endpoint in state.endpoints_on(network.name):
        if all(_ipam.has_place_for(network.ipam[0].subnet, address) for address in endpoint.addresses):
            continue
        spec = EndpointSpec(endpoint.container)
        address = _address(state, network, endpoint.container, spec)
        state.endpoints[(network.name, endpoint.container)] = replace(endpoint, addresses=(address,))


def host_link(endpoint_id: str) -> str:
    """The name of an endpoint's interface on the host's side."""
    return "veth" + endpoint_id[:7]


def _endpoint_id(state: State, facts: Facts, network: Network, container: Container, serial: int) -> str:
    return _ipam.unique_id(
        lambda found: state.endpoints.has(("host link", host_link(found))),
        facts.machine_id,
        "endpoint",
        network.id,
        container.name,
        serial,
    )


def _address(state: State, network: Network, container: str, spec: EndpointSpec) -> str:
    block = network.ipam[0]
    # What it has itself doesn't stand in its way.
    vacate(state, network, container)
    if spec.ipv4_address is None:
        subject = f'network "{network.name}"'
        return _ipam.lowest_address(subject, block, lambda number: state.endpoints.has((network.name, number)))

    def holder(address: str) -> str | None:
        endpoint = state.holder_of(network.name, address)
        return endpoint.container if endpoint is not None else None

    subject = f'network "{network.name}": endpoint of "{container}"'
    return _ipam.given_address(subject, "ipv4_address", spec.ipv4_address, block, holder)


def _free_mac(state: State, network: Network, subject: str, spec: EndpointSpec) -> str | None:
    if spec.mac_address is None:
        return None
    if spec.mac_address == _ipam.bridge_mac(network.id):
        raise InvalidInput(
            subject,
            "mac_address",
            spec.mac_address,
            "is that of the network's bridge",
            "leave mac_address out to get one of its own",
        )
    for endpoint in state.endpoints.at(("mac", spec.mac_address)):
        if (endpoint.network, endpoint.container) != (network.name, spec.container):
            raise InvalidInput(
                subject,
                "mac_address",
                spec.mac_address,
                f'is in use by container "{endpoint.container}"',
                "leave mac_address out to get one of its own",
            )
    return spec.mac_address


def _derived_mac(state: State, facts: Facts, network: Network, container: Container) -> str:
    """The same at every connection of the two, unless another endpoint was given just that one."""
    parts = [facts.machine_id, network.name, container.name]
    while state.endpoints.has(("mac", mac := _ipam.mac_address(*parts))):
        parts.append("again")
    return mac


def _free_interface(state: State, facts: Facts, subject: str, container: str, spec: EndpointSpec) -> str:
    if spec.interface_name is not None:
        _refuse_taken_interface(state, subject, container, spec.interface_name)
        return spec.interface_name
    taken = {endpoint.interface for endpoint in state.endpoints_of(container)} | facts.foreign_interfaces(container)
    number = 0
    while f"eth{number}" in taken:
        number += 1
    return f"eth{number}"


def _refuse_taken_interface(state: State, subject: str, container: str, interface: str) -> None:
    for endpoint in state.endpoints_of(container):
        if endpoint.interface == interface:
            raise InvalidInput(
                subject,
                "interface_name",
                interface,
                f'is its interface in network "{endpoint.network}"',
                "choose another name",
            )
