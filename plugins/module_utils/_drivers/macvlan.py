# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The macvlan driver: containers with hardware addresses of their own in the network that a parent leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .. import _validate
from .._errors import InvalidInput
from .._hostconfig import Held, endpoint_owner
from .._model import Endpoint, IpamBlock, Network
from .._options import Check
from . import interfaces, parents

if TYPE_CHECKING:
    from .._facts import Facts
    from .._state import State

MODE = "macvlan_mode"
MODES = ("bridge", "private", "vepa", "passthru")
PASSTHRU = "passthru"


def _check_mode(subject: str, key: str, text: str) -> str:
    return _validate.choice(subject, key, text, MODES)


class Macvlan:
    """See ``Driver``."""

    name = "macvlan"
    is_routed = False
    many_subnets = True
    options: Mapping[str, Check] = {**interfaces.OPTIONS, parents.PARENT: parents.check_parent, MODE: _check_mode}

    def placed(self, state: State, facts: Facts, subject: str, network: Network, present: Network | None) -> Network:
        network = parents.on_parent(state, facts, subject, network, present)
        parents.refuse_other_driver(state, subject, network)
        parents.refuse_large_mtu(facts, subject, network)
        for other in parents.others_on(state, network):
            if PASSTHRU in (mode_of(network), mode_of(other)):
                raise InvalidInput(
                    subject,
                    MODE,
                    mode_of(network),
                    f'can\'t share the parent {network.device} with network "{other.name}" ({mode_of(other)})',
                    "passthru needs a parent of its own: choose another parent or mode",
                )
        return network

    def contradiction(self, network: Network) -> tuple[str, str, str] | None:
        return None

    def uprooting(self, before: Network, after: Network) -> tuple[str, str, str] | None:
        modes = (mode_of(before), mode_of(after))
        if modes[0] != modes[1] and PASSTHRU in modes:
            return (MODE, *modes)
        return parents.other_parent(before, after)

    def capacity(self, network: Network) -> tuple[int, str] | None:
        if mode_of(network) == PASSTHRU:
            return 1, f"in mode {PASSTHRU} one container has the whole parent {network.device}"
        return None

    def gives_mac(self, network: Network) -> bool:
        return mode_of(network) != PASSTHRU  # which takes its parent's

    def taken_macs(self, network: Network) -> Mapping[str, str]:
        return {}

    def next_hop(self, network: Network, block: IpamBlock) -> str | None:
        return block.gateway if parents.has_way_out(network) else None

    def network_things(self, network: Network) -> Iterator[Held]:
        yield from parents.parent_things(network)

    def endpoint_things(self, network: Network, endpoint: Endpoint, is_published: bool) -> Iterator[Held]:
        yield parents.link_on_parent(network, endpoint, mode_of(network), endpoint_owner(endpoint.id))


def mode_of(network: Network) -> str:
    return network.options.get(MODE, MODES[0])
