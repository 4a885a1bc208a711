# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Driver options, with Docker's keys: the checks of their values, and what those of the bridge driver say of a network.

Source: "Bridge network driver", options, in Docker's manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from . import _validate
from ._errors import InvalidInput

BRIDGE_NAME = "com.docker.network.bridge.name"
ENABLE_ICC = "com.docker.network.bridge.enable_icc"
ENABLE_IP_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
GATEWAY_MODE = {
    4: "com.docker.network.bridge.gateway_mode_ipv4",
    6: "com.docker.network.bridge.gateway_mode_ipv6",
}
HOST_ADDRESS = {4: "com.docker.network.host_ipv4", 6: "com.docker.network.host_ipv6"}
HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
INHIBIT_IPV4 = "com.docker.network.bridge.inhibit_ipv4"
INTERFACE_PREFIX = "com.docker.network.container_iface_prefix"
MTU = "com.docker.network.driver.mtu"
TRUSTED_INTERFACES = "com.docker.network.bridge.trusted_host_interfaces"

MTU_RANGE = (68, 65535)  # RFC 791; net/bridge takes no more than 64 KiB
PREFIX_LENGTH = 11  # leaves four of an interface's 15 characters for the number
NAT, UNPROTECTED, ROUTED, ISOLATED = "nat", "nat-unprotected", "routed", "isolated"
GATEWAY_MODES = (NAT, UNPROTECTED, ROUTED, ISOLATED)
Check = Callable[[str, str, str], str]  # subject, key and text → the text as it is kept; raises InvalidInput

TRUE, FALSE = ("true", "1", "yes", "on", "t"), ("false", "0", "no", "off", "f")


def is_on(options: Mapping[str, str], key: str) -> bool:
    """A switch that is on unless it was turned off."""
    return options.get(key, "true") == "true"


def mtu(options: Mapping[str, str]) -> int:
    return int(options.get(MTU, 1500))


def gateway_mode(options: Mapping[str, str], version: int) -> str:
    return options.get(GATEWAY_MODE[version], NAT)


def has_gateway(options: Mapping[str, str], version: int) -> bool:
    """Whether the bridge itself has an address of the family."""
    inhibited = version == 4 and options.get(INHIBIT_IPV4) == "true"
    return not inhibited and gateway_mode(options, version) != ISOLATED


def trusted_interfaces(options: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(filter(None, options.get(TRUSTED_INTERFACES, "").split(":")))


def interface_prefix(options: Mapping[str, str]) -> str:
    return options.get(INTERFACE_PREFIX, "eth")


def host_address(options: Mapping[str, str], version: int) -> str | None:
    """The source address of what leaves the network, where one is given."""
    return options.get(HOST_ADDRESS[version])


def _switch(subject: str, key: str, text: str) -> str:
    if text.lower() in TRUE:
        return "true"
    if text.lower() in FALSE:
        return "false"
    raise InvalidInput(subject, key, text, "is neither true nor false", "use true or false")


def check_mtu(subject: str, key: str, text: str) -> str:
    first, last = MTU_RANGE
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not first <= int(text) <= last:
        raise InvalidInput(subject, key, text, "is not an MTU", f"use a number from {first} to {last}")
    return str(int(text))


def _mode(subject: str, key: str, text: str) -> str:
    return _validate.choice(subject, key, text, GATEWAY_MODES)


def _interfaces(subject: str, key: str, text: str) -> str:
    return ":".join(_validate.interface(subject, key, name) for name in text.split(":"))


def check_prefix(subject: str, key: str, text: str) -> str:
    _validate.interface(subject, key, text)
    if len(text) > PREFIX_LENGTH:
        raise InvalidInput(
            subject,
            key,
            text,
            f"is too long ({len(text)} characters)",
            f"use at most {PREFIX_LENGTH}: a number follows",
        )
    return text


def _address(version: int) -> Check:
    def check(subject: str, key: str, text: str) -> str:
        address = _validate.address(subject, key, text)
        if address.version != version:
            raise InvalidInput(subject, key, text, f"is not an IPv{version} address", f"give one of IPv{version}")
        return str(address)

    return check


BRIDGE_OPTIONS: Mapping[str, Check] = {
    BRIDGE_NAME: _validate.interface,
    ENABLE_ICC: _switch,
    ENABLE_IP_MASQUERADE: _switch,
    GATEWAY_MODE[4]: _mode,
    GATEWAY_MODE[6]: _mode,
    HOST_ADDRESS[4]: _address(4),
    HOST_ADDRESS[6]: _address(6),
    HOST_BINDING: _address(4),
    INHIBIT_IPV4: _switch,
    TRUSTED_INTERFACES: _interfaces,
}
