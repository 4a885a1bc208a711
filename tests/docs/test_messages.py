# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages in the guide on troubleshooting are those that modules give, word for word, and each is given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from docs.calls import said
from kernel.support import Driver, Managed

from docs import guides
from lab import Lab

FILE = yaml.safe_load(Path(__file__).with_name("messages.yml").read_text())
GUIDE = (guides.GUIDES / "troubleshooting.rst").read_text()
MESSAGES = re.findall(r"^    \* - ``(.+)``$", GUIDE, re.MULTILINE)


@pytest.fixture(scope="module")
def managed() -> Iterator[Managed]:
    driver = Driver()
    with Lab(["host"]) as lab:
        managed = Managed(lab.host, driver, "nftables")
        for call in FILE["set_up"]:
            assert not managed.once(call["module"], call["arguments"]).get("failed")
        yield managed
    driver.close()


def test_every_call_gives_a_message_of_the_guide_and_every_message_is_given(managed: Managed) -> None:
    rows = {index: said(managed, call) for index, call in enumerate(FILE["calls"])}
    found = {index: [row for row in MESSAGES for each in rows[index] if guides.matches(row, each)] for index in rows}
    strange = [f"{FILE['calls'][index]}: {rows[index]}" for index in rows if len(found[index]) != 1]
    assert not strange, "these are not one row of the guide each:\n" + "\n".join(strange)
    given = {row for each in found.values() for row in each}
    assert [row for row in MESSAGES if row not in given] == [], "no call gives these"


@pytest.mark.parametrize("row", MESSAGES)
def test_a_row_says_enough_to_be_told_from_another_message(row: str) -> None:
    assert len(row.replace("…", "").strip()) > 25
