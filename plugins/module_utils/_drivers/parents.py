# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks on a parent: an interface of the host's that leads to a network around it.

A parent like ``eth0.10`` that is not there is made, as a VLAN of eth0, and goes with its last network. Without a parent
a network has a dummy interface, which leads nowhere. Source: macvlan and ipvlan drivers of moby, libnetwork/drivers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import _options, _validate
from .._errors import InvalidInput, quoted
from .._hostconfig import HOST, Held, Link, Sysctl, endpoint_owner, network_owner, parent_owner
from .._model import Endpoint, IpamBlock, Network
from .._options import Check
from .._settings import IPV6_MTU
from . import interfaces

if TYPE_CHECKING:
    from .._facts import Facts, Interface
    from .._state import State

PARENT = "parent"
LAST_VLAN = 4094  # IEEE 802.1Q: 4095 is reserved, 0 stands for none
# Drivers whose links the kernel puts on what such an interface is on, by the kinds of these.
STACKED = {"macvlan": "macvlan", "macvtap": "macvlan", "ipvlan": "ipvlan", "ipvtap": "ipvlan"}


class OnParent:
    """What all such drivers have in common; see ``Driver``.

    ``modes`` are those of the option ``mode_key``; a change from or to ``mode_apart`` takes interfaces away.
    """

    name: str
    mode_key: str
    modes: Sequence[str]
    mode_apart: str
    no_sharing: str  # what to do where two modes do not go together
    is_routed = False
    many_subnets = True

    @property
    def options(self) -> Mapping[str, Check]:
        return {**interfaces.OPTIONS, PARENT: _check_parent, self.mode_key: self._check_mode}

    def mode_of(self, network: Network) -> str:
        return network.options.get(self.mode_key, self.modes[0])

    def share(self, mode: str, other: str) -> bool:
        """Whether a parent has room for both modes."""
        raise NotImplementedError

    def placed(
        self, state: State, facts: Facts, subject: str, network: Network, present: Network | None, force: bool
    ) -> Network:
        network = _on_parent(state, facts, subject, network, present)
        self._refuse_others(state, subject, network)
        _refuse_mtu(facts, subject, network, present)
        if present is None or (self.mode_of(present), present.device) != (self.mode_of(network), network.device):
            self._refuse_strangers(facts, subject, network)
            if not force:
                self.refuse_harm(facts, subject, network)
        return network

    def refuse_harm(self, facts: Facts, subject: str, network: Network) -> None:
        """Nothing is taken away from the host without force."""

    def contradiction(self, network: Network) -> tuple[str, str, str] | None:
        return None

    def uprooting(self, before: Network, after: Network) -> tuple[str, str, str] | None:
        modes = (self.mode_of(before), self.mode_of(after))
        if modes[0] != modes[1] and self.mode_apart in modes:
            return (self.mode_key, *modes)
        return (PARENT, before.device, after.device) if before.device != after.device else None

    def capacity(self, network: Network) -> tuple[int, str] | None:
        return None

    def next_hop(self, network: Network, block: IpamBlock) -> str | None:
        return block.gateway if not network.internal and PARENT in network.options else None

    def taken_macs(self, facts: Facts, network: Network) -> Mapping[str, str]:
        found = _interface_or_trunk(facts, network.device)
        taken = {each.mac: f"the interface {name}" for name, each in facts.interfaces_on(network.device).items()}
        return {**taken, **({} if found is None else {found.mac: f"the parent {network.device}"})}

    def network_things(self, network: Network) -> Iterator[Held]:
        """The parent, where it is made for the network, without addresses: it is for containers only."""
        device = network.device
        if network.foreign_device:
            return
        if PARENT in network.options:
            trunk, vlan = vlan_of(device)
            yield Link(HOST, device, "vlan", parent_owner(device), None, lower=trunk, variant=vlan)
        else:
            yield Link(HOST, device, "dummy", network_owner(network.name), None)
        yield Sysctl(HOST, f"net/ipv6/conf/{device}/disable_ipv6", "1", lasting=False, if_there=True)

    def endpoint_things(self, network: Network, endpoint: Endpoint, is_published: bool) -> Iterator[Held]:
        yield Link(
            namespace=endpoint.container,
            name=endpoint.interface,
            kind=self.name,
            owner=endpoint_owner(endpoint.id),
            mtu=_options.mtu(network.options) if _options.MTU in network.options else None,
            mac=endpoint.mac,
            lower=network.device,
            variant=self.mode_of(network),
        )
        has_ipv6 = network.block(6) is not None
        if_there = not has_ipv6 and _options.MTU not in network.options
        yield from interfaces.ipv6_settings(endpoint.container, endpoint.interface, network, has_ipv6, if_there)

    def _check_mode(self, subject: str, key: str, text: str) -> str:
        return _validate.choice(subject, key, text, self.modes)

    def _refuse_others(self, state: State, subject: str, network: Network) -> None:
        """A parent has one driver, as the kernel has one receive handler for an interface, and modes that share it."""
        for other in _others_on(state, network.device, network):
            whose = f'network "{other.name}"'
            if other.driver == "bridge":
                problem = f"is the bridge of {whose}"
            elif other.driver != self.name:
                problem = f"is the parent, with the driver {other.driver}, of {whose}"
            elif PARENT not in other.options:
                problem = f"is {whose}'s own, which leads nowhere"
            else:
                self._refuse_mode(subject, network, whose, self.mode_of(other))
                continue
            raise InvalidInput(subject, PARENT, network.device, problem, "choose another parent")

    def _refuse_strangers(self, facts: Facts, subject: str, network: Network) -> None:
        """The same for interfaces of the host's that are not ours; others' in containers can't be seen from here."""
        for name, other in facts.interfaces_on(network.device).items():
            driver = STACKED.get(other.kind)
            if driver not in (None, self.name):
                problem = f"has the {other.kind} {quoted(name)}, which is not Bridgework's"
                raise InvalidInput(subject, PARENT, network.device, problem, "choose another parent")
            if driver is not None and other.variant:
                self._refuse_mode(subject, network, f"{quoted(name)}, which is not Bridgework's", other.variant)

    def _refuse_mode(self, subject: str, network: Network, whose: str, mode: str) -> None:
        if not self.share(self.mode_of(network), mode):
            problem = f"can't share the parent {network.device} with {whose} ({mode})"
            raise InvalidInput(subject, self.mode_key, self.mode_of(network), problem, self.no_sharing)


def vlan_of(device: str) -> tuple[str, str]:
    """``eth0.10`` as eth0 and 10; the second is empty where the name does not end in a VLAN's ID."""
    trunk, _dot, vlan = device.rpartition(".")
    is_vlan = bool(trunk) and vlan.isascii() and vlan.isdigit() and vlan[0] != "0" and int(vlan) <= LAST_VLAN
    return (trunk, vlan) if is_vlan else (device, "")


def _check_parent(subject: str, key: str, text: str) -> str:
    if text == "lo":
        raise InvalidInput(subject, key, text, "is the loopback interface", "name one that leads out of the host")
    return _validate.interface(subject, key, text)


def _on_parent(state: State, facts: Facts, subject: str, network: Network, present: Network | None) -> Network:
    """The network with its parent for a device. Raises InvalidInput."""
    parent = network.options.get(PARENT)
    device = parent or "dm-" + network.id[:12]
    if present is not None and present.device == device:
        return replace(network, device=device, foreign_device=present.foreign_device)
    _require_kind(facts, subject, "driver", network.driver, network.driver)
    if parent is None:
        _require_kind(facts, subject, PARENT, "(none)", "dummy")
        return replace(network, device=device, foreign_device=False)
    found = facts.interface(device)
    shared = _others_on(state, device, network)
    if shared:
        return replace(network, device=device, foreign_device=shared[0].foreign_device)
    if found is None:
        _refuse_vlan(facts, subject, device)
        return replace(network, device=device, foreign_device=False)
    is_made = found.kind == "vlan" and found.owner == parent_owner(device)
    if not is_made:
        _refuse_interface(subject, device, device, found)
        _refuse_stacked(subject, device, found)
    return replace(network, device=device, foreign_device=not is_made)


def _others_on(state: State, device: str, network: Network) -> list[Network]:
    """The other networks on a device, by name."""
    others = (each for each in state.real_networks() if each.device == device and each.name != network.name)
    return sorted(others, key=lambda each: each.name)


def _interface_or_trunk(facts: Facts, device: str) -> Interface | None:
    """The parent, or what it will be on and take after."""
    return facts.interface(device) or facts.interface(vlan_of(device)[0])


def _refuse_mtu(facts: Facts, subject: str, network: Network, present: Network | None) -> None:
    """An interface on a parent takes no larger packets than that; without an MTU of its own it takes the parent's."""
    mtu, found = network.options.get(_options.MTU), _interface_or_trunk(facts, network.device)
    if found is None:
        return
    if mtu is not None and int(mtu) > found.mtu:
        raise InvalidInput(
            subject, _options.MTU, mtu, f"is larger than that of the parent {network.device} ({found.mtu})", "lower it"
        )
    was_so = present is not None and present.device == network.device and present.block(6) is not None
    if network.block(6) is not None and found.mtu < IPV6_MTU and PARENT in network.options and not was_so:
        raise InvalidInput(
            subject,
            PARENT,
            network.device,
            f"has an MTU of {found.mtu}, which is too small for IPv6",
            f"raise it to {IPV6_MTU} at least (RFC 8200), or leave IPv6 out",
        )


def _require_kind(facts: Facts, subject: str, option: str, value: str, kind: str) -> None:
    if not facts.has_link_kind(kind):
        module = {"vlan": "8021q"}.get(kind, kind)
        raise InvalidInput(
            subject,
            option,
            value,
            f"needs the kernel module {module}, which this host's kernel does not have",
            f'install it (see "modprobe {module}"), or ' + ("name a parent" if kind == "dummy" else "choose another"),
        )


def _refuse_vlan(facts: Facts, subject: str, device: str) -> None:
    trunk, vlan = vlan_of(device)
    found = facts.interface(trunk) if vlan else None
    if found is None:
        raise InvalidInput(
            subject,
            PARENT,
            device,
            "is no interface of this host" if not vlan else f"is no interface of this host, and nor is {trunk}",
            "name one that is there, or one like eth0.10 to have VLAN 10 of eth0 made",
        )
    _require_kind(facts, subject, PARENT, device, "vlan")
    _refuse_interface(subject, device, trunk, found)


def _refuse_interface(subject: str, device: str, base: str, found: Interface) -> None:
    """``base`` is the parent itself, or what it is to be made on."""

    def refuse(problem: str, remedy: str) -> None:
        where = "is" if base == device else f"is on {base}, which is"
        raise InvalidInput(subject, PARENT, device, f"{where} {problem}", remedy)

    if found.is_ours:
        refuse("Bridgework's own", "name an interface of the host's")
    if found.master is not None:
        refuse(f"a port of {found.master}", f"name {found.master}, or another interface")
    if not found.is_ethernet:
        refuse(f"no Ethernet interface ({found.kind or 'of another kind'})", "choose another parent")
    if not found.is_up:
        refuse("down", f"bring {quoted(base)} up first, or name another interface")


def _refuse_stacked(subject: str, device: str, found: Interface) -> None:
    """The kernel puts what is to be on such an interface on the one below it."""
    if found.kind in STACKED:
        lower = found.lower or "another interface"
        raise InvalidInput(subject, PARENT, device, f"is itself on {lower} ({found.kind})", f"name {lower}")
