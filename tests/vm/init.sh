#!/bin/sh
# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# PID 1 of the virtual machine of scripts/vm: runs /command, tells its exit code, and ends the machine.
# The first serial port has the kernel's messages, the second the command's output, the third its exit code.
set -e

mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 -opost
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mkdir -m 1777 /run/lock
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
ip link set lo up

code=0
sh /command || code=$?
echo "$code" >/dev/ttyS2

# What was said last must have left the serial ports.
stty -F /dev/ttyS1 sane
stty -F /dev/ttyS2 sane
echo b >/proc/sysrq-trigger
sleep 60
