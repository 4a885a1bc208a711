# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each module and plugin that acts on a host has an integration target, with the name that ansible-test expects."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "tests/integration/targets"
PLUGINS = ROOT / "plugins"
TARGETS = sorted(path.parent.name for path in ROLES.glob("*/aliases"))
SETUPS = sorted({path.name for path in ROLES.iterdir()} - {*TARGETS})
# Filters make values of values: unit tests show all of them.
KINDS = ("become", "callback", "connection")


def test_each_module_and_plugin_has_a_target_and_each_target_a_module_or_plugin() -> None:
    modules = {path.stem for path in (PLUGINS / "modules").glob("[!_]*.py")}
    plugins = {f"{kind}_{path.stem}" for kind in KINDS for path in (PLUGINS / kind).glob("[!_]*.py")}
    assert sorted(modules | plugins) == TARGETS


def test_no_kind_of_plugin_is_forgotten() -> None:
    others = {"doc_fragments", "filter", "module_utils", "modules", "plugin_utils"}
    assert {path.name for path in PLUGINS.iterdir() if any(path.glob("*.py"))} == {*KINDS, *others}


@pytest.mark.parametrize("target", TARGETS)
def test_target_runs_only_where_it_may(target: str) -> None:
    lines = (ROLES / target / "aliases").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} == {"destructive", "gather_facts/no", "needs/root"}
    reached = [target]
    for role in reached:
        meta = ROLES / role / "meta/main.yml"
        reached += yaml.safe_load(meta.read_text())["dependencies"] if meta.exists() else []
    assert "setup_host" in reached, "it refuses a machine that lives on"


def test_roles_without_a_target_are_hidden_from_ansible_test() -> None:
    assert SETUPS
    assert [name for name in SETUPS if not name.startswith("setup_")] == []
