#!/bin/sh
# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# PID 1 of the virtual machine of scripts/vm: runs /command, tells its exit code, and ends the machine.
# The first serial port has the kernel's messages, the second the command's output, the third its exit code.
# With the kernel's parameter systemd.unit=tests.service it becomes systemd, which starts this script again.
set -e
here=/repository/tests/vm

start() {
    mount -t devtmpfs devtmpfs /dev
    exec </dev/null >/dev/ttyS1 2>&1
    mount -t proc -o nosuid,nodev,noexec proc /proc
    tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
    if grep -q systemd.unit= /proc/cmdline; then
        become_systemd
    fi
    mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    mount -t tmpfs -o mode=0755 tmpfs /run
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    mkdir /dev/shm
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mkdir -m 1777 /run/lock
    ip link set lo up
}

# The kernel gives no process another root than the RAM file system itself (pivot_root(2)), which is what runtimes of
# containers do, but where that is mounted over itself it does.
become_systemd() {
    ln -s "$here/tests.service" /etc/systemd/system/
    umount /proc
    mount --bind / /mnt
    mount --move /dev /mnt/dev
    cd /mnt
    mount --move . /
    exec chroot . /lib/systemd/systemd >dev/null 2>&1  # below the new root
}

if [ $$ = 1 ]; then
    start
fi
exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 -opost

code=0
sh /command || code=$?
echo "$code" >/dev/ttyS2

# What was said last must have left the serial ports.
stty -F /dev/ttyS1 sane
stty -F /dev/ttyS2 sane
echo b >/proc/sysrq-trigger
sleep 60
