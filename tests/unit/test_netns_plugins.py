# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers the connection and the become plugin take, and the command that the latter makes of one."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from ansible.errors import AnsibleError
from ansible.plugins.shell.sh import ShellModule

from ansible_collections.bridgework.network.plugins.become.netns import BecomeModule, _is_known
from ansible_collections.bridgework.network.plugins.plugin_utils import _netns

OPTIONS = {
    "container": "web",
    "become_user": "root",
    "become_exe": "sudo",
    "become_flags": "-H -S -n",
    "become_pass": None,
}


@pytest.mark.parametrize("name", ["web", "web-1.example_2", "0", "A" * 128])
def test_name_of_a_container_is_taken_as_it_is(name: str) -> None:
    assert _netns.checked_name("here", name) == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            None,
            "/",
            "a/b",
            "/run/netns/web",
            "../../proc/1/ns/net",
            "..",
            ".",
            "-web",
            "--",
            "web\n",
            "\nweb",
            " ",
        ),
        *("w b", "pid:1", "docker:web", "$(id)", "`id`", "web;id", "wéb", "A" * 129),
    ],
)
def test_what_is_no_name_is_refused_in_one_line(name: str | None) -> None:
    with pytest.raises(AnsibleError) as caught:
        _netns.checked_name("here", name)
    assert str(caught.value).startswith('here: container "')
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)


def become_command(**options: object) -> tuple[str, BecomeModule]:
    plugin = BecomeModule()
    plugin._options = {**OPTIONS, **options}
    shell = ShellModule()
    shell.executable = "/bin/sh"
    return plugin.build_become_command("echo hello", shell), plugin


@pytest.mark.parametrize("user", ["root", "www-data", "a b", "$(id)", "it's", '"', "-x", "`id`\\"])
@pytest.mark.parametrize("password", [None, "se'cret"])
def test_command_is_one_that_a_shell_can_read(user: str, password: str | None) -> None:
    command, _plugin = become_command(become_user=user, become_pass=password)
    done = subprocess.run(["/bin/sh", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "se'cret" not in command


@pytest.mark.parametrize(
    ("flags", "asking"),
    [
        ("-H -S -n", "-H -S"),
        ("-HSn", "-HS"),
        ("--non-interactive -n", ""),
        ("-C 3 -g nn -H", "-C 3 -g nn -H"),
        ("-D '/a b'", "-D '/a b'"),
    ],
)
def test_sudo_may_ask_where_there_is_a_password(flags: str, asking: str) -> None:
    command, plugin = become_command(become_flags=flags, become_pass="secret")
    words = " ".join(filter(None, ["exec sudo", asking, "-p", shlex.quote(plugin.prompt), "-u root"]))
    assert words in command


def test_sudo_may_not_ask_where_there_is_none() -> None:
    command, plugin = become_command()
    assert "exec sudo -H -S -n -u root" in command
    assert not plugin.expect_prompt()


@pytest.mark.parametrize("option", ["become_exe", "become_flags"])
def test_quotation_that_is_never_closed_is_refused_in_one_line(option: str) -> None:
    with pytest.raises(AnsibleError) as caught:
        become_command(**{option: "-x 'y"})
    assert str(caught.value) == (
        f'become netns: {option} "-x \'y" opens a quotation that it never closes; write it as for a shell'
    )


def test_blank_become_exe_is_sudo() -> None:
    assert "exec sudo -H -S -n -u root" in become_command(become_exe=" ")[0]


@pytest.mark.parametrize(
    ("user", "known"),
    [("root", True), ("nobody", True), ("0", False), ("65534", False), ("+0", False), (" 0", False), ("no one", False)],
)
def test_user_is_known_by_name_only(user: str, known: bool) -> None:
    done = subprocess.run(["/bin/sh", "-c", _is_known(user)], check=False)
    assert (done.returncode == 0) == known


def test_root_inside_is_never_taken_for_root_outside() -> None:
    """Ansible leaves become out where `become_user != remote_user` does not hold."""
    _command, plugin = become_command()
    assert plugin.get_option("become_user") != "root"
    assert plugin.get_option("become_user") in ["root"]
    _command, plugin = become_command(become_user="")
    assert plugin.get_option("become_user") != "root"


def test_refusal_of_the_host_is_an_error_and_nothing_else_is() -> None:
    command, plugin = become_command()
    assert not plugin.check_success(b"NETNS-REFUSED-other no\n")
    assert plugin.check_success(plugin.success.encode() + b"\n")
    assert f"NETNS-REFUSED-{plugin._id}" in command
    with pytest.raises(AnsibleError, match=r"^no; yes$"):
        plugin.check_success(f"a line\nNETNS-REFUSED-{plugin._id} no; yes\r\n".encode())
