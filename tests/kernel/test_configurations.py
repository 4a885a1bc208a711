# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that only hold a configuration, networks without addresses, and what only a cluster would have."""

from __future__ import annotations

from typing import Any

import pytest
from kernel.support import Managed, bare, same

MTU = "com.docker.network.driver.mtu"
TEMPLATE = {
    "name": "template",
    "config_only": True,
    "ipam_config": [{"subnet": "192.168.10.0/24", "iprange": "192.168.10.128/25"}, {"subnet": "fd00:10::/64"}],
    "driver_options": {MTU: 1400},
    "labels": {"tier": "front"},
}


def test_configuration_is_nothing_on_the_host(managed: Managed) -> None:
    before = managed.snapshot()
    network = managed.container_network(**TEMPLATE)["network"]
    assert (network["ConfigOnly"], network["Driver"], network["Options"]) == (True, "null", {MTU: "1400"})
    same(bare(before), bare(managed.snapshot()), "something of it is on the host")


def test_network_has_all_that_its_configuration_says(managed: Managed) -> None:
    managed.container_network(**TEMPLATE)
    network = managed.container_network(
        name="front", config_from="template", labels={"own": "1"}, connected=["web", "mate"]
    )["network"]
    assert network["ConfigFrom"] == {"Network": "template"}
    assert [block["Subnet"] for block in network["IPAM"]["Config"]] == ["192.168.10.0/24", "fd00:10::/64"]
    assert network["Labels"] == {"tier": "front", "own": "1"}
    assert (managed.address("web"), managed.link("eth0", "web")["mtu"]) == ("192.168.10.128", 1400)
    assert managed.host.ping("192.168.10.129", netns="web") and managed.host.ping("fd00:10::3", netns="web")
    refused = managed.container_network(networks=[{"name": "template", "state": "absent", "force": True}], partly=True)
    assert 'is the configuration of network "front"; remove those first' in refused["msg"]
    kept = {each["name"]: each["reason"] for each in managed.network_prune()["kept"]}
    assert kept["template"] == 'it is the configuration of network "front"'
    managed.container_network(
        networks=[{"name": name, "state": "absent", "force": True} for name in ("front", "template")]
    )


def test_network_without_addresses_is_layer_2_and_nothing_more(managed: Managed) -> None:
    network = managed.container_network(
        name="flat", ipam_driver="null", ipam_driver_options={"a": "1"}, connected=["web", "mate"]
    )["network"]
    assert (network["IPAM"]["Driver"], network["IPAM"]["Options"], network["IPAM"]["Config"]) == (
        "null",
        {"a": "1"},
        [],
    )
    for name, address in (("web", "10.9.9.1"), ("mate", "10.9.9.2")):
        assert not managed.link("eth0", name)["addr_info"]
        managed.sh(f"ip addr add {address}/24 dev eth0", netns=name)
    assert managed.host.ping("10.9.9.2", netns="web")
    assert not managed.container_network(name="flat")["changed"], "what somebody put there is theirs"
    managed.container_network(name="flat", state="absent", force=True)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"config_from": "nothing"}, 'config_from "nothing" is no network of this host; name one that was made with'),
        ({"config_from": "plain"}, 'config_from "plain" is not a network of configuration only'),
        ({"config_from": "template", "driver_options": {}, "internal": True, "attachable": True}, None),
        ({"config_from": "template", "ipam_driver": "default"}, 'is given with config_from "template", which has it'),
        ({"config_only": True, "internal": True}, "give it to the networks made from this one"),
        ({"config_only": True, "config_from": "template"}, "leave one of the two out"),
        ({"config_only": True, "connected": ["web"]}, "is given with containers to connect"),
        ({"ipam_driver": "null", "ipam_config": [{"subnet": "10.0.0.0/24"}]}, 'is given with ipam_driver "null"'),
        ({"ipam_driver": "dhcp"}, 'ipam_driver "dhcp" is unknown; use one of: default, null'),
        ({"scope": "swarm"}, 'scope "swarm" is for clusters of Docker\'s; use local, or leave it out'),
        ({"ingress": True}, 'ingress "true" is for clusters'),
        ({"name": "template", "config_only": False}, None),
        ({"name": "plain", "config_only": True}, 'differs from what the network is and would cut off container "db"'),
        (
            {"name": "plain", "config_from": "template"},
            'differs from the present none and would cut off container "db"',
        ),
        ({"name": "plain", "ipam_driver": "null"}, 'differs from the present default and would cut off container "db"'),
        ({"name": "template", "connected": ["web"]}, "is given with containers to connect"),
        ({"name": "plain", "config_only": False, "scope": "local", "ingress": False, "ipam_driver": "default"}, None),
    ],
)
def test_what_does_not_go_together_is_refused(managed: Managed, arguments: dict[str, Any], problem: str | None) -> None:
    managed.run("container_network", networks=[TEMPLATE, {"name": "plain", "connected": ["db"]}], framed=False)
    result = managed.container_network(**{"name": "new", **arguments}, fails=problem is not None)
    assert problem is None or problem in result["msg"], result["msg"]


def test_network_of_another_kind_is_made_anew_where_that_cuts_off_nobody(managed: Managed) -> None:
    managed.container_network(networks=[TEMPLATE, {"name": "net"}])
    managed.container_network(name="net", config_from="template")
    managed.container_network(name="net", connected=["web"])
    assert managed.address("web").startswith("192.168.10.")
    managed.container_network(name="net", ipam_driver="null", force=True)
    assert not managed.link("eth0", "web")["addr_info"]
    managed.container_network(name="net", ipam_driver="default", ipam_config=[{"subnet": "10.7.0.0/24"}], force=True)
    assert managed.address("web") == "10.7.0.2"
    managed.container_network(name="net", config_only=True, force=True)
    assert "eth0" not in managed.sh("ip -o link", "web")


def test_ports_of_a_container_without_an_address_are_refused(managed: Managed) -> None:
    managed.run("container_network", name="bare", ipam_driver="null", connected=["web"], framed=False)
    refused = managed.port_mapping(container="web", published_ports=["8000:80"], fails=True)
    assert "has no IPv4 address and none of IPv6" in refused["msg"]
