# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model, written out as what the host must hold. Pure."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .._firewall import Firewall
from .._hostconfig import HostConfig, LazyLines, Traits
from .._ledger import Ledger
from .._state import State
from .containers import render_namespaces
from .links import render_links
from .sysctls import render_owed, render_sysctls

if TYPE_CHECKING:
    from .._firewall.ruleset import Identity, PortRule, Ruleset


def render(state: State, ledger: Ledger, firewall: Firewall, traits: Traits) -> HostConfig:
    """Everything that the declared state asks of the host; what the ledger owes the host is asked for too.

    The firewall's part, the largest on many hosts, is written out when it is asked for; the state must stay as it is.
    """
    links = render_links(state)
    sysctls = render_sysctls(state, ledger, traits, links.sysctls)
    rules = cache(lambda: _rules(state))
    return HostConfig(
        namespaces=render_namespaces(state),
        links=links.links,
        addresses=frozenset(links.addresses),
        routes=frozenset(links.routes),
        sysctls=sysctls,
        owed=render_owed(state, ledger, traits, sysctls),
        firewall=LazyLines(lambda: firewall.render(state.firewall_backend, *rules())),
        ports=lambda: _published(rules()[0]),
    )


def _rules(state: State) -> tuple[tuple[Ruleset, ...], tuple[Identity, ...]]:
    from .firewall import render_identities, render_rulesets

    return render_rulesets(state), render_identities(state)


def _published(rulesets: tuple[Ruleset, ...]) -> frozenset[PortRule]:
    """Containers' own ports that others may address are as if they were published there: flows to them end likewise."""
    from .._firewall.ruleset import PortRule

    return frozenset(port for ruleset in rulesets for port in ruleset.ports).union(
        PortRule(rule.protocol, rule.target_ip, rule.target_port, rule.target_ip, rule.target_port, rule.sources)
        for ruleset in rulesets
        for rule in ruleset.direct
    )
