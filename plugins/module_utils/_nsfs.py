# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kind of namespace an open file is: those of all kinds are on one device."""

from __future__ import annotations

import fcntl

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
NS_GET_NSTYPE = 0xB703  # include/uapi/linux/nsfs.h


def is_network(descriptor: int) -> bool:
    """Whether it is a network's."""
    return fcntl.ioctl(descriptor, NS_GET_NSTYPE) == CLONE_NEWNET
