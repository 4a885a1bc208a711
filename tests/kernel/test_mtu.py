# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks whose MTU is too small for IPv6: the kernel has none on their links, nor the settings that keep it off."""

from __future__ import annotations

import pytest
from kernel.support import REMOTE, Managed

from lab import Lab

MTU = "com.docker.network.driver.mtu"
NAME = "com.docker.network.bridge.name"
NETWORK = {"name": "narrow", "ipam_config": [{"subnet": "192.168.10.0/24"}], "connected": ["web", "db"]}
LINKS = (("lab0", None), ("eth0", "web"), ("eth0", "db"))
SETTINGS = ("disable_ipv6", "accept_ra")
HEADERS = 28  # of an echo request: IPv4 and ICMP


def options(mtu: int) -> dict[str, dict[str, object]]:
    return {"driver_options": {MTU: mtu, NAME: "lab0"}}


def mtus(managed: Managed) -> set[int]:
    """Those of the bridge, of its ports, and of the containers' interfaces."""
    ports = managed.sh("ls /sys/class/net/lab0/brif").split()
    assert len(ports) == 2
    return {managed.link(name, netns)["mtu"] for name, netns in (*LINKS, *((port, None) for port in ports))}


def ipv6(managed: Managed) -> list[dict[str, str]]:
    """What the kernel has of the settings of each link."""
    root = "/proc/sys/net/ipv6/conf"
    script = "for each in {}; do if test -e {}/$each; then echo $each=$(cat {}/$each); fi; done"
    found = []
    for name, netns in LINKS:
        place = f"{root}/{name}"
        lines = managed.sh(script.format(" ".join(SETTINGS), place, place), netns).split()
        found.append(dict(line.split("=") for line in lines))
    return found


def off(managed: Managed) -> bool:
    """Whether no link has IPv6, and none will: it is switched off, and no router is listened to."""
    addresses = [each for link in LINKS for each in managed.link(*link)["addr_info"] if each["family"] == "inet6"]
    return not addresses and ipv6(managed) == [{"disable_ipv6": "1", "accept_ra": "0"}] * len(LINKS)


def absent(managed: Managed) -> bool:
    """Whether no link knows of IPv6."""
    return ipv6(managed) == [{}] * len(LINKS)


def works(managed: Managed, mtu: int) -> None:
    """Packets that fill the MTU get through, to a neighbour, to the host and out of it; a larger one does not."""
    for address in (managed.address("db"), "192.168.10.1", REMOTE):
        assert ping(managed, address, mtu), address
    assert not ping(managed, managed.address("db"), mtu + 1)
    assert managed.host.ping(managed.address("web"))


def ping(managed: Managed, address: str, size: int) -> bool:
    """Whether an echo request of that size, not to be split, is answered."""
    words = ("ping", "-n", "-q", "-c1", "-W1", "-M", "do", "-s", str(size - HEADERS), address)
    return managed.host.run(*words, netns="web", check=False).returncode == 0


@pytest.mark.parametrize("mtu", [68, 576, 1279])
def test_network_that_is_too_narrow_for_ipv6(lab: Lab, managed: Managed, mtu: int) -> None:
    assert managed.container_network(**NETWORK, **options(mtu))["changed"]
    assert mtus(managed) == {mtu}
    assert absent(managed)
    works(managed, mtu)


def test_network_that_is_just_wide_enough_has_ipv6_switched_off(lab: Lab, managed: Managed) -> None:
    managed.container_network(**NETWORK, **options(1280))
    assert off(managed)
    works(managed, 1280)


def test_network_can_become_too_narrow_and_wide_again(lab: Lab, managed: Managed) -> None:
    managed.container_network(**NETWORK, **options(1500))
    indexes = [managed.link(*link)["ifindex"] for link in LINKS]
    assert off(managed)
    assert managed.container_network(**NETWORK, **options(1000))["changed"]
    assert mtus(managed) == {1000}
    assert absent(managed)
    works(managed, 1000)
    assert managed.container_network(**NETWORK, **options(1500))["changed"]
    assert mtus(managed) == {1500}
    assert off(managed)
    works(managed, 1500)
    assert [managed.link(*link)["ifindex"] for link in LINKS] == indexes, "they are the same links"


def test_container_that_comes_to_a_narrow_network_goes_along_when_it_becomes_wide(managed: Managed) -> None:
    managed.container_network(**{**NETWORK, "connected": ["web"]}, **options(1000))
    managed.container_network(name="narrow", connected=["db"], appends=True)
    assert mtus(managed) == {1000} and absent(managed)
    managed.container_network(name="narrow", **options(1500))
    assert mtus(managed) == {1500} and off(managed)


def test_any_task_makes_a_link_narrow_again_that_somebody_widened(managed: Managed) -> None:
    """And the kernel takes away the IPv6 that it had there meanwhile."""
    managed.container_network(**NETWORK, **options(1000))
    managed.sh("ip link set lab0 mtu 1500; ip -n web link set eth0 mtu 1500")
    assert ipv6(managed)[:2] != [{}, {}]
    assert managed.network_prune(networks=False)["changed"]
    assert mtus(managed) == {1000} and absent(managed)


def test_any_task_switches_ipv6_off_again_on_a_link_that_somebody_narrowed(managed: Managed) -> None:
    managed.container_network(**NETWORK, **options(1500))
    managed.sh("ip link set lab0 mtu 1000; ip -n web link set eth0 mtu 1000")
    assert ipv6(managed)[:2] == [{}, {}]
    assert managed.network_prune(networks=False)["changed"]
    assert mtus(managed) == {1500} and off(managed)


def test_setting_of_ipv6_on_a_link_that_becomes_too_narrow_for_it_stops_no_other_task(managed: Managed) -> None:
    managed.container_network(**NETWORK, **options(1500))
    sysctls = {"net.ipv6.conf.eth0.hop_limit": 50}
    managed.run("netns_bridge", containers=[{"name": "web", "sysctls": sysctls}], framed=False)
    managed.once("container_network", {"name": "narrow", **options(1000)})
    result = managed.once("container_network", {"name": "other"})
    assert not result.get("failed"), result["msg"]
    result = managed.once("container_network", {"name": "narrow", **options(1500)})
    assert not result.get("failed"), result["msg"]
