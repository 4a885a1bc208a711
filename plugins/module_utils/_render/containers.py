# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as names below /run/netns."""

from __future__ import annotations

from .._hostconfig import HOST, Namespace
from .._model import Container
from .._state import State


def render_namespaces(state: State) -> dict[str, Namespace]:
    return {
        name: Namespace(name, _behind(state, container), since=container.created, anchor=container.anchor)
        for name, container in state.containers.items()
    }


def _behind(state: State, container: Container) -> str | None:
    """Whose namespace a handle leads to in the end; None where the container has its own."""
    if container.owns_namespace:
        return None
    if container.mode == "host":
        return HOST
    target = state.containers[str(container.target)]
    return target.name if target.owns_namespace else _behind(state, target)
