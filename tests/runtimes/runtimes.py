# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How containers are run, and by whom: all of them run a busybox that sleeps, and nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab import CommandError, Host

# A file system that is good enough for systemd-nspawn too.
TREE = "/var/lib/box"
MAKE_TREE = f"""
mkdir -p {TREE}/bin {TREE}/usr {TREE}/etc {TREE}/dev {TREE}/proc {TREE}/sys {TREE}/run {TREE}/tmp {TREE}/var
cp /bin/busybox {TREE}/bin
ln -sf busybox {TREE}/bin/sh
echo ID=box > {TREE}/etc/os-release
"""
SLEEP = "/bin/busybox sleep 100000"


@dataclass(frozen=True)
class Runtime:
    """Shell commands, in which $1 is a container's name. `pid` prints the process ID of what runs in it."""

    prepare: str  # once
    create: str  # and start
    start: str
    stop: str
    remove: str
    pid: str
    finish: str = "true"


def _of_images(program: str, prepare: str = "true", finish: str = "true") -> Runtime:
    return Runtime(
        prepare=f"{prepare}; tar -C {TREE} -c . | {program} import - box",
        create=f"{program} run --detach --name $1 box {SLEEP}",
        start=f"{program} start $1",
        stop=f"{program} stop --time 0 $1",
        remove=f"{program} stop --time 0 $1; {program} rm --force $1",
        pid=f"{program} inspect --type container --format '{{{{.State.Pid}}}}' $1",
        finish=finish,
    )


STOP_DOCKER = "systemctl stop docker.socket docker.service containerd.service"

# One with an interface and an address of its own, which lead nowhere.
LXC = f"""
lxc.uts.name = $1
lxc.rootfs.path = dir:{TREE}
lxc.init.cmd = {SLEEP}
lxc.net.0.type = veth
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.0.3.5/24
"""
LXC_START = "lxc-start --name $1 && lxc-wait --name $1 --state RUNNING --timeout 60"

MACHINE_START = f"""
systemd-run --quiet --collect --unit machine-$1 --property KillMode=mixed --property TimeoutStopSec=1 \
  systemd-nspawn --quiet --keep-unit --register=yes --directory={TREE} --machine=$1 --network-veth \
  --link-journal=no --volatile=overlay {SLEEP}
"""

UNIT = f"""
[Service]
PrivateNetwork=yes
ExecStart={SLEEP}
"""
WRITE_UNIT = f"cat > /run/systemd/system/$1 <<END\n{UNIT}\nEND\nsystemctl daemon-reload"

RUNTIMES = {
    # What it leaves would stop packets of the others.
    "docker": _of_images("docker", "systemctl start docker", f"{STOP_DOCKER}; iptables --policy FORWARD ACCEPT"),
    "podman": _of_images("podman"),
    "lxc": Runtime(
        prepare="true",
        create=f"mkdir -p /var/lib/lxc/$1; cat > /var/lib/lxc/$1/config <<END\n{LXC}\nEND\n{LXC_START}",
        start=LXC_START,
        stop="lxc-stop --kill --name $1",
        remove="lxc-stop --kill --name $1 || true; rm -r /var/lib/lxc/$1",
        pid="lxc-info --pid --no-humanize --name $1",
    ),
    "machine": Runtime(
        prepare="systemctl start systemd-machined",
        create=MACHINE_START,
        start=MACHINE_START,
        stop="systemctl stop machine-$1",
        remove="systemctl stop machine-$1 || true",
        pid="machinectl show --property Leader --value $1",
    ),
    "unit": Runtime(
        prepare="mkdir -p /run/systemd/system",
        create=f"{WRITE_UNIT}; systemctl start $1",
        start="systemctl start $1",
        stop="systemctl stop $1",
        remove="systemctl stop $1; rm /run/systemd/system/$1; systemctl daemon-reload",
        pid="systemctl show --property MainPID --value $1",
    ),
}


class Containers:
    """Those of one runtime on one host."""

    def __init__(self, host: Host, kind: str) -> None:
        self.host, self.kind = host, kind
        self._runtime = RUNTIMES[kind]
        self._made: list[str] = []

    def prepare(self) -> None:
        self._do(MAKE_TREE)
        self._do(self._runtime.prepare)

    def finish(self) -> None:
        self._do(self._runtime.finish)

    def name(self, name: str) -> str:
        """What the runtime calls it."""
        return f"{name}.service" if self.kind == "unit" and "." not in name else name

    def create(self, name: str) -> str:
        """Start a new one, and return the reference to it."""
        name = self.name(name)
        self._made.append(name)
        self._do(self._runtime.create, name)
        self.pid(name)
        return f"{self.kind}:{name}"

    def start(self, name: str) -> None:
        self._do(self._runtime.start, self.name(name))

    def stop(self, name: str) -> None:
        self._do(self._runtime.stop, self.name(name))

    def clean(self) -> None:
        while self._made:
            self._do(self._runtime.remove, self._made.pop())

    def pid(self, name: str) -> int:
        """The process ID in it, once it runs."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            done = self.host.run("sh", "-c", self._runtime.pid, "sh", self.name(name), check=False)
            if done.stdout.strip().isdigit() and int(done.stdout):
                return int(done.stdout)
            time.sleep(0.5)
        raise CommandError(self.host.name, done.args, done.returncode, done.stdout, done.stderr)

    def inside(self, name: str, command: str) -> str:
        """What a command of the host's says in its network namespace."""
        enter = ["nsenter", f"--target={self.pid(name)}", "--net", "--"]
        return self.host.run(*enter, "sh", "-ec", command).stdout

    def network(self, name: str) -> str:
        """All interfaces, addresses and routes in it, once the kernel has tried the addresses that it chose itself."""
        tried = 'until [ -z "$(ip -6 address show tentative)" ]; do sleep 0.1; done'
        return self.inside(name, f"{tried}; ip -brief link; ip -brief address; ip -4 route; ip -6 route show table all")

    def _do(self, command: str, name: str = "") -> str:
        return self.host.run("sh", "-ec", command, "sh", name, timeout=300).stdout
