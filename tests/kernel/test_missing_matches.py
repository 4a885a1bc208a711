# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts whose iptables or kernel lack a match that our rules need: it is named, and nothing is changed."""

from __future__ import annotations

import pytest
from kernel.support import Managed, check_error, same, unlocked
from kernel.test_bad_host import hidden
from kernel.test_port_tree import KINDS, as_legacy

NETWORK = {"name": "front", "connected": ["web"], "firewall_backend": "iptables"}
LIBRARY = "$(find / -xdev -path '*/xtables/libxt_addrtype.so' | head -n 1)"
# iptables-restore of a host whose kernel lacks the match: another that it does lack stands in its place.
RESTORE = """\
#!/bin/sh
sed 's/-m addrtype --dst-type LOCAL/-m ipvs --vproto 6/' | exec /run/real/iptables-restore "$@"
"""


@pytest.fixture(params=KINDS)
def host(managed: Managed, request: pytest.FixtureRequest) -> Managed:
    if request.param == "legacy":
        as_legacy(managed)
    return managed


def refused(host: Managed, message: str) -> None:
    """Check mode foretells it, but where it would take the making of tables that aren't there."""
    before = unlocked(host.snapshot())
    tables = host.sh("cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null || true")
    for check in (True, False):
        result = host.once("container_network", NETWORK, check=check)
        if check and "legacy" in host.sh("iptables -V") and not tables:
            assert not result.get("failed"), result
            assert tables == host.sh("cat /proc/net/ip_tables_names 2>/dev/null || true"), "it made tables"
            continue
        assert result.get("failed"), result
        check_error(result["msg"])
        assert message in result["msg"]
        same(before, unlocked(host.snapshot()), "a run that failed changed the host")


def test_extension_that_iptables_lacks_is_named(host: Managed) -> None:
    with hidden(host, LIBRARY):
        refused(host, 'iptables-restore: the extension "addrtype" of iptables is missing; install the whole package')
    assert host.container_network(**NETWORK)["changed"]


def test_match_that_the_kernel_lacks_is_named(host: Managed) -> None:
    real = host.sh("readlink -f $(command -v iptables-restore)").strip()
    host.sh(f"mkdir /run/real /run/fake; cp {real} /run/real/iptables-restore")
    host.host.run("sh", "-ec", "cat >/run/fake/iptables-restore; chmod +x /run/fake/*", input=RESTORE)
    host.environment["PATH"] = "/run/fake:/usr/sbin:/usr/bin:/sbin:/bin"
    refused(host, 'iptables-restore: this kernel lacks "ipvs", which our rules need; load the module xt_ipvs')
    del host.environment["PATH"]
    assert host.container_network(**NETWORK)["changed"]


@pytest.mark.needs_kernel("ip6_tables")
def test_older_iptables_foretells_it_where_it_has_tables(managed: Managed) -> None:
    as_legacy(managed)
    managed.sh("for table in raw mangle filter nat; do iptables -t $table -L >/dev/null; done")
    with hidden(managed, LIBRARY):
        refused(managed, 'iptables-restore: the extension "addrtype" of iptables is missing; install the whole package')
