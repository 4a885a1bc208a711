# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long TCP connects take. The process stays, so that it costs nothing to come back to it.

Usage: connect.py CPU

Reads one line ADDRESS PORT COUNT at a time and answers with one, the times of COUNT connects in microseconds (JSON).
What a connect takes is the time from the SYN to the SYN,ACK: socket and close are outside of it.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time

# Closed by a reset: the port is free again at once, on both sides.
AT_ONCE = struct.pack("ii", 1, 0)


def connects(address: str, port: int, count: int) -> list[float]:
    clock, target, times = time.perf_counter_ns, (address, port), []
    for _round in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 2)  # gives up after seconds
        began = clock()
        client.connect(target)
        ended = clock()
        client.close()
        times.append((ended - began) / 1000)
    return times


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    print(flush=True)
    for line in sys.stdin:
        address, port, count = line.split()
        print(json.dumps(connects(address, int(port), int(count))), flush=True)


if __name__ == "__main__":
    main()
