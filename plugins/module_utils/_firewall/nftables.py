# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule set in the words of nftables: one table for both families.

Ports, networks and subnets are looked up in sets and maps, so that what a packet costs doesn't grow with their number.
Where an interface and a subnet have to fit, a map leads to a chain of the network's own: ``to_DEVICE`` for what is
addressed to its containers, ``from_DEVICE`` for what comes from an internal one, ``near_DEVICE`` for what leaves by its
bridge. (Sets of both, with ranges, are beyond nft before 1.0.3.) Names of IPv6's sets and maps end in 6.

What is called ``user``, or begins with ``user_``, is the administrator's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from .._errors import KernelError
from .._hostconfig import FirewallLines
from .._model import PROTOCOLS, WILDCARDS
from . import nft
from .ruleset import DirectRule, NetworkRules, PortRule, Ruleset, collapsed, is_loopback

TABLE = "inet bridgework"
USERS = re.compile("user(?:_.*)?")
USER_CHAIN = "chain user { }"
HOOKS = {
    "raw": "type filter hook prerouting priority -300; policy accept;",
    "mangle": "type filter hook prerouting priority -150; policy accept;",
    "prerouting": "type nat hook prerouting priority -100; policy accept;",
    "output": "type nat hook output priority -100; policy accept;",
    "forward": "type filter hook forward priority 0; policy accept;",
    "postrouting": "type nat hook postrouting priority 100; policy accept;",
}

# With numbers as nft -n prints them: RTN_ in include/uapi/linux/rtnetlink.h, nf_conntrack_common.h.
TO_UNICAST, TO_HOST, TO_OTHERS = "fib daddr type 1", "fib daddr type 2", "fib daddr type != 2"
ESTABLISHED_OR_RELATED, INVALID_OR_NEW, TRANSLATED = "ct state 0x2,0x4", "ct state 0x1,0x8", "ct status 0x20"
NUMBERS = dict(zip(("6", "17", "132"), PROTOCOLS))
WITH_PORTS = f"meta l4proto {{ {', '.join(NUMBERS)} }}"
PORT, PORT_TYPE = "meta l4proto . th dport", "inet_proto . inet_service"

NUMBER = re.compile(rf"(?:^|(?<= \. ))(?:{'|'.join(NUMBERS)})(?= \. )")
MAPPED = re.compile(
    rf"((?:[0-9a-f.:/]+ \. )*)({'|'.join(PROTOCOLS)}) \. ([0-9]{{1,5}}) : ([0-9a-f.:]+) \. ([0-9]{{1,5}})"
)


@dataclass(frozen=True)
class Family:
    """One of the two families, in the words that nft has for what is its own."""

    name: str
    type: str
    wildcard: str
    loopback: str
    number: str
    icmp: str
    suffix: str = ""


IPV4 = Family("ip", "ipv4_addr", WILDCARDS[0], "127.0.0.0/8", "2", "1")
IPV6 = Family("ip6", "ipv6_addr", WILDCARDS[1], "::1", "10", "58", "6")
FAMILIES = {4: IPV4, 6: IPV6}
LINK_LOCAL = "fe80::/10"  # never forwarded
Rulesets = Mapping[Family, Ruleset]


class Nftables:
    """The backend for nftables."""

    users_chain = f"the chain user of the nftables table {TABLE}"
    stands_before = ()

    def __init__(self) -> None:
        self._rendered: list[FirewallLines] = []

    def owns(self, place: str) -> bool:
        return f"{place} ".startswith(f"{TABLE} ")

    def require(self, lines: FirewallLines) -> None:
        if lines:
            nft.require('firewall_backend "nftables"', "which makes its rules")

    def render(self, rulesets: Iterable[Ruleset]) -> FirewallLines:
        families = {FAMILIES[ruleset.version]: ruleset for ruleset in rulesets if ruleset.networks}
        lines = _table(families).lines() if families else {}
        self._rendered.append(lines)
        return lines

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        present = _ours(nft.read(TABLE))
        for lines in self._rendered:
            if not nft.has_rules(present, lines):
                present = nft.reworded(present, lines, nft.rehearse(TABLE, nft.replacement(TABLE, nft.rules_of(lines))))
        return present

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        if f"{TABLE} prerouting" not in lines or f"{TABLE} output" not in lines:
            return frozenset()
        return frozenset(port for family in FAMILIES.values() for port in _published(family, lines))

    def has_users_rules(self) -> bool:
        return f"{TABLE} user" in nft.read(TABLE)

    def rehearse(self, wanted: FirewallLines, present: FirewallLines) -> None:
        if wanted and wanted != present:
            _swap(wanted, present, is_rehearsal=True)

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> int:
        if wanted:
            _swap(wanted, present)
        else:
            _withdraw()
        return 1


def _swap(wanted: FirewallLines, present: FirewallLines, is_rehearsal: bool = False) -> None:
    try:
        nft.swap(TABLE, wanted, present, _users, is_rehearsal)
    except KernelError as error:
        raise KernelError(
            f"{error}; see that the kernel has all that these rules ask of nf_tables (CONFIG_NF_TABLES_INET, "
            "CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_FIB_INET, CONFIG_NFT_CT), or set firewall_backend to "
            "another"
        ) from error


def _withdraw() -> None:
    """Take all away but what the administrator has put there."""
    held = nft.read(TABLE)
    users = _users(held)
    if users.keys() == {TABLE} and {USER_CHAIN}.issuperset(users[TABLE]):
        nft.load(nft.replacement(TABLE, {}))
    else:
        nft.swap(TABLE, users, held)


def _users(lines: FirewallLines) -> FirewallLines:
    """What is the administrator's of these."""
    places = {place: texts for place, texts in lines.items() if USERS.fullmatch(_name_in(place))}
    return {TABLE: tuple(block for block in lines.get(TABLE, ()) if _is_users(block)), **places}


def _ours(lines: FirewallLines) -> FirewallLines:
    """What is ours of these, with protocols by their names; that there is the administrator's chain is too."""
    blocks = lines.get(TABLE, ())
    our_blocks = [block for block in blocks if not _is_users(block)]
    found = {
        place: tuple(sorted(map(_named, texts))) if "@" in place else texts
        for place, texts in lines.items()
        if place != TABLE and not USERS.fullmatch(_name_in(place))
    }
    if lines and (our_blocks or found or not blocks):
        chain = [USER_CHAIN] if any(block.startswith("chain user {") for block in blocks) else []
        found[TABLE] = tuple(sorted([*our_blocks, *chain]))
    return found


def _named(element: str) -> str:
    return NUMBER.sub(lambda number: NUMBERS[number.group()], element, count=1)


def _is_users(block: str) -> bool:
    return block.endswith("}") and USERS.fullmatch(block.partition(" {")[0].rpartition(" ")[2]) is not None


def _name_in(place: str) -> str:
    """The chain's or set's name."""
    return place[len(TABLE) + 1 :].lstrip("@")


class _Table:
    """A table in the making. Chains, sets and maps come into being with what is first said of them."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {}
        self.sets: dict[str, tuple[str, list[str]]] = {}

    def rules(self, chain: str, *rules: str) -> None:
        self.chains.setdefault(chain, []).extend(rules)

    def elements(self, name: str, kind: str, elements: Iterable[str]) -> str:
        """Elements of a set or map of a kind; returns how rules refer to it."""
        self.sets.setdefault(name, (kind, []))[1].extend(elements)
        return f"@{name}"

    def lines(self) -> FirewallLines:
        blocks = [f"chain {chain} {{ {HOOKS[chain] + ' ' if chain in HOOKS else ''}}}" for chain in self.chains]
        kinds = {name: kind for name, (kind, _held) in self.sets.items()}
        blocks += [f"{'map' if ' : ' in kind else 'set'} {name} {{ {kind} }}" for name, kind in kinds.items()]
        places = {f"{TABLE} {chain}": tuple(rules) for chain, rules in self.chains.items()}
        places.update((f"{TABLE} @{name}", tuple(sorted(held))) for name, (_kind, held) in self.sets.items())
        return {TABLE: tuple(sorted(blocks)), **{place: texts for place, texts in places.items() if texts}}


def _table(rulesets: Rulesets) -> _Table:
    table = _Table()
    table.rules("user")
    _links(table, {network.device: network for ruleset in rulesets.values() for network in ruleset.networks})
    _raw(table, rulesets)
    _mangle(table, rulesets)
    _nat(table, rulesets)
    _postrouting(table, rulesets)
    _forward(table, rulesets)
    return table


def _links(table: _Table, networks: Mapping[str, NetworkRules]) -> None:
    """What is said of bridges in both families."""
    table.elements("bridges", "type ifname;", map(_quoted, networks))
    inside = (device for device, network in networks.items() if network.icc)
    table.elements("inside", "type ifname . ifname;", map(_both_sides, inside))
    internal = [device for device, network in networks.items() if network.internal]
    table.elements("internal", "type ifname;", map(_quoted, internal))
    ways = (f"{_quoted(device)} : {'drop' if device in internal else 'goto into'}" for device in networks)
    table.elements("networks", "type ifname : verdict;", ways)


def _raw(table: _Table, rulesets: Rulesets) -> None:
    """Before connection tracking and all others."""
    for family in rulesets:
        for side in ("saddr", "daddr"):
            table.rules("raw", f"iifname @bridges {family.name} {side} {family.loopback} drop")
    table.rules("raw", f"{TO_HOST} accept")
    origins = table.elements("origins", "type ifname : verdict;", _origins(table, rulesets))
    table.rules("raw", f"iifname vmap {origins}")
    for family, ruleset in rulesets.items():
        _protect(table, "raw", "", family, "protected", [each for each in ruleset.networks if each.masquerade])


def _origins(table: _Table, rulesets: Rulesets) -> Iterator[str]:
    """Nobody on an internal network gets beyond its subnets."""
    rules: dict[str, list[str]] = defaultdict(list)
    for family, ruleset in rulesets.items():
        for network in ruleset.networks:
            for subnet in network.subnets if network.internal else ():
                rules[network.device].append(f"{family.name} daddr {_single(subnet)} accept")
    for device, own in rules.items():
        table.rules(f"from_{device}", *own, f"ip6 daddr {LINK_LOCAL} accept", f"{TO_UNICAST} drop")
        yield f"{_quoted(device)} : jump from_{device}"


def _mangle(table: _Table, rulesets: Rulesets) -> None:
    """Without masquerading, replies are addressed to containers too: only connection tracking can tell them apart."""
    for family, ruleset in rulesets.items():
        others = [each for each in ruleset.networks if not each.masquerade]
        _protect(table, "mangle", f"{INVALID_OR_NEW} {TO_OTHERS} ", family, "tracked", others)


def _protect(
    table: _Table, chain: str, match: str, family: Family, name: str, networks: Iterable[NetworkRules]
) -> None:
    """What is addressed to containers on protected ones of these networks has to come from there."""
    subnets = {subnet: each for each in networks if each.protected for subnet in each.subnets}
    if not subnets:
        return
    for network in subnets.values():
        links = (network.device, *network.trusted)
        table.chains[f"to_{network.device}"] = [*(f"iifname {_quoted(link)} return" for link in links), "drop"]
    elements = (f"{_single(subnet)} : jump to_{network.device}" for subnet, network in subnets.items())
    found = table.elements(name + family.suffix, f"type {family.type} : verdict; flags interval;", elements)
    table.rules(chain, f"{match}{family.name} daddr vmap {found}")


def _nat(table: _Table, rulesets: Rulesets) -> None:
    """A published port is a way out too, so there is none from an internal network.

    Replies to a link-local client can't be translated back: it is on another link than the container. Nor can those to
    ::1, which the kernel takes from no other link (net/ipv6/ip6_input.c); left alone, it refuses them at once.
    """
    table.rules("prerouting", "iifname @internal accept", f"{TO_OTHERS} accept")
    table.rules("prerouting", *(f"{family.name} daddr {family.loopback} accept" for family in rulesets))
    if IPV6 in rulesets:
        table.rules("prerouting", f"ip6 saddr {LINK_LOCAL} accept")
    table.rules("prerouting", "jump ports")
    table.rules("output", f"{TO_OTHERS} accept")
    if IPV6 in rulesets:
        table.rules("output", f"ip6 saddr {LINK_LOCAL} accept", f"ip6 daddr {IPV6.loopback} accept")
    table.rules("output", "jump ports")
    for family, ruleset in rulesets.items():
        maps: dict[str, list[str]] = {"ports": [], "wildcards": []}
        for port in ruleset.ports:
            if port.host_ip == family.wildcard and not port.sources:  # most are, and may be thousands
                maps["wildcards"].append(_mapping(port))
            else:
                for name, element in _mappings(port):
                    maps.setdefault(name, []).append(element)
        for name in sorted(maps):
            _translate(table, family, name, maps[name])


def _mapping(port: PortRule) -> str:
    protocol, _host_ip, host_port, target_ip, target_port, _sources = port
    return f"{protocol} . {host_port} : {target_ip} . {target_port}"


def _mappings(port: PortRule) -> Iterator[tuple[str, str]]:
    """The maps that a published port is in, and what stands there."""
    name, where = ("wildcards", "") if port.host_ip in WILDCARDS else ("ports", f"{port.host_ip} . ")
    element = where + _mapping(port)
    if is_loopback(port.host_ip):
        yield f"own_{name}", element
    elif port.sources:
        yield f"own_{name}", element
        yield from ((f"restricted_{name}", f"{_single(source)} . {element}") for source in port.sources)
    else:
        yield name, element


def _translate(table: _Table, family: Family, name: str, elements: Iterable[str]) -> None:
    """Look up in a map where a port leads to: one for all, for the host's own processes, or restricted to sources."""
    use, _between, kind = name.rpartition("_")
    sides = [*["saddr"] * (use == "restricted"), *["daddr"] * (kind == "ports")]
    keys = "".join(f"{family.type} . " for _side in sides)
    flags = " flags interval;" if use == "restricted" else ""
    found = table.elements(
        name + family.suffix, f"type {keys}{PORT_TYPE} : {family.type} . inet_service;{flags}", elements
    )
    key = "".join(f"{family.name} {side} . " for side in sides) + PORT
    chain = {"": "ports", "own": "output", "restricted": "prerouting"}[use]
    table.rules(chain, f"{WITH_PORTS} dnat {family.name} to {key} map {found}")


def _published(family: Family, lines: FirewallLines) -> Iterator[PortRule]:
    """What ``_mappings`` made the elements of."""
    sources: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in ("ports", "wildcards", "own_ports", "own_wildcards", "restricted_ports", "restricted_wildcards"):
        for element in lines.get(f"{TABLE} @{name}{family.suffix}", ()):
            found = MAPPED.fullmatch(element)
            if found is not None:
                addresses = found.group(1).split(" . ")[:-1]
                source = [addresses.pop(0)] if name.startswith("restricted") and addresses else []
                host_ip = addresses[0] if addresses else family.wildcard
                port = (host_ip, *found.groups()[1:])
                sources[port] += source
    for (host_ip, protocol, host_port, target_ip, target_port), those in sources.items():
        with suppress(ValueError):
            yield PortRule(protocol, host_ip, int(host_port), target_ip, int(target_port), collapsed(those))


def _postrouting(table: _Table, rulesets: Rulesets) -> None:
    """First what goes to a network's own bridge, then what leaves."""
    for family in rulesets:
        table.rules("postrouting", f"oifname @bridges {family.name} saddr {family.loopback} masquerade")
    table.rules("postrouting", "oifname vmap @near")
    for family, ruleset in rulesets.items():
        for network in ruleset.networks:
            for subnet in network.subnets if not network.internal else ():
                client = f"{family.name} saddr {_single(subnet)}"
                table.rules(f"near_{network.device}", f"{client} {TRANSLATED} masquerade", f"{client} accept")
        _egress(table, family, [each for each in ruleset.networks if each.masquerade and not each.internal])
    near = [chain.partition("_")[2] for chain in table.chains if chain.startswith("near_")]
    table.elements("near", "type ifname : verdict;", (f"{_quoted(device)} : jump near_{device}" for device in near))


def _egress(table: _Table, family: Family, networks: Iterable[NetworkRules]) -> None:
    subnets = {_single(subnet): network.source for network in networks for subnet in network.subnets}
    plain = [subnet for subnet, source in subnets.items() if not source]
    given = [f"{subnet} : {source}" for subnet, source in subnets.items() if source]
    if plain:
        found = table.elements(f"masqueraded{family.suffix}", f"type {family.type}; flags interval;", plain)
        table.rules("postrouting", f"{family.name} saddr {found} masquerade fully-random")
    if given:
        kind = f"type {family.type} : {family.type}; flags interval;"
        found = table.elements(f"sources{family.suffix}", kind, given)
        table.rules("postrouting", f"snat {family.name} to {family.name} saddr map {found} fully-random")


def _forward(table: _Table, rulesets: Rulesets) -> None:
    """What stays on a bridge, what crosses an internal one, what may enter others; the rest leaves."""
    table.rules("forward", "jump user", "iifname . oifname @inside accept", "iifname @internal drop")
    table.rules("forward", "oifname vmap @networks")
    table.rules("into", f"{ESTABLISHED_OR_RELATED} accept", f"{TRANSLATED} accept")
    for family, ruleset in rulesets.items():
        _direct(table, family, ruleset.direct)
    networks = [(family, each) for family, ruleset in rulesets.items() for each in ruleset.networks]
    reached = [(family, each) for family, each in networks if not each.internal and not each.protected]
    apart = {_both_sides(each.device): None for _family, each in reached if not each.icc}
    if apart:
        table.rules("into", f"iifname . oifname {table.elements('apart', 'type ifname . ifname;', apart)} drop")
    for family in rulesets:
        _open(table, family, [each for its, each in reached if its is family])
    table.rules("into", "drop")


def _open(table: _Table, family: Family, networks: Collection[NetworkRules]) -> None:
    """What unprotected networks let in without anything being published."""
    for name, match, devices in (
        ("unprotected", f"meta l4proto {family.icmp}", [each.device for each in networks]),
        ("open", f"meta nfproto {family.number}", [each.device for each in networks if each.open]),
    ):
        if devices:
            found = table.elements(name + family.suffix, "type ifname;", map(_quoted, devices))
            table.rules("into", f"oifname {found} {match} accept")


def _direct(table: _Table, family: Family, rules: Iterable[DirectRule]) -> None:
    """Ports that may be addressed directly: by all, by who comes in by a link, by sources, or by sources and link."""
    plain: set[str] = set()
    by_link: dict[bool, set[str]] = {False: set(), True: set()}
    by_source: dict[tuple[bool, str], set[str]] = defaultdict(set)
    for rule in rules:
        port = f"{rule.target_ip} . {rule.protocol} . {rule.target_port}"
        by_link[bool(rule.sources)].update(f"{_quoted(link)} . {port}" for link in rule.links)
        if rule.sources:
            by_source[bool(rule.links), port].update(rule.sources)
        elif not rule.links:
            plain.add(port)
    sources = {
        has_link: [
            f"{_single(source)} . {port}"
            for (its, port), those in by_source.items()
            if its is has_link
            for source in collapsed(those)
        ]
        for has_link in (False, True)
    }

    def lookup(name: str, head: str, kind: str, flags: str, elements: Collection[str]) -> str:
        found = table.elements(name + family.suffix, f"type {kind}{family.type} . {PORT_TYPE};{flags}", elements)
        return f"{head}{family.name} daddr . {PORT} {found} "

    link = ("iifname . ", "ifname . ", "")
    source = (f"{family.name} saddr . ", f"{family.type} . ", " flags interval;")
    if plain:
        table.rules("into", lookup("direct", "", "", "", plain) + "accept")
    if by_link[False]:
        table.rules("into", lookup("linked", *link, by_link[False]) + "accept")
    if sources[False]:
        table.rules("into", lookup("restricted", *source, sources[False]) + "accept")
    if sources[True]:
        both = lookup("linked_some", *link, by_link[True]) + lookup("restricted_linked", *source, sources[True])
        table.rules("into", both + "accept")


def _quoted(device: str) -> str:
    return f'"{device}"'


def _both_sides(device: str) -> str:
    return f'"{device}" . "{device}"'


def _single(block: str) -> str:
    """A subnet as nft prints it: one of a single address is that."""
    return block.removesuffix("/128" if ":" in block else "/32")
