# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of every module, plugin and role is used in an example: in EXAMPLES, in a README or in a guide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "bridgework.network"
FRAGMENTS = ROOT / "plugins/doc_fragments"
# Kept for playbooks of others, and without a meaning: an example would teach what nobody should write.
MEANINGLESS = {f"{COLLECTION}.common.docker_connection"}
PLUGINS = sorted(
    path for kind in ("become", "callback", "connection", "filter") for path in ROOT.glob(f"plugins/{kind}/*.py")
)
ROLES = sorted(path.parent.parent.name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))


def constant(path: Path, name: str) -> str:
    found = re.search(rf'^ *{name} = r?"""(.*?)"""', path.read_text(), re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def modules() -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))


def options_of_module(name: str) -> dict[str, Any]:
    page = yaml.safe_load(constant(ROOT / f"plugins/modules/{name}.py", "DOCUMENTATION"))
    options = dict(page.get("options") or {})
    for fragment in page.get("extends_documentation_fragment", []):
        if fragment in MEANINGLESS:
            continue
        file, *part = fragment.split(".")[2:]
        text = constant(FRAGMENTS / f"{file}.py", (part or ["documentation"])[0].upper())
        options.update((yaml.safe_load(text) or {}).get("options") or {})
    return options


def options_of_role(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / f"roles/{name}/meta/argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]


def paths(options: Mapping[str, Any], inner: str, place: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each option by its path, with its other names."""
    for name, option in options.items():
        yield place + name, [name, *(option.get("aliases") or [])]
        yield from paths(option.get(inner) or {}, inner, f"{place}{name}.")


@cache
def blocks() -> tuple[Any, ...]:
    """All YAML of guides, READMEs and pages."""
    texts = []
    for page in [*ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md"), ROOT / "README.md"]:
        texts += re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    for page in ROOT.glob("docs/docsite/rst/*.rst"):
        found = re.findall(r"code-block:: yaml\n(?:    :.*\n)*\n((?:(?: .*)?\n)+)", page.read_text())
        texts += [re.sub(r"^    ", "", text, flags=re.MULTILINE) for text in found]
    texts += [constant(ROOT / f"plugins/modules/{name}.py", "EXAMPLES") for name in modules()]
    return tuple(yaml.safe_load(text) for text in texts)


def walk(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def used(value: Any, place: str = "") -> Iterator[str]:
    """The paths of what is given."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield f"{place}{key}"
            yield from used(each, f"{place}{key}.")
    elif isinstance(value, list):
        for each in value:
            yield from used(each, place)


def unused(options: Mapping[str, Any], inner: str, given: set[str], same: Mapping[str, str]) -> list[str]:
    """Options that no example has. `same`: a list of items and what stands for one of them at the top level."""
    missing = []
    for path, names in paths(options, inner):
        parent = path.rpartition(".")[0]
        places = [parent, *(re.sub(rf"^{outer}(\.|$)", other, parent) for outer, other in same.items())]
        if not any(f"{place}.{name}".strip(".") in given for place in places for name in names):
            missing.append(path)
    return missing


@pytest.mark.parametrize("name", modules())
def test_every_option_of_a_module_is_in_an_example(name: str) -> None:
    module = f"{COLLECTION}.{name}"
    given = {path for block in blocks() for each in walk(block) if module in each for path in used(each[module])}
    # An item of a list has what the module has by itself.
    given |= {path.partition(".")[2] for path in given if path.startswith(("networks.", "mappings."))}
    assert unused(options_of_module(name), "suboptions", given, {"networks": "", "mappings": ""}) == []


@pytest.mark.parametrize("name", ROLES)
def test_every_option_of_a_role_is_in_an_example(name: str) -> None:
    variables = {
        path for block in blocks() for each in walk(block) for path in used(each) if path.startswith(f"{name}_")
    }
    # What a role hands to a module, a module's example shows.
    handed = {"networks": "container_network", "mappings": "port_mapping", "containers": "netns_bridge"}
    missing = unused(options_of_role(name), "options", variables, {})
    shown = {
        f"{name}_{variable}.{path}"
        for variable, module in handed.items()
        for path, _names in paths(options_of_module(module), "suboptions")
        for path in (path, path.partition(".")[2])
    }
    assert [path for path in missing if path not in shown] == []


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_every_option_of_a_plugin_is_in_an_example(path: Path) -> None:
    """By any of the names that it is set by: a variable, a keyword, a line of ansible.cfg, the environment."""
    examples = constant(path, "EXAMPLES")
    options = yaml.safe_load(constant(path, "DOCUMENTATION"))["options"]
    if path.parent.name == "filter":
        assert f"| {COLLECTION}.{path.stem}" in examples
        options.pop("_input")
        assert [name for name in options if f"{name}=" not in examples] == []
        return
    missing = [name for name, option in options.items() if not any(_is_set(each, examples) for each in _ways(option))]
    assert missing == []


def _ways(option: Mapping[str, Any]) -> Iterator[str]:
    for where, key in (("vars", "name"), ("keyword", "name"), ("env", "name"), ("ini", "key")):
        yield from (each[key] for each in option.get(where, ()))


def _is_set(name: str, text: str) -> bool:
    return re.search(rf"^[ #-]*{name}( =|:|=)", text, re.MULTILINE) is not None
