# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that ends before its time, at any of the moments at which it is about to change its host."""

from __future__ import annotations

import importlib
import mmap
import os
import signal
import struct
from collections.abc import Callable
from typing import Any

UTILS = "ansible_collections.bridgework.network.plugins.module_utils."
ENOSPC = 28

Error = Callable[[], Exception]


class Faults:
    """Counts these moments, and stops the run at the one whose number is `at`. At 0 it only counts."""

    def __init__(self, at: int, how: str, counter: mmap.mmap) -> None:
        self.at, self.how, self.counter, self.passed = at, how, counter, 0

    def install(self) -> None:
        """Patch the few places that change the host, for good: this process is for one run."""
        errors, store = _import("_errors"), _import("_store")
        self._before(_import("_kernel.netlink").Netlink, "_ask", lambda: errors.KernelError("injected: refused"))
        self._before(_import("_kernel.sysctl").Sysctls, "write", lambda: errors.KernelError("injected: not set"))
        self._before(store.Store, "save", lambda: errors.StateError("injected: not written"))
        self._before(_import("_kernel.conntrack").Table, "remove", None)
        self._before(store, "_write", None)
        self._after(store.Store, "save")
        self._before(os, "unlink", None)
        self._system_calls(_import("_kernel.namespaces"))
        self._before(_import("_firewall.nft"), "load", lambda: errors.KernelError("injected: nft refused"))
        self._firewall(_import("_firewall.iptables"), errors.KernelError)

    def pass_by(self, error: Error | None) -> None:
        """One of these moments. `error` is what the kernel might say; None where it can't refuse."""
        if error is None and self.how != "kill":
            return
        self.passed += 1
        self.counter[:8] = struct.pack("Q", self.passed)
        if self.passed == self.at:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            assert error is not None
            raise error()

    def _before(self, owner: Any, name: str, error: Error | None) -> None:
        original = getattr(owner, name)

        def patched(*args: Any, **kwargs: Any) -> Any:
            self.pass_by(error)
            return original(*args, **kwargs)

        setattr(owner, name, patched)

    def _after(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def patched(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            self.pass_by(None)
            return result

        setattr(owner, name, patched)

    def _system_calls(self, namespaces: Any) -> None:
        original = namespaces._call

        def patched(function: str, *args: Any) -> None:
            if function in ("mount", "unshare"):
                self.pass_by(lambda: OSError(ENOSPC, f"injected: {function}: {os.strerror(ENOSPC)}"))
            elif function == "umount2":
                self.pass_by(None)
            original(function, *args)

        namespaces._call = patched

    def _firewall(self, iptables: Any, error: type[Exception]) -> None:
        """iptables-restore commits one table after the other, and may fail between them."""
        original = iptables._run

        def patched(command: list[str], script: str, **more: bool) -> str:
            if script and "--test" not in command:
                tables = [table + "COMMIT\n" for table in script.split("COMMIT\n")[:-1]]
                for count in range(len(tables)):
                    if self.passed + 1 == self.at and count:
                        original(command, "".join(tables[:count]))
                    self.pass_by(lambda: error("injected: iptables-restore refused"))
            return original(command, script, **more)

        iptables._run = patched


def hide_flows() -> None:
    """Ask for flows where no kernel has any: it answers as for nf_conntrack_netlink, where that is missing."""
    conntrack = _import("_kernel.conntrack")
    for name in ("GET", "DELETE", "GET_STATS"):
        setattr(conntrack, name, 0x7F << 8 | getattr(conntrack, name) & 0xFF)


def _import(name: str) -> Any:
    return importlib.import_module(UTILS + name)
