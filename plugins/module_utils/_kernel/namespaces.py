# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces by container: named ones, compatible with ``ip netns``, and those that others run.

A name is an nsfs file mounted below /run/netns.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from .._errors import KernelError
from .._hostconfig import HOST
from .._model import is_reference
from .._nsfs import CLONE_NEWNET, is_network

if TYPE_CHECKING:
    from .foreign import Foreign

DIRECTORY = "/run/netns"
OWN = "/proc/thread-self/ns/net"

# include/uapi/linux/mount.h, umount(2)
MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 0x100000
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

_libc = ctypes.CDLL(None, use_errno=True)


class Namespaces:
    """The namespaces of one host; the calling thread is in the host's own and always returns there."""

    def __init__(self) -> None:
        self._host = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        self._removed: dict[str, int] = {}

    @cached_property
    def _foreign(self) -> Foreign:
        """Containers that others run; most hosts have none."""
        from .foreign import Foreign

        return Foreign(os.fstat(self._host).st_dev)

    def close(self) -> None:
        if "_foreign" in vars(self):
            self._foreign.close()
        for descriptor in (self._host, *self._removed.values()):
            os.close(descriptor)

    def look_up(self, containers: Iterable[str]) -> None:
        """All references among them are going to be asked for, at once when the first is needed."""
        references = [name for name in containers if is_reference(name)]
        if references:
            self._foreign.announce(references)

    def place(self, name: str) -> str:
        """The file that stands for a container's namespace, as others may open it; empty where there is none."""
        if not is_reference(name):
            return path(name)
        found = self._foreign.opened(name)
        return "" if found is None else found.place

    def anchor(self, name: str) -> str | None:
        """What tells the process of that number, in its present namespace, from others that had or will have it."""
        found = self._foreign.opened(name) if name.startswith("pid:") else None
        return None if found is None else found.anchor

    def why_missing(self, reference: str) -> str:
        """Why there is no namespace behind a reference, and the way out."""
        return str(self._foreign.find(reference))

    def path(self, name: str) -> str:
        """The file that stands for a container's namespace. Raises FileNotFoundError where a reference has none."""
        if not is_reference(name):
            return path(name)
        found = self._foreign.opened(name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, self.why_missing(name))
        return f"/proc/self/fd/{found.descriptor}"

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """The calling thread is in the namespace of that name (HOST: stays where it is) for the length of the block."""
        if name == HOST:
            yield
            return
        with self.descriptor(name) as descriptor:
            _call("setns", descriptor, CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", self._host, CLONE_NEWNET)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """The calling thread is in a new namespace, which goes with the block."""
        _call("unshare", CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", self._host, CLONE_NEWNET)

    @contextmanager
    def descriptor(self, name: str) -> Iterator[int]:
        """An open file descriptor of the namespace. Raises FileNotFoundError where there is none."""
        descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_dev != os.fstat(self._host).st_dev:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path(name))
            if not is_network(descriptor):
                raise KernelError(
                    f'container "{name}": {path(name)} is a namespace of another kind than network; unmount and remove '
                    "it, and run the task again",
                    name,
                )
            yield descriptor
        finally:
            os.close(descriptor)

    def inode(self, name: str) -> int | None:
        """The namespace's inode number; None where there is no namespace of that name."""
        if name == HOST:
            return os.fstat(self._host).st_ino
        try:
            found = os.stat(self.path(name))
        except FileNotFoundError:
            return None
        return found.st_ino if found.st_dev == os.fstat(self._host).st_dev else None

    def is_empty(self, name: str) -> bool:
        """Whether the name is there with no namespace behind it, as a run that was killed may leave it."""
        return self.inode(name) is None and os.path.isfile(path(name))

    def create(self, name: str) -> None:
        """A new namespace of that name; one that was removed by this object comes back as it was."""
        with self._room(name):
            if name in self._removed:
                _mount(f"/proc/self/fd/{self._removed[name]}", path(name))
                return
            _call("unshare", CLONE_NEWNET)
            try:
                _mount(OWN, path(name))
            finally:
                _call("setns", self._host, CLONE_NEWNET)

    def attach(self, name: str, to: str) -> None:
        """The name becomes a handle on the namespace of another name, or on the host's own."""
        with self._room(name):
            _mount(OWN if to == HOST else self.path(to), path(name))

    def remove(self, name: str, keep: bool) -> None:
        """The name is gone; the namespace goes with its last user. ``keep``: unless this object brings it back."""
        if keep and name not in self._removed and self.inode(name) is not None:
            self._removed[name] = os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)
        with suppress(OSError):  # until nothing is mounted there any more
            while True:
                _call("umount2", path(name).encode(), MNT_DETACH | UMOUNT_NOFOLLOW)
        with suppress(FileNotFoundError):
            os.unlink(path(name))

    @contextmanager
    def _room(self, name: str) -> Iterator[None]:
        """A place to mount on, which goes again where nothing could be mounted."""
        self._make_room(name)
        try:
            yield
        except OSError:
            with suppress(OSError):
                os.unlink(path(name))
            raise

    def _make_room(self, name: str) -> None:
        """An empty file to mount on, in a directory whose mounts other mount namespaces see (see ip-netns(8))."""
        os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
        try:
            _call("mount", b"", DIRECTORY.encode(), b"none", MS_SHARED | MS_REC, None)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            _mount(DIRECTORY, DIRECTORY, MS_BIND | MS_REC)
            _call("mount", b"", DIRECTORY.encode(), b"none", MS_SHARED | MS_REC, None)
        if self.inode(name) is not None:
            raise KernelError(f'container "{name}": {path(name)} appeared meanwhile; run the task again')
        if os.path.lexists(path(name)) and not stat.S_ISREG(os.lstat(path(name)).st_mode):
            raise KernelError(f'container "{name}": {path(name)} exists and is no namespace; remove it')
        os.close(os.open(path(name), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))


def path(name: str) -> str:
    """Where a name is, which is no reference."""
    return os.path.join(DIRECTORY, name)


def _mount(source: str, target: str, flags: int = MS_BIND) -> None:
    _call("mount", source.encode(), target.encode(), b"none", flags, None)


def _call(function: str, *arguments: bytes | int | None) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
