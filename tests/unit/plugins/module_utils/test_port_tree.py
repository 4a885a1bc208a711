# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of chains that published ports are found by: it leads where the rules say, quickly, and changes little."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._firewall.iptables import Iptables
from ansible_collections.bridgework.network.plugins.module_utils._firewall.iptables_text import parse, transaction
from ansible_collections.bridgework.network.plugins.module_utils._firewall.ruleset import (
    DirectRule,
    NetworkRules,
    PortRule,
    Ruleset,
)
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.simulated_iptables import (
    Fate,
    Packet,
    Router,
    SimulatedIptables,
)

NETWORK = NetworkRules("br-front", ("10.1.0.0/16",))
ROUTED = NetworkRules("br-front", ("10.1.0.0/16",), masquerade=False, protected=False)
HOST_ADDRESSES = [f"192.0.2.{number}" for number in range(1, 41)]
CLIENTS = ["198.51.100.7", "198.51.100.200", "203.0.113.9"]
SOURCES = st.lists(
    st.sampled_from(["198.51.100.0/25", "198.51.100.0/24", "203.0.113.9/32", "0.0.0.0/0"]), max_size=3, unique=True
).map(tuple)
# Close together as ranges are, and far apart as random ones are.
PORT_NUMBERS = st.integers(1, 65535) | st.integers(8000, 8040) | st.sampled_from([443, 65535])
ADDRESSES = st.just("0.0.0.0") | st.sampled_from(HOST_ADDRESSES)


@st.composite
def published_ports(draw) -> tuple[PortRule, ...]:
    keys = st.tuples(st.sampled_from(["tcp", "udp", "sctp"]), ADDRESSES, PORT_NUMBERS)
    found = draw(st.lists(keys, max_size=60, unique=True))
    return tuple(PortRule(*key, f"10.1.0.{i + 2}", 80, draw(SOURCES)) for i, key in enumerate(found))


def router(rules: Ruleset) -> Router:
    iptables = SimulatedIptables("DROP")
    iptables.restore(transaction(Iptables().render([rules]), {}))
    return Router(iptables, tuple(HOST_ADDRESSES), {"br-front": "10.1.0.0/16"})


def led_to(ports: Iterable[PortRule], packet: Packet) -> Fate:
    """What ``_firewall.ruleset`` says."""
    fitting = [
        port
        for port in ports
        if (port.protocol, port.host_port) == (packet.protocol, packet.port)
        and port.host_ip in (packet.destination, "0.0.0.0")
        and (packet.came_in is None or is_from(packet.source, port.sources))
    ]
    fitting.sort(key=lambda port: port.host_ip == "0.0.0.0")
    return Fate(f"{fitting[0].target_ip}:80" if fitting else f"host {packet.destination}:{packet.port}")


def is_from(client: str, sources: tuple[str, ...]) -> bool:
    return not sources or any(ipaddress.ip_address(client) in ipaddress.ip_network(each) for each in sources)


@given(published_ports(), st.data())
def test_a_packet_is_led_where_its_port_is_published_and_nowhere_else(ports: tuple[PortRule, ...], data) -> None:
    host = router(Ruleset(networks=(NETWORK,), ports=ports))
    asked = st.sampled_from(ports) if ports else st.nothing()
    for _packet in range(10):
        like = data.draw(
            asked | st.builds(PortRule, PROTOCOLS, ADDRESSES, PORT_NUMBERS, st.just(""), st.just(0), st.just(()))
        )
        destination = data.draw(st.sampled_from(HOST_ADDRESSES)) if like.host_ip == "0.0.0.0" else like.host_ip
        came_in = data.draw(st.sampled_from(["eth0", None]))
        source = data.draw(st.sampled_from(CLIENTS)) if came_in else destination
        packet = Packet(source, destination, like.host_port, came_in, like.protocol)
        assert host.send(packet) == led_to(ports, packet)


PROTOCOLS = st.sampled_from(["tcp", "udp", "sctp"])


@given(published_ports())
def test_what_is_published_is_read_back(ports: tuple[PortRule, ...]) -> None:
    """A client from anywhere is the same as no client in particular."""
    lines = Iptables().render([Ruleset(networks=(NETWORK,), ports=ports)])
    everybody = {port._replace(sources=() if "0.0.0.0/0" in port.sources else port.sources) for port in ports}
    assert Iptables().published(lines) == everybody


@given(published_ports(), st.randoms())
def test_the_tree_follows_from_the_ports_alone(ports: tuple[PortRule, ...], random) -> None:
    shuffled = random.sample(ports, len(ports))
    rendered = Iptables().render([Ruleset(networks=(NETWORK,), ports=tuple(shuffled))])
    assert rendered == Iptables().render([Ruleset(networks=(NETWORK,), ports=ports)])


def many(numbers: Iterable[int], host_ip: str = "0.0.0.0", sources: tuple[str, ...] = ()) -> tuple[PortRule, ...]:
    return tuple(PortRule("tcp", host_ip, port, f"10.1.{port >> 8}.{port & 255}", 80, sources) for port in numbers)


SETS = {
    "in a row": many(range(20000, 40000)),
    "far apart": many(range(1, 65536, 7)),
    "few": many(range(8000, 8010)),
    "on many addresses": tuple(port for address in HOST_ADDRESSES for port in many(range(440, 450), address)),
    "for some clients": many(range(8000, 9000), sources=("198.51.100.0/24", "203.0.113.9/32")),
}


@pytest.mark.parametrize("which", SETS)
def test_a_packet_is_shown_a_few_dozen_rules_however_many_ports_there_are(which: str) -> None:
    host = router(Ruleset(networks=(NETWORK,), ports=SETS[which]))
    packets = [Packet(CLIENTS[0], HOST_ADDRESSES[-1], port) for port in (*range(1, 65536, 997), 449, 8009, 8999, 39999)]
    for packet in packets:
        assert host.send(packet) == led_to(SETS[which], packet)
    assert max(host.rules_shown("nat", "PREROUTING", packet) for packet in packets) <= 70


@pytest.mark.parametrize("which", SETS)
def test_a_packet_to_a_service_of_the_host_is_out_soon(which: str) -> None:
    host = router(Ruleset(networks=(NETWORK,), ports=[port for port in SETS[which] if port.host_port > 1023]))
    assert host.rules_shown("nat", "PREROUTING", Packet(CLIENTS[0], HOST_ADDRESSES[0], 22)) <= 36


@pytest.mark.parametrize("which", ["in a row", "far apart", "on many addresses", "for some clients"])
def test_one_port_more_or_less_changes_one_chain(which: str) -> None:
    """But for the few that make a chain overflow."""
    ports = SETS[which]
    rendered = Iptables().render([Ruleset(networks=(NETWORK,), ports=ports)])
    for index in range(0, len(ports), len(ports) // 7):
        fewer = Iptables().render([Ruleset(networks=(NETWORK,), ports=ports[:index] + ports[index + 1 :])])
        for script in (transaction(fewer, rendered), transaction(rendered, fewer)):
            assert script.count("\n:") <= 2 * (1 + bool(ports[0].sources))
            assert script.count("\n-A") <= 34 * (1 + bool(ports[0].sources))


def test_few_ports_are_a_plain_list() -> None:
    rendered = Iptables().render([Ruleset(networks=(NETWORK,), ports=many([8001, 8000]))])
    assert rendered["ip nat BRIDGEWORK-PORTS"] == (
        "-p tcp --dport 8000 -j DNAT --to-destination 10.1.31.64:80",
        "-p tcp --dport 8001 -j DNAT --to-destination 10.1.31.65:80",
    )


def test_many_ports_are_ranges() -> None:
    rendered = Iptables().render([Ruleset(networks=(NETWORK,), ports=many(range(8192, 8212)))])
    assert rendered["ip nat BRIDGEWORK-PORTS"] == ("-p tcp --dport 8192:8447 -j BRIDGEWORK-TCP-8192-8447",)
    assert rendered["ip nat BRIDGEWORK-TCP-8192-8447"] == (
        "-p tcp --dport 8192:8207 -j BRIDGEWORK-TCP-8192-8207",
        "-p tcp --dport 8208:8223 -j BRIDGEWORK-TCP-8208-8223",
    )
    assert len(rendered["ip nat BRIDGEWORK-TCP-8192-8207"]) == 16


@st.composite
def direct_rules(draw) -> tuple[DirectRule, ...]:
    octets = st.integers(0, 255) | st.integers(2, 9)
    keys = st.tuples(st.sampled_from(["tcp", "udp"]), st.builds("10.1.{}.{}".format, octets, octets), PORT_NUMBERS)
    found = draw(st.lists(keys, max_size=60, unique=True))
    links = st.sampled_from([(), ("eth1",), ("eth0", "eth1")])
    return tuple(DirectRule(key[0], "br-front", *key[1:], draw(links), draw(SOURCES)) for key in found)


@given(direct_rules(), st.data())
def test_a_container_is_addressed_directly_where_it_may_be(direct: tuple[DirectRule, ...], data) -> None:
    host = router(Ruleset(networks=(ROUTED,), direct=direct))
    asked = st.sampled_from(direct) if direct else st.nothing()
    for _packet in range(10):
        target = data.draw(asked | st.builds(DirectRule, PROTOCOLS, st.just(""), st.just("10.1.3.3"), PORT_NUMBERS))
        source, came_in = data.draw(st.sampled_from(CLIENTS)), data.draw(st.sampled_from(["eth0", "eth1"]))
        is_let_in = any(
            (rule.protocol, rule.target_ip, rule.target_port) == (target.protocol, target.target_ip, target.target_port)
            and came_in in (rule.links or (came_in,))
            and is_from(source, rule.sources)
            for rule in direct
        )
        fate = host.send(Packet(source, target.target_ip, target.target_port, came_in, target.protocol))
        assert fate == Fate(f"{target.target_ip}:{target.target_port}" if is_let_in else None)


def test_ways_to_many_containers_are_short_too() -> None:
    addresses = [f"10.1.{number >> 8}.{number & 255}" for number in range(2, 5002)]
    direct = tuple(DirectRule("tcp", "br-front", address, 80) for address in addresses)
    host = router(Ruleset(networks=(ROUTED,), direct=direct))
    for address in addresses[::97]:
        packet = Packet(CLIENTS[0], address, 80)
        assert host.send(packet) == Fate(f"{address}:80")
        assert host.rules_shown("filter", "FORWARD", packet) <= 80


@pytest.mark.parametrize("version", [4, 6])
def test_names_are_not_longer_than_the_kernel_takes_and_none_stands_for_two(version: int) -> None:
    addresses = [f"fd00:1::{number:x}" if version == 6 else f"192.168.100.{number}" for number in range(1, 60)]
    ports = tuple(
        PortRule("tcp", address, port, address, 80, (f"{address}/128",)) for address in addresses for port in (1, 65535)
    )
    direct = tuple(DirectRule("sctp", "br-0123456789ab", address, port) for address in addresses for port in range(20))
    network = NetworkRules("br-0123456789ab", ("fd00:1::/64",))
    rendered = Iptables().render([Ruleset(version, (network,), ports, direct)])
    assert max(len(place.split(" ")[2]) for place in rendered) <= 28
    jumps = [line.split(" ")[-1] for lines in rendered.values() for line in lines if "-j BRIDGEWORK-" in line]
    inner = [jump for jump in jumps if jump != "BRIDGEWORK-PORTS"]
    assert len(inner) == len(set(inner))


@given(published_ports())
def test_it_reads_back_as_it_is_written(ports: tuple[PortRule, ...]) -> None:
    rules = Ruleset(networks=(NETWORK,), ports=ports)
    assert parse("ip", router(rules).iptables.save()) == Iptables().render([rules])
