# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend for iptables: what its lines mean, that it reads back what it wrote, and that it touches nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._firewall.iptables import Iptables
from ansible_collections.bridgework.network.plugins.module_utils._firewall.iptables_text import (
    PREFIX,
    USER,
    normal,
    parse,
    transaction,
    with_user_chain,
)
from ansible_collections.bridgework.network.plugins.module_utils._firewall.ruleset import (
    DirectRule,
    NetworkRules,
    PortRule,
    Ruleset,
)
from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import FirewallLines
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.simulated_iptables import (
    Chain,
    Fate,
    Packet,
    Router,
    SimulatedIptables,
    canonical,
    words,
    written,
)

HOST, LAN_PEER, REMOTE = "192.0.2.10", "192.0.2.20", "198.51.100.7"
WEB, DB, VAULT, BATCH = "10.1.0.2", "10.1.0.3", "10.2.0.2", "10.3.0.2"
RULES = Ruleset(
    networks=(
        NetworkRules("br-front", ("10.1.0.0/16",)),
        NetworkRules("br-vault", ("10.2.0.0/16",), internal=True),
        NetworkRules("br-batch", ("10.3.0.0/16",), icc=False),
        NetworkRules("br-plain", ("10.4.0.0/16",), masquerade=False),
    ),
    ports=(
        PortRule("tcp", "0.0.0.0", 8000, WEB, 80),
        PortRule("udp", "0.0.0.0", 53, WEB, 5353),
        PortRule("tcp", HOST, 8001, DB, 5432),
        PortRule("tcp", "127.0.0.1", 8002, DB, 5432),
        PortRule("tcp", "0.0.0.0", 8003, BATCH, 80),
    ),
)
DROPPED = Fate(None)


def change(iptables: SimulatedIptables, wanted: FirewallLines, present: FirewallLines) -> None:
    iptables.restore(transaction(wanted, with_user_chain("ip", wanted, present, iptables.save)))


def router(forward_policy: str) -> Router:
    iptables = SimulatedIptables(forward_policy)
    change(iptables, Iptables().render([RULES]), {})
    gateways = tuple(network.subnets[0].replace("0.0/16", "0.1") for network in RULES.networks)
    return Router(iptables, (HOST, *gateways), {network.device: network.subnets[0] for network in RULES.networks})


class TestMeaning:
    """See ``_firewall.ruleset``; it must hold whatever the policy of the host's FORWARD chain is."""

    @pytest.fixture(params=["ACCEPT", "DROP"])
    def host(self, request: pytest.FixtureRequest) -> Router:
        return router(request.param)

    @pytest.mark.parametrize(
        ("packet", "fate"),
        [
            (Packet(REMOTE, HOST, 8000), Fate(f"{WEB}:80")),
            (Packet(LAN_PEER, HOST, 8000), Fate(f"{WEB}:80")),
            (Packet(REMOTE, HOST, 53, protocol="udp"), Fate(f"{WEB}:5353")),
            (Packet(REMOTE, HOST, 53), Fate(f"host {HOST}:53")),
            (Packet(REMOTE, HOST, 8001), Fate(f"{DB}:5432")),
            (Packet(REMOTE, HOST, 8003), Fate(f"{BATCH}:80")),
            (Packet(REMOTE, HOST, 22), Fate(f"host {HOST}:22")),
        ],
    )
    def test_published_port_leads_in_and_the_server_sees_the_client(
        self, host: Router, packet: Packet, fate: Fate
    ) -> None:
        assert host.send(packet) == fate

    @pytest.mark.parametrize("port", [80, 22, 8000])
    @pytest.mark.parametrize("address", [WEB, VAULT, BATCH, "10.4.0.2"])
    @pytest.mark.parametrize("source", [LAN_PEER, REMOTE])
    def test_container_cant_be_reached_directly(self, host: Router, source: str, address: str, port: int) -> None:
        assert host.send(Packet(source, address, port)) == DROPPED

    @pytest.mark.parametrize(
        ("packet", "fate"),
        [
            (Packet(HOST, HOST, 8000, came_in=None), Fate(f"{WEB}:80")),
            (Packet("127.0.0.1", "127.0.0.1", 8000, came_in=None), Fate(f"{WEB}:80", masqueraded=True)),
            (Packet("127.0.0.1", "127.0.0.1", 8002, came_in=None), Fate(f"{DB}:5432", masqueraded=True)),
            (Packet("127.0.0.1", "127.0.0.1", 8001, came_in=None), Fate("host 127.0.0.1:8001")),
            (Packet(HOST, WEB, 80, came_in=None), Fate(f"{WEB}:80")),
        ],
    )
    def test_host_itself_reaches_published_ports_and_its_containers(
        self, host: Router, packet: Packet, fate: Fate
    ) -> None:
        assert host.send(packet) == fate

    @pytest.mark.parametrize("came_in", ["eth0", "br-front", "br-vault"])
    def test_port_published_on_loopback_is_nothing_to_others(self, host: Router, came_in: str) -> None:
        fate = host.send(Packet(LAN_PEER, "127.0.0.1", 8002, came_in=came_in))
        assert fate in (DROPPED, Fate("host 127.0.0.1:8002")), "never forwarded"

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53"])
    @pytest.mark.parametrize("device", ["br-front", "br-vault", "br-batch"])
    def test_container_reaches_no_loopback_address_of_the_host(self, host: Router, device: str, address: str) -> None:
        assert host.send(Packet(WEB, address, 53, came_in=device)) == DROPPED
        assert host.send(Packet(address, HOST, 53, came_in=device)) == DROPPED

    @pytest.mark.parametrize(
        ("packet", "fate"),
        [
            (Packet(WEB, DB, came_in="br-front"), Fate(f"{DB}:80")),
            (Packet(VAULT, "10.2.0.3", came_in="br-vault"), Fate("10.2.0.3:80")),
            (Packet(BATCH, "10.3.0.3", came_in="br-batch"), DROPPED),
        ],
    )
    def test_containers_of_one_network_talk_unless_told_not_to(self, host: Router, packet: Packet, fate: Fate) -> None:
        assert host.send(packet) == fate

    @pytest.mark.parametrize(
        ("source", "device", "destination"),
        [
            (WEB, "br-front", BATCH),
            (WEB, "br-front", VAULT),
            (VAULT, "br-vault", WEB),
            (BATCH, "br-batch", WEB),
            ("10.4.0.2", "br-plain", WEB),
        ],
    )
    def test_containers_of_two_networks_do_not_reach_each_other(
        self, host: Router, source: str, device: str, destination: str
    ) -> None:
        assert host.send(Packet(source, destination, came_in=device)) == DROPPED

    @pytest.mark.parametrize(
        ("packet", "fate"),
        [
            (Packet(BATCH, HOST, 8000, came_in="br-batch"), Fate(f"{WEB}:80")),
            (Packet(DB, HOST, 8000, came_in="br-front"), Fate(f"{WEB}:80", masqueraded=True)),
            (Packet(WEB, HOST, 8000, came_in="br-front"), Fate(f"{WEB}:80", masqueraded=True)),
            (Packet("10.3.0.3", HOST, 8003, came_in="br-batch"), Fate(f"{BATCH}:80", masqueraded=True)),
        ],
    )
    def test_container_reaches_published_ports_of_any_network_its_own_included(
        self, host: Router, packet: Packet, fate: Fate
    ) -> None:
        reached = host.send(packet)
        assert reached.reached == fate.reached
        if fate.masqueraded:
            assert reached.masqueraded, "or the reply would not come back this way"

    @pytest.mark.parametrize(
        ("source", "device", "fate"),
        [
            (WEB, "br-front", Fate(f"{REMOTE}:443", masqueraded=True)),
            (BATCH, "br-batch", Fate(f"{REMOTE}:443", masqueraded=True)),
            ("10.4.0.2", "br-plain", Fate(f"{REMOTE}:443")),
            (VAULT, "br-vault", DROPPED),
        ],
    )
    def test_way_out_is_open_unless_the_network_is_internal(
        self, host: Router, source: str, device: str, fate: Fate
    ) -> None:
        assert host.send(Packet(source, REMOTE, 443, came_in=device)) == fate

    def test_replies_come_back(self, host: Router) -> None:
        reply = Packet(REMOTE, "10.4.0.2", 40000, state="ESTABLISHED")
        assert host.send(reply) == Fate("10.4.0.2:40000")

    def test_foreign_traffic_is_left_to_the_policy(self, host: Router) -> None:
        passed = host.iptables.tables["filter"]["FORWARD"].policy == "ACCEPT"
        assert host.send(Packet(LAN_PEER, REMOTE, 443)) == (Fate(f"{REMOTE}:443") if passed else DROPPED)


def test_no_network_is_no_rule() -> None:
    assert Iptables().render([Ruleset()]) == {}


@st.composite
def rulesets(draw) -> Ruleset:
    numbers = draw(st.lists(st.integers(0, 255), max_size=3, unique=True))
    networks = tuple(
        NetworkRules(
            f"br-{number}",
            (f"10.{number}.0.0/16",),
            *(draw(BOOLS) for _switch in range(5)),
            trusted=draw(LINKS),
            source=draw(st.sampled_from([None, HOST])),
        )
        for number in numbers
    )
    ports = draw(
        st.lists(
            st.builds(
                PortRule,
                st.sampled_from(["tcp", "udp", "sctp"]),
                st.sampled_from(["0.0.0.0", "127.0.0.1", HOST]),
                st.integers(1, 65535) | st.integers(8000, 8020),
                st.just("10.0.0.2"),
                st.integers(1, 65535),
                st.sampled_from([(), ("198.51.100.0/24",), (f"{LAN_PEER}/32", "203.0.113.0/24")]),
            ),
            max_size=40,
        )
    )
    direct = [
        DirectRule("tcp", network.device, f"10.0.0.{number}", draw(st.integers(1, 65535)), draw(LINKS))
        for network in networks
        for number in range(2, draw(st.sampled_from([2, 3, 22])))
    ]
    return Ruleset(networks=networks, ports=tuple(ports) if networks else (), direct=tuple(direct))


BOOLS = st.booleans()
LINKS = st.sampled_from([(), ("eth0",), ("eth0", "eth1")])
# Comments are free text; iptables keeps them on one line of at most 255 bytes.
COMMENT = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["it's", 'a "quoted" one', "-j BRIDGEWORK-FORWARD", "-m tcp", "back\\slash", "", " ", "'", '"', "-p tcp -m tcp"]
)
MATCHES = st.sampled_from(
    [(), ("-i", "eth0"), ("-s", "10.0.0.0/8"), ("!", "-o", "docker0"), ("-p", "tcp", "-m", "tcp", "--dport", "80")]
)
TARGETS = st.sampled_from(["ACCEPT", "DROP", "DOCKER-USER", "RETURN"])


@st.composite
def foreign_rules(draw) -> tuple[str, ...]:
    rule = draw(MATCHES)
    if draw(st.booleans()):
        rule += ("-m", "comment", "--comment", draw(COMMENT))
    rule += ("-j", draw(TARGETS))
    if draw(st.booleans()):
        rule = (*rule[:-2], "-j", "LOG", "--log-prefix", draw(COMMENT))
    return canonical(rule)


@st.composite
def foreign_tables(draw) -> SimulatedIptables:
    """A host's iptables with the rules of others in chains of their own and in built-in ones."""
    iptables = SimulatedIptables(draw(st.sampled_from(["ACCEPT", "DROP"])))
    for table, chain in (("filter", "FORWARD"), ("nat", "PREROUTING"), ("nat", "POSTROUTING"), ("raw", "PREROUTING")):
        iptables.tables[table].setdefault("DOCKER-USER", Chain("-")).rules += draw(RULE_LISTS)
        iptables.tables[table][chain].rules += draw(RULE_LISTS)
    return iptables


RULE_LISTS = st.lists(foreign_rules(), max_size=2)


@given(rulesets())
def test_what_is_rendered_is_what_is_read_back(ruleset: Ruleset) -> None:
    rendered = Iptables().render([ruleset])
    iptables = SimulatedIptables()
    change(iptables, rendered, {})
    assert parse("ip", iptables.save()) == rendered


@given(rulesets(), rulesets())
def test_a_transaction_has_only_what_differs(before: Ruleset, after: Ruleset) -> None:
    wanted, present = Iptables().render([after]), Iptables().render([before])
    script = transaction(wanted, present)
    named = {line.split(" ")[1] for line in script.split("\n") if line.startswith("-")}
    named |= {line[1:].split(" ")[0] for line in script.split("\n") if line.startswith(":")}
    differing = {place for place in {*wanted, *present} if wanted.get(place) != present.get(place)}
    assert named == {place.split(" ")[2] for place in differing}
    assert transaction(wanted, wanted) == ""


@given(foreign_tables(), st.lists(rulesets(), min_size=1, max_size=3))
def test_transactions_lead_from_any_rule_set_to_any_other_and_leave_foreign_rules_byte_identical(
    iptables: SimulatedIptables, rulesets: list[Ruleset]
) -> None:
    untouched = iptables.save()
    for ruleset in (*rulesets, Ruleset()):
        wanted, present = Iptables().render([ruleset]), parse("ip", iptables.save())
        change(iptables, wanted, present)
        assert parse("ip", iptables.save()) == wanted
        assert "\n".join(line for line in iptables.save().split("\n") if not is_ours(line)) == untouched
    assert iptables.save() == untouched


def is_ours(line: str) -> bool:
    """Whether it is one that iptables-save prints of us."""
    if line.startswith(":"):
        return line[1:].startswith(PREFIX)
    line_words = words(line) if line.startswith("-A ") else []
    jumps = line_words[-2:-1] in (["-j"], ["-g"]) and line_words[-1].startswith(PREFIX)
    return jumps or (bool(line_words) and line_words[1].startswith(PREFIX))


@given(rulesets(), rulesets(), RULE_LISTS, BOOLS)
def test_rules_of_the_administrator_are_neither_seen_nor_touched(
    before: Ruleset, after: Ruleset, rules: list[tuple[str, ...]], is_led_to: bool
) -> None:
    iptables = SimulatedIptables()
    iptables.tables["filter"][USER] = Chain("-", list(rules))
    if is_led_to:
        iptables.tables["filter"]["INPUT"].rules.append(("-j", USER))
    for ruleset in (before, after, Ruleset()):
        wanted = Iptables().render([ruleset])
        change(iptables, wanted, parse("ip", iptables.save()))
        assert parse("ip", iptables.save()) == wanted
        if rules or is_led_to or ruleset.networks:
            assert iptables.tables["filter"][USER].rules == rules
    assert (USER in iptables.tables["filter"]) == bool(rules or is_led_to)


@given(rulesets(), rulesets(), st.data())
def test_what_hands_did_to_our_chains_is_put_right(before: Ruleset, after: Ruleset, data) -> None:
    iptables = SimulatedIptables()
    change(iptables, Iptables().render([before]), {})
    for table in iptables.tables.values():
        for chain, held in table.items():
            if chain.startswith(PREFIX) and held.rules and data.draw(BOOLS):
                held.rules.pop(data.draw(st.integers(0, len(held.rules) - 1)))
            if chain.startswith(PREFIX) and data.draw(BOOLS):
                held.rules.insert(0, data.draw(foreign_rules()))
            if not chain.startswith(PREFIX) and held.rules and data.draw(BOOLS):
                held.rules.append(held.rules[0])  # a jump of ours, twice
    wanted = Iptables().render([after])
    change(iptables, wanted, parse("ip", iptables.save()))
    assert parse("ip", iptables.save()) == wanted


@given(COMMENT)
@example("a b")
def test_strange_jump_into_our_chains_is_removed_whatever_its_comment(comment: str) -> None:
    iptables = SimulatedIptables()
    wanted = Iptables().render([RULES])
    change(iptables, wanted, {})
    iptables.tables["filter"]["INPUT"].rules.append(("-m", "comment", "--comment", comment, "-j", f"{PREFIX}FORWARD"))
    present = parse("ip", iptables.save())
    assert present != wanted
    change(iptables, wanted, present)
    assert parse("ip", iptables.save()) == wanted


@given(foreign_tables())
def test_nothing_foreign_is_read_as_ours(iptables: SimulatedIptables) -> None:
    assert parse("ip", iptables.save()) == {}


@given(foreign_rules())
def test_normal_form_is_one(rule: tuple[str, ...]) -> None:
    once = normal(written(rule))
    assert normal(once) == once
    assert canonical(words(once)) == rule, "and means the same"


LINES = st.sampled_from(["*nat\n", "*filter\n", "COMMIT\n", ":BRIDGEWORK-", "-A BRIDGEWORK-PORTS ", "-A ", "-j "])


@given(st.lists(LINES | st.text(max_size=20)).map("".join))
def test_any_text_can_be_read(text: str) -> None:
    lines = parse("ip", text)
    assert all(PREFIX in place or PREFIX in "".join(rules) for place, rules in lines.items())
    assert Iptables().published(lines) == frozenset(), "nothing leads there"


@given(st.text())
def test_any_text_has_a_normal_form(text: str) -> None:
    once = normal(text)
    assert normal(once) == once


@pytest.mark.parametrize(
    ("printed", "form"),
    [
        ("-p tcp -m tcp --dport 80 -j ACCEPT", "-p tcp --dport 80 -j ACCEPT"),
        ("-p udp -m udp --dport 53 -j ACCEPT", "-p udp --dport 53 -j ACCEPT"),
        ("-p tcp -m conntrack --ctstate DNAT -j ACCEPT", "-p tcp -m conntrack --ctstate DNAT -j ACCEPT"),
        ('-m comment --comment "a b" -j ACCEPT', '-m comment --comment "a b" -j ACCEPT'),
        ("-j DROP", "-j DROP"),
    ],
)
def test_normal_form_leaves_out_what_iptables_adds(printed: str, form: str) -> None:
    assert normal(printed) == form


def test_empty_chains_and_chains_without_jumps_are_seen() -> None:
    saved = "*nat\n:PREROUTING ACCEPT [0:0]\n:BRIDGEWORK-PORTS - [0:0]\nCOMMIT\n"
    assert parse("ip", saved) == {"ip nat BRIDGEWORK-PORTS": ()}
