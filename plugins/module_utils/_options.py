# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the bridge driver, with Docker's keys."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from . import _validate
from ._errors import InvalidInput

BRIDGE_NAME = "com.docker.network.bridge.name"
ENABLE_ICC = "com.docker.network.bridge.enable_icc"
ENABLE_IP_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
MTU = "com.docker.network.driver.mtu"

KNOWN = (BRIDGE_NAME, ENABLE_ICC, ENABLE_IP_MASQUERADE, MTU)
MTU_RANGE = (68, 65535)  # RFC 791; net/bridge takes no more than 64 KiB

TRUE, FALSE = ("true", "1", "yes", "on", "t"), ("false", "0", "no", "off", "f")


def checked(subject: str, options: Mapping[str, Any]) -> Mapping[str, str]:
    """The options as text, each key known and each value of its kind."""
    return {key: _value(subject, _known(subject, key, value), value) for key, value in options.items()}


def is_on(options: Mapping[str, str], key: str) -> bool:
    """A switch that is on unless it was turned off."""
    return options.get(key, "true") == "true"


def mtu(options: Mapping[str, str]) -> int:
    return int(options.get(MTU, 1500))


def _known(subject: str, key: str, value: Any) -> str:
    if key in KNOWN:
        return key
    near = difflib.get_close_matches(key, KNOWN, n=1)
    remedy = f"did you mean {near[0]}?" if near else "use one of: " + ", ".join(KNOWN)
    raise InvalidInput(subject, "driver_options", f"{key}={value}", "is unknown", remedy)


def _value(subject: str, key: str, value: Any) -> str:
    text = str(value)
    if key == BRIDGE_NAME:
        return _validate.interface(subject, key, text)
    if key == MTU:
        first, last = MTU_RANGE
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not first <= int(text) <= last:
            raise InvalidInput(subject, key, text, "is not an MTU", f"use a number from {first} to {last}")
        return str(int(text))
    if text.lower() in TRUE:
        return "true"
    if text.lower() in FALSE:
        return "false"
    raise InvalidInput(subject, key, text, "is neither true nor false", "use true or false")
