#!/bin/sh
# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# PID 1 of a throwaway host: makes its own view of the system, then holds it by hold.py.
# Usage: init.sh PYTHON NAME [net/ipv4/ip_forward=1 ...]
set -eu
python=$1
name=$2
shift 2

# Still the outer /proc, so this is the pid by which the outside knows this process.
read -r pid _ </proc/self/stat

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0755 tmpfs /var/lib

# /etc is the machine's to read, and what is written there stays in memory. An overlay leaves out what is mounted below,
# such as a resolv.conf of the machine's, but that is copied from the private bind of all of it.
mkdir /run/old /run/new
mount --rbind /etc /run/old
mount -t tmpfs -o mode=0755 tmpfs /run/new
mkdir /run/new/upper /run/new/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/new/upper,workdir=/run/new/work overlay /etc
while read -r _ _ _ _ place _; do
    case $place in
        /run/old/*) cp -aT "$place" "/etc/${place#/run/old/}" ;;
    esac
done </proc/self/mountinfo
umount -l /run/old /run/new
rmdir /run/old /run/new
if [ -d /etc/netns ]; then
    mount -t tmpfs -o mode=0755 tmpfs /etc/netns
fi
mkdir -m 1777 /run/lock

echo "$name" >/proc/sys/kernel/hostname
for setting in "$@"; do
    echo "${setting#*=}" >"/proc/sys/${setting%%=*}"
done
ip link set lo up

exec "$python" -I -S "${0%/*}/hold.py" "$pid"
