# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules do, said a second time and as simply as can be: a model of one host, in plain dicts.

It takes the arguments of a module (the long forms: `networks`, `mappings`) and either becomes what the host has to be
afterwards, or raises Refused. It knows nothing of how any of that is made.
"""

from __future__ import annotations

import copy
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

FAMILIES = (4, 6)
NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"
PORT_START = "net/ipv4/ip_unprivileged_port_start"
PREDEFINED = {"bridge": "bw0", "host": None, "none": None}
IPV6_MTU = 1280
POOL = [f"172.{number}.0.0/16" for number in range(17, 32)]
HOSTS_SUBNETS = ("192.0.2.0/24", "2001:db8:1::/64")
HOSTS_INTERFACES = ("eth0",)
WILDCARDS = {4: "0.0.0.0", 6: "::"}

Record = dict[str, Any]
Arguments = Mapping[str, Any]
PortKey = tuple[str, str, int]

# What the texts of published_ports say: protocol, host address (or all, in each family), first and last host port (or a
# random one), container port.
PORTS = {
    "8000:80": [("tcp", None, (8000, 8000), 80)],
    "8000:81": [("tcp", None, (8000, 8000), 81)],
    "8000:80/udp": [("udp", None, (8000, 8000), 80)],
    "127.0.0.1:8000:80": [("tcp", "127.0.0.1", (8000, 8000), 80)],
    "192.0.2.10:8001:80": [("tcp", "192.0.2.10", (8001, 8001), 80)],
    "[::]:8000:80": [("tcp", "::", (8000, 8000), 80)],
    "[2001:db8:1::10]::81/udp": [("udp", "2001:db8:1::10", None, 81)],
    "8000-8001:80": [("tcp", None, (8000, 8001), 80)],
    "8001-8002:80-81": [("tcp", None, (8001, 8001), 80), ("tcp", None, (8002, 8002), 81)],
    "80": [("tcp", None, None, 80)],
    "81/udp": [("udp", None, None, 81)],
    "127.0.0.1::80": [("tcp", "127.0.0.1", None, 80)],
}
RANDOM_PORTS = range(32768, 61000)  # net.ipv4.ip_local_port_range


class Refused(Exception):
    """The call has to fail. `in_check_mode` it need not, where an earlier task may have pretended to make the thing."""

    def __init__(self, why: str, in_check_mode: bool = True) -> None:
        super().__init__(why)
        self.in_check_mode = in_check_mode


class Reference:
    """One host: `networks` and `containers` by name; `endpoints` by (network, container), the oldest first; `ports` by
    (protocol, host address, host port).

    What is chosen by hash has a place holder until `learn` is told: a bridge's device is None, a random port negative.
    """

    def __init__(self, ula: str) -> None:
        """`ula` is the /48 that the host's own IPv6 subnets are cut from."""
        self.ula = ipaddress.ip_network(ula)
        self.networks: dict[str, Record] = {}
        self.containers: dict[str, Record] = {}
        self.endpoints: dict[tuple[str, str], Record] = {}
        self.ports: dict[PortKey, Record] = {}
        self.guessed: set[str] = set()  # networks of this call whose subnets nobody asked for

    def after(self, module: str, arguments: Arguments) -> tuple[Reference, set[str]]:
        """The host after a call, and the names of what could not be removed. Raises Refused."""
        host = copy.deepcopy(self)
        failed = getattr(host, module)(**arguments)
        host.guessed.clear()
        return host, failed or set()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and vars(self) == vars(other)

    # container_network

    def container_network(self, networks: Sequence[Arguments]) -> set[str]:
        failed = set()
        for spec in networks:
            if spec.get("state") == "absent":
                try:
                    self.remove_network(spec["name"], spec.get("force"))
                except Refused:  # doesn't keep the others
                    failed.add(spec["name"])
        present = [spec for spec in networks if spec.get("state") != "absent"]
        # Subnets that were asked for come before those that are free to choose.
        for spec in sorted(present, key=lambda spec: "ipam_config" not in spec):
            self.declare(spec)
        for spec in present:
            self.connect_all(spec)
        return failed

    def remove_network(self, name: str, force: bool | None) -> None:
        if name in PREDEFINED:
            raise Refused("it is predefined")
        if name in self.networks:
            self.drop_network(name, force)

    def drop_network(self, name: str, force: bool | None) -> None:
        if self.on(name) and not force:
            raise Refused("containers use it")
        for container in self.on(name):
            del self.endpoints[name, container]
        self.ports = {key: port for key, port in self.ports.items() if port["network"] != name}
        del self.networks[name]

    def declare(self, spec: Arguments) -> None:
        """The network itself, without its endpoints."""
        name, force = spec["name"], spec.get("force")
        if name in PREDEFINED and PREDEFINED[name] is None:
            raise Refused("it has no endpoints")
        old = self.networks.get(name)
        new = copy.deepcopy(old) or {"device": PREDEFINED.get(name), "subnets": {}, "internal": False}
        new["internal"] = new["internal"] if spec.get("internal") is None else spec["internal"]
        for key in ("labels", "options"):
            new[key] = _as_given(new.get(key, {}), spec.get("driver_options" if key == "options" else key))
        new["device"] = new["options"].get(NAME, new["device"])
        new["subnets"] = self.subnets(spec, old)
        self.check_device(name, new["device"])
        if 6 in new["subnets"] and _mtu(new) < IPV6_MTU:
            raise Refused("IPv6 needs more MTU")
        if old and self.on(name) and not force:
            same = all(_subnet(new, family) == block["subnet"] for family, block in old["subnets"].items())
            if not same or new["device"] != old["device"]:
                raise Refused("containers would be cut off")
        self.networks[name] = new
        if not old and not spec.get("ipam_config"):
            self.guessed.add(name)

    def check_device(self, name: str, device: str | None) -> None:
        others = [network["device"] for other, network in self.networks.items() if other != name]
        if device is not None and device in (*others, *HOSTS_INTERFACES):
            raise Refused("it is another's interface")
        if (device == PREDEFINED["bridge"]) != (name == "bridge"):
            raise Refused("the predefined bridge has its own device, and it alone")

    def subnets(self, spec: Arguments, old: Record | None) -> dict[int, Record]:
        present = old["subnets"] if old else {}
        given: dict[int, Record] = {}
        for block in spec.get("ipam_config", ()):
            family = family_of(block["subnet"])
            if family in given or spec.get(f"enable_ipv{family}") is False:
                raise Refused("one subnet a family, and none of a family that is off")
            given[family] = block
        found = {}
        for family in FAMILIES:
            usual = family in given or family in (present or {4: "where nothing is said"})
            if usual if (asked := spec.get(f"enable_ipv{family}")) is None else asked:
                found[family] = self.block(spec, present.get(family), given.get(family), family)
        if not found:
            raise Refused("no family is left")
        return found

    def block(self, spec: Arguments, old: Record | None, given: Record | None, family: int) -> Record:
        if given is None:
            return old or _completed({"subnet": self.free_subnet(family)})
        if old and old["subnet"] == given["subnet"]:
            new = {**old, **given}
        else:
            new = _completed(given)
            others = [name for name in self.networks if name != spec["name"]]
            if _overlaps(new["subnet"], (_subnet(self.networks[name], family) for name in others)):
                raise Refused("it overlaps another network")
            if _overlaps(new["subnet"], HOSTS_SUBNETS) and not spec.get("force"):
                raise Refused("the host is in it")
        if self.holder(spec["name"], new["gateway"]):
            raise Refused("a container has the gateway's address")
        return new

    def free_subnet(self, family: int) -> str:
        """The first of the pool that overlaps none."""
        used = [_subnet(network, family) for network in self.networks.values()]
        pool = POOL if family == 4 else (str(each) for each in self.ula.subnets(new_prefix=64))
        return next(subnet for subnet in pool if not _overlaps(subnet, used))

    def connect_all(self, spec: Arguments) -> None:
        name, connected, endpoints = spec["name"], spec.get("connected"), spec.get("endpoints", ())
        leaving = {each["container"] for each in endpoints if each.get("state") == "absent"}
        coming = [each for each in endpoints if each.get("state") != "absent"]
        if leaving.intersection(connected or ()):
            raise Refused("it is connected and not")
        if connected and not spec.get("appends"):
            leaving |= {*self.on(name)} - {*connected} - {each["container"] for each in coming}
        for container in leaving:
            self.endpoints.pop((name, container), None)
        # Addresses that were asked for come before those that are free to choose; who moves makes room for who comes.
        fixed = [each for each in coming if _fixes_address(each)]
        for each in fixed:
            self.vacate(name, each)
        for each in fixed:
            self.connect(name, each["container"], each)
        self.readdress(name)
        for each in (each for each in coming if each not in fixed):
            self.connect(name, each["container"], each)
        for container in connected or ():
            self.connect(name, container, {})

    def vacate(self, network: str, spec: Arguments) -> None:
        container = spec.get("container", spec.get("name"))
        addresses = self.endpoints.get((network, container), {"addresses": {}})["addresses"]
        for family in FAMILIES:
            if f"ipv{family}_address" in spec:
                addresses.pop(family, None)

    def readdress(self, name: str) -> None:
        """Every endpoint has an address in each of the network's subnets; those that fit stay."""
        for container in self.on(name):
            self.connect(name, container, {})

    def connect(self, name: str, container: str, spec: Arguments) -> None:
        made = self.containers.setdefault(container, _container("bridge"))
        if made["mode"] != "bridge":
            raise Refused("only mode bridge can be connected")
        nothing = {"addresses": {}, "aliases": [], "mac": None, "gw_priority": 0}
        endpoint = self.endpoints.get((name, container)) or nothing
        endpoint["addresses"] = {
            family: self.address(name, container, family, endpoint["addresses"].get(family), spec)
            for family in self.families(name, spec)
        }
        others = [each for key, each in self.endpoints.items() if key != (name, container)]
        if (mac := spec.get("mac_address", endpoint["mac"])) and mac in [each["mac"] for each in others]:
            raise Refused("the MAC is in use")
        endpoint["mac"] = mac
        taken = [self.endpoints[network, container]["interface"] for network in self.of(container) if network != name]
        free = (f"eth{number}" for number in range(99) if f"eth{number}" not in taken)
        endpoint["interface"] = spec.get("interface_name") or endpoint.get("interface") or next(free)
        if endpoint["interface"] in taken:
            raise Refused("the interface's name is in use")
        for key in ("aliases", "gw_priority"):
            endpoint[key] = spec.get(key, endpoint[key])
        self.endpoints[name, container] = endpoint

    def families(self, name: str, spec: Arguments) -> Iterator[int]:
        for family in FAMILIES:
            if family in self.networks[name]["subnets"]:
                yield family
            elif f"ipv{family}_address" in spec:
                raise Refused("the network has no such family", in_check_mode=name not in self.guessed)

    def address(self, name: str, container: str, family: int, present: str | None, spec: Arguments) -> str:
        """The asked-for, else the one that it has, else the lowest free."""
        block = self.networks[name]["subnets"][family]
        asked = spec.get(f"ipv{family}_address")
        if asked is not None:
            if not _fits(block["subnet"], asked):
                raise Refused("it is no address of the subnet", in_check_mode=name not in self.guessed)
            if asked == block["gateway"] or self.holder(name, asked) not in (None, container):
                raise Refused("the address is taken")
            return asked
        if present is not None and _fits(block["subnet"], present):
            return present
        for address in map(str, ipaddress.ip_network(block["iprange"] or block["subnet"])):
            if _fits(block["subnet"], address) and address != block["gateway"] and not self.holder(name, address):
                return address
        raise Refused("no address is left")

    # netns_bridge

    def netns_bridge(
        self,
        name: str = "bw0",
        containers: Sequence[Arguments] | None = None,
        force: bool = False,
        state: str = "present",
        **description: Any,
    ) -> None:
        listed = containers or ()
        present = [each for each in listed if each.get("state") != "absent"]
        absent = [each["name"] for each in listed if each.get("state") == "absent"]
        if description.get("driver_options", {}).get(NAME, name) != name:
            raise Refused("its name says what it is called")
        for each in present:
            _check_container(each, absent)
        self.remove_containers([each["name"] for each in listed] if state == "absent" else absent, force)
        network = self.on_device(name) or ("bridge" if name == "bw0" else name)
        if state == "absent":
            if network in self.networks and self.on_device(name):
                self.drop_network(network, force)
            return
        if network in self.networks and not self.on_device(name):
            raise Refused("a network of that name has another device")
        described = containers is None or any(description.values())
        if network in self.networks or described or any(_mode(each) == "bridge" for each in present):
            options = {**description.pop("driver_options", {}), **({} if name == "bw0" else {NAME: name})}
            self.declare({"name": network, "force": force, "driver_options": options, **description})
            self.readdress(network)
        for each in present:
            self.vacate(network, each)
        for each in _targets_first(present):
            self.ensure_container(each, force)
            if _mode(each) == "bridge":
                self.connect(network, each["name"], each)

    def remove_containers(self, names: Iterable[str], force: bool) -> None:
        """With their endpoints and ports; with force, those that share their namespaces too."""
        going = {name for name in names if name in self.containers}
        while sharers := {each for name in going for each in self.sharers(name)} - going:
            if not force:
                raise Refused("others share the namespace")
            going |= sharers
        for name in going:
            del self.containers[name]
            self.leave_all(name)
            self.unpublish_all(name)

    def ensure_container(self, spec: Arguments, force: bool) -> None:
        name, mode, target = spec["name"], _mode(spec), spec.get("target")
        old = self.containers.get(name)
        if old is None:
            old = _container(mode, target)
        elif (old["mode"], old["target"]) != (mode, target):
            stays = _owns_namespace(old["mode"]) and _owns_namespace(mode)
            if self.sharers(name) and not stays and not force:
                raise Refused("others share the namespace")
            if mode != "bridge":
                self.leave_all(name)
            if not _owns_namespace(mode):
                self.unpublish_all(name)
        kept = old["sysctls"] if _owns_namespace(mode) else {}
        new = _container(mode, target, spec.get("sysctls", kept), spec.get("labels", old["labels"]))
        self.containers[name] = new
        if target is not None and target not in self.containers:
            raise Refused("there is no such target", in_check_mode=False)
        while target is not None:
            if target == name:
                raise Refused("the target leads back")
            target = self.containers[target]["target"]

    # port_mapping

    def port_mapping(self, mappings: Sequence[Arguments]) -> None:
        present = []
        for spec in mappings:
            ports = sorted((port for text in spec.get("published_ports", ()) for port in PORTS[text]), key=_choices)
            if spec.get("state") == "absent":
                everywhere = list(WILDCARDS.values())
                doomed = itertools.chain(*self.serving(spec, ports, everywhere)) if ports else None
                for key in list(self.ports_of(spec["container"]) if doomed is None else doomed):
                    del self.ports[key]
            elif ports or spec.get("exclusive"):
                present.append((spec, ports, self.everywhere(spec)))
            else:
                raise Refused("no port is given")
        wanted = [
            (spec, *each)
            for spec, ports, everywhere in present
            for each in zip(ports, self.serving(spec, ports, everywhere), strict=True)
        ]
        kept = [key for _spec, _port, keys in wanted for key in keys]
        for spec, _ports, _everywhere in present:
            for key in self.ports_of(spec["container"]) if spec.get("exclusive") else ():
                if key not in kept:
                    del self.ports[key]
        for spec, ports, _everywhere in present:
            self.check_publishing(spec, ports)
        for spec, port, keys in sorted(wanted, key=lambda each: _choices(each[1])):
            self.publish(spec, port, keys)

    def everywhere(self, spec: Arguments) -> list[str]:
        """The addresses that ports without one are published on."""
        return [WILDCARDS[family] for family in WILDCARDS if self.is_let_in(spec, family)]

    def is_let_in(self, spec: Arguments, family: int) -> bool:
        networks = [each for each in self.of(spec["container"]) if spec.get("network") in (None, each)]
        return any(family in self.networks[each]["subnets"] for each in networks if self.lets_in(each))

    def serving(self, spec: Arguments, ports: Sequence[Any], everywhere: list[str]) -> list[list[PortKey]]:
        """For each port, what serves it already, all with one number; nothing serves two."""
        found: list[list[PortKey]] = []
        taken: set[PortKey] = set()
        for protocol, address, asked, container_port in ports:
            addresses = everywhere if address is None else [address]
            alike = [
                key
                for key in self.ports_of(spec["container"])
                if key[0] == protocol and key[1] in addresses and key not in taken
                if self.ports[key]["container_port"] == container_port
            ]
            fitting = [key for key in alike if self.fits(asked, key)]
            found.append([key for key in alike if fitting and key[2] == fitting[0][2]])
            taken.update(found[-1])
        return found

    def fits(self, asked: tuple[int, int] | None, key: PortKey) -> bool:
        """A port that was chosen here, and is now asked for by its number, becomes a given one."""
        if asked is None:
            return self.ports[key]["random"]
        return asked[0] <= key[2] <= asked[1] and not (_is_range(asked) and self.ports[key]["random"])

    def check_publishing(self, spec: Arguments, ports: Sequence[Any]) -> None:
        name, network = spec["container"], spec.get("network")
        if name not in self.containers:
            raise Refused("there is no such container", in_check_mode=False)
        if not _owns_namespace(self.containers[name]["mode"]):
            raise Refused("it has no ports of its own")
        networks = [each for each in self.of(name) if network in (None, each)]
        if not networks and (ports or network is not None):
            raise Refused("it is not connected", in_check_mode=not ports)
        if ports and not any(self.is_let_in(spec, family) for family in WILDCARDS):
            raise Refused("nobody is let in there")
        if not all(self.is_let_in(spec, family_of(port[1])) for port in ports if port[1] is not None):
            raise Refused("it has no address of that family")

    def publish(self, spec: Arguments, port: tuple[Any, ...], keys: Sequence[PortKey]) -> None:
        protocol, address, asked, container_port = port
        addresses = self.everywhere(spec) if address is None else [address]
        missing = [each for each in addresses if each not in [key[1] for key in keys]]
        candidates = range(asked[0], asked[1] + 1) if asked else [-1 - len(self.ports)]
        candidates = [key[2] for key in keys[:1]] or candidates
        free = (number for number in candidates if not any(self.clashes(protocol, each, number) for each in missing))
        if (host_port := next(free, None)) is None:
            raise Refused("the host's port is taken")
        was = next((self.ports[key] for key in keys), {"network": None})
        for each in addresses:
            key = (protocol, each, host_port)
            self.ports[key] = {
                "container": spec["container"],
                "container_port": container_port,
                "random": asked is None and self.ports.get(key, {"random": True})["random"],
                "network": spec.get("network") or self.ports.get(key, was)["network"],
            }

    def clashes(self, protocol: str, address: str, number: int) -> bool:
        return any(
            (key[0], key[2], family_of(key[1])) == (protocol, number, family_of(address))
            and (key[1] == address or {key[1], address} & set(WILDCARDS.values()))
            for key in self.ports
        )

    # network_prune

    def network_prune(
        self, networks: bool = True, containers: bool = False, filters: Mapping[str, str] | None = None
    ) -> None:
        wanted, spared = ((filters or {}).get(key) for key in ("label", "label!"))

        def passes(labels: Mapping[str, str]) -> bool:
            return (wanted is None or wanted in labels) and (spared is None or spared not in labels)

        def is_free(name: str, container: Record) -> bool:
            return not self.sharers(name) and self.root(name) != "" and passes(container["labels"])

        # Where a handle goes, what it led to may be free.
        while found := [name for name, each in self.containers.items() if containers and is_free(name, each)]:
            self.remove_containers(found, force=False)
        for name, network in [*self.networks.items()] if networks else ():
            if name not in PREDEFINED and not self.on(name) and passes(network["labels"]):
                self.drop_network(name, force=False)

    # What follows from the records.

    def on(self, network: str) -> list[str]:
        """The containers on a network."""
        return [container for name, container in self.endpoints if name == network]

    def of(self, container: str) -> list[str]:
        """The networks of a container."""
        return [network for network, name in self.endpoints if name == container]

    def ways(self, container: str) -> list[str]:
        """The networks of a container in the order in which they lead out: by priority, then the oldest first."""
        return sorted(self.of(container), key=lambda network: -self.endpoints[network, container]["gw_priority"])

    def on_device(self, device: str) -> str | None:
        return next((name for name, network in self.networks.items() if network["device"] == device), None)

    def holder(self, network: str, address: str) -> str | None:
        """The container that has an address."""
        return next((name for name in self.on(network) if address in self.addresses(network, name)), None)

    def addresses(self, network: str, container: str) -> list[str]:
        return [*self.endpoints[network, container]["addresses"].values()]

    def sharers(self, name: str) -> list[str]:
        return [each for each, container in self.containers.items() if container["target"] == name]

    def root(self, name: str) -> str:
        """Whose namespace a container lives in: its own, that of another one, or the host's, which is ""."""
        container = self.containers[name]
        return self.root(container["target"]) if container["target"] else "" if container["mode"] == "host" else name

    def ports_of(self, container: str) -> list[PortKey]:
        return sorted(key for key, port in self.ports.items() if port["container"] == container)

    def leave_all(self, container: str) -> None:
        for network in self.of(container):
            del self.endpoints[network, container]

    def unpublish_all(self, container: str) -> None:
        for key in self.ports_of(container):
            del self.ports[key]

    def lets_in(self, network: str) -> bool:
        return not self.networks[network]["internal"]

    def way_out(self, container: str, family: int) -> str | None:
        """The network that a container's default route leads through: the first one that has a way out."""
        networks = ((name, self.networks[name]) for name in self.ways(container))
        return next((name for name, each in networks if not each["internal"] and family in each["subnets"]), None)

    def forwarded(self) -> dict[PortKey, str]:
        """Where published ports lead to now; those of a container without a fitting endpoint wait for one."""
        found = {}
        for key, port in self.ports.items():
            for network in self.ways(port["container"]):
                address = self.endpoints[network, port["container"]]["addresses"].get(family_of(key[1]))
                if address and not self.networks[network]["internal"] and port["network"] in (None, network):
                    found[key] = f"{address}:{port['container_port']}"
                    break
        return found

    # What it looks like; observed.py reads the same off a host.

    def kernel(self) -> Record:
        """Namespaces go by the first of their names."""
        roots = {name: self.root(name) for name in self.containers}
        names = {name: sorted(each for each in roots if roots[each] == roots[name]) for name in roots}
        interfaces, ways_out, settings = {}, {}, {}
        for (network, container), endpoint in self.endpoints.items():
            space = names[container][0]
            interfaces[space, endpoint["interface"]] = {
                "mtu": _mtu(self.networks[network]),
                "addresses": sorted(self.with_prefix(network, each) for each in endpoint["addresses"].values()),
            }
            for family in FAMILIES:
                if self.way_out(container, family) == network:
                    gateway = self.networks[network]["subnets"][family]["gateway"]
                    ways_out[space, family] = (gateway, endpoint["interface"])
        for name, container in self.containers.items():
            if _owns_namespace(container["mode"]):
                settings[names[name][0]] = container["sysctls"].get(PORT_START, "1024")
        return {
            "names": names,
            "on the host": sorted(name for name, root in roots.items() if root == ""),
            "bridges": {
                network["device"]: {
                    "mtu": _mtu(network),
                    "addresses": sorted(
                        self.with_prefix(name, each["gateway"]) for each in network["subnets"].values()
                    ),
                    "ports": len(self.on(name)),
                }
                for name, network in self.networks.items()
            },
            "pairs": len(self.endpoints),
            "interfaces": interfaces,
            "ways out": ways_out,
            "settings": settings,
            "published": self.forwarded(),
        }

    def state_file(self) -> Record:
        return {
            "networks": self.networks,
            "containers": self.containers,
            "endpoints": self.endpoints,
            "oldest first": [*self.endpoints],
            "ports": self.ports,
            "names": sorted(self.containers),
            "pending": [],
        }

    def info(self) -> Record:
        return {
            "networks": {name: self.network_info(name) for name in (*PREDEFINED, *self.networks)},
            "containers": [self.container_info(name) for name in sorted(self.containers)],
        }

    def network_info(self, name: str) -> Record:
        network = self.networks.get(name)
        if network is None:  # a predefined one
            members = {each: [] for each, container in self.containers.items() if container["mode"] == name != "bridge"}
            nothing = {"options": {}, "internal": False, "labels": {}, "families": [4], "subnets": []}
            return {**nothing, "device": PREDEFINED[name], "containers": members}
        blocks = network["subnets"].values()
        return {
            "device": network["device"],
            "options": {key: value for key, value in network["options"].items() if key != NAME},
            "internal": network["internal"],
            "labels": network["labels"],
            "families": [*network["subnets"]],
            "subnets": [(block["subnet"], block["gateway"], block["iprange"]) for block in blocks],
            "containers": {
                each: [self.with_prefix(name, address) for address in self.addresses(name, each)]
                for each in self.on(name)
            },
        }

    def container_info(self, name: str) -> Record:
        container, root = self.containers[name], self.root(name)
        ports: dict[str, list[dict[str, str]]] = {}
        for key in sorted(self.ports_of(name), key=lambda key: self.ports[key]["container_port"]):
            binding = {"HostIp": key[1], "HostPort": str(key[2])}
            ports.setdefault(f"{self.ports[key]['container_port']}/{key[0]}", []).append(binding)
        routes = [] if root == "" else [(self.way_out(root, family), family) for family in FAMILIES]
        return {
            "name": name,
            "mode": container["mode"],
            "target": container["target"],
            "namespace": f"/run/netns/{name}",
            "namespace_is_the_hosts": root == "",
            "shared_with": sorted(each for each in self.containers if each != name and self.root(each) == root),
            "labels": container["labels"],
            "ports": ports,
            "networks": {
                network: {
                    "interface": self.endpoints[network, name]["interface"],
                    "addresses": self.addresses(network, name),
                    "aliases": self.endpoints[network, name]["aliases"],
                }
                for network in self.of(name)
            },
            "ways out": sorted(
                (self.networks[network]["subnets"][family]["gateway"], self.endpoints[network, root]["interface"])
                for network, family in routes
                if network is not None
            ),
        }

    def with_prefix(self, network: str, address: str) -> str:
        return address + "/" + _subnet(self.networks[network], family_of(address)).partition("/")[2]

    def learn(self, networks: Mapping[str, Record], ports: Mapping[PortKey, Record]) -> None:
        """Put what was chosen by hash, in records like these here, in the place of the place holders."""
        for name, network in self.networks.items():
            network["device"] = network["device"] or networks[name]["device"]
        for place in [key for key in self.ports if key[2] < 0]:
            port = self.ports.pop(place)
            fresh = [key for key in ports if ports[key] == port and key[:2] == place[:2] and key not in self.ports]
            self.ports[next(key for key in fresh if key[2] in RANDOM_PORTS)] = port


def family_of(address: str) -> int:
    return 6 if ":" in address else 4


def _mtu(network: Record) -> int:
    return int(network["options"].get(MTU, 1500))


def _subnet(network: Record, family: int) -> str | None:
    block = network["subnets"].get(family)
    return block and block["subnet"]


def _overlaps(subnet: str, others: Iterable[str | None]) -> bool:
    mine = ipaddress.ip_network(subnet)
    theirs = [ipaddress.ip_network(other) for other in others if other]
    return any(mine.overlaps(each) for each in theirs if each.version == mine.version)


def _fits(subnet: str, address: str) -> bool:
    """Whether a host may have the address: it is in the subnet, and neither the network's own nor for broadcasts."""
    net, parsed = ipaddress.ip_network(subnet), ipaddress.ip_address(address)
    last = net.broadcast_address if net.version == 4 else None
    return parsed in net and parsed not in (net.network_address, last)


def _completed(block: Record) -> Record:
    """A block with its gateway, the first address unless one is given."""
    first = str(ipaddress.ip_network(block["subnet"])[1])
    return {"subnet": block["subnet"], "gateway": block.get("gateway", first), "iprange": block.get("iprange")}


def _as_given(present: Mapping[str, str], given: Mapping[str, Any] | None) -> dict[str, str]:
    """As community.docker's docker_network has it: where any that was given differs, those that were given."""
    wanted = {key: str(value).lower() for key, value in (given or {}).items()}
    return dict(present if wanted.items() <= present.items() else wanted)


def _fixes_address(spec: Arguments) -> bool:
    return any(f"ipv{family}_address" in spec for family in FAMILIES)


def _mode(spec: Arguments) -> str:
    return spec.get("mode", "bridge")


def _owns_namespace(mode: str) -> bool:
    return mode in ("bridge", "none")


def _container(
    mode: str,
    target: str | None = None,
    sysctls: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Record:
    return {"mode": mode, "target": target, "sysctls": dict(sysctls or {}), "labels": dict(labels or {})}


def _check_container(spec: Arguments, absent: Iterable[str]) -> None:
    mode, target = _mode(spec), spec.get("target")
    if (mode == "container") != (target is not None):
        raise Refused("mode container has a target, and it alone")
    if target is not None and (target == spec["name"] or target in absent):
        raise Refused("there is nothing to share")
    if mode != "bridge" and (_fixes_address(spec) or "mac_address" in spec or "interface_name" in spec):
        raise Refused("it has no interface")
    if not _owns_namespace(mode) and spec.get("sysctls"):
        raise Refused("the namespace is another's")


def _targets_first(specs: Sequence[Arguments]) -> list[Arguments]:
    """Targets before those that share with them; then those that ask for an address before those that don't."""
    targets = {spec["name"]: spec.get("target") for spec in specs}

    def hops(name: str | None, seen: tuple[str, ...] = ()) -> int:
        if name in seen:
            raise Refused("the target leads back")
        return 1 + hops(targets[name], (*seen, name)) if name in targets else 0

    return sorted(specs, key=lambda spec: (hops(spec["name"]), not _fixes_address(spec)))


def _is_range(asked: tuple[int, int] | None) -> bool:
    return asked is not None and asked[0] != asked[1]


def _choices(port: tuple[Any, ...]) -> int:
    """How many host ports would do, less one: those with the least choice come first."""
    return 65535 if port[2] is None else port[2][1] - port[2][0]
