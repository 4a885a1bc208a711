# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role prepare knows what each distribution calls what it installs, and what an interpreter lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/prepare"
WHAT = {"ip", "iptables-restore", "nft", "pip", "netaddr", "pyroute2"}
# As Ansible's facts call them: distribution, and family.
SUPPORTED = {
    ("Debian", "Debian"): "python3-pyroute2",
    ("Ubuntu", "Debian"): "python3-pyroute2",
    ("RedHat", "RedHat"): "python3-pyroute2",
    ("Rocky", "RedHat"): "python3-pyroute2",
    ("AlmaLinux", "RedHat"): "python3-pyroute2",
    ("Fedora", "RedHat"): "python3-pyroute2",
    ("Alpine", "Alpine"): "py3-pyroute2",
    ("Archlinux", "Archlinux"): "python-pyroute2",
}


def read(path: Path) -> dict[str, object]:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize(("distribution", "family"), SUPPORTED)
def test_packages_of_a_distribution(distribution: str, family: str) -> None:
    found = next(path for name in (distribution, family) if (path := ROLE / f"vars/{name}.yml").exists())
    packages = read(found)["prepare_packages"]
    assert set(packages) == WHAT
    assert packages["pyroute2"] == SUPPORTED[distribution, family]


def test_libraries_are_those_that_the_modules_ask_for() -> None:
    asked = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert read(ROLE / "vars/main.yml")["prepare_libraries_needed"] == asked


def look(*arguments: str) -> dict[str, object]:
    script = (ROLE / "files/look.py").read_text()
    return json.loads(subprocess.check_output([sys.executable, "-c", script, *arguments], text=True))


def test_what_an_interpreter_lacks() -> None:
    found = look("pyroute2>=0.7.2", "netaddr>=99", "no-such-library>=1", "sh", "no-such-command")
    assert found["libraries"] == ["netaddr>=99", "no-such-library>=1"]
    assert found["commands"] == ["no-such-command"]
    assert (found["distributions_own"], found["externally_managed"]) == (False, False), "it is a virtual environment's"
