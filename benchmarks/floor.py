# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor: the same containers and ports by the fewest calls there are, `ip -batch` and one raw `nft -f`.

It compares nothing, keeps nothing, protects nothing and can't be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.inside.per_container import host_ports
from benchmarks.scale import PORTS
from lab import Host

BRIDGE = "floor0"
INSIDE = """
while read -r name address; do
    ip -n "$name" -batch - <<END
        link set lo up
        link set eth0 up
        address add $address/16 dev eth0
        route add default via 10.90.0.1
END
done
"""


def address(number: int) -> str:
    return f"10.90.{(number + 1) // 256}.{(number + 1) % 256}"


def links(containers: int) -> str:
    """Lines for one `ip -batch` in the host."""
    lines = [f"link add {BRIDGE} up type bridge", f"address add 10.90.0.1/16 dev {BRIDGE}"]
    for number in range(1, containers + 1):
        lines.append(f"netns add c{number}")
        lines.append(f"link add v{number} master {BRIDGE} up type veth peer name eth0 netns c{number}")
    return "".join(f"{line}\n" for line in lines)


def inside(containers: int) -> str:
    """A line for each container: its name and address."""
    return "".join(f"c{number} {address(number)}\n" for number in range(1, containers + 1))


def rules(containers: int) -> str:
    elements = ", ".join(
        f"{outer} : {address(number)} . {inner}"
        for number in range(1, containers + 1)
        for outer, inner in host_ports(number, PORTS)
    )
    return f"""table ip floor {{
    map ports {{ type inet_service : ipv4_addr . inet_service; elements = {{ {elements} }}; }}
    chain in {{ type nat hook prerouting priority dstnat; fib daddr type local dnat to tcp dport map @ports; }}
    chain own {{ type nat hook output priority -100; fib daddr type local dnat to tcp dport map @ports; }}
    chain out {{ type nat hook postrouting priority srcnat; ip saddr 10.90.0.0/16 oifname != "{BRIDGE}" masquerade; }}
}}
"""


def build(host: Host, containers: int) -> dict[str, float]:
    """The seconds of each of its parts."""
    batch, lines, ruleset = links(containers), inside(containers), rules(containers)
    return {
        "links": _timed(lambda: host.run("ip", "-batch", "-", input=batch, timeout=120)),
        "inside": _timed(lambda: host.run("sh", "-ec", INSIDE, input=lines, timeout=120)),
        "firewall": _timed(lambda: host.run("nft", "-f", "-", input=ruleset)),
        "forwarding": _timed(lambda: host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")),
    }


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began
