# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role prepare makes of a host whose packages are there, and what modules make of that."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pip
import pytest

from lab import Host, Lab

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = "{{ ansible_facts.ansible_local.bridgework.firewall_backend | default('auto') }}"
ROLE = {"ansible.builtin.include_role": {"name": "bridgework.network.prepare"}}
NETWORK = {"bridgework.network.container_network": {"name": "blue", "ipam_config": [{"subnet": "192.168.10.0/24"}]}}
FORWARDING = "/proc/sys/net/ipv4/ip_forward"


class Prepared:
    """A host with an /etc of its own, and plays on it."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self._directory = host, directory
        self.sh("cp -a /etc /run/etc && mount --bind /run/etc /etc")

    def sh(self, script: str) -> str:
        return self.host.run("sh", "-ec", script).stdout

    def play(
        self, *tasks: Any, words: tuple[str, ...] = (), fails: bool = False, python: str = sys.executable, **values: Any
    ) -> list[Any]:
        """The results of the tasks that changed something, or the message of the one that failed."""
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"group/bridgework.network.network": {"firewall_backend": CHOSEN}},
            "vars": {"ansible_python_interpreter": python, **values},
            "tasks": tasks,
        }
        (self._directory / "play.yml").write_text(json.dumps([play]))
        record = self._directory / "record"
        record.write_text("")
        settings = {
            "RECORD": str(record),
            "ANSIBLE_STDOUT_CALLBACK": "record",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/compare/callback"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"),
            "ANSIBLE_HOME": str(self._directory),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self._directory),
            "LC_ALL": "C.UTF-8",
        }
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = self.host.run(program, str(self._directory / "play.yml"), *words, check=False, timeout=120, env=settings)
        lines = [json.loads(line) for line in record.read_text().splitlines()]
        assert (done.returncode != 0) == fails, done.stdout + done.stderr + record.read_text()
        if fails:
            return [line["msg"] for line in lines if line["failed"]]
        return [line["task"] for line in lines if line.get("changed")]

    def has(self, backend: str) -> bool:
        """Whether there are rules of ours in that backend."""
        look = {
            "iptables": "iptables-save | grep -c BRIDGEWORK",
            "nftables": "nft list table inet bridgework | grep -c tcp",
        }
        return self.host.run("sh", "-c", look[backend], check=False).returncode == 0


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[Prepared]:
    with Lab(["host"]) as lab:
        yield Prepared(lab.host, tmp_path)


def test_chosen_backend_is_that_of_the_same_play(prepared: Prepared) -> None:
    predicted = prepared.play(ROLE, NETWORK, words=("--check",), prepare_firewall_backend="iptables")
    assert len(prepared.play(ROLE, NETWORK, prepare_firewall_backend="iptables")) == len(predicted)
    assert (prepared.has("iptables"), prepared.has("nftables")) == (True, False)
    assert prepared.play(ROLE, NETWORK, prepare_firewall_backend="iptables") == [], "the second run"
    # From here on the other one, with a look at it before.
    assert "bridgework.network.container_network" in prepared.play(
        ROLE, NETWORK, words=("--check",), prepare_firewall_backend="nftables"
    ), "check mode doesn't say that the rules change over"
    assert prepared.has("iptables")


def test_forwarding_outlives_the_last_network(prepared: Prepared) -> None:
    prepared.sh(f"echo 0 >{FORWARDING}")
    prepared.play(NETWORK)
    prepared.play(ROLE, prepare_forwarding=["ipv4"])
    gone = {"bridgework.network.container_network": {"name": "blue", "state": "absent"}}
    assert prepared.play(gone) == ["bridgework.network.container_network"]
    assert prepared.sh(f"cat {FORWARDING}") == "1\n"
    # A small host has no such command.
    prepared.sh(f"echo 0 >{FORWARDING}; mount --bind /dev/null $(readlink -f $(command -v sysctl))")
    in_force = ["bridgework.network.prepare : Put the settings in force"]
    assert prepared.play(ROLE, prepare_forwarding=["ipv4"]) == in_force
    assert prepared.sh(f"cat {FORWARDING}") == "1\n"


def wheel(directory: Path, name: str, version: str) -> None:
    """A library that has but a name."""
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def environment(directory: Path) -> Path:
    """A virtual environment with neither pip nor setuptools; returns where its libraries are."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    (libraries,) = directory.glob("lib/python*/site-packages")
    return libraries


def test_libraries_for_a_virtual_environment_without_setuptools(prepared: Prepared, tmp_path: Path) -> None:
    for name, version in (("pyroute2", "0.7.2"), ("netaddr", "0.8")):
        wheel(tmp_path, name, version)
    (environment(tmp_path / "bare") / "pip").symlink_to(Path(pip.__file__).parent)
    python = str(tmp_path / "bare/bin/python")
    task = ["bridgework.network.prepare : Install libraries with pip"]
    assert prepared.play(ROLE, words=("--check",), python=python) == task
    assert prepared.play(ROLE, python=python) == task
    assert prepared.play(ROLE, python=python) == []


def test_virtual_environment_without_pip_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    environment(tmp_path / "bare")
    python = str(tmp_path / "bare/bin/python")
    (message,) = prepared.play(ROLE, python=python, fails=True)
    assert message.startswith(f'prepare_libraries "auto": {python} has no pip; '), message
    assert "\n" not in message
