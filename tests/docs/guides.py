# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code blocks of a guide as steps, in their order.

A block with a caption is a file: of the control node, or, with an absolute path, of the host web1. One of YAML without
a caption is a playbook, or tasks. One of `console` is a session: what follows a prompt is a command, what follows
that is what it prints, `…` being anything. A comment `.. needs: WHAT` before a block says what a throwaway host lacks
for it: it isn't run. A comment `.. fails: WHY` says that its commands fail; all others must not.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GUIDES = Path(__file__).resolve().parents[2] / "docs/docsite/rst"
BLOCK = re.compile(
    r"(?:^\.\. needs: (?P<needs>.+)\n\n)?(?:^\.\. fails: (?P<fails>.+)\n\n)?"
    r"^\.\. code-block:: (?P<language>\S+)\n(?P<options>(?: +:.*\n)*)\n(?P<text>(?:(?: .*)?\n)+)",
    re.MULTILINE,
)
PROMPT = re.compile(r"(\$|client\$|web1#|web2#) (.*)")
SHOWN_ONLY = {"text"}
# The guides that `make machines` follows, in this order (the first one prepares a host), and what it has for them.
ON_MACHINES = ("getting_started", "systemd_service", "roles", "runtimes")
MACHINES_HAVE = {"", "a host that packages may be installed on", "podman", "systemd", "systemd-nspawn"}
# What nothing has, and what is tried instead.
NOWHERE = {"a server of collections": "`make machines` installs the archive instead, as the README does"}


@dataclass(frozen=True)
class Block:
    """One code block; `needs` is empty where every throwaway host will do, `fails` where its commands work."""

    language: str
    text: str
    line: int
    caption: str = ""
    needs: str = ""
    fails: str = ""


@dataclass(frozen=True)
class Command:
    """One command of a session: where it is typed, and what it prints; None where the guide doesn't show that."""

    prompt: str
    words: str
    output: str | None


def names() -> list[str]:
    return sorted(path.stem for path in GUIDES.glob("*.rst"))


def runs_on_machines(name: str, block: Block) -> bool:
    return name in ON_MACHINES and block.needs in MACHINES_HAVE


def blocks(name: str) -> Iterator[Block]:
    return parse((GUIDES / f"{name}.rst").read_text())


def parse(text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        caption = re.search(r":caption: (.+)", found["options"])
        yield Block(
            language=found["language"],
            text=textwrap.dedent(found["text"]).strip("\n") + "\n",
            line=text.count("\n", 0, found.start()) + 1,
            caption=caption[1].strip() if caption else "",
            needs=found["needs"] or "",
            fails=found["fails"] or "",
        )


def session(block: Block) -> Iterator[Command]:
    prompt, words, output = "", "", []
    for line in [*block.text.splitlines(), "$ "]:
        found = PROMPT.fullmatch(line)
        if words.endswith("\\"):
            words = words[:-1].rstrip() + " " + line.strip()
        elif found:
            if words:
                yield Command(prompt, words, "\n".join(output).strip() if output else None)
            prompt, words, output = found[1], found[2], []
        else:
            output.append(line)


def matches(wanted: str, said: str) -> bool:
    """Whether that is what the guide shows; `…` is anything, on a line of its own any lines."""
    pattern = ""
    for line in wanted.splitlines():
        pattern += (
            r"(?:.*\n)*?" if line.strip() == "…" else ".*?".join(map(re.escape, line.rstrip().split("…"))) + r" *\n"
        )
    return re.fullmatch(pattern, said.rstrip() + "\n") is not None
