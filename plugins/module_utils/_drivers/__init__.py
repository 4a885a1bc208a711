# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network drivers: what sets a bridge, a macvlan and an ipvlan network apart, a file each. Pure.

Each is imported when a network has it: most hosts have bridges only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from .. import _validate
from .._errors import InvalidInput, did_you_mean
from .._hostconfig import Held
from .._model import Endpoint, IpamBlock, Network
from .._options import Check

if TYPE_CHECKING:
    from .._facts import Facts
    from .._state import State


class Driver(Protocol):
    """One driver.

    ``is_routed``: the host is the router of its networks, so it forwards for them, filters, translates and publishes
    ports; otherwise they are part of a network around the host. ``many_subnets``: its networks may have several of one
    family.
    """

    name: str
    is_routed: bool
    many_subnets: bool

    @property
    def options(self) -> Mapping[str, Check]:
        """Its keys, each with the check of its value."""

    def placed(
        self, state: State, facts: Facts, subject: str, network: Network, present: Network | None, force: bool
    ) -> Network:
        """The network with the device that its endpoints are on; ``present`` is what it was under this driver.

        Raises InvalidInput, also where the host itself would lose something and there is no force.
        """

    def contradiction(self, network: Network) -> tuple[str, str, str] | None:
        """An option that does not go with the rest: its key, the problem and the way out."""

    def uprooting(self, before: Network, after: Network) -> tuple[str, str, str] | None:
        """A change that takes their interfaces away from all containers: the option, its old and its new value."""

    def capacity(self, network: Network) -> tuple[int, str] | None:
        """How many endpoints the network may have, and the reason; None where nothing bounds them."""

    def gives_mac(self, network: Network) -> bool:
        """Whether its endpoints have hardware addresses that are ours to choose."""

    def taken_macs(self, facts: Facts, network: Network) -> Mapping[str, str]:
        """Hardware addresses that no endpoint may have, with whose they are."""

    def next_hop(self, network: Network, block: IpamBlock) -> str | None:
        """Where the default route of its containers leads: unspecified without a gateway; None without a way out."""

    def network_things(self, network: Network) -> Iterator[Held]:
        """Links, addresses and settings that the host has for the network."""

    def endpoint_things(self, network: Network, endpoint: Endpoint, is_published: bool) -> Iterator[Held]:
        """Links that the host and the container have for an endpoint, and settings of the container's."""


NAMES = ("bridge", "macvlan", "ipvlan")
DEFAULT = NAMES[0]


@cache
def find(name: str) -> Driver:
    """The driver of that name, which is one of ``NAMES``."""
    if name == "macvlan":
        from .macvlan import Macvlan

        return Macvlan()
    if name == "ipvlan":
        from .ipvlan import Ipvlan

        return Ipvlan()
    from .bridge import Bridge

    return Bridge()


def driver_of(network: Network) -> Driver:
    return find(network.driver)


def checked_options(subject: str, options: Mapping[str, Any]) -> Mapping[str, str]:
    """The options as text, each a key of some driver and each value of its kind."""
    checks = {key: check for name in NAMES for key, check in find(name).options.items()} if options else {}
    for key, value in options.items():
        if key not in checks:
            remedy = did_you_mean(key, tuple(checks))
            raise InvalidInput(subject, "driver_options", f"{key}={value}", "is unknown", remedy)
    return {key: checks[key](subject, key, str(value)) for key, value in options.items()}


def chosen(subject: str, name: str, options: Mapping[str, str]) -> Driver:
    """The driver of that name, to which the options belong."""
    driver = find(_validate.choice(subject, "driver", name, NAMES))
    for key, value in options.items():
        if key not in driver.options:
            owners = " and ".join(each for each in NAMES if key in find(each).options)
            raise InvalidInput(
                subject,
                "driver_options",
                f"{key}={value}",
                f"is for the driver {owners}, and this network's is {name}",
                "use one of: " + ", ".join(driver.options),
            )
    return driver
