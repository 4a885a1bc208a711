# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that all modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Requirements, attributes and options of every module that changes a host."""

    DOCUMENTATION = r"""
requirements:
  - "Python 3.9 or later"
  - "pyroute2 >= 0.7.2"
  - "netaddr >= 0.8"
  - iptables
  - nftables (the command C(nft), 1.0.1 or later; with one before 1.0.3 anybody may advertise an IPv6 address)
attributes:
  check_mode:
    description: Can run in C(check_mode) and predicts exactly what a run would change, without changing anything.
    support: full
  diff_mode:
    description: Returns what changed in the declared state and on the host, one line a thing.
    support: full
  idempotent:
    description: A second run with the same arguments reports no change. What was changed by hand meanwhile is repaired.
    support: full
options:
  firewall_backend:
    description:
      - What the firewall rules are written with.
      - V(auto) keeps what the host already uses. On a host that is new to it, it takes iptables where the chain FORWARD
        of iptables is in use (a policy of DROP, or any rule), else nftables, else iptables.
      - Another one than before moves all rules of the host over, while flows go on.
      - Rules of an administrator's own come before ours and are never changed in the chain C(BRIDGEWORK-USER) of
        iptables' table filter, or in the chain C(user) of nftables' table C(inet bridgework), where chains and sets
        called C(user_NAME) are the administrator's too, as are chains C(BRIDGEWORK-USER-NAME) of iptables. While there
        are any, a change to another backend, which would not ask them, is refused.
      - A host whose iptables becomes of the other kind (C(iptables-nft), C(iptables-legacy)) gets all rules there with
        the next task, and keeps none in the first, as long as both kinds are installed.
    type: str
    choices: [auto, iptables, nftables]
    default: auto
notes:
  - Needs root on the managed host.
  - Every run compares the whole declared state of the host with what the kernel holds, and repairs what differs. What a
    reload of the host's firewall takes away (C(nft flush ruleset)), is away until then.
  - On a bridge nobody can send as another declared container, or as the gateway; so an address that is declared for one
    container is moved to another by a task, not by hand.
  - In check mode a task does not find what earlier tasks of the play only pretended to make. Where it can, it takes
    that on trust, with a warning.
  - A container may change its own interfaces, routes and settings. What keeps its declared state from being restored
    fails tasks about that container or its networks, and is a warning in others.
  - Wherever a container's name is asked for, one that somebody else runs can be given as C(docker:NAME),
    C(podman:NAME), C(machine:NAME) (systemd-machined), C(lxc:NAME), C(unit:NAME.service), C(pid:N) or the absolute path
    of its network namespace. It has to run, and keeps the default route that its runtime gives it. When its runtime
    starts it anew, the next task connects it again.
  - A path below C(/run/netns) stands for the name there, which then has to exist, and C(/proc/N/ns/net) for C(pid:N).
    Any other file has to be where nobody but root can put it. A process that a number came to later isn't taken for the
    first one.
  - Runtimes are asked on the host itself, and have 10 seconds to answer. C(DOCKER_HOST) and C(CONTAINER_HOST) in the
    environment of a task are heeded where they are local sockets (C(unix://)); other addresses, C(DOCKER_CONTEXT) and
    C(CONTAINER_CONNECTION) are not, since process IDs of another host mean nothing here.
"""

    INFO = r"""
requirements:
  - "Python 3.9 or later"
  - "pyroute2 >= 0.7.2"
  - "netaddr >= 0.8"
attributes:
  check_mode:
    description: Can run in C(check_mode), and changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no diff.
    support: N/A
  idempotent:
    description: Changes nothing.
    support: full
notes:
  - Needs root on the managed host.
"""

    DOCKER_CONNECTION = r"""
options:
  docker_host:
    description:
      - For playbooks written for C(community.docker), as are the other options of a connection to Docker. Nothing is
        asked of Docker, so they say nothing here.
      - One that is not local, and so means another host than the task's, is an error.
    type: str
    aliases: [docker_url]
  tls_hostname:
    description: As O(docker_host), without a meaning here.
    type: str
  api_version:
    description: As O(docker_host), without a meaning here.
    type: str
    aliases: [docker_api_version]
  timeout:
    description: As O(docker_host), without a meaning here.
    type: int
  ca_path:
    description: As O(docker_host), without a meaning here.
    type: path
    aliases: [ca_cert, tls_ca_cert, cacert_path]
  client_cert:
    description: As O(docker_host), without a meaning here.
    type: path
    aliases: [tls_client_cert, cert_path]
  client_key:
    description: As O(docker_host), without a meaning here.
    type: path
    aliases: [tls_client_key, key_path]
  tls:
    description: As O(docker_host), without a meaning here.
    type: bool
  validate_certs:
    description: As O(docker_host), without a meaning here.
    type: bool
    aliases: [tls_verify]
  use_ssh_client:
    description: As O(docker_host), without a meaning here.
    type: bool
  debug:
    description: As O(docker_host), without a meaning here.
    type: bool
"""

    IPAM_CONFIG = r"""
options:
  enable_ipv4:
    description: Give the network an IPv4 subnet; on for a new one.
    type: bool
  enable_ipv6:
    description:
      - Give the network an IPv6 subnet; on where O(ipam_config) has one.
      - Without one there, a /64 of the host's own unique local prefix is chosen.
    type: bool
  ipam_config:
    description:
      - The subnets of the network and how addresses are given out in them. A bridge takes one of each family, a macvlan
        or ipvlan network several.
      - Without one a free subnet is chosen from Docker's default pools (IPv4) or the host's own unique local prefix
        (IPv6), which overlaps no other network, no route and no name server of the host.
      - For a network that exists, only the keys that are given are compared.
    type: list
    elements: dict
    suboptions:
      subnet:
        description: The subnet in CIDR form, with no host bits set.
        type: str
      iprange:
        description: The part of the subnet that addresses are chosen from.
        type: str
      gateway:
        description:
          - The address of the bridge, or of the router in the network of a parent; the first usable one by default.
        type: str
      aux_addresses:
        description: Addresses that are never given out, by name.
        type: dict
"""
