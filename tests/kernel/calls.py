# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of the modules for Hypothesis to make up: about few things, so that they get into each other's way.

Addresses of endpoints are numbers in their subnet, which is not known before the call is made.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from kernel.reference import MTU, NAME, PORT_START, PORTS, family_of

Arguments = st.SearchStrategy[dict[str, Any]]

NETWORKS = ("a", "b", "lab0", "bridge")
BRIDGES = ("bw0", "lab0")  # which netns_bridge is about
CONTAINERS = ("x", "y", "z")
BLOCKS = (
    {"subnet": "10.1.0.0/24"},
    {"subnet": "10.1.0.0/24", "gateway": "10.1.0.3"},
    {"subnet": "10.1.0.0/24", "iprange": "10.1.0.128/30"},
    {"subnet": "10.1.0.0/25"},
    {"subnet": "10.2.0.0/30"},  # room for one container
    {"subnet": "192.0.2.128/25"},  # the host is in it
    {"subnet": "172.17.0.0/24"},
    {"subnet": "fd00:1::/64"},
    {"subnet": "fd00:1::/64", "gateway": "fd00:1::3"},
    {"subnet": "fd00:2::/126"},
)
DRIVER_OPTIONS = (
    {NAME: "lab0"},
    {NAME: "lab1", MTU: 1400},
    {NAME: "eth0"},  # the host's
    {MTU: 1400},
    {MTU: 1200},
    {"com.docker.network.bridge.enable_icc": False},
    {"com.docker.network.bridge.enable_icc": True, MTU: 1500},
    {"com.docker.network.bridge.enable_ip_masquerade": False},
)
LABELS = ({}, {"keep": ""}, {"keep": "", "team": "web"})
FILTERS = ({"label": "keep"}, {"label!": "keep"}, {"label": "team", "label!": "other"})
# The kernel takes a namespace away in its own time, and the host's ends of its pairs with it. That is waited for, as
# long as it may take where no handle keeps it.
AWAITED = """
ends=$(ip -n {container} -o link show type veth | sed -n 's/^[^@]*@if\\([0-9]*\\):.*/\\1/p')
COMMAND
for attempt in $(seq 40); do
    left=
    for end in $ends; do grep -qx $end /sys/class/net/*/ifindex && left=1; done
    [ "$left" ] || break
    sleep 0.05
done
"""

# What people do to a host by hand.
DAMAGES = (
    "ip link delete {bridge}",
    "ip link set {bridge} down",
    "ip address flush dev {bridge}",
    "for port in /sys/class/net/{bridge}/brif/*; do ip link set ${{port##*/}} nomaster; done",
    AWAITED.replace("COMMAND", "ip netns delete {container}"),
    AWAITED.replace("COMMAND", "umount /run/netns/{container}"),
    "ip -n {member} link delete {interface}",
    "ip -n {member} link set {interface} down",
    "ip -n {member} address flush dev {interface}",
    "ip -n {member} route delete default",
    "ip -6 -n {member} route delete default",
    "ip -n {member} link set lo down",
    "iptables -t nat -F BRIDGEWORK-PORTS",
    "iptables -F BRIDGEWORK-FORWARD",
    "ip6tables -F FORWARD; ip6tables -F BRIDGEWORK-FORWARD; ip6tables -X BRIDGEWORK-FORWARD",
    "nft flush ruleset",
    "nft delete table inet bridgework",
    "nft flush map inet bridgework wildcards",
    "nft insert rule inet bridgework forward accept",
    "echo 0 >/proc/sys/net/ipv4/ip_forward",
    "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
    "rm -r /run/bridgework",
)


def given(**options: st.SearchStrategy[Any]) -> Arguments:
    return st.fixed_dictionaries(options)


def merged(*parts: Arguments) -> Arguments:
    return st.tuples(*parts).map(lambda found: {key: value for each in found for key, value in each.items()})


def maybe(*parts: Arguments, **options: st.SearchStrategy[Any]) -> Arguments:
    """Each of the parts and options is there or not."""
    every = [*parts, *(given(**{key: value}) for key, value in options.items())]
    return merged(*(st.just({}) | each for each in every))


def rarely(**options: st.SearchStrategy[Any]) -> Arguments:
    """Few of the options, if any."""
    return merged(*(st.just({}) | st.just({}) | given(**{key: value}) for key, value in options.items()))


def several(parts: st.SearchStrategy[Any], key: Any = None, most: int = 3) -> st.SearchStrategy[list[Any]]:
    return st.lists(parts, min_size=1, max_size=most, unique_by=key or (lambda each: each))


def by(key: str) -> Any:
    return lambda each: each[key]


truth = st.booleans()
names = st.sampled_from(CONTAINERS)
absent = given(state=st.just("absent"))
forced = rarely(force=st.just(True))
labels = st.sampled_from(LABELS)
placing = {
    "ipv4_address": st.sampled_from((2, 3, 4, 1, 0, 200)),
    "ipv6_address": st.sampled_from((2, 3, 4, 1, 0, 200)),
    "mac_address": st.sampled_from(("02:00:00:00:00:01", "02:00:00:00:00:02")),
    "interface_name": st.sampled_from(("eth0", "eth1", "lan")),
}
families = st.sampled_from(
    (
        {"enable_ipv6": True},
        {"enable_ipv6": True},
        {"enable_ipv6": True, "enable_ipv4": False},
        {"enable_ipv6": False},
        {"enable_ipv4": True},
    )
)
description = maybe(
    families,
    ipam_config=several(st.sampled_from(BLOCKS), key=lambda block: family_of(block["subnet"])),
    driver_options=st.sampled_from(DRIVER_OPTIONS),
    labels=labels,
)

# container_network

network = given(name=st.sampled_from(NETWORKS))
endpoint = rarely(aliases=st.just(["www"]), gw_priority=st.sampled_from((-1, 0, 1)), **placing)
endpoints = several(merged(given(container=names), endpoint | endpoint | absent), key=by("container"))
described = merged(network, description, maybe(internal=truth), forced)
connected = merged(
    network,
    st.one_of(
        given(connected=several(names)),
        given(connected=several(names), appends=st.just(True)),
        given(endpoints=endpoints),
        given(endpoints=endpoints, connected=st.lists(names, max_size=2)),
    ),
)
removed = merged(network, absent, forced)
declared_networks = several(described | merged(described, connected), key=by("name"), most=2)
connected_networks = several(connected, key=by("name"), most=2)
removed_networks = several(removed | connected, key=by("name"))

# netns_bridge

container = st.one_of(
    merged(given(name=names), rarely(labels=labels, **placing)),
    merged(
        given(name=names, mode=st.just("none")),
        maybe(labels=labels, sysctls=st.sampled_from(({}, {PORT_START: "80"}))),
    ),
    given(name=names, mode=st.just("host")),
    given(name=names, mode=st.just("container"), target=names),
    merged(given(name=names), absent),
)
bridge = maybe(name=st.sampled_from(BRIDGES))
listed = given(containers=several(container, key=by("name")))
declared_bridge = merged(bridge, listed | merged(listed, description) | description, forced)
removed_bridge = merged(bridge, maybe(containers=several(given(name=names), key=by("name"))), absent, forced)
any_bridge = declared_bridge | declared_bridge | declared_bridge | removed_bridge

# port_mapping

ports = several(st.sampled_from(sorted(PORTS)))
mapping = merged(
    given(container=names),
    st.one_of(
        given(published_ports=ports),
        given(published_ports=ports),
        given(published_ports=ports, exclusive=st.just(True)),
        given(published_ports=ports, network=st.sampled_from(NETWORKS)),
        given(exclusive=st.just(True)),
    ),
)
withdrawn = merged(given(container=names), absent, maybe(published_ports=ports))
mappings = several(mapping | mapping | mapping | withdrawn, key=by("container"), most=2)

# network_prune

pruning = maybe(networks=truth, containers=truth, filters=st.sampled_from(FILTERS))
