# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that touches the kernel: namespaces, netlink, sysctls, sockets."""

from __future__ import annotations

import resource
from functools import cached_property
from typing import TYPE_CHECKING

from .namespaces import Namespaces
from .sysctl import Sysctls
from .tables import Tables

if TYPE_CHECKING:
    from .netlink import Netlink


class Kernel:
    """Everything that one run keeps open towards the kernel; a context manager."""

    def __init__(self) -> None:
        # Names that a run takes away stay open until it has succeeded, so that it can bring them back.
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.namespaces = Namespaces()
        self.tables = Tables(self.namespaces)
        self.sysctls = Sysctls(self.namespaces)

    @cached_property
    def netlink(self) -> Netlink:
        """What makes changes; most runs make none."""
        from .netlink import Netlink

        return Netlink(self.namespaces)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_exception: object) -> None:
        if "netlink" in vars(self):
            self.netlink.close()
        self.namespaces.close()
