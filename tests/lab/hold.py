# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What init.sh turns into: PID 1 of a throwaway host. It reaps, and ends when its owner does.

Usage: hold.py PID, the pid to report. A line on the standard input lets it go on without an owner.
"""

import os
import signal
import sys

# Orphans end up with PID 1; where it ignores SIGCHLD the kernel reaps them. (A shell never ignores it.)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print(sys.argv[1], flush=True)
nowhere = os.open(os.devnull, os.O_RDWR)
os.dup2(nowhere, 1)
os.dup2(nowhere, 2)
if os.read(0, 1):
    os.dup2(nowhere, 0)
    while True:
        signal.pause()
