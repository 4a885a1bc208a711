# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge and the containers on it, in the four modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import _options, _references, _validate
from .._drivers import DEFAULT
from .._errors import InUse, InvalidInput, listed, quoted
from .._facts import Facts
from .._model import (
    MODES,
    PREDEFINED_BRIDGE,
    PREDEFINED_BRIDGE_DEVICE,
    PREDEFINED_NETWORKS,
    Container,
    HostPort,
    Network,
    is_reference,
)
from .._state import State
from . import Item, listening, networks
from .endpoints import (
    EndpointSpec,
    connect,
    drop_endpoints,
    drop_mappings,
    missing,
    new_container,
    on_trust,
    remove_container,
    vacate,
)
from .networks import NetworkSpec, text_values

DESCRIBING = ("ipam_config", "enable_ipv4", "enable_ipv6", "driver_options", "labels")


@dataclass(frozen=True)
class ContainerSpec:
    """What a task says of one container; None leaves an existing one as it is."""

    name: str
    mode: str = "bridge"
    target: str | None = None
    endpoint: EndpointSpec | None = None
    sysctls: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None
    ports: tuple[HostPort, ...] | None = None
    given: frozenset[str] = frozenset()  # its name, where that is a path and so has to exist
    state: str = "present"

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ContainerSpec:
        name = params["name"]
        subject = f"container {quoted(name)}"
        given = name
        name = _references.container(subject, "name", given)
        mode = _validate.choice(subject, "mode", params.get("mode") or "bridge", MODES)
        target = params.get("target")
        state = params.get("state") or "present"
        if state == "present":
            target = _checked_target(subject, name, mode, target)
            _check_mode_options(subject, mode, params)
        sysctls, ports = params.get("sysctls"), params.get("ports")
        return cls(
            name=name,
            mode=mode,
            target=target,
            endpoint=EndpointSpec.from_params(subject, params, "name") if mode == "bridge" else None,
            sysctls=None if sysctls is None else _sysctls(subject, sysctls),
            labels=None if params.get("labels") is None else text_values(params["labels"]),
            ports=None if ports is None or state == "absent" else listening.parse(subject, mode, ports),
            given=_references.paths([given]) if state == "present" else frozenset(),
            state=state,
        )


@dataclass(frozen=True)
class BridgeSpec:
    """What a task says of a bridge and its containers."""

    network: NetworkSpec
    device: str
    containers: tuple[ContainerSpec, ...] = ()
    describes_bridge: bool = False
    force: bool = False
    state: str = "present"

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> BridgeSpec:
        device = PREDEFINED_BRIDGE_DEVICE if params.get("name") is None else params["name"]
        _validate.interface(f"bridge {quoted(device)}", "name", device)
        if device in PREDEFINED_NETWORKS:
            raise InvalidInput(
                f'bridge "{device}"',
                "name",
                device,
                "is the name of a predefined network",
                "choose another device name",
            )
        options = {_options.BRIDGE_NAME: device, **(params.get("driver_options") or {})}
        if options[_options.BRIDGE_NAME] != device:
            raise InvalidInput(
                f'bridge "{device}"',
                _options.BRIDGE_NAME,
                options[_options.BRIDGE_NAME],
                "differs from the option name",
                "leave it out: name is the device",
            )
        if device == PREDEFINED_BRIDGE_DEVICE:
            options.pop(_options.BRIDGE_NAME)
        network = {
            "name": PREDEFINED_BRIDGE if device == PREDEFINED_BRIDGE_DEVICE else device,
            "driver_options": options,
            "ipam_config": params.get("ipam_config"),
            "enable_ipv4": params.get("enable_ipv4"),
            "enable_ipv6": params.get("enable_ipv6"),
            "labels": params.get("labels"),
            "force": params.get("force"),
        }
        specs = tuple(ContainerSpec.from_params(each) for each in params.get("containers") or ())
        _refuse_repeats(specs)
        _refuse_targets_that_go(specs)
        return cls(
            network=NetworkSpec.from_params(network),
            device=device,
            containers=specs,
            describes_bridge=params.get("containers") is None or any(params.get(key) for key in DESCRIBING),
            force=bool(params.get("force")),
            state=params.get("state") or "present",
        )

    @property
    def needs_bridge(self) -> bool:
        """A task that says nothing of a bridge, and lists only containers of other modes, or removals, makes none."""
        present = [each for each in self.containers if each.state == "present"]
        return self.describes_bridge or any(each.mode == "bridge" for each in present)


def apply_bridge(state: State, facts: Facts, spec: BridgeSpec) -> list[Item]:
    """The bridge and the listed containers are as the spec says; containers not listed are left alone."""
    named = {name for each in spec.containers for name in (each.name, each.target) if name is not None}
    facts.look_up(named)
    if spec.state == "absent":
        return _remove_all(state, facts, spec)
    leaving = [each for each in spec.containers if each.state == "absent"]
    staying = _staying(state, facts, leaving)
    for each in _sharers_first(state, leaving):
        _remove(state, each.name, spec.force)
    network = _on_device(state, spec.device)
    if network is None and spec.network.name in state.networks:
        raise InvalidInput(
            f'bridge "{spec.device}"',
            "name",
            spec.device,
            f"is the name of a network whose bridge is {state.networks[spec.network.name].device}",
            "give that bridge, or choose another name",
        )
    wanted = spec.network if network is None else replace(spec.network, name=network.name)
    before = network
    warnings: dict[str, str] = {}
    guessed = networks.is_guessed(state, facts, wanted)
    if spec.needs_bridge or network is not None:
        network = networks.ensure(state, facts, wanted)
        if guessed:
            spec, warnings = _on_trust(network, spec)
    if network is not None:
        for each in spec.containers:
            if each.endpoint is not None:
                vacate(state, network, each.endpoint)
    for each in spec.containers:
        for warning in missing(state, facts, f'bridge "{spec.device}"', each.given):
            warnings[each.name] = "; ".join(filter(None, (warnings.get(each.name), warning)))
    for each in spec.containers:
        if each.state == "present":
            listening.vacate(state, each.name, each.mode, each.ports, spec.force)
    assumed = _assumptions(state, facts, spec)
    for each in _targets_first(spec.containers):
        if each.state == "present":
            _ensure(state, facts, network, each, spec.force)
    warnings.update(assumed)
    warnings.update(staying)
    items = [Item("container", each.name, each.state, warning=warnings.get(each.name)) for each in spec.containers]
    is_about_it = spec.needs_bridge or network != before
    return [*([Item("network", wanted.name, "present")] if is_about_it else []), *items]


def _on_trust(network: Network, spec: BridgeSpec) -> tuple[BridgeSpec, dict[str, str]]:
    """In check mode an earlier task may have pretended to make the bridge, with another subnet than is guessed now."""
    containers: list[ContainerSpec] = []
    warnings: dict[str, str] = {}
    for each in spec.containers:
        if each.endpoint is not None:
            (endpoint,), complaints = on_trust(network, [each.endpoint])
            each = replace(each, endpoint=endpoint)
            warnings.update((each.name, complaint) for complaint in complaints)
        containers.append(each)
    return replace(spec, containers=tuple(containers)), warnings


def _assumptions(state: State, facts: Facts, spec: BridgeSpec) -> dict[str, str]:
    """Warnings by container: in check mode an earlier task may have pretended to make the target."""
    if not facts.check_mode:
        return {}
    known = {*state.containers, *(each.name for each in spec.containers if each.state == "present")}
    return {
        each.name: f'container "{each.name}": there is no container {quoted(each.target)} yet; '
        "check mode takes it that an earlier task makes it"
        for each in spec.containers
        if each.target is not None
        and each.target not in known
        and not is_reference(each.target)
        and not facts.has_namespace(each.target)
    }


def _remove_all(state: State, facts: Facts, spec: BridgeSpec) -> list[Item]:
    staying = _staying(state, facts, spec.containers)
    for each in _sharers_first(state, spec.containers):
        _remove(state, each.name, spec.force)
    network = _on_device(state, spec.device)
    if network is not None:
        networks.drop(state, network, spec.force)
    name = spec.network.name if network is None else network.name
    return [
        Item("network", name, "absent"),
        *(Item("container", each.name, "absent", warning=staying.get(each.name)) for each in spec.containers),
    ]


def _staying(state: State, facts: Facts, specs: Sequence[ContainerSpec]) -> dict[str, str]:
    """Warnings by container: what we have no record of is another's, be it because the state file was lost."""
    return {
        each.name: f'container "{each.name}": there is no record of it, so /run/netns/{each.name} stays; '
        f"if nobody needs it, remove it with ip netns delete {each.name}"
        for each in specs
        if each.name not in state.containers
        and not is_reference(each.name)
        and facts.has_namespace(each.name)
        and not facts.made_namespace(each.name)
    }


def _remove(state: State, name: str, force: bool) -> None:
    if name in state.containers:
        remove_container(state, name, force)


def _sharers_first(state: State, specs: Sequence[ContainerSpec]) -> list[ContainerSpec]:
    """Listed together, a container and those that share its namespace go in one task, whatever their order."""

    def depth(name: str) -> int:
        return 1 + max((depth(sharer) for sharer in state.sharers_of(name)), default=0)

    return sorted(specs, key=lambda spec: depth(spec.name))


def _targets_first(specs: Sequence[ContainerSpec]) -> list[ContainerSpec]:
    """A target that the same task declares comes before the containers that share its namespace."""
    targets = {spec.name: spec.target for spec in specs if spec.state == "present"}

    def hops(spec: ContainerSpec) -> int:
        seen, target = [spec.name], targets.get(spec.name)
        while target is not None:
            if target in seen:
                raise _leads_back(spec)
            seen.append(target)
            target = targets.get(target)
        return len(seen)

    def free(spec: ContainerSpec) -> bool:
        return spec.endpoint is None or not spec.endpoint.fixes_address

    # Addresses that were asked for come before those that are free to choose.
    return sorted(specs, key=lambda spec: (hops(spec), free(spec)))


def _on_device(state: State, device: str) -> Network | None:
    bridges = (network for network in state.real_networks() if network.driver == DEFAULT)
    return next((network for network in bridges if network.device == device), None)


def _ensure(state: State, facts: Facts, network: Network | None, spec: ContainerSpec, force: bool) -> None:
    container = state.containers.get(spec.name)
    if container is None:
        container = new_container(state, facts, spec.name, spec.mode, spec.target)
    elif (container.mode, container.target) != (spec.mode, spec.target):
        _refuse_uprooting(state, facts, container, spec, force)
        container = replace(container, mode=spec.mode, target=spec.target)
        if spec.mode != "bridge":
            drop_endpoints(state, spec.name)
        if not container.owns_namespace:
            drop_mappings(state, spec.name)
    if spec.target is not None:
        _resolve_target(state, facts, spec)
    if spec.sysctls is not None and spec.sysctls != container.sysctls:
        _try_sysctls(facts, spec.name, spec.sysctls)
    if spec.ports:
        listening.claim(state, facts, container, spec.ports, force)
    state.containers[spec.name] = replace(
        container,
        ports=container.ports if spec.ports is None else spec.ports,
        sysctls=_kept_sysctls(container) if spec.sysctls is None else spec.sysctls,
        labels=container.labels if spec.labels is None else spec.labels,
    )
    if spec.endpoint is not None and network is not None:
        connect(state, facts, network, spec.endpoint)


def _kept_sysctls(container: Container) -> Mapping[str, str]:
    return container.sysctls if container.owns_namespace else {}


def _refuse_uprooting(state: State, facts: Facts, container: Container, spec: ContainerSpec, force: bool) -> None:
    """Going over to or from somebody else's namespace takes the present one away from its users."""
    if force or (container.owns_namespace and spec.mode in ("bridge", "none")):
        return
    users = [f'container "{sharer}"' for sharer in state.sharers_of(container.name)]
    if container.owns_namespace:
        users += [f"process {process}" for process in facts.processes_in(container.name)]
    if users:
        raise InUse(
            f'container "{container.name}"',
            "mode",
            spec.mode,
            f"would replace its namespace, which is used by {listed(users)}",
            "stop or remove those first, or set force",
        )


def _resolve_target(state: State, facts: Facts, spec: ContainerSpec) -> None:
    """The target exists, and following targets never leads back here."""
    target = str(spec.target)
    if target not in state.containers:
        if not is_reference(target) and not facts.has_namespace(target) and not facts.check_mode:
            raise InvalidInput(
                f'container "{spec.name}"',
                "target",
                target,
                "is no container on this host",
                "declare that container first",
            )
        new_container(state, facts, target, "bridge" if is_reference(target) else "none")
    seen = [spec.name]
    following: str | None = target
    while following is not None:
        if following in seen:
            raise _leads_back(spec)
        seen.append(following)
        following = state.containers[following].target


def _leads_back(spec: ContainerSpec) -> InvalidInput:
    return InvalidInput(
        f'container "{spec.name}"',
        "target",
        spec.target,
        "leads back to the container itself",
        "name another container",
    )


def _checked_target(subject: str, name: str, mode: str, target: str | None) -> str | None:
    if mode != "bridge" and is_reference(name):
        raise InvalidInput(
            subject, "mode", mode, "can't be that of a container that somebody else runs", "use mode bridge"
        )
    if mode != "container":
        if target is not None:
            raise InvalidInput(
                subject, "target", target, f"is given with mode {mode}", "use mode container, or leave it out"
            )
        return None
    if not target:
        raise InvalidInput(
            subject, "mode", mode, "is given without a target", "name the container to share with in target"
        )
    target = _references.container(subject, "target", target)
    if target == name:
        raise InvalidInput(subject, "target", target, "is the container itself", "name another container")
    return target


def _check_mode_options(subject: str, mode: str, params: Mapping[str, Any]) -> None:
    """Addresses belong to mode bridge; sysctls to a namespace of one's own."""
    options = [] if mode == "bridge" else ["ipv4_address", "ipv6_address", "mac_address", "interface_name"]
    if mode in ("host", "container"):
        options.append("sysctls")
    for option in options:
        if params.get(option):
            raise InvalidInput(
                subject,
                option,
                params[option],
                f"can't be set with mode {mode}",
                f"leave {option} out, or use mode bridge",
            )


def _sysctls(subject: str, sysctls: Mapping[str, Any]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for key, value in sysctls.items():
        path = _validate.sysctl(subject, key)
        if path in found:
            raise InvalidInput(subject, "sysctls", key, "is listed twice, in two spellings", "list it once")
        found[path] = _sysctl_value(subject, key, value)
    return found


def _sysctl_value(subject: str, key: str, value: Any) -> str:
    text = str(int(value)) if isinstance(value, bool) else "" if value is None else " ".join(str(value).split())
    if not text:
        raise InvalidInput(subject, "sysctls", key, "has no value", "give it one, or leave it out")
    return text


def _try_sysctls(facts: Facts, name: str, values: Mapping[str, str]) -> None:
    for path, fault in facts.sysctl_faults(values).items():
        raise InvalidInput(
            f'container "{name}"',
            "sysctls",
            f"{path}={values[path]}",
            fault,
            "see the kernel's documentation (networking/ip-sysctl) for what it takes, or leave it out",
        )


def _refuse_targets_that_go(specs: Sequence[ContainerSpec]) -> None:
    going = {spec.name for spec in specs if spec.state == "absent"}
    for spec in specs:
        if spec.state == "present" and spec.target in going:
            raise InvalidInput(
                f'container "{spec.name}"',
                "target",
                spec.target,
                "is listed as absent",
                "keep it, or share with another container",
            )


def _refuse_repeats(specs: Sequence[ContainerSpec]) -> None:
    seen = set()
    for spec in specs:
        if spec.name in seen:
            raise InvalidInput(f'container "{spec.name}"', "containers", spec.name, "is listed twice", "list it once")
        seen.add(spec.name)
