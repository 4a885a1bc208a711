# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that are a configuration for others, and those made from them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bridgework.network.plugins.module_utils._errors import BridgeworkError
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import Declaration

BLOCK = {"subnet": "10.0.0.0/24", "gateway": "10.0.0.2", "iprange": "10.0.0.128/25", "aux_addresses": {"a": "10.0.0.3"}}
SIX = {"subnet": "fd00:10::/64"}


@pytest.fixture
def host() -> Declaration:
    host = Declaration()
    host.network("template", config_only=True, ipam_config=[BLOCK, SIX], labels={"tier": "front"})
    return host


@pytest.mark.parametrize(
    "given",
    [
        [{"subnet": "10.0.0.0/24"}],
        [{"subnet": "10.0.0.0/24", "iprange": "10.0.0.128/25", "gateway": None}],
        [{"subnet": "FD00:10:0::/64"}],
        [SIX, {"subnet": "10.0.0.0/24", "gateway": "10.0.0.2"}],
        [],
    ],
)
def test_what_is_left_out_of_the_subnets_stays(host: Declaration, given: list[dict[str, Any]]) -> None:
    before = host["template"]
    host.network("template", config_only=True, ipam_config=given)
    assert host["template"] == before


def test_another_subnet_starts_from_a_clean_sheet(host: Declaration) -> None:
    host.network("template", config_only=True, subnet="10.1.0.0/24")
    four, six = host["template"].ipam
    assert (four.subnet, four.gateway, four.iprange, dict(four.aux_addresses)) == ("10.1.0.0/24", "10.1.0.1", None, {})
    assert six.subnet == SIX["subnet"]


@pytest.mark.parametrize("option", ["internal", "attachable"])
def test_each_network_made_from_it_has_switches_of_its_own(host: Declaration, option: str) -> None:
    host.network("blue", config_from="template", **{option: True})
    host.network("blue", config_from="template")
    assert getattr(host["blue"], option)
    with pytest.raises(BridgeworkError, match=f'{option} "true" is given with config_only'):
        host.network("template", config_only=True, **{option: True})


def test_one_in_use_is_not_changed_but_may_be_told_again(host: Declaration) -> None:
    host.network("blue", config_from="template")
    host.network("template", config_only=True, labels={"tier": "front"})
    with pytest.raises(BridgeworkError, match='is the configuration of network "blue"; remove those first'):
        host.network("template", config_only=True, labels={"tier": "back"})


def test_one_has_no_configuration_itself(host: Declaration) -> None:
    with pytest.raises(BridgeworkError, match='config_from "template" is given with config_only'):
        host.network("other", config_only=True, config_from="template")
