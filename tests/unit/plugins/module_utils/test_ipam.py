# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is given out: subnets, addresses, hardware addresses, host ports, IDs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils import _ipam
from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._model import IpamBlock
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import refused

SUBJECT = 'network "blue"'
POOLS = [f"172.{second}.0.0/16" for second in range(17, 32)] + [f"192.168.{third}.0/20" for third in range(0, 256, 16)]


@st.composite
def subnets(draw, prefixes=None) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Subnets of both families, small enough to look at every address."""
    version = draw(st.sampled_from([4, 6]))
    longest = 31 if version == 4 else 127
    prefix = draw(st.integers(longest - 7, longest) if prefixes is None else prefixes)
    address = draw(st.ip_addresses(v=4) if version == 4 else st.ip_addresses(network="2001:db8::/32"))
    return ipaddress.ip_network(f"{address}/{prefix}", strict=False)


def hosts(subnet) -> list[str]:
    """Every address that a host may have, from the lowest up: the standard library's view."""
    every = [str(address) for address in subnet]
    if len(every) <= 2:
        return every
    return every[1:-1] if subnet.version == 4 else every[1:]


def among(addresses: Iterable[str]) -> Callable[[int], bool]:
    """Whether an address, as an integer, is one of these."""
    return {int(ipaddress.ip_address(address)) for address in addresses}.__contains__


@st.composite
def blocks(draw) -> tuple[IpamBlock, list[str], set[str]]:
    """A block, the addresses that it may give out, and those that are taken already."""
    subnet = draw(subnets())
    usable = hosts(subnet)
    part = subnet
    if draw(st.booleans()):
        part = draw(
            st.sampled_from(list(subnet.subnets(new_prefix=draw(st.integers(subnet.prefixlen, subnet.max_prefixlen)))))
        )
    gateway = draw(st.sampled_from(usable))
    auxiliary = draw(
        st.lists(st.sampled_from(usable), max_size=3, unique=True).filter(lambda each: gateway not in each)
    )
    block = IpamBlock(
        subnet=str(subnet),
        gateway=gateway,
        iprange=None if part is subnet else str(part),
        aux_addresses={f"aux{i}": address for i, address in enumerate(auxiliary)},
    )
    allowed = [each for each in usable if ipaddress.ip_address(each) in part and each not in (gateway, *auxiliary)]
    lowest = draw(st.integers(0, len(allowed)))
    taken = {*allowed[:lowest], *draw(st.sets(st.sampled_from(usable)))}
    return block, allowed, taken


@given(blocks())
def test_lowest_free_address_is_given_out(drawn: tuple[IpamBlock, list[str], set[str]]) -> None:
    block, allowed, taken = drawn
    free = [address for address in allowed if address not in taken]
    if free:
        assert _ipam.lowest_address(SUBJECT, [block], among(taken)) == free[0]
    else:
        option, value = ("iprange", block.iprange) if block.iprange else ("subnet", block.subnet)
        with refused(
            f'{SUBJECT}: {option} "{value}" is exhausted: every address is taken; '
            f"disconnect a container or widen the {option}"
        ):
            _ipam.lowest_address(SUBJECT, [block], among(taken))


@given(blocks())
def test_a_network_is_filled_without_gaps_or_repeats(drawn: tuple[IpamBlock, list[str], set[str]]) -> None:
    block, allowed, taken = drawn
    given_out = []
    while True:
        try:
            given_out.append(_ipam.lowest_address(SUBJECT, [block], among([*taken, *given_out])))
        except InvalidInput:
            break
    assert given_out == [address for address in allowed if address not in taken]


@pytest.mark.parametrize(
    ("subnet", "gateway", "first"),
    [
        ("192.168.10.0/24", "192.168.10.1", "192.168.10.2"),
        ("192.168.10.0/30", "192.168.10.1", "192.168.10.2"),
        ("192.168.10.4/31", "192.168.10.4", "192.168.10.5"),  # RFC 3021
        ("2001:db8::/64", "2001:db8::1", "2001:db8::2"),
        ("2001:db8::4/127", "2001:db8::4", "2001:db8::5"),  # RFC 6164
    ],
)
def test_gateway_comes_first_and_the_first_container_second(subnet: str, gateway: str, first: str) -> None:
    block = _ipam.ipam_block(SUBJECT, subnet)
    assert block == IpamBlock(subnet, gateway)
    assert _ipam.lowest_address(SUBJECT, [block], among([])) == first


def test_large_subnet_is_searched_from_its_lowest_address() -> None:
    taken = [str(ipaddress.ip_address("10.0.0.2") + i) for i in range(5000)]
    assert _ipam.lowest_address(SUBJECT, [IpamBlock("10.0.0.0/8", "10.0.0.1")], among(taken)) == "10.0.19.138"
    assert _ipam.lowest_address(SUBJECT, [IpamBlock("2001:db8::/32", "2001:db8::1")], among([])) == "2001:db8::2"


def test_default_gateway_keeps_off_auxiliary_addresses() -> None:
    block = _ipam.ipam_block(SUBJECT, "192.168.10.0/29", aux_addresses={"a": "192.168.10.1", "b": "192.168.10.2"})
    assert block.gateway == "192.168.10.3"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"subnet": "192.168.10.5/24"}, 'subnet "192.168.10.5/24" has host bits set; use 192.168.10.0/24'),
        (
            {"subnet": "192.168.10.1/32"},
            'subnet "192.168.10.1/32" has no room for a gateway and a container; use a /31 or wider',
        ),
        (
            {"gateway": "192.168.11.1"},
            'gateway "192.168.11.1" is outside the subnet 192.168.10.0/24; choose an address inside it',
        ),
        (
            {"gateway": "2001:db8::1"},
            'gateway "2001:db8::1" is outside the subnet 192.168.10.0/24; choose an address inside it',
        ),
        (
            {"gateway": "192.168.10.0"},
            'gateway "192.168.10.0" is the network or broadcast address of 192.168.10.0/24; choose another address',
        ),
        (
            {"gateway": "192.168.10.255"},
            'gateway "192.168.10.255" is the network or broadcast address of 192.168.10.0/24; choose another address',
        ),
        ({"gateway": "192.168.10.1/24"}, 'gateway "192.168.10.1/24" is not an IP address; write it like 192.168.10.5'),
        (
            {"gateway": "192.168.10.9", "aux_addresses": {"router": "192.168.10.9"}},
            'gateway "192.168.10.9" is an auxiliary address too; use another address',
        ),
        ({"subnet": "0.0.0.0/0"}, 'subnet "0.0.0.0/0" overlaps 0.0.0.0/8, which is not for hosts; choose another'),
        (
            {"subnet": "127.9.0.0/16"},
            'subnet "127.9.0.0/16" overlaps 127.0.0.0/8, which is not for hosts; choose another',
        ),
        (
            {"subnet": "224.1.1.0/24"},
            'subnet "224.1.1.0/24" overlaps 224.0.0.0/4, which is not for hosts; choose another',
        ),
        (
            {"iprange": "192.168.11.0/25"},
            'iprange "192.168.11.0/25" is not inside the subnet 192.168.10.0/24; choose a part of it',
        ),
        (
            {"iprange": "192.168.0.0/16"},
            'iprange "192.168.0.0/16" is not inside the subnet 192.168.10.0/24; choose a part of it',
        ),
        (
            {"iprange": "2001:db8::/64"},
            'iprange "2001:db8::/64" is not inside the subnet 192.168.10.0/24; choose a part of it',
        ),
        ({"iprange": "192.168.10.129/25"}, 'iprange "192.168.10.129/25" has host bits set; use 192.168.10.128/25'),
        (
            {"aux_addresses": {"router": "192.168.11.1"}},
            'aux_addresses "router=192.168.11.1" is outside the subnet 192.168.10.0/24; choose an address inside it',
        ),
        (
            {"aux_addresses": {"router": "192.168.10.255"}},
            'aux_addresses "router=192.168.10.255" is the network or broadcast address of 192.168.10.0/24; '
            "choose another address",
        ),
        (
            {"aux_addresses": {"router": "there"}},
            'aux_addresses "there" is not an IP address; write it like 192.168.10.5',
        ),
    ],
)
def test_bad_block_is_refused(config: Mapping[str, Any], problem: str) -> None:
    with refused(f"{SUBJECT}: {problem}"):
        _ipam.ipam_block(SUBJECT, **{"subnet": "192.168.10.0/24", **config})


def test_auxiliary_addresses_must_leave_a_gateway() -> None:
    with refused(f'{SUBJECT}: aux_addresses "a, b" leave no gateway in 10.0.0.0/31; give fewer of them'):
        _ipam.ipam_block(SUBJECT, "10.0.0.0/31", aux_addresses={"a": "10.0.0.0", "b": "10.0.0.1"})


GIVEN = IpamBlock("192.168.10.0/24", "192.168.10.1", "192.168.10.128/25", {"router": "192.168.10.200"})


@pytest.mark.parametrize("address", ["192.168.10.5", "192.168.10.129"])
def test_given_address_may_lie_outside_the_range_but_not_the_subnet(address: str) -> None:
    assert _ipam.given_address(SUBJECT, "ipv4_address", address, [GIVEN], {}.get) == address


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("192.168.11.5", "is outside the subnet 192.168.10.0/24; choose an address inside it"),
        ("2001:db8::5", "is outside the subnet 192.168.10.0/24; choose an address inside it"),
        ("192.168.10.0", "is the network or broadcast address of 192.168.10.0/24; choose another address"),
        ("192.168.10.255", "is the network or broadcast address of 192.168.10.0/24; choose another address"),
        ("192.168.10.1", "is the gateway; leave ipv4_address out to get a free address"),
        ("192.168.10.200", 'is the auxiliary address "router"; leave ipv4_address out to get a free address'),
        ("192.168.10.7", 'is in use by container "db"; leave ipv4_address out to get a free address'),
        ("192.168.10.7/24", "is not an IP address; write it like 192.168.10.5"),
        ("192.168.10", "is not an IP address; write it like 192.168.10.5"),
        ("", "is not an IP address; write it like 192.168.10.5"),
    ],
)
def test_given_address_that_cant_be_had_is_refused(address: str, problem: str) -> None:
    with refused(f'{SUBJECT}: ipv4_address "{address}" {problem}'):
        _ipam.given_address(SUBJECT, "ipv4_address", address, [GIVEN], {"192.168.10.7": 'container "db"'}.get)


def test_subnets_are_taken_from_dockers_pools_in_order() -> None:
    used: list[str] = []
    for pool in POOLS:
        assert _ipam.free_subnet(SUBJECT, used) == pool
        used.append(pool)
    with refused(
        f"{SUBJECT}: no free subnet is left in the default pools, of which 128.0.0.0/1, 172.17.0.0/16, 172.18.0.0/16 "
        "take the most; give one with ipam_config, or remove networks"
    ):
        _ipam.free_subnet(SUBJECT, [*used, "0.0.0.0/1", "128.0.0.0/1"])


NEAR_THE_POOLS = st.one_of(
    st.sampled_from(POOLS),
    st.ip_addresses(network="172.16.0.0/12").map(str),
    st.ip_addresses(network="192.168.0.0/16").map(str),
    st.tuples(st.ip_addresses(network="172.16.0.0/12"), st.integers(12, 32)).map(
        lambda pair: str(ipaddress.ip_network((pair[0], pair[1]), strict=False))
    ),
    st.ip_addresses(v=6).map(str),
)


@given(st.lists(NEAR_THE_POOLS, max_size=30))
@example(["172.16.0.0/12"])
@example(["172.17.255.255", "fd00::/8"])
@example(["172.17.0.0"])
def test_free_subnet_is_the_first_that_overlaps_nothing_used(used: list[str]) -> None:
    free = [pool for pool in POOLS if not any(overlap(pool, other) for other in used)]
    assume(free)
    assert _ipam.free_subnet(SUBJECT, used) == free[0]


@given(st.lists(NEAR_THE_POOLS, max_size=30), st.lists(NEAR_THE_POOLS, max_size=5))
@example([], ["0.0.0.0/1", "128.0.0.0/1"])
def test_free_subnet_keeps_off_routed_ones_unless_they_leave_nothing(used: list[str], routed: list[str]) -> None:
    free = [pool for pool in POOLS if not any(overlap(pool, other) for other in used)]
    assume(free)
    best = [pool for pool in free if not any(overlap(pool, other) for other in routed)]
    assert _ipam.free_subnet(SUBJECT, used, routed) == (best or free)[0]


@given(subnets(st.integers(0, 32)), subnets(st.integers(0, 32)))
def test_overlap_is_symmetrical_and_what_the_standard_library_says(one, other) -> None:
    assert bool(_ipam.overlaps(str(one), [str(other)])) == overlap(str(one), str(other))
    assert bool(_ipam.overlaps(str(other), [str(one)])) == overlap(str(one), str(other))


def overlap(one: str, other: str) -> bool:
    mine, theirs = ipaddress.ip_network(one), ipaddress.ip_network(other)
    return mine.version == theirs.version and mine.overlaps(theirs)


PARTS = st.lists(st.text(max_size=20) | st.integers(), min_size=1, max_size=4)


@given(PARTS)
def test_mac_is_unicast_local_and_stable(parts: list[object]) -> None:
    mac = _ipam.mac_address(*parts)
    first = int(mac[:2], 16)
    assert re.fullmatch("[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac)
    assert first & 1 == 0, "unicast"
    assert first & 2 == 2, "locally administered"
    assert mac == _ipam.mac_address(*parts)


def test_macs_of_different_containers_differ() -> None:
    names = [f"container{i}" for i in range(500)]
    assert len({_ipam.mac_address("machine", "blue", name) for name in names}) == len(names)
    assert _ipam.mac_address("machine", "blue", "web") != _ipam.mac_address("machine", "red", "web")
    assert _ipam.mac_address("machine", "blue", "web") != _ipam.mac_address("other machine", "blue", "web")


@given(PARTS)
def test_id_is_64_hex_characters_and_stable(parts: list[object]) -> None:
    assert re.fullmatch("[0-9a-f]{64}", _ipam.identify(*parts))
    assert _ipam.identify(*parts) == _ipam.identify(*parts)


def test_taken_id_is_not_given_again() -> None:
    taken: list[str] = []
    for _attempt in range(5):
        taken.append(_ipam.unique_id(taken.__contains__, "network", "blue"))
    assert len(set(taken)) == 5


@st.composite
def port_ranges(draw) -> tuple[int, int]:
    first = draw(st.integers(1, 65535))
    return first, min(65535, first + draw(st.integers(0, 200)))


@given(PARTS, port_ranges(), st.data())
def test_random_port_is_free_in_range_and_stable(seed: list[object], ports: tuple[int, int], data) -> None:
    blocked = data.draw(st.sets(st.integers(*ports)))
    first, last = ports
    found = _ipam.random_port(seed, ports, blocked.__contains__)
    if len(blocked) == last - first + 1:
        assert found is None
    else:
        assert found is not None and first <= found <= last and found not in blocked
    assert _ipam.random_port(seed, ports, blocked.__contains__) == found


@given(PARTS, port_ranges(), st.data())
def test_last_free_port_is_found(seed: list[object], ports: tuple[int, int], data) -> None:
    free = data.draw(st.integers(*ports))
    assert _ipam.random_port(seed, ports, lambda port: port != free) == free


def test_random_ports_are_spread_over_the_range() -> None:
    found = {_ipam.random_port(("web", port), (49153, 65535), lambda _port: False) for port in range(100)}
    assert len(found) > 90
