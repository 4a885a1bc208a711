# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of each module says what the module takes; Ansible can show it, and its examples are valid."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "bridgework.network"
# ansible-test runs a copy, which is elsewhere.
COLLECTIONS = os.environ.get("ANSIBLE_COLLECTIONS_PATH") or str(ROOT / ".cache/collections")
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
# What documentation and specification both say of an option, and what leaving it out means.
DEFAULTS = {"type": "str", "elements": None, "required": False, "default": None, "choices": None}
CHECKS = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")
TYPES = {"bool": bool, "dict": dict, "int": int, "list": list, "str": str}


class Captured(Exception):
    """Ends a module at the moment when it has said what it takes."""


def looks_only(name: str) -> bool:
    """Whether a module changes nothing."""
    return name.endswith("_info")


@cache
def loaded(name: str) -> ModuleType:
    return importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.modules.{name}")


@pytest.fixture
def specification(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """What a module gives to AnsibleModule."""

    def of(name: str) -> dict[str, Any]:
        def capture(**given: Any) -> None:
            raise Captured(given)

        monkeypatch.setattr(loaded(name), "AnsibleModule", capture)
        with pytest.raises(Captured) as caught:
            loaded(name).main()
        return caught.value.args[0]

    return of


@cache
def documentation() -> dict[str, dict[str, Any]]:
    """All modules as ansible-doc has them, with what they share filled in."""
    shown = json.loads(ansible_doc("--json"))
    return {name.removeprefix(f"{COLLECTION}."): found for name, found in shown.items()}


def ansible_doc(*options: str) -> str:
    words = ["-m", "ansible.cli.doc", "--type", "module", *options, *(f"{COLLECTION}.{name}" for name in MODULES)]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS,
        "ANSIBLE_NOCOLOR": "true",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def described(options: Mapping[str, Any], suboptions: str, place: str = "") -> dict[str, dict[str, Any]]:
    """Options and those inside of them, by path, each as both sides can put it."""
    found = {}
    for name, option in options.items():
        entry = {key: option.get(key, default) for key, default in DEFAULTS.items()}
        entry["choices"] = sorted(option["choices"]) if option.get("choices") else None
        entry["aliases"] = sorted(option.get("aliases") or [])
        found[place + name] = entry
        found.update(described(option.get(suboptions) or {}, suboptions, f"{place}{name}."))
    return found


@pytest.mark.parametrize("name", MODULES)
def test_options_are_those_of_the_argument_specification(name: str, specification: Callable) -> None:
    documented = described(documentation()[name]["doc"]["options"], "suboptions")
    assert documented == described(specification(name)["argument_spec"], "options")


@pytest.mark.parametrize("name", MODULES)
def test_check_mode_is_supported_as_documented(name: str, specification: Callable) -> None:
    attributes = documentation()[name]["doc"]["attributes"]
    support = {mode: attributes[mode]["support"] for mode in ("check_mode", "diff_mode", "idempotent")}
    assert support == {"check_mode": "full", "diff_mode": "N/A" if looks_only(name) else "full", "idempotent": "full"}
    assert specification(name)["supports_check_mode"] is True


def test_ansible_doc_shows_every_module_and_option() -> None:
    pages = {}
    for page in ansible_doc().split("> MODULE ")[1:]:
        name, _between, text = page.partition(" ")
        pages[name.removeprefix(f"{COLLECTION}.")] = text
    assert sorted(pages) == MODULES
    for name, text in pages.items():
        for option in documentation()[name]["doc"]["options"]:
            assert f" {option}" in text


def test_action_group_has_every_module_that_takes_its_defaults() -> None:
    """The others would refuse them."""
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    assert sorted(runtime["action_groups"]["network"]) == [name for name in MODULES if not looks_only(name)]


# Examples.


def tasks(name: str) -> list[dict[str, Any]]:
    return yaml.safe_load(documentation()[name]["examples"])


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_tasks_with_names_of_their_own(name: str) -> None:
    names = [task["name"] for task in tasks(name)]
    assert names and len({*names}) == len(names)
    assert all(task_name[0].isupper() and not task_name.endswith(".") for task_name in names)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_valid_arguments_of_their_module(name: str, specification: Callable) -> None:
    given = specification(name)
    checks = {check: given[check] for check in CHECKS if check in given}
    for task in tasks(name):
        arguments = task[f"{COLLECTION}.{name}"] or {}
        result = ArgumentSpecValidator(given["argument_spec"], **checks).validate(arguments)
        assert not result.error_messages, task["name"]


# Results.


def returned(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in values.items():
        yield place + key, value
        yield from returned(value.get("contains") or {}, f"{place}{key}.")


@pytest.mark.parametrize("name", MODULES)
def test_results_have_a_type_a_description_and_a_sample(name: str) -> None:
    found = dict(returned(documentation()[name]["return"]))
    assert ("actions" in found) != looks_only(name)
    for place, value in found.items():
        assert value["type"] in TYPES, place
        assert value["description"], place
        assert ("elements" in value) == (value["type"] == "list"), place
        assert "sample" in value or "contains" in value, place
        assert isinstance(value.get("sample", TYPES[value["type"]]()), TYPES[value["type"]]), place


# What every page says.


@pytest.mark.parametrize("name", MODULES)
def test_page_says_since_when_and_what_is_needed(name: str) -> None:
    page = documentation()[name]["doc"]
    assert page["version_added_collection"] == COLLECTION
    needed = {"pyroute2 >= 0.7.2", "netaddr >= 0.8"} | (set() if looks_only(name) else {"iptables"})
    assert needed <= {*page["requirements"]}


@pytest.mark.parametrize("name", MODULES)
def test_descriptions_are_sentences(name: str) -> None:
    for path, option in documented_options(documentation()[name]["doc"]["options"]):
        lines = option["description"]
        for line in [lines] if isinstance(lines, str) else lines:
            assert line[0].isupper() and line.endswith("."), path


def documented_options(options: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield place + name, option
        yield from documented_options(option.get("suboptions") or {}, f"{place}{name}.")
