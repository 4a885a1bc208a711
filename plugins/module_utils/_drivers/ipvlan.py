# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ipvlan driver: containers with addresses, but the hardware address of their parent, in the network around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .. import _validate
from .._errors import InvalidInput
from .._hostconfig import Held, endpoint_owner
from .._model import UNSPECIFIED, Endpoint, IpamBlock, Network
from .._options import Check
from . import interfaces, parents

if TYPE_CHECKING:
    from .._facts import Facts
    from .._state import State

MODE = "ipvlan_mode"
MODES = ("l2", "l3", "l3s")


def _check_mode(subject: str, key: str, text: str) -> str:
    return _validate.choice(subject, key, text, MODES)


class Ipvlan:
    """See ``Driver``."""

    name = "ipvlan"
    is_routed = False
    many_subnets = True
    options: Mapping[str, Check] = {**interfaces.OPTIONS, parents.PARENT: parents.check_parent, MODE: _check_mode}

    def placed(self, state: State, facts: Facts, subject: str, network: Network, present: Network | None) -> Network:
        network = parents.on_parent(state, facts, subject, network, present)
        parents.refuse_other_driver(state, subject, network)
        parents.refuse_large_mtu(facts, subject, network)
        for other in parents.others_on(state, network):
            if mode_of(other) != mode_of(network):
                raise InvalidInput(
                    subject,
                    MODE,
                    mode_of(network),
                    f'differs from {mode_of(other)}, which network "{other.name}" has on {network.device}',
                    "use the same: a parent has one mode",
                )
        return network

    def contradiction(self, network: Network) -> tuple[str, str, str] | None:
        return None

    def uprooting(self, before: Network, after: Network) -> tuple[str, str, str] | None:
        return parents.other_parent(before, after)

    def capacity(self, network: Network) -> tuple[int, str] | None:
        return None

    def gives_mac(self, network: Network) -> bool:
        return False

    def taken_macs(self, network: Network) -> Mapping[str, str]:
        return {}

    def next_hop(self, network: Network, block: IpamBlock) -> str | None:
        """In the layer 3 modes the parent itself is the way out, and nobody is asked for a hardware address."""
        if not parents.has_way_out(network):
            return None
        return block.gateway if mode_of(network) == "l2" else UNSPECIFIED[block.version]

    def network_things(self, network: Network) -> Iterator[Held]:
        yield from parents.parent_things(network)

    def endpoint_things(self, network: Network, endpoint: Endpoint, is_published: bool) -> Iterator[Held]:
        yield parents.link_on_parent(network, endpoint, mode_of(network), endpoint_owner(endpoint.id))


def mode_of(network: Network) -> str:
    return network.options.get(MODE, MODES[0])
