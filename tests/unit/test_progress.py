# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long run notes of itself, and what the callback plugin shows of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.inventory.group import Group
from ansible.inventory.host import Host

from ansible_collections.bridgework.network.plugins.callback import progress as callback
from ansible_collections.bridgework.network.plugins.module_utils import _progress
from ansible_collections.bridgework.network.plugins.module_utils._progress import Progress

MODULE = "bridgework.network.container_network"


# The run's side


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "SILENT", 0.0)
    monkeypatch.setattr(_progress, "PAUSE", 0.0)


@pytest.mark.usefixtures("at_once")
def test_run_notes_how_far_it_is_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    seen = []
    with Progress(str(path)) as run:
        for _thing in run.through("links", ["a", "b", "c"]):
            seen.append(json.loads(path.read_text()))
        run.at("firewall")
        seen.append(json.loads(path.read_text()))
    assert [(each["phase"], each["done"], each["of"]) for each in seen] == [
        *(("links", 0, 3), ("links", 1, 3), ("links", 2, 3)),
        ("firewall", 0, 0),
    ]
    assert {each["pid"] for each in seen} == {os.getpid()}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("at_once")
def test_run_that_fails_leaves_nothing_behind_either(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it failed"), Progress(str(tmp_path / "progress")) as run:
        run.at("links", 1, 2)
        assert list(tmp_path.iterdir())
        raise ValueError("it failed")
    assert list(tmp_path.iterdir()) == []


def test_next_run_takes_away_what_a_killed_one_left(tmp_path: Path) -> None:
    for name in ("progress", "progress.new"):
        (tmp_path / name).write_text("{")
    with Progress(str(tmp_path / "progress")):
        assert list(tmp_path.iterdir()) == []


def test_short_run_notes_nothing(tmp_path: Path) -> None:
    with Progress(str(tmp_path / "progress")) as run:
        for _thing in run.through("links", range(10_000)):
            pass
        assert list(tmp_path.iterdir()) == []


def test_long_run_notes_a_few_times_a_second_and_each_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "SILENT", 0.0)
    path = tmp_path / "progress"
    with Progress(str(path)) as run:
        noted = set()
        for number in run.through("links", range(100)):
            noted.add(json.loads(path.read_text())["done"])
            assert number >= max(noted)
        assert noted == {0}
        run.at("settings")
        assert json.loads(path.read_text())["phase"] == "settings"


@pytest.mark.usefixtures("at_once")
def test_run_that_can_not_note_goes_on(tmp_path: Path) -> None:
    with Progress(str(tmp_path / "missing" / "progress")) as run:
        assert list(run.through("links", ["a", "b"])) == ["a", "b"]


def test_unchanged_runs_do_not_import_it() -> None:
    program = (
        "import sys; from ansible_collections.bridgework.network.plugins.module_utils import _ansible, _listing;"
        "sys.exit(any(name.endswith('._progress') for name in sys.modules))"
    )
    collections = Path(callback.__file__).parents[5]
    environment = {**os.environ, "PYTHONPATH": f"{collections}:{os.environ.get('PYTHONPATH', '')}"}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0


# The callback's side


class Said(list):
    """A display that keeps what it is told, and takes nothing that would stand among results."""

    def display(self, text: str, stderr: bool = False) -> None:
        assert stderr
        self.append(text)


def task(action: str = MODULE, connection: str = "ssh", **arguments: Any) -> Any:
    return SimpleNamespace(
        _uuid="1",
        action=action,
        resolved_action=action,
        args=arguments,
        connection=connection,
        delegate_to=None,
        vars={},
        get_name=lambda: "Have it",
    )


HOST = Host("shop-1")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[callback.CallbackModule]:
    monkeypatch.setattr(callback, "PATH", str(tmp_path / "progress"))
    plugin = callback.CallbackModule()
    plugin._display = Said()
    plugin.get_option = {"interval": 0.2}.get
    yield plugin
    plugin.v2_playbook_on_stats(None)


def wait_for(plugin: callback.CallbackModule, lines: int) -> list[str]:
    end = time.monotonic() + 10
    while len(plugin._display) < lines and time.monotonic() < end:
        time.sleep(0.02)
    return list(plugin._display)


def test_slow_task_is_shown_until_it_ends(shown: callback.CallbackModule) -> None:
    slow = task(containers=["a", "b", "c"])
    shown.v2_runner_on_start(HOST, slow)
    assert wait_for(shown, 2)[0] == "shop-1: Have it: 0 s, 3 containers"
    shown.v2_runner_on_ok(SimpleNamespace(_host=HOST, _task=slow))
    time.sleep(0.1)
    said = len(shown._display)
    time.sleep(0.5)
    assert len(shown._display) == said


def test_task_of_another_playbook_is_shown_too(shown: callback.CallbackModule) -> None:
    """As of `ansible-playbook one.yml other.yml`, each of which has its summary."""
    shown.v2_runner_on_start(HOST, task(containers=["a", "b", "c"]))
    wait_for(shown, 1)
    shown.v2_playbook_on_stats(None)
    said = len(shown._display)
    time.sleep(0.5)
    assert len(shown._display) == said
    shown.v2_runner_on_start(HOST, task(containers=["a", "b"]))
    assert wait_for(shown, said + 1)[said] == "shop-1: Have it: 0 s, 2 containers"


def test_quick_tasks_and_those_of_others_are_not_shown(shown: callback.CallbackModule) -> None:
    shown.v2_runner_on_start(HOST, task(action="ansible.builtin.command"))
    quick = task()
    shown.v2_runner_on_start(HOST, quick)
    shown.v2_runner_on_failed(SimpleNamespace(_host=HOST, _task=quick))
    time.sleep(0.5)
    assert shown._display == []


def test_phase_is_shown_of_tasks_that_run_here_only(shown: callback.CallbackModule, tmp_path: Path) -> None:
    here, there = task(connection="local"), task()
    there._uuid = "2"
    shown.v2_runner_on_start(HOST, here)
    shown.v2_runner_on_start(HOST, there)
    (tmp_path / "progress").write_text(json.dumps({"pid": os.getpid(), "phase": "links", "done": 5, "of": 9}))
    assert {*wait_for(shown, 2)} == {"shop-1: Have it: 0 s, links 5 of 9", "shop-1: Have it: 0 s"}


def test_note_is_not_taken_for_that_of_each_task_that_runs_here(shown: callback.CallbackModule, tmp_path: Path) -> None:
    first, second = task(connection="local"), task(connection="local")
    second._uuid = "2"
    shown.v2_runner_on_start(HOST, first)
    shown.v2_runner_on_start(HOST, second)
    (tmp_path / "progress").write_text(json.dumps({"pid": os.getpid(), "phase": "links", "done": 5, "of": 9}))
    assert {*wait_for(shown, 2)} == {"shop-1: Have it: 0 s, one of 2 at work: links 5 of 9"}


def test_connection_of_a_group_counts(shown: callback.CallbackModule, tmp_path: Path) -> None:
    groups = [Group("all"), Group("machines"), Group("here")]
    groups[2].vars["ansible_connection"] = "local"
    groups[0].add_child_group(groups[1])
    groups[1].add_child_group(groups[2])
    host = Host("shop-1")
    groups[2].add_host(host)
    shown.v2_runner_on_start(host, task())
    (tmp_path / "progress").write_text(json.dumps({"pid": os.getpid(), "phase": "links", "done": 5, "of": 9}))
    assert wait_for(shown, 1)[0] == "shop-1: Have it: 0 s, links 5 of 9"


@pytest.mark.parametrize(
    "note", ["", "{", "[]", "5", "{}", '{"pid": "x"}', '{"pid": 0, "phase": "x", "done": 1, "of": 2}']
)
def test_note_that_says_nothing_is_left_out(shown: callback.CallbackModule, tmp_path: Path, note: str) -> None:
    shown.v2_runner_on_start(HOST, task(connection="local"))
    (tmp_path / "progress").write_text(note)
    assert wait_for(shown, 1)[0] == "shop-1: Have it: 0 s"


def test_note_of_an_earlier_run_is_left_out(shown: callback.CallbackModule, tmp_path: Path) -> None:
    (tmp_path / "progress").write_text(json.dumps({"pid": os.getpid(), "phase": "links", "done": 5, "of": 9}))
    os.utime(tmp_path / "progress", (1, 1))
    shown.v2_runner_on_start(HOST, task(connection="local"))
    assert wait_for(shown, 1)[0] == "shop-1: Have it: 0 s"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, ""),
        ({"name": "one"}, ""),
        ({"connected": ["a"] * 1200}, "1200 connected"),
        ({"networks": 5, "connected": "a,b", "containers": {"a": 1}}, ""),
        (
            {"networks": [{"connected": ["a", "b"]}, {"endpoints": [{}] * 3}, "x"]},
            "3 networks, 3 endpoints, 2 connected",
        ),
        ({"mappings": "{{ many }}", "containers": None}, ""),
    ],
)
def test_what_a_task_lists_is_counted(arguments: dict[str, Any], said: str) -> None:
    assert callback.declared(arguments) == said


def test_minutes_are_shown_as_such() -> None:
    running = callback.Running("shop-1", "Have it", "", False, 0, 0)
    assert callback.line(running, 125.9, None) == "shop-1: Have it: 2 min 5 s"
