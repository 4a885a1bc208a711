# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's syntax of published ports."""

from __future__ import annotations

import netaddr
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._errors import InvalidInput
from ansible_collections.bridgework.network.plugins.module_utils._portspec import (
    SYNTAX,
    PublishedPort,
    parse_exposed,
    parse_published,
)
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.support import is_one_plain_line, refused

SUBJECT = 'port mapping of "web"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", [PublishedPort("tcp", 8080)]),
        ("8080/udp", [PublishedPort("udp", 8080)]),
        ("8080/UDP", [PublishedPort("udp", 8080)]),
        ("2905/sctp", [PublishedPort("sctp", 2905)]),
        ("8080-8081", [PublishedPort("tcp", 8080), PublishedPort("tcp", 8081)]),
        ("8000:8080", [PublishedPort("tcp", 8080, None, (8000, 8000))]),
        ("1:65535", [PublishedPort("tcp", 65535, None, (1, 1))]),
        ("08000:08080", [PublishedPort("tcp", 8080, None, (8000, 8000))]),
        ("192.0.2.7::8080", [PublishedPort("tcp", 8080, "192.0.2.7")]),
        ("0.0.0.0::8080", [PublishedPort("tcp", 8080, "0.0.0.0")]),
        ("192.0.2.7:13306:3306/tcp", [PublishedPort("tcp", 3306, "192.0.2.7", (13306, 13306))]),
        ("[2001:db8::1]:53:53/udp", [PublishedPort("udp", 53, "2001:db8::1", (53, 53))]),
        ("[2001:DB8:0::1]::53", [PublishedPort("tcp", 53, "2001:db8::1")]),
        ("[::]:80:80", [PublishedPort("tcp", 80, "::", (80, 80))]),
        (
            "7000-7002:8000-8002",
            [
                PublishedPort("tcp", 8000, None, (7000, 7000)),
                PublishedPort("tcp", 8001, None, (7001, 7001)),
                PublishedPort("tcp", 8002, None, (7002, 7002)),
            ],
        ),
        (
            "192.0.2.7:53-54:53-54/udp",
            [PublishedPort("udp", 53, "192.0.2.7", (53, 53)), PublishedPort("udp", 54, "192.0.2.7", (54, 54))],
        ),
        ("7000-7010:80", [PublishedPort("tcp", 80, None, (7000, 7010))]),
        ("7000-7000:80-80", [PublishedPort("tcp", 80, None, (7000, 7000))]),
    ],
)
def test_published_port(text: str, expected: list[PublishedPort]) -> None:
    assert parse_published(SUBJECT, [text]) == expected


def test_ports_of_several_texts_keep_their_order() -> None:
    assert [port.container_port for port in parse_published(SUBJECT, ["90", "80-81", "70"])] == [90, 80, 81, 70]


@pytest.mark.parametrize(
    ("text", "shown", "problem"),
    [
        ("0", "0", "has the port 0; use ports from 1 to 65535"),
        ("70000", "70000", "has the port 70000; use ports from 1 to 65535"),
        ("0:80", "0:80", "has the port 0; use ports from 1 to 65535"),
        ("8000:0", "8000:0", "has the port 0; use ports from 1 to 65535"),
        ("8000:70000", "8000:70000", "has the port 70000; use ports from 1 to 65535"),
        ("65535-65536:80", "65535-65536:80", "has the port 65536; use ports from 1 to 65535"),
        ("192.0.2.7:0:80", "192.0.2.7:0:80", "has the port 0; use ports from 1 to 65535"),
        (
            "7000-7002:80-81",
            "7000-7002:80-81",
            "has ranges of unequal length (3 host ports, 2 container ports); "
            "make them equally long, or name a single container port",
        ),
        (
            "7000:80-81",
            "7000:80-81",
            "has ranges of unequal length (1 host ports, 2 container ports); "
            "make them equally long, or name a single container port",
        ),
        ("7010-7000:80", "7010-7000:80", "has a range that runs backwards; write 7000-7010"),
        ("81-80", "81-80", "has a range that runs backwards; write 80-81"),
        ("80/dccp", "80/dccp", 'has the unknown protocol "dccp"; use one of: tcp, udp, sctp'),
        ("80/", "80/", 'has the unknown protocol ""; use one of: tcp, udp, sctp'),
        ("80/tcp/udp", "80/tcp/udp", 'has the unknown protocol "tcp/udp"; use one of: tcp, udp, sctp'),
        ("80/tcp\n", "80/tcp\\n", 'has the unknown protocol "tcp\\n"; use one of: tcp, udp, sctp'),
        *(
            (text, shown, f"is not a port mapping; {SYNTAX}")
            for text, shown in [
                ("", ""),
                ("/tcp", "/tcp"),
                ("web", "web"),
                ("-80", "-80"),
                ("80-", "80-"),
                ("+80", "+80"),
                (" 80", " 80"),
                ("80\n", "80\\n"),
                ("8_0", "8_0"),
                ("٨٠", "\\u0668\\u0660"),
                ("80.0", "80.0"),
                ("1" * 10, "1" * 10),
                ("70-71-72:80", "70-71-72:80"),
                (":80", ":80"),
                ("8000:", "8000:"),
                ("192.0.2.7:80", "192.0.2.7:80"),
                ("192.0.2.7:8000:", "192.0.2.7:8000:"),
                ("1:2:3:4", "1:2:3:4"),
                ("2001:db8::1:53:53", "2001:db8::1:53:53"),
                ("[2001:db8::1]:53", "[2001:db8::1]:53"),
                (":8000:80", ":8000:80"),
                ("::80", "::80"),
                ("[2001:db8::1]:1:2:3", "[2001:db8::1]:1:2:3"),
                ('"80"', '\\"80\\"'),
            ]
        ),
    ],
)
def test_bad_published_port_is_refused(text: str, shown: str, problem: str) -> None:
    with refused(f'{SUBJECT}: published_ports "{shown}" {problem}'):
        parse_published(SUBJECT, [text])


@pytest.mark.parametrize("text", ["[::ffff:192.0.2.7]:8000:80", "[::FFFF:c000:207]::80/udp"])
def test_ipv4_address_is_written_as_one(text: str) -> None:
    shown = text.partition("]")[0].strip("[")
    with refused(
        f'{SUBJECT}: published_ports "{shown}" is an IPv4 address in the form of an IPv6 one; write 192.0.2.7'
    ):
        parse_published(SUBJECT, [text])


@pytest.mark.parametrize(
    "address", ["192.0.2.999", "192.0.2", "1", "localhost", " 192.0.2.7", "2001-db8--1", "[fe80::1%eth0]"]
)
def test_host_address_must_be_one(address: str) -> None:
    shown = address.strip("[]")
    with refused(f'{SUBJECT}: published_ports "{shown}" is not an IP address; write it like 192.168.10.5'):
        parse_published(SUBJECT, [f"{address}:8000:80"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [PublishedPort("tcp", 80)]),
        ("53/udp", [PublishedPort("udp", 53)]),
        ("7000-7001/tcp", [PublishedPort("tcp", 7000), PublishedPort("tcp", 7001)]),
    ],
)
def test_exposed_port_is_given_a_random_host_port(text: str, expected: list[PublishedPort]) -> None:
    assert parse_exposed(SUBJECT, [text]) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("8000:80", 'is not a container port; write it like "8080", "53/udp" or "7000-7010"'),
        ("web", 'is not a container port; write it like "8080", "53/udp" or "7000-7010"'),
        ("0", "has the port 0; use ports from 1 to 65535"),
        ("80/icmp", 'has the unknown protocol "icmp"; use one of: tcp, udp, sctp'),
    ],
)
def test_bad_exposed_port_is_refused(text: str, problem: str) -> None:
    with refused(f'{SUBJECT}: exposed_ports "{text}" {problem}'):
        parse_exposed(SUBJECT, [text])


@given(st.text() | st.text(alphabet="0123456789:-/[]. \ntcpud"))
@example("80/\x85")
@example("80/\ud800")
@example("\x00:80:80")
@example("[\ud800]:80:80")
def test_any_text_parses_or_is_refused_on_one_line(text: str) -> None:
    for parse in (parse_published, parse_exposed):
        try:
            found = parse(SUBJECT, [text])
        except InvalidInput as error:
            assert is_one_plain_line(str(error))
        else:
            assert found
            for port in found:
                first, last = port.host_ports or (1, 1)
                assert 1 <= port.container_port <= 65535
                assert 1 <= first <= last <= 65535


PORT = st.integers(1, 65535)
ADDRESS = st.none() | st.ip_addresses().filter(lambda address: not getattr(address, "ipv4_mapped", None)).map(
    lambda address: str(netaddr.IPAddress(str(address)))
)


def written(port: PublishedPort) -> str:
    """The port as a user would write it."""
    host = "" if port.host_ports is None else "-".join(map(str, port.host_ports))
    address = f"[{port.host_ip}]" if port.host_ip and ":" in port.host_ip else port.host_ip
    front = f"{address}:{host}:" if address else f"{host}:" if host else ""
    return f"{front}{port.container_port}/{port.protocol}"


@given(
    st.sampled_from(["tcp", "udp", "sctp"]),
    PORT,
    ADDRESS,
    st.none() | st.tuples(PORT, PORT).map(lambda pair: (min(pair), max(pair))),
)
def test_what_is_written_is_read_back(
    protocol: str, container_port: int, host_ip: str | None, host_ports: tuple[int, int] | None
) -> None:
    port = PublishedPort(protocol, container_port, host_ip, host_ports)
    assert parse_published(SUBJECT, [written(port)]) == [port]


@given(PORT, PORT, st.integers(1, 50))
def test_ranges_of_equal_length_are_mapped_one_to_one(host: int, container: int, length: int) -> None:
    length = min(length, 65536 - host, 65536 - container)
    ports = parse_published(SUBJECT, [f"{host}-{host + length - 1}:{container}-{container + length - 1}"])
    assert [(port.host_ports, port.container_port) for port in ports] == [
        ((host + i, host + i), container + i) for i in range(length)
    ]
