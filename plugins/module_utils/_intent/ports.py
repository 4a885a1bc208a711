# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port mappings: which host port leads to which container, and who has it already."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _ipam, _options, _portspec, _references, _sources, _validate
from .._drivers import driver_of
from .._errors import InUse, InvalidInput, listed, quoted
from .._facts import Facts
from .._hostports import HostPorts
from .._model import FAMILIES, UNSPECIFIED, WILDCARDS, Endpoint, PortMapping, socket_text, version_of
from .._portspec import PublishedPort
from .._sources import Sources
from .._state import State, lets_in_ports
from . import Item

LOOPBACK6 = "::1"


@dataclass(frozen=True)
class MappingSpec:
    """What a task says of one container's published ports. Without ``sources`` they may be used by who may now."""

    container: str
    ports: tuple[PublishedPort, ...]
    network: str | None = None
    sources: Sources | None = None
    exclusive: bool = False
    state: str = "present"

    @property
    def subject(self) -> str:
        return f"port mapping of {quoted(self.container)}"

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
            # As with Docker, one that is published on a given port gets no random one as well.
            given = {(port.protocol, port.container_port) for port in ports}
            ports += [port for port in exposed if (port.protocol, port.container_port) not in given]
        state = params.get("state") or "present"
        exclusive = bool(params.get("exclusive"))
        if state == "absent" and not ports:
            _refuse_vague(subject, params)
        if not ports and state == "present" and not exclusive:
            raise InvalidInput(
                subject, "", "", "no port is given", "set published_ports, or publish_all_ports with exposed_ports"
            )
        for address in sorted({port.host_ip for port in ports if port.host_ip is not None}):
            _refuse_unusable(subject, address)
        network, sources = params.get("network"), params.get("allowed_sources")
        return cls(
            container=container,
            ports=tuple(ports),
            network=None if network is None else _validate.name(subject, "network", network),
            sources=_sources.parse(subject, None if sources is None else _validate.words(sources)),
            exclusive=exclusive,
            state=state,
        )


def _refuse_vague(subject: str, params: Mapping[str, Any]) -> None:
    """What looks as if it said which ports are to be taken back, and doesn't."""
    for option, remedy in (
        ("exposed_ports", "set publish_all_ports too"),
        ("allowed_sources", "leave it out"),
        ("exclusive", "leave it out"),
    ):
        if params.get(option):
            value = params[option]
            shown = ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()
            problem = "does not say which ports are to be taken back"
            raise InvalidInput(subject, option, shown, problem, f"{remedy}, or list them in published_ports")


def _refuse_contradictions(specs: Sequence[MappingSpec]) -> None:
    """The same port of a container can't be wanted and unwanted."""
    for unwanted in (spec for spec in specs if spec.state == "absent"):
        for wanted in (spec for spec in specs if spec.state == "present" and spec.container == unwanted.container):
            both = [port for port in wanted.ports if port in unwanted.ports] or [*wanted.ports][: not unwanted.ports]
            if both and unwanted.network in (None, wanted.network):
                port = f"{both[0].container_port}/{both[0].protocol}"
                raise InvalidInput(
                    wanted.subject, "mappings", port, "is listed both present and absent", "leave one of the two out"
                )


@dataclass(frozen=True)
class _Wish:
    """A port of a task, the host's addresses that it is to be published on, and what serves it there already."""

    spec: MappingSpec
    port: PublishedPort
    host_ips: tuple[str, ...]
    serving: Mapping[str, PortMapping]  # by address


def apply_mappings(state: State, facts: Facts, specs: Sequence[MappingSpec]) -> list[Item]:
    """The containers' ports are published as the specs say."""
    _refuse_contradictions(specs)
    facts.look_up(spec.container for spec in specs)
    host = HostPorts(state, facts)
    # What goes makes room for what comes.
    missed = {id(spec): _unpublish(state, spec) for spec in specs if spec.state == "absent"}
    present = [spec for spec in specs if spec.state == "present"]
    wishes = list(_wishes(state, present))
    served = {mapping.key for wish in wishes for mapping in wish.serving.values()}
    for key in {mapping.key for mapping in _left_by_moves(state, wishes)} - served:
        del state.mappings[key]
    for spec in present:
        for mapping in state.mappings_of(spec.container) if spec.exclusive else ():
            if mapping.key not in served:
                del state.mappings[mapping.key]
    for spec in present:
        if _assumption(state, facts, spec) is None:
            _check_container(state, spec)
    for wish in wishes:
        _publish(state, facts, host, wish)
    overheard = _overheard(facts, host, wishes)
    return [
        Item(
            "container",
            spec.container,
            spec.state,
            warning=_published_otherwise(state, specs, spec, missed[id(spec)])
            if spec.state == "absent"
            else _warning(state, facts, spec, overheard),
        )
        for spec in specs
    ]


def _wishes(state: State, specs: Sequence[MappingSpec]) -> Iterator[_Wish]:
    """Ports that were asked for come before those that are free to choose."""
    published = {spec.container: _Published(state.mappings_of(spec.container)) for spec in specs}
    everywhere = {id(spec): _everywhere(state, spec) for spec in specs}
    ports = [(spec, port) for spec in specs for port in spec.ports]
    for spec, port in sorted(ports, key=lambda each: _choices(each[1])):
        host_ips = everywhere[id(spec)] if port.host_ip is None else (port.host_ip,)
        yield _Wish(spec, port, host_ips, published[spec.container].take(port, host_ips))


def _left_by_moves(state: State, wishes: Iterable[_Wish]) -> Iterator[PortMapping]:
    """Halves of ports that move to a network without their family, and would go on leading to the one before."""
    for wish in wishes:
        network = wish.spec.network
        # In check mode an earlier task may have pretended to connect it.
        if network is None or wish.port.host_ip is not None or (network, wish.spec.container) not in state.endpoints:
            continue
        for mapping in wish.serving.values():
            if mapping.network == network or mapping.host_ip not in WILDCARDS:
                continue
            for host_ip in {*WILDCARDS} - {*wish.host_ips}:
                half = state.mappings.get((mapping.protocol, host_ip, mapping.host_port))
                if half is not None and half == mapping._replace(host_ip=host_ip, sources=half.sources):
                    yield half


def _choices(port: PublishedPort) -> int:
    """How many further host ports would do."""
    return 65535 if port.host_ports is None else port.host_ports[1] - port.host_ports[0]


def _everywhere(state: State, spec: MappingSpec) -> tuple[str, ...]:
    """The addresses that ports without one are published on: all, in each family that leads to the container.

    A network may have another one for them (host_binding_ipv4). As with Docker that leaves IPv6 out.
    """
    found = []
    for version in FAMILIES:
        endpoint = state.way_in(spec.container, version, spec.network)
        if endpoint is not None:
            address = state.networks[endpoint.network].options.get(_options.HOST_BINDING, UNSPECIFIED[4])
            if address == UNSPECIFIED[4]:
                found.append(UNSPECIFIED[version])
            elif version == 4:
                found.append(address)
    # A container that isn't there yet, which check mode takes on trust, is taken to have IPv4.
    return tuple(found) or (UNSPECIFIED[4],)


class _Published:
    """What a container publishes, as far as no port of the task is served by it yet: no mapping serves two."""

    def __init__(self, mappings: Iterable[PortMapping]) -> None:
        self._left: dict[tuple[str, int], dict[tuple[str, int], PortMapping]] = defaultdict(dict)
        for mapping in mappings:
            place = (mapping.host_ip, mapping.host_port)
            self._left[(mapping.protocol, mapping.container_port)][place] = mapping

    def take(self, port: PublishedPort, host_ips: Iterable[str]) -> dict[str, PortMapping]:
        """The mappings of one host port that serve the port on these addresses, by address."""
        left = self._left[(port.protocol, port.container_port)]
        host_port = self._host_port(left, port, host_ips)
        if host_port is None:
            return {}
        found = {address: left.pop((address, host_port), None) for address in host_ips}
        return {address: mapping for address, mapping in found.items() if mapping is not None}

    @staticmethod
    def _host_port(
        left: Mapping[tuple[str, int], PortMapping], port: PublishedPort, host_ips: Iterable[str]
    ) -> int | None:
        if port.host_ports is not None and port.host_ports[0] == port.host_ports[1]:
            return port.host_ports[0]  # also one that was chosen here, and is now asked for by its number
        wanted = (each for each in left.values() if each.host_ip in host_ips and _serves(each, port))
        return next((mapping.host_port for mapping in wanted), None)


def _serves(mapping: PortMapping, port: PublishedPort) -> bool:
    """Whether it is one of those that the port may have, and was chosen in the same way."""
    if port.host_ports is None:
        return mapping.random
    return port.host_ports[0] <= mapping.host_port <= port.host_ports[1] and not mapping.random


def _refuse_unusable(subject: str, address: str) -> None:
    """No host has these for an address; IPv4's loopback and the wildcard are meant."""
    if address == LOOPBACK6:
        raise InvalidInput(
            subject,
            "published_ports",
            address,
            "can't lead to a container: the kernel takes no answers to it from another link",
            "publish on 127.0.0.1, or on an address of the host",
        )
    if address in WILDCARDS or ipaddress.ip_address(address).is_loopback:
        return
    for special in _ipam.overlaps(address, _ipam.UNUSABLE):
        raise InvalidInput(
            subject,
            "published_ports",
            address,
            f"is in {special}, which is not for hosts",
            "give an address of the host, or leave it out",
        )


def _publish(state: State, facts: Facts, host: HostPorts, wish: _Wish) -> None:
    spec, serving = wish.spec, wish.serving
    host_port = _host_port(facts, host, wish)
    for host_ip in wish.host_ips:
        mapping = serving.get(host_ip)
        if mapping is None:
            new = _new_mapping(wish, host_ip, host_port)
            state.mappings[new.key] = new
            continue
        wanted = mapping._replace(
            random=mapping.random and wish.port.host_ports is None,
            network=spec.network or mapping.network,
            sources=mapping.sources if spec.sources is None else spec.sources[version_of(host_ip)],
        )
        if wanted != mapping:
            state.mappings[wanted.key] = wanted


def _new_mapping(wish: _Wish, host_ip: str, host_port: int) -> PortMapping:
    spec, version = wish.spec, version_of(host_ip)
    others = wish.serving.values()
    sources = _sources.EVERYBODY
    if spec.sources is not None:
        sources = spec.sources[version]
    elif any(mapping.sources for mapping in others):
        # The container got this family later: it isn't known who may use a port that not everybody may.
        sources = _sources.NOBODY[version]
    return PortMapping(
        container=spec.container,
        protocol=wish.port.protocol,
        container_port=wish.port.container_port,
        host_ip=host_ip,
        host_port=host_port,
        random=wish.port.host_ports is None,
        network=spec.network or next((mapping.network for mapping in others), None),
        sources=sources,
    )


def _host_port(facts: Facts, host: HostPorts, wish: _Wish) -> int:
    """The one that serves already, or the first that is free on all addresses."""
    missing = [address for address in wish.host_ips if address not in wish.serving]
    for mapping in wish.serving.values():
        if missing:
            _first_free(host, wish, missing, (mapping.host_port, mapping.host_port))
        return mapping.host_port
    if wish.port.host_ports is None:
        return _random_port(facts, host, wish)
    return _first_free(host, wish, missing, wish.port.host_ports)


def _random_port(facts: Facts, host: HostPorts, wish: _Wish) -> int:
    reserved = facts.reserved_ports()
    spec, port = wish.spec, wish.port
    seed = ("port", facts.machine_id, spec.container, port.protocol, port.container_port, wish.host_ips[0])
    found = _ipam.random_port(
        seed,
        facts.ephemeral_ports(),
        lambda candidate: candidate in reserved or not host.is_free(port.protocol, wish.host_ips, candidate),
    )
    if found is None:
        first, last = facts.ephemeral_ports()
        problem = f"finds no free host port from {first} to {last}"
        remedy = "widen net.ipv4.ip_local_port_range, or name a host port"
        if reserved.issuperset(range(first, last + 1)):
            problem += ": all of them are in net.ipv4.ip_local_reserved_ports"
            remedy = f"take some out there, {remedy}"
        raise InvalidInput(spec.subject, "published_ports", port.container_port, problem, remedy)
    return found


def _first_free(host: HostPorts, wish: _Wish, host_ips: Sequence[str], ports: tuple[int, int]) -> int:
    first, last = ports
    for candidate in range(first, last + 1):
        if host.is_free(wish.port.protocol, host_ips, candidate):
            return candidate
    host_ip, holder = host.clash(wish.port.protocol, host_ips, first) or ("", "")
    shown = socket_text(host_ip, f"{first}-{last}" if last != first else first, wish.port.protocol)
    subject = wish.spec.subject
    if first == last:
        remedy = _way_out(host, wish, host_ip, first)
        raise InUse(subject, "published_ports", shown, f"is in use by {holder}", remedy)
    problem, remedy = f"has no free port left (the first is in use by {holder})", "widen the range"
    asked = {(port.protocol, port.container_port) for port in wish.spec.ports}
    holders = [host.mapping_on(wish.port.protocol, host_ip, candidate) for candidate in range(first, last + 1)]
    own = [each for each in holders if each is not None and each.container == wish.spec.container]
    if own and all((each.protocol, each.container_port) in asked for each in own):
        if len(own) == len(holders):
            problem = "has no free port left: the task gives all of them to ports of this container"
        remedy = "list fewer ports for it, or a longer range"
    elif own:
        remedy = "set exclusive to replace all that the container publishes, or widen the range"
    raise InUse(subject, "published_ports", shown, problem, remedy)


def _overheard(facts: Facts, host: HostPorts, wishes: Iterable[_Wish]) -> dict[str, list[str]]:
    """Processes of the host that listen on what was published before they did, in words, by container."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for wish in wishes:
        for mapping in wish.serving.values():
            listener = host.listener_on(*mapping.key)
            if listener is not None and listener.inode not in found[mapping.container]:
                shown = socket_text(mapping.host_ip, mapping.host_port, mapping.protocol)
                found[mapping.container][listener.inode] = (
                    f"published_ports {quoted(shown)} leads to the container, and not to {facts.holder_of(listener)}"
                )
    return {container: list(each.values()) for container, each in found.items()}


def _warning(state: State, facts: Facts, spec: MappingSpec, overheard: Mapping[str, Sequence[str]]) -> str | None:
    found = [_assumption(state, facts, spec), *_strange_addresses(state, facts, spec), *_closed(spec)]
    overheard_here = overheard.get(spec.container, ())
    if not found[0]:
        found += _leading_nowhere(state, spec)
    if overheard_here:
        found.append(f"{spec.subject}: {listed(overheard_here)}; stop that, or publish another port")
    return "; ".join(filter(None, found)) or None


def _published_otherwise(
    state: State, specs: Iterable[MappingSpec], spec: MappingSpec, missed: Sequence[PublishedPort]
) -> str | None:
    """Ports to be taken back that matched nothing, while what seems to be meant goes on; else all is as it should be.

    The name of a network is a condition, not a mistake.
    """
    if spec.network is not None:
        return None
    if missed and spec.container not in state.containers:
        return _of_another(state, spec, missed)
    asked = {
        (port.protocol, port.container_port)
        for each in specs
        if each.state == "present" and each.container == spec.container
        for port in each.ports
    }
    left = [each for each in state.mappings_of(spec.container) if (each.protocol, each.container_port) not in asked]
    near = dict(_resembling(missed, left))
    if not near:
        return None
    shown, stays = listed([quoted(port.shown) for port in near]), listed([*dict.fromkeys(near.values())])
    return (
        f"{spec.subject}: published_ports {shown} takes nothing back, and {stays} still; write it as it is published, "
        "or leave published_ports out to take back all"
    )


def _resembling(ports: Iterable[PublishedPort], mappings: Iterable[PortMapping]) -> Iterator[tuple[PublishedPort, str]]:
    """Ports, each with what has its number on the host, or for want of that its number in the container."""
    by_host, by_container = {}, {}
    for mapping in mappings:
        shown = f"{mapping.shown} leads to port {mapping.container_port}"
        by_host[mapping.protocol, mapping.host_port] = shown
        by_container[mapping.protocol, mapping.container_port] = shown
    for port in ports:
        first, last = port.host_ports or (port.container_port, port.container_port)
        numbers = by_container if port.host_ports is None else by_host
        for number in range(first, last + 1) if numbers else ():
            if (port.protocol, number) in numbers:
                yield port, numbers[port.protocol, number]


def _of_another(state: State, spec: MappingSpec, missed: Iterable[PublishedPort]) -> str | None:
    """Who has the ports that a container without a trace was to give back."""
    for port in missed:
        first, last = port.host_ports or (0, -1)
        for mapping in (
            each for number in range(first, last + 1) for each in state.mappings.at((port.protocol, number))
        ):
            return (
                f"{spec.subject}: there is no such container, and {mapping.shown} leads to container "
                f"{quoted(mapping.container)}; name that one to take it back"
            )
    return None


def _leading_nowhere(state: State, spec: MappingSpec) -> list[str]:
    """Ports whose container has left the network that they lead to; a container's are about few networks."""
    ways: dict[tuple[int, str | None], str] = {}
    for mapping in state.mappings_of(spec.container):
        ways.setdefault((version_of(mapping.host_ip), mapping.network), mapping.shown)
    return [
        f"{spec.subject}: published_ports {quoted(shown)} leads nowhere, as the container is not on the network "
        f"{quoted(network)} with IPv{version}; connect it there, name another network, or unpublish it"
        for (version, network), shown in ways.items()
        if network is not None and state.way_in(spec.container, version, network) is None
    ]


def _way_out(host: HostPorts, wish: _Wish, host_ip: str, host_port: int) -> str:
    """What to do about a host port that is taken; maybe this very container has it."""
    mapping = host.mapping_on(wish.port.protocol, host_ip, host_port)
    if mapping is None or mapping.container != wish.spec.container:
        return "choose another port, or leave it out"
    asked = [port for port in wish.spec.ports if port.protocol == mapping.protocol]
    if sum(port.host_ports == (host_port, host_port) for port in asked) > 1:
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
    return f"{spec.subject}: {missing}; check mode takes it that an earlier task sees to that, and can't show the rules"


def _strange_addresses(state: State, facts: Facts, spec: MappingSpec) -> list[str]:
    """A port may be published on an address that the host gets later, as a floating one."""
    given = {port.host_ip for port in spec.ports}
    named = {address: f"published_ports {quoted(address)}" for address in sorted(filter(None, given))}
    if None in given:
        endpoint = state.way_in(spec.container, 4, spec.network)
        if endpoint is not None:
            whose = f"of the network {quoted(endpoint.network)}"
            for address in _everywhere(state, spec):
                named.setdefault(address, f"{_options.HOST_BINDING} {quoted(address)} {whose}")
    return [
        f"{spec.subject}: {name} is no address of this host now; the port answers there once it is"
        for address, name in named.items()
        if address not in WILDCARDS
        and not ipaddress.ip_address(address).is_loopback
        and address not in facts.local_addresses()
    ]


def _closed(spec: MappingSpec) -> list[str]:
    """Ports on an address that nobody may use who can."""
    if spec.sources is None:
        return []
    closed = [version for version in FAMILIES if spec.sources[version] == _sources.NOBODY[version]]
    given = sorted({port.host_ip for port in spec.ports if port.host_ip is not None})
    return [
        f"{spec.subject}: published_ports {quoted(address)} is for the host itself only, since allowed_sources has "
        f"nobody of IPv{version_of(address)}"
        for address in given
        if version_of(address) in closed
    ]


def _check_container(state: State, spec: MappingSpec) -> None:
    """Only a container with an endpoint that the outside can be let in to publishes ports."""
    subject = spec.subject
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
    versions = [version for version in FAMILIES if state.way_in(spec.container, version, spec.network) is not None]
    if spec.ports and not versions:
        raise InvalidInput(
            subject,
            "container",
            spec.container,
            "has no IPv4 address and none of IPv6" + _where(reachable, endpoints),
            "connect it to a network that gives it one",
        )
    for port in spec.ports:
        if port.host_ip is not None and version_of(port.host_ip) not in versions:
            version = version_of(port.host_ip)
            raise InvalidInput(
                subject,
                "published_ports",
                port.host_ip,
                f"can't lead to this container, which has no IPv{version} address" + _where(reachable, endpoints),
                f"connect it to a network with enable_ipv{version}, or publish on an IPv{versions[0]} address",
            )


def _where(reachable: Sequence[Endpoint], endpoints: Sequence[Endpoint]) -> str:
    return "" if len(reachable) == len(endpoints) else " but on internal networks"


def _unpublish(state: State, spec: MappingSpec) -> list[PublishedPort]:
    """Without ports, everything that the container publishes goes; on a network, where one is named.

    Returns those of the ports that matched nothing.
    """
    mappings = [each for each in state.mappings_of(spec.container) if _is_on(state, each, spec.network)]
    missed = []
    if spec.ports:
        published = _Published(mappings)
        everywhere = sorted({*WILDCARDS, *_everywhere(state, spec)})
        mappings = []
        for port in spec.ports:
            found = published.take(port, everywhere if port.host_ip is None else [port.host_ip])
            mappings += found.values()
            if not found:
                missed.append(port)
    for mapping in mappings:
        del state.mappings[mapping.key]
    return missed


def _is_on(state: State, mapping: PortMapping, network: str | None) -> bool:
    """Whether a mapping is meant by the name of a network: that which it is bound to, or leads to."""
    if network in (None, mapping.network):
        return True
    endpoint = state.publishing_endpoint(mapping) if mapping.network is None else None
    return endpoint is not None and endpoint.network == network
