# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan leads from anything a host may hold to anything it must hold, and back, and touches nothing foreign."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bridgework.network.plugins.module_utils._hostconfig import (
    HOST,
    STALE,
    Address,
    HostConfig,
    Link,
    Namespace,
    Route,
    Sysctl,
    endpoint_owner,
    network_owner,
)
from ansible_collections.bridgework.network.plugins.module_utils._plan import (
    CREATE,
    DELETE,
    UPDATE,
    FirewallSwap,
    Plan,
    Step,
    make_plan,
)
from ansible_collections.bridgework.network.tests.unit.plugins.module_utils.simulated_host import Refused, SimulatedHost

CONTAINERS = ("web", "db", "log")
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
MTUS = (1500, 1400)
BRIDGE_ADDRESSES = ("10.0.0.1/24", "10.1.0.1/24")
ADDRESSES = ("10.0.0.2/24", "10.0.0.3/24", "10.1.0.2/24")
GATEWAYS = {"10.0.0": ("10.0.0.1", "10.0.0.254"), "10.1.0": ("10.1.0.1", "10.1.0.254")}
DESTINATIONS = ("default", "10.9.0.0/24")
LINES = ("-j ACCEPT", "-j DROP", "-i br0 -j DROP")
BITS = st.sampled_from(["0", "1"])


@st.composite
def configs(draw) -> HostConfig:
    """Anything that a declared state may ask of a host, from a small set of names, so that two of them collide."""
    config = HostConfig()
    own = draw(st.lists(st.sampled_from(CONTAINERS), unique=True))
    config.namespaces = {name: Namespace(name) for name in own}
    for name in CONTAINERS:
        if name not in own and draw(st.booleans()):
            config.namespaces[name] = Namespace(name, draw(st.sampled_from([HOST, *own])))
    bridges = draw(st.lists(st.sampled_from(["br0", "br1"]), unique=True))
    for name in bridges:
        owner = network_owner(draw(st.sampled_from(["blue", "red"])))
        add(config, Link(HOST, name, "bridge", owner, draw(st.sampled_from(MTUS)), draw(st.sampled_from(MACS))))
    for number in range(3):
        if own and bridges and draw(st.booleans()):
            add_pair(config, draw, number, own, bridges)
    config.addresses = frozenset(draw(addresses(config)))
    config.routes = frozenset(draw(routes(config)))
    keys = [(HOST, "net/ipv4/ip_forward"), *((name, "net/core/somaxconn") for name in own)]
    keys += [(link.namespace, f"net/ipv6/conf/{link.name}/accept_ra") for link in config.links.values()]
    # What is owed may hang on a link that goes.
    others = {"br0", "br1"}.difference(bridges)
    spare = [(HOST, "net/core/somaxconn"), *((HOST, f"net/ipv6/conf/{name}/disable_ipv6") for name in sorted(others))]
    config.sysctls = {key: Sysctl(*key, draw(BITS)) for key in keys if draw(st.booleans())}
    config.owed = {key: Sysctl(*key, draw(BITS)) for key in spare if draw(st.booleans())}
    places = draw(st.lists(st.sampled_from(["filter", "nat"]), unique=True))
    config.firewall = {place: tuple(draw(st.lists(st.sampled_from(LINES), max_size=3))) for place in places}
    return config


def add(config: HostConfig, link: Link) -> None:
    config.links[link.key] = link


def add_pair(config: HostConfig, draw: Any, number: int, own: list[str], bridges: list[str]) -> None:
    """A veth whose host end and owner are drawn apart, as another endpoint may have had the name."""
    inner = (draw(st.sampled_from(own)), draw(st.sampled_from(["eth0", "eth1"])))
    outer = (HOST, f"veth{number}")
    if inner in config.links:
        return
    owner = endpoint_owner(f"{draw(st.integers(0, 2)):012}")
    mtu, mac = draw(st.sampled_from(MTUS)), draw(st.sampled_from(MACS))
    master, hairpin = draw(st.sampled_from(bridges)), draw(st.booleans())
    add(config, Link(*outer, "veth", owner, mtu, master=master, peer=inner, hairpin=hairpin))
    add(config, Link(*inner, "veth", owner, mtu, mac, peer=outer))


@st.composite
def addresses(draw, config: HostConfig) -> list[Address]:
    """At most one address of each subnet on a link."""
    found = []
    for link in config.links.values():
        if link.namespace != HOST or link.kind == "bridge":
            pool = BRIDGE_ADDRESSES if link.kind == "bridge" else ADDRESSES
            chosen = draw(st.lists(st.sampled_from(pool), max_size=2, unique_by=lambda each: each[:6]))
            found += [Address(*link.key, address) for address in chosen]
    return found


@st.composite
def routes(draw, config: HostConfig) -> list[Route]:
    """At most one route to a destination in a namespace, through a gateway that a link reaches."""
    found: dict[tuple[str, str], Route] = {}
    for each in sorted(config.addresses, key=str):
        if each.namespace != HOST and draw(st.booleans()):
            destination = draw(st.sampled_from(DESTINATIONS))
            gateway = draw(st.sampled_from(GATEWAYS[each.address[:6]]))
            found[(each.namespace, destination)] = Route(each.namespace, each.link, destination, gateway)
    return list(found.values())


FOREIGN = HostConfig(
    namespaces={"theirs": Namespace("theirs", owned=False)},
    links={
        (HOST, "docker0"): Link(HOST, "docker0", "bridge", "", 1500, "02:42:00:00:00:01"),
        (HOST, "veth99"): Link(HOST, "veth99", "veth", "", 1500, MACS[0], "docker0", ("theirs", "eth0")),
        ("theirs", "eth0"): Link("theirs", "eth0", "veth", "", 1500, MACS[1], peer=(HOST, "veth99")),
    },
    addresses=frozenset({Address(HOST, "docker0", "10.0.0.1/24"), Address("theirs", "eth0", "10.0.0.2/24")}),
    routes=frozenset({Route("theirs", "eth0", "default", "10.0.0.1")}),
)


@st.composite
def hosts(draw) -> tuple[SimulatedHost, HostConfig]:
    """A host that holds an earlier configuration, or what somebody's hands or a killed run have left of it."""
    config = draw(configs())
    both = HostConfig(
        {**FOREIGN.namespaces, **config.namespaces},
        {**FOREIGN.links, **config.links},
        FOREIGN.addresses | config.addresses,
        FOREIGN.routes | config.routes,
        config.sysctls,
        firewall=config.firewall,
    )
    host = SimulatedHost.holding(both)
    for _number in range(draw(st.integers(0, 4))):
        disturb(draw, host, config)
    return host, config


CHANGES: list[dict[str, Any]] = [
    {"up": False},
    {"mtu": 1300},
    {"mac": "02:00:00:00:00:09"},
    {"master": None, "hairpin": False},
    {"owner": "bridgework unfinished"},
]


def disturb(draw: Any, host: SimulatedHost, config: HostConfig) -> None:
    things = [
        *config.namespaces.values(),
        *config.links.values(),
        *sorted(config.addresses, key=str),
        *sorted(config.routes, key=str),
        *config.sysctls.values(),
    ]
    thing = draw(st.sampled_from([FirewallSwap, *things]))
    try:
        if thing is FirewallSwap:
            host.firewall = draw(st.sampled_from([{}, {"filter": LINES}]))
        elif isinstance(thing, Sysctl):
            host.do(Step(UPDATE, after=replace(thing, value=draw(BITS))))
        elif isinstance(thing, Link) and draw(st.booleans()):
            change = draw(st.sampled_from(CHANGES))
            host.do(Step(UPDATE, after=replace(thing, **change)))
        elif isinstance(thing, Namespace) and thing.of is None and draw(st.booleans()):
            host.do(Step(UPDATE, after=replace(thing, loopback_up=False)))
        else:
            if isinstance(thing, Address):
                # A route whose gateway is out of reach is one that nobody could make again.
                host.lose_routes(thing.namespace, thing.link)
            host.do(Step(DELETE, before=thing))
            host.end_run()
    except Refused:
        pass  # gone already


def must_hold(found: HostConfig, wanted: HostConfig) -> None:
    """What was found is what was wanted; what the wanted side leaves open, the kernel chose."""
    ours = {name: space for name, space in found.namespaces.items() if name not in FOREIGN.namespaces}
    assert ours == wanted.namespaces
    given_macs = {key: link.mac for key, link in wanted.links.items()}
    assert {key: replace(link, mac=given_macs[key] and link.mac) for key, link in found.links.items()} == wanted.links
    assert found.addresses == wanted.addresses
    assert found.routes == wanted.routes
    assert {key: found.sysctls[key] for key in wanted.sysctls} == wanted.sysctls
    assert all(found.sysctls[key] == each for key, each in wanted.owed.items() if key in found.sysctls)
    assert found.firewall == wanted.firewall


def foreign(host: SimulatedHost) -> HostConfig:
    found = host.observe(FOREIGN)
    found.links = {key: link for key, link in found.links.items() if not link.owned}
    return HostConfig({"theirs": found.namespaces["theirs"]}, found.links)


@settings(max_examples=300)
@given(hosts(), configs())
def test_plan_leads_to_what_is_wanted_and_the_next_one_is_empty(
    drawn: tuple[SimulatedHost, HostConfig], wanted: HostConfig
) -> None:
    host, earlier = drawn
    before = foreign(host)
    plan = make_plan(wanted, host.observe(wanted, earlier))
    host.carry_out(plan)
    host.end_run()
    found = host.observe(wanted, earlier)
    must_hold(found, wanted)
    assert not make_plan(wanted, found)
    assert foreign(host) == before


@settings(max_examples=300)
@given(hosts(), configs(), st.data())
def test_plan_back_restores_what_was_there_wherever_the_run_failed(
    drawn: tuple[SimulatedHost, HostConfig], wanted: HostConfig, data
) -> None:
    host, earlier = drawn
    present = host.observe(wanted, earlier)
    before = foreign(host)
    plan = make_plan(wanted, present)
    host.carry_out(plan, until=data.draw(st.integers(0, len(plan.steps()) + 1)))
    host.carry_out(make_plan(present, host.observe(wanted, earlier, present)))
    host.end_run()
    found = host.observe(wanted, earlier)
    # Nothing can lead a handle back to where nothing is.
    found.namespaces |= {name: space for name, space in present.namespaces.items() if space.of == STALE}
    assert found == present
    assert foreign(host) == before


@given(hosts(), configs())
def test_nothing_foreign_is_in_a_step(drawn: tuple[SimulatedHost, HostConfig], wanted: HostConfig) -> None:
    host, earlier = drawn
    for step in make_plan(wanted, host.observe(wanted, earlier, FOREIGN)).steps():
        for thing in filter(None, (step.before, step.after, step.peer)):
            if isinstance(thing, (Link, Namespace)):
                assert thing.owned
            if isinstance(thing, Namespace):
                assert thing.name not in FOREIGN.namespaces
            else:
                assert (thing.namespace, getattr(thing, "link", getattr(thing, "name", ""))) not in FOREIGN.links


@given(configs())
def test_what_is_held_already_takes_no_step(config: HostConfig) -> None:
    config.owed = {}
    host = SimulatedHost.holding(config)
    plan = make_plan(config, host.observe(config))
    assert not plan and plan == Plan()


# A network "blue" with the container "web" in it.
BRIDGE = Link(HOST, "br0", "bridge", network_owner("blue"), 1500, MACS[0])
OUTER = Link(HOST, "veth0", "veth", endpoint_owner("0" * 64), 1500, master="br0", peer=("web", "eth0"), hairpin=True)
INNER = Link("web", "eth0", "veth", endpoint_owner("0" * 64), 1500, MACS[1], peer=(HOST, "veth0"))
GATEWAY = Address(HOST, "br0", "10.0.0.1/24")
ADDRESS = Address("web", "eth0", "10.0.0.2/24")
ROUTE = Route("web", "eth0", "default", "10.0.0.1")
QUIET = Sysctl("web", "net/ipv6/conf/eth0/accept_ra", "0")
RULES = {"filter FORWARD": ("-o br0 -j DROP", "-i br0 -j ACCEPT")}


def blue(**changes: Any) -> HostConfig:
    config = HostConfig(
        namespaces={"web": Namespace("web")},
        links={link.key: link for link in (BRIDGE, OUTER, INNER)},
        addresses=frozenset({GATEWAY, ADDRESS}),
        routes=frozenset({ROUTE}),
        sysctls={QUIET.key: QUIET},
        firewall=RULES,
    )
    return replace(config, **changes)


def with_link(config: HostConfig, link: Link) -> HostConfig:
    return replace(config, links={**config.links, link.key: link})


class TestOrder:
    def test_what_closes_comes_before_what_opens(self) -> None:
        plan = make_plan(blue(), HostConfig())
        assert plan == Plan(
            namespaces=(Step(CREATE, after=Namespace("web")),),
            firewall=FirewallSwap({}, RULES),
            links=(Step(CREATE, after=BRIDGE), Step(CREATE, after=OUTER, peer=INNER)),
            settings=(Step(CREATE, after=QUIET),),
            addresses=(Step(CREATE, after=GATEWAY), Step(CREATE, after=ADDRESS)),
            routes=(Step(CREATE, after=ROUTE),),
        )

    def test_links_go_before_the_firewall_that_covers_them_and_names_last(self) -> None:
        plan = make_plan(HostConfig(), blue())
        assert plan == Plan(
            unlink=(Step(DELETE, before=OUTER), Step(DELETE, before=BRIDGE)),
            firewall=FirewallSwap(RULES, {}),
            farewell=(Step(DELETE, before=Namespace("web")),),
        )

    def test_targets_come_before_handles_and_go_after_them(self) -> None:
        spaces = {"a": Namespace("a", "web"), "b": Namespace("b", HOST), "web": Namespace("web")}
        births = make_plan(HostConfig(spaces), HostConfig())
        deaths = make_plan(HostConfig(), HostConfig(spaces))
        assert [step.thing.key for step in births.namespaces] == ["web", "a", "b"]
        assert [step.thing.key for step in deaths.farewell] == ["a", "b", "web"]

    def test_name_that_changes_hands_is_freed_first(self) -> None:
        plan = make_plan(HostConfig({"web": Namespace("web")}), HostConfig({"web": Namespace("web", HOST)}))
        assert [step.verb for step in plan.namespaces] == [DELETE, CREATE]

    def test_forwarding_is_switched_before_the_values_that_follow_it(self) -> None:
        keys = [(HOST, "net/ipv4/conf/all/accept_redirects"), (HOST, "net/ipv4/ip_forward")]
        present = HostConfig(sysctls={key: Sysctl(*key, "1") for key in keys})
        plan = make_plan(HostConfig(owed={key: Sysctl(*key, "0") for key in keys}), present)
        assert [step.thing.path for step in plan.settings] == [keys[1][1], keys[0][1]]

    def test_values_that_follow_forwarding_are_written_after_it_even_where_they_are_right(self) -> None:
        switch, follower = (HOST, "net/ipv4/ip_forward"), (HOST, "net/ipv4/conf/all/accept_redirects")
        owed = {key: Sysctl(*key, "0") for key in (follower, switch)}
        present = HostConfig(sysctls={switch: Sysctl(*switch, "1"), follower: Sysctl(*follower, "0")})
        assert [step.thing.key for step in make_plan(HostConfig(owed=owed), present).settings] == [switch, follower]


class TestRepair:
    """The plan from a host that lacks or has changed one thing."""

    @pytest.mark.parametrize(
        ("present", "steps"),
        [
            (blue(addresses=frozenset({ADDRESS})), [Step(CREATE, after=GATEWAY)]),
            (blue(routes=frozenset()), [Step(CREATE, after=ROUTE)]),
            (
                blue(sysctls={QUIET.key: replace(QUIET, value="1")}),
                [Step(UPDATE, before=replace(QUIET, value="1"), after=QUIET)],
            ),
            (
                with_link(blue(), replace(BRIDGE, mtu=1400)),
                [Step(UPDATE, before=replace(BRIDGE, mtu=1400), after=BRIDGE)],
            ),
            (
                with_link(blue(), replace(OUTER, master=None, hairpin=False)),
                [Step(UPDATE, before=replace(OUTER, master=None, hairpin=False), after=OUTER)],
            ),
            (
                with_link(blue(routes=frozenset()), replace(INNER, up=False)),
                [Step(UPDATE, before=replace(INNER, up=False), after=INNER), Step(CREATE, after=ROUTE)],
            ),
            (
                blue(namespaces={"web": Namespace("web", loopback_up=False)}),
                [Step(UPDATE, before=Namespace("web", loopback_up=False), after=Namespace("web"))],
            ),
        ],
    )
    def test_takes_just_that_step(self, present: HostConfig, steps: list[Step]) -> None:
        plan = make_plan(blue(), present)
        assert plan.steps() == steps
        assert plan.firewall is None

    def test_route_is_made_again_where_its_link_loses_its_last_ipv4_address(self) -> None:
        other, sixth = Address("web", "eth0", "10.0.0.9/24"), Address("web", "eth0", "2001:db8::2/64")
        wanted = blue(addresses=frozenset({GATEWAY, ADDRESS, sixth}))
        plan = make_plan(wanted, blue(addresses=frozenset({GATEWAY, other, sixth})))
        assert plan.steps() == [Step(DELETE, before=other), Step(CREATE, after=ADDRESS), Step(CREATE, after=ROUTE)]

    def test_one_missing_rule_is_one_added_line(self) -> None:
        plan = make_plan(blue(), blue(firewall={"filter FORWARD": RULES["filter FORWARD"][1:]}))
        assert plan.firewall is not None
        assert plan.steps() == []
        assert [(line.place, line.text) for line in plan.firewall.added()] == [("filter FORWARD", "-o br0 -j DROP")]
        assert plan.firewall.removed() == []

    def test_rules_in_another_order_are_swapped(self) -> None:
        plan = make_plan(blue(), blue(firewall={"filter FORWARD": RULES["filter FORWARD"][::-1]}))
        assert plan and plan.firewall is not None
        assert plan.firewall.added() == plan.firewall.removed() == []

    def test_rule_that_is_there_twice_is_one_removed_line(self) -> None:
        lines = RULES["filter FORWARD"]
        plan = make_plan(blue(), blue(firewall={"filter FORWARD": (*lines, lines[0])}))
        assert plan.firewall is not None
        assert [line.text for line in plan.firewall.removed()] == [lines[0]]

    def test_mac_that_the_kernel_chose_is_left_alone(self) -> None:
        assert not make_plan(blue(), with_link(blue(), replace(OUTER, mac="4e:00:00:00:00:01")))

    def test_mark_that_the_container_changed_is_set_again(self) -> None:
        theirs = replace(INNER, owner="theirs")
        assert make_plan(blue(), with_link(blue(), theirs)).steps() == [Step(UPDATE, before=theirs, after=INNER)]

    @pytest.mark.parametrize(
        ("leader", "follower"),
        [
            ("net/ipv4/ip_forward", "net/ipv4/conf/eth0/forwarding"),
            ("net/ipv4/conf/all/forwarding", "net/ipv4/conf/eth0/forwarding"),
            ("net/ipv6/conf/all/forwarding", "net/ipv6/conf/eth0/forwarding"),
            ("net/ipv6/conf/all/disable_ipv6", "net/ipv6/conf/eth0/disable_ipv6"),
        ],
    )
    def test_container_setting_that_leads_is_written_before_those_that_it_rewrites(
        self, leader: str, follower: str
    ) -> None:
        right = [Sysctl("web", follower, "1"), Sysctl("web", leader, "0"), QUIET]
        wanted = blue(sysctls={each.key: each for each in right})
        present = blue(sysctls={**wanted.sysctls, ("web", leader): Sysctl("web", leader, "1")})
        settings = make_plan(wanted, present).settings
        assert [step.thing for step in settings] == [right[1], right[0]]

    def test_half_a_pair_is_made_anew(self) -> None:
        present = blue(routes=frozenset(), addresses=frozenset({GATEWAY}), sysctls={})
        del present.links[INNER.key]
        plan = make_plan(blue(), with_link(present, replace(OUTER, peer=None)))
        assert plan.unlink == (Step(DELETE, before=replace(OUTER, peer=None)),)
        assert plan.links == (Step(CREATE, after=OUTER, peer=INNER),)

    def test_ports_of_a_bridge_that_is_made_anew_are_put_back_on_it(self) -> None:
        host = SimulatedHost.holding(blue())
        host.do(Step(DELETE, before=BRIDGE))
        plan = make_plan(blue(), host.observe(blue()))
        assert [step.thing.key for step in plan.links] == [BRIDGE.key, OUTER.key]
        host.carry_out(plan)
        must_hold(host.observe(blue()), blue())

    def test_handle_whose_target_has_gone_is_made_anew(self) -> None:
        wanted = HostConfig({"web": Namespace("web"), "log": Namespace("log", "web")})
        host = SimulatedHost.holding(wanted)
        host.do(Step(DELETE, before=Namespace("web")))
        plan = make_plan(wanted, host.observe(wanted))
        assert [(step.verb, step.thing.key) for step in plan.steps()] == [
            (DELETE, "log"),
            (CREATE, "web"),
            (CREATE, "log"),
        ]


class TestRollback:
    """The way back from a run that failed."""

    def there_and_back(self, present: HostConfig, wanted: HostConfig) -> None:
        host = SimulatedHost.holding(present)
        seen = host.observe(present, wanted)
        host.carry_out(make_plan(wanted, seen))
        host.carry_out(make_plan(seen, host.observe(present, wanted)))
        assert host.observe(present, wanted) == seen

    def test_link_that_was_down_goes_down_and_takes_its_routes_along(self) -> None:
        self.there_and_back(with_link(blue(routes=frozenset()), replace(INNER, up=False)), blue())

    def test_route_is_removed_where_the_link_keeps_another_address(self) -> None:
        more = Address("web", "eth0", "10.1.0.2/24")
        self.there_and_back(blue(routes=frozenset()), blue(addresses=frozenset({GATEWAY, ADDRESS, more})))

    def test_removed_network_comes_back(self) -> None:
        self.there_and_back(blue(), HostConfig())

    def test_handle_that_led_nowhere_is_not_missed(self) -> None:
        present = HostConfig({"log": Namespace("log", STALE)})
        assert not make_plan(present, HostConfig())


class TestForeign:
    def test_namespace_of_the_right_kind_is_used_and_left_in_the_end(self) -> None:
        theirs = {"web": Namespace("web", owned=False)}
        assert make_plan(blue(), HostConfig(theirs)).namespaces == ()
        assert make_plan(HostConfig(), HostConfig(theirs)) == Plan()

    def test_interface_that_took_a_name_of_ours_meanwhile_is_left_alone(self) -> None:
        present = HostConfig(links={BRIDGE.key: replace(BRIDGE, owner="")})
        assert make_plan(HostConfig(), present) == Plan()


def test_what_is_owed_to_a_link_goes_with_it() -> None:
    key = (HOST, "net/ipv4/conf/br0/forwarding")
    present = blue(sysctls={key: Sysctl(*key, "1")})
    assert make_plan(HostConfig(owed={key: Sysctl(*key, "0")}), present).settings == ()
