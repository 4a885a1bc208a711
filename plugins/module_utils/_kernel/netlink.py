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
from typing import Any

from .._errors import KernelError, NamespaceGone
from .._hostconfig import HOST, Address, Link, Route
from .._model import WILDCARDS
from .channel import Channel, Refused
from .dump import attributes
from .namespaces import OWN, Namespaces
from .tables import IFF_UP, IPVLAN_MODES, LLDP_GROUP, NUMBER, TABLE_MAIN

# include/uapi/linux/rtnetlink.h, netlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE = 16, 17, 19, 20, 21, 24, 25
RTM_GETNSID, NETNSA_NSID = 90, 1
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLA_F_NESTED = 0x8000
NEW = NLM_F_CREATE | NLM_F_EXCL
RTPROT_STATIC, RTN_UNICAST, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 4, 1, 0, 253, 255
IFA_F_NODAD = 2  # include/uapi/linux/if_addr.h
MOST_SOCKETS = 512
LOOPBACK_INDEX = 1

Attribute = tuple[Any, ...]  # its name and value in pyroute2's words, and maybe flags


class Netlink:
    """rtnetlink sockets, one for each namespace in which something was changed lately."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._sockets: OrderedDict[str, Channel] = OrderedDict()
        self._most_sockets = min(MOST_SOCKETS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
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
        born = [("IFLA_IFNAME", link.birth_name), _of_kind(link.kind, *_variant(link))]
        if link.mac:
            born.append(("IFLA_ADDRESS", link.mac))
        if link.lower:
            born.append(("IFLA_LINK", self._index(HOST, link.lower)))
        with ExitStack() as stack:
            if link.namespace != HOST:
                born.append(("IFLA_NET_NS_FD", stack.enter_context(self._namespaces.descriptor(link.namespace))))
            what = f'create {link.kind} "{link.name}"' + (f' on "{link.lower}"' if link.lower else "")
            message = _link(link.index or 0, *born)
            self._ask(HOST, what, RTM_NEWLINK, message, NEW, container=link.namespace, lower=link.lower)
        index = self._new_index(link.namespace, link.birth_name)
        if link.birth_name != link.name:
            self._set(link, index, ("IFLA_IFALIAS", link.owner))
            self._set(link, index, ("IFLA_IFNAME", link.name))
            self._indexes[link.namespace][link.name] = index
        sizes = [] if link.mtu is None else [("IFLA_MTU", link.mtu)]
        # One that is born with its MTU loses it with its last port; one that is set stays (net/bridge/br_device.c).
        self._set(link, index, ("IFLA_IFALIAS", link.owner), *sizes, up=link.up)
        if link.kind == "bridge":
            self._set_guard(link, index)

    def has_kind(self, kind: str) -> bool:
        """Whether the kernel knows links of that kind; tried out in a namespace that nobody else sees."""
        with self._namespaces.apart():
            channel = Channel()
            try:
                channel.ask(RTM_NEWLINK, _link(0, ("IFLA_IFNAME", "probe"), _of_kind(kind)), NEW)
            except Refused as error:
                return error.code != errno.EOPNOTSUPP
            finally:
                channel.close()
        return True

    def is_hosts(self, identity: int | None, namespace: str) -> bool:
        """Whether the host's own namespace has that ID in the other one (see ``LinkRow.lower_netns``)."""
        if identity is None:
            return False
        from pyroute2.netlink.rtnl.nsidmsg import nsidmsg

        message = nsidmsg()
        with open(OWN, "rb") as own:
            message["attrs"] = [("NETNSA_FD", own.fileno())]
            answer = self._socket(namespace).ask(RTM_GETNSID, message)
        # Behind the family, which is padded to four bytes.
        found: int = NUMBER.unpack(attributes(answer, NUMBER.size)[NETNSA_NSID])[0]
        return found == identity

    def add_pair(self, outer: Link, inner: Link) -> None:
        """Both ends of a veth, the inner one born in its container's namespace."""
        with self._namespaces.descriptor(inner.namespace) as descriptor:
            peer = {"attrs": [("IFLA_IFNAME", inner.name), ("IFLA_NET_NS_FD", descriptor), *_size_and_mac(inner)]}
            pair = _of_kind("veth", ("VETH_INFO_PEER", peer))
            self._ask(
                outer.namespace,
                f'create "{outer.name}" with its other end "{inner.name}"',
                RTM_NEWLINK,
                _link(0, ("IFLA_IFNAME", outer.name), *_size_and_mac(outer), pair),
                NEW,
                container=inner.namespace,
            )
        index = self._new_index(outer.namespace, outer.name)
        settings: list[Attribute] = [("IFLA_IFALIAS", outer.owner)]
        if outer.master:
            settings.append(("IFLA_MASTER", self._index(outer.namespace, outer.master)))
        self._set(outer, index, *settings, up=outer.up)
        if outer.hairpin or outer.isolated:
            self._set_port(outer, index)
        self._set(inner, self._new_index(*inner.key), ("IFLA_IFALIAS", inner.owner), up=inner.up)

    def change(self, before: Link, after: Link) -> None:
        """The link has the mtu, mac, master, mode, mark, port flags and state of ``after``."""
        index = self._index(*after.key)
        settings: list[Attribute] = []
        if after.mtu is not None and before.mtu != after.mtu:
            settings.append(("IFLA_MTU", after.mtu))
        if after.mac is not None and before.mac != after.mac:
            settings.append(("IFLA_ADDRESS", after.mac))
        if before.variant != after.variant:
            settings.append(_of_kind(after.kind, *_variant(after)))
        if before.master != after.master:
            settings.append(("IFLA_MASTER", self._index(after.namespace, after.master) if after.master else 0))
        if before.owner != after.owner:
            settings.append(("IFLA_IFALIAS", after.owner))
        if settings or before.up != after.up:
            self._set(after, index, *settings, up=after.up if before.up != after.up else None)
        if before.unguarded != after.unguarded:
            self._set_guard(after, index)
        flags = (after.hairpin, after.isolated)
        if flags != (before.hairpin, before.isolated) or (any(flags) and before.master != after.master):
            self._set_port(after, index)

    def remove(self, link: Link) -> None:
        """The link is gone; so it may be already, or go meanwhile, with its other end's namespace."""
        index = self._new_index(link.namespace, link.name, missing_ok=True)
        if index is not None:
            del self._indexes[link.namespace][link.name]
            what = f'remove "{link.name}"'
            self._ask(link.namespace, what, RTM_DELLINK, _link(index), missing_ok=True)

    def set_loopback(self, namespace: str, up: bool) -> None:
        self._ask(namespace, f"set lo {'up' if up else 'down'}", RTM_NEWLINK, _link(LOOPBACK_INDEX, up=up))

    def add_address(self, address: Address) -> None:
        self._change_address("add", RTM_NEWADDR, address, NEW)

    def remove_address(self, address: Address) -> None:
        self._change_address("remove", RTM_DELADDR, address)

    def add_route(self, route: Route) -> None:
        self._change_route("add", RTM_NEWROUTE, route, NLM_F_CREATE | NLM_F_REPLACE)

    def remove_route(self, route: Route) -> None:
        self._change_route("remove", RTM_DELROUTE, route)

    def _change_address(self, verb: str, kind: int, address: Address, flags: int = 0) -> None:
        message = _address(self._index(address.namespace, address.link), ipaddress.ip_interface(address.address))
        self._ask(address.namespace, f'{verb} address {address.address} on "{address.link}"', kind, message, flags)

    def _change_route(self, verb: str, kind: int, route: Route, flags: int = 0) -> None:
        message = _route(self._index(route.namespace, route.link), route, is_new=kind == RTM_NEWROUTE)
        what = f'{verb} route {route.destination} via {route.gateway} on "{route.link}"'
        self._ask(route.namespace, what, kind, message, flags)

    def _set(self, link: Link, index: int, *settings: Attribute, up: bool | None = None) -> None:
        self._ask(link.namespace, f'set up "{link.name}"', RTM_NEWLINK, _link(index, *settings, up=up))

    def _set_port(self, link: Link, index: int) -> None:
        flags = [("IFLA_BRPORT_MODE", int(link.hairpin)), ("IFLA_BRPORT_ISOLATED", int(link.isolated))]
        message = _link(index, ("IFLA_PROTINFO", {"attrs": flags}, NLA_F_NESTED), family=socket.AF_BRIDGE)
        self._ask(link.namespace, f'set hairpin mode and isolation of "{link.name}"', RTM_SETLINK, message)

    def _set_guard(self, link: Link, index: int) -> None:
        """Whether frames to the LLDP group pass the rules: a bridge that forwards them does not take them itself."""
        mask = 0 if link.unguarded else LLDP_GROUP
        message = _link(index, _of_kind("bridge", ("IFLA_BR_GROUP_FWD_MASK", mask)))
        self._ask(link.namespace, f'change "{link.name}"', RTM_NEWLINK, message)

    def _index(self, namespace: str, name: str | None) -> int:
        """The index of a link that was there when it was last asked for."""
        found = self._indexes.get(namespace, {}).get(name)
        return self._new_index(namespace, name) if found is None else found

    def _new_index(self, namespace: str, name: str | None, missing_ok: bool = False) -> Any:
        try:
            with self._namespaces.inside(namespace):
                index = _index_here(str(name))
        except FileNotFoundError as error:
            raise NamespaceGone(namespace) from error
        if index is None and not missing_ok:
            raise KernelError(
                f'{_where(namespace)}: the interface "{name}" can\'t be found; run the task again', container=namespace
            )
        if index is not None:
            self._indexes.setdefault(namespace, {})[name] = index
        return index

    def _ask(
        self,
        namespace: str,
        what: str,
        kind: int,
        message: Any,
        flags: int = 0,
        missing_ok: bool = False,
        container: str = "",
        lower: str | None = None,
    ) -> None:
        try:
            self._socket(namespace).ask(kind, message, flags)
        except Refused as error:
            if missing_ok and error.code == errno.ENODEV:
                return
            inside = container or namespace
            remedy = "see what was changed there by hand"
            if error.code == errno.EADDRINUSE:
                remedy = "its MAC is in use on that parent, maybe in a namespace without a name: stop what runs there"
            if lower is not None and error.code in (errno.EBUSY, errno.EINVAL):
                remedy = f'something else may have "{lower}" (a macvlan, ipvlan, bridge): choose another parent'
            raise KernelError(
                f"{_where(inside)}: the kernel refused to {what}: {error.reason}; {remedy}", container=inside
            ) from error

    def _socket(self, namespace: str) -> Channel:
        if namespace in self._sockets:
            self._sockets.move_to_end(namespace)
            return self._sockets[namespace]
        try:
            with self._namespaces.inside(namespace):
                opened = Channel()
        except FileNotFoundError as error:
            raise NamespaceGone(namespace) from error
        self._sockets[namespace] = opened
        if len(self._sockets) > self._most_sockets:
            oldest = next(name for name in self._sockets if name != HOST)
            self._drop_socket(oldest)
        return opened


def _link(index: int, *settings: Attribute, up: bool | None = None, family: int = socket.AF_UNSPEC) -> Any:
    """A message about a link; 0 for one that is to get an index."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    message = ifinfmsg()
    message["family"], message["index"] = family, index
    if up is not None:
        message["flags"], message["change"] = IFF_UP * up, IFF_UP
    message["attrs"] = list(settings)
    return message


def _of_kind(kind: str, *data: Attribute) -> Attribute:
    """What kind of link it is, and what only that kind has."""
    details = [("IFLA_INFO_DATA", {"attrs": list(data)})] if data else []
    return "IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind), *details]}


def _size_and_mac(link: Link) -> list[Attribute]:
    given = (("IFLA_MTU", link.mtu), ("IFLA_ADDRESS", link.mac))
    return [(name, value) for name, value in given if value]


def _variant(link: Link) -> list[Attribute]:
    """A link's variant in the words of pyroute2, which has names for the modes of macvlan."""
    if not link.variant:
        return []
    if link.kind == "vlan":
        return [("IFLA_VLAN_ID", int(link.variant))]
    if link.kind == "macvlan":
        return [("IFLA_MACVLAN_MODE", link.variant)]
    return [("IFLA_IPVLAN_MODE", next(number for number, mode in IPVLAN_MODES.items() if mode == link.variant))]


def _address(index: int, interface: Any) -> Any:
    """A message about an ipaddress.ip_interface."""
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    own, prefix = str(interface.ip), interface.network.prefixlen
    message = ifaddrmsg()
    message["index"], message["prefixlen"] = index, prefix
    message["family"] = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    message["attrs"] = [("IFA_LOCAL", own), ("IFA_ADDRESS", own)]
    if interface.version == 4 and prefix < 31:
        message["attrs"].append(("IFA_BROADCAST", str(interface.network.broadcast_address)))
    if interface.version == 6:
        message["flags"] = IFA_F_NODAD  # it is unique by allocation, and usable at once
    return message


def _route(index: int, route: Route, is_new: bool) -> Any:
    """A message about a route of the main table; one that goes is known by its way alone."""
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    has_gateway = route.gateway not in WILDCARDS
    message = rtmsg()
    message["family"], message["table"] = socket.AF_INET6 if route.version == 6 else socket.AF_INET, TABLE_MAIN
    message["scope"] = RT_SCOPE_NOWHERE
    if is_new:
        message["proto"], message["type"] = RTPROT_STATIC, RTN_UNICAST
        message["scope"] = RT_SCOPE_UNIVERSE if has_gateway or route.version == 6 else RT_SCOPE_LINK
    message["attrs"] = [("RTA_OIF", index)]
    if has_gateway:
        message["attrs"].append(("RTA_GATEWAY", route.gateway))
    if route.destination != "default":
        destination, _slash, length = route.destination.partition("/")
        message["dst_len"] = int(length)
        message["attrs"].append(("RTA_DST", destination))
    return message


def _index_here(name: str) -> int | None:
    """The index of a link in the namespace that the calling thread is in; None where there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def _where(namespace: str) -> str:
    return "host" if namespace == HOST else f'container "{namespace}"'
