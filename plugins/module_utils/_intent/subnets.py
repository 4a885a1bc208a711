# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets of networks: as they were asked for, or a free one for each family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _ipam, _validate
from .._errors import InUse, InvalidInput
from .._facts import Facts
from .._model import FAMILIES, IpamBlock, Network
from .._state import State

if TYPE_CHECKING:
    from .._drivers import Driver
    from .networks import NetworkSpec

SWITCH = {4: "enable_ipv4", 6: "enable_ipv6"}

Config = Mapping[str, Any]  # one of ipam_config, without the keys that were left out


def first_blocks(state: State, facts: Facts, subject: str, spec: NetworkSpec, driver: Driver) -> tuple[IpamBlock, ...]:
    """The blocks of a network that is new. IPv4 is on unless it is switched off, IPv6 where it is asked for."""
    configs = _asked(subject, spec, driver)
    if spec.ipam_driver == "null":
        _refuse_addresses(subject, configs, spec)
        return ()
    blocks: list[IpamBlock] = []
    for version in _families(subject, facts, spec, configs, (4,)):
        for config in configs.get(version, [{}]):
            blocks.append(_first_block(state, facts, subject, spec, driver, version, config))
    refuse_overlapping(subject, blocks)
    return tuple(blocks)


def updated_blocks(
    state: State, facts: Facts, subject: str, existing: Network, spec: NetworkSpec, driver: Driver
) -> tuple[IpamBlock, ...]:
    """The present blocks with the given keys changed; another subnet starts from a clean sheet."""
    configs = _asked(subject, spec, driver)
    if existing.ipam_driver == "null":
        _refuse_addresses(subject, configs, spec)
        return ()
    blocks: list[IpamBlock] = []
    for version in _families(subject, facts, spec, configs, existing.versions):
        present = existing.blocks(version)
        if present and version not in configs:
            blocks += present
            continue
        asked: list[IpamBlock] = []
        for config in configs.get(version, [{}]):
            block = _named_by(subject, config, present)
            if block is None:
                asked.append(_first_block(state, facts, subject, spec, driver, version, config))
            else:
                asked.append(_updated_block(subject, block, config))
            if not spec.force:
                _refuse_reserving_used(state, subject, existing.name, asked[-1])
        refuse_overlapping(subject, asked)
        # Neither order nor others matter where all that is asked for is there; so docker_network has it.
        blocks += present if all(each in present for each in asked) else asked
    return tuple(blocks)


def _named_by(subject: str, config: Config, present: Sequence[IpamBlock]) -> IpamBlock | None:
    """The present block that is meant: that of the subnet, or where none is given, the only one."""
    if not config.get("subnet"):
        return present[0] if len(present) == 1 else None
    subnet = str(_validate.network(subject, "subnet", config["subnet"]))
    return next((block for block in present if block.subnet == subnet), None)


def _asked(subject: str, spec: NetworkSpec, driver: Driver) -> dict[int, list[Config]]:
    """The blocks that were asked for, as many of a family as the driver takes."""
    configs = by_family(subject, spec)
    for version, given in configs.items():
        if len(given) > 1 and not driver.many_subnets:
            raise InvalidInput(
                subject,
                "ipam_config",
                ", ".join(str(each.get("subnet") or "without a subnet") for each in spec.ipam_config or ()),
                f"has several blocks of IPv{version}, and a {driver.name} takes one subnet a family",
                "keep one, and make a network for each of the others",
            )
    return configs


def _refuse_addresses(subject: str, configs: Mapping[int, Sequence[Config]], spec: NetworkSpec) -> None:
    """Without address management the network is layer 2 and nothing more."""
    if spec.enable_ipv6:
        raise InvalidInput(
            subject, "enable_ipv6", "true", 'is given with ipam_driver "null"', "leave one of the two out"
        )
    for config in (each for given in configs.values() for each in given):
        raise InvalidInput(
            subject,
            "ipam_config",
            config.get("subnet", config),
            'is given with ipam_driver "null"',
            "leave one of the two out",
        )


def _families(
    subject: str, facts: Facts, spec: NetworkSpec, configs: Mapping[int, Sequence[Config]], usual: Iterable[int]
) -> list[int]:
    """The families that the network shall have, those of ``usual`` where nothing is said."""
    usual = set(usual)
    asked = {4: spec.enable_ipv4, 6: spec.enable_ipv6}
    for version, (config, *_others) in configs.items():
        if asked[version] is False:
            raise InvalidInput(
                subject,
                SWITCH[version],
                "false",
                f"is given with ipam_config {config.get('subnet', config)} of that family",
                "leave one of the two out",
            )
    on = [version for version in FAMILIES if _is_on(asked[version], version in usual or version in configs)]
    if not on:
        raise InvalidInput(
            subject, "enable_ipv4", "false", "leaves no address family", "set enable_ipv6, or leave it out"
        )
    if 6 in on and not facts.has_ipv6():
        raise InvalidInput(
            subject,
            "enable_ipv6",
            "true",
            "needs IPv6, which this kernel does not have",
            "boot it without ipv6.disable=1, or leave IPv6 out",
        )
    return on


def _is_on(asked: bool | None, usual: bool) -> bool:
    return usual if asked is None else asked


def by_family(subject: str, spec: NetworkSpec) -> dict[int, list[Config]]:
    """The blocks that were asked for."""
    found: dict[int, list[Config]] = {}
    for each in spec.ipam_config or ():
        config = {key: value for key, value in each.items() if value is not None}
        if not config:
            continue
        version = 6 if any(":" in address for address in _texts(config)) else 4
        found.setdefault(version, []).append(config)
    return found


def _texts(config: Config) -> list[str]:
    auxiliary = config.get("aux_addresses") or {}
    return [str(value) for key, value in config.items() if key != "aux_addresses"] + [*map(str, auxiliary.values())]


def _first_block(
    state: State,
    facts: Facts,
    subject: str,
    spec: NetworkSpec,
    driver: Driver,
    version: int,
    config: Config,
) -> IpamBlock:
    if config:
        block = given_block(subject, config)
        _refuse_overlap(state, facts, subject, block, spec, driver)
        return block
    used = [block.subnet for network in state.real_networks() for block in network.ipam]
    used += [*facts.connected_subnets(), *facts.nameservers()]
    if version == 6:
        return _ipam.ipam_block(subject, _ipam.free_ula(subject, facts.machine_id, used, facts.routed_subnets()))
    return _ipam.ipam_block(subject, _ipam.free_subnet(subject, used, facts.routed_subnets()))


def given_block(subject: str, config: Config) -> IpamBlock:
    if not config.get("subnet"):
        option = sorted(config)[0]
        raise InvalidInput(
            subject, option, config[option], "is given without a subnet", "give the subnet too, or leave both out"
        )
    return _ipam.ipam_block(subject, **config)


def refuse_overlapping(subject: str, blocks: Sequence[IpamBlock]) -> None:
    """The blocks of one task have no address in common."""
    for number, block in enumerate(blocks):
        for subnet in _ipam.overlaps(block.subnet, [each.subnet for each in blocks[:number]]):
            twice = subnet == block.subnet
            raise InvalidInput(
                subject,
                "subnet",
                block.subnet,
                "is listed twice" if twice else f"overlaps another one of the task ({subnet})",
                "list it once" if twice else "choose another, or leave one of the two out",
            )


def _updated_block(subject: str, present: IpamBlock, config: Config) -> IpamBlock:
    kept = {"gateway": present.gateway, "iprange": present.iprange, "aux_addresses": present.aux_addresses}
    return _ipam.ipam_block(subject, **{**kept, **config, "subnet": present.subnet})


def _refuse_reserving_used(state: State, subject: str, name: str, block: IpamBlock) -> None:
    holders = {address: e.container for e in state.endpoints_on(name) for address in e.addresses}
    for option, address in [("gateway", block.gateway), *(("aux_addresses", a) for a in block.aux_addresses.values())]:
        if address in holders:
            raise InvalidInput(
                subject,
                option,
                address,
                f'is in use by container "{holders[address]}"',
                "choose another, or set force to give the container another address",
            )


def _refuse_overlap(
    state: State,
    facts: Facts,
    subject: str,
    block: IpamBlock,
    spec: NetworkSpec,
    driver: Driver,
) -> None:
    """Not another network's subnet; nor, without force, one that the host itself is in and would be cut off from."""
    for other in (each for each in state.real_networks() if each.name != spec.name):
        for subnet in _ipam.overlaps(block.subnet, [each.subnet for each in other.ipam]):
            raise InvalidInput(
                subject,
                "subnet",
                block.subnet,
                f'overlaps network "{other.name}" ({subnet})',
                "choose another, or leave subnet out to get a free one",
            )
    # A network around the host is one that the host may well be in.
    for subnet in (
        _ipam.overlaps(block.subnet, facts.connected_subnets()) if driver.is_routed and not spec.force else ()
    ):
        raise InvalidInput(
            subject,
            "subnet",
            block.subnet,
            f"overlaps {subnet}, which the host reaches by an interface of its own and would lose",
            "choose another, or set force if that is meant",
        )


def refuse_disruption(state: State, subject: str, existing: Network, wanted: Network, force: bool) -> None:
    """Without force no endpoint loses an address because a subnet changes or goes."""
    if force:
        return
    kept = {block.subnet for block in wanted.ipam}
    for block in existing.ipam:
        users = sorted(
            endpoint.container
            for endpoint in state.endpoints_on(existing.name)
            if block.subnet not in kept and _ipam.count_in(block.subnet, endpoint.addresses)
        )
        if not users:
            continue
        remedy = "set force to re-create their endpoints"
        cut_off = "would cut off " + ", ".join(f'container "{user}"' for user in users)
        new = wanted.block(block.version)
        if new is None:
            raise InUse(
                subject, SWITCH[block.version], "false", f"would take {block.subnet} away, and {cut_off}", remedy
            )
        raise InUse(subject, "subnet", new.subnet, f"differs from the present {block.subnet} and {cut_off}", remedy)
