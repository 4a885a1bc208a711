# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one program after another many times, each from its start to its end, and prints what each cost.

Usage: cost.py TIMES < JSON, a list of {"name", "argv", "stdin": the path of a file} in the order of their turns

Prints one line of JSON a run: {"name", "seconds", "cpu": seconds, "memory": KiB at its peak}. The memory is that of the
largest process among it and those that it waited for.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time


def cost(argv: list[str], stdin: str) -> dict:
    with open(stdin, "rb") as source, tempfile.TemporaryFile() as out:
        began = time.perf_counter()
        # This process is small, so what the child has of it before it becomes the program counts for nothing.
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(source.fileno(), 0)
                os.dup2(out.fileno(), 1)
                os.execvp(argv[0], argv)
            finally:
                os._exit(127)
        _pid, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - began
        if status:
            out.seek(0)
            sys.exit(f"{argv}, {stdin}: status {status}\n{out.read().decode(errors='replace')[-3000:]}")
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss}


def main() -> None:
    jobs = json.load(sys.stdin)
    for _round in range(int(sys.argv[1])):
        for job in jobs:
            print(json.dumps({"name": job["name"], **cost(job["argv"], job["stdin"])}), flush=True)


if __name__ == "__main__":
    main()
