# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of links, addresses and routes through rtnetlink (pyroute2)."""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket
from collections import OrderedDict
from contextlib import ExitStack
from typing import Any, Callable

from .._errors import HostError, KernelError
from .._hostconfig import HOST, Address, Link, Route
from .._model import WILDCARDS
from .namespaces import OWN, Namespaces
from .tables import IPVLAN_MODES, LLDP_GROUP

IFA_F_NODAD = 2  # include/uapi/linux/if_addr.h
MOST_SOCKETS, FILES_EACH = 512, 8  # of pyroute2, which opens several files for each
LOOPBACK_INDEX = 1


class Netlink:
    """rtnetlink sockets, one for each namespace in which something was changed lately."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._sockets: OrderedDict[str, Any] = OrderedDict()
        self._most_sockets = min(MOST_SOCKETS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4 // FILES_EACH)
        self._indexes: dict[str, dict[str | None, int]] = {}  # of links that were found, by namespace and name

    def close(self) -> None:
        while self._sockets:
            self._sockets.popitem()[1].close()

    def forget(self, namespace: str) -> None:
        """Drop what is known of a namespace whose name is about to change hands."""
        self._indexes.pop(namespace, None)
        self._drop_socket(namespace)

    def _drop_socket(self, namespace: str) -> None:
        held = self._sockets.pop(namespace, None)
        if held is not None:
            held.close()

    def add_link(self, link: Link) -> None:
        """A link that is no pair; one on a link of the host's is born in its namespace."""
        settings: dict[str, Any] = {"kind": link.kind, "ifname": link.birth_name, **_variant(link)}
        if link.index is not None:
            settings["index"] = link.index
        if link.mac:
            settings["address"] = link.mac
        if link.lower:
            settings["link"] = self._index(HOST, link.lower)
        with ExitStack() as stack:
            if link.namespace != HOST:
                settings["net_ns_fd"] = stack.enter_context(self._namespaces.descriptor(link.namespace))
            what = f'create {link.kind} "{link.name}"' + (f' on "{link.lower}"' if link.lower else "")
            self._ask(HOST, what, lambda ip: ip.link("add", **settings), container=link.namespace, lower=link.lower)
        index = self._new_index(link.namespace, link.birth_name)
        if link.birth_name != link.name:
            self._set(link, index, ifalias=link.owner)
            self._set(link, index, ifname=link.name)
            self._indexes[link.namespace][link.name] = index
        sizes = {} if link.mtu is None else {"mtu": link.mtu}
        # One that is born with its MTU loses it with its last port; one that is set stays (net/bridge/br_device.c).
        self._set(link, index, ifalias=link.owner, state="up" if link.up else "down", **sizes)
        if link.kind == "bridge":
            self._set_guard(link, index)

    def has_kind(self, kind: str) -> bool:
        """Whether the kernel knows links of that kind; tried out in a namespace that nobody else sees."""
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        with self._namespaces.apart(), IPRoute() as ip:
            try:
                ip.link("add", kind=kind, ifname="probe")
            except NetlinkError as error:
                return error.code != errno.EOPNOTSUPP
        return True

    def is_hosts(self, identity: int | None, namespace: str) -> bool:
        """Whether the host's own namespace has that ID in the other one (see ``LinkRow.lower_netns``)."""
        if identity is None:
            return False
        with open(OWN, "rb") as own:
            return self._socket(namespace).get_netnsid(fd=own.fileno())["nsid"] == identity

    def add_pair(self, outer: Link, inner: Link) -> None:
        """Both ends of a veth, the inner one born in its container's namespace."""
        with self._namespaces.descriptor(inner.namespace) as descriptor:
            peer = {"ifname": inner.name, "net_ns_fd": descriptor, "mtu": inner.mtu}
            if inner.mac:
                peer["address"] = inner.mac
            own = {"address": outer.mac} if outer.mac else {}
            self._ask(
                outer.namespace,
                f'create "{outer.name}" with its other end "{inner.name}"',
                lambda ip: ip.link("add", kind="veth", ifname=outer.name, mtu=outer.mtu, peer=peer, **own),
                container=inner.namespace,
            )
        index = self._new_index(outer.namespace, outer.name)
        settings = {"ifalias": outer.owner, "state": "up" if outer.up else "down"}
        if outer.master:
            settings["master"] = self._index(outer.namespace, outer.master)
        self._set(outer, index, **settings)
        if outer.hairpin or outer.isolated:
            self._set_port(outer, index)
        self._set(inner, self._new_index(*inner.key), ifalias=inner.owner, state="up" if inner.up else "down")

    def change(self, before: Link, after: Link) -> None:
        """The link has the mtu, mac, master, mode, mark, port flags and state of ``after``."""
        index = self._index(*after.key)
        settings: dict[str, Any] = {}
        if after.mtu is not None and before.mtu != after.mtu:
            settings["mtu"] = after.mtu
        if after.mac is not None and before.mac != after.mac:
            settings["address"] = after.mac
        if before.variant != after.variant:
            settings.update(kind=after.kind, **_variant(after))
        if before.master != after.master:
            settings["master"] = self._index(after.namespace, after.master) if after.master else 0
        if before.owner != after.owner:
            settings["ifalias"] = after.owner
        if before.up != after.up:
            settings["state"] = "up" if after.up else "down"
        if settings:
            self._set(after, index, **settings)
        if before.unguarded != after.unguarded:
            self._set_guard(after, index)
        flags = (after.hairpin, after.isolated)
        if flags != (before.hairpin, before.isolated) or (any(flags) and "master" in settings):
            self._set_port(after, index)

    def remove(self, link: Link) -> None:
        """The link is gone; so it may be already, or go meanwhile, with its other end's namespace."""
        index = self._new_index(link.namespace, link.name, missing_ok=True)
        if index is not None:
            del self._indexes[link.namespace][link.name]
            what = f'remove "{link.name}"'
            self._ask(link.namespace, what, lambda ip: ip.link("del", index=index), missing_ok=True)

    def set_loopback(self, namespace: str, up: bool) -> None:
        state = "up" if up else "down"
        self._ask(namespace, f"set lo {state}", lambda ip: ip.link("set", index=LOOPBACK_INDEX, state=state))

    def add_address(self, address: Address) -> None:
        self._change_address("add", address)

    def remove_address(self, address: Address) -> None:
        self._change_address("del", address)

    def add_route(self, route: Route) -> None:
        self._change_route("replace", route)

    def remove_route(self, route: Route) -> None:
        self._change_route("del", route)

    def _change_address(self, verb: str, address: Address) -> None:
        index = self._index(address.namespace, address.link)
        interface = ipaddress.ip_interface(address.address)
        settings = {"address": str(interface.ip), "prefixlen": interface.network.prefixlen}
        if interface.version == 4 and interface.network.prefixlen < 31:
            settings["broadcast"] = str(interface.network.broadcast_address)
        if interface.version == 6 and verb == "add":
            settings["flags"] = IFA_F_NODAD  # it is unique by allocation, and usable at once
        self._ask(
            address.namespace,
            f'{verb} address {address.address} on "{address.link}"',
            lambda ip: ip.addr(verb, index=index, **settings),
        )

    def _change_route(self, verb: str, route: Route) -> None:
        index = self._index(route.namespace, route.link)
        family = socket.AF_INET6 if ":" in route.gateway else socket.AF_INET
        where = {} if route.destination == "default" else {"dst": route.destination}
        if route.gateway not in WILDCARDS:
            where["gateway"] = route.gateway
        self._ask(
            route.namespace,
            f'{verb} route {route.destination} via {route.gateway} on "{route.link}"',
            lambda ip: ip.route(verb, family=family, oif=index, **where),
        )

    def _set(self, link: Link, index: int, **settings: Any) -> None:
        self._ask(link.namespace, f'set up "{link.name}"', lambda ip: ip.link("set", index=index, **settings))

    def _set_port(self, link: Link, index: int) -> None:
        flags = {"mode": int(link.hairpin), "isolated": int(link.isolated)}
        self._ask(
            link.namespace,
            f'set hairpin mode and isolation of "{link.name}"',
            lambda ip: ip.brport("set", index=index, **flags),
        )

    def _set_guard(self, link: Link, index: int) -> None:
        """Whether frames to the LLDP group pass the rules: a bridge that forwards them does not take them itself."""
        mask = 0 if link.unguarded else LLDP_GROUP
        self._ask(
            link.namespace,
            f'change "{link.name}"',
            lambda ip: ip.link("set", index=index, kind="bridge", br_group_fwd_mask=mask),
        )

    def _index(self, namespace: str, name: str | None) -> int:
        """The index of a link that was there when it was last asked for."""
        found = self._indexes.get(namespace, {}).get(name)
        return self._new_index(namespace, name) if found is None else found

    def _new_index(self, namespace: str, name: str | None, missing_ok: bool = False) -> Any:
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            index = next(iter(self._socket(namespace).link("get", ifname=name)))["index"]
        except NetlinkError as error:
            if missing_ok and error.code == errno.ENODEV:
                return None
            raise KernelError(
                f'{_where(namespace)}: the interface "{name}" can\'t be found: {error.args[-1]}; run the task again',
                container=namespace,
            ) from error
        self._indexes.setdefault(namespace, {})[name] = index
        return index

    def _ask(
        self,
        namespace: str,
        what: str,
        request: Callable[[Any], Any],
        missing_ok: bool = False,
        container: str = "",
        lower: str | None = None,
    ) -> None:
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            request(self._socket(namespace))
        except NetlinkError as error:
            if missing_ok and error.code == errno.ENODEV:
                return
            inside = container or namespace
            remedy = "see what was changed there by hand"
            if error.code == errno.EADDRINUSE:
                remedy = "its MAC is in use on that parent, maybe in a namespace without a name: stop what runs there"
            if lower is not None and error.code in (errno.EBUSY, errno.EINVAL):
                remedy = f'something else may have "{lower}" (a macvlan, ipvlan, bridge): choose another parent'
            raise KernelError(
                f"{_where(inside)}: the kernel refused to {what}: {error.args[-1]}; {remedy}",
                container=inside,
            ) from error

    def _socket(self, namespace: str) -> Any:
        if namespace in self._sockets:
            self._sockets.move_to_end(namespace)
            return self._sockets[namespace]
        from pyroute2 import IPRoute

        try:
            with self._namespaces.inside(namespace):
                opened = IPRoute(ext_ack=True)
        except FileNotFoundError as error:
            raise HostError(f'container "{namespace}": its namespace is gone; run the task again') from error
        self._sockets[namespace] = opened
        if len(self._sockets) > self._most_sockets:
            oldest = next(name for name in self._sockets if name != HOST)
            self._drop_socket(oldest)
        return opened


def _variant(link: Link) -> dict[str, Any]:
    """A link's variant in the words of pyroute2, which has names for the modes of macvlan only."""
    if not link.variant:
        return {}
    if link.kind == "ipvlan":
        return {"ipvlan_mode": next(number for number, mode in IPVLAN_MODES.items() if mode == link.variant)}
    return {"vlan_id": int(link.variant)} if link.kind == "vlan" else {"macvlan_mode": link.variant}


def _where(namespace: str) -> str:
    return "host" if namespace == HOST else f'container "{namespace}"'
