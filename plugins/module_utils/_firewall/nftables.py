# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule set in the words of nftables: one table for both families."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .._errors import HostError
from .._hostconfig import FirewallLines
from . import nft
from .ruleset import PortRule, Ruleset

TABLE = "inet bridgework"


class Nftables:
    """The backend for nftables."""

    stands_before = ()

    def owns(self, place: str) -> bool:
        return f"{place} ".startswith(f"{TABLE} ")

    def is_fitting(self) -> bool:
        return False

    def require(self, lines: FirewallLines) -> None:
        if lines:
            nft.require('firewall_backend "nftables"')

    def render(self, rulesets: Iterable[Ruleset]) -> FirewallLines:
        raise HostError('firewall_backend "nftables": is not there yet')

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        return nft.read(TABLE)

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        return frozenset()

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> int:
        nft.load(nft.replacement(TABLE, wanted))
        return 1

    def is_counted(self) -> bool:
        return True
