# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the interfaces of containers have in common, whatever the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .. import _options
from .._hostconfig import Sysctl
from .._model import Network
from .._options import Check
from .._settings import IPV6_MTU

OPTIONS: Mapping[str, Check] = {_options.MTU: _options.check_mtu, _options.INTERFACE_PREFIX: _options.check_prefix}


def ipv6_settings(
    namespace: str, link: str, network: Network, has_address: bool, if_there: bool = False
) -> Iterator[Sysctl]:
    """IPv6 where a link has an address of it, and nowhere else; no neighbour configures a link (CVE-2020-13401).

    ``if_there``: the link's MTU is the kernel's to choose, and may be too small for IPv6.
    """
    if _options.mtu(network.options) < IPV6_MTU:
        return  # the kernel has no IPv6 on such a link, nor settings for it
    off = "0" if has_address else "1"
    yield Sysctl(namespace, f"net/ipv6/conf/{link}/disable_ipv6", off, lasting=False, if_there=if_there)
    yield Sysctl(namespace, f"net/ipv6/conf/{link}/accept_ra", "0", lasting=False, if_there=if_there)
