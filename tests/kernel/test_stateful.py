# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any sequence of calls leaves the host, its state file and what the info modules say as the reference has it.

Hypothesis makes up the calls. `BRIDGEWORK_EXAMPLES=500 pytest tests/kernel/test_stateful.py`, or `make fuzz`, tries
that many sequences, longer ones, instead of the few that fit into a test run.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from kernel import observed
from kernel.reference import FAMILIES, MTU, NAME, PORT_START, PORTS, Reference, Refused, family_of
from kernel.support import Driver, Result, bare, check_error, flat, managed_lab, same, unlocked

EXAMPLES = int(os.environ.get("BRIDGEWORK_EXAMPLES") or 0)
SETTINGS = settings(
    max_examples=EXAMPLES or 10,
    stateful_step_count=40 if EXAMPLES else 15,
    phases=[Phase.reuse, Phase.generate] + [Phase.shrink] * (not os.environ.get("NS")),
    report_multiple_bugs=False,
    print_blob=True,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)

# The things that calls are about: few, so that they get into each other's way.

NETWORKS = ("a", "b", "lab0", "bridge")
BRIDGES = ("bw0", "lab0")  # which netns_bridge is about
CONTAINERS = ("x", "y", "z")
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
BLOCKS = (
    {"subnet": "10.1.0.0/24"},
    {"subnet": "10.1.0.0/24", "gateway": "10.1.0.3"},
    {"subnet": "10.1.0.0/24", "iprange": "10.1.0.128/30"},
    {"subnet": "10.1.0.0/25"},
    {"subnet": "10.2.0.0/30"},
    {"subnet": "192.0.2.128/25"},
    {"subnet": "172.17.0.0/24"},
    {"subnet": "fd00:1::/64"},
    {"subnet": "fd00:1::/64", "gateway": "fd00:1::3"},
    {"subnet": "fd00:2::/126"},
)
ELSEWHERE = {4: "10.9.0.0/24", 6: "fd00:9::/64"}
DRIVER_OPTIONS = (
    {NAME: "lab0"},
    {NAME: "lab1"},
    {NAME: "eth0"},
    {MTU: 1400},
    {MTU: 1200},
    {"com.docker.network.bridge.enable_icc": False},
    {"com.docker.network.bridge.enable_icc": True, MTU: 1500},
    {"com.docker.network.bridge.enable_ip_masquerade": False},
)
LABELS = ({}, {"keep": ""}, {"keep": "", "team": "web"})
DAMAGES = (
    "ip link delete {bridge}",
    "ip link set {bridge} down",
    "ip address flush dev {bridge}",
    "for port in /sys/class/net/{bridge}/brif/*; do ip link set ${{port##*/}} nomaster; done",
    "ip netns delete {container}",
    "umount /run/netns/{container}",
    "ip -n {member} link delete {interface}",
    "ip -n {member} link set {interface} down",
    "ip -n {member} address flush dev {interface}",
    "ip -n {member} route delete default",
    "ip -6 -n {member} route delete default",
    "ip -n {member} link set lo down",
    "iptables -t nat -F BRIDGEWORK-PORTS",
    "iptables -F BRIDGEWORK-FORWARD",
    "ip6tables -F FORWARD; ip6tables -F BRIDGEWORK-FORWARD; ip6tables -X BRIDGEWORK-FORWARD",
    "nft flush ruleset",
    "echo 0 >/proc/sys/net/ipv4/ip_forward",
    "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
    "rm -r /run/bridgework",
)


def some(*parts: st.SearchStrategy[dict[str, Any]], **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Arguments: each of the parts and options is there or not, more often not."""
    nothing = st.just({})
    every = [*parts, *(st.fixed_dictionaries({key: value}) for key, value in options.items())]
    return st.tuples(*(nothing | nothing | part for part in every)).map(
        lambda found: {key: value for each in found for key, value in each.items()}
    )


def lists(elements: st.SearchStrategy[Any], key: Any = None, most: int = 3) -> st.SearchStrategy[list[Any]]:
    return st.lists(elements, min_size=1, max_size=most, unique_by=key or (lambda each: each))


def merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {key: value for each in found for key, value in each.items()})


def given(**options: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(options)


containers = st.sampled_from(CONTAINERS)
networks = st.sampled_from(NETWORKS)
booleans = st.booleans()
numbers = st.sampled_from((2, 3, 4, 1, 0, 200))  # of an address in its subnet
families = st.sampled_from(
    (
        {"enable_ipv6": True},
        {"enable_ipv6": True, "enable_ipv4": False},
        {"enable_ipv6": False},
        {"enable_ipv4": False},
        {"enable_ipv4": True},
    )
)
placing = {
    "ipv4_address": numbers,
    "ipv6_address": numbers,
    "mac_address": st.sampled_from(MACS),
    "interface_name": st.sampled_from(("eth0", "eth1", "lan")),
}
description = {
    "ipam_config": lists(st.sampled_from(BLOCKS), key=lambda block: family_of(block["subnet"])),
    "driver_options": st.sampled_from(DRIVER_OPTIONS),
    "labels": st.sampled_from(LABELS),
}
forced = some(force=st.just(True))

described_network = merged(given(name=networks), some(families, internal=booleans, **description), forced)
endpoint = merged(
    given(container=containers),
    st.one_of(given(state=st.just("absent")), some(aliases=st.just(["www"]), **placing), some(**placing)),
)
connected_network = merged(
    given(name=networks),
    some(appends=booleans),
    st.one_of(
        given(connected=lists(containers)),
        given(connected=st.just([])),
        given(endpoints=lists(endpoint, key=lambda each: each["container"])),
        given(connected=lists(containers), endpoints=lists(endpoint, key=lambda each: each["container"])),
    ),
)
absent_network = merged(given(name=networks, state=st.just("absent")), forced)
any_network = st.one_of(described_network, connected_network, merged(described_network, connected_network))

container = st.one_of(
    merged(given(name=containers), some(labels=st.sampled_from(LABELS), **placing)),
    merged(
        given(name=containers, mode=st.just("none")),
        some(labels=st.sampled_from(LABELS), sysctls=st.sampled_from(({}, {PORT_START: "80"}))),
    ),
    given(name=containers, mode=st.just("host")),
    given(name=containers, mode=st.just("container"), target=containers),
    given(name=containers, state=st.just("absent")),
)
any_bridge = merged(
    some(name=st.sampled_from(BRIDGES)),
    some(families, **description),
    some(containers=lists(container, key=lambda each: each["name"]))
    | given(containers=lists(container, key=lambda each: each["name"])),
    forced,
)
absent_bridge = merged(
    some(name=st.sampled_from(BRIDGES), containers=lists(given(name=containers), key=lambda each: each["name"])),
    given(state=st.just("absent")),
    forced,
)
mapping = merged(
    given(container=containers),
    st.one_of(
        given(published_ports=lists(st.sampled_from((*PORTS,)))),
        given(published_ports=lists(st.sampled_from((*PORTS,))), exclusive=st.just(True)),
        given(published_ports=lists(st.sampled_from((*PORTS,))), network=networks),
        given(exclusive=st.just(True)),
    ),
)
withdrawn = merged(
    given(container=containers, state=st.just("absent")), some(published_ports=lists(st.sampled_from((*PORTS,))))
)
pruning = some(
    networks=booleans,
    containers=booleans,
    filters=st.sampled_from(({"label": "keep"}, {"label!": "keep"}, {"label": "team", "label!": "other"})),
)


class AnyCalls(RuleBasedStateMachine):
    """One throwaway host, and what it should be by the reference."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.stack = ExitStack()
        _lab, self.managed = self.stack.enter_context(managed_lab(driver))
        self.found = self.managed.snapshot()
        probe = self.managed.once("container_network", {"name": "probe", "enable_ipv6": True}, check=True)
        chosen = ipaddress.ip_network(probe["network"]["IPAM"]["Config"][1]["Subnet"])
        assert chosen.subnet_of(ipaddress.ip_network("fd00::/8"))
        self.reference = Reference(str(chosen.supernet(new_prefix=48)))
        self.damaged = False
        self.sound = True  # no step has failed

    @rule(specs=lists(any_network, key=lambda each: each["name"], most=2), checked=booleans, twice=booleans)
    def declare_networks(self, specs: list[dict[str, Any]], checked: bool, twice: bool) -> None:
        specs = [self.placed_endpoints(spec) for spec in specs]
        self.call("container_network", {"networks": specs}, checked, twice)

    @rule(specs=lists(connected_network, key=lambda each: each["name"], most=2), checked=booleans, twice=booleans)
    def connect(self, specs: list[dict[str, Any]], checked: bool, twice: bool) -> None:
        specs = [self.placed_endpoints(spec) for spec in specs]
        self.call("container_network", {"networks": specs}, checked, twice)

    @rule(specs=lists(any_network | absent_network, key=lambda each: each["name"]), checked=booleans, twice=booleans)
    def remove_networks(self, specs: list[dict[str, Any]], checked: bool, twice: bool) -> None:
        specs = [self.placed_endpoints(spec) for spec in specs]
        self.call("container_network", {"networks": specs}, checked, twice)

    @rule(spec=any_bridge, checked=booleans, twice=booleans)
    def declare_bridge(self, spec: dict[str, Any], checked: bool, twice: bool) -> None:
        if "containers" in spec:
            network = self.reference.on_device(spec.get("name", "bw0")) or ""
            placed = [self.placed(each, network, spec) for each in spec["containers"]]
            spec = {**spec, "containers": placed}
        self.call("netns_bridge", spec, checked, twice)

    @rule(spec=absent_bridge, checked=booleans, twice=booleans)
    def remove_bridge(self, spec: dict[str, Any], checked: bool, twice: bool) -> None:
        self.call("netns_bridge", spec, checked, twice)

    @rule(
        specs=lists(mapping | withdrawn, key=lambda each: each["container"], most=2), checked=booleans, twice=booleans
    )
    def publish(self, specs: list[dict[str, Any]], checked: bool, twice: bool) -> None:
        self.call("port_mapping", {"mappings": specs}, checked, twice)

    @rule(spec=pruning, checked=booleans, twice=booleans)
    def prune(self, spec: dict[str, Any], checked: bool, twice: bool) -> None:
        self.call("network_prune", spec, checked, twice)

    @precondition(lambda self: self.reference.networks or self.reference.containers)
    @rule(damage=st.sampled_from(DAMAGES), which=st.integers(0, 3))
    def damage(self, damage: str, which: int) -> None:
        """Something that somebody does by hand; the next call, whatever it is, repairs it."""
        try:
            command = damage.format(**things(self.reference, which))
        except KeyError:
            return  # there is nothing of that kind
        note(f"# {command}")
        before = self.managed.snapshot()
        self.managed.host.run("sh", "-c", command, check=False)
        self.damaged |= unlocked(self.managed.snapshot()) != unlocked(before)

    def placed_endpoints(self, spec: dict[str, Any]) -> dict[str, Any]:
        if "endpoints" not in spec:
            return spec
        return {**spec, "endpoints": [self.placed(each, spec["name"], spec) for each in spec["endpoints"]]}

    def placed(self, endpoint: dict[str, Any], network: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """With addresses in place of their numbers."""
        subnets = dict(ELSEWHERE)
        if network in self.reference.networks:
            blocks = self.reference.networks[network]["subnets"]
            subnets.update((family, block["subnet"]) for family, block in blocks.items())
        subnets.update((family_of(block["subnet"]), block["subnet"]) for block in spec.get("ipam_config", ()))
        addresses = {
            key: str(ipaddress.ip_network(subnets[family]).network_address + endpoint[key])
            for family in FAMILIES
            if (key := f"ipv{family}_address") in endpoint
        }
        return {**endpoint, **addresses}

    def call(self, module: str, arguments: dict[str, Any], checked: bool, twice: bool) -> None:
        """One call of a module, which does what the reference does."""
        self.sound = False
        shown = f"{module}: {json.dumps(arguments)}{', checked first' * checked}{', twice' * twice}"
        try:
            wanted, failing = self.reference.after(module, arguments)
        except Refused as refusal:
            note(f"{shown} # refused: {refusal}")
            self.refused(module, arguments, checked and refusal.in_check_mode)
        else:
            changed = self.damaged or wanted != self.reference
            note(f"{shown} # {'changed' if changed else 'unchanged'}" + f", but {sorted(failing)} stay" * bool(failing))
            self.done(module, arguments, changed, failing, checked, twice)
            records = observed.state_file(self.managed.host.pid)
            wanted.learn(records["networks"], records["ports"])
            self.reference, self.damaged = wanted, False
        if not self.damaged:
            self.compare()
        self.sound = True

    def refused(self, module: str, arguments: dict[str, Any], checked: bool) -> None:
        """A call that must fail says why, and leaves the host alone."""
        before = self.managed.snapshot()
        for check in [True] * checked + [False]:
            result = self.managed.once(module, arguments, check=check)
            assert result.get("failed"), result
            check_error(result["msg"])
            same(unlocked(before), unlocked(self.managed.snapshot()), "a call that failed changed the host")

    def done(
        self, module: str, arguments: dict[str, Any], changed: bool, failing: set[str], checked: bool, twice: bool
    ) -> None:
        if checked:
            before = self.managed.snapshot()
            predicted = self.run(module, arguments, changed, failing, check=True)
            same(before, self.managed.snapshot(), "check mode changed the host")
        result = self.run(module, arguments, changed, failing)
        if checked:
            for key in ("actions", "diff"):
                assert predicted[key] == result[key], "check mode predicted something else"
        if twice:
            again = self.run(module, arguments, False, failing)
            assert not again["actions"], again

    def run(
        self, module: str, arguments: dict[str, Any], changed: bool, failing: set[str], check: bool = False
    ) -> Result:
        for several in ("networks", "mappings"):
            if isinstance(arguments.get(several), list) and len(arguments[several]) == 1:
                (arguments,) = arguments[several]  # the short form
        result = self.managed.once(module, arguments, check=check)
        assert bool(result.get("failed")) == bool(failing), result
        items = [item for key in ("networks", "containers", "mappings") for item in result.get(key, ())]
        items = [item for item in items if isinstance(item, dict)]
        assert {item["name"] for item in items if item.get("failed")} == failing
        assert result["changed"] == changed, result
        assert changed or not [item for item in items if item["changed"]], items
        return result

    def compare(self) -> None:
        """The host, its state file, and what the info modules say are as the reference has them."""
        pid = self.managed.host.pid
        inode = os.stat(f"/proc/{pid}/ns/net").st_ino
        as_wanted("the host", observed.kernel(self.managed.snapshot(), inode), self.reference.kernel())
        records = observed.state_file(pid)
        for key, endpoint in self.reference.endpoints.items():
            if endpoint["mac"] is None and key in records["endpoints"]:  # it is derived by hash
                records["endpoints"][key]["mac"] = None
        as_wanted("the state file", records, self.reference.state_file())
        networks = self.managed.once("container_network_info", {})["networks"]
        containers = self.managed.once("container_info", {})["containers"]
        as_wanted("info", observed.info(networks, containers), self.reference.info())

    def teardown(self) -> None:
        with self.stack:
            if self.sound:
                self.remove_everything()

    def remove_everything(self) -> None:
        """Nothing is left on the host but our own empty records."""
        networks = [{"name": name, "state": "absent", "force": True} for name in self.reference.networks]
        networks = [each for each in networks if each["name"] != "bridge"]
        listed = [{"name": name} for name in self.reference.containers]
        for module, arguments in (
            ("container_network", {"networks": networks}),
            ("netns_bridge", {"containers": listed, "state": "absent", "force": True}),
        ):
            result = self.managed.once(module, arguments)
            assert not result.get("failed"), result
        left = self.managed.snapshot()
        same(bare(self.found), bare(left), "something is left behind")
        rows = [key for key in left if key.startswith("state ") and '"counter"' not in key]
        assert not rows, rows


def as_wanted(what: str, seen: dict[str, Any], wanted: dict[str, Any]) -> None:
    same(flat(wanted), flat(seen), f"{what} is not as the reference has it (wanted -> seen)")


def things(host: Reference, which: int) -> dict[str, str]:
    """One of each kind of thing that damage is done to, where there is one."""
    endpoints = [(container, endpoint["interface"]) for (_, container), endpoint in host.endpoints.items()]
    member, interface = endpoints[which % len(endpoints)] if endpoints else (None, None)
    found = {"member": member, "interface": interface}
    for kind, every in (
        ("bridge", [each["device"] for each in host.networks.values()]),
        ("container", [*host.containers]),
    ):
        found[kind] = sorted(every)[which % len(every)] if every else None
    return {kind: name for kind, name in found.items() if name is not None}


def test_any_sequence_of_calls_does_what_the_reference_does(driver: Driver) -> None:
    run_state_machine_as_test(lambda: AnyCalls(driver), settings=SETTINGS)
