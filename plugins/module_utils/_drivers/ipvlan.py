# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ipvlan driver: containers with addresses, but the hardware address of their parent, in the network around it."""

from __future__ import annotations

from .._model import UNSPECIFIED, IpamBlock, Network
from .parents import OnParent

LAYER_2 = "l2"


class Ipvlan(OnParent):
    """See ``Driver``. In the layer 3 modes nobody asks for hardware addresses; a router has to lead to the host."""

    name = "ipvlan"
    mode_key = "ipvlan_mode"
    modes = (LAYER_2, "l3", "l3s")
    mode_apart = LAYER_2
    no_sharing = "a parent has one mode: use that one, or choose another parent"

    def share(self, mode: str, other: str) -> bool:
        return mode == other

    def gives_mac(self, network: Network) -> bool:
        return False

    def next_hop(self, network: Network, block: IpamBlock) -> str | None:
        """In the layer 3 modes the parent itself is the way out."""
        hop = super().next_hop(network, block)
        return hop if hop is None or self.mode_of(network) == LAYER_2 else UNSPECIFIED[block.version]
