# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How runtimes are asked, and what is made of odd answers; their programs are made up. Real ones: tests/runtimes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kernel.support import Managed, warnings_of
from kernel.test_references import inside, process

INSPECT = """
shift 6
for name; do test -e /run/answers/$name && cat /run/answers/$name; done
echo "Error: No such container: x" >&2
exit 1
"""
WEB, DB = "abcdef012345" + "6" * 52, "fedcba012345" + "6" * 52  # IDs
PROGRAMS = {"unit": "systemctl", "machine": "machinectl", "lxc": "lxc-info"}


@pytest.fixture
def managed(managed: Managed) -> Managed:
    managed.environment = {"PATH": f"/run/programs:{os.environ['PATH']}:/usr/sbin:/sbin"}
    managed.sh("mkdir /run/programs /run/answers")
    return managed


@pytest.fixture
def pids(managed: Managed) -> Iterator[list[str]]:
    """Of four processes, each in a network namespace of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(process(managed.host)) for _each in range(4)]


def program(managed: Managed, name: str, text: str) -> None:
    """It says /run/asked how it is called, one line each time."""
    path = f"/run/programs/{name}"
    script = f'#!/bin/sh\necho "{name} $*" >> /run/asked\n{text}\n'
    managed.host.run("sh", "-c", f'printf %s "$1" > {path}; chmod +x {path}', "sh", script)


def answer(managed: Managed, name: str, identity: str, pid: str) -> None:
    managed.sh(f"echo '{identity} /{name} {pid}' > /run/answers/{name}")


def asked(managed: Managed) -> list[str]:
    """The lines since the last call."""
    return managed.sh("touch /run/asked; cat /run/asked; rm /run/asked").splitlines()


def refusal(managed: Managed, *references: str) -> str:
    return managed.container_network(name="net", connected=[*references], fails=True, framed=False)["msg"]


def links(managed: Managed, pid: str) -> int:
    return int(inside(managed, pid, "ip -o link | wc -l"))


# How often.


def test_runtime_is_asked_once_a_task(managed: Managed, pids: list[str]) -> None:
    program(managed, "docker", INSPECT)
    for number, pid in enumerate(pids):
        answer(managed, f"c{number}", f"{number}" * 64, pid)
    managed.container_network(name="net", connected=["docker:c0", "docker:c1"], framed=False)
    assert len(asked(managed)) == 1
    managed.container_network(name="net", connected=["docker:c2", "docker:c3"], appends=True, framed=False)
    (line,) = asked(managed)
    assert line.split(" -- ")[1].split() == ["c0", "c1", "c2", "c3"]
    managed.netns_bridge(containers=[{"name": "side", "mode": "container", "target": "docker:c3"}], framed=False)
    managed.port_mapping(container="docker:c0", published_ports=["80"], framed=False)
    assert len(asked(managed)) == 2
    managed.container_network_info()
    assert not asked(managed), "a list of networks says nothing that it knows"


def test_runtime_without_an_answer_is_waited_for_once(managed: Managed, pids: list[str]) -> None:
    program(managed, "docker", "sleep 4321")
    program(managed, "machinectl", f"test $5 = b && sleep 4321; echo {pids[0]}")
    since = time.monotonic()
    text = refusal(managed, "docker:a", "docker:b")
    assert 'container "docker:a": docker gave no answer within 10 seconds; see to that service' in text
    text = refusal(managed, "machine:a", "machine:b", "machine:c")
    assert 'container "machine:b": machinectl gave no answer within 10 seconds; see to that service' in text
    assert time.monotonic() - since < 28
    assert len(asked(managed)) == 3
    assert "4321" not in managed.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), "what it started is left"


# Whose process it is.


def test_name_is_not_taken_for_the_beginning_of_an_id(managed: Managed, pids: list[str]) -> None:
    program(managed, "docker", INSPECT)
    answer(managed, "a", "f" * 64, pids[0])
    answer(managed, "web", WEB, pids[1])
    managed.container_network(name="one", connected=["docker:a"], framed=False)
    managed.container_network(name="two", connected=["docker:web"], framed=False)
    managed.sh("rm /run/answers/a")
    (warning,) = warnings_of(managed.container_network(name="two", labels={"a": "b"}, framed=False))
    assert 'container "docker:a": docker has no running container of that name' in warning
    assert (links(managed, pids[0]), links(managed, pids[1])) == (2, 2)


def test_beginning_of_an_id_has_twelve_digits_and_is_no_name(managed: Managed, pids: list[str]) -> None:
    program(managed, "docker", INSPECT)
    answer(managed, "web", WEB, pids[0])
    for begun in (WEB[:11], WEB[:12], WEB):
        managed.sh(f"cp /run/answers/web /run/answers/{begun}")
    for begun in (WEB[:12], WEB):
        managed.container_network(name="net", connected=[f"docker:{begun}"], framed=False)
        assert links(managed, pids[0]) == 2
        managed.container_network(name="net", state="absent", force=True, framed=False)
    assert "docker has no running container of that name" in refusal(managed, f"docker:{WEB[:11]}")
    answer(managed, WEB[:12], DB, pids[1])  # now another one has that for a name
    managed.container_network(name="net", connected=[f"docker:{WEB[:12]}"], framed=False)
    assert links(managed, pids[1]) == 2


def test_process_that_came_after_the_answer_is_not_the_container(managed: Managed) -> None:
    starts = "unshare --net sleep 60 >/dev/null 2>&1 & sleep 0.1"
    program(managed, "docker", f"{starts}\necho {WEB} /web $!")
    text = refusal(managed, "docker:web")
    assert 'container "docker:web": it is just being started; run the task again when it is up' in text
    program(managed, "docker", f"echo {WEB} /web 999999")
    assert "process 999999, which its runtime names, is gone; start it, or disconnect it" in refusal(
        managed, "docker:web"
    )


def test_container_that_starts_while_it_is_asked_for_is_connected(managed: Managed) -> None:
    starts = "unshare --net sleep 60 >/dev/null 2>&1 & echo $! > /run/started; sleep 0.1"
    program(managed, "docker", f"test -e /run/started || {{ {starts}; }}\necho {WEB} /web $(cat /run/started)")
    managed.container_network(name="net", connected=["docker:web"], framed=False)
    assert links(managed, managed.sh("cat /run/started").strip()) == 2


def test_runtime_of_another_host_is_not_asked(managed: Managed, pids: list[str]) -> None:
    program(managed, "docker", f'test "$DOCKER_HOST$DOCKER_CONTEXT" = default || exit 1\n{INSPECT}')
    answer(managed, "web", WEB, pids[0])
    managed.environment.update(DOCKER_HOST="tcp://192.0.2.99:2375", DOCKER_CONTEXT="far")
    managed.container_network(name="net", connected=["docker:web"], framed=False)
    assert links(managed, pids[0]) == 2


# Odd answers.

UNREACHABLE = (
    "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the "
    "daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory"
)


@pytest.mark.parametrize(
    ("reference", "text", "problem"),
    [
        (
            "docker:web",
            f"echo '{UNREACHABLE}' >&2; exit 1",
            f"docker can't be asked: {UNREACHABLE}; see to that service",
        ),
        (
            "docker:web",
            "echo Error: No such container: web >&2; exit 1",
            "docker has no running container of that name",
        ),
        ("docker:web", "echo 'Error: no such object: \"web\"' >&2; exit 125", "has no running container of that name"),
        (
            "docker:web",
            f"echo {WEB} /web 0",
            "docker has no running container of that name; start it, or disconnect it",
        ),
        ("docker:web", f"echo {WEB} /web -7; echo one; echo one two three; echo", "has no running container"),
        ("docker:web", f"echo {WEB} /web 99999999999999999999", "has no running container"),
        ("docker:web", "head -c 4000 /dev/urandom", "docker has no running container"),
        ("docker:web", "printf 'one\\ntwo\\033[31m\\377\\n' >&2; exit 1", "docker can't be asked: two?[31m"),
        ("docker:web", "exit 1", "docker can't be asked: it said nothing; see to that service"),
        ("docker:web", "kill -9 $$", "docker can't be asked: it said nothing; see to that service"),
        ("podman:web", "echo Error: boot ID differs >&2; exit 125", "podman can't be asked: Error: boot ID differs"),
        ("unit:web.service", "echo Id=web.service", "systemctl has no running service of that name"),
        ("unit:web.service", "echo MainPID=x", "systemctl has no running service of that name"),
        ("unit:web.service", "echo MainPID=1; echo; echo MainPID=2", "it spoke of 2 of 1 units"),
        ("unit:web.service", "echo no bus >&2; exit 1", "systemctl can't be asked: no bus; is systemd running here?"),
        (
            "machine:web",
            "echo 'Failed to connect to bus: x' >&2; exit 1",
            "machinectl can't be asked: Failed to connect",
        ),
        (
            "machine:web",
            "echo \"No machine 'web' known\" >&2; exit 1",
            "machinectl has no running machine of that name",
        ),
        ("machine:web", "echo 12 34", "machinectl has no running machine of that name"),
        ("lxc:web", 'echo web "doesn\'t" exist >&2; exit 1', "lxc-info has no running container of that name"),
        ("lxc:web", "exit 1", "lxc-info has no running container of that name"),
    ],
)
def test_odd_answer_is_one_clear_error(managed: Managed, reference: str, text: str, problem: str) -> None:
    kind = reference.partition(":")[0]
    program(managed, PROGRAMS.get(kind, kind), text)
    message = refusal(managed, reference)
    assert f'container "{reference}": ' in message and problem in message and "; " in message


def test_program_that_cant_be_run_is_named(managed: Managed) -> None:
    if managed.host.run("sh", "-c", "command -v podman", check=False).returncode == 0:
        pytest.skip("podman is installed here, and is what runs instead")
    managed.sh("printf nothing > /run/programs/podman; chmod +x /run/programs/podman")
    assert "the program podman can't be run (Exec format error); see to it" in refusal(managed, "podman:web")


def test_one_runtime_in_trouble_leaves_others_alone(managed: Managed, pids: list[str]) -> None:
    program(managed, "docker", INSPECT)
    answer(managed, "web", WEB, pids[0])
    managed.container_network(name="one", connected=["docker:web"], framed=False)
    program(managed, "docker", f"echo '{UNREACHABLE}' >&2; exit 1")
    result = managed.container_network(name="two", connected=[f"pid:{pids[1]}"], framed=False)
    assert UNREACHABLE in "".join(warnings_of(result))
    assert (links(managed, pids[0]), links(managed, pids[1])) == (2, 2)
