# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks on a parent: an interface of the host's that leads to a network around it.

A parent like ``eth0.10`` that is not there is made, as a VLAN of eth0, and goes with its last network. Without a parent
a network has a dummy interface, which leads nowhere. Source: macvlan and ipvlan drivers of moby, libnetwork/drivers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import _options, _validate
from .._errors import InvalidInput, quoted
from .._hostconfig import HOST, Held, Link, Sysctl, network_owner, parent_owner
from .._model import Endpoint, Network

if TYPE_CHECKING:
    from .._facts import Facts, Interface
    from .._state import State

PARENT = "parent"
LAST_VLAN = 4094  # IEEE 802.1Q: 4095 is reserved, 0 stands for none


def check_parent(subject: str, key: str, text: str) -> str:
    if text == "lo":
        raise InvalidInput(subject, key, text, "is the loopback interface", "name one that leads out of the host")
    return _validate.interface(subject, key, text)


def on_parent(state: State, facts: Facts, subject: str, network: Network, present: Network | None) -> Network:
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
    shared = [each for each in state.real_networks() if each.device == device and each.name != network.name]
    if shared:
        return replace(network, device=device, foreign_device=shared[0].foreign_device)
    if found is None:
        _refuse_vlan(facts, subject, device)
        return replace(network, device=device, foreign_device=False)
    is_made = found.kind == "vlan" and found.owner == parent_owner(device)
    if not is_made:
        _refuse_interface(subject, device, found)
    return replace(network, device=device, foreign_device=not is_made)


def refuse_large_mtu(facts: Facts, subject: str, network: Network) -> None:
    """An interface on a parent takes no larger packets than that."""
    mtu = network.options.get(_options.MTU)
    if mtu is None:
        return
    found = facts.interface(network.device) or facts.interface(vlan_of(network.device)[0])
    if found is not None and int(mtu) > found.mtu:
        raise InvalidInput(
            subject, _options.MTU, mtu, f"is larger than that of the parent {network.device} ({found.mtu})", "lower it"
        )


def vlan_of(device: str) -> tuple[str, str]:
    """``eth0.10`` as eth0 and 10; the second is empty where the name does not end in a VLAN's ID."""
    trunk, _dot, vlan = device.rpartition(".")
    is_vlan = bool(trunk) and vlan.isascii() and vlan.isdigit() and vlan[0] != "0" and int(vlan) <= LAST_VLAN
    return (trunk, vlan) if is_vlan else (device, "")


def other_parent(before: Network, after: Network) -> tuple[str, str, str] | None:
    return (PARENT, before.device, after.device) if before.device != after.device else None


def has_way_out(network: Network) -> bool:
    return not network.internal and PARENT in network.options


def parent_things(network: Network) -> Iterator[Held]:
    """The parent, where it is made for the network, without addresses: it is for containers only."""
    device = network.device
    if network.foreign_device:
        return
    if PARENT in network.options:
        trunk, vlan = vlan_of(device)
        yield Link(HOST, device, "vlan", parent_owner(device), None, lower=trunk, variant=vlan)
    else:
        yield Link(HOST, device, "dummy", network_owner(network.name), None)
    yield Sysctl(HOST, f"net/ipv6/conf/{device}/disable_ipv6", "1", lasting=False)


def link_on_parent(network: Network, endpoint: Endpoint, mode: str, owner: str) -> Link:
    return Link(
        namespace=endpoint.container,
        name=endpoint.interface,
        kind=network.driver,
        owner=owner,
        mtu=_options.mtu(network.options) if _options.MTU in network.options else None,
        mac=endpoint.mac,
        lower=network.device,
        variant=mode,
    )


def others_on(state: State, network: Network) -> list[Network]:
    """The other networks on the same device, by name."""
    found = (each for each in state.real_networks() if each.device == network.device and each.name != network.name)
    return sorted(found, key=lambda each: each.name)


def refuse_other_driver(state: State, subject: str, network: Network) -> None:
    """A parent has one driver: the kernel has one receive handler for an interface."""
    for other in others_on(state, network):
        if other.driver != network.driver:
            what = "bridge" if other.driver == "bridge" else f"parent, with the driver {other.driver},"
            raise InvalidInput(
                subject, PARENT, network.device, f'is the {what} of network "{other.name}"', "choose another parent"
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
    _refuse_down(subject, device, trunk, found)


def _refuse_interface(subject: str, device: str, found: Interface) -> None:
    if found.is_ours:
        raise InvalidInput(subject, PARENT, device, "is Bridgework's own", "name an interface of the host's")
    if found.master is not None:
        raise InvalidInput(
            subject, PARENT, device, f"is a port of {found.master}", f"name {found.master}, or another interface"
        )
    _refuse_down(subject, device, device, found)


def _refuse_down(subject: str, device: str, trunk: str, found: Interface) -> None:
    if not found.is_up:
        what = "is down" if device == trunk else f"is on {trunk}, which is down"
        raise InvalidInput(subject, PARENT, device, what, f"bring {quoted(trunk)} up first, or name another interface")
