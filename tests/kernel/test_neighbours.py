# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others have on the host is as it was, while we are there and after we have gone."""

from __future__ import annotations

import json
import re

import pytest
from kernel.support import HOST, PEER, REMOTE, Managed, bare, parsed, same, warnings_of

from lab import Lab

# Docker's, libvirt's, an administrator's with all that needs quoting.
FOREIGN_RULES = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -d 172.30.0.2/32 ! -i docker0 -j DROP
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:LIBVIRT_PRT - [0:0]
-A POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -o virbr0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.30.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.30.0.2:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 -j ACCEPT
-A FORWARD -s 198.18.0.0/15 -m comment --comment "says: -j BRIDGEWORK-FORWARD, \\"it's\\" 'quoted'" -j ACCEPT
-A DOCKER -d 172.30.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -m limit --limit 5/min -j LOG --log-prefix "iptables denied: " --log-level 7
-A DOCKER-USER -j RETURN
COMMIT
"""
FOREIGN_THINGS = """\
    ip link add docker0 up type bridge
    ip link add veth1234567 master docker0 up type veth peer name vethpeer
    ip addr add 172.30.0.1/16 dev docker0
    ip link set docker0 alias 'somebody else'
    ip netns add theirs
    ip link set vethpeer netns theirs
    ip -n theirs addr add 172.30.0.2/16 dev vethpeer
    ip -n theirs link set vethpeer up
    ip route add 198.18.0.0/15 via 192.0.2.1
"""
NETWORKS = [
    {"name": "front", "ipam_config": [{"subnet": "192.168.10.0/24"}], "connected": ["web", "db"]},
    {"name": "back", "internal": True, "connected": ["db"]},
]
WITHDRAWN = {"networks": [{"name": name, "state": "absent", "force": True} for name in ("front", "back")]}


@pytest.fixture
def inhabited(managed: Managed) -> Managed:
    managed.sh(FOREIGN_THINGS)
    managed.host.run("iptables-restore", input=FOREIGN_RULES)
    return managed


def foreign_rules(managed: Managed) -> list[str]:
    """iptables-save but for our chains and the jumps to them."""
    ours = re.compile(r":BRIDGEWORK-.*|-A BRIDGEWORK-.*|-A [A-Z]+ ([^\"]* )?-j BRIDGEWORK-[A-Z]+")
    return [line for line in managed.rules() if not ours.fullmatch(line)]


@pytest.mark.usefixtures("backend")
def test_foreign_rules_are_byte_identical_at_each_step(inhabited: Managed) -> None:
    before = inhabited.rules()
    steps = (
        lambda: inhabited.container_network(networks=NETWORKS),
        lambda: inhabited.port_mapping(container="web", published_ports=["8000:8080", "53/udp"]),
        lambda: inhabited.netns_bridge(containers=[{"name": "app"}]),
        lambda: inhabited.container_network(
            name="front", driver_options={"com.docker.network.bridge.enable_icc": False}
        ),
        lambda: inhabited.port_mapping(container="web", state="absent"),
    )
    for step in steps:
        assert step()["changed"]
        assert foreign_rules(inhabited) == before
    inhabited.network_prune(containers=True)
    inhabited.container_network(**WITHDRAWN)
    inhabited.netns_bridge(state="absent")
    assert inhabited.rules() == before


@pytest.mark.usefixtures("backend")
def test_removal_of_our_last_object_leaves_the_host_as_it_was(inhabited: Managed) -> None:
    before = inhabited.snapshot()
    inhabited.container_network(networks=NETWORKS)
    inhabited.port_mapping(container="web", published_ports=["8000:8080"])
    inhabited.container_network(**WITHDRAWN)
    inhabited.network_prune(containers=True)
    same(bare(before), bare(inhabited.snapshot()), "something is left behind")


@pytest.mark.usefixtures("backend")
def test_our_rules_and_settings_go_with_the_last_network_though_containers_stay(inhabited: Managed) -> None:
    before = inhabited.snapshot()
    inhabited.container_network(networks=NETWORKS)
    inhabited.container_network(**WITHDRAWN)
    assert not [line for line in inhabited.rules() if "BRIDGEWORK" in line and "comment" not in line]
    assert inhabited.table() == ""
    inhabited.netns_bridge(containers=[{"name": name, "state": "absent"} for name in ("web", "db")])
    same(bare(before), bare(inhabited.snapshot()), "something is left behind")


def test_foreign_things_are_untouched_and_work_while_we_are_there(lab: Lab, inhabited: Managed) -> None:
    def about_others() -> dict[str, str]:
        theirs = re.compile("/(link|sysctl.*) (docker0|veth1234567|eth0).*|theirs/.*|name theirs|/route.*198.18.*")
        return {key: value for key, value in inhabited.snapshot().items() if theirs.fullmatch(key)}

    def forwarded(snapshot: dict[str, str]) -> dict[str, str]:
        return {key: value for key, value in snapshot.items() if not key.endswith(("forwarding", "accept_redirects"))}

    before = about_others()
    assert len(before) > 50
    inhabited.container_network(networks=NETWORKS)
    inhabited.port_mapping(container="web", published_ports=["8000:8080"])
    same(forwarded(before), forwarded(about_others()), "something of others was changed")
    assert inhabited.host.ping("172.30.0.2")
    with inhabited.host.serve("tcp", 80, netns="theirs"):
        assert inhabited.host.ask("tcp", "172.30.0.2", 80)
        inhabited.sh("ip -n theirs route add default via 172.30.0.1")
        assert lab.peer.ask("tcp", HOST, 9000), "their published port"


def test_ours_works_where_others_drop_what_is_forwarded(lab: Lab, inhabited: Managed) -> None:
    inhabited.container_network(networks=NETWORKS)
    inhabited.port_mapping(container="web", published_ports=["8000:8080"])
    assert inhabited.host.ping(REMOTE, netns="web")
    with inhabited.host.serve("tcp", 8080, netns="web"):
        assert lab.remote.ask("tcp", HOST, 8000)


FIREWALLD = """
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority 10; policy accept;
        ct state established,related accept
        ct status dnat accept
        reject with icmpx admin-prohibited
    }
}
"""


@pytest.mark.usefixtures("backend")
def test_what_others_stop_is_said_with_the_remedy(lab: Lab, managed: Managed) -> None:
    lab.peer.serve("tcp", 7000)
    managed.host.run("nft", "-f", "-", input=FIREWALLD)
    network = {"name": "front", "connected": ["web"], "driver_options": {"com.docker.network.bridge.name": "front0"}}
    warning = (
        'firewall: chain filter_FORWARD of the table inet firewalld ends in "reject with icmpx admin-prohibited", '
        "which stops what is to pass front0; see to it with: firewall-cmd --permanent --zone=trusted "
        "--add-interface=front0 && firewall-cmd --reload"
    )
    assert warnings_of(managed.container_network(**network)) == [warning]
    assert warnings_of(managed.container_network(**network)) == [warning], "also where nothing is read any more"
    assert not managed.host.ask("tcp", PEER, 7000, netns="web")
    # What that command leads to.
    managed.sh("nft 'insert rule inet firewalld filter_FORWARD iifname front0 accept'")
    assert warnings_of(managed.container_network(**network)) == []
    assert managed.host.ask("tcp", PEER, 7000, netns="web")


@pytest.mark.usefixtures("backend")
def test_rules_that_others_add_later_stay(inhabited: Managed) -> None:
    inhabited.container_network(networks=NETWORKS)
    inhabited.sh("iptables -A FORWARD -s 198.18.0.9 -j DROP; iptables -t nat -I PREROUTING 1 -s 198.18.0.9 -j RETURN")
    before = foreign_rules(inhabited)
    inhabited.port_mapping(container="web", published_ports=["8000:8080"])
    inhabited.container_network(**WITHDRAWN)
    assert inhabited.rules() == before


def test_chains_of_others_that_jump_to_ours_are_no_reason_to_fail(inhabited: Managed) -> None:
    """A rule of ours in a foreign chain is ours; it goes with the chain that it leads to."""
    inhabited.container_network(networks=NETWORKS)
    inhabited.sh("iptables -A DOCKER-USER -j BRIDGEWORK-FORWARD")
    inhabited.container_network(**WITHDRAWN)
    assert not [line for line in inhabited.rules() if "-j BRIDGEWORK" in line and "comment" not in line]


def test_foreign_bridge_with_the_name_that_is_asked_for_is_refused(inhabited: Managed) -> None:
    refused = inhabited.netns_bridge(name="docker0", fails=True)
    assert 'interface "docker0" exists on the host' in refused["msg"]


@pytest.mark.usefixtures("backend")
def test_foreign_table_of_nftables_stays(managed: Managed) -> None:
    table = "table inet theirs {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"
    managed.host.run("nft", "-f", "-", input=table)
    managed.container_network(networks=NETWORKS)
    managed.container_network(**WITHDRAWN)
    assert managed.sh("nft list table inet theirs") == table


# Kernel settings.

SETTINGS = {
    "as the kernel has them": "",
    "forwarding is the administrator's": "echo 1 >/proc/sys/net/ipv4/ip_forward",
    "no redirects": "echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects",
    "no redirects on the uplink": "echo 0 >/proc/sys/net/ipv4/conf/eth0/accept_redirects",
    "one link forwards already": "echo 1 >/proc/sys/net/ipv4/conf/eth0/forwarding",
    "new links forward": "echo 1 >/proc/sys/net/ipv4/conf/default/forwarding",
    "hardened": """
        for each in all default eth0; do
            echo 0 >/proc/sys/net/ipv4/conf/$each/accept_redirects
            echo 0 >/proc/sys/net/ipv4/conf/$each/secure_redirects
            echo 1 >/proc/sys/net/ipv4/conf/$each/rp_filter
        done""",
    "forwarding without redirects": """
        echo 1 >/proc/sys/net/ipv4/ip_forward
        echo 1 >/proc/sys/net/ipv4/conf/all/accept_redirects
        echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding""",
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_settings_go_back_to_what_they_were(managed: Managed, settings: str) -> None:
    managed.sh(settings or "true")
    before = managed.snapshot()
    managed.container_network(networks=NETWORKS)
    assert managed.sh("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
    managed.container_network(**WITHDRAWN)
    managed.network_prune(containers=True)
    same(bare(before), bare(managed.snapshot()), "a setting is not as it was")


def test_setting_that_an_administrator_changes_later_is_left_to_him(managed: Managed) -> None:
    managed.container_network(networks=NETWORKS)
    managed.sh("echo 0 >/proc/sys/net/ipv4/conf/eth0/accept_redirects")
    managed.container_network(**WITHDRAWN)
    assert managed.sh("cat /proc/sys/net/ipv4/conf/eth0/accept_redirects").strip() == "0"


def test_links_that_come_later_are_as_others_want_them(managed: Managed) -> None:
    """Forwarding on and off again must not leave a link forwarding that was not there before."""
    managed.container_network(networks=NETWORKS)
    managed.sh("ip link add dummy-a type veth peer name dummy-b")
    managed.container_network(**WITHDRAWN)
    assert managed.sh("cat /proc/sys/net/ipv4/conf/dummy-a/forwarding").strip() == "0"


def test_routes_and_addresses_of_others_on_our_links_go_with_the_links_only(managed: Managed) -> None:
    result = managed.container_network(networks=NETWORKS)
    bridge = result["network"]["Options"]["com.docker.network.bridge.name"]
    managed.sh(f"ip addr add 198.18.0.1/24 dev {bridge}; ip route add 198.18.9.0/24 dev {bridge}")
    managed.port_mapping(container="web", published_ports=["8000:8080"])
    shown = json.loads(managed.sh(f"ip -json -4 addr show dev {bridge}"))[0]["addr_info"]
    assert [each["local"] for each in shown] == ["192.168.10.1", "198.18.0.1"]
    assert "198.18.9.0/24" in managed.sh("ip route")


def test_default_route_of_a_foreign_namespace_is_never_replaced(managed: Managed) -> None:
    managed.sh("ip netns add ext; ip -n ext link add up1 type veth peer name up2; ip -n ext link set up1 up")
    managed.sh(
        "ip -n ext link set up2 up; ip -n ext addr add 10.99.0.2/24 dev up1; ip -n ext route add default via 10.99.0.1"
    )
    refused = managed.container_network(name="net-test", connected=["ext"], fails=True)
    assert 'container "ext": it has a default route that is not Bridgework\'s' in refused["msg"]


def test_symlink_to_another_name_is_not_followed_at_removal(managed: Managed) -> None:
    managed.netns_bridge(containers=[{"name": "a", "mode": "none"}, {"name": "b", "mode": "none"}])
    managed.sh("umount /run/netns/a; rm /run/netns/a; ln -s /run/netns/b /run/netns/a")
    inode = managed.inode("b")
    managed.once("netns_bridge", {"containers": [{"name": "a", "state": "absent"}]})
    assert managed.inode("b") == inode


@pytest.mark.usefixtures("backend")
def test_what_others_stop_is_said_when_it_begins_to_matter(managed: Managed) -> None:
    managed.sh("nft add table inet other")
    managed.sh("nft 'add chain inet other last { type filter hook forward priority 10; policy drop; }'")
    inner = {"name": "inner", "internal": True, "connected": ["batch"]}
    assert not warnings_of(managed.container_network(**inner)) and not warnings_of(managed.container_network(**inner))
    (warning,) = warnings_of(managed.container_network(name="front", connected=["web"]))
    assert "chain last of the table inet other has the policy drop" in warning


def test_rule_that_others_put_before_ours_is_named(lab: Lab, managed: Managed) -> None:
    front = {"name": "front", "connected": ["web"], "firewall_backend": "iptables"}
    managed.container_network(**front)
    managed.sh("iptables -I FORWARD -j REJECT")
    assert not managed.host.ping(PEER, netns="web")
    (warning,) = warnings_of(managed.container_network(**front))
    assert "before our rules" in warning and "put that rule behind the jump to BRIDGEWORK-FORWARD" in warning
    managed.sh("iptables -D FORWARD 1")
    assert managed.host.ping(PEER, netns="web") and not warnings_of(managed.container_network(**front))


# What others do to a published port before ours is looked up.

PORT = {"container": "web", "published_ports": ["8000:8080"]}
TAKING = {
    "nftables": (
        "",
        "nft add table ip theirs; nft add chain ip theirs early '{ type nat hook prerouting priority -110; }'; "
        "nft add rule ip theirs early tcp dport 8000 counter redirect to :7000",
        "nft delete table ip theirs",
    ),
    "iptables": (
        'does not come in by "docker0" and ',
        "iptables -t nat -N DOCKER; iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; "
        "iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8000 -j REDIRECT --to-ports 7000",
        "iptables -t nat -F DOCKER",
    ),
}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("way", TAKING)
def test_rule_that_leads_a_published_port_elsewhere_is_named(lab: Lab, managed: Managed, way: str) -> None:
    managed.container_network(name="front", connected=["web"])
    managed.host.serve("tcp", 7000, name="theirs")
    managed.host.serve("tcp", 8080, netns="web")
    clients, put, take_away = TAKING[way]
    managed.sh(put)
    (warning,) = warnings_of(managed.port_mapping(**PORT))
    assert f'leads elsewhere what {clients}is for 0.0.0.0:8000/tcp of container "web"; take it away, or' in warning
    answer = lab.peer.ask("tcp", HOST, 8000)
    assert answer and answer.server in ("web", "theirs"), "who was first"
    (outcome,) = managed.outcomes([("port_mapping", PORT)], fork=True)
    assert warnings_of(parsed(outcome)) == [warning] and outcome["processes"] == 0, "remembered"
    assert not warnings_of(managed.port_mapping(container="web", published_ports=["8001:8080"], exclusive=True))
    managed.port_mapping(**PORT, exclusive=True)
    managed.sh(take_away)
    assert not warnings_of(managed.port_mapping(**PORT))
    assert lab.peer.ask("tcp", HOST, 8000).server == "web"


DROPPING = {
    "raw table": "iptables -t raw -A PREROUTING -p tcp --dport 8000 -j DROP",
    "mangle table, any port": "iptables -t mangle -A PREROUTING -p tcp -m multiport --dports 22,8000:8010 -j DROP",
    "policy of a chain": "nft add table inet theirs; "
    "nft add chain inet theirs early '{ type filter hook prerouting priority -250; policy drop; }'; "
    "nft add rule inet theirs early ct state established,related accept; "
    "nft add rule inet theirs early meta l4proto { icmp, ipv6-icmp } accept; "
    "nft add rule inet theirs early iifname lo accept; nft add rule inet theirs early tcp dport 22 accept",
}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("what", DROPPING)
def test_rule_that_drops_what_is_for_a_published_port_is_named(lab: Lab, managed: Managed, what: str) -> None:
    managed.container_network(name="front", connected=["web"])
    managed.host.serve("tcp", 8080, netns="web")
    managed.sh(DROPPING[what])
    (warning,) = warnings_of(managed.port_mapping(**PORT))
    assert 'stops what is for 0.0.0.0:8000/tcp of container "web"; accept that before it, or take it away' in warning
    assert not lab.peer.ask("tcp", HOST, 8000, timeout=0.3)


def test_rule_that_stops_a_bridge_by_its_name_is_named(lab: Lab, managed: Managed) -> None:
    lab.peer.serve("tcp", 7000)
    managed.netns_bridge(containers=[{"name": "web"}], firewall_backend="nftables")
    managed.sh("iptables -A FORWARD -i bw0 -p icmp -j ACCEPT; iptables -A FORWARD -i bw0 -j DROP")
    spared = managed.netns_bridge(containers=[{"name": "web"}], firewall_backend="nftables")
    assert not warnings_of(spared), "something about that bridge is let pass: who wrote that knows it"
    managed.sh("iptables -D FORWARD 1")
    (warning,) = warnings_of(managed.netns_bridge(containers=[{"name": "web"}], firewall_backend="nftables"))
    assert 'has "iifname "bw0" drop", which stops what is to pass bw0' in warning
    assert not managed.host.ask("tcp", PEER, 7000, netns="web", timeout=0.3)


@pytest.mark.usefixtures("backend")
def test_rules_of_others_for_other_ports_are_no_reason_to_warn(inhabited: Managed) -> None:
    assert not warnings_of(inhabited.container_network(**NETWORKS[0], firewall_backend="iptables"))
    assert not warnings_of(inhabited.port_mapping(**PORT, firewall_backend="iptables"))
    (warning,) = warnings_of(
        inhabited.port_mapping(container="web", published_ports=["9000:80"], firewall_backend="iptables")
    )
    assert "--dport 9000" in warning or "tcp dport 9000" in warning


@pytest.mark.needs_kernel("ip6_tables")
def test_rule_of_the_older_iptables_that_leads_a_published_port_elsewhere_is_named(managed: Managed) -> None:
    managed.container_network(name="front", connected=["web"], firewall_backend="nftables")
    managed.sh("iptables-legacy -t nat -A PREROUTING -p tcp --dport 8000 -j REDIRECT --to-ports 7000")
    (warning,) = warnings_of(managed.port_mapping(**PORT, firewall_backend="nftables"))
    assert 'the rule "-A PREROUTING -p tcp -m tcp --dport 8000 -j REDIRECT --to-ports 7000" of the chain' in warning
