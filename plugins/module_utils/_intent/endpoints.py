# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers and their endpoints: made, connected, disconnected, removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from .. import _ipam, _options, _references, _validate
from .._drivers import driver_of
from .._errors import InUse, InvalidInput, quoted
from .._facts import Facts
from .._model import FAMILIES, Container, Endpoint, Network, is_reference, version_of
from .._state import State
from . import endpoint_options


@dataclass(frozen=True)
class EndpointSpec:
    """What a task says of one endpoint; None leaves a choice to us, or an existing endpoint as it is."""

    container: str
    ipv4_address: str | None = None
    ipv6_address: str | None = None
    mac_address: str | None = None
    interface_name: str | None = None
    aliases: tuple[str, ...] | None = None
    links: tuple[str, ...] | None = None
    link_local: tuple[str, ...] | None = None
    gw_priority: int | None = None
    driver_opts: Mapping[str, str] | None = None
    state: str = "present"

    @classmethod
    def from_params(cls, subject: str, params: Mapping[str, Any], container_option: str = "container") -> EndpointSpec:
        container = _references.container(subject, container_option, params[container_option])
        where = f'{subject}: endpoint of "{container}"'
        mac, aliases = params.get("mac_address"), params.get("aliases")
        links, link_local, opts = params.get("links"), params.get("link_local_ips"), params.get("driver_opts")
        return cls(
            container=container,
            ipv4_address=params.get("ipv4_address"),
            ipv6_address=params.get("ipv6_address"),
            mac_address=None if mac is None else _validate.mac(where, "mac_address", mac),
            interface_name=endpoint_options.interface(where, params.get("interface_name"), opts),
            aliases=None if aliases is None else endpoint_options.aliases(where, aliases),
            links=None if links is None else endpoint_options.links(where, links),
            link_local=None if link_local is None else endpoint_options.link_local(where, link_local),
            gw_priority=params.get("gw_priority"),
            driver_opts=None if opts is None else endpoint_options.driver_opts(where, opts),
            state=params.get("state") or "present",
        )

    @property
    def fixes_address(self) -> bool:
        return self.ipv4_address is not None or self.ipv6_address is not None

    def address(self, version: int) -> str | None:
        return self.ipv4_address if version == 4 else self.ipv6_address


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
        anchor=facts.namespace_anchor(name),
    )
    state.containers[name] = container
    return container


def missing(state: State, facts: Facts, subject: str, given: Iterable[str]) -> list[str]:
    """Warnings of containers that were called by their path below /run/netns, and aren't there; else that is an error.

    In check mode an earlier task may have pretended to make them.
    """
    found = []
    for name in sorted(given):
        if name in state.containers or facts.has_namespace(name):
            continue
        path = f"/run/netns/{name}"
        if not facts.check_mode:
            remedy = f"make it first, or name it {quoted(name)} to have it made"
            raise InvalidInput(subject, "container", path, "does not exist", remedy)
        found.append(f"{subject}: there is no {path} yet; check mode takes it that an earlier task makes it")
    return found


def on_trust(network: Network, specs: Sequence[EndpointSpec]) -> tuple[tuple[EndpointSpec, ...], list[str]]:
    """Endpoints for a subnet that is only a guess, without the addresses that it has no place for, and warnings."""
    found, warnings = [], []
    for spec in specs:
        for version in FAMILIES:
            address, option = spec.address(version), f"ipv{version}_address"
            if address is None or _ipam.block_of(network, str(_validate.address("", option, address))) is not None:
                continue
            subnets = ", ".join(block.subnet for block in network.ipam)
            warnings.append(
                f'network "{network.name}": endpoint of "{spec.container}": {option} {quoted(address)} is outside '
                f"{subnets}, which was chosen freely; check mode takes it that an earlier task gives the subnet"
            )
            spec = replace(spec, ipv4_address=None) if version == 4 else replace(spec, ipv6_address=None)
        found.append(spec)
    return tuple(found), warnings


def connect(
    state: State, facts: Facts, network: Network, spec: EndpointSpec, labels: Mapping[str, str] | None = None
) -> None:
    """The container has an endpoint on the network, as the spec says. If it is made for that, it has the labels."""
    subject = f'network "{network.name}"'
    if network.config_only:
        raise InvalidInput(
            subject, "connected", spec.container, "can't be: the network is configuration only", "connect it to another"
        )
    container = state.containers.get(spec.container)
    if container is None:
        container = new_container(state, facts, spec.container, "bridge")
        if labels and not is_reference(container.name):  # one that somebody else runs isn't made
            container = state.containers[container.name] = replace(container, labels=labels)
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
        _change(state, facts, network, existing, spec)


def _add(state: State, facts: Facts, network: Network, container: Container, spec: EndpointSpec) -> None:
    subject = f'network "{network.name}": endpoint of "{container.name}"'
    _refuse_crowd(state, subject, network, 1)
    serial = state.next_serial()
    identity = _endpoint_id(state, facts, network, container, serial)
    state.endpoints[(network.name, container.name)] = Endpoint(
        id=identity,
        network=network.name,
        container=container.name,
        serial=serial,
        addresses=_addresses(state, facts, network, container.name, spec),
        mac=_free_mac(state, facts, network, subject, spec) or _derived_mac(state, facts, network, container.name),
        interface=_free_interface(state, facts, subject, network, container.name, spec),
        host_link=host_link(identity),
        aliases=spec.aliases or (),
        links=spec.links or (),
        link_local=_link_local(state, subject, network, spec) or (),
        gw_priority=spec.gw_priority or 0,
        driver_opts=_tried(facts, subject, network, spec, {}),
    )


def _change(state: State, facts: Facts, network: Network, existing: Endpoint, spec: EndpointSpec) -> None:
    subject = f'network "{network.name}": endpoint of "{existing.container}"'
    wanted = existing
    wanted = replace(wanted, addresses=_addresses(state, facts, network, existing.container, spec))
    if spec.mac_address is not None and spec.mac_address != existing.mac:
        wanted = replace(wanted, mac=_free_mac(state, facts, network, subject, spec))
    if spec.interface_name is not None and spec.interface_name != existing.interface:
        _refuse_taken_interface(state, subject, existing.container, spec.interface_name)
        wanted = replace(wanted, interface=spec.interface_name)
    given: dict[str, Any] = {
        "aliases": spec.aliases,
        "links": spec.links,
        "link_local": _link_local(state, subject, network, spec),
        "gw_priority": spec.gw_priority,
        "driver_opts": None
        if spec.driver_opts is None
        else _tried(facts, subject, network, spec, existing.driver_opts),
    }
    wanted = replace(wanted, **{key: value for key, value in given.items() if value is not None})
    state.endpoints[(network.name, existing.container)] = wanted


def _link_local(state: State, subject: str, network: Network, spec: EndpointSpec) -> tuple[str, ...] | None:
    """The further addresses, if they are of families that the network has."""
    for address in spec.link_local or ():
        for other in state.endpoints_on(network.name):
            if address in other.link_local and other.container != spec.container:
                raise InvalidInput(
                    subject,
                    "link_local_ips",
                    address,
                    f'is in use by container "{other.container}"',
                    "choose another",
                )
        if network.block(version_of(address)) is None:
            raise InvalidInput(
                subject,
                "link_local_ips",
                address,
                f"is of a family that the network does not have (IPv{version_of(address)})",
                f"set enable_ipv{version_of(address)} on the network, or leave it out",
            )
    return spec.link_local


def _tried(
    facts: Facts, subject: str, network: Network, spec: EndpointSpec, present: Mapping[str, str]
) -> Mapping[str, str]:
    """The driver's options, new settings of the interface tried out first."""
    wanted = spec.driver_opts or {}
    if network.block(6) is None and any(
        path.startswith("net/ipv6/") for path in endpoint_options.settings(wanted, "lo")
    ):
        raise InvalidInput(
            subject,
            "driver_opts",
            endpoint_options.SYSCTLS,
            "has settings of IPv6, which the network does not have",
            "set enable_ipv6 on the network, or leave them out",
        )
    if wanted != present:
        for path, fault in facts.sysctl_faults(endpoint_options.settings(wanted, "lo")).items():
            raise InvalidInput(
                subject,
                "driver_opts",
                endpoint_options.SYSCTLS,
                f"has {path}, which {fault}",
                "change it, or leave it out",
            )
    return wanted


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


def vacate(state: State, network: Network, spec: EndpointSpec) -> None:
    """The container's endpoint, if there is one, is without the addresses in whose place the spec puts others."""
    endpoint = state.endpoints.get((network.name, spec.container))
    if endpoint is not None:
        kept = tuple(each for each in endpoint.addresses if spec.address(version_of(each)) is None)
        state.endpoints[(network.name, spec.container)] = replace(endpoint, addresses=kept)


def drop_mappings(state: State, container: str) -> None:
    for mapping in state.mappings_of(container):
        del state.mappings[mapping.key]


def readdress(state: State, facts: Facts, network: Network) -> None:
    """Endpoints have an address in each of the network's (new) subnets; those that fit are kept."""
    for endpoint in state.endpoints_on(network.name):
        addresses = _addresses(state, facts, network, endpoint.container, EndpointSpec(endpoint.container))
        link_local = tuple(each for each in endpoint.link_local if network.block(version_of(each)) is not None)
        state.endpoints[(network.name, endpoint.container)] = replace(
            endpoint, addresses=addresses, link_local=link_local
        )


def refit(state: State, facts: Facts, network: Network) -> None:
    """Endpoints are as the network's driver has them, which may be another than it was."""
    _refuse_crowd(state, f'network "{network.name}"', network, 0)
    for endpoint in state.endpoints_on(network.name):
        if (endpoint.mac is not None) != driver_of(network).gives_mac(network):
            mac = _derived_mac(state, facts, network, endpoint.container)
            state.endpoints[(network.name, endpoint.container)] = replace(endpoint, mac=mac)


def _refuse_crowd(state: State, subject: str, network: Network, more: int) -> None:
    """With so many more, the network has no more endpoints than its driver takes."""
    bound = driver_of(network).capacity(network)
    if bound is not None and state.endpoints.count_at(("network", network.name)) + more > bound[0]:
        raise InvalidInput(subject, "", "", bound[1], "connect it to another network")


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


def _addresses(state: State, facts: Facts, network: Network, container: str, spec: EndpointSpec) -> tuple[str, ...]:
    """One of each family: the asked-for, else the one that it has, else the lowest free."""
    subject = f'network "{network.name}": endpoint of "{container}"'
    _refuse_missing_family(subject, network, spec)
    existing = state.endpoints.get((network.name, container))
    found = []
    for version in network.versions:
        mine = existing.address(version) if existing is not None else None
        if spec.address(version) is not None:
            found.append(_given_address(state, facts, subject, network, container, version, spec))
        elif mine is not None and _ipam.is_for_containers(network, mine):
            found.append(mine)
        else:
            found.append(_lowest_address(state, facts, network, version))
    return tuple(found)


def _refuse_missing_family(subject: str, network: Network, spec: EndpointSpec) -> None:
    for version in FAMILIES:
        if spec.address(version) is not None and network.block(version) is None:
            raise InvalidInput(
                subject,
                f"ipv{version}_address",
                spec.address(version),
                f"is of a family that the network does not have (IPv{version})",
                f"set enable_ipv{version} on the network, or leave it out",
            )


def _lowest_address(state: State, facts: Facts, network: Network, version: int) -> str:
    """The lowest free one of the first subnet that has one."""
    hosts = {int(ip_address(each)) for each in _hosts_own(facts, network) if version_of(each) == version}
    return _ipam.lowest_address(
        f'network "{network.name}"',
        network.blocks(version),
        lambda number: number in hosts or state.endpoints.has((network.name, version, number)),
    )


def _hosts_own(facts: Facts, network: Network) -> frozenset[str]:
    """The host's addresses, where it may be in the same network as the containers without being their gateway."""
    return frozenset() if driver_of(network).is_routed else facts.local_addresses()


def _given_address(
    state: State, facts: Facts, subject: str, network: Network, container: str, version: int, spec: EndpointSpec
) -> str:
    def holder(address: str) -> str | None:
        if address in _hosts_own(facts, network):
            return "this host"
        endpoint = state.holder_of(network.name, address)
        return f'container "{endpoint.container}"' if endpoint is not None and endpoint.container != container else None

    option = f"ipv{version}_address"
    return _ipam.given_address(subject, option, str(spec.address(version)), network.blocks(version), holder)


def _free_mac(state: State, facts: Facts, network: Network, subject: str, spec: EndpointSpec) -> str | None:
    if spec.mac_address is None:
        return None
    driver = driver_of(network)
    if not driver.gives_mac(network):
        raise InvalidInput(
            subject,
            "mac_address",
            spec.mac_address,
            f"can't be given with the driver {network.driver}, whose containers have that of {network.device}",
            "leave it out",
        )
    taken = driver.taken_macs(facts, network)
    if spec.mac_address in taken:
        raise InvalidInput(
            subject,
            "mac_address",
            spec.mac_address,
            f"is that of {taken[spec.mac_address]}",
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


def _derived_mac(state: State, facts: Facts, network: Network, container: str) -> str | None:
    """The same at every connection of the two, unless another endpoint was given just that one."""
    if not driver_of(network).gives_mac(network):
        return None
    parts = [facts.machine_id, network.name, container]
    while state.endpoints.has(("mac", mac := _ipam.mac_address(*parts))):
        parts.append("again")
    return mac


def _free_interface(
    state: State, facts: Facts, subject: str, network: Network, container: str, spec: EndpointSpec
) -> str:
    if spec.interface_name is not None:
        _refuse_taken_interface(state, subject, container, spec.interface_name)
        return spec.interface_name
    taken = {endpoint.interface for endpoint in state.endpoints_of(container)} | facts.foreign_interfaces(container)
    prefix, number = _options.interface_prefix(network.options), 0
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"


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
