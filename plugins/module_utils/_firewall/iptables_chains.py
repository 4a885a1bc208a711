# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule set in the words of iptables: the chains of each family and the jumps into them. Pure.

See ``iptables_text`` for what a place is, ``iptables_tree`` for how published ports are found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .._hostconfig import FirewallLines
from .._model import WILDCARDS
from .iptables_text import USER
from .iptables_tree import PortKeys, Rule, TargetKeys, address_bits, chain_name, grow
from .ruleset import DirectRule, NetworkRules, PortRule, Ruleset

PORTS = "BRIDGEWORK-PORTS"
LOCAL = "BRIDGEWORK-LOCAL"  # ports that are for some clients only, and for the host's own processes
TARGETS = "BRIDGEWORK-TO"
PORT = re.compile(
    r"(?:-s (\S+) )?(?:-d (\S+)/\d+ )?-p (\w+) --dport (\d+) -j DNAT --to-destination (\S+):(\d+)"
    r"|.*-j (BRIDGEWORK-\S+)"
)


@dataclass(frozen=True)
class Family:
    """One of the two families: its place's first word, its tools, its loopback addresses."""

    version: int
    name: str
    tools: str
    loopback: str
    icmp: str
    link_local: str = ""  # never forwarded
    strangers: str = ""  # a match for those whom published ports are for

    @property
    def save(self) -> str:
        return f"{self.tools}-save"

    @property
    def restore(self) -> str:
        return f"{self.tools}-restore"

    def place(self, table: str, chain: str) -> str:
        return f"{self.name} {table} {chain}"

    def owns(self, place: str) -> bool:
        return place.partition(" ")[0] == self.name

    def jumps(self) -> tuple[tuple[str, str, str, str], ...]:
        """The jumps into our chains: table, built-in chain, match, our chain."""
        local = "-m addrtype --dst-type LOCAL "
        others = f"{self.strangers}! -d {self.loopback} {local}"
        own = local if self.version == 4 else others
        return (
            ("raw", "PREROUTING", "", "BRIDGEWORK-RAW"),
            ("mangle", "PREROUTING", "", "BRIDGEWORK-DIRECT"),
            ("nat", "PREROUTING", others, PORTS),
            ("nat", "OUTPUT", own, LOCAL),
            ("nat", "OUTPUT", own, PORTS),
            ("nat", "POSTROUTING", "", "BRIDGEWORK-SNAT"),
            ("filter", "FORWARD", "", USER),
            ("filter", "FORWARD", "", "BRIDGEWORK-FORWARD"),
        )


# Replies to a link-local client can't be translated back: it is on another link than the container. Nor can those to
# ::1, which the kernel takes from no other link (net/ipv6/ip6_input.c); left alone, it refuses them at once.
IPV4 = Family(4, "ip", "iptables", "127.0.0.0/8", "icmp")
IPV6 = Family(6, "ip6", "ip6tables", "::1/128", "ipv6-icmp", "fe80::/10", "! -s fe80::/10 ")
FAMILIES = (IPV4, IPV6)
KEYS = {family.version: PortKeys(family.version) for family in FAMILIES}


def render(family: Family, ruleset: Ruleset) -> FirewallLines:
    """The chains of one family, and the jumps into them."""
    if not ruleset.networks:
        return {}
    chains: dict[tuple[str, str], tuple[str, ...]] = {
        ("raw", "BRIDGEWORK-RAW"): tuple(_raw(family, ruleset.networks)),
        ("nat", "BRIDGEWORK-SNAT"): tuple(_snat(family, ruleset.networks)),
        **{("nat", chain): lines for chain, lines in _ports(family, ruleset).items()},
        ("filter", USER): (),
        **{("filter", chain): lines for chain, lines in _forward(family, ruleset).items()},
    }
    direct = tuple(_direct(ruleset.networks))
    if direct:
        chains["mangle", "BRIDGEWORK-DIRECT"] = direct
    places = {family.place(table, chain): lines for (table, chain), lines in chains.items()}
    for table, chain, match, target in family.jumps():
        if (table, target) in chains:
            place = family.place(table, chain)
            places[place] = (*places.get(place, ()), f"{match}-j {target}")
    return places


def published(family: Family, lines: FirewallLines) -> frozenset[PortRule]:
    """The ports that these lines publish: to all whom they are for."""
    jumps = [(table, chain, target) for table, chain, _match, target in family.jumps() if target in (PORTS, LOCAL)]
    ways = {target: True for _table, _chain, target in jumps}
    for table, chain, target in jumps:
        ways[target] &= any(line.endswith(f"-j {target}") for line in lines.get(family.place(table, chain), ()))
    to_local = set(_read(family, lines, LOCAL)) if ways[LOCAL] else set()
    found = _read(family, lines, PORTS) if ways[PORTS] else {}
    return frozenset(
        port._replace(sources=tuple(sources)) if sources else port
        for port, sources in found.items()
        if not sources or port in to_local
    )


def _read(family: Family, lines: FirewallLines, root: str) -> dict[PortRule, list[str]]:
    """The ports that a tree leads to, each with the clients that it is for; with none where it is for all."""
    found: dict[PortRule, list[str]] = {}
    for source, host_ip, protocol, port, target_ip, target_port in _walk(family, lines, root):
        address = host_ip or WILDCARDS[family.version == 6]
        rule = PortRule(protocol, address, int(port), target_ip.strip("[]"), int(target_port))
        found.setdefault(rule, []).extend([source] if source else [])
    return found


def _walk(family: Family, lines: FirewallLines, root: str) -> Iterator[tuple[str, ...]]:
    """The parts of the rules of a tree that publish something."""
    pending, seen = [root], {root}
    while pending:
        for line in lines.get(family.place("nat", pending.pop()), ()):
            parts = PORT.fullmatch(line)
            if parts and parts[7] and parts[7] not in seen:
                pending.append(parts[7])
                seen.add(parts[7])
            elif parts and not parts[7]:
                yield parts.groups()[:6]


def _ports(family: Family, ruleset: Ruleset) -> dict[str, tuple[str, ...]]:
    """The tree for those who come from elsewhere, and that of the host's own processes, which need no source."""
    keys = KEYS[family.version]
    chains = grow(keys, PORTS, "", map(_port, ruleset.ports))
    chains[PORTS] = (*_not_from(ruleset.networks), *chains[PORTS])
    # One on an address of its own goes before one on all, for the host's own processes too.
    for_some = {(port.protocol, port.host_port) for port in ruleset.ports if port.sources}
    own = [port._replace(sources=()) for port in ruleset.ports if (port.protocol, port.host_port) in for_some]
    return {**chains, **grow(keys, LOCAL, "L-", map(_port, own))} if own else chains


@lru_cache(maxsize=1 << 17)  # a run that changes something asks twice for most: for what was declared, and what is
def _port(port: PortRule) -> Rule:
    keys = KEYS[6 if ":" in port.target_ip else 4]
    target = f"[{port.target_ip}]" if keys.version == 6 else port.target_ip
    host_ip = None if port.host_ip in WILDCARDS else port.host_ip
    where = "" if host_ip is None else f"-d {_single(host_ip)} "
    text = f"-p {port.protocol} --dport {port.host_port} -j DNAT --to-destination {target}:{port.target_port}"
    lines = tuple(f"{client}{where}{text}" for client in _from(port.sources))
    return keys.rule(port.protocol, host_ip, port.host_port, lines)


def _from(sources: tuple[str, ...]) -> tuple[str, ...]:
    """Matches of the source, in the words of iptables-save; a single one of nothing where it may be anybody."""
    if not sources or any(source.endswith("/0") for source in sources):
        return ("",)
    return tuple(f"-s {source} " for source in sources)


def _raw(family: Family, networks: tuple[NetworkRules, ...]) -> list[str]:
    lines = [f"{side} {family.loopback} -i {network.device} -j DROP" for network in networks for side in ("-s", "-d")]
    lines.append("-m addrtype --dst-type LOCAL -j RETURN")
    for network in networks:
        if network.internal and network.subnets:
            if family.link_local:
                lines.append(f"-d {family.link_local} -i {network.device} -j RETURN")
            lines.append(f"{_elsewhere(network)}-i {network.device} -m addrtype --dst-type UNICAST -j DROP")
        if network.masquerade and network.protected:
            for subnet in network.subnets:
                lines += [f"-d {subnet} -i {link} -j RETURN" for link in network.trusted]
                lines.append(f"-d {subnet} ! -i {network.device} -j DROP")
    return lines


def _direct(networks: tuple[NetworkRules, ...]) -> list[str]:
    """Without masquerading, replies are addressed to containers too: only connection tracking can tell them apart."""
    lines = []
    for network in networks:
        for subnet in network.subnets if network.protected and not network.masquerade else ():
            lines += [f"-d {subnet} -i {link} -j RETURN" for link in network.trusted]
            lines.append(
                f"-d {subnet} ! -i {network.device} -m addrtype ! --dst-type LOCAL "
                "-m conntrack --ctstate INVALID,NEW -j DROP"
            )
    return lines


def _elsewhere(network: NetworkRules) -> str:
    return "".join(f"! -d {subnet} " for subnet in network.subnets)


def _not_from(networks: tuple[NetworkRules, ...]) -> list[str]:
    """A published port is a way out too, so there is none from an internal network."""
    return [f"-i {network.device} -j RETURN" for network in networks if network.internal]


def _snat(family: Family, networks: tuple[NetworkRules, ...]) -> list[str]:
    lines = []
    for network in networks:
        if network.internal:
            continue
        lines.append(f"-s {family.loopback} -o {network.device} -j MASQUERADE")
        for subnet in network.subnets:
            lines.append(f"-s {subnet} -o {network.device} -m conntrack --ctstate DNAT -j MASQUERADE")
            if network.masquerade:
                to = f"SNAT --to-source {network.source}" if network.source else "MASQUERADE"
                lines.append(f"-s {subnet} ! -o {network.device} -j {to} --random-fully")
    return lines


def _forward(family: Family, ruleset: Ruleset) -> dict[str, tuple[str, ...]]:
    """First what internal networks stop, then what may enter each bridge, last that the rest may leave."""
    networks = ruleset.networks
    direct = {rule.device for rule in ruleset.direct}
    lines: list[str] = []
    chains: dict[str, tuple[str, ...]] = {}
    for device in (network.device for network in networks if network.internal):
        lines += [f"-i {device} ! -o {device} -j DROP", f"! -i {device} -o {device} -j DROP"]
    for network in networks:
        chain = chain_name(f"N-{network.device}")
        chains[chain] = tuple(_into(family, network, network.device in direct))
        lines.append(f"-o {network.device} -j {chain}")
    lines += [f"-i {network.device} -j ACCEPT" for network in networks if not network.internal]
    keys = TargetKeys(family.version)
    targets = grow(keys, TARGETS, "TO-", (_target(keys, rule) for rule in ruleset.direct)) if direct else {}
    return {"BRIDGEWORK-FORWARD": tuple(lines), **chains, **targets}


def _into(family: Family, network: NetworkRules, has_direct: bool) -> Iterator[str]:
    """What may enter a bridge, and that nothing else does."""
    device = network.device
    if not network.internal:
        yield f"-o {device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        yield f"-o {device} -m conntrack --ctstate DNAT -j ACCEPT"
        if has_direct:
            yield f"-o {device} -j {TARGETS}"
        if not network.protected:
            yield f"! -i {device} -o {device} -p {family.icmp} -j ACCEPT"
        if network.open:
            yield f"! -i {device} -o {device} -j ACCEPT"
    if network.icc:
        yield f"-i {device} -o {device} -j ACCEPT"
    yield f"-o {device} -j DROP"


def _target(keys: TargetKeys, rule: DirectRule) -> Rule:
    lines = tuple(
        f"{client}-d {_single(rule.target_ip)} {f'-i {link} ' if link else ''}-o {rule.device} "
        f"-p {rule.protocol} --dport {rule.target_port} -j ACCEPT"
        for link in rule.links or ("",)
        for client in _from(rule.sources)
    )
    return keys.rule(rule.protocol, rule.target_ip, rule.target_port, lines)


def _single(address: str) -> str:
    return f"{address}/{address_bits(6 if ':' in address else 4)}"
