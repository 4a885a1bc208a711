# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that takes connections and lets go of them.

Usage: accept.py CPU PORT…

Prints an empty line when it listens.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    poll, servers = select.poll(), {}
    for port in sys.argv[2:]:
        server = socket.create_server(("0.0.0.0", int(port)), backlog=4096)
        server.setblocking(False)
        servers[server.fileno()] = server
        poll.register(server, select.POLLIN)
    print(flush=True)
    while True:
        for descriptor, _event in poll.poll():
            with contextlib.suppress(OSError):  # the client is gone already
                while True:
                    servers[descriptor].accept()[0].close()


if __name__ == "__main__":
    main()
