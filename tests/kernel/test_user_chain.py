# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The administrator's own rules: they come before ours, no run touches them, and they outlive us."""

from __future__ import annotations

import pytest
from kernel.support import HOST, Managed
from kernel.test_isolation import PROTOCOLS, reached

from lab import Lab

FRONT, FRONT6, WEB, WEB6, HOST6 = "192.168.10.0/24", "fd00:10::/64", "192.168.10.2", "fd00:10::2", "2001:db8:1::10"
NETWORK = {"name": "front", "ipam_config": [{"subnet": FRONT}, {"subnet": FRONT6}], "connected": ["web", "mate"]}
PORTS = {"container": "web", "published_ports": ["8000:8080", "8000:8080/udp"]}
GONE = {"name": "front", "state": "absent", "force": True}
ROUTED = {f"com.docker.network.bridge.gateway_mode_ipv{version}": "routed" for version in (4, 6)}
CHAIN = "BRIDGEWORK-USER"
TOOLS = ("iptables", "ip6tables")


@pytest.fixture(params=["nft", pytest.param("legacy", marks=pytest.mark.needs_kernel("ip6_tables"))])
def host(managed: Managed, request: pytest.FixtureRequest) -> Managed:
    """With iptables of either kind; the test publishes ports as it needs them."""
    if request.param == "legacy":
        managed.sh("mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi")
        assert "legacy" in managed.sh("iptables -V")
    return managed


def publish(host: Managed, **options: object) -> None:
    """web publishes 8000, by way of iptables."""
    host.container_network(**NETWORK, firewall_backend="iptables", **options)
    host.port_mapping(**PORTS)
    for protocol in PROTOCOLS:
        for address in ("0.0.0.0", "::"):
            host.host.serve(protocol, 8080, netns="web", address=address)


def rules(host: Managed, tool: str, chain: str) -> list[str]:
    return host.sh(f"{tool} -S {chain}").splitlines()


def both(host: Managed, command: str) -> None:
    """A command of iptables in both families."""
    for tool in TOOLS:
        host.sh(f"{tool} {command}")


def test_chain_is_made_empty_and_comes_first(host: Managed) -> None:
    publish(host)
    for tool in TOOLS:
        assert rules(host, tool, CHAIN) == [f"-N {CHAIN}"]
        assert rules(host, tool, "FORWARD")[1:3] == [f"-A FORWARD -j {CHAIN}", "-A FORWARD -j BRIDGEWORK-FORWARD"]


def test_published_port_can_be_closed_by_a_rule_that_every_run_leaves_there(lab: Lab, host: Managed) -> None:
    publish(host)
    assert reached(lab.peer, HOST, 8000) == reached(lab.peer, HOST6, 8000) == [*PROTOCOLS]
    both(host, f"-A {CHAIN} -p tcp -m conntrack --ctorigdstport 8000 -j DROP")
    held = [rules(host, tool, CHAIN) for tool in TOOLS]
    assert not host.port_mapping(**PORTS)["changed"], "it is no drift"
    host.port_mapping(container="web", published_ports=["8001:8080"])
    host.port_mapping(container="web", published_ports=["8001:8080"], state="absent")
    host.sh("iptables -F BRIDGEWORK-FORWARD; iptables -D FORWARD 1; ip6tables -F FORWARD")
    assert host.port_mapping(**PORTS)["changed"]
    assert [rules(host, tool, CHAIN) for tool in TOOLS] == held
    assert reached(lab.peer, HOST, 8000) == reached(lab.peer, HOST6, 8000) == ["udp"]


def test_closed_port_can_be_opened(lab: Lab, host: Managed) -> None:
    publish(host, driver_options=ROUTED)
    lab.peer.run("ip", "route", "add", FRONT, "via", HOST)
    lab.peer.run("ip", "route", "add", FRONT6, "via", HOST6)
    for address in ("0.0.0.0", "::"):
        host.host.serve("tcp", 9090, netns="web", address=address)
    assert reached(lab.peer, WEB, 9090) == reached(lab.peer, WEB6, 9090) == []
    both(host, f"-A {CHAIN} -p tcp --dport 9090 -j ACCEPT")
    assert not host.port_mapping(**PORTS)["changed"]
    assert reached(lab.peer, WEB, 9090) == reached(lab.peer, WEB6, 9090) == ["tcp"]


def test_rules_outlive_the_last_network_and_are_at_work_again_with_the_next(lab: Lab, host: Managed) -> None:
    publish(host)
    both(host, f"-A {CHAIN} -p udp -j DROP")
    host.container_network(**GONE)
    for tool in TOOLS:
        assert rules(host, tool, CHAIN) == [f"-N {CHAIN}", f"-A {CHAIN} -p udp -j DROP"]
        assert [rule for rule in rules(host, tool, "FORWARD") if "BRIDGEWORK" in rule] == []
    host.container_network(**NETWORK)
    host.port_mapping(**PORTS)
    assert reached(lab.peer, HOST, 8000) == reached(lab.peer, HOST6, 8000) == ["tcp"]


def test_empty_chain_goes_with_the_last_network(host: Managed) -> None:
    publish(host)
    both(host, f"-A {CHAIN} -j ACCEPT")
    both(host, f"-F {CHAIN}")
    host.container_network(**GONE)
    for tool in TOOLS:
        assert "BRIDGEWORK" not in host.sh(f"{tool}-save")


def test_chain_that_others_lead_to_stays(host: Managed) -> None:
    publish(host)
    both(host, f"-A INPUT -j {CHAIN}")
    assert not host.port_mapping(**PORTS)["changed"], "an administrator's jump is an administrator's"
    host.container_network(**GONE)
    for tool in TOOLS:
        assert f"-A INPUT -j {CHAIN}" in rules(host, tool, "INPUT")
    host.container_network(name="other", firewall_backend="iptables")


def test_chain_that_was_there_before_us_is_used_as_it_is(lab: Lab, host: Managed) -> None:
    both(host, f"-N {CHAIN}")
    both(host, f"-A {CHAIN} -p tcp -j DROP")
    publish(host)
    assert reached(lab.peer, HOST, 8000) == reached(lab.peer, HOST6, 8000) == ["udp"]


def test_chain_that_was_taken_away_is_made_again(host: Managed) -> None:
    publish(host)
    host.sh(f"iptables -D FORWARD -j {CHAIN}; iptables -X {CHAIN}; ip6tables -D FORWARD -j {CHAIN}")
    host.sh(f"ip6tables -A {CHAIN} -p udp -j DROP")
    assert host.port_mapping(**PORTS)["changed"]
    assert rules(host, "iptables", CHAIN) == [f"-N {CHAIN}"]
    assert rules(host, "ip6tables", CHAIN) == [f"-N {CHAIN}", f"-A {CHAIN} -p udp -j DROP"]


def test_chains_that_the_administrator_leads_to_are_the_administrators(host: Managed) -> None:
    publish(host)
    both(host, "-N BRIDGEWORK-USER-SSH")
    both(host, "-A BRIDGEWORK-USER-SSH -p tcp --dport 22 -j DROP")
    both(host, "-A BRIDGEWORK-USER -j BRIDGEWORK-USER-SSH")
    host.port_mapping(container="web", published_ports=["8001:8080"], firewall_backend="iptables")
    for tool in ("iptables", "ip6tables"):
        (_chain, rule) = rules(host, tool, "BRIDGEWORK-USER-SSH")
        assert rule == "-A BRIDGEWORK-USER-SSH -p tcp -m tcp --dport 22 -j DROP"


def test_rules_in_nftables_may_be_of_any_shape(managed: Managed) -> None:
    managed.backend = "nftables"
    managed.container_network(**NETWORK)
    managed.sh("nft 'add rule inet bridgework user ip saddr 203.0.113.0/24 jump { tcp dport 22 drop; accept; }'")
    managed.sh("""nft 'add rule inet bridgework user ip saddr 203.0.113.9 drop comment "of { others }"'""")
    before = managed.sh("nft list chain inet bridgework user")
    managed.port_mapping(**PORTS)
    managed.container_network(name="back", connected=["db"])
    assert managed.sh("nft list chain inet bridgework user") == before
