# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guides that show units of systemd and the installation of packages, from their beginning to their end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from docs.control_node import ControlNode
from docs.reader import Reader
from runtimes.runtimes import MAKE_TREE, RUNTIMES
from vm.conftest import Clock, Machine

from docs import guides

PATIENCE = 120
TIDY = Path(__file__).with_name("tidy.yml")
# What a guide takes to be there already.
ASSUMED = {
    "runtimes": f"""
apt-get --quiet --yes install crun netavark podman systemd-container
{MAKE_TREE}
{RUNTIMES["podman"].prepare}
"""
}


@pytest.mark.parametrize("name", guides.ON_MACHINES)
def test_guide_can_be_followed_on_a_machine(
    name: str, web1: Machine, client: Machine, control_node: ControlNode, clock: Clock, tmp_path: Path
) -> None:
    steps = [block for block in guides.blocks(name) if guides.runs_on_machines(name, block)]
    node = control_node.at(tmp_path)
    node.write("inventory.ini", "[servers]\nweb1\n")
    reader = Reader(node, {"web1": web1, "client": client})
    reader.patience = PATIENCE
    code, said = web1.run(f"set -e; export DEBIAN_FRONTEND=noninteractive; {ASSUMED.get(name, '')}")
    assert code == 0, said
    begun = time.monotonic()
    try:
        reader.follow_all(name, steps)
    finally:
        node.run(f"ansible-playbook -i web1, {TIDY}")
    clock(f"{name}.rst, {len(steps)} blocks", begun)
