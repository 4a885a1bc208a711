# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's "Five minutes to a published service", word for word, on a machine that has nothing of it yet."""

from __future__ import annotations

import dataclasses
import re
import time

from docs.control_node import ControlNode
from vm.conftest import Clock, Machine, readme_blocks

PATIENCE = 120
LEFT = "ip netns list; nft list tables; ip -brief link show type bridge; ls /etc/systemd/system/web.service 2>/dev/null"


def test_readme_can_be_followed(web1: Machine, client: Machine, control_node: ControlNode, clock: Clock) -> None:
    _install, (_yaml, site), (_console, session), (_console, ad_hoc) = readme_blocks()
    control_node.write("site.yml", site)
    play, curl = (line.removeprefix("$ ") for line in session.splitlines())

    def page() -> str:
        """What the client sees; "" where nothing answers."""
        code, said = client.run(curl + " --silent --max-time 20")
        return said if code == 0 else ""

    def see_page() -> None:
        until = time.monotonic() + PATIENCE
        while "Directory listing for /" not in page():
            assert time.monotonic() < until, web1.run("systemctl status web; journalctl -n 20 -u web")[1]
            time.sleep(1)

    begun = time.monotonic()
    said = control_node.run(play)
    clock("README, step 3: the play, on a bare machine", begun)
    assert changes(said) > 0
    begun = time.monotonic()
    see_page()
    clock("README, step 3: until the client saw the page", begun)

    begun = time.monotonic()
    assert changes(control_node.run(play)) == 0
    clock("README: the second run", begun)

    # What somebody changes by hand.
    assert web1.run("nft delete element inet bridgework wildcards '{ tcp . 8000 }'") == (0, "")
    assert web1.run("sed -i s/8080/8081/ /etc/systemd/system/web.service") == (0, "")
    said = control_node.run(f"{play} --check --diff")
    assert changes(said) > 0
    assert "wildcards" in said
    assert re.search(r"^-ExecStart=.* 8081$", said, re.MULTILINE), said
    assert page() == ""
    assert changes(control_node.run(play)) > 0
    see_page()

    control_node.write("inventory.ini", "web1.example.org\n")
    by_name = dataclasses.replace(
        control_node, environment={**control_node.environment, "ANSIBLE_INVENTORY": "inventory.ini"}
    )
    network, ports, prune = (line.removeprefix("$ ") for line in ad_hoc.splitlines())
    assert "web1.example.org | SUCCESS" in by_name.run(network)
    assert "web1.example.org | CHANGED" in by_name.run(ports)
    said = by_name.run(prune)
    assert '"containers": [\n        "db"\n    ]' in said, said

    control_node.run(f"{play} --extra-vars custom_network_state=absent")
    assert web1.run(f"{{ {LEFT}; }}; true") == (0, "")


def changes(said: str) -> int:
    (recap,) = re.findall(r"^web1\.example\.org .* changed=(\d+) .* failed=0 ", said, re.MULTILINE)
    return int(recap)
