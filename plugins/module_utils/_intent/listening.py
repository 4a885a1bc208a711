# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of the host that containers in mode host listen on: each is for one of them, and none is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import _portspec, _validate
from .._errors import InUse, InvalidInput
from .._facts import Facts
from .._hostports import HostPorts
from .._model import Container, HostPort
from .._state import State


def parse(subject: str, mode: str, values: Sequence[Any]) -> tuple[HostPort, ...]:
    """The ports of a container that has the mode. Raises InvalidInput."""
    if values and mode != "host":
        remedy = {
            "bridge": "publish them with port_mapping",
            "container": "publish those of the target with port_mapping",
        }.get(mode, "leave it out, or use mode host")
        shown = ",".join(map(str, values))
        raise InvalidInput(subject, "ports", shown, f"can't be set with mode {mode}", remedy)
    return tuple(_portspec.parse_listening(subject, _validate.words(values)))


def vacate(state: State, name: str, mode: str, ports: Sequence[HostPort] | None, force: bool) -> None:
    """The container is without the ports that it is not to keep, so that others of the task may have them.

    Raises InUse where it would leave the host's network, and nobody said that its service has no ports there any more.
    """
    container = state.containers.get(name)
    if container is not None and container.ports:
        if mode != "host" and ports is None and not force:
            shown = ",".join(each.shown for each in container.ports)
            raise InUse(
                f'container "{name}"',
                "mode",
                mode,
                f"would take it off the host's network, where its service has {shown}",
                "choose another name, withdraw those ports with ports: [], or set force",
            )
        kept: Sequence[HostPort] = container.ports
        if ports is not None:
            kept = [each for each in ports if any(own.covers(each) for own in container.ports)]
        state.containers[name] = replace(container, ports=tuple(kept) if mode == "host" else ())


def claim(state: State, facts: Facts, container: Container, ports: Sequence[HostPort], force: bool) -> None:
    """Those of the ports that the container does not have yet are nobody else's. Raises InUse.

    What listens on a port that it has already is taken for its own service; with force, so is what listens now.
    """
    host = HostPorts(state, facts)
    for port in ports:
        if port in container.ports:
            continue
        holder, remedy = host.declared_on(port, container.name), "choose another port, or withdraw that one first"
        if holder is None and not force:
            holder = host.listening_on(port)
            remedy = "choose another port, or stop that process; set force where it is the container's own service"
        if holder is not None:
            raise InUse(f'container "{container.name}"', "ports", port.shown, f"is in use by {holder}", remedy)
