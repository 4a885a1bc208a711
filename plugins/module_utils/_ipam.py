# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocation of subnets, addresses, hardware addresses, host ports, IDs and link names. Pure: no I/O, no randomness.

What looks random (IDs, MACs, random ports) is derived by hash, so that check mode predicts exactly what a run does.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Callable

from . import _validate
from ._errors import InvalidInput
from ._model import IpamBlock, Network, version_of

if TYPE_CHECKING:
    import netaddr

# Docker's default address pools: libnetwork ipamutils, "local scope".
POOLS = (
    *((f"172.{second}.0.0/16", 16) for second in range(17, 32)),
    ("192.168.0.0/16", 20),
)


# What no host has for an address: RFC 1122, section 3.2.1.3; RFC 4291, sections 2.5.3, 2.5.6 and 2.7.
UNUSABLE = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127", "fe80::/10", "ff00::/8")


def identify(*parts: object) -> str:
    """An ID of 64 hex characters, the same for the same parts."""
    return hashlib.sha256("\x00".join(str(part) for part in parts).encode()).hexdigest()


def mac_address(*parts: object) -> str:
    """A locally administered unicast MAC, the same for the same parts."""
    digest = hashlib.sha256("\x00".join(str(part) for part in ("mac", *parts)).encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def bridge_mac(network_id: str) -> str:
    """The hardware address of a network's bridge."""
    return mac_address(network_id, "bridge")


def link_local_address(mac: str) -> str:
    """The IPv6 address that a hardware address makes (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + identifier))


def unique_id(taken: Callable[[str], bool], *parts: object) -> str:
    """The first ID of a series over the parts that ``taken`` does not know."""
    attempt = 0
    while True:
        found = identify(*parts, attempt)
        if not taken(found):
            return found
        attempt += 1


def predefined_id(machine_id: str, name: str) -> str:
    """The ID of a predefined network, the same before and after it is made."""
    return identify(machine_id, "predefined network", name)


def free_subnet(subject: str, used: Iterable[str], routed: Iterable[str] = ()) -> str:
    """The first subnet of Docker's pools that overlaps none of the used subnets or addresses.

    It overlaps none of the routed ones either, unless they leave nothing: a VPN may route half the Internet.
    """
    import netaddr

    taken = [net for net in map(netaddr.IPNetwork, used) if net.version == 4]
    avoided = taken + [net for net in map(netaddr.IPNetwork, routed) if net.version == 4]
    for others in (avoided, taken):
        spans = [(net.first, net.last) for net in others]
        for pool, prefix in POOLS:
            for candidate in netaddr.IPNetwork(pool).subnet(prefix):
                if not any(candidate.first <= last and first <= candidate.last for first, last in spans):
                    return str(candidate)
    pools = [netaddr.IPNetwork(pool) for pool, _prefix in POOLS]
    in_the_way = {net for net in taken if any(net in pool or pool in net for pool in pools)}
    widest = sorted(in_the_way, key=lambda net: (net.prefixlen, net.first))[:3]
    raise InvalidInput(
        subject,
        "",
        "",
        "no free subnet is left in the default pools, of which " + ", ".join(map(str, widest)) + " take the most",
        "give one with ipam_config, or remove networks",
    )


def free_ula(subject: str, machine_id: str, used: Iterable[str], routed: Iterable[str] = ()) -> str:
    """The first /64 of the host's own unique local /48 (RFC 4193) that overlaps none of the used subnets.

    It overlaps none of the routed ones either, unless they leave nothing, as with ``free_subnet``.
    """
    import netaddr

    prefix = ipaddress.IPv6Address(bytes([0xFD]) + bytes.fromhex(identify("ula", machine_id))[:5] + bytes(10))
    taken = [net for net in map(netaddr.IPNetwork, used) if net.version == 6]
    avoided = taken + [net for net in map(netaddr.IPNetwork, routed) if net.version == 6]
    for others in (avoided, taken):
        spans = [(net.first, net.last) for net in others]
        for start in range(int(prefix), int(prefix) + (1 << 80), 1 << 64):
            if not any(start <= last and first <= start + (1 << 64) - 1 for first, last in spans):
                return f"{ipaddress.IPv6Address(start)}/64"
            if any(first <= int(prefix) and int(prefix) + (1 << 80) - 1 <= last for first, last in spans):
                break
    raise InvalidInput(
        subject, "", "", f"no free subnet is left in the host's own {prefix}/48", "give one with ipam_config"
    )


def ipam_block(
    subject: str,
    subnet: str,
    gateway: str | None = None,
    iprange: str | None = None,
    aux_addresses: Mapping[str, str] | None = None,
) -> IpamBlock:
    """A checked block; the gateway defaults to the first usable address that is no auxiliary one."""
    net = _validate.network(subject, "subnet", subnet)
    if net.version == 4 and net.prefixlen > 31:
        raise InvalidInput(subject, "subnet", subnet, "has no room for a gateway and a container", "use a /31 or wider")
    for special in overlaps(str(net), UNUSABLE):
        raise InvalidInput(subject, "subnet", subnet, f"overlaps {special}, which is not for hosts", "choose another")
    part = None
    if iprange is not None:
        part = _validate.network(subject, "iprange", iprange)
        if part.version != net.version or part not in net:
            raise InvalidInput(subject, "iprange", iprange, f"is not inside the subnet {net}", "choose a part of it")
    auxiliary = {
        _validate.name(subject, "aux_addresses", str(label)): _member(
            subject, "aux_addresses", f"{label}={text}", text, net
        )
        for label, text in (aux_addresses or {}).items()
    }
    if gateway is None:
        router = first_free(net, _integers(auxiliary.values()).__contains__)
    else:
        router = _member(subject, "gateway", gateway, gateway, net)
    if router is None:
        labels = ", ".join(auxiliary)
        raise InvalidInput(subject, "aux_addresses", labels, f"leave no gateway in {net}", "give fewer of them")
    if router in auxiliary.values():
        raise InvalidInput(subject, "gateway", gateway, "is an auxiliary address too", "use another address")
    within = part if part is not None else net
    if first_free(within, _integers([router, *auxiliary.values()]).__contains__, net) is None:
        option, value = ("subnet", subnet) if part is None else ("iprange", iprange)
        raise InvalidInput(subject, option, value, "leaves no address for a container", "use a wider one")
    return IpamBlock(
        subnet=str(net),
        gateway=router,
        iprange=str(part) if part is not None else None,
        aux_addresses=auxiliary,
    )


def first_free(
    within: netaddr.IPNetwork, is_taken: Callable[[int], bool], subnet: netaddr.IPNetwork | None = None
) -> str | None:
    """The lowest usable address that is not taken, or None; ``is_taken`` is asked with integers.

    Network and broadcast address of the (enclosing) subnet are never usable, except in a /31 or /127 (RFC 3021, 6164).
    """
    import netaddr

    first, last = usable(subnet if subnet is not None else within)
    candidate, end = max(first, within.first), min(last, within.last)
    while candidate <= end:
        if not is_taken(candidate):
            return str(netaddr.IPAddress(candidate, within.version))
        candidate += 1
    return None


def block_of(network: Network, address: str) -> IpamBlock | None:
    """The block of the network that has a place for the address; None where none has."""
    blocks = network.blocks(version_of(address))
    return next((block for block in blocks if has_place_for(block.subnet, address)), None)


def is_for_containers(network: Network, address: str) -> bool:
    """Whether a container may have the address: there is a block for it, where it is not reserved."""
    block = block_of(network, address)
    return block is not None and address not in (block.gateway, *block.aux_addresses.values())


def with_prefix(address: str, block: IpamBlock) -> str:
    """The address as interfaces have it, with the prefix length of its subnet."""
    return f"{address}/{block.subnet.partition('/')[2]}"


def count_in(subnet: str, addresses: Iterable[str]) -> int:
    """How many of the addresses are in the subnet."""
    net = ipaddress.ip_network(subnet)
    return sum(ipaddress.ip_address(address) in net for address in set(addresses))


def count_free(block: IpamBlock, used: Iterable[str]) -> int:
    """How many addresses are left to give out. Every result shows it, and netaddr would take longer to import."""
    subnet = ipaddress.ip_network(block.subnet)
    first, last = _usable(*_bounds(subnet), subnet.version)
    lowest, highest = _bounds(ipaddress.ip_network(block.iprange or block.subnet))
    lowest, highest = max(first, lowest), min(last, highest)
    taken = sum(lowest <= number <= highest for number in _integers(used))
    return max(0, highest - lowest + 1 - taken)


def usable(net: netaddr.IPNetwork) -> tuple[int, int]:
    """First and last address, as integers, that a host in the subnet may have."""
    return _usable(net.first, net.last, net.version)


def _usable(first: int, last: int, version: int) -> tuple[int, int]:
    if last - first <= 1:
        return first, last
    return first + 1, last - (version == 4)


def _bounds(net: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[int, int]:
    return int(net.network_address), int(net.broadcast_address)


def has_place_for(subnet: str, address: str) -> bool:
    """Whether a host in the subnet may have the address."""
    import netaddr

    net, found = netaddr.IPNetwork(subnet), netaddr.IPAddress(address)
    first, last = usable(net)
    return found.version == net.version and first <= int(found) <= last


def lowest_address(subject: str, blocks: Sequence[IpamBlock], is_taken: Callable[[int], bool]) -> str:
    """The address that the next endpoint of the network gets: of the first block that has one left.

    ``is_taken`` says of an integer if an endpoint has it.
    """
    for block in blocks:
        found = _lowest_in(block, is_taken)
        if found is not None:
            return found
    option = "iprange" if any(block.iprange for block in blocks) else "subnet"
    raise InvalidInput(
        subject,
        option,
        ", ".join(block.iprange or block.subnet for block in blocks),
        "is exhausted: every address is taken",
        f"disconnect a container or widen the {option}",
    )


def _lowest_in(block: IpamBlock, is_taken: Callable[[int], bool]) -> str | None:
    import netaddr

    subnet = netaddr.IPNetwork(block.subnet)
    within = netaddr.IPNetwork(block.iprange or block.subnet)
    kept = _integers([block.gateway, *block.aux_addresses.values()])
    return first_free(within, lambda each: each in kept or is_taken(each), subnet)


def _integers(addresses: Iterable[str]) -> set[int]:
    return {int(ipaddress.ip_address(address)) for address in addresses}


def given_address(
    subject: str, option: str, value: str, blocks: Sequence[IpamBlock], holder_of: Callable[[str], str | None]
) -> str:
    """The asked-for address, checked; ``holder_of`` says who else has one."""
    import netaddr

    address = _validate.address(subject, option, value)
    block = next((each for each in blocks if address in netaddr.IPNetwork(each.subnet)), blocks[0])
    net = netaddr.IPNetwork(block.subnet)
    found = _member(subject, option, value, value, net)
    reserved = {block.gateway: "the gateway"}
    reserved.update((text, f'the auxiliary address "{label}"') for label, text in block.aux_addresses.items())
    if found in reserved:
        raise InvalidInput(subject, option, value, f"is {reserved[found]}", f"leave {option} out to get a free address")
    holder = holder_of(found)
    if holder is not None:
        raise InvalidInput(
            subject,
            option,
            value,
            f"is in use by {holder}",
            f"leave {option} out to get a free address",
        )
    return found


def random_port(seed: Sequence[object], ports: tuple[int, int], blocked: Callable[[int], bool]) -> int | None:
    """A free port of the range (both ends included), the search beginning at a place that the seed decides."""
    first, last = ports
    size = last - first + 1
    start = int(identify(*seed)[:8], 16) % size
    for offset in range(size):
        port = first + (start + offset) % size
        if not blocked(port):
            return port
    return None


def overlaps(subnet: str, others: Iterable[str]) -> list[str]:
    """Those of the others that share an address with the subnet."""
    import netaddr

    mine = netaddr.IPNetwork(subnet)
    return [
        other
        for other in others
        for net in (netaddr.IPNetwork(other),)
        if net.version == mine.version and net.first <= mine.last and mine.first <= net.last
    ]


def _member(subject: str, option: str, shown: str, text: str, net: netaddr.IPNetwork) -> str:
    """The canonical form of an address that a host in the subnet may have."""
    address = _validate.address(subject, option, text)
    first, last = usable(net)
    if address.version != net.version or address not in net:
        raise InvalidInput(subject, option, shown, f"is outside the subnet {net}", "choose an address inside it")
    if not first <= int(address) <= last:
        raise InvalidInput(
            subject, option, shown, f"is the network or broadcast address of {net}", "choose another address"
        )
    return str(address)
