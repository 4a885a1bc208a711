# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers are called that others run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils import _references
from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._intent import Item
from ansible_collections.bridgework.network.plugins.module_utils._kernel.runtimes import environment
from ansible_collections.bridgework.network.plugins.module_utils._model import is_reference
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import (
    Declaration,
    is_one_plain_line,
    refused,
)


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("web", "web"),
        ("docker:web_1.x-y", "docker:web_1.x-y"),
        ("docker:0a1b2c3d4e5f", "docker:0a1b2c3d4e5f"),
        ("podman:db", "podman:db"),
        ("machine:build-1.example", "machine:build-1.example"),
        ("lxc:web+1", "lxc:web+1"),
        ("unit:app@one.service", "unit:app@one.service"),
        (r"unit:a\x2db.service", r"unit:a\x2db.service"),
        ("pid:4711", "pid:4711"),
        ("/run/docker/netns/0a1b", "/run/docker/netns/0a1b"),
        ("//run/x/../sandboxes/one", "/run/sandboxes/one"),
        ("/proc/4711/ns/net", "pid:4711"),
        ("/proc/4711/task/4712/ns/net", "pid:4712"),
        ("/run/netns/web", "web"),
        ("/var/run/netns/web", "web"),
    ],
)
def test_reference_is_kept(given_text: str, kept: str) -> None:
    assert _references.container("subject", "container", given_text) == kept
    assert is_reference(kept) == (kept != "web")


@given(
    st.text(max_size=40) | st.builds("{}:{}".format, st.sampled_from(["pid", "docker", "unit"]), st.text(max_size=20))
)
def test_any_text_is_a_reference_or_a_clear_error(text: str) -> None:
    try:
        kept = _references.container("subject", "container", text)
    except InvalidInput as error:
        assert is_one_plain_line(str(error)) and "; " in str(error)
    else:
        assert _references.container("subject", "container", kept) == kept, "what was kept is kept again"
        assert is_one_plain_line(kept) and " " not in kept


def test_container_of_others_is_forgotten_with_the_last_that_is_said_of_it() -> None:
    host = Declaration()
    host.network("blue", connected=["docker:web"])
    host.bridge({"name": "sidecar", "mode": "container", "target": "docker:web"})
    host.network("blue", endpoints=[{"container": "docker:web", "state": "absent"}])
    host.state.forget_idle_references()
    assert "docker:web" in host.state.containers, "it is still a target"
    host.bridge({"name": "sidecar", "state": "absent"})
    host.state.forget_idle_references()
    assert "docker:web" not in host.state.containers


def test_process_is_known_by_its_namespace_too() -> None:
    host = Declaration()
    host.facts.anchors = {"pid:7": "boot:100:4026532000"}
    host.network("blue", connected=["pid:7", "docker:web"])
    assert host.container("pid:7").anchor == "boot:100:4026532000"
    assert host.container("docker:web").anchor is None, "it comes back under its name"


def test_all_references_of_a_task_are_announced_before_the_first_is_needed() -> None:
    host = Declaration()
    host.network("blue", connected=["docker:a"], endpoints=[{"container": "docker:b"}])
    host.facts.announced.clear()
    host.bridge({"name": "docker:c"}, {"name": "side", "mode": "container", "target": "docker:d"})
    assert host.facts.announced == {"docker:c", "docker:d", "side"}
    host.facts.announced.clear()
    host.publish("docker:a", "80")
    assert host.facts.announced == {"docker:a"}


@pytest.mark.parametrize("task", ["connected", "endpoints", "bridge"])
def test_name_given_as_a_path_is_not_made(task: str) -> None:
    host, path = Declaration(), "/run/netns/typo"

    def declare() -> list[Item]:
        if task == "bridge":
            return host.bridge({"name": path})
        given = [path] if task == "connected" else [{"container": path}]
        return host.network("blue", **{task: given})

    subject = 'bridge "bw0"' if task == "bridge" else 'network "blue"'
    with refused(f'{subject}: container "{path}" does not exist; make it first, or name it "typo" to have it made'):
        declare()
    host.facts.check_mode = True
    warnings = [item.warning for item in declare() if item.warning]
    assert warnings == [f"{subject}: there is no {path} yet; check mode takes it that an earlier task makes it"]
    host = Declaration()
    host.facts.namespaces = {"typo"}
    declare()
    host.facts.namespaces = set()
    declare()


def test_runtimes_are_asked_on_this_host() -> None:
    elsewhere = {
        "DOCKER_HOST": "tcp://192.0.2.99:2375",
        "DOCKER_CONTEXT": "far",
        "CONTAINER_HOST": "ssh://far/run/podman.sock",
        "CONTAINER_CONNECTION": "far",
        "PATH": "/usr/bin",
    }
    assert environment(elsewhere) == {"PATH": "/usr/bin", "DOCKER_CONTEXT": "default", "LC_ALL": "C.UTF-8"}
    here = {"DOCKER_HOST": "unix:///run/user/1000/docker.sock", "CONTAINER_HOST": "unix:///run/podman/other.sock"}
    assert environment(here) == {**here, "DOCKER_CONTEXT": "default", "LC_ALL": "C.UTF-8"}


def test_prune_keeps_what_is_not_ours() -> None:
    host = Declaration()
    host.network("blue", connected=["docker:web"])
    kept = host.prune(containers=True).kept
    assert (
        "container",
        "docker:web",
        "it is somebody else's, and is forgotten with the last that is declared of it",
    ) in kept
