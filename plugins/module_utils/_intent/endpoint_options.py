# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of one endpoint, checked one by one; those of the driver have Docker's keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import _validate
from .._errors import InvalidInput, did_you_mean
from .._settings import link_in

INTERFACE = "com.docker.network.endpoint.ifname"
SYSCTLS = "com.docker.network.endpoint.sysctls"
PLACEHOLDER = "IFNAME"  # stands for the interface in the settings


def aliases(subject: str, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(_validate.name(subject, "aliases", value) for value in _validate.words(values))


def links(subject: str, values: Sequence[str]) -> tuple[str, ...]:
    """``CONTAINER`` or ``CONTAINER:NAME``, each with a name."""
    found = []
    for value in _validate.words(values):
        container, _colon, name = value.partition(":")
        _validate.name(subject, "links", container)
        found.append(f"{container}:{_validate.name(subject, 'links', name or container)}")
    return tuple(found)


def link_local(subject: str, values: Sequence[str]) -> tuple[str, ...]:
    """Addresses of RFC 3927 or RFC 4291, section 2.5.6."""
    found = []
    for value in _validate.words(values):
        address = _validate.address(subject, "link_local_ips", value)
        if not address.is_link_local():
            raise InvalidInput(
                subject, "link_local_ips", value, "is not link-local", "use one of 169.254.0.0/16 or fe80::/10"
            )
        found.append(str(address))
    return tuple(found)


def driver_opts(subject: str, values: Mapping[str, Any]) -> Mapping[str, str]:
    """The options as text; what names the interface is in ``interface``."""
    for key, value in values.items():
        if key not in (INTERFACE, SYSCTLS):
            raise InvalidInput(
                subject, "driver_opts", f"{key}={value}", "is unknown", did_you_mean(key, (INTERFACE, SYSCTLS))
            )
    text = str(values.get(SYSCTLS) or "")
    for path in (part.partition("=") for part in filter(None, text.split(","))):
        _check_setting(subject, *path)
    return {SYSCTLS: text} if text else {}


def interface(subject: str, name: str | None, opts: Mapping[str, Any] | None) -> str | None:
    """The interface's name, which may be given in two places."""
    named = [each for each in (name, (opts or {}).get(INTERFACE)) if each is not None]
    if len(set(named)) > 1:
        raise InvalidInput(
            subject, "interface_name", name, f"differs from {INTERFACE}={named[1]}", "leave one of the two out"
        )
    return _validate.interface(subject, "interface_name", str(named[0])) if named else None


def settings(opts: Mapping[str, str], link: str) -> dict[str, str]:
    """The interface's kernel settings by path, for the interface of that name."""
    parts = (part.partition("=") for part in filter(None, opts.get(SYSCTLS, "").split(",")))
    return {_path(key).replace(PLACEHOLDER, link): " ".join(value.split()) for key, _equals, value in parts}


def _path(key: str) -> str:
    return key.strip() if "/" in key else key.strip().replace(".", "/")


def _check_setting(subject: str, key: str, equals: str, value: str) -> None:
    is_ours = _path(key).endswith(("/disable_ipv6", "/accept_ra"))
    if is_ours or not equals or not value.strip() or link_in(_path(key)) != PLACEHOLDER:
        raise InvalidInput(
            subject,
            "driver_opts",
            f"{SYSCTLS}={key}{equals}{value}",
            "is the network's to set" if is_ours else "is not a setting of the interface",
            f'write it like "net.ipv4.conf.{PLACEHOLDER}.log_martians=1", with {PLACEHOLDER} for its name',
        )
    _validate.sysctl(subject, _path(key))
