# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What not every kernel has: `@pytest.mark.needs_kernel("ipvlan")` skips a test where it is lacking.

In the virtual machine of `make vm`, which is there for these tests, they fail instead.
"""

from __future__ import annotations

import functools
import os

import pytest

from lab import Lab

# What shows that a throwaway host has it: modules by their names, and parameters that the kernel was booted with.
PROBES = {
    "8021q": "ip link add probe link eth0 type vlan id 7",
    "dummy": "ip link add probe type dummy",
    "ip6_tables": "ip6tables-legacy --table nat --list",
    "ipv6.disable=1": "test ! -e /proc/sys/net/ipv6",
    "ipvlan": "ip link add probe link eth0 type ipvlan",
    "macvlan": "ip link add probe link eth0 type macvlan",
    "sctp": "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)'",
}


def require(*features: str) -> None:
    lacking = ", ".join(feature for feature in features if not has(feature))
    if lacking and os.environ.get("BRIDGEWORK_VM"):
        pytest.fail(f"this kernel lacks {lacking}")
    elif lacking:
        pytest.skip(f"this kernel lacks {lacking}; make vm runs this test on one that has it")


@functools.cache
def has(feature: str) -> bool:
    with Lab(["host"]) as lab:
        return lab.host.run("sh", "-c", PROBES[feature], check=False).returncode == 0
