# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model, written out as what the host must hold. Pure."""

from __future__ import annotations

from .._firewall import Firewall
from .._hostconfig import HostConfig, Traits
from .._ledger import Ledger
from .._state import State
from .containers import render_namespaces
from .firewall import render_identities, render_rulesets
from .links import render_links
from .sysctls import render_owed, render_sysctls


def render(state: State, ledger: Ledger, firewall: Firewall, traits: Traits) -> HostConfig:
    """Everything that the declared state asks of the host; what the ledger owes the host is asked for too."""
    links = render_links(state)
    sysctls = render_sysctls(state, ledger, traits, links.sysctls)
    rulesets = render_rulesets(state)
    return HostConfig(
        namespaces=render_namespaces(state),
        links=links.links,
        addresses=frozenset(links.addresses),
        routes=frozenset(links.routes),
        sysctls=sysctls,
        owed=render_owed(state, ledger, traits, sysctls),
        firewall=firewall.render(state.firewall_backend, rulesets, render_identities(state)),
        ports=frozenset(port for ruleset in rulesets for port in ruleset.ports),
    )
