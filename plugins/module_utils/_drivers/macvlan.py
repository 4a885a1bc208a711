# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The macvlan driver: containers with hardware addresses of their own in the network that a parent leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import InvalidInput
from .._model import Network
from .parents import OnParent

if TYPE_CHECKING:
    from .._facts import Facts

PASSTHRU = "passthru"


class Macvlan(OnParent):
    """See ``Driver``. In mode passthru a container is all that the parent is for, and may change its MAC too."""

    name = "macvlan"
    mode_key = "macvlan_mode"
    modes = ("bridge", "private", "vepa", PASSTHRU)
    mode_apart = PASSTHRU
    no_sharing = "passthru needs a parent of its own: choose another parent or mode"

    def share(self, mode: str, other: str) -> bool:
        return PASSTHRU not in (mode, other)

    def refuse_harm(self, facts: Facts, subject: str, network: Network) -> None:
        found = facts.interface(network.device)
        if self.mode_of(network) == PASSTHRU and found is not None and found.addresses:
            raise InvalidInput(
                subject,
                self.mode_key,
                PASSTHRU,
                f"would cut the host off from {network.device}, where it has {', '.join(found.addresses)}",
                "choose another parent or mode, or set force if that is meant",
            )

    def capacity(self, network: Network) -> tuple[int, str] | None:
        if self.mode_of(network) == PASSTHRU:
            return 1, f"in mode {PASSTHRU} one container has the whole parent {network.device}"
        return None

    def gives_mac(self, network: Network) -> bool:
        return self.mode_of(network) != PASSTHRU  # which takes its parent's
