# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule set in the words of iptables: one read and one transaction for each family.

A place is ``<family> <table> <chain>``, the family being ip or ip6. Of a built-in chain only our jump is ours. Lines
are written as iptables-save prints them, and compared in a normal form, since versions differ in what they leave
implicit.
"""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .._errors import HostError, KernelError
from .._hostconfig import FirewallLines
from .._model import WILDCARDS
from .ruleset import DirectRule, NetworkRules, PortRule, Ruleset
from .tools import find

PREFIX = "BRIDGEWORK-"
LOCK_SECONDS = 10  # how long to wait for another program's hold on the xtables lock
WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\S)+')
PORT = re.compile(r"(?:-d (\S+)/\d+ )?-p (\w+) --dport (\d+) -j DNAT --to-destination (\S+):(\d+)")
PORTS = "BRIDGEWORK-PORTS"


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

    def jumps(self) -> tuple[tuple[str, str, str, str], ...]:
        """The jumps into our chains: table, built-in chain, match, our chain."""
        local = "-m addrtype --dst-type LOCAL "
        return (
            ("raw", "PREROUTING", "", "BRIDGEWORK-RAW"),
            ("mangle", "PREROUTING", "", "BRIDGEWORK-DIRECT"),
            ("nat", "PREROUTING", f"{self.strangers}! -d {self.loopback} {local}", PORTS),
            ("nat", "OUTPUT", local, PORTS),
            ("nat", "POSTROUTING", "", "BRIDGEWORK-SNAT"),
            ("filter", "FORWARD", "", "BRIDGEWORK-FORWARD"),
        )


# Replies to a link-local client can't be translated back: it is on another link than the container.
IPV4 = Family(4, "ip", "iptables", "127.0.0.0/8", "icmp")
IPV6 = Family(6, "ip6", "ip6tables", "::1/128", "ipv6-icmp", "fe80::/10", "! -s fe80::/10 ")
FAMILIES = (IPV4, IPV6)


class Iptables:
    """The backend for iptables, whichever of its two kinds the host's commands are."""

    stands_before = frozenset((f"{family.name} filter", "FORWARD") for family in FAMILIES)

    def __init__(self) -> None:
        self._is_legacy = False  # as far as the commands have said

    def owns(self, place: str) -> bool:
        return place.partition(" ")[0] in {family.name for family in FAMILIES}

    def is_fitting(self) -> bool:
        return True

    def require(self, lines: FirewallLines) -> None:
        for family in FAMILIES:
            if any(_family(place) == family.name for place in lines):
                _require(family)

    def render(self, rulesets: Iterable[Ruleset]) -> FirewallLines:
        families = {family.version: family for family in FAMILIES}
        places: dict[str, tuple[str, ...]] = {}
        for ruleset in rulesets:
            places.update(_places(families[ruleset.version], ruleset))
        return places

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        found: dict[str, tuple[str, ...]] = {}
        for family in FAMILIES:
            path = find(family.save)
            # Most hosts have no network with IPv6, and need not start another process to know.
            is_in_use = places is None or family is IPV4 or any(_family(place) == family.name for place in places)
            if path is not None and is_in_use:
                saved = _run([path], "")
                self._is_legacy |= saved.startswith("#") and "(nf_tables)" not in saved.partition("\n")[0]
                found.update(parse(family.name, saved))
        return found

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        found: set[PortRule] = set()
        for family in FAMILIES:
            if all(f"{family.name} {table} {chain}" in lines for table, chain, _m, to in family.jumps() if to == PORTS):
                rules = lines.get(f"{family.name} nat {PORTS}", ())
                found |= {_published(family, rule) for rule in filter(None, map(PORT.fullmatch, rules))}
        return frozenset(found)

    def is_counted(self) -> bool:
        """The rules of the older kind are not nf_tables'."""
        return not self._is_legacy and all(
            "nft" in os.path.basename(os.path.realpath(find(family.save) or "nft")) for family in FAMILIES
        )

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> int | None:
        scripts = []
        for family in FAMILIES:
            script = transaction(_of(family, wanted), _of(family, present))
            if script:
                _require(family)
                scripts.append(([str(find(family.restore)), "--noflush", "-w", str(LOCK_SECONDS)], script))
        # All are tried before the first is carried out.
        for command, script in scripts:
            _run([*command, "--test"], script)
        for command, script in scripts:
            _run(command, script)
        # A transaction a table.
        return sum(script.count("\nCOMMIT\n") for _command, script in scripts) if self.is_counted() else None


def _places(family: Family, ruleset: Ruleset) -> dict[str, tuple[str, ...]]:
    """The chains of one family, and the jumps into them."""
    if not ruleset.networks:
        return {}
    chains: dict[tuple[str, str], tuple[str, ...]] = {
        ("raw", "BRIDGEWORK-RAW"): tuple(_raw(family, ruleset.networks)),
        ("nat", PORTS): (*_not_from(ruleset.networks), *map(_port, ruleset.ports)),
        ("nat", "BRIDGEWORK-SNAT"): tuple(_snat(family, ruleset.networks)),
        ("filter", "BRIDGEWORK-FORWARD"): tuple(_forward(family, ruleset)),
    }
    direct = tuple(_direct(ruleset.networks))
    if direct:
        chains["mangle", "BRIDGEWORK-DIRECT"] = direct
    places = {f"{family.name} {table} {chain}": lines for (table, chain), lines in chains.items()}
    for table, chain, match, target in family.jumps():
        if (table, target) in chains:
            places[f"{family.name} {table} {chain}"] = (f"{match}-j {target}",)
    return places


def _of(family: Family, lines: FirewallLines) -> FirewallLines:
    return {place: texts for place, texts in lines.items() if _family(place) == family.name}


def _family(place: str) -> str:
    return place.partition(" ")[0]


def _require(family: Family) -> None:
    for tool in (family.save, family.restore):
        if find(tool) is None:
            raise HostError(f'firewall_backend "iptables": the command {tool} is missing; install the package iptables')


def parse(family: str, saved: str) -> FirewallLines:
    """Our lines in the output of iptables-save, each in its normal form; foreign ones are left out."""
    found: dict[str, list[str]] = {}
    table = ""
    for line in saved.split("\n"):
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chain = line[1:].split(" ", 1)[0]
            if chain.startswith(PREFIX):
                found.setdefault(f"{family} {table} {chain}", [])
        elif line.startswith("-A "):
            _dash, chain, rule = (*line.split(" ", 2), "")[:3]
            if chain.startswith(PREFIX) or _jumps_to_us(rule):
                found.setdefault(f"{family} {table} {chain}", []).append(normal(rule))
    return {place: tuple(lines) for place, lines in found.items()}


def normal(rule: str) -> str:
    """A rule with what iptables adds on its own taken out: protocol modules, reject types, counters."""
    words = _words(rule)
    protocols = {words[i + 1] for i, word in enumerate(words[:-1]) if word == "-p"}
    kept = []
    skip = False
    for i, word in enumerate(words):
        if skip:
            skip = False
        elif word == "-m" and i + 1 < len(words) and words[i + 1] in protocols:
            skip = True
        else:
            kept.append(word)
    return " ".join(kept)


def transaction(wanted: FirewallLines, present: FirewallLines) -> str:
    """The input of iptables-restore --noflush that turns our present lines into the wanted ones."""
    tables: dict[str, list[str]] = defaultdict(list)
    for place in sorted({*wanted, *present}):
        _family, table, chain = place.split(" ")
        if chain.startswith(PREFIX):
            tables[table].insert(0, f":{chain} - [0:0]")  # also empties a chain that is there
            tables[table] += [f"-A {chain} {line}" for line in wanted.get(place, ())]
        else:
            tables[table] += [f"-D {chain} {line}" for line in present.get(place, ())]
            tables[table] += [f"-I {chain} 1 {line}" for line in reversed(wanted.get(place, ()))]
    for place in sorted(present):
        _family, table, chain = place.split(" ")
        if chain.startswith(PREFIX) and place not in wanted:
            tables[table].append(f"-X {chain}")
    return "".join("\n".join([f"*{table}", *lines, "COMMIT", ""]) for table, lines in sorted(tables.items()))


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


def _port(port: PortRule) -> str:
    target = f"[{port.target_ip}]" if ":" in port.target_ip else port.target_ip
    where = "" if port.host_ip in WILDCARDS else f"-d {_single(port.host_ip)} "
    return f"{where}-p {port.protocol} --dport {port.host_port} -j DNAT --to-destination {target}:{port.target_port}"


def _published(family: Family, line: re.Match[str]) -> PortRule:
    """What ``_port`` made the line of."""
    host_ip, protocol, host_port, target_ip, target_port = line.groups()
    return PortRule(
        protocol, host_ip or WILDCARDS[family.version == 6], int(host_port), target_ip.strip("[]"), int(target_port)
    )


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
                lines.append(f"-s {subnet} ! -o {network.device} -j {to}")
    return lines


def _forward(family: Family, ruleset: Ruleset) -> list[str]:
    """First what may enter a bridge, then that nothing else does, last that the rest may leave."""
    lines = []
    networks = ruleset.networks
    direct: dict[str, list[DirectRule]] = defaultdict(list)
    for rule in ruleset.direct:
        direct[rule.device].append(rule)
    for network in networks:
        device = network.device
        if network.internal:
            lines += [f"-i {device} ! -o {device} -j DROP", f"! -i {device} -o {device} -j DROP"]
        if network.internal and network.icc:
            lines.append(f"-i {device} -o {device} -j ACCEPT")
    for network in networks:
        device = network.device
        if not network.internal:
            lines.append(f"-o {device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
            lines.append(f"-o {device} -m conntrack --ctstate DNAT -j ACCEPT")
            lines += [_direct_port(rule, link) for rule in direct[device] for link in rule.links or (None,)]
            if not network.protected:
                lines.append(f"! -i {device} -o {device} -p {family.icmp} -j ACCEPT")
            if network.open:
                lines.append(f"! -i {device} -o {device} -j ACCEPT")
            if network.icc:
                lines.append(f"-i {device} -o {device} -j ACCEPT")
        lines.append(f"-o {device} -j DROP")
    lines += [f"-i {network.device} -j ACCEPT" for network in networks if not network.internal]
    return lines


def _direct_port(rule: DirectRule, link: str | None) -> str:
    where = f"-i {link} " if link else ""
    return (
        f"-d {_single(rule.target_ip)} {where}-o {rule.device} -p {rule.protocol} --dport {rule.target_port} -j ACCEPT"
    )


def _single(address: str) -> str:
    return f"{address}/{ipaddress.ip_address(address).max_prefixlen}"


def _jumps_to_us(rule: str) -> bool:
    words = _words(rule)
    return any(word in ("-j", "-g") and target.startswith(PREFIX) for word, target in zip(words, words[1:]))


def _words(rule: str) -> list[str]:
    """The words of a rule as they are written, quotes included: iptables' quoting is not the shell's."""
    return WORD.findall(rule)


def _run(command: list[str], script: str) -> str:
    # Comments of foreign rules are bytes of any kind.
    result = subprocess.run(
        command, input=script, capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
    )
    if result.returncode != 0:
        raise KernelError(f"{os.path.basename(command[0])}{_complaint(result)}")
    return result.stdout


def _complaint(result: subprocess.CompletedProcess[str]) -> str:
    """What a tool has against its input, or whatever else it fails for."""
    reason = " ".join(result.stderr.split()) or f"exit code {result.returncode}"
    if "xtables lock" in reason:
        return (
            f": another program has held the lock /run/xtables.lock for {LOCK_SECONDS} seconds; see which one it is "
            "(fuser /run/xtables.lock), and run the task again"
        )
    if not result.args[1:]:
        return f" failed: {reason}; see that it works when run by hand"
    return f" refused the rule set: {reason}"
