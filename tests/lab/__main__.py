# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m lab up|down|exec|list: labs that outlive the command, for playbooks, molecule and the demo."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from lab import state, topology
from lab.commands import environment
from lab.errors import LabError
from lab.lab import ALL_HOSTS, Lab


def up(args: argparse.Namespace) -> None:
    """Make the lab, unless it is there already."""
    lab = state.load(args.name)
    if not (lab and lab.alive()):
        down(args)
        lab = _make(args.name, args.hosts or ALL_HOSTS)
    missing = [name for name in args.hosts if name not in lab.hosts]
    if missing:
        raise LabError(f"lab {args.name} is up without {', '.join(missing)}: take it down first")
    _show(args, [(args.name, lab)])


def _make(name: str, hosts: Sequence[str]) -> Lab:
    state.path(name)
    with Lab(hosts) as lab:
        state.save(name, lab)
        return lab.detach()


def down(args: argparse.Namespace) -> None:
    """End the lab; that there is none is fine."""
    lab = state.load(args.name)
    if lab:
        lab.down()
        state.remove(args.name)


def execute(args: argparse.Namespace) -> None:
    """Become the command, in a host of the lab."""
    lab = state.load(args.name)
    if not (lab and lab.alive()):
        raise LabError(f"lab {args.name} is not up: make it with `python -m lab up --name {args.name}`")
    argv = [*lab[args.host].prefix(args.netns), *args.argv]
    os.execvpe(argv[0], argv, environment())


def show(args: argparse.Namespace) -> None:
    """All labs and their hosts."""
    _show(args, [(name, lab) for name in state.names() if (lab := state.load(name))])


def _show(args: argparse.Namespace, labs: list[tuple[str, Lab]]) -> None:
    if args.json:
        described = [state.describe(name, lab) for name, lab in labs]
        print(json.dumps(described[0] if args.function is up else described))
        return
    for name, lab in labs:
        for host in lab.hosts.values():
            fate = "" if host.identity.alive() else "  dead"
            print(f"{name}  {host.name:8}pid {host.pid:<8}{' '.join(topology.PLANS[host.name].addresses)}{fate}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab", description="throwaway hosts on a LAN of their own")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function, named: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=function.__doc__.splitlines()[0], description=function.__doc__)
        made.set_defaults(function=function)
        if named:
            made.add_argument("--name", required=True, help="the name of the lab")
        return made

    making = command("up", up)
    making.add_argument("--hosts", type=lambda text: text.split(","), default=(), metavar="HOST,…", help="default: all")
    making.add_argument("--json", action="store_true", help="print pids and addresses as JSON")
    command("down", down)
    entering = command("exec", execute)
    entering.add_argument("--netns", help="a network namespace of the host: its name or path")
    entering.add_argument("host")
    entering.add_argument("argv", nargs="+")
    command("list", show, named=False).add_argument("--json", action="store_true", help="print a list as JSON")
    return parser.parse_args()


def main() -> int:
    args = _arguments()
    try:
        args.function(args)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
