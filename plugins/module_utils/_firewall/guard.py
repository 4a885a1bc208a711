# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of the bridges: who comes in by a port of ours can't send as somebody else. The same for every backend.

It is a table of nft's bridge family, which sees a frame before anything else does, whether it stays on its bridge or
leaves it; so it makes no difference what ``bridge-nf-call-iptables`` says. Each rule drops a frame that claims
something known without coming from its owner. The rules look it up in sets, so what they cost doesn't grow with these.

``NAME``, the known, has its owners in the set ``NAME_owners``, each with its port. What is known on one link only is in
``NAME_LINK``, and asked for in the chain ``link_LINK``.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Callable

from .._errors import KernelError
from .._hostconfig import FirewallLines
from . import nft
from .ruleset import Identity

TABLE = "bridge bridgework"
# Before frames are handed to iptables and their addresses are translated (NF_BR_PRI_BRNF, 0).
HOOK = "type filter hook {} priority -300; policy accept;"
TYPES = {"macs": "ether_addr", "addresses": "ipv4_addr", "addresses6": "ipv6_addr", "targets": "ipv6_addr"}
TARGET = "icmpv6 taddr"
CLAIMS = (
    ("ether saddr", "macs"),
    ("arp saddr ether", "macs"),
    ("ip saddr", "addresses"),
    ("arp saddr ip", "addresses"),
    ("ip6 saddr", "addresses6"),
    (TARGET, "targets"),
)
ADVERTISEMENT = "icmpv6 type 136 "  # RFC 4861, section 4.4

# Frames to the groups of IEEE 802.1D end at the bridge. It believes them in what they say of their sender's place, and
# hands them up as come in by the port. Only those of LLDP get to the chain prerouting (see ``Link.unguarded``); to the
# chain input get all others.
GROUPS = "iifname @ports ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop"

# To who gets it, a frame with a tag of VLAN 0 is one without (CVE-2021-27853), but no ARP packet to the rules. Linux
# also heeds ARP packets that say to be of another kind of hardware than Ethernet (net/ipv4/arp.c).
DETOURS = (
    "ether daddr 01:80:c2:00:00:0e drop",
    "vlan id 0 drop",
    "ether type 0x88a8 vlan id 0 drop",
    "arp htype != 1 drop",
)

# nft has a name for the target of an advertisement from 1.0.9 on. Before, it is the bytes in its place, which are a
# number to it, and so have to be those that they are compared with. That is beyond those before 1.0.3, under which
# anybody may advertise.
TARGETS_FROM, NAMED_FROM = (1, 0, 3), (1, 0, 9)
BYTES = "@th,64,128"
OLD_TYPES = {"type ipv6_addr": f"typeof {BYTES}", "type ifname . ipv6_addr": f"typeof iifname . {BYTES}"}


class Guard:
    """The guard in the verbs of a backend."""

    def owns(self, place: str) -> bool:
        return is_guards(place)

    def require(self, lines: FirewallLines) -> None:
        if lines:
            nft.require("firewall_backend", "which keeps containers from sending as others beside either backend")

    def render(self, identities: Iterable[Identity]) -> FirewallLines:
        """The lines that make sure of it that nobody poses as one of these; which they are depends on nft's version."""
        identities = tuple(identities)
        sets = _sets(identities, _has_ipv6(identities) and (nft.version() or TARGETS_FROM) >= TARGETS_FROM)
        if not sets:
            return {}
        elements = {f"{TABLE} @{name}": tuple(sorted(held)) for name, held in sets.items()}
        return {**_skeleton(sets), **{place: lines for place, lines in elements.items() if lines}}

    def observe(self, places: Collection[str] | None = None) -> FirewallLines:
        return _in_our_words(_from_old(nft.read(TABLE)))

    def rehearse(self, wanted: FirewallLines, present: FirewallLines) -> None:
        if wanted and wanted != present:
            _load(wanted, present, is_rehearsal=True)

    def apply(self, wanted: FirewallLines, present: FirewallLines) -> int:
        _load(wanted, present)
        return 1


def is_guards(place: str) -> bool:
    return f"{place} ".startswith(f"{TABLE} ")


def _has_ipv6(identities: Iterable[Identity]) -> bool:
    return any(":" in address for identity in identities for address in identity.addresses)


def _sets(identities: Iterable[Identity], has_targets: bool) -> dict[str, set[str]]:
    """The elements of all sets, by their names."""
    kinds6 = ("addresses6", "targets") if has_targets else ("addresses6",)
    sets: dict[str, set[str]] = defaultdict(set)
    ports: dict[str, str] = {}

    def know(what: str, kind: str, link: str, owners: Iterable[str]) -> None:
        sets[f"{kind}_{link}" if link else kind].add(what)
        sets[f"{kind}_owners"].update(f'"{port}" . {what}' for port in owners)

    for identity in identities:
        ports.update(identity.ports)
        every = [port for port, _link in identity.ports]
        for mac in identity.macs:
            know(mac, "macs", "", every)
        for link, address in (*(("", address) for address in identity.addresses), *identity.link_local):
            owners = [port for port, its_link in identity.ports if its_link == link] if link else every
            for kind in kinds6 if ":" in address else ("addresses",):
                know(address, kind, link, owners)
    if sets:
        links = _links(sets)
        sets["ports"] = {f'"{port}"' for port in ports}
        sets["links"] = {f'"{port}" : goto link_{link}' for port, link in ports.items() if link in links}
    return sets


def _links(sets: Iterable[str]) -> list[str]:
    """The links on which something is known that is not known elsewhere."""
    links = {name.partition("_")[2] for name in sets}
    return sorted(links - {"", "owners"})


def _skeleton(sets: Collection[str]) -> FirewallLines:
    """All but the elements of these sets: what the table consists of, and its rules."""
    blocks = [f"chain {chain} {{ {HOOK.format(chain)} }}" for chain in ("prerouting", "input")]
    blocks += ["map links { type ifname : verdict; }", "set ports { type ifname; }"]
    for name in sets:
        kind, _between, rest = name.partition("_")
        if kind in TYPES:
            blocks.append(f"set {name} {{ type {'ifname . ' if rest == 'owners' else ''}{TYPES[kind]}; }}")
    rules = {
        "input": (GROUPS,),
        "prerouting": ("iifname != @ports accept", *DETOURS, *_rules(sets, ""), "iifname vmap @links"),
    }
    for link in _links(sets):
        blocks.append(f"chain link_{link} {{ }}")
        rules[f"link_{link}"] = _rules(sets, f"_{link}")
    return {TABLE: tuple(sorted(blocks)), **{f"{TABLE} {chain}": lines for chain, lines in rules.items()}}


def _rules(sets: Collection[str], suffix: str) -> tuple[str, ...]:
    return tuple(
        f"{ADVERTISEMENT if claim == TARGET else ''}{claim} @{kind}{suffix} iifname . {claim} != @{kind}_owners drop"
        for claim, kind in CLAIMS
        if kind + suffix in sets
    )


def _load(wanted: FirewallLines, present: FirewallLines, is_rehearsal: bool = False) -> None:
    has_name = f"{TABLE} @targets" not in {**wanted, **present} or (nft.version() or NAMED_FROM) >= NAMED_FROM
    try:
        lines = (wanted, present) if has_name else (_to_old(wanted), _to_old(present))
        nft.swap(TABLE, *lines, is_rehearsal=is_rehearsal)
    except KernelError as error:
        remedy = "see that the kernel has nftables for bridges (CONFIG_NF_TABLES_BRIDGE)"
        if "syntax error" in str(error) or "datatype mismatch" in str(error):
            remedy = "a later version of nft may take it"
        raise KernelError(f"{error}; {remedy}") from error


def _to_old(lines: FirewallLines) -> FirewallLines:
    """Our lines in the words that nft has before 1.0.9."""
    found = dict(lines)
    for place, texts in lines.items():
        if place == TABLE:
            found[place] = tuple(map(_block_to_old, texts))
        elif _is_of_targets(place):
            found[place] = tuple(_mapped(text, lambda word: hex(int(ipaddress.IPv6Address(word)))) for text in texts)
        elif "@" not in place:
            found[place] = tuple(text.replace(TARGET, BYTES) for text in texts)
    return found


def _block_to_old(block: str) -> str:
    head, brace, properties = block.partition(" { ")
    for new, old in OLD_TYPES.items() if head.startswith("set targets") else ():
        properties = properties.replace(f"{new};", f"{old};")
    return head + brace + properties


def _from_old(lines: FirewallLines) -> FirewallLines:
    """The lines as ours are, where nft has no words for them."""
    found = dict(lines)
    for place, texts in lines.items():
        if place == TABLE:
            for new, old in OLD_TYPES.items():
                texts = tuple(text.replace(f"{old};", f"{new};") for text in texts)
            found[place] = texts
        elif _is_of_targets(place):
            found[place] = tuple(
                sorted(_mapped(text, lambda word: str(ipaddress.IPv6Address(int(word, 16)))) for text in texts)
            )
        elif "@" not in place:
            found[place] = tuple(text.replace(BYTES, TARGET) for text in texts)
    return found


def _is_of_targets(place: str) -> bool:
    return place.startswith(f"{TABLE} @targets")


def _mapped(element: str, spelling: Callable[[str], str]) -> str:
    """An element with its address in another spelling; as it is where it has none."""
    rest, space, address = element.rpartition(" ")
    with suppress(ValueError):
        return rest + space + spelling(address)
    return element


def _in_our_words(present: FirewallLines) -> FirewallLines:
    """The lines in ours, where this version of nft has other words for the same rules.

    Which these are is found by having it print our rules, so nothing has to be known of that version.
    """
    ours = _skeleton([text.split(" ")[1] for text in present.get(TABLE, ()) if text.startswith("set ")])
    if not present or nft.has_rules(present, ours):
        return present
    rehearsals = (nft.rehearse(TABLE, nft.replacement(TABLE, spelled)) for spelled in (ours, _to_old(ours)))
    return nft.reworded(present, ours, _from_old(next(filter(None, rehearsals), {})))
