# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task that fails half-way leaves links, rules, settings and records as they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kernel.plans import SCENARIOS, Scenario, at_every_moment, carry_out, each_of, fresh_host
from kernel.support import Driver, Managed, check_error, parsed, same, unlocked


@each_of(SCENARIOS)
def test_task_that_is_refused_at_any_step_changes_nothing(drivers: Sequence[Driver], scenario: Scenario) -> None:
    def check(driver: Driver, moments: Iterable[int]) -> None:
        with fresh_host(driver) as managed:
            carry_out(managed, scenario.before)
            for moment in moments:
                refuse(managed, moment)

    def refuse(managed: Managed, moment: int) -> None:
        before = unlocked(managed.snapshot())
        (outcome,) = managed.outcomes([scenario.task], fork=True, fault={"at": moment, "how": "fail"})
        result = parsed(outcome)
        assert result.get("failed") and "injected" in result["msg"], result
        assert "failed too" not in result["msg"], result["msg"]
        check_error(result["msg"])
        same(before, unlocked(managed.snapshot()), f"refused at moment {moment}: {result['msg']}", identity=False)

    assert at_every_moment(drivers, scenario, "fail", check) >= 2


# What kernels really refuse.


def refused(managed: Managed, **arguments: object) -> str:
    """The error of a task that the host refuses after some of it was done."""
    before = unlocked(managed.snapshot())
    result = managed.once("container_network", arguments)
    assert result.get("failed"), result
    check_error(result["msg"])
    same(before, unlocked(managed.snapshot()), "a run that failed changed the host", identity=False)
    return result["msg"]


def test_sysctl_that_the_kernel_refuses(managed: Managed) -> None:
    containers = [{"name": "web"}, {"name": "db", "sysctls": {"net.ipv6.conf.eth0.mtu": 9000}}]
    before = unlocked(managed.snapshot())
    result = managed.once("netns_bridge", {"containers": containers})
    problem = 'container "db": sysctl net/ipv6/conf/eth0/mtu can\'t be set to "9000": it is refused by the kernel'
    assert result["failed"] and problem in result["msg"]
    same(before, unlocked(managed.snapshot()), "a run that failed changed the host", identity=False)


def test_foreign_link_with_the_name_of_the_bridge(managed: Managed) -> None:
    managed.sh("ip link add br-lab type bridge")
    options = {"com.docker.network.bridge.name": "br-lab"}
    assert 'interface "br-lab" exists' in refused(managed, name="net-test", driver_options=options, connected=["web"])


def test_address_that_a_foreign_interface_of_the_container_has(managed: Managed) -> None:
    """Not ours to judge: the kernel takes it."""
    managed.sh("ip netns add web; ip -n web addr add 192.168.10.2/24 dev lo")
    managed.container_network(name="net-test", ipam_config=[{"subnet": "192.168.10.0/24"}], connected=["web"])


def test_firewall_that_refuses_the_rule_set(managed: Managed) -> None:
    """A foreign chain of another hook in the way: the base chain that iptables needs can't be made."""
    managed.sh("nft add table ip nat; nft 'add chain ip nat PREROUTING { type filter hook input priority 7; }'")
    message = refused(managed, name="net-test", connected=["web", "db"])
    assert "iptables-restore refused" in message


def test_file_where_a_namespace_should_be(managed: Managed) -> None:
    managed.sh("mkdir -p /run/netns/web")
    assert "/run/netns/web" in refused(managed, name="net-test", connected=["db", "web"])


def test_state_that_can_not_be_written(managed: Managed) -> None:
    managed.run("container_network", name="first", framed=False)
    managed.sh("mount --bind /var/lib/bridgework /var/lib/bridgework; mount -o remount,ro,bind /var/lib/bridgework")
    assert "/var/lib/bridgework/state.db" in refused(managed, name="net-test", connected=["web"])
