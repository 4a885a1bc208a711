# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop that every task runs through: declared state → intent → render → observe → plan → apply.

Nothing here knows Ansible; a boot-time restore runs the same loop with an intent that changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar

from . import _reserved
from ._conflicts import find_conflicts, find_waiting, left_alone, without_waiting
from ._errors import BridgeworkError, HostError, KernelError, NamespaceGone, StateError, listed, quoted
from ._facts import Facts
from ._firewall import AUTO, Firewall
from ._hostconfig import HOST, UNFINISHED, Address, HostConfig, Link, Namespace, Route, Sysctl
from ._intent import Item, items_of
from ._kernel import Kernel
from ._kernel.facts import HostFacts
from ._kernel.observe import Scope, observe
from ._kernel.sysctl import read_traits
from ._ledger import Ledger, SavedSysctl
from ._lock import run_lock
from ._plan import CREATE, UPDATE, Plan, make_plan
from ._render import render
from ._settings import LEADERS
from ._state import State
from ._store import Store

if TYPE_CHECKING:
    from ._flows import PortChange

LOOKS = 5

Outcome = TypeVar("Outcome")
Intent = Callable[[State, Facts], Outcome]


@dataclass(frozen=True)
class Result(Generic[Outcome]):
    """What a run found and did; in check mode, what it would do. ``outcome`` is what the intent returned."""

    before: State
    after: State
    plan: Plan
    outcome: Outcome
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.plan) or redeclared(self.before, self.after)


def converge(intent: Intent[Outcome], check_mode: bool = False, firewall_backend: str = AUTO) -> Result[Outcome]:
    """Bring the host to the declared state as the intent changes it; in check mode, only say what that would take.

    Raises BridgeworkError, and has then left the host and the declared state as they were.
    """
    _require_root()
    try:
        with run_lock(check_mode), Kernel() as kernel:
            return _Run(kernel, Store(), Firewall(), firewall_backend).run(intent, check_mode)
    except OSError as error:
        raise KernelError(f"the host refused to be looked at, and is as it was before: {error}") from error


def look(view: Intent[Outcome]) -> Outcome:
    """What a view makes of the declared state and the host's facts; nothing is changed, and nothing waits.

    A run meanwhile may take a namespace away that is just being looked into: then all is looked at once more.
    """
    _require_root()
    for _attempt in range(LOOKS - 1):
        try:
            return _look(view)
        except NamespaceGone:
            continue
    return _look(view)


def _look(view: Intent[Outcome]) -> Outcome:
    try:
        with Kernel() as kernel:
            state, ledger = Store().load()
            kernel.namespaces.look_up(state.containers)
            return view(state, HostFacts(kernel, ledger, check_mode=False))
    except OSError as error:
        raise KernelError(f"the host refused to be looked at: {error}") from error


def _require_root() -> None:
    if os.geteuid() != 0:
        raise HostError(f"user id {os.geteuid()}: network namespaces need root; run the task with become: true")


def redeclared(before: State, after: State) -> bool:
    return replace(before, serial=0) != replace(after, serial=0)


class _Run:
    """One pass through the loop."""

    def __init__(self, kernel: Kernel, store: Store, firewall: Firewall, backend: str) -> None:
        self._kernel = kernel
        self._store = store
        self._firewall = firewall
        self._backend = backend
        self._fingerprint = store.fingerprint()
        self._declared, self._ledger = store.load()
        traits = read_traits(self._ledger.unfinished(HOST))
        reserved = traits.reserved_ports
        others = None if reserved is None else _reserved.of_others(reserved, self._declared, self._ledger)
        self._traits = replace(traits, reserved_ports=others)

    def run(self, intent: Intent[Outcome], check_mode: bool) -> Result[Outcome]:
        state = self._declared.copy()
        facts = HostFacts(self._kernel, self._ledger, check_mode, self._others_ports)
        self._kernel.namespaces.look_up(state.containers)
        outcome = intent(state, facts)
        state.forget_idle_references()
        used = self._declared.firewall_backend
        state.firewall_backend = self._firewall.choose(self._backend, used) if state.routed_networks() else ""
        if used and state.firewall_backend not in ("", used):
            self._firewall.require_no_users_rules(used, state.firewall_backend)
        old = self._render(self._declared)
        wanted = self._render(state) if redeclared(self._declared, state) else old
        items = items_of(outcome)
        is_about, asks_of = _is_about(items, self._declared, state), _asks_of(self._declared, state)
        left: dict[str, str] = {}  # containers, and why they are left alone
        while True:
            present = self._observe(self._ledger, wanted, old)
            needed = without_waiting(wanted, old, present)
            waiting = find_waiting(wanted, old, present)
            for each in waiting:
                if each.is_new:
                    raise HostError(each.problem)
            for conflict in find_conflicts(needed, present):
                concerns = asks_of if conflict.is_absence else is_about
                is_ours = conflict.container == HOST or concerns(conflict.container)
                # In check mode an earlier task may have pretended to start it.
                if is_ours and not (check_mode and conflict.may_come):
                    raise HostError(conflict.problem)
                left.setdefault(conflict.container, conflict.problem)
            target = left_alone(needed, present, left) if left else needed
            plan = make_plan(target, present)
            if plan.firewall is not None:
                self._firewall.require({**old.firewall, **wanted.firewall})  # also for what is to go
            change = _port_change(target, present, old)
            problems = [*left.values(), *(each.problem for each in waiting)]
            warnings = (
                *_warnings(items, problems),
                *_stranded(self._declared, state),
                *self._objections(state),
                *_lasting_flows(change),
            )
            result = Result(self._declared, state, plan, outcome, warnings)
            if check_mode:
                if plan.firewall is not None:
                    self._firewall.rehearse(target.firewall, present.firewall)
                return result
            try:
                if result.changed or self._is_owed(state, target):
                    self._carry_out(result, target, old, present, left, change)
                self._firewall.remember(self._store.fingerprint())
                return result
            except KernelError as error:
                # What goes wrong in a container is its own; others get what they asked for.
                if not error.container or error.container in left or is_about(error.container):
                    raise
                left[error.container] = str(error)

    @property
    def _others_ports(self) -> frozenset[int]:
        """What others have reserved."""
        return self._traits.reserved_ports or frozenset()

    def _objections(self, state: State) -> list[str]:
        """What others have against our traffic."""
        devices = {each.device: each.versions for each in state.routed_networks() if not each.internal}
        local = self._kernel.tables.local_addresses
        return self._firewall.objections(state.firewall_backend, devices, state.mappings, local)

    def _is_owed(self, state: State, wanted: HostConfig) -> bool:
        """Whether a run that was killed has left claims in the ledger that nothing stands behind any more."""
        abandoned = any(name not in state.containers for name in self._ledger.namespaces)
        return bool(self._ledger.pending or wanted.owed) or abandoned

    def _render(self, state: State) -> HostConfig:
        return render(state, self._ledger, self._firewall, self._traits)

    def _observe(self, ledger: Ledger, wanted: HostConfig, old: HostConfig, *others: HostConfig) -> HostConfig:
        scope = Scope.of(ledger, wanted, old, *others)
        return observe(self._kernel, scope, self._firewall, expected=old, declared=self._fingerprint)

    def _carry_out(
        self,
        result: Result[Any],
        wanted: HostConfig,
        old: HostConfig,
        present: HostConfig,
        left: Mapping[str, str],
        change: PortChange | None,
    ) -> None:
        announced = self._announce(result, wanted)
        if announced != self._ledger:
            self._record(announced)
        try:
            self._apply(result.plan)
            self._forget_flows(change)
            settled = self._settle(announced, result, wanted, left)
            self._store.save((self._declared, announced), (result.after, settled))
        except BaseException as error:
            self._roll_back(error, announced, present, wanted, old)
            if isinstance(error, OSError):
                raise KernelError(f"the host refused a step, and is as it was before: {error}") from error
            raise

    def _apply(self, plan: Plan) -> None:
        # What is only needed where something is to be done is imported there: most runs find nothing.
        from ._kernel.apply import apply

        apply(self._kernel, plan, self._firewall)

    def _forget_flows(self, change: PortChange | None) -> None:
        if change is not None:
            from ._kernel.conntrack import forget_left_behind

            forget_left_behind(self._kernel.tables, change)

    def _record(self, announced: Ledger) -> None:
        try:
            self._store.save((self._declared, self._ledger), (self._declared, announced))
        except StateError:
            self._store.unmake()
            raise

    def _announce(self, result: Result[Any], wanted: HostConfig) -> Ledger:
        """The ledger as it must stand before the host is touched, so that nothing is lost if the run is killed."""
        ledger = self._ledger.copy()
        if result.after.firewall_backend != result.before.firewall_backend:
            ledger.pending.add(("firewall", HOST, result.after.firewall_backend, ""))
        ports = _reserved.announcement(result.before, result.after, self._others_ports)
        if ports is not None:
            ledger.pending.add(ports)
        for step in result.plan.steps():
            thing = step.thing
            if step.verb == CREATE and isinstance(thing, Namespace):
                ledger.namespaces[thing.name] = thing.of
            elif step.verb == CREATE and isinstance(thing, (Link, Address, Route)):
                for each in (thing, step.peer):
                    ledger.pending.update(_announcements(each))
            elif step.verb == UPDATE and isinstance(thing, Sysctl) and _outlives_us(thing, wanted):
                if isinstance(step.before, Sysctl):
                    ledger.sysctls.setdefault(thing.key, SavedSysctl(step.before.value))
                if thing.namespace == HOST and thing.path in LEADERS:
                    followers = self._kernel.sysctls.followers(thing.path)
                    for path, value in followers.items():
                        ledger.sysctls.setdefault((HOST, path), SavedSysctl(value, thing.path))
        return ledger

    def _settle(self, announced: Ledger, result: Result[Any], wanted: HostConfig, left: Mapping[str, str]) -> Ledger:
        """The ledger after all steps succeeded."""
        ledger = announced.copy()
        # What an unfinished run left of a container is still there where that is left alone.
        kept = {key for key, link in wanted.links.items() if link.owner == UNFINISHED}
        ledger.pending = {row for row in self._ledger.pending if row[1] in left or row[1:3] in kept}
        ledger.shared_ports = _reserved.shared(result.after, self._others_ports)
        for name in [name for name in ledger.namespaces if name not in result.after.containers]:
            del ledger.namespaces[name]
        for key, value in self._kernel.sysctls.replaced.items():
            if key in wanted.sysctls and _outlives_us(wanted.sysctls[key], wanted):
                ledger.sysctls.setdefault(key, SavedSysctl(value))
        for key in list(ledger.sysctls):
            if key in wanted.owed or not (key[0] == HOST or key[0] in result.after.containers):
                del ledger.sysctls[key]
        return ledger

    def _roll_back(
        self, error: BaseException, announced: Ledger, present: HostConfig, wanted: HostConfig, old: HostConfig
    ) -> None:
        """Plan from what is there now to what was there before, and carry that out."""
        newly_saved = {key: each for key, each in announced.sysctls.items() if key not in self._ledger.sysctls}
        target = replace(
            present,
            links={key: link for key, link in present.links.items() if link.owned and link.owner != UNFINISHED},
            owed={key: Sysctl(*key, saved.value) for key, saved in newly_saved.items() if key not in present.sysctls},
        )
        try:
            now = self._observe(announced, wanted, old, target)
            self._apply(make_plan(target, now))
            self._forget_flows(_port_change(target, now))
            self._store.save((self._declared, announced), (self._declared, self._ledger))
            self._store.unmake()
        except (BridgeworkError, OSError) as second:
            raise KernelError(
                f"{error}; putting back what was there failed too ({second}): the next run repairs it"
            ) from error


def _port_change(wanted: HostConfig, *earlier: HostConfig) -> PortChange | None:
    """What becomes of the published ports; None where nothing does."""
    if all(each.firewall is wanted.firewall for each in earlier):
        return None
    from ._flows import PortChange

    return PortChange.towards(wanted.ports(), *(each.ports() for each in earlier))


def _lasting_flows(change: PortChange | None) -> list[str]:
    """That flows which should end go on, where the kernel can't be told to end them."""
    ports = change.left_behind if change is not None else []
    if not ports:
        return []
    from ._kernel.conntrack import is_told

    if is_told():
        return []
    return [
        f"firewall: clients of {listed(ports)} that go on sending are led as before, since this kernel can't be asked "
        "for its flows; load the module that tells of them (modprobe nf_conntrack_netlink) before ports are changed"
    ]


def _warnings(items: Iterable[Item], problems: Iterable[str]) -> tuple[str, ...]:
    own = [item.warning for item in items if item.warning is not None]
    return (*own, *(f"{problem} (it is left as it is)" for problem in problems))


def _stranded(before: State, after: State) -> list[str]:
    """Published ports that led to a container, and lead nowhere as it is on other networks now."""
    if (before.endpoints, before.networks) == (after.endpoints, after.networks):
        return []
    return [
        f"container {quoted(mapping.container)}: its published port {mapping.shown} leads nowhere now; "
        "connect the container again, name another network for it, or unpublish it"
        for key, mapping in after.mappings.items()
        if key in before.mappings and after.publishing_endpoint(mapping) is None
        if before.publishing_endpoint(before.mappings[key]) is not None
    ]


def _is_about(items: Iterable[Item], before: State, after: State) -> Callable[[str], bool]:
    """Whether a task is about a container: names it, or a network that it is on."""
    named = {(item.kind, item.name) for item in items}

    def is_about(container: str) -> bool:
        endpoints = [*before.endpoints_of(container), *after.endpoints_of(container)]
        return not named.isdisjoint({("container", container), *(("network", each.network) for each in endpoints)})

    return is_about


def _asks_of(before: State, after: State) -> Callable[[str], bool]:
    """Whether a task declares something of a container that was not: itself, whom it shares with, a connection, a port.

    All else can wait until whoever runs the container brings it back.
    """

    def asks_of(container: str) -> bool:
        was, now = before.containers.get(container), after.containers.get(container)
        if was is None or now is None or (was.mode, was.target) != (now.mode, now.target):
            return True
        return any((each.network, container) not in before.endpoints for each in after.endpoints_of(container)) or any(
            each.key not in before.mappings for each in after.mappings_of(container)
        )

    return asks_of


def _outlives_us(sysctl: Sysctl, wanted: HostConfig) -> bool:
    """Whether a setting stays behind when we no longer want it."""
    return sysctl.lasting and sysctl.key not in wanted.owed


def _announcements(thing: Link | Address | Route | None) -> Iterable[tuple[str, str, str, str]]:
    if isinstance(thing, Link):
        names = {thing.name, thing.birth_name}
        yield from (("link", thing.namespace, name, "") for name in names)
    if isinstance(thing, Address):
        yield ("address", thing.namespace, thing.link, thing.address)
    if isinstance(thing, Route):
        yield ("route", thing.namespace, thing.link, f"{thing.destination} via {thing.gateway}")
