# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command nft: a table read as places and lines, and lines put in the place of what a table holds.

A table is named by family and name (``bridge bridgework``), which is also the place of what it consists of: chains,
sets and maps, each with its properties. ``<table> <chain>`` is the place of a chain's rules, ``<table> @<set>`` that of
the elements of a set or map. Lines are as nft prints them with numbers for names (``-n``).
"""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator
from typing import Callable

from .._errors import HostError, KernelError
from .._hostconfig import FirewallLines
from .tools import find, run

# What nft says of a table that is not there, and kernels without nf_tables of any.
ABSENT = re.compile(r"^(?:\S+ )?Error: .*(?:No such file or directory|not supported)", re.MULTILINE)
# What it says of a script for a table that isn't as it was thought to be.
OUT_OF_STEP = re.compile(r"No such file or directory|File exists|resource busy|does not exist")
BLOCK = re.compile(r"\t([a-z ]+) (\S+) \{.*")
ELEMENTS = re.compile(r"(.*?)\belements = \{(.*)\}(.*)")
ELEMENT = re.compile(r'(?:"[^"]*"|[^,"])+')


def require(option: str, purpose: str) -> None:
    """Raise HostError where the command is missing."""
    if find("nft") is None:
        raise HostError(f"{option}: the command nft is missing, {purpose}; install the package nftables")


@functools.cache
def version() -> tuple[int, ...]:
    """The version of the command, as numbers; nothing where it says none."""
    found = re.search(r"v([0-9]+(?:\.[0-9]+)*)", run(["nft", "--version"]).stdout) if find("nft") else None
    return tuple(map(int, found.group(1).split("."))) if found else ()


def read(table: str) -> FirewallLines:
    """What a table holds; nothing where there is no such table, or nothing that could have made one."""
    if find("nft") is None:
        return {}
    result = run(["nft", "-n", "list", "table", *table.split(" ")])
    if result.returncode == 0:
        return parse(result.stdout)
    if ABSENT.search(result.stderr):
        return {}
    raise KernelError(f"nft failed: {_reason(result)}; see that it works when run by hand")


def show(*words: str) -> str:
    """What the command prints; nothing where it fails, or is missing."""
    return run(["nft", *words]).stdout if find("nft") is not None else ""


def load(script: str) -> None:
    """Carry out a script: all of it, or nothing."""
    _load(["nft", "-f", "-"], script)


def try_out(script: str) -> None:
    """Have the kernel check a script, and carry out nothing."""
    _load(["nft", "-c", "-f", "-"], script)


def _load(command: list[str], script: str) -> None:
    result = run(command, script)
    if result.returncode != 0:
        raise KernelError(f"nft refused the rule set: {_reason(result)}{_refused(result, script)}")


def swap(
    table: str,
    wanted: FirewallLines,
    present: FirewallLines,
    kept: Callable[[FirewallLines], FirewallLines] | None = None,
    is_rehearsal: bool = False,
) -> None:
    """Turn what a table holds into what is wanted, in one transaction that touches only what differs.

    Where that can't be, since the table isn't as it was thought to be, all of it is replaced but for what is ``kept``.
    A rehearsal changes nothing, and raises what the change would.
    """
    carry_out = try_out if is_rehearsal else load
    if _attributes(table, wanted) == _attributes(table, present):
        try:
            carry_out(change(table, wanted, present))
            return
        except KernelError as error:
            if not OUT_OF_STEP.search(str(error)):
                raise
    remaining = kept(read(table)) if kept is not None else {}
    blocks = {_place(table, block): block for lines in (wanted, remaining) for block in lines.get(table, ())}
    carry_out(replacement(table, {**wanted, **remaining, table: tuple(blocks.values())}))


def change(table: str, wanted: FirewallLines, present: FirewallLines) -> str:
    """A script that turns the present lines into the wanted ones: elements by themselves, rules by whole chains."""
    if not wanted:
        return replacement(table, {})
    before, after = ({block for block in lines.get(table, ()) if block.endswith("}")} for lines in (present, wanted))
    gone, made = sorted(before - after, key=_is_chain), sorted(after - before)
    lost = {_place("", block).lstrip() for block in gone}  # as others refer to it
    touched = [
        block
        for block in sorted(before & after)
        for old in [present.get(_place(table, block), ())]
        if old != wanted.get(_place(table, block), ()) or _mention(old, lost)
    ]
    refilled = [block for block in touched if _is_chain(block)]
    new = {_place(table, block): wanted.get(_place(table, block), ()) for block in (*made, *refilled)}
    sets = [_place(table, block) for block in touched if not _is_chain(block)]
    # Nothing goes that is still referred to: first rules, then elements and maps, then the chains that these lead to.
    script = [
        f"add table {table}",
        *(f"flush chain {_place(table, block)}" for block in (*gone, *refilled) if _is_chain(block)),
        *(line for place in sets for line in _elements("delete", place, present, wanted, lost)),
        *(f"delete {kind} {table} {name}" for kind, _between, name in (_head(block).rpartition(" ") for block in gone)),
        *([f"table {table} {{", *_blocks(table, {**new, table: (*made, *refilled)}), "}"] if new else []),
        *(line for place in sets for line in _elements("add", place, wanted, present, lost)),
    ]
    return "".join(f"{line}\n" for line in script)


def _elements(
    verb: str, place: str, these: FirewallLines, those: FirewallLines, lost: Collection[str]
) -> Iterator[str]:
    """A command about the elements of a set that these lines have and those don't, or that lead to what is lost."""
    held = these.get(place, ())
    found = {*set(held).difference(those.get(place, ())), *_mention(held, lost)}
    if found:
        yield f"{verb} element {place.replace('@', '')} {{ {', '.join(sorted(found))} }}"


def _place(table: str, block: str) -> str:
    """The place of what is in a block: rules or elements."""
    kind, _between, name = _head(block).rpartition(" ")
    return f"{table} {'' if kind == 'chain' else '@'}{name}"


def _head(block: str) -> str:
    return block.partition(" {")[0]


def _is_chain(block: str) -> bool:
    return block.startswith("chain ")


def _mention(texts: Iterable[str], names: Collection[str]) -> list[str]:
    """Those of these lines that refer to one of the names."""
    return [text for text in texts if not {*text.split(" ")}.isdisjoint(names)] if names else []


def _attributes(table: str, lines: FirewallLines) -> list[str]:
    """What is said about the table itself."""
    return [line for line in lines.get(table, ()) if not line.endswith("}")]


def rehearse(table: str, script: str) -> FirewallLines:
    """What a table would hold after a script, in the words of this nft; nothing where it refuses that.

    It is carried out in a network namespace of its own, which goes at once.
    """
    result = run(["unshare", "--net", "sh", "-c", f"nft -f - && exec nft -n list table {table}"], script)
    return parse(result.stdout) if result.returncode == 0 else {}


def rules_of(lines: FirewallLines) -> FirewallLines:
    """Lines without the elements of sets."""
    return {place: texts for place, texts in lines.items() if "@" not in place}


def has_rules(present: FirewallLines, lines: FirewallLines) -> bool:
    return all(present.get(place) == texts for place, texts in rules_of(lines).items())


def reworded(present: FirewallLines, ours: FirewallLines, theirs: FirewallLines) -> FirewallLines:
    """The present lines in our words, where this version of nft has others: those that it printed ours in."""
    words = {
        (place, their): our
        for place, texts in ours.items()
        if len(texts) == len(theirs.get(place, ()))
        for our, their in zip(texts, theirs[place])
    }
    return {place: tuple(words.get((place, text), text) for text in texts) for place, texts in present.items()}


def replacement(table: str, lines: FirewallLines) -> str:
    """A script that puts these lines in the place of all that the table holds; without lines the table goes."""
    script = [f"add table {table}", f"delete table {table}"]  # one that is not there can't be deleted
    if lines:
        script += [f"table {table} {{", *_blocks(table, lines), "}"]
    return "".join(f"{line}\n" for line in script)


def _blocks(table: str, lines: FirewallLines) -> Iterator[str]:
    for block in lines.get(table, ()):
        if not block.endswith("}"):
            yield block  # about the table itself
            continue
        kind, name, _properties = block.split(" ", 2)
        yield block[:-1]
        if kind == "chain":
            yield from lines.get(f"{table} {name}", ())
        elif lines.get(f"{table} @{name}"):
            yield from ("elements = {", *(f"{element}," for element in lines[f"{table} @{name}"]), "}")
        yield "}"


def parse(listing: str) -> FirewallLines:
    """The table in the output of ``nft -n list table``; blocks and elements sorted, rules in their order."""
    found: dict[str, list[str]] = {}
    lines = iter(listing.split("\n"))
    table = next(lines).partition(" {")[0].partition(" ")[2]
    blocks: list[str] = []
    for line in lines:
        head = BLOCK.fullmatch(line)
        if head is None:
            blocks += [line.strip()] if line.strip(" \t}") else []
            continue
        kind, name = head.groups()
        # What is deeper inside, such as a chain without a name that a rule leads to, ends further in.
        body = [each.strip() for each in iter(functools.partial(next, lines), "\t}")]
        if kind == "chain":
            properties, found[f"{table} {name}"] = _chain(body)
        else:
            properties, elements = _set(body)
            found[f"{table} @{name}"] = sorted(elements)
        blocks.append(" ".join([kind, name, "{", *(f"{each};" for each in properties), "}"]))
    return {table: tuple(sorted(blocks)), **{place: tuple(held) for place, held in found.items() if held}}


def _chain(body: Iterable[str]) -> tuple[list[str], list[str]]:
    """What a chain is, and its rules."""
    properties: list[str] = []
    rules: list[str] = []
    for line in body:
        if not rules and line.startswith(("type ", "comment ")):
            properties += [each.strip() for each in line.split(";") if each]
        elif rules and rules[-1].count("{") > rules[-1].count("}"):
            rules[-1] += f" {line}"
        else:
            rules.append(line)
    return properties, rules


def _set(body: Iterable[str]) -> tuple[list[str], list[str]]:
    """What a set or map is, and its elements."""
    parts = ELEMENTS.fullmatch("\t".join(body))
    if parts is None:
        return [*body], []
    before, elements, after = parts.groups()
    properties = [each for each in f"{before}\t{after}".split("\t") if each]
    return properties, [each.strip() for each in ELEMENT.findall(elements.replace("\t", " ")) if each.strip()]


def _reason(result: subprocess.CompletedProcess[str]) -> str:
    """The first complaint, without the picture of its place in the script."""
    said = result.stderr.splitlines()
    complaints = [line for line in said if "Error:" in line] or said
    return " ".join(complaints[0].split()) if complaints else f"exit code {result.returncode}"


def _refused(result: subprocess.CompletedProcess[str], script: str) -> str:
    """The line of the script that is complained about, as far as that is told."""
    found = re.search(r"^\S+:([0-9]+):[0-9-]+: Error:", result.stderr, re.MULTILINE)
    lines = script.split("\n")[int(found.group(1)) - 1 :] if found else []
    return f" ({lines[0][:200]})" if lines and lines[0] else ""
