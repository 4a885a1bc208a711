# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of single values: each refusal is one line that names option, value and remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils import _drivers, _options, _validate
from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput, quoted
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import is_one_plain_line, refused

SUBJECT = 'container "web"'
ALPHABET = "use letters, digits, '_', '.' and '-'"
# What no name of any kind may be, and how an error shows it.
ODD_NAMES = [
    ("", ""),
    ("a/b", "a/b"),
    ("../a", "../a"),
    (".", "."),
    ("..", ".."),
    (".a", ".a"),
    ("-a", "-a"),
    ("_a", "_a"),
    ("a b", "a b"),
    (" a", " a"),
    ("a\n", "a\\n"),
    ("a\nb", "a\\nb"),
    ("a\0b", "a\\x00b"),
    ('a"b', 'a\\"b'),
    ("a'b", "a'b"),
    ("a;b", "a;b"),
    ("a:b", "a:b"),
    ("a%b", "a%b"),
    ("a+", "a+"),
    ("$(a)", "$(a)"),
    ("é", "\\xe9"),
    ("\ud800", "\\ud800"),
]

KEYS = dict.fromkeys(key for name in _drivers.NAMES for key in _drivers.find(name).options)


@pytest.mark.parametrize("name", ["a", "1", "web", "Web-2.example_x", "a" * 128])
def test_name_in_dockers_alphabet_is_taken(name: str) -> None:
    assert _validate.name(SUBJECT, "name", name) == name


@pytest.mark.parametrize(("name", "shown"), ODD_NAMES)
def test_odd_name_is_refused(name: str, shown: str) -> None:
    with refused(f'{SUBJECT}: name "{shown}" is not a valid name; {ALPHABET}, and begin with a letter or digit'):
        _validate.name(SUBJECT, "name", name)


def test_long_name_is_refused() -> None:
    with refused(f'{SUBJECT}: name "{"a" * 129}" is too long (129 characters); use at most 128'):
        _validate.name(SUBJECT, "name", "a" * 129)


@pytest.mark.parametrize("name", ["eth0", "a", "br-0123456789ab", "a" * 15, "eth0.5", "x_y", "0"])
def test_interface_name_is_taken(name: str) -> None:
    assert _validate.interface(SUBJECT, "interface_name", name) == name


@pytest.mark.parametrize(("name", "shown"), [*ODD_NAMES, ("lo", "lo"), ("all", "all"), ("default", "default")])
def test_odd_interface_name_is_refused(name: str, shown: str) -> None:
    with refused(
        f'{SUBJECT}: interface_name "{shown}" is not a valid interface name; '
        f"{ALPHABET}, begin with a letter or digit, and keep off lo, all, default"
    ):
        _validate.interface(SUBJECT, "interface_name", name)


@pytest.mark.parametrize("length", [16, 17, 100])
def test_long_interface_name_is_refused(length: int) -> None:
    with refused(
        f'{SUBJECT}: interface_name "{"a" * length}" is too long for an interface ({length} characters); use at most 15'
    ):
        _validate.interface(SUBJECT, "interface_name", "a" * length)


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("02:42:ac:11:00:02", "02:42:ac:11:00:02"),
        ("02:42:AC:11:00:02", "02:42:ac:11:00:02"),
        ("02-42-ac-11-00-02", "02:42:ac:11:00:02"),
        ("00:00:00:00:00:01", "00:00:00:00:00:01"),
        ("fe:ff:ff:ff:ff:ff", "fe:ff:ff:ff:ff:ff"),
    ],
)
def test_mac_is_written_in_lower_case_with_colons(text: str, mac: str) -> None:
    assert _validate.mac(SUBJECT, "mac_address", text) == mac


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("02:42:ac:11:00", "02:42:ac:11:00"),
        ("02:42:ac:11:00:02:03", "02:42:ac:11:00:02:03"),
        ("2:42:ac:11:0:2", "2:42:ac:11:0:2"),
        ("0242ac110002", "0242ac110002"),
        ("0242.ac11.0002", "0242.ac11.0002"),
        ("02:42:ac:11:00:0g", "02:42:ac:11:00:0g"),
        ("02:42:ac:11:00:02\n", "02:42:ac:11:00:02\\n"),
        ("٠٢:42:ac:11:00:02", "\\u0660\\u0662:42:ac:11:00:02"),
    ],
)
def test_bad_mac_is_refused(text: str, shown: str) -> None:
    with refused(f'{SUBJECT}: mac_address "{shown}" is not a MAC address; write it like "02:42:ac:11:00:02"'):
        _validate.mac(SUBJECT, "mac_address", text)


@pytest.mark.parametrize("text", ["01:00:5e:00:00:01", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_mac_that_no_interface_can_have_is_refused(text: str) -> None:
    with refused(
        f'{SUBJECT}: mac_address "{text}" is not a unicast MAC address; use an even first byte, for example 02'
    ):
        _validate.mac(SUBJECT, "mac_address", text)


@pytest.mark.parametrize(
    ("text", "subnet"),
    [
        ("192.168.10.0/24", "192.168.10.0/24"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("10.0.0.4/31", "10.0.0.4/31"),
        ("2001:DB8::/64", "2001:db8::/64"),
    ],
)
def test_subnet_is_taken(text: str, subnet: str) -> None:
    assert str(_validate.network(SUBJECT, "subnet", text)) == subnet


@pytest.mark.parametrize(
    ("text", "cidr"),
    [
        ("192.168.10.1/24", "192.168.10.0/24"),
        ("192.168.10.255/24", "192.168.10.0/24"),
        ("10.0.0.5/31", "10.0.0.4/31"),
        ("10.1.2.3/0", "0.0.0.0/0"),
        ("2001:db8::1/64", "2001:db8::/64"),
    ],
)
def test_subnet_with_host_bits_is_refused_with_the_right_one(text: str, cidr: str) -> None:
    with refused(f'{SUBJECT}: subnet "{text}" has host bits set; use {cidr}'):
        _validate.network(SUBJECT, "subnet", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("192.168.10.0", "192.168.10.0"),
        ("192.168.10.0/33", "192.168.10.0/33"),
        ("192.168.10.0/-1", "192.168.10.0/-1"),
        ("192.168.10.0/", "192.168.10.0/"),
        ("192.168.10.0/24/24", "192.168.10.0/24/24"),
        ("192.168.256.0/24", "192.168.256.0/24"),
        ("/24", "/24"),
        ("blue/24", "blue/24"),
        ("2001:db8::/129", "2001:db8::/129"),
    ],
)
def test_bad_subnet_is_refused(text: str, shown: str) -> None:
    with refused(f'{SUBJECT}: subnet "{shown}" is not a subnet; write it like "192.168.10.0/24"'):
        _validate.network(SUBJECT, "subnet", text)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_unprivileged_port_start", "net/ipv4/ip_unprivileged_port_start"),
        ("net/ipv4/conf/eth0.5/rp_filter", "net/ipv4/conf/eth0.5/rp_filter"),
        ("net.core.somaxconn", "net/core/somaxconn"),
    ],
)
def test_sysctl_is_a_path_below_proc_sys(key: str, path: str) -> None:
    assert _validate.sysctl(SUBJECT, key) == path


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("", ""),
        ("net", "net"),
        ("net.", "net."),
        ("kernel.hostname", "kernel.hostname"),
        ("vm/swappiness", "vm/swappiness"),
        ("network.ipv4", "network.ipv4"),
        ("/net/ipv4/ip_forward", "/net/ipv4/ip_forward"),
        ("net/../kernel/hostname", "net/../kernel/hostname"),
        ("net/ipv4/..", "net/ipv4/.."),
        ("net/./ipv4", "net/./ipv4"),
        ("net//ipv4", "net//ipv4"),
        ("net.ipv4.ip forward", "net.ipv4.ip forward"),
        ("net.ipv4.ip_forward\n", "net.ipv4.ip_forward\\n"),
        ("net.ipv4.ip_forward=1", "net.ipv4.ip_forward=1"),
        ("net.ipv4.é", "net.ipv4.\\xe9"),
    ],
)
def test_sysctl_of_no_namespace_is_refused(key: str, shown: str) -> None:
    with refused(
        f'{SUBJECT}: sysctls "{shown}" is not a sysctl of the network namespace; use a key that begins with "net."'
    ):
        _validate.sysctl(SUBJECT, key)


@pytest.mark.parametrize(
    ("given_options", "kept"),
    [
        ({"com.docker.network.driver.mtu": 1400}, {"com.docker.network.driver.mtu": "1400"}),
        ({"com.docker.network.driver.mtu": "01400"}, {"com.docker.network.driver.mtu": "1400"}),
        ({"com.docker.network.driver.mtu": 68}, {"com.docker.network.driver.mtu": "68"}),
        ({"com.docker.network.driver.mtu": 65535}, {"com.docker.network.driver.mtu": "65535"}),
        ({"com.docker.network.bridge.enable_icc": False}, {"com.docker.network.bridge.enable_icc": "false"}),
        ({"com.docker.network.bridge.enable_icc": "Yes"}, {"com.docker.network.bridge.enable_icc": "true"}),
        ({"com.docker.network.bridge.enable_icc": 0}, {"com.docker.network.bridge.enable_icc": "false"}),
        ({"com.docker.network.bridge.name": "br0"}, {"com.docker.network.bridge.name": "br0"}),
    ],
)
def test_driver_options_are_kept_as_text(given_options: dict[str, Any], kept: dict[str, str]) -> None:
    assert _drivers.checked_options(SUBJECT, given_options) == kept


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"com.docker.network.bridge.enable_ic": "true"},
            'driver_options "com.docker.network.bridge.enable_ic=true" is unknown; '
            "did you mean com.docker.network.bridge.enable_icc?",
        ),
        (
            {"colour": "blue"},
            'driver_options "colour=blue" is unknown; use one of: ' + ", ".join(KEYS),
        ),
        (
            {"com.docker.network.driver.mtu": "67"},
            'com.docker.network.driver.mtu "67" is not an MTU; use a number from 68 to 65535',
        ),
        (
            {"com.docker.network.driver.mtu": "65536"},
            'com.docker.network.driver.mtu "65536" is not an MTU; use a number from 68 to 65535',
        ),
        (
            {"com.docker.network.driver.mtu": "1500\n"},
            'com.docker.network.driver.mtu "1500\\n" is not an MTU; use a number from 68 to 65535',
        ),
        (
            {"com.docker.network.driver.mtu": "²"},
            'com.docker.network.driver.mtu "\\xb2" is not an MTU; use a number from 68 to 65535',
        ),
        (
            {"com.docker.network.bridge.enable_icc": "maybe"},
            'com.docker.network.bridge.enable_icc "maybe" is neither true nor false; use true or false',
        ),
        (
            {"com.docker.network.bridge.name": "bridge-with-a-long-name"},
            'com.docker.network.bridge.name "bridge-with-a-long-name" is too long for an interface (23 characters); '
            "use at most 15",
        ),
    ],
)
def test_bad_driver_option_is_refused(options: dict[str, Any], problem: str) -> None:
    with refused(f"{SUBJECT}: {problem}"):
        _drivers.checked_options(SUBJECT, options)


CHECKS: list[Callable[[str], Any]] = [
    lambda text: _validate.name(SUBJECT, "name", text),
    lambda text: _validate.interface(SUBJECT, "interface_name", text),
    lambda text: _validate.mac(SUBJECT, "mac_address", text),
    lambda text: _validate.network(SUBJECT, "subnet", text),
    lambda text: _validate.address(SUBJECT, "ipv4_address", text),
    lambda text: _validate.sysctl(SUBJECT, text),
    lambda text: _drivers.checked_options(SUBJECT, {text: text}),
    lambda text: _drivers.checked_options(SUBJECT, {_options.MTU: text}),
    lambda text: _drivers.checked_options(SUBJECT, {_options.ENABLE_ICC: text}),
]


@given(st.sampled_from(CHECKS), st.text() | st.text(alphabet="0123456789abcdef.:/- \n\0"))
@example(CHECKS[3], "\ud800/24")
@example(CHECKS[4], "\ud800")
@example(CHECKS[3], "10/8\0")
@example(CHECKS[7], "9" * 5000)
def test_any_text_is_taken_or_refused_on_one_line(check: Callable[[str], Any], text: str) -> None:
    try:
        check(text)
    except InvalidInput as error:
        assert is_one_plain_line(str(error))


@given(st.text())
def test_a_quoted_value_is_one_line_with_closed_quotes(text: str) -> None:
    shown = quoted(text)
    assert is_one_plain_line(shown)
    inside = shown[1:-1].replace("\\\\", "").replace('\\"', "")
    assert shown[0] == shown[-1] == '"' and '"' not in inside
