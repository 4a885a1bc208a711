# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Docker daemon in a throwaway host, with an image of nothing but busybox."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import Host, LabError

UNPACKED = Path(__file__).resolve().parents[2] / ".cache/docker"
ROOT = UNPACKED / "root"
VERSION = "20.10"  # Debian 12's
# The playbooks of the documentation ask for nginx; what runs in it doesn't matter here.
IMAGE = "nginx"
COMMAND = ["/bin/busybox", "sleep", "100000"]
ARCHIVE = UNPACKED / "image.tar"
LOG = UNPACKED / "dockerd.log"

# The programs that were unpacked come first, and so do their libraries, if any of them had to be unpacked.
ENVIRONMENT = {
    "PATH": ":".join([*(str(ROOT / path) for path in ("usr/sbin", "usr/bin", "sbin", "bin")), os.environ["PATH"]]),
    "LD_LIBRARY_PATH": ":".join(str(path) for path in sorted(ROOT.glob("**/*-linux-gnu")) if path.is_dir()),
    "DOCKER_HOST": "unix:///run/docker.sock",
}

# The daemon writes to /etc/docker, and runc wants the hierarchies of cgroups where a machine has them; all control
# groups of the containers are below one of ours, in whatever hierarchy.
GROUPS = f"bridgework-compare-{os.getpid()}"
PREPARE = """
set -e
cp -a /etc /run/etc
rm -rf /run/etc/docker
mkdir /run/etc/docker
mount --bind /run/etc /etc
controllers=$(awk '!/^#/ && $2 > 0 && $4 == 1 { print $1 }' /proc/cgroups)
if [ -z "$controllers" ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exit
fi
mount -t tmpfs tmpfs /sys/fs/cgroup
for controller in $controllers; do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
done
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
"""
CLEAN = 'find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} + 2>/dev/null; true'
DAEMON = (
    *("dockerd", "--storage-driver=vfs", "--cgroup-parent", f"/{GROUPS}", "--host", ENVIRONMENT["DOCKER_HOST"]),
    *("--data-root=/run/docker-data", "--exec-root=/run/docker", "--pidfile=/run/docker.pid"),
)


@contextmanager
def running(host: Host, options: Sequence[str] = ()) -> Iterator[None]:
    """The daemon, in that host, with the image. Leaves none of its control groups behind."""
    host.run("sh", "-c", PREPARE)
    with LOG.open("w") as log:
        process = host.popen(*DAEMON, *options, env=ENVIRONMENT, stdout=log, stderr=log)
    try:
        _wait(host, process)
        _check_version(host)
        with tarfile.open(ARCHIVE, "w") as archive:
            archive.add(min(ROOT.glob("**/bin/busybox")), "bin/busybox")
        command = f"CMD {json.dumps(COMMAND)}"
        host.run("docker", "import", "--change", command, str(ARCHIVE), IMAGE, env=ENVIRONMENT, timeout=60)
        yield
    finally:
        host.run("sh", "-c", "docker ps -aq | xargs -r docker rm -f", env=ENVIRONMENT, check=False, timeout=600)
        host.stop(process)
        host.run("sh", "-c", CLEAN, "sh", GROUPS, check=False)


def _check_version(host: Host) -> None:
    words = ["docker", "version", "--format", "{{.Server.Version}}"]
    found = host.run(*words, env=ENVIRONMENT).stdout.strip()
    if not found.startswith(f"{VERSION}."):
        raise LabError(
            f"differences.yml is about Docker {VERSION}, and this is {found}: revise it, and the version here"
        )


def start_container(host: Host, name: str, *options: str) -> None:
    """A container that does nothing."""
    host.run("docker", "run", "--detach", "--name", name, *options, IMAGE, env=ENVIRONMENT, timeout=60)


def _wait(host: Host, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while host.run("docker", "version", env=ENVIRONMENT, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"the Docker daemon does not start:\n{LOG.read_text()[-2000:]}")
        time.sleep(0.2)
