# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may know what: the walls between the engine's rooms, read from its source."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "plugins" / "module_utils"
GLUE = ENGINE / "_ansible.py"
MODULES = sorted((ROOT / "plugins" / "modules").glob("*.py"))
PURE = ("_intent", "_render", "_plan.py", "_ipam.py", "_model.py", "_portspec.py", "_validate.py", "_options.py")
PURE += ("_listing.py", "_labels.py", "_indexed.py", "_state.py", "_conflicts.py", "_hostconfig.py", "_report.py")
PURE += ("_drivers", "_inspect.py", "_ledger.py", "_facts.py", "_errors.py", "_flows.py")
PURE += ("_drawing", "_topology.py", "_sources.py", "_hostports.py", "_reserved.py")
HEAVY = {"pyroute2", "netaddr"}  # importing them costs more than the work
IMPURE = {"os", "io", "pathlib", "shutil", "subprocess", "socket", "sqlite3", "random", "secrets", "time", "datetime"}


def sources(*under: str) -> list[Path]:
    """The engine's files, or those of some of its parts."""
    files = [ENGINE / part for part in under] or [ENGINE]
    found = [path for each in files for path in ([each] if each.is_file() else sorted(each.rglob("*.py")))]
    assert found and all(path.exists() for path in found)
    return found


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """The packages that are imported below the nodes, by the first part of their names."""
    found = set()
    for node in itertools.chain.from_iterable(map(ast.walk, nodes)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


def rooms(path: Path) -> set[str]:
    """The engine's own parts that a file imports."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= {node.module.partition(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


def run_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """The statements that importing a module runs."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from (each for each in node.body if not isinstance(each, ast.FunctionDef))
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from node.orelse
        elif not isinstance(node, ast.FunctionDef):
            yield node


@pytest.mark.parametrize("path", [path for path in sources() if path != GLUE], ids=named)
def test_engine_knows_nothing_of_ansible(path: Path) -> None:
    assert not imported([parsed(path)]) & {"ansible", "ansible_collections"}


@pytest.mark.parametrize("path", sources(), ids=named)
def test_no_file_asks_what_python_3_9_does_not_tell_in_an_archive(path: Path) -> None:
    """Ansible sends modules in an archive. What Python 3.9 loads from one learns these only when it is loaded."""
    names = {node.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Name)}
    assert not names & {"__package__", "__spec__", "__cached__"}


@pytest.mark.parametrize("path", [*sources(), *MODULES], ids=named)
def test_heavy_libraries_are_imported_only_when_they_are_needed(path: Path) -> None:
    assert not imported(run_at_import(parsed(path))) & HEAVY


@pytest.mark.parametrize("path", sources(*PURE), ids=named)
def test_pure_middle_touches_no_host_and_is_the_same_every_time(path: Path) -> None:
    tree = parsed(path)
    assert not imported([tree]) & IMPURE
    assert not any(isinstance(node, ast.Name) and node.id == "open" for node in ast.walk(tree))


@pytest.mark.parametrize("path", sources(*PURE), ids=named)
def test_pure_middle_knows_nothing_that_touches_the_host(path: Path) -> None:
    assert not rooms(path) & {"_kernel", "_store", "_converge", "_lock", "_ansible"}


@pytest.mark.parametrize("path", sources("_intent", "_model.py", "_ipam.py", "_plan.py"), ids=named)
def test_what_is_declared_knows_no_backend(path: Path) -> None:
    assert "_firewall" not in rooms(path)


IPTABLES_WORDS = re.compile(
    r"iptables|xtables|\b(?:MASQUERADE|DNAT|SNAT|PREROUTING|POSTROUTING|FORWARD|addrtype|conntrack|ctstate|dport)\b"
)


def strings_and_names(path: Path) -> Iterator[str]:
    """What code says: names and texts, without comments and documentation."""
    tree = parsed(path)
    documentation = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            documentation.add(id(node.body[0].value))  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


@pytest.mark.parametrize(
    "path",
    [path for path in sources() if not path.match("_firewall/iptables*.py") and path != GLUE],
    ids=named,
)
def test_iptables_words_stand_in_its_backend_only(path: Path) -> None:
    # The kernel's own setting of that name is no word of the backend's.
    texts = [text.replace("bridge-nf-call-iptables", "") for text in strings_and_names(path)]
    said = {word for text in texts for word in IPTABLES_WORDS.findall(text)}
    if path == ENGINE / "_firewall" / "__init__.py":
        said -= {"iptables", "Iptables"}  # where the backend is chosen by its name
    if path == ENGINE / "_firewall" / "nftables.py":
        said -= {"dport"}  # a word of nft's too
    if path.parent == ENGINE / "_firewall" and path.name in ("barriers.py", "neighbours.py"):
        said -= {"iptables", "FORWARD", "PREROUTING"}  # others use it
    if path == ENGINE / "_firewall" / "foreign_nft.py":
        said -= {"DNAT", "dport"}  # words of nft's too
    assert not said


@pytest.mark.parametrize("path", [path for path in sources() if "_kernel" not in path.parts], ids=named)
def test_address_families_are_the_kernels_business(path: Path) -> None:
    assert "AF_INET" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_is_its_documentation_its_arguments_and_one_call(path: Path) -> None:
    calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    entry = "show" if path.stem.endswith("_info") else "run"
    assert [getattr(call.func, "id", "") for call in calls].count(entry) == 1
    assert not imported([parsed(path)]) & IMPURE


def test_all_that_makes_lines_of_the_firewall_tells_its_versions_apart() -> None:
    """A host that remembers lines of other code reads its own again."""
    makers = importlib.import_module("ansible_collections.bridgework.network.plugins.module_utils._firewall").MAKERS
    listed = {f"{package.rpartition('.')[2]}/{name}" for package, names in makers.items() for name in names}
    no_makers = {"memory.py", "tools.py", "iptables_kinds.py", "neighbours.py", "barriers.py", "detours.py"}
    no_makers |= {"foreign_rules.py", "foreign_nft.py", "iptables_foreign.py"}
    files = {f"_firewall/{path.name}" for path in sources("_firewall") if path.name not in no_makers}
    assert listed == {*files, "_render/firewall.py"}
