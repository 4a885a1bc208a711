# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that only hold a configuration for others (``config_only``, ``config_from``), and what clusters have.

Source: moby, libnetwork/network.go, applyConfigurationTo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import _validate
from .._drivers import DEFAULT
from .._errors import InUse, InvalidInput
from .._facts import Facts
from .._model import PREDEFINED_NETWORKS, IpamBlock, Network
from .._state import State
from .subnets import SWITCH, by_family, given_block, refuse_overlapping

if TYPE_CHECKING:
    from .networks import NetworkSpec

NULL_DRIVER = "null"
# What a network has from its configuration, and none of its own.
INHERITED = ("driver_options", "ipam_config", "ipam_driver", "ipam_options", "enable_ipv4", "enable_ipv6")
# What each of the networks that are made from a configuration has of its own.
OWN = ("internal", "attachable")


def refuse_clusters(subject: str, spec: NetworkSpec) -> None:
    if spec.scope not in (None, "local"):
        raise InvalidInput(subject, "scope", spec.scope, "is for clusters of Docker's", "use local, or leave it out")
    if spec.ingress:
        raise InvalidInput(subject, "ingress", "true", "is for clusters of Docker's", "leave it out")


def inherited(state: State, subject: str, spec: NetworkSpec) -> NetworkSpec:
    """The spec with what it has from the configuration that it names."""
    if spec.config_from is None:
        return spec
    source = state.networks.get(spec.config_from)
    if source is None or not source.config_only:
        problem = "is no network of this host" if source is None else "is not a network of configuration only"
        raise InvalidInput(subject, "config_from", spec.config_from, problem, "name one that was made with config_only")
    refuse_own(subject, spec, spec.config_from)
    return replace(
        spec,
        driver_options=source.options,
        ipam_config=tuple(as_config(block) for block in source.ipam) or None,
        ipam_driver=source.ipam_driver,
        ipam_options=source.ipam_options,
        enable_ipv6=True if source.block(6) is not None else None,
        labels={**source.labels, **(spec.labels or {})},
    )


def refuse_own(subject: str, spec: NetworkSpec, source: str) -> None:
    """What a network has from its configuration it has from nowhere else."""
    for option in INHERITED:
        given = getattr(spec, option)
        if given is not None and given != {} and given != ():
            raise InvalidInput(
                subject,
                option,
                given,
                f'is given with config_from "{source}", which has it',
                "leave one of the two out",
            )


def as_config(block: IpamBlock) -> dict[str, Any]:
    return {
        "subnet": block.subnet,
        "gateway": block.gateway,
        "iprange": block.iprange,
        "aux_addresses": dict(block.aux_addresses) or None,
    }


def with_kept(subject: str, spec: NetworkSpec, existing: Network) -> tuple[Mapping[str, Any], ...]:
    """The blocks of a configuration: keys that were left out stay, and so do the blocks of a family that was."""
    kept = {block.subnet: as_config(block) for block in existing.ipam}
    given = [{key: value for key, value in each.items() if value is not None} for each in spec.ipam_config or ()]
    for each in given:
        if "subnet" in each:
            each["subnet"] = str(_validate.network(subject, "subnet", each["subnet"]))
    asked = [{**kept.get(each.get("subnet", ""), {}), **each} for each in given]
    if all(each in kept.values() for each in asked):
        return tuple(kept.values())
    families = {":" in str(each.get("subnet")) for each in asked}
    return (*asked, *(each for subnet, each in kept.items() if (":" in subnet) not in families))


def configuration(facts: Facts, subject: str, spec: NetworkSpec, identity: str) -> Network:
    """A network that is nothing on the host."""
    if spec.name in PREDEFINED_NETWORKS:
        raise InvalidInput(subject, "config_only", "true", "is given for a predefined network", "choose another name")
    if spec.driver not in (None, NULL_DRIVER, DEFAULT):
        raise InvalidInput(subject, "driver", spec.driver, "is given with config_only", "leave it out")
    for option in OWN:
        if getattr(spec, option):
            raise InvalidInput(
                subject, option, "true", "is given with config_only", "give it to the networks made from this one"
            )
    if spec.config_from is not None:
        raise InvalidInput(
            subject, "config_from", spec.config_from, "is given with config_only", "leave one of the two out"
        )
    if spec.connected or spec.endpoints:
        raise InvalidInput(
            subject,
            "config_only",
            "true",
            "is given with containers to connect",
            "connect them to a network made from it",
        )
    configs = by_family(subject, spec)
    blocks = {version: [given_block(subject, each) for each in given] for version, given in configs.items()}
    for each in blocks.values():
        refuse_overlapping(subject, each)
    for version, switch in SWITCH.items():
        asked = spec.enable_ipv4 if version == 4 else spec.enable_ipv6
        if asked is not None and asked != (version in blocks):
            raise InvalidInput(
                subject,
                switch,
                str(asked).lower(),
                "does not go with the subnets of ipam_config, which say it for a configuration",
                f"give or leave out a subnet of IPv{version} there",
            )
    return Network(
        id=identity,
        name=spec.name,
        driver=NULL_DRIVER,
        device="",
        ipam=tuple(block for version in sorted(blocks) for block in blocks[version]),
        created=facts.now,
        labels=spec.labels or {},
        options=spec.driver_options or {},
        ipam_driver=spec.ipam_driver or "default",
        ipam_options=spec.ipam_options or {},
        config_only=True,
    )


def other_kind(existing: Network, spec: NetworkSpec) -> tuple[str, str, str] | None:
    """What makes it another network than it is, if anything: the option, its value and what that differs from."""
    if spec.config_only is not None and spec.config_only != existing.config_only:
        return "config_only", str(spec.config_only).lower(), "what the network is"
    if spec.config_from not in (None, existing.config_from):
        return "config_from", str(spec.config_from), f"the present {existing.config_from or 'none'}"
    if spec.ipam_driver not in (None, existing.ipam_driver) and not existing.config_only:
        return "ipam_driver", str(spec.ipam_driver), f"the present {existing.ipam_driver}"
    return None


def refuse_in_use(state: State, network: Network) -> None:
    users = sorted(each.name for each in state.networks.values() if each.config_from == network.name)
    if users:
        raise InUse(
            f'network "{network.name}"',
            "",
            "",
            "is the configuration of " + ", ".join(f'network "{user}"' for user in users),
            "remove those first",
        )
