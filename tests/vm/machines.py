# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines with systemd and a disk, on a LAN of their own, that are reached by ssh.

Usage: machines.py up DIRECTORY       makes `host` and `peer`, and prints where they are, as JSON
       machines.py down DIRECTORY

They are emulated, so they need no KVM, and have one processor each: with a second one, each is slower. What the role
prepare installs is not there yet; the packages are in the machines' own repository, since nothing outside can be
reached from there. What they write is lost when they end, but outlives a boot.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from debian import KERNEL, bootstrap, find_image, pack, quietly, take_kernel

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/machines"

PACKAGES = [KERNEL, "apt", "busybox-static", "curl", "dbus", "iproute2", "iputils-ping", "kmod", "nginx-light"]
PACKAGES += ["openssh-server", "procps", "python3", "python3-apt", "sudo", "systemd-sysv", "udev"]
# The machines' own repository: what role prepare installs, and what the guide about runtimes speaks of.
REPOSITORY = ["iptables", "nftables", "python3-netaddr", "python3-pyroute2"]
REPOSITORY += ["crun", "netavark", "podman", "systemd-container"]
MODULES = ["virtio_pci", "virtio_blk", "ext4", "virtio_net"]  # until there is a root file system to find more in
DISK_SIZE = "2G"
MEMORY = "1G"
USER = "admin"
ADDRESSES = {"host": "192.0.2.10", "peer": "192.0.2.20"}
START_LIMIT = 300

# Moves on to the disk.
INIT = """#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc /sys /dev /root
busybox mount -t proc proc /proc
busybox mount -t devtmpfs devtmpfs /dev
while read -r module; do busybox insmod "/modules/$module"; done </modules/order
until busybox mount -t ext4 /dev/vda /root; do busybox sleep 0.2; done
busybox mount --move /dev /root/dev
busybox umount /proc
exec busybox switch_root /root /sbin/init
"""
# eth0 leads to this machine, for ssh; eth1 is the LAN.
NETWORK = """[Unit]
Description=Addresses of eth0 and eth1
DefaultDependencies=no
After=systemd-udev-settle.service systemd-udevd.service
Wants=systemd-udev-settle.service
Before=network.target ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'ip link set lo up; ip address add 10.0.2.15/24 dev eth0; ip link set eth0 up'
ExecStart=/bin/sh -ec 'ip address add "$$(sed "s/.* lan=\\\\([^ ]*\\\\).*/\\\\1/" /proc/cmdline)" dev eth1'
ExecStart=ip link set eth1 up

[Install]
WantedBy=multi-user.target
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    down(options.directory)
    if options.what == "up":
        with contextlib.redirect_stdout(sys.stderr):
            found = up(options.directory)
        print(json.dumps(found))


def up(directory: Path) -> dict[str, object]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        image = find_image(CACHE, "disk", [Path(__file__).read_text()], make_image)
    directory.mkdir(parents=True, exist_ok=True)
    key = directory / "key"
    shutil.copyfile(image / "key", key)
    key.chmod(0o600)
    hosts = {}
    for name, other in (("host", "peer"), ("peer", "host")):
        port = free_port()
        process = start(directory, image, name, other, port)
        (directory / f"{name}.pid").write_text(str(process.pid))
        hosts[name] = {"port": port, "addresses": [ADDRESSES[name]]}
    for name, host in hosts.items():
        wait(directory, name, host["port"])
    return {"key": str(key), "user": USER, "hosts": hosts}


def start(directory: Path, image: Path, name: str, other: str, port: int) -> subprocess.Popen[bytes]:
    parameters = "console=ttyS0 net.ifnames=0 loglevel=4 apparmor=0"
    # A program that is at another address each time is translated anew each time, which makes its start thrice as dear.
    parameters += " norandmaps init_on_alloc=0 mitigations=off"
    parameters += f" systemd.hostname={name} lan={ADDRESSES[name]}/24"
    number = list(ADDRESSES).index(name) + 1
    lan = f"local.type=unix,local.path={directory}/{name}.lan,remote.type=unix,remote.path={directory}/{other}.lan"
    return subprocess.Popen(
        ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg",
         "-cpu", "qemu64", "-smp", "1", "-m", MEMORY,
         "-kernel", str(image / "kernel"), "-initrd", str(image / "initrd"),
         "-append", parameters, "-serial", f"file:{directory}/{name}.console",
         "-drive", f"file={image}/disk,format=raw,if=virtio,snapshot=on,cache=unsafe",
         "-netdev", f"user,id=admin,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
         "-device", f"virtio-net-pci,netdev=admin,mac=52:54:00:00:01:0{number}",
         "-netdev", f"dgram,id=lan,{lan}",
         "-device", f"virtio-net-pci,netdev=lan,mac=52:54:00:00:02:0{number}",
         "-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random"],
        stdin=subprocess.DEVNULL, stdout=(directory / f"{name}.log").open("wb"), stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip


def wait(directory: Path, name: str, port: int) -> None:
    """Until the machine's ssh server speaks."""
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            if connection.recv(4) == b"SSH-":
                return
        if not is_running(directory, name):
            sys.exit(f"vm: {name} ended: {(directory / f'{name}.log').read_text()}")
        time.sleep(1)
    console = (directory / f"{name}.console").read_text(errors="replace").splitlines()
    sys.exit(
        f"vm: {name} did not answer within {START_LIMIT} s; its console's last lines:\n" + "\n".join(console[-30:])
    )


def down(directory: Path) -> None:
    for name in ADDRESSES:
        if is_running(directory, name):
            pid = int((directory / f"{name}.pid").read_text())
            os.kill(pid, signal.SIGKILL)
            while is_running(directory, name):
                time.sleep(0.1)
        for file in directory.glob(f"{name}.*"):
            file.unlink()


def is_running(directory: Path, name: str) -> bool:
    """Whether the process is the machine, and not another one that got its number."""
    try:
        command = Path(f"/proc/{(directory / f'{name}.pid').read_text()}/cmdline").read_bytes()
    except OSError:
        return False
    return f"{directory}/{name}.console".encode() in command


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The image.


def make_image(directory: Path, sources: list[str]) -> None:
    root, image = directory / "root", directory / "image"
    download = f"apt-get --yes --download-only install {' '.join(REPOSITORY)}"
    hooks = [
        f'--customize-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" {download}',
        '--customize-hook=mkdir "$1/var/lib/repository"',
        '--customize-hook=mv "$1"/var/cache/apt/archives/*.deb "$1/var/lib/repository"',
        '--customize-hook=cd "$1/var/lib/repository" && dpkg-scanpackages --multiversion . >Packages',
    ]
    bootstrap(directory, sources, PACKAGES, *hooks, variant="apt")
    take_kernel(root, image)
    make_initrd(root, directory / "initrd")
    pack(directory / "initrd", image / "initrd")
    configure(root, image)
    quietly("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(image / "disk"), DISK_SIZE)


def make_initrd(root: Path, initrd: Path) -> None:
    (initrd / "bin").mkdir(parents=True)
    (initrd / "modules").mkdir()
    shutil.copy(root / "bin/busybox", initrd / "bin/busybox")
    (initrd / "init").write_text(INIT)
    (initrd / "init").chmod(0o755)
    (version,) = (path.name for path in (root / "lib/modules").iterdir())
    order: list[str] = []
    for module in MODULES:
        command = ["chroot", str(root), "modprobe", "--set-version", version, "--show-depends", module]
        for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
            kind, _blank, path = line.partition(" ")
            name = Path(path.strip()).name
            if kind == "insmod" and name not in order:
                shutil.copy(root / path.strip().lstrip("/"), initrd / "modules" / name)
                order.append(name)
    (initrd / "modules/order").write_text("".join(f"{name}\n" for name in order))


def configure(root: Path, image: Path) -> None:
    quietly("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vm", "-f", str(image / "key"))
    # Root, and somebody who becomes root by sudo.
    quietly("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", USER)
    (root / "etc/sudoers.d/admin").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    for home in ("root", f"home/{USER}"):
        (root / home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        shutil.copy(image / "key.pub", root / home / ".ssh/authorized_keys")
    quietly("chroot", str(root), "chown", "-R", f"{USER}:", f"/home/{USER}/.ssh")
    units = root / "etc/systemd/system"
    (units / "lan.service").write_text(NETWORK)
    for name in ("lan.service", "ssh.service"):
        quietly("chroot", str(root), "systemctl", "enable", name)
    # The packages' own unit, in the host's network.
    quietly("chroot", str(root), "systemctl", "disable", "nginx.service")
    (root / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/var/lib/repository ./\n")
    for path in (root / "etc/apt/sources.list.d").glob("*"):
        path.unlink()
    names = {"host": "host web1 web1.example.org", "peer": "peer web2"}  # as the README and the guides call them, too
    known = [f"{ADDRESSES[name]} {known_as}\n" for name, known_as in names.items()]
    (root / "etc/hosts").write_text("".join(["127.0.0.1 localhost\n", *known]))
    (root / "etc/machine-id").write_text("")  # each machine gets one of its own at its first boot
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 0\n")


if __name__ == "__main__":
    main()
