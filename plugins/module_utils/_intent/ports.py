# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port mappings: which host port leads to which container, and who has it already."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import _ipam, _options, _portspec, _references, _validate
from .._drivers import driver_of
from .._errors import InUse, InvalidInput, quoted
from .._facts import Facts, Listener
from .._model import WILDCARDS, PortMapping
from .._portspec import PublishedPort
from .._state import State, lets_in_ports
from . import Item


@dataclass(frozen=True)
class MappingSpec:
    """What a task says of one container's published ports, those first that leave the least choice."""

    container: str
    ports: tuple[PublishedPort, ...]
    network: str | None = None
    exclusive: bool = False
    state: str = "present"

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> MappingSpec:
        container = params["container"]
        subject = f"port mapping of {quoted(container)}"
        container = _references.container(subject, "container", container)
        ports = _portspec.parse_published(subject, _validate.words(params.get("published_ports")))
        exposed = _portspec.parse_exposed(subject, _validate.words(params.get("exposed_ports")))
        if params.get("publish_all_ports"):
            if not exposed:
                raise InvalidInput(
                    subject,
                    "publish_all_ports",
                    "true",
                    "is set without exposed_ports",
                    "list the container's ports there",
                )
            ports += exposed
        state = params.get("state") or "present"
        exclusive = bool(params.get("exclusive"))
        if not ports and state == "present" and not exclusive:
            raise InvalidInput(
                subject, "", "", "no port is given", "set published_ports, or publish_all_ports with exposed_ports"
            )
        for port in ports:
            if port.host_ip is not None and ":" in port.host_ip:
                raise InvalidInput(
                    subject,
                    "published_ports",
                    port.host_ip,
                    "is an IPv6 address, which networks don't have yet",
                    "use IPv4",
                )
            _refuse_unusable(subject, port)
        network = params.get("network")
        return cls(
            container=container,
            ports=tuple(sorted(ports, key=_choices)),
            network=None if network is None else _validate.name(subject, "network", network),
            exclusive=exclusive,
            state=state,
        )


def apply_mappings(state: State, facts: Facts, specs: Sequence[MappingSpec]) -> list[Item]:
    """The containers' ports are published as the specs say."""
    facts.look_up(spec.container for spec in specs)
    ports = _PortTable(state, facts)
    specs = [_bound(state, spec) for spec in specs]
    # What goes makes room for what comes.
    for spec in specs:
        if spec.state == "absent":
            _unpublish(state, ports, spec)
    present = [(spec, _existing(state, spec)) for spec in specs if spec.state == "present"]
    listed = {mapping.key for _spec, existing in present for mapping in existing if mapping is not None}
    for spec, _existing_ones in present:
        if spec.exclusive:
            for mapping in state.mappings_of(spec.container):
                if mapping.key not in listed:
                    ports.drop(mapping)
    for spec, _existing_ones in present:
        if _assumption(state, facts, spec) is None:
            _check_container(state, spec)
    # Ports that were asked for come before those that are free to choose.
    wanted = [(spec, port, mapping) for spec, existing in present for port, mapping in zip(spec.ports, existing)]
    for spec, port, mapping in sorted(wanted, key=lambda one: _choices(one[1])):
        _publish(facts, ports, spec, port, mapping)
    return [Item("container", spec.container, spec.state, warning=_warning(state, facts, spec)) for spec in specs]


def _bound(state: State, spec: MappingSpec) -> MappingSpec:
    """Ports without a host address get the one that the network has for them (host_binding_ipv4)."""
    for endpoint in state.gateways_of(spec.container):
        network = state.networks[endpoint.network]
        if spec.network in (None, network.name) and lets_in_ports(network):
            address = network.options.get(_options.HOST_BINDING)
            ports = (replace(port, host_ip=address) if port.host_ip is None else port for port in spec.ports)
            return spec if address is None else replace(spec, ports=tuple(ports))
    return spec


def _existing(state: State, spec: MappingSpec) -> list[PortMapping | None]:
    """For each port of the spec, the mapping that already serves it, or None; no mapping serves two."""
    candidates = state.mappings_of(spec.container)
    found: list[PortMapping | None] = []
    for port in spec.ports:
        match = next((mapping for mapping in candidates if _serves(mapping, port)), None)
        if match is not None:
            candidates.remove(match)
        found.append(match)
    return found


def _serves(mapping: PortMapping, port: PublishedPort) -> bool:
    if (mapping.protocol, mapping.container_port) != (port.protocol, port.container_port):
        return False
    if mapping.host_ip != _host_ip(port):
        return False
    if port.host_ports is None:
        return mapping.random
    first, last = port.host_ports
    # A port that was chosen here, and is now asked for by its number, becomes a given one.
    return first <= mapping.host_port <= last and (first == last or not mapping.random)


def _refuse_unusable(subject: str, port: PublishedPort) -> None:
    """No host has these for an address; loopback and the wildcard are meant."""
    if port.host_ip is None or port.host_ip in WILDCARDS or ipaddress.ip_address(port.host_ip).is_loopback:
        return
    for special in _ipam.overlaps(port.host_ip, _ipam.UNUSABLE):
        raise InvalidInput(
            subject,
            "published_ports",
            port.host_ip,
            f"is in {special}, which is not for hosts",
            "give an address of the host, or leave it out",
        )


def _choices(port: PublishedPort) -> int:
    """How many further host ports would do."""
    return 65535 if port.host_ports is None else port.host_ports[1] - port.host_ports[0]


def _publish(
    facts: Facts, ports: _PortTable, spec: MappingSpec, port: PublishedPort, mapping: PortMapping | None
) -> None:
    if mapping is None:
        ports.add(_new_mapping(facts, ports, spec, port))
        return
    wanted = replace(mapping, random=port.host_ports is None, network=spec.network or mapping.network)
    if wanted != mapping:
        ports.replace(wanted)


def _new_mapping(facts: Facts, ports: _PortTable, spec: MappingSpec, port: PublishedPort) -> PortMapping:
    host_ip = _host_ip(port)
    if port.host_ports is None:
        host_port = _random_port(facts, ports, spec, port, host_ip)
    else:
        host_port = _first_free(ports, spec, port, host_ip)
    return PortMapping(
        container=spec.container,
        protocol=port.protocol,
        container_port=port.container_port,
        host_ip=host_ip,
        host_port=host_port,
        random=port.host_ports is None,
        network=spec.network,
    )


def _random_port(facts: Facts, ports: _PortTable, spec: MappingSpec, port: PublishedPort, host_ip: str) -> int:
    reserved = facts.reserved_ports()
    seed = ("port", facts.machine_id, spec.container, port.protocol, port.container_port, host_ip)
    found = _ipam.random_port(
        seed,
        facts.ephemeral_ports(),
        lambda candidate: candidate in reserved or ports.clash(port.protocol, host_ip, candidate) is not None,
    )
    if found is None:
        first, last = facts.ephemeral_ports()
        raise InvalidInput(
            f'port mapping of "{spec.container}"',
            "published_ports",
            port.container_port,
            f"finds no free host port from {first} to {last}",
            "widen net.ipv4.ip_local_port_range, or name a host port",
        )
    return found


def _first_free(ports: _PortTable, spec: MappingSpec, port: PublishedPort, host_ip: str) -> int:
    subject = f'port mapping of "{spec.container}"'
    first, last = port.host_ports or (0, 0)
    holder = None
    for candidate in range(first, last + 1):
        clash = ports.clash(port.protocol, host_ip, candidate)
        if clash is None:
            return candidate
        holder = holder or clash
    shown = f"{host_ip}:{first}" + (f"-{last}" if last != first else "") + f"/{port.protocol}"
    if first == last:
        raise InUse(subject, "published_ports", shown, f"is in use by {holder}", _way_out(ports, spec, port, host_ip))
    raise InUse(
        subject, "published_ports", shown, f"has no free port left (the first is in use by {holder})", "widen the range"
    )


def _warning(state: State, facts: Facts, spec: MappingSpec) -> str | None:
    found = [_assumption(state, facts, spec), *_strange_addresses(facts, spec)]
    return "; ".join(filter(None, found)) or None


def _way_out(ports: _PortTable, spec: MappingSpec, port: PublishedPort, host_ip: str) -> str:
    """What to do about a host port that is taken; maybe this very container has it."""
    mapping = ports.mapping_on(port.protocol, host_ip, port.host_ports[0]) if port.host_ports else None
    if mapping is None or mapping.container != spec.container:
        return "choose another port, or leave it out"
    if sum(_same_socket(_host_ip(each), host_ip) and each.host_ports == port.host_ports for each in spec.ports) > 1:
        return "list each host port once"
    return "set exclusive to replace all that the container publishes, or unpublish that first"


def _assumption(state: State, facts: Facts, spec: MappingSpec) -> str | None:
    """In check mode an earlier task may have pretended to make the container, or to connect it."""
    if not facts.check_mode or spec.state == "absent":
        return None
    container = state.containers.get(spec.container)
    if container is None:
        missing = "there is no such container yet"
    elif not container.owns_namespace or not spec.ports:
        return None
    elif spec.network is not None and (spec.network, spec.container) not in state.endpoints:
        missing = f"it is not on the network {quoted(spec.network)} yet"
    elif not state.endpoints_of(spec.container):
        missing = "it is on no network yet"
    else:
        return None
    return (
        f"port mapping of {quoted(spec.container)}: {missing}; "
        "check mode takes it that an earlier task sees to that, and can't show the rules"
    )


def _strange_addresses(facts: Facts, spec: MappingSpec) -> list[str]:
    """A port may be published on an address that the host gets later, as a floating one."""
    if spec.state == "absent":
        return []
    given = sorted({port.host_ip for port in spec.ports if port.host_ip is not None} - set(WILDCARDS))
    return [
        f"port mapping of {quoted(spec.container)}: published_ports {quoted(address)} is no address of this host now; "
        "the port answers there once it is"
        for address in given
        if not ipaddress.ip_address(address).is_loopback and address not in facts.local_addresses()
    ]


def _check_container(state: State, spec: MappingSpec) -> None:
    """Only a container with an endpoint that the outside can be let in to publishes ports."""
    subject = f"port mapping of {quoted(spec.container)}"
    container = state.containers.get(spec.container)
    if container is None:
        raise InvalidInput(
            subject,
            "container",
            spec.container,
            "is unknown",
            "connect it to a network with container_network or netns_bridge first",
        )
    if container.mode == "container":
        raise InvalidInput(
            subject,
            "container",
            spec.container,
            f'shares the namespace of "{container.target}"',
            "publish on that container",
        )
    if container.mode == "host":
        raise InvalidInput(
            subject, "container", spec.container, "has the host's own ports", "let it listen on the port itself"
        )
    endpoints = state.endpoints_of(spec.container)
    if spec.network is not None:
        endpoints = [endpoint for endpoint in endpoints if endpoint.network == spec.network]
        if not endpoints:
            raise InvalidInput(
                subject, "network", spec.network, "has no endpoint of this container", "connect it there first"
            )
    if not endpoints and spec.ports:
        raise InvalidInput(
            subject, "container", spec.container, "is on no network", "connect it to one with container_network first"
        )
    reachable = [endpoint for endpoint in endpoints if lets_in_ports(state.networks[endpoint.network])]
    if spec.ports and not reachable:
        names = ", ".join(f'"{endpoint.network}"' for endpoint in endpoints)
        problem, remedy = f"is only on internal networks ({names})", "connect it to a network that is not internal"
        if not any(driver_of(state.networks[endpoint.network]).is_routed for endpoint in endpoints):
            problem = f"is only on networks that this host does not route for ({names}): its own addresses are reached"
            remedy = "leave the mapping out, or connect it to a bridge network too"
        raise InvalidInput(subject, "container", spec.container, problem, remedy)
    if spec.ports and all(endpoint.address(4) is None for endpoint in reachable):
        inner = "" if len(reachable) == len(endpoints) else " but on internal networks"
        raise InvalidInput(
            subject,
            "container",
            spec.container,
            f"has no IPv4 address{inner}, and ports are published in IPv4 only so far",
            "connect it to a network with enable_ipv4",
        )


def _unpublish(state: State, ports: _PortTable, spec: MappingSpec) -> None:
    """Without ports, everything that the container publishes."""
    mappings = state.mappings_of(spec.container)
    if spec.ports:
        mappings = [mapping for mapping in _existing(state, spec) if mapping is not None]
    for mapping in mappings:
        ports.drop(mapping)


def _host_ip(port: PublishedPort) -> str:
    return port.host_ip or WILDCARDS[0]


class _PortTable:
    """Who has which host port: our mappings, and the host's own listening sockets."""

    def __init__(self, state: State, facts: Facts) -> None:
        self._state = state
        self._facts = facts
        self._mapped: dict[tuple[str, int], list[PortMapping]] = defaultdict(list)
        self._listening: dict[str, dict[int, list[Listener]]] = {}
        for mapping in state.mappings.values():
            self._mapped[(mapping.protocol, mapping.host_port)].append(mapping)

    def clash(self, protocol: str, host_ip: str, port: int) -> str | None:
        """Who keeps the port from being published on the address, in words; None where nobody does."""
        mapping = self.mapping_on(protocol, host_ip, port)
        if mapping is not None:
            where = f"{mapping.host_ip}:{port} leads to its port {mapping.container_port}"
            return f'container "{mapping.container}" ({where})'
        for listener in self._listeners(protocol).get(port, ()):
            if _same_socket(listener.address, host_ip):
                return self._facts.holder_of(listener)
        return None

    def mapping_on(self, protocol: str, host_ip: str, port: int) -> PortMapping | None:
        """The mapping that excludes another one there."""
        held = self._mapped.get((protocol, port), ())
        return next((mapping for mapping in held if _same_socket(mapping.host_ip, host_ip)), None)

    def add(self, mapping: PortMapping) -> None:
        self._state.mappings[mapping.key] = mapping
        self._mapped[(mapping.protocol, mapping.host_port)].append(mapping)

    def drop(self, mapping: PortMapping) -> None:
        del self._state.mappings[mapping.key]
        self._mapped[(mapping.protocol, mapping.host_port)].remove(mapping)

    def replace(self, mapping: PortMapping) -> None:
        self.drop(self._state.mappings[mapping.key])
        self.add(mapping)

    def _listeners(self, protocol: str) -> Mapping[int, Iterable[Listener]]:
        if protocol not in self._listening:
            found: dict[int, list[Listener]] = defaultdict(list)
            for listener in self._facts.listeners(protocol):
                found[listener.port].append(listener)
            self._listening[protocol] = found
        return self._listening[protocol]


def _same_socket(one: str, other: str) -> bool:
    """Whether two listening addresses exclude each other; a wildcard excludes every address."""
    return one == other or one in WILDCARDS or other in WILDCARDS
