# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Root file systems of Debian, from where this machine gets its own packages."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

KERNEL = "linux-image-cloud-amd64"
# Documentation and the like are ballast, and nobody needs the initial RAM file system that Debian would make.
EXCLUDED = ["/etc/kernel/postinst.d/initramfs-tools", "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"]


def find_image(cache: Path, name: str, inputs: Iterable[str], make: Callable[[Path, list[str]], None]) -> Path:
    """The directory that ``make`` filled, given a directory to work in and sources; its "image" is what is kept.

    It is made where there is none from the same inputs yet.
    """
    sources = debian_sources()
    texts = [Path(__file__).read_text(), *inputs, *sources]
    image = cache / f"{name}-{sha256(chr(10).join(texts).encode()).hexdigest()[:16]}"
    if not image.exists():
        started = time.monotonic()
        print(f"vm: making a root file system with {KERNEL} (mmdebstrap)", flush=True)
        for old in cache.glob(f"{name}-*"):
            shutil.rmtree(old)
        with tempfile.TemporaryDirectory(dir=cache, prefix="run-") as directory:
            make(Path(directory), sources)
            (Path(directory) / "image").rename(image)
        print(f"vm: made in {time.monotonic() - started:.0f} s", flush=True)
    return image


def debian_sources() -> list[str]:
    """Where this machine gets Debian from, as lines of a sources.list."""
    line = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", line, "Created-By: Packages", "Origin: Debian"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    if not lines:
        sys.exit("vm: this machine's apt knows no source of Debian's packages; see that apt-get update works")
    return lines


def bootstrap(directory: Path, sources: list[str], packages: Iterable[str], *options: str, variant: str) -> Path:
    """A root file system below the directory."""
    root = directory / "root"
    settings = subprocess.run(["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True).stdout
    (directory / "apt.conf").write_text(settings)
    quietly("mmdebstrap", "--mode=root", f"--variant={variant}", f"--include={','.join(packages)}",
            "--aptopt=APT::Install-Recommends false", f"--aptopt={directory}/apt.conf",
            *(f"--dpkgopt=path-exclude={path}" for path in EXCLUDED), *options,
            sources[0].split()[2], str(root), *sources)  # fmt: skip
    return root


def take_kernel(root: Path, image: Path) -> None:
    image.mkdir()
    (kernel,) = root.glob("boot/vmlinuz-*")
    kernel.rename(image / "kernel")


def pack(directory: Path, archive: Path) -> None:
    with archive.open("wb") as file:
        subprocess.run("find . | cpio --quiet -o -H newc", shell=True, check=True, cwd=directory, stdout=file)


def quietly(*command: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        sys.stdout.buffer.write(done.stdout[-4000:])
        sys.exit(f"vm: this failed: {shlex.join(command)}")
