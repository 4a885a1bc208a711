# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule set in the words of iptables: one read by iptables-save, one transaction by iptables-restore.

A place is ``<family> <table> <chain>``. Of a built-in chain only our jump is ours. Lines are written as iptables-save
prints them, and compared in a normal form, since versions differ in what they leave implicit.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
from collections import defaultdict

from .._errors import HostError, KernelError
from .._hostconfig import FirewallLines
from .._model import WILDCARDS
from .ruleset import NetworkRules, PortRule, Ruleset

PREFIX = "BRIDGEWORK-"
SAVE, RESTORE = "iptables-save", "iptables-restore"
LOCK_SECONDS = 10  # how long to wait for another program's hold on the xtables lock
LOOPBACK = "127.0.0.0/8"
WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\S)+')
PORT = re.compile(r"(?:-d (\S+)/\d+ )?-p (\w+) --dport (\d+) -j DNAT --to-destination (\S+):(\d+)")
PORTS = "BRIDGEWORK-PORTS"

# The jumps into our chains: table, built-in chain, match, our chain.
JUMPS = (
    ("raw", "PREROUTING", "", "BRIDGEWORK-RAW"),
    ("mangle", "PREROUTING", "", "BRIDGEWORK-DIRECT"),
    ("nat", "PREROUTING", f"! -d {LOOPBACK} -m addrtype --dst-type LOCAL ", PORTS),
    ("nat", "OUTPUT", "-m addrtype --dst-type LOCAL ", PORTS),
    ("nat", "POSTROUTING", "", "BRIDGEWORK-SNAT"),
    ("filter", "FORWARD", "", "BRIDGEWORK-FORWARD"),
)


class Iptables:
    """The backend for iptables, whichever of its two kinds the host's commands are."""

    def require(self) -> None:
        for tool in (SAVE, RESTORE):
            if _find(tool) is None:
                raise HostError(
                    f'firewall_backend "iptables": the command {tool} is missing; install the package iptables'
                )

    def render(self, ruleset: Ruleset) -> FirewallLines:
        if not ruleset.networks:
            return {}
        places: dict[str, tuple[str, ...]] = {
            "ip raw BRIDGEWORK-RAW": tuple(_raw(ruleset.networks)),
            f"ip nat {PORTS}": (*_not_from(ruleset.networks), *map(_port, ruleset.ports)),
            "ip nat BRIDGEWORK-SNAT": tuple(_snat(ruleset.networks)),
            "ip filter BRIDGEWORK-FORWARD": tuple(_forward(ruleset.networks)),
        }
        direct = tuple(_direct(ruleset.networks))
        if direct:
            places["ip mangle BRIDGEWORK-DIRECT"] = direct
        places.update(
            (f"ip {table} {chain}", (f"{match}-j {target}",))
            for table, chain, match, target in JUMPS
            if f"ip {table} {target}" in places
        )
        return places

    def observe(self) -> FirewallLines:
        path = _find(SAVE)
        return {} if path is None else parse("ip", _run([path], ""))

    def published(self, lines: FirewallLines) -> frozenset[PortRule]:
        if any(f"ip {table} {chain}" not in lines for table, chain, _match, target in JUMPS if target == PORTS):
            return frozenset()
        return frozenset(map(_published, filter(None, map(PORT.fullmatch, lines.get(f"ip nat {PORTS}", ())))))

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> None:
        self.require()
        command = [str(_find(RESTORE)), "--noflush", "-w", str(LOCK_SECONDS)]
        script = transaction(wanted, present)
        _run([*command, "--test"], script)
        _run(command, script)


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


def _raw(networks: tuple[NetworkRules, ...]) -> list[str]:
    lines = [f"{side} {LOOPBACK} -i {network.device} -j DROP" for network in networks for side in ("-s", "-d")]
    lines.append("-m addrtype --dst-type LOCAL -j RETURN")
    for network in networks:
        if network.internal:
            lines.append(f"{_elsewhere(network)}-i {network.device} -m addrtype --dst-type UNICAST -j DROP")
        if network.masquerade:
            lines += [f"-d {subnet} ! -i {network.device} -j DROP" for subnet in network.subnets]
    return lines


def _direct(networks: tuple[NetworkRules, ...]) -> list[str]:
    """Without masquerading, replies are addressed to containers too: only connection tracking can tell them apart."""
    return [
        f"-d {subnet} ! -i {network.device} -m addrtype ! --dst-type LOCAL -m conntrack --ctstate INVALID,NEW -j DROP"
        for network in networks
        if not network.masquerade
        for subnet in network.subnets
    ]


def _elsewhere(network: NetworkRules) -> str:
    return "".join(f"! -d {subnet} " for subnet in network.subnets)


def _not_from(networks: tuple[NetworkRules, ...]) -> list[str]:
    """A published port is a way out too, so there is none from an internal network."""
    return [f"-i {network.device} -j RETURN" for network in networks if network.internal]


def _port(port: PortRule) -> str:
    where = "" if port.host_ip in WILDCARDS else f"-d {_single(port.host_ip)} "
    return (
        f"{where}-p {port.protocol} --dport {port.host_port} "
        f"-j DNAT --to-destination {port.target_ip}:{port.target_port}"
    )


def _published(line: re.Match[str]) -> PortRule:
    """What ``_port`` made the line of."""
    host_ip, protocol, host_port, target_ip, target_port = line.groups()
    return PortRule(protocol, host_ip or WILDCARDS[0], int(host_port), target_ip, int(target_port))


def _snat(networks: tuple[NetworkRules, ...]) -> list[str]:
    lines = []
    for network in networks:
        if network.internal:
            continue
        lines.append(f"-s {LOOPBACK} -o {network.device} -j MASQUERADE")
        for subnet in network.subnets:
            lines.append(f"-s {subnet} -o {network.device} -m conntrack --ctstate DNAT -j MASQUERADE")
            if network.masquerade:
                lines.append(f"-s {subnet} ! -o {network.device} -j MASQUERADE")
    return lines


def _forward(networks: tuple[NetworkRules, ...]) -> list[str]:
    """First what may enter a bridge, then that nothing else does, last that the rest may leave."""
    lines = []
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
            if network.icc:
                lines.append(f"-i {device} -o {device} -j ACCEPT")
        lines.append(f"-o {device} -j DROP")
    lines += [f"-i {network.device} -j ACCEPT" for network in networks if not network.internal]
    return lines


def _single(address: str) -> str:
    return f"{address}/{ipaddress.ip_address(address).max_prefixlen}"


def _jumps_to_us(rule: str) -> bool:
    words = _words(rule)
    return any(word in ("-j", "-g") and target.startswith(PREFIX) for word, target in zip(words, words[1:]))


def _words(rule: str) -> list[str]:
    """The words of a rule as they are written, quotes included: iptables' quoting is not the shell's."""
    return WORD.findall(rule)


def _find(tool: str) -> str | None:
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(tool, path=path + ":/usr/local/sbin:/usr/sbin:/sbin")


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
