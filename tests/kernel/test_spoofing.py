# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container can't send as another one or as its gateway, whether frames inside a bridge pass iptables or not.

Whatever is kept from arriving is shown to arrive once the guard of the bridges is taken away by hand.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from kernel.frames import (
    ARP,
    BROADCAST,
    END,
    IPV4,
    IPV6,
    REPLY,
    SERVICE_VLAN,
    VLAN,
    advertisement,
    arp,
    arrived,
    ethernet,
    send,
    udp,
)
from kernel.support import Driver, Managed, bare, managed_lab, same

FRONT = {
    "name": "front",
    "driver_options": {"com.docker.network.bridge.name": "front0"},
    "ipam_config": [{"subnet": "192.168.10.0/24"}, {"subnet": "fd00:10::/64"}],
}
BACK = {"name": "back", "ipam_config": [{"subnet": "192.168.20.0/24"}, {"subnet": "fd00:20::/64"}]}
GATEWAY, GATEWAY6 = "192.168.10.1", "fd00:10::1"
WEB, WEB6 = "192.168.10.2", "fd00:10::2"
MATE, MATE6 = "192.168.10.3", "fd00:10::3"
EVIL, EVIL6 = "192.168.10.4", "fd00:10::4"
DB, DB6 = "192.168.20.2", "fd00:20::2"
NOBODY, NOBODY6, NOBODYS_MAC = "192.168.10.99", "fd00:10::99", "02:00:00:00:00:99"
LINK_LOCAL = "169.254.7.7"
GUARD = "bridge bridgework"


@pytest.fixture(scope="module")
def built(driver: Driver) -> Iterator[Managed]:
    """web, mate and evil on front; db and evil on back."""
    with managed_lab(driver) as (_lab, managed):
        connected = [
            {**FRONT, "connected": ["web", "mate", "evil"]},
            {**BACK, "endpoints": [{"container": "db", "link_local_ips": [LINK_LOCAL]}, {"container": "evil"}]},
        ]
        managed.run("container_network", networks=connected, framed=False)
        yield managed


@pytest.fixture(params=[0, 1], ids=["bridged frames pass by iptables", "bridged frames go through iptables"])
def host(request: pytest.FixtureRequest, built: Managed) -> Iterator[Managed]:
    for family in ("arptables", "iptables", "ip6tables"):
        built.sh(f"echo {request.param} >/proc/sys/net/bridge/bridge-nf-call-{family}")
    yield built
    guarded_again(built)
    for name in ("web", "mate"):
        built.sh("ip neigh flush all", netns=name)
    assert built.host.ping(MATE, netns="web"), "what they believed of each other is forgotten"


def unguarded(managed: Managed) -> None:
    managed.sh(f"nft delete table {GUARD}")


def guarded_again(managed: Managed) -> None:
    managed.run("network_prune", networks=False, framed=False)


@dataclass(frozen=True)
class Macs:
    web: str
    mate: str
    evil: str
    db: str
    gateway: str

    @classmethod
    def of(cls, managed: Managed) -> Macs:
        containers = [managed.link("eth0", name)["address"] for name in ("web", "mate", "evil", "db")]
        return cls(*containers, managed.link("front0")["address"])

    def link_local(self, name: str) -> str:
        octets = bytes.fromhex(getattr(self, name).replace(":", ""))
        digits = (bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]).hex()
        return "fe80::" + ":".join(digits[at : at + 4].lstrip("0") or "0" for at in range(0, 16, 4))


numbers = itertools.count()


def unique() -> bytes:
    return f"frame {next(numbers):010}".encode()


Make = Callable[[Macs], bytes]


def datagram(source: str | Callable[[Macs], str], to: str = "mate", **ethernet_options) -> Make:
    """From evil's own MAC."""

    def make(macs: Macs) -> bytes:
        address = source if isinstance(source, str) else source(macs)
        kind, targets = (IPV6, (MATE6, GATEWAY6)) if ":" in address else (IPV4, (MATE, GATEWAY))
        target = targets[to == "gateway"]
        return ethernet(macs.evil, getattr(macs, to), kind, udp(address, target, unique()), **ethernet_options)

    return make


def claim(address: str, mac: str = "evil", **options) -> Make:
    """By ARP: the address is at the MAC."""
    tags = options.pop("tags", ())

    def make(macs: Macs) -> bytes:
        place = getattr(macs, mac, mac)
        return ethernet(macs.evil, BROADCAST, ARP, arp(place, address, address, **options) + unique(), tags)

    return make


def claim6(address: str, **options) -> Make:
    """By a neighbor advertisement, from evil's own address: the address is at evil's MAC."""

    def make(macs: Macs) -> bytes:
        packet = advertisement(EVIL6, "ff02::1", address, macs.evil, unique(), **options)
        return ethernet(macs.evil, "33:33:00:00:00:01", IPV6, packet)

    return make


def from_mac(name: str) -> Make:
    def make(macs: Macs) -> bytes:
        return ethernet(getattr(macs, name, name), macs.mate, IPV4, udp(EVIL, MATE, unique()))

    return make


SPOOFS = {
    "MAC of a neighbour": from_mac("web"),
    "MAC of the gateway": from_mac("gateway"),
    "MAC of a container on another network": from_mac("db"),
    "IPv4 address of a neighbour": datagram(WEB),
    "IPv4 address of the gateway": datagram(GATEWAY),
    "IPv4 address of a container on another network": datagram(DB),
    "IPv4 address of a neighbour behind a tag": datagram(WEB, tags=[(VLAN, 0)]),
    "IPv6 address of a neighbour": datagram(WEB6),
    "IPv6 address of the gateway": datagram(GATEWAY6),
    "IPv6 address of a container on another network": datagram(DB6),
    "link-local address of a neighbour": datagram(lambda macs: macs.link_local("web")),
    "link-local address of the gateway": datagram(lambda macs: macs.link_local("gateway")),
    "ARP for a neighbour": claim(WEB),
    "ARP for the gateway": claim(GATEWAY),
    "ARP reply for a neighbour": claim(WEB, operation=REPLY),
    "ARP for a neighbour of another kind of hardware": claim(WEB, hardware=6),
    "ARP for a neighbour behind a tag": claim(WEB, tags=[(VLAN, 0)]),
    "ARP for a neighbour behind a service tag": claim(WEB, tags=[(SERVICE_VLAN, 0)]),
    "ARP for a neighbour behind two tags": claim(WEB, tags=[(SERVICE_VLAN, 0), (VLAN, 0)]),
    "ARP that tells of the MAC of a neighbour": claim(NOBODY, "web"),
    "advertisement for a neighbour": claim6(WEB6),
    "advertisement for the gateway": claim6(GATEWAY6),
    "advertisement behind a hop-by-hop header": claim6(WEB6, extension=bytes([0, 1, 4, 0, 0, 0, 0])),
}
OWN = {
    "own addresses": datagram(EVIL),
    "own IPv6 address": datagram(EVIL6),
    "own link-local address": datagram(lambda macs: macs.link_local("evil")),
    "own ARP": claim(EVIL),
    "own advertisement": claim6(EVIL6),
    "address of its other link": datagram("192.168.20.3"),
    "own MAC of its other link": claim("192.168.20.3"),
    "address of nobody": datagram(NOBODY),
    "IPv6 address of nobody": datagram(NOBODY6),
    "ARP for an address of nobody": claim(NOBODY),
    "advertisement for an address of nobody": claim6(NOBODY6),
    "MAC of nobody": from_mac(NOBODYS_MAC),
    "link-local address of one on another network only": datagram(LINK_LOCAL),
    "tag of a VLAN": datagram(EVIL, tags=[(VLAN, 7)]),
    "no address yet": datagram("0.0.0.0"),
}


def reaches(managed: Managed, make: Make, at: tuple[str | None, str] = ("mate", "eth0")) -> bool:
    macs = Macs.of(managed)
    last = ethernet(macs.evil, BROADCAST, IPV4, udp(EVIL, "192.168.10.255", END))
    return arrived(managed.host, make(macs), last, sender="evil", at=at)


@pytest.mark.parametrize("spoof", SPOOFS.values(), ids=SPOOFS)
def test_container_can_not_send_with_what_is_anothers(host: Managed, spoof: Make) -> None:
    assert not reaches(host, spoof)
    unguarded(host)
    assert reaches(host, spoof), "without the guard it gets there"


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_container_can_send_with_what_is_its_own_or_nobodys(host: Managed, own: Make) -> None:
    assert reaches(host, own)


@pytest.mark.parametrize("source", [WEB, DB, GATEWAY, WEB6, DB6])
def test_what_is_routed_is_looked_at_too(host: Managed, source: str) -> None:
    """A container could reach the host, and others by it, in the name of one that is trusted there."""
    spoof = datagram(source, "gateway")
    assert not reaches(host, spoof, (None, "front0"))
    unguarded(host)
    assert reaches(host, spoof, (None, "front0"))


# The same with what the kernels of containers make of it.


def neighbour(managed: Managed, address: str) -> str:
    """The MAC that mate has for an address."""
    (known,) = json.loads(managed.sh(f"ip -json neigh show {address} dev eth0", netns="mate"))
    return known["lladdr"]


@pytest.mark.parametrize(
    ("address", "owner"), [(WEB, "web"), (GATEWAY, "gateway"), (WEB6, "web"), (GATEWAY6, "gateway")]
)
def test_neighbours_are_not_told_a_wrong_place(host: Managed, address: str, owner: str) -> None:
    macs = Macs.of(host)
    told = claim6(address)(macs) if ":" in address else claim(address)(macs)

    def tell() -> str:
        assert host.host.ping(address, netns="mate")
        host.sh(f"ip neigh change {address} dev eth0 lladdr {getattr(macs, owner)} nud stale", netns="mate")
        send(host.host, "evil", told)
        host.sh("sleep 0.1")
        return neighbour(host, address)

    assert tell() == getattr(macs, owner)
    unguarded(host)
    assert tell() == macs.evil
    host.sh("ip neigh flush all", netns="mate")


def test_container_that_takes_the_mac_of_a_neighbour_is_cut_off_and_the_neighbour_is_not(host: Managed) -> None:
    macs = Macs.of(host)
    assert host.host.ping(MATE, netns="evil")
    host.sh(f"ip link set eth0 address {macs.web}", netns="evil")
    host.sh("ip neigh flush all", netns="evil")
    assert not host.host.ping(MATE, netns="evil")
    assert host.host.ping(WEB, netns="mate")
    unguarded(host)
    host.sh("ip neigh flush all", netns="mate")
    # The bridge believes whoever sent last, the true owner of the MAC too.
    assert any(host.host.ping(MATE, netns="evil") for _attempt in range(5))
    guarded_again(host)
    host.sh("ip neigh flush all", netns="mate")
    assert host.host.ping(MATE, netns="evil"), "the MAC was repaired too"


@pytest.mark.parametrize(("address", "own"), [(WEB, EVIL), (GATEWAY, EVIL), (WEB6, EVIL6), (GATEWAY6, EVIL6)])
def test_container_that_takes_the_address_of_another_does_not_get_its_packets(
    host: Managed, address: str, own: str
) -> None:
    """What is sent to the address goes to its owner, however loudly another one says that it has it."""
    family, prefix = ("-6", 64) if ":" in address else ("-4", 24)
    nodad = "nodad" if ":" in address else ""
    host.sh(f"ip addr del {own}/{prefix} dev eth0; ip addr add {address}/{prefix} dev eth0 {nodad}", netns="evil")
    try:
        host.sh("ip neigh flush all", netns="mate")
        assert host.host.ping(address, netns="mate")
        owner = "web" if address in (WEB, WEB6) else "gateway"
        assert neighbour(host, address) == getattr(Macs.of(host), owner)
        assert not host.host.ping(MATE6 if family == "-6" else MATE, netns="evil")
    finally:
        host.sh(f"ip addr del {address}/{prefix} dev eth0", netns="evil")
        guarded_again(host)
    assert host.host.ping(MATE6 if family == "-6" else MATE, netns="evil")


def test_address_that_was_added_by_hand_works(host: Managed) -> None:
    """Such as a virtual one that moves between containers."""
    for holder in ("evil", "web"):
        host.sh(f"ip addr add {NOBODY}/24 dev eth0; ip addr add {NOBODY6}/64 dev eth0 nodad", netns=holder)
        host.sh("ip neigh flush all", netns="mate")
        assert host.host.ping(NOBODY, netns="mate") and host.host.ping(NOBODY6, netns="mate")
        host.sh(f"ip addr del {NOBODY}/24 dev eth0; ip addr del {NOBODY6}/64 dev eth0", netns=holder)


def test_link_local_address_is_ones_own_on_its_link_only(host: Managed) -> None:
    """Two on different networks may have the same one."""
    where = ("db", "eth0")
    macs = Macs.of(host)
    evil = host.link("eth1", "evil")["address"]
    spoof = ethernet(evil, macs.db, IPV4, udp(LINK_LOCAL, DB, unique()))
    last = ethernet(evil, BROADCAST, IPV4, udp("192.168.20.3", "192.168.20.255", END))
    assert not arrived(host.host, spoof, last, sender="evil", interface="eth1", at=where)
    unguarded(host)
    assert arrived(host.host, spoof, last, sender="evil", interface="eth1", at=where)


# Frames that a bridge hands to nobody by rule: those to the addresses of IEEE 802.1D.


@pytest.mark.parametrize("group", range(16))
def test_frames_to_the_bridge_itself_are_no_way_around(host: Managed, group: int) -> None:
    """Of a neighbour's MAC in them the bridge learns that it moved; a neighbour's address gets to the host."""
    macs = Macs.of(host)
    port = host.sh(f"bridge fdb show br front0 | sed -n 's/^{macs.evil} dev \\(veth[^ ]*\\) .*/\\1/p'").split()[0]
    host.sh("iptables -t raw -I PREROUTING 1 -p udp --dport 7777")
    assert host.host.ping(WEB, netns="mate")
    to = f"01:80:c2:00:00:{group:02x}"
    packet = udp(WEB, GATEWAY, unique())
    send(host.host, "evil", ethernet(macs.web, to, IPV4, packet), ethernet(macs.evil, to, IPV4, packet))
    count = host.sh("iptables -t raw -L PREROUTING -vnx").split("udp")[0].splitlines()[-1].split()[0]
    host.sh("iptables -t raw -D PREROUTING 1")
    moved = host.sh(f"bridge fdb show br front0 | grep '^{macs.web} dev {port} ' || true")
    assert (count, moved) == ("0", "")


# What tasks change.


def test_address_that_a_task_moves_works_at_its_new_holder_at_once(managed: Managed) -> None:
    managed.container_network(**FRONT, connected=["web", "mate"])
    assert managed.host.ping(WEB, netns="mate") and managed.host.ping(WEB6, netns="mate")
    moved = [
        {"container": "web", "ipv4_address": "192.168.10.50", "ipv6_address": "fd00:10::50"},
        {"container": "new", "ipv4_address": WEB, "ipv6_address": WEB6},
    ]
    managed.container_network(name="front", endpoints=moved)
    new = managed.link("eth0", "new")["address"]
    for address in (WEB, WEB6):
        assert managed.host.ping(address, netns="mate")
        assert neighbour(managed, address) == new
    assert managed.host.ping("192.168.10.50", netns="mate") and managed.host.ping("fd00:10::50", netns="mate")


def test_new_mac_works_at_once_and_the_old_one_is_nobodys(managed: Managed) -> None:
    managed.container_network(**FRONT, connected=["web", "mate"])
    old = managed.link("eth0", "web")["address"]
    managed.container_network(name="front", endpoints=[{"container": "web", "mac_address": NOBODYS_MAC}])
    assert managed.host.ping(WEB, netns="mate")
    assert old not in guard(managed) and NOBODYS_MAC in guard(managed)


def guard(managed: Managed) -> str:
    return managed.sh(f"nft -n list table {GUARD} 2>/dev/null || true")


def test_guard_goes_with_the_last_network(managed: Managed) -> None:
    before = managed.snapshot()
    managed.container_network(networks=[{**FRONT, "connected": ["web"]}, {**BACK, "connected": ["web", "db"]}])
    assert "192.168.20.2" in guard(managed)
    managed.container_network(name="back", state="absent", force=True)
    assert "192.168.20" not in guard(managed) and WEB in guard(managed)
    managed.container_network(name="front", endpoints=[{"container": "web", "state": "absent"}])
    assert WEB not in guard(managed) and GATEWAY in guard(managed)
    managed.container_network(name="front", state="absent")
    assert guard(managed) == ""
    managed.netns_bridge(containers=[{"name": name, "state": "absent"} for name in ("web", "db")])
    same(bare(before), bare(managed.snapshot()), "something is left behind")


THEIRS = """
table bridge filter {
    set bridgework { type ether_addr; elements = { 02:00:00:00:00:01 } }
    chain prerouting { type filter hook prerouting priority -300; policy accept; iifname "docker0" drop; }
}
table bridge bridgework-not {
    chain bridgework {
        counter
    }
}
table ip bridgework {
    chain prerouting { type filter hook prerouting priority 0; policy accept; }
}
"""


def test_tables_of_others_stay_as_they_are(managed: Managed) -> None:
    managed.host.run("nft", "-f", "-", input=THEIRS)
    listed = "nft list table bridge filter; nft list table bridge bridgework-not; nft list table ip bridgework"
    before = managed.sh(listed)
    managed.container_network(**FRONT, connected=["web", "mate"])
    assert managed.sh(listed) == before
    managed.container_network(name="front", state="absent", force=True)
    assert managed.sh(listed) == before


def test_frames_of_others_are_not_looked_at(managed: Managed) -> None:
    """On a bridge of somebody else the same addresses may well be somebody else's."""
    managed.container_network(**FRONT, connected=["web"])
    managed.sh(
        """
        ip link add docker0 up type bridge
        for name in one two; do
            ip netns add $name
            ip link add veth$name master docker0 up type veth peer name eth0 netns $name
            ip -n $name link set eth0 up
        done
        """
    )
    managed.sh("echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables")  # the rules of the raw table would drop them
    managed.sh(f"ip addr add {GATEWAY}/24 dev eth0", netns="one")
    managed.sh(f"ip addr add {WEB}/24 dev eth0", netns="two")
    assert managed.host.ping(WEB, netns="one")


# What somebody changes by hand.

DRIFTING = {"networks": [{**FRONT, "connected": ["web", "mate"]}, {**BACK, "connected": ["db"]}]}


@pytest.fixture(scope="module")
def drifting(driver: Driver) -> Iterator[Managed]:
    with managed_lab(driver, ("host",)) as (_lab, managed):
        managed.run("container_network", framed=False, **DRIFTING)
        managed.run("container_network", name="front", endpoints=LINKED, framed=False)
        yield managed


LINKED = [{"container": "web", "link_local_ips": [LINK_LOCAL, "fe80::7"]}]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (f"nft delete table {GUARD}", "create rule [bridge bridgework prerouting] iifname != @ports accept"),
        (f"nft flush table {GUARD}", "create rule [bridge bridgework prerouting] iifname != @ports accept"),
        ("nft flush ruleset", "create rule [bridge bridgework @addresses] 192.168.10.2"),
        (f"nft 'add table {GUARD} {{ flags dormant; }}'", "remove rule [bridge bridgework] flags dormant"),
        (
            f"nft delete element {GUARD} addresses {{ {WEB} }}",
            "create rule [bridge bridgework @addresses] 192.168.10.2",
        ),
        (
            f"nft delete element {GUARD} targets {{ 0xfd000010000000000000000000000002 }}",
            "create rule [bridge bridgework @targets] fd00:10::2",
        ),
        (
            f"nft add element {GUARD} addresses_owners '{{ \"veth0\" . {WEB} }}'",
            'remove rule [bridge bridgework @addresses_owners] "veth0" . 192.168.10.2',
        ),
        (f"nft flush set {GUARD} ports", 'create rule [bridge bridgework @ports] "veth'),
        (f"nft insert rule {GUARD} prerouting accept", "remove rule [bridge bridgework prerouting] accept"),
        (
            f"nft replace rule {GUARD} prerouting handle $(nft -a list table {GUARD} | "
            "sed -n 's/.*arp saddr ip @addresses .*handle //p' | head -1) arp saddr ip @addresses counter",
            "create rule [bridge bridgework prerouting] "
            "arp saddr ip @addresses iifname . arp saddr ip != @addresses_owners drop",
        ),
        (
            f"nft add chain {GUARD} prerouting '{{ policy drop; }}'",
            "remove rule [bridge bridgework] "
            "chain prerouting { type filter hook prerouting priority -300; policy drop; }",
        ),
        (f"nft add chain {GUARD} other; nft add rule {GUARD} other drop", "remove rule [bridge bridgework other] drop"),
        (f"nft add set {GUARD} other '{{ type mark; }}'", "remove rule [bridge bridgework] set other { type mark; }"),
        (f"nft flush map {GUARD} links", 'create rule [bridge bridgework @links] "veth'),
    ],
    ids=lambda value: value[:60],
)
def test_change_is_told_in_check_mode_and_repaired(drifting: Managed, damage: str, told: str) -> None:
    whole, before = guard(drifting), drifting.snapshot()
    drifting.sh(damage)
    assert guard(drifting) != whole, "no damage was done"
    predicted = drifting.once("container_network", DRIFTING, check=True)
    assert predicted["changed"]
    assert [line for line in predicted["actions"] if line.startswith(told)], predicted["actions"]
    verb, _between, line = told.partition(" ")
    assert line in predicted["diff"]["before" if verb == "remove" else "after"]
    assert drifting.container_network(**DRIFTING)["changed"]
    same(before, drifting.snapshot(), "it is not as it was")


def test_what_is_saved_by_hand_can_be_loaded_and_is_the_same(drifting: Managed) -> None:
    """As `nft list ruleset >/etc/nftables.conf` does; without numbers for names too."""
    for options in ("", "-n", "-s"):
        drifting.sh(
            f"nft {options} list table {GUARD} >/run/saved; nft delete table {GUARD}; nft -f /run/saved; rm /run/saved"
        )
        assert not drifting.once("container_network", DRIFTING)["changed"]


def test_items_that_a_repair_is_about_are_the_ones_reported(drifting: Managed) -> None:
    drifting.sh(f"nft flush set {GUARD} links 2>/dev/null || nft flush map {GUARD} links")
    assert changed(drifting) == {"front"}
    veth = drifting.sh(f"nft list set {GUARD} addresses_owners | grep -o '\"veth[0-9a-f]*\" . 192.168.20.2'")
    drifting.sh(f"nft delete element {GUARD} addresses_owners '{{ {veth.strip()} }}'")
    assert changed(drifting) == {"back"}


def changed(managed: Managed) -> set[str]:
    result = managed.run("container_network", framed=False, **DRIFTING)
    return {item["name"] for item in result["networks"] if item["changed"]}


@contextmanager
def other_nft(managed: Managed, script: str) -> Iterator[None]:
    """A script in the place of nft, which it finds as /run/real-nft."""
    path = managed.sh("readlink -f $(command -v nft)").strip()
    managed.host.run("sh", "-ec", "cat >/run/nft; chmod +x /run/nft", input=f"#!/bin/sh\n{script}\n")
    managed.sh(f"cp {path} /run/real-nft; mount --bind /run/nft {path}")
    try:
        yield
    finally:
        managed.sh(f"umount {path}; rm /run/nft /run/real-nft")


def test_words_of_another_version_of_nft_are_found_out(drifting: Managed) -> None:
    """By having it print our rules, in a network namespace of its own; what it has other words for is no drift."""
    words = "s/htype != 1/htype != ether/; s/type 0x88a8/type 8021ad/; s/type 136/type nd-neighbor-advert/"
    before = drifting.snapshot()
    with other_nft(drifting, f"/run/real-nft \"$@\" >/run/listed.$$ || exit; sed '{words}' /run/listed.$$"):
        assert not drifting.once("container_network", DRIFTING)["changed"]
        drifting.sh(f"/run/real-nft flush chain {GUARD} prerouting")
        assert drifting.once("container_network", DRIFTING)["changed"]
        assert not drifting.once("container_network", DRIFTING)["changed"]
    drifting.sh("rm /run/listed.*")
    same(before, drifting.snapshot(), "it is not as it was")


# Hosts that can't.


def test_missing_nft_is_named(managed: Managed) -> None:
    path = managed.sh("readlink -f $(command -v nft)").strip()
    managed.container_network(name="front", connected=["web"])
    before = managed.snapshot()
    managed.sh(f"mount --bind /dev/null {path}")
    for check in (True, False):
        result = managed.once("container_network", {"name": "back"}, check=check)
        assert result["msg"] == (
            "firewall_backend: the command nft is missing, which keeps containers from sending as others beside either "
            "backend; install the package nftables"
        )
    managed.sh(f"umount {path}")
    same(before, managed.snapshot(), "something was changed")


@pytest.mark.parametrize(
    ("complaint", "message"),
    [
        ("Could not process rule: Operation not supported", "CONFIG_NF_TABLES_BRIDGE"),
        ("syntax error, unexpected @", "a later version of nft may take it"),
    ],
)
def test_what_the_kernel_or_nft_lacks_is_named_and_nothing_is_left(
    managed: Managed, complaint: str, message: str
) -> None:
    script = 'case "$*" in *list*) echo Error: No such file or directory >&2; exit 1;; esac'
    before = managed.snapshot()
    with other_nft(managed, f"{script}; echo '/dev/stdin:1:1-2: Error: {complaint}' >&2; exit 1"):
        results = [managed.once("container_network", FRONT, check=check) for check in (True, False)]
    for result in results:
        assert result["failed"] and complaint in result["msg"] and message in result["msg"], result["msg"]
        assert "\n" not in result["msg"]
    same(bare(before), bare(managed.snapshot()), "something was changed")


def test_gateway_that_the_bridge_does_not_have_is_anybodys(managed: Managed) -> None:
    """A container may be the router of a network."""
    options = {**FRONT["driver_options"], "com.docker.network.bridge.inhibit_ipv4": True}
    managed.container_network(**{**FRONT, "driver_options": options}, connected=["web", "mate"])
    managed.sh(f"ip addr add {GATEWAY}/24 dev eth0", netns="web")
    assert managed.host.ping(GATEWAY, netns="mate")


def test_link_local_address_is_its_owners_on_that_network_only(managed: Managed) -> None:
    """One that somebody else has on another network, where the liar has a port too."""
    own = {"container": "web", "link_local_ips": [LINK_LOCAL]}
    others = {"container": "evil", "link_local_ips": [LINK_LOCAL]}
    managed.container_network(networks=[{**FRONT, "endpoints": [own], "connected": ["mate", "evil"]}])
    managed.container_network(**{**BACK, "endpoints": [others], "connected": ["db"]})
    macs = Macs.of(managed)
    spoof = ethernet(macs.evil, macs.mate, IPV4, udp(LINK_LOCAL, MATE, unique()))
    last = ethernet(macs.evil, BROADCAST, IPV4, udp(EVIL, "192.168.10.255", END))
    assert not arrived(managed.host, spoof, last, sender="evil", at=("mate", "eth0"))


def test_address_of_a_container_on_no_bridge_is_guarded_too(managed: Managed) -> None:
    lan = {"name": "lan", "driver": "macvlan", "driver_options": {"parent": "eth0"}}
    managed.container_network(
        networks=[
            {**FRONT, "connected": ["web", "mate", "evil"]},
            {**lan, "ipam_config": [{"subnet": "172.29.0.0/24"}], "connected": ["far"]},
            {**BACK, "connected": ["db"]},
        ]
    )
    macs = Macs.of(managed)
    far = managed.address("far")
    spoof = ethernet(macs.evil, macs.mate, IPV4, udp(far, MATE, unique()))
    last = ethernet(macs.evil, BROADCAST, IPV4, udp(EVIL, "192.168.10.255", END))
    assert not arrived(managed.host, spoof, last, sender="evil", at=("mate", "eth0"))


@pytest.mark.parametrize(
    "says",
    [
        "echo 'nft: error while loading shared libraries: libx: cannot open: No such file or directory' >&2; exit 127",
        "exit 3",
    ],
)
def test_guard_does_not_stay_behind_where_nft_does_not_work(managed: Managed, says: str) -> None:
    managed.container_network(**FRONT, connected=["web"])
    with other_nft(managed, says):
        assert managed.container_network(name="front", state="absent", force=True, fails=True, framed=False)
    assert guard(managed)
    managed.container_network(name="front", state="absent", force=True)
    assert not guard(managed)


def test_networks_say_that_their_guard_was_repaired(managed: Managed) -> None:
    managed.container_network(networks=[{**FRONT, "connected": ["web"]}, {**BACK, "connected": ["db"]}])
    managed.sh(f"nft delete element {GUARD} addresses '{{ {WEB} }}'")
    front, back = managed.container_network(networks=[{"name": "front"}, {"name": "back"}])["networks"]
    assert front["changed"] and not back["changed"]
