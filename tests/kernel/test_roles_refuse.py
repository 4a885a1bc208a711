# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles refuse, they refuse before anything is made."""

from __future__ import annotations

from pathlib import Path

from kernel.roles import Roles, call
from kernel.support import Managed

NO_NAME = "use letters, digits, '_', '.' and '-', and begin with a letter or digit"


def test_refused_before_anything_is_made(managed: Managed, tmp_path: Path) -> None:
    web = [{"name": "web"}]
    diverted = "/etc/systemd/system/away.service.d/host.conf"
    # As far as systemctl says its version; nothing is there to ask for units.
    managed.sh("mkdir -p /run/systemd/system /etc/systemd/system/away.service.d")
    managed.sh(f"printf '[Service]\n NetworkNamespacePath = /proc/1/ns/net\n' >{diverted}")
    managed.sh("printf '[Service]\nExecStart=/bin/true\n' >/etc/systemd/system/theirs.service")
    managed.sh("echo '# Managed by the role bridgework.network.service' >/etc/systemd/system/ours.service")

    assert Roles(managed, tmp_path).refused(
        call("bridge", containers=web, mappings=[{"container": "wbe", "published_ports": ["8000:80"]}]),
        call("bridge", containers=web, services=[{"name": "web", "exec": "+/bin/true"}]),
        call("host", containers=web, services=[{"name": "web"}]),
        call("host", containers=web, services=[{"name": "theirs", "container": "web", "exec": "/bin/true"}]),
        call("custom_network", networks=web, services=[{"name": "away", "container": "web", "exec": "/bin/true"}]),
        call("host", containers=[{"name": None}]),
        call("host", containers=[{"name": "a b"}]),
        call("host", containers=[{"name": "web", "labels": "a=b"}]),
        call("bridge", containers=[{"name": "web", "labels": "a=b"}]),
        call("bridge", containers=web, labels="a=b"),
        call("custom_network", networks=[{"name": "web", "labels": "a=b"}]),
        call("custom_network", networks="name=web", services=[{"name": "ours"}], state="absent"),
    ) == [
        'bridge_mappings: container "wbe" is none of bridge_containers with mode bridge; list it there, or '
        "publish its ports with the module port_mapping",
        'service_units["web"]: exec "+/bin/true": a command with the prefix + runs outside of the container; '
        "leave it out",
        'service_units["web"]: exec is missing; give it the command that the unit starts',
        'service_units["theirs"]: /etc/systemd/system/theirs.service is not of this role; give the unit another name, '
        "or remove that file",
        f'service_units["away"]: another file sets its NetworkNamespacePath; remove that from {diverted}',
        f'container "": name "" is not a valid name; {NO_NAME}',
        f'container "a b": name "a b" is not a valid name; {NO_NAME}',
        'labels in host_containers: "a=b" is no dictionary; write it as {label: value}',
        'bridge_labels, or labels in bridge_containers: "a=b" is no dictionary; write it as {label: value}',
        'bridge_labels, or labels in bridge_containers: "a=b" is no dictionary; write it as {label: value}',
        'labels in custom_network_networks: "a=b" is no dictionary; write it as {label: value}',
        'custom_network_networks: "name=web" is no dictionary; write it as {name: NAME}',
    ]


def test_service_that_is_not_there_is_removed_in_peace(managed: Managed, tmp_path: Path) -> None:
    managed.sh("mkdir -p /run/systemd/system")
    found = Roles(managed, tmp_path).play([call("service", units=[{"name": "gone", "state": "absent"}])])
    assert not [line for line in found if line["changed"]]
