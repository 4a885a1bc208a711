# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""After any sequence of calls the host, its state file and what the info modules say are as the reference has them.

Hypothesis makes up the sequences. A test run tries few, the same each time; `make fuzz` tries many more, new and longer
ones, as does BRIDGEWORK_EXAMPLES=500 in the environment. One that fails is kept in .hypothesis and tried first again.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from kernel import calls, observed
from kernel.reference import FAMILIES, Reference, Refused, family_of
from kernel.support import Driver, Result, bare, check_error, flat, managed_lab, same, unlocked

EXAMPLES = int(os.environ.get("BRIDGEWORK_EXAMPLES") or 0)
SETTINGS = settings(
    max_examples=EXAMPLES or 12,
    stateful_step_count=40 if EXAMPLES else 15,
    derandomize=not EXAMPLES,  # a landing is not to hang on a new find; `make fuzz` looks for those
    print_blob=True,
    report_multiple_bugs=False,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
SEVERAL = {"container_network": "networks", "port_mapping": "mappings"}

Arguments = dict[str, Any]


class AnyCalls(RuleBasedStateMachine):
    """One throwaway host, and what it should be by the reference.

    Of a call, `checked` says that it is made in check mode first, `twice` that it is repeated at once.
    """

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

    @initialize(something=st.booleans(), backend=st.sampled_from(["iptables", "nftables"]))
    def begin(self, something: bool, backend: str) -> None:
        """With a host on which there is something, or nothing."""
        self.managed.backend = backend
        if something:
            networks = [{"name": "a", "enable_ipv6": True, "connected": ["x", "y"]}, {"name": "b", "connected": ["x"]}]
            self.call("container_network", {"networks": networks})

    @rule(networks=calls.declared_networks, checked=st.booleans(), twice=st.booleans())
    def declare_networks(self, networks: list[Arguments], checked: bool, twice: bool) -> None:
        self.call("container_network", {"networks": [*map(self.placed, networks)]}, checked, twice)

    @rule(networks=calls.connected_networks, checked=st.booleans(), twice=st.booleans())
    def connect(self, networks: list[Arguments], checked: bool, twice: bool) -> None:
        self.call("container_network", {"networks": [*map(self.placed, networks)]}, checked, twice)

    @rule(networks=calls.removed_networks, checked=st.booleans(), twice=st.booleans())
    def remove_networks(self, networks: list[Arguments], checked: bool, twice: bool) -> None:
        self.call("container_network", {"networks": [*map(self.placed, networks)]}, checked, twice)

    @rule(bridge=calls.any_bridge, checked=st.booleans(), twice=st.booleans())
    def declare_bridge(self, bridge: Arguments, checked: bool, twice: bool) -> None:
        self.call("netns_bridge", self.placed(bridge), checked, twice)

    @rule(mappings=calls.mappings, checked=st.booleans(), twice=st.booleans())
    def publish(self, mappings: list[Arguments], checked: bool, twice: bool) -> None:
        self.call("port_mapping", {"mappings": mappings}, checked, twice)

    @rule(pruning=calls.pruning, checked=st.booleans(), twice=st.booleans())
    def prune(self, pruning: Arguments, checked: bool, twice: bool) -> None:
        self.call("network_prune", pruning, checked, twice)

    @precondition(lambda self: self.reference.containers or self.reference.networks)
    @rule(damage=st.sampled_from(calls.DAMAGES), which=st.integers(0, 3))
    def damage(self, damage: str, which: int) -> None:
        """Somebody does something by hand. The next call repairs it, whatever that is about."""
        things = dict(self.things(which))
        if all(things.get(kind) for kind in ("bridge", "container", "member") if f"{{{kind}}}" in damage):
            command = damage.format(**things)
            note(f"# {command}")
            before = self.managed.snapshot()
            self.managed.host.run("sh", "-c", command, check=False)
            self.damaged |= unlocked(before) != unlocked(self.managed.snapshot())

    def things(self, which: int) -> Iterator[tuple[str, str]]:
        """One of each kind of thing that there is."""
        bridges = sorted(network["device"] for network in self.reference.networks.values())
        members = [(container, each["interface"]) for (_network, container), each in self.reference.endpoints.items()]
        for kinds, every in (
            (["bridge"], [(each,) for each in bridges]),
            (["container"], [(each,) for each in sorted(self.reference.containers)]),
            (["member", "interface"], members),
        ):
            if every:
                yield from zip(kinds, every[which % len(every)], strict=True)

    def placed(self, spec: Arguments) -> Arguments:
        """With addresses in the place of their numbers."""
        reference = self.reference
        name = spec["name"] if "endpoints" in spec else reference.on_device(spec.get("name", "bw0"))
        blocks = reference.networks.get(name, {"subnets": {}})["subnets"]
        subnets = {family: reference.free_subnet(family) for family in FAMILIES}
        subnets.update((family, block["subnet"]) for family, block in blocks.items())
        subnets.update((family_of(block["subnet"]), block["subnet"]) for block in spec.get("ipam_config", ()))

        def with_addresses(endpoint: Arguments) -> Arguments:
            numbers = {key: endpoint[key] for key in ("ipv4_address", "ipv6_address") if key in endpoint}
            networks = {"ipv4_address": subnets[4], "ipv6_address": subnets[6]}
            return {**endpoint, **{key: nth_address(networks[key], number) for key, number in numbers.items()}}

        listed = {key: spec[key] for key in ("endpoints", "containers") if key in spec}
        return {**spec, **{key: [*map(with_addresses, every)] for key, every in listed.items()}}

    def call(self, module: str, arguments: Arguments, checked: bool = False, twice: bool = False) -> None:
        """A call does what the reference does."""
        self.sound = False
        shown = f"{module}: {json.dumps(arguments)}{', checked' * checked}{', twice' * twice}"
        try:
            wanted, failing = self.reference.after(module, arguments)
        except Refused as refusal:
            note(f"{shown} # is refused: {refusal}")
            self.refused(module, arguments, checked and refusal.in_check_mode)
        else:
            changes = self.damaged or wanted != self.reference
            note(
                f"{shown} # {'changes' if changes else 'nothing'}{', but fails on ' * bool(failing)}{' '.join(failing)}"
            )
            self.done(module, arguments, changes, failing, checked, twice)
            records = observed.state_file(self.managed.host.pid)
            wanted.learn(records["networks"], records["ports"])
            self.reference, self.damaged = wanted, False
        if not self.damaged:
            self.compare()
        self.sound = True

    def refused(self, module: str, arguments: Arguments, checked: bool) -> None:
        """A call that has to fail says why, and leaves the host alone."""
        before = self.managed.snapshot()
        for check in [True] * checked + [False]:
            result = self.managed.once(module, arguments, check=check)
            assert result.get("failed"), result
            check_error(result["msg"])
            same(unlocked(before), unlocked(self.managed.snapshot()), "a call that failed changed the host")

    def done(
        self, module: str, arguments: Arguments, changes: bool, failing: set[str], checked: bool, twice: bool
    ) -> None:
        """A call that need not fail, or not but for some of the things that are to go."""
        predicted = None
        if checked:
            before = self.managed.snapshot()
            predicted = self.run(module, arguments, changes, failing, check=True)
            same(before, self.managed.snapshot(), "check mode changed the host")
        result = self.run(module, arguments, changes, failing)
        if predicted:
            same(flat(predicted), flat(result), "check mode predicted another result")
        if twice:
            again = self.run(module, arguments, False, failing)
            assert not again["actions"], again

    def run(self, module: str, arguments: Arguments, changes: bool, failing: set[str], check: bool = False) -> Result:
        several = SEVERAL.get(module, "")
        if len(arguments.get(several, ())) == 1:
            (arguments,) = arguments[several]  # the short form
        result = self.managed.once(module, arguments, check=check)
        assert bool(result.get("failed")) == bool(failing), result
        assert result["changed"] == changes, result
        items = result.get(several, []) if several else result.get("containers", [])
        if module != "network_prune":
            assert {item["name"] for item in items if item.get("failed")} == failing
            assert changes or not [item for item in items if item["changed"]], items
        return result

    def compare(self) -> None:
        """All is as the reference has it."""
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
        listed = [{"name": name} for name in self.reference.containers]
        for module, arguments in (
            ("container_network", {"networks": [each for each in networks if each["name"] != "bridge"]}),
            ("netns_bridge", {"containers": listed, "state": "absent", "force": True}),
        ):
            result = self.managed.once(module, arguments)
            assert not result.get("failed"), result
        left = self.managed.snapshot()
        same(bare(self.found), bare(left), "something is left behind")
        rows = [key for key in left if key.startswith("state ") and "'serial'" not in key]
        assert not rows, rows


def nth_address(subnet: str, number: int) -> str:
    return str(ipaddress.ip_network(subnet).network_address + number)


def as_wanted(what: str, seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    same(flat(wanted), flat(seen), f"{what} is not as the reference has it (wanted -> seen)")


def test_any_sequence_of_calls_does_what_the_reference_does(driver: Driver) -> None:
    run_state_machine_as_test(lambda: AnyCalls(driver), settings=SETTINGS)
