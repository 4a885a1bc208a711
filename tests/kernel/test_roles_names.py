# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that the roles are given by numbers, as YAML reads them, or by paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel.roles import Roles, call
from kernel.support import Managed

BRIDGE = {
    "containers": [{"name": 80}, {"name": "/var/run/netns/there"}],
    "mappings": [
        {"container": "/run/netns/80", "published_ports": ["8000:80"]},
        {"container": "there", "published_ports": ["8001:80"]},
    ],
}
HOST = {"containers": [{"name": 9100}]}


@pytest.mark.parametrize(("role", "values", "names"), [("bridge", BRIDGE, ["80", "there"]), ("host", HOST, ["9100"])])
def test_what_a_role_made_is_known_again(
    managed: Managed, tmp_path: Path, role: str, values: dict, names: list[str]
) -> None:
    managed.run("netns_bridge", containers=[{"name": name} for name in names if name == "there"], framed=False)
    roles = Roles(managed, tmp_path)
    roles.play([call(role, **values)])
    found = {each["name"]: len(each["ports"]) for each in managed.container_info()["containers"]}
    assert found == dict.fromkeys(names, 1 if "mappings" in values else 0)
    assert not [line for line in roles.play([call(role, **values)]) if line.get("changed")]
    roles.play([call(role, **values, state="absent")])
    assert managed.container_info()["containers"] == []
