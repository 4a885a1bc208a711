# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m benchmarks: measure, and write benchmarks/results.json, docs/performance.md and its pictures."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks import latency, machine, ours, page, setups, tasks
from benchmarks.progress import Progress
from benchmarks.scale import FULL, QUICK
from lab import Lab

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results.json"
PAGE = ROOT / "docs/performance.md"
PICTURES = ROOT / "docs/images"
DIGITS = 6


def measure(quick: bool) -> dict[str, Any]:
    scale = QUICK if quick else FULL
    progress = Progress(5)
    described, commit = machine.describe(), machine.commit()
    progress.part("backends")
    problems = {backend: _problem(progress, backend) for backend in ours.BACKENDS}
    backends = [backend for backend, problem in problems.items() if not problem]
    if not backends:
        raise SystemExit(f"bench: no backend works here: {problems}")
    progress.part("set-up")
    setup = setups.measure(scale, progress, backends)
    progress.part("tasks")
    found = {backend: tasks.measure(scale, progress, backend) for backend in backends}
    progress.part("latency")
    connects = latency.measure(scale, progress, backends)
    progress.part("writing")
    progress.end()
    run = {"quick": quick, "date": time.strftime("%Y-%m-%d"), "commit": commit, "seconds": progress.seconds}
    return {
        "run": run,
        "machine": described,
        "missing": {backend: problem for backend, problem in problems.items() if problem},
        "setup": setup,
        "tasks_at": scale.many,
        "tasks": found,
        "latency": connects,
    }


def _problem(progress: Progress, backend: str) -> str:
    progress.say(f"does {backend} work here?")
    with Lab(("host",)) as lab:
        return ours.problem(lab.host, backend)


def rounded(value: Any) -> Any:
    """Figures without digits that mean nothing."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, (list, tuple)) else value


def write() -> None:
    """The page and the pictures, of the results that are there."""
    results = json.loads(RESULTS.read_text())
    PICTURES.mkdir(exist_ok=True)
    PAGE.write_text(page.page(results))
    for name, picture in page.pictures(results).items():
        (PICTURES / name).write_text(picture)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions; the page says so")
    parser.add_argument("--write", action="store_true", help="measure nothing; write the page of the results again")
    args = parser.parse_args()
    if not args.write:
        RESULTS.write_text(json.dumps(rounded(measure(args.quick)), indent=1) + "\n")
    write()
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
