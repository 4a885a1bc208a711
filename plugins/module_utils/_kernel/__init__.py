# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that touches the kernel: namespaces, netlink, sysctls, sockets."""

from __future__ import annotations

from .namespaces import Namespaces
from .netlink import Netlink
from .sysctl import Sysctls


class Kernel:
    """Everything that one run keeps open towards the kernel; a context manager."""

    def __init__(self) -> None:
        self.namespaces = Namespaces()
        self.netlink = Netlink(self.namespaces)
        self.sysctls = Sysctls(self.namespaces)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.netlink.close()
        self.namespaces.close()
