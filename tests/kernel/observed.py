# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host holds, in the shapes in which the reference says what it should hold (see reference.py)."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from kernel.reference import NAME, Record, family_of
from kernel.support import Snapshot

LINK = re.compile(r"(?P<space>[^/]*)/link (?P<link>\S+) \.(?P<key>ifname|mtu|master|linkinfo\.info_kind)")
ADDRESS = re.compile(r"(?P<space>[^/]*)/link (?P<link>\S+) address (?P<address>[0-9a-f.:]+/\d+) ?\.family")
ROUTE = re.compile(r"(?P<space>[^/]*)/route (?P<route>.*)")
SETTING = re.compile(r"(?P<space>[^/]+)/sysctl net/ipv4/ip_unprivileged_port_start")
FORWARD = re.compile(
    r"-A BRIDGEWORK-\S+ (?:-d (?P<address>\S+)/\d+ )?-p (?P<protocol>\w+) .*--dport (?P<port>\d+) "
    r"-j DNAT --to-destination (?P<target>\S+)"
)
# The same as an element of a map of nftables.
MAPPED = re.compile(
    r"(?:(?P<address>[0-9a-f.:]+) \. )?(?P<protocol>6|17|132) \. (?P<port>\d+) : (?P<target>[0-9a-f.:]+) \. (?P<to>\d+)"
)
PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp"}


def kernel(snapshot: Snapshot, host: int) -> Record:
    """`host` is the inode of the host's own namespace."""
    inodes = {key.split()[1]: int(value.split(":")[1]) for key, value in snapshot.items() if key.startswith("name ")}
    links: dict[tuple[str, str], dict[str, Any]] = {}
    addresses: dict[tuple[str, str], list[str]] = {}
    ways_out, settings, published = {}, {}, {}
    for key, value in snapshot.items():
        if found := LINK.fullmatch(key):
            links.setdefault((found["space"], found["link"]), {})[found["key"]] = json.loads(value)
        elif found := ADDRESS.fullmatch(key):
            addresses.setdefault((found["space"], found["link"]), []).append(found["address"])
        elif (found := ROUTE.fullmatch(key)) and found["space"]:
            route = json.loads(found["route"])
            if route["dst"] == "default":
                ways_out[found["space"], family_of(route["gateway"])] = (route["gateway"], route["dev"])
        elif found := SETTING.fullmatch(key):
            settings[found["space"]] = value
        elif " nat " in key and (found := FORWARD.fullmatch(value)):
            address = found["address"] or ("::" if key.startswith("ip6tables") else "0.0.0.0")
            published[found["protocol"], address, int(found["port"])] = (
                found["target"].replace("[", "").replace("]", "")
            )
        elif key.startswith("nft inet ") and (found := MAPPED.fullmatch(value)):
            address = found["address"] or ("::" if ":" in found["target"] else "0.0.0.0")
            place = (PROTOCOLS[found["protocol"]], address, int(found["port"]))
            published[place] = f"{found['target']}:{found['to']}"
    bridges = [link["ifname"] for (space, _name), link in links.items() if not space and _kind(link) == "bridge"]
    return {
        "names": {name: sorted(each for each in inodes if inodes[each] == inodes[name]) for name in inodes},
        "on the host": sorted(name for name in inodes if inodes[name] == host),
        "bridges": {
            name: {
                "mtu": links["", name]["mtu"],
                "addresses": sorted(addresses.get(("", name), ())),
                "ports": sum(link.get("master") == name for link in links.values()),
            }
            for name in bridges
        },
        "pairs": sum(_kind(link) == "veth" for (space, name), link in links.items() if not space) - 1,  # eth0
        "interfaces": {
            (space, name): {"mtu": link["mtu"], "addresses": sorted(addresses.get((space, name), ()))}
            for (space, name), link in links.items()
            if space and name != "lo"
        },
        "ways out": ways_out,
        "settings": settings,
        "published": published,
    }


def _kind(link: Mapping[str, Any]) -> str | None:
    return link.get("linkinfo.info_kind")


def state_file(pid: int) -> Record:
    """The records of the host whose PID 1 has this pid."""
    path = Path(f"/proc/{pid}/root/var/lib/bridgework/state.db")  # which SQLite itself would look for at home
    if not path.exists():
        nothing: Record = {"oldest first": [], "names": [], "pending": []}
        return {"networks": {}, "containers": {}, "endpoints": {}, "ports": {}, **nothing}
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(path.read_bytes())
        connection.row_factory = sqlite3.Row
        every = connection.execute
        networks = {
            row["name"]: {
                "device": row["device"],
                "internal": bool(row["internal"]),
                "labels": json.loads(row["labels"]),
                "options": json.loads(row["options"]),
                "subnets": {
                    family_of(block["subnet"]): {key: block[key] for key in ("subnet", "gateway", "iprange")}
                    for block in every("SELECT * FROM ipam WHERE network = ?", (row["name"],))
                },
            }
            for row in every("SELECT * FROM network").fetchall()
        }
        addresses: dict[tuple[str, str], dict[int, str]] = {}
        for network, container, address in every("SELECT network, container, address FROM address"):
            addresses.setdefault((network, container), {})[family_of(address)] = address
        endpoints = {
            (row["network"], row["container"]): {
                "addresses": addresses.get((row["network"], row["container"]), {}),
                "interface": row["interface"],
                "mac": row["mac"],
                "aliases": json.loads(row["aliases"]),
                "gw_priority": row["gw_priority"],
            }
            for row in every("SELECT * FROM endpoint ORDER BY serial")
        }
        return {
            "networks": networks,
            "containers": {
                row["name"]: {
                    "mode": row["mode"],
                    "target": row["target"],
                    "sysctls": json.loads(row["sysctls"]),
                    "labels": json.loads(row["labels"]),
                }
                for row in every("SELECT * FROM container")
            },
            "endpoints": endpoints,
            "oldest first": [*endpoints],
            "ports": {
                (row["protocol"], row["host_ip"], row["host_port"]): {
                    "container": row["container"],
                    "container_port": row["container_port"],
                    "random": bool(row["random"]),
                    "network": row["network"],
                }
                for row in every("SELECT * FROM mapping")
            },
            "names": sorted(row["name"] for row in every("SELECT name FROM owned_namespace")),
            "pending": [tuple(row) for row in every("SELECT * FROM pending")],
        }


def info(networks: Iterable[Mapping[str, Any]], containers: Iterable[Mapping[str, Any]]) -> Record:
    """What container_network_info and container_info say."""
    return {
        "networks": {each["Name"]: _network(each) for each in networks},
        "containers": list(map(_container, containers)),
    }


def _network(shown: Mapping[str, Any]) -> Record:
    return {
        "device": shown["Options"].get(NAME),
        "options": {key: value for key, value in shown["Options"].items() if key != NAME},
        "internal": shown["Internal"],
        "labels": shown["Labels"],
        "families": [family for family in (4, 6) if shown[f"EnableIPv{family}"]],
        "subnets": [(block["Subnet"], block["Gateway"], block.get("IPRange")) for block in shown["IPAM"]["Config"]],
        "containers": {
            each["Name"]: [each[key] for key in ("IPv4Address", "IPv6Address") if each[key]]
            for each in shown["Containers"].values()
        },
    }


def _container(shown: Mapping[str, Any]) -> Record:
    kept = ("name", "mode", "target", "namespace", "namespace_is_the_hosts", "shared_with", "labels", "ports")
    return {
        **{key: shown[key] for key in kept},
        "networks": {
            name: {key: each[key] for key in ("interface", "addresses", "aliases")}
            for name, each in shown["networks"].items()
        },
        "ways out": sorted(
            (each["gateway"], each["interface"])
            for each in shown["routes"]
            if each["destination"] == "default" and not shown["namespace_is_the_hosts"]
        ),
    }
