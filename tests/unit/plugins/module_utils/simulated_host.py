# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in memory that carries out a plan's steps as the kernel would, and refuses what the kernel would refuse."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import (
    HOST,
    OWNER_PREFIX,
    STALE,
    Address,
    HostConfig,
    Link,
    Namespace,
    Route,
    Sysctl,
)
from ansible_collections.bridgework.network.plugins.module_utils._model import WILDCARDS
from ansible_collections.bridgework.network.plugins.module_utils._plan import CREATE, DELETE, UPDATE, Plan, Step

UNFINISHED = OWNER_PREFIX + "unfinished"

# What the kernel gives a new link, below net/ipv?/conf.
LINK_SYSCTLS = {"accept_ra": "1", "disable_ipv6": "0", "route_localnet": "0"}
NAMESPACE_SYSCTLS = {"net/core/somaxconn": "4096", "net/ipv4/ip_forward": "0"}


class Refused(Exception):
    """The kernel's answer to a step that can't be done."""


@dataclass(eq=False)
class Interface:
    """A link as the kernel has it: it knows its namespace, master, peer and lower by identity, not by name."""

    space: Space
    name: str
    kind: str
    owner: str
    mtu: int
    mac: str
    up: bool
    master: Interface | None = None
    hairpin: bool = False
    peer: Interface | None = None
    lower: Interface | None = None
    variant: str = ""
    addresses: list[str] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=lambda: dict(LINK_SYSCTLS))


@dataclass(eq=False)
class Space:
    """A network namespace, whatever names lead to it."""

    links: dict[str, Interface] = field(default_factory=dict)
    routes: dict[str, tuple[Interface, str]] = field(default_factory=dict)  # destination → link and gateway
    sysctls: dict[str, str] = field(default_factory=lambda: dict(NAMESPACE_SYSCTLS))
    loopback_up: bool = False


class SimulatedHost:
    """One host. ``owned`` and ``handles`` are what the ledger would say of its names."""

    def __init__(self) -> None:
        self.host = Space(loopback_up=True)
        self.names: dict[str, Space] = {HOST: self.host}
        self.owned: set[str] = set()
        self.handles: dict[str, str] = {}
        self.firewall: Mapping[str, tuple[str, ...]] = {}
        self._removed: dict[str, Space] = {}
        self._macs = (f"4e:00:00:00:{number // 256:02x}:{number % 256:02x}" for number in count())
        self._actions: dict[tuple[type, str], Callable[[Step], None]] = {
            (Namespace, CREATE): self._create_namespace,
            (Namespace, UPDATE): self._set_loopback,
            (Namespace, DELETE): self._delete_namespace,
            (Link, CREATE): self._create_link,
            (Link, UPDATE): self._change_link,
            (Link, DELETE): self._delete_link,
            (Address, CREATE): self._add_address,
            (Address, DELETE): self._delete_address,
            (Route, CREATE): self._replace_route,
            (Route, DELETE): self._delete_route,
            (Sysctl, CREATE): self._write,
            (Sysctl, UPDATE): self._write,
        }

    def plug(self, name: str) -> None:
        """An interface that the host has of its own."""
        self.host.links[name] = Interface(self.host, name, "", "", 1500, next(self._macs), up=True)

    @classmethod
    def holding(cls, config: HostConfig) -> SimulatedHost:
        """A host that holds a configuration; what is not owned in it is foreign."""
        host = cls()
        for space in sorted(config.namespaces.values(), key=lambda each: each.of is not None):
            host._create_namespace(Step(CREATE, after=space))
            if not space.owned:
                host.owned.remove(space.name)
                host.names[space.name].loopback_up = True
        for link in sorted(config.links.values(), key=lambda each: not each.is_base):
            if link.name not in host.names[link.namespace].links:
                host._create_link(Step(CREATE, after=link, peer=config.links.get(link.peer)))
        for address in config.addresses:
            host._add_address(Step(CREATE, after=address))
        for route in config.routes:
            host._replace_route(Step(CREATE, after=route))
        for sysctl in config.sysctls.values():
            host._write(Step(CREATE, after=sysctl))
        host.firewall = config.firewall
        return host

    def observe(self, *scope: HostConfig) -> HostConfig:
        """What the host holds, as far as the configurations of the scope name it, and all that is marked as ours."""
        names = [name for name in self.names if name != HOST and (name in self.owned or within(scope, name))]
        found = HostConfig(
            namespaces={
                name: Namespace(
                    name,
                    self._behind(name),
                    owned=name in self.owned,
                    loopback_up=self._behind(name) is not None
                    or name not in self.owned
                    or self.names[name].loopback_up,
                )
                for name in names
            },
            firewall=dict(self.firewall),
        )
        looked_into = [HOST, *(name for name in names if self._behind(name) is None)]
        known = {key for config in scope for key in config.links}
        addresses, routes = set(), set()
        for namespace in looked_into:
            space = self.names[namespace]
            for interface in space.links.values():
                link = self._link(namespace, interface)
                if link.owned or link.key in known:
                    found.links[link.key] = link
                if link.owned:
                    addresses |= {Address(namespace, interface.name, each) for each in interface.addresses}
                    routes |= {
                        Route(namespace, interface.name, destination, gateway)
                        for destination, (out, gateway) in space.routes.items()
                        if out is interface
                    }
        found.addresses = frozenset(addresses).intersection(*[frozenset().union(*(c.addresses for c in scope))])
        found.routes = frozenset(routes).intersection(*[frozenset().union(*(c.routes for c in scope))])
        for key in {key for config in scope for key in (*config.sysctls, *config.owed)}:
            if key[0] in looked_into and (value := self._read(*key)) is not None:
                found.sysctls[key] = Sysctl(*key, value)
        return found

    def carry_out(self, plan: Plan, until: int | None = None) -> None:
        """A plan's steps in order; with ``until`` only so many of them, as a run that fails there."""
        actions: list[Callable[[], None]] = [lambda step=step: self.do(step) for step in plan.before_firewall()]
        if plan.firewall is not None:
            actions.append(lambda: self._swap(plan))
        actions += [lambda step=step: self.do(step) for step in plan.after_firewall()]
        for action in actions[:until]:
            action()

    def do(self, step: Step) -> None:
        self._actions[type(step.thing), step.verb](step)

    def lose_routes(self, namespace: str, link: str) -> None:
        """Somebody flushes the routes of a link."""
        self._drop_routes(self._interface(namespace, link))

    def end_run(self) -> None:
        """Namespaces that the run kept open for a rollback are let go."""
        for space in self._removed.values():
            self._let_go(space)
        self._removed.clear()

    def _swap(self, plan: Plan) -> None:
        require(dict(plan.firewall.before) == dict(self.firewall), "a rule set other than the observed one")
        self.firewall = plan.firewall.after

    def _behind(self, name: str) -> str | None:
        if self.names[name] is self.host:
            return HOST
        target = self.handles.get(name)
        if target is None:
            return None
        return target if self.names.get(target) is self.names[name] else STALE

    def _link(self, namespace: str, interface: Interface) -> Link:
        peer = interface.peer
        places = [name for name, space in self.names.items() if peer and space is peer.space and not self._behind(name)]
        joined = peer is not None and HOST in (namespace, *places) and self._is_pair(interface, peer, namespace)
        return Link(
            namespace=namespace,
            name=interface.name,
            kind=interface.kind,
            owner=interface.owner,
            mtu=interface.mtu,
            mac=interface.mac,
            master=interface.master.name if interface.master else None,
            peer=(places[0], peer.name) if joined and places else None,
            hairpin=interface.hairpin,
            up=interface.up,
            lower=interface.lower.name if interface.lower else None,
            variant=interface.variant,
        )

    def _is_pair(self, one: Interface, other: Interface, namespace: str) -> bool:
        """Two ends are one endpoint's where the host's end is marked; a container may change the mark on its own."""
        outer, inner = (one, other) if namespace == HOST else (other, one)
        known = outer.owner.startswith(OWNER_PREFIX) and outer.owner != UNFINISHED
        return known or (outer.owner == inner.owner == UNFINISHED)

    def _space(self, name: str) -> Space:
        require(name in self.names, f"no namespace {name}")
        return self.names[name]

    def _interface(self, namespace: str, name: str) -> Interface:
        require(name in self._space(namespace).links, f"no link {namespace}/{name}")
        return self.names[namespace].links[name]

    def _create_namespace(self, step: Step) -> None:
        name, of = step.after.name, step.after.of
        require(name not in self.names, f"the name {name} is taken")
        if of is None:
            self.names[name] = self._removed.pop(name, None) or Space()
            self.names[name].loopback_up = step.after.loopback_up
        else:
            self.names[name] = self._space(of)
            self.handles[name] = of
        self.owned.add(name)

    def _set_loopback(self, step: Step) -> None:
        self._space(step.after.name).loopback_up = step.after.loopback_up

    def _delete_namespace(self, step: Step) -> None:
        name = step.before.name
        require(name in self.names, f"no namespace {name}")
        space = self.names.pop(name)
        self.owned.discard(name)
        if self.handles.pop(name, None) is None:
            self._removed[name] = space
        else:
            self._let_go(space)

    def _let_go(self, space: Space) -> None:
        if space not in self.names.values():
            for interface in list(space.links.values()):
                self._destroy(interface)

    def _create_link(self, step: Step) -> None:
        outer = self._add(step.after)
        if step.peer is not None:
            inner = self._add(step.peer)
            outer.peer, inner.peer = inner, outer

    def _add(self, link: Link) -> Interface:
        space = self._space(link.namespace)
        require(link.name not in space.links, f"{link.namespace}/{link.name} exists")
        lower = None if link.lower is None else self._interface(HOST, link.lower)
        mtu = link.mtu or (1500 if lower is None else lower.mtu)
        require(lower is None or mtu <= lower.mtu, f"{link.lower} takes no such packets")
        made = Interface(space, link.name, link.kind, link.owner, mtu, link.mac or next(self._macs), link.up)
        made.lower, made.variant = lower, link.variant
        if link.master is not None:
            made.master, made.hairpin = self._bridge(link.namespace, link.master), link.hairpin
        space.links[link.name] = made
        return made

    def _bridge(self, namespace: str, name: str) -> Interface:
        master = self._interface(namespace, name)
        require(master.kind == "bridge", f"{name} is no bridge")
        return master

    def _change_link(self, step: Step) -> None:
        after, interface = step.after, self._interface(*step.after.key)
        require(interface.kind == after.kind, "another kind of link")
        require(self._link(after.namespace, interface).becomes(after), "a change that is for a new link")
        interface.mtu, interface.owner = after.mtu or interface.mtu, after.owner
        interface.variant = after.variant
        interface.mac = after.mac or interface.mac
        master = self._bridge(after.namespace, after.master) if after.master else None
        if interface.master is not master:
            interface.master, interface.hairpin = master, False
        require(master is not None or not after.hairpin, "hairpin mode without a bridge")
        interface.hairpin = after.hairpin
        interface.up = after.up
        if not after.up:
            self._drop_routes(interface)

    def _delete_link(self, step: Step) -> None:
        interface = self._space(step.before.namespace).links.get(step.before.name)
        if interface is not None:  # its other end may have taken it along
            self._destroy(interface)

    def _destroy(self, interface: Interface) -> None:
        del interface.space.links[interface.name]
        self._drop_routes(interface)
        spaces = [*self.names.values(), *self._removed.values()]
        for upper in [each for space in spaces for each in space.links.values() if each.lower is interface]:
            if upper.name in upper.space.links:
                self._destroy(upper)
        for port in interface.space.links.values():
            if port.master is interface:
                port.master, port.hairpin = None, False
        if interface.peer is not None:
            interface.peer.peer = None
            self._destroy(interface.peer)

    def _drop_routes(self, interface: Interface) -> None:
        routes = interface.space.routes
        for destination in [destination for destination, (out, _gateway) in routes.items() if out is interface]:
            del routes[destination]

    def _add_address(self, step: Step) -> None:
        interface = self._interface(step.after.namespace, step.after.link)
        require(step.after.address not in interface.addresses, f"{step.after.address} exists")
        interface.addresses.append(step.after.address)

    def _delete_address(self, step: Step) -> None:
        interface = self._interface(step.before.namespace, step.before.link)
        require(step.before.address in interface.addresses, f"no address {step.before.address}")
        primary = next(each for each in interface.addresses if subnet(each) == subnet(step.before.address))
        interface.addresses.remove(step.before.address)
        if primary == step.before.address:  # promote_secondaries is off
            interface.addresses = [each for each in interface.addresses if subnet(each) != subnet(primary)]
        if not interface.addresses:
            self._drop_routes(interface)

    def _replace_route(self, step: Step) -> None:
        route = step.after
        interface = self._interface(route.namespace, route.link)
        on_link = route.gateway in WILDCARDS
        on_link |= any(ipaddress.ip_address(route.gateway) in subnet(each) for each in interface.addresses)
        require(interface.up and on_link, f"{route.gateway} is unreachable")
        self.names[route.namespace].routes[route.destination] = (interface, route.gateway)

    def _delete_route(self, step: Step) -> None:
        route = step.before
        found = self._space(route.namespace).routes.get(route.destination)
        require(found == (self._interface(route.namespace, route.link), route.gateway), f"no route {route}")
        del self.names[route.namespace].routes[route.destination]

    def _write(self, step: Step) -> None:
        values, key = self._values(step.after.namespace, step.after.path)
        require(values is not None and key in values, f"no sysctl {step.after.path}")
        values[key] = step.after.value

    def _read(self, namespace: str, path: str) -> str | None:
        values, key = self._values(namespace, path)
        return None if values is None else values.get(key)

    def _values(self, namespace: str, path: str) -> tuple[dict[str, str] | None, str]:
        space, parts = self._space(namespace), path.split("/")
        if parts[2] != "conf":
            return space.sysctls, path
        interface = space.links.get(parts[3])
        return (None if interface is None else interface.sysctls), parts[4]


def within(scope: Iterable[HostConfig], name: str) -> bool:
    return any(name in config.namespaces for config in scope)


def subnet(address: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_interface(address).network


def require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Refused(otherwise)
