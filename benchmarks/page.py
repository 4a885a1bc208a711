# SPDX-FileCopyrightText: Bridgework contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/performance.md and its pictures: results in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks import goals, latency, ours, peers, plot, setups, tasks
from benchmarks.figures import median, spread
from benchmarks.plot import Series
from benchmarks.scale import PORTS

Results = Mapping[str, Any]

# A peer that is faster by less is not: rounds differ by as much.
NOTABLE = 1.05
COLOURS = {
    ours.name("nftables"): "#0b6e4f",
    ours.name("iptables"): "#3fa34d",
    peers.NETAVARK.name: "#8e44ad",
    peers.CNI.name: "#d35400",
    peers.DOCKER.name: "#2471a3",
    latency.DIRECT: "#888888",
}
PICTURES = {
    "connect-p50.svg": "TCP connect through the last published port, median",
    "connect-p99.svg": "TCP connect through the last published port, 99th percentile",
    "set-up.svg": "Time to set up containers with two published ports each",
}


def pictures(results: Results) -> dict[str, str]:
    """By file name, the SVG."""
    found = {}
    for figure in ("p50", "p99"):
        name = f"connect-{figure}.svg"
        found[name] = plot.chart(PICTURES[name], "published ports", "µs", _latency_series(results, figure))
    found["set-up.svg"] = plot.chart(PICTURES["set-up.svg"], "published ports", "seconds", _setup_series(results))
    return found


def _latency_series(results: Results, figure: str) -> list[Series]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for spot in _compared(results):
        lines.setdefault(spot["way"], []).append((max(spot["ports"], 1), spot[figure]))
    direct = lines[latency.DIRECT][0][1]
    most = max(x for points in lines.values() for x, _y in points)
    lines[latency.DIRECT] = [(1, direct), (most, direct)]
    return [Series(way, sorted(points), COLOURS[way], way == latency.DIRECT) for way, points in lines.items()]


def _compared(results: Results) -> Iterator[Mapping[str, Any]]:
    """Those that were measured in turn with all others: of peers what was written out."""
    for spot in results["latency"]["spots"]:
        if spot["way"] not in results["latency"]["curves"] or spot["origin"] != "real":
            yield spot


def _setup_series(results: Results) -> list[Series]:
    curves = {**results["setup"]["curves"], **results["latency"]["curves"]}
    return [Series(way, [tuple(point) for point in points], COLOURS[way]) for way, points in curves.items()]


def page(results: Results) -> str:
    parts = [
        _heading(results),
        _goals(results),
        _losses(results),
        _setup(results),
        _tasks(results),
        _latency(results),
        _method(results),
    ]
    return "\n\n".join(parts) + "\n"


def _heading(results: Results) -> str:
    run, machine = results["run"], results["machine"]
    quick = (
        "\n\n**This is a quick run** (`make bench QUICK=1`): few repetitions, fewer containers. Its figures show "
        "that the measurement works, and are not to be quoted. What is wanted of 200 containers is judged by fewer."
        if run["quick"]
        else ""
    )
    busy = (
        f"\n\n**The machine was busy when it began** (load {machine['load']:.1f} on {machine['cores']} cores): times "
        "are longer, and ratios less certain, than on an idle one."
        if machine["load"] > 0.5 * machine["cores"]
        else ""
    )
    missing = "".join(
        f"\n\n**The {backend} backend is not measured**, since it does not work here: {problem}"
        for backend, problem in results["missing"].items()
    )
    return f"""<!--
SPDX-FileCopyrightText: Bridgework contributors
SPDX-License-Identifier: GPL-3.0-or-later
-->

# Performance

`make bench` wrote this page, from one run in which all that is compared took turns: on {run["date"]}, commit
{run["commit"]}, in {run["seconds"] / 60:.0f} minutes. The raw
figures are in [benchmarks/results.json](../benchmarks/results.json). Absolute times are those of the machine
([below](#how-it-was-measured)); ratios carry over.{quick}{busy}{missing}"""


def _goals(results: Results) -> str:
    rows = list(goals.rows(results))
    table = [["goal", "wanted", *ours.BACKENDS]]
    for row in rows:
        verdicts = {verdict.backend: verdict.text for verdict in row.verdicts}
        table.append([row.what, row.wanted, *(verdicts.get(each, "**not measured**") for each in ours.BACKENDS)])
    verdicts = [verdict for row in rows for verdict in row.verdicts]
    met = sum(verdict.met for verdict in verdicts)
    return f"## Goals\n\n{met} of {len(rows) * len(ours.BACKENDS)} are met.\n\n{_table(table)}"


def _losses(results: Results) -> str:
    """What speaks against us beside the goals that were missed: where a peer is faster."""
    lines = [*_lost_setups(results), *_lost_connects(results)]
    return "## Where others are faster\n\n" + ("\n".join(lines) or "Nowhere in what was measured.")


def _lost_setups(results: Results) -> Iterator[str]:
    startup = goals.seconds(results, setups.STARTUP)
    for way, points in results["setup"]["curves"].items():
        for peer, curve in results["latency"]["curves"].items():
            lost = [(ports, own) for ports, own in points if own > _at(curve, ports)]
            if lost:
                ports, own = lost[-1]
                yield (
                    f"* {_ports(ports)} from nothing: {peer} takes {_at(curve, ports):.2f} s, {way} {own:.2f} s "
                    f"(Ansible's start-up alone takes {startup:.2f} s)."
                )


def _at(curve: Sequence[Sequence[float]], ports: float) -> float:
    """The seconds that a peer needed for so many ports; infinite where it was not taken so far."""
    return next((seconds for reached, seconds in curve if reached >= ports), float("inf"))


def _lost_connects(results: Results) -> Iterator[str]:
    spots = list(_compared(results))
    for own in spots:
        if own["way"] not in map(ours.name, ours.BACKENDS):
            continue
        for figure in ("p50", "p99"):
            faster = [
                f"{peer['way']} {peer[figure]:.0f} µs"
                for peer in spots
                if _is_comparable(results, own, peer) and peer[figure] < own[figure] / NOTABLE
            ]
            if faster:
                what = f"TCP connect through the last of {_ports(own['ports'])}, {figure}"
                yield f"* {what}: {own['way']} {own[figure]:.0f} µs; {', '.join(faster)}."


def _is_comparable(results: Results, own: Mapping[str, Any], peer: Mapping[str, Any]) -> bool:
    """A peer's spot with as many ports; the fewest that there are are one with us and two with peers."""
    fewest = max(own["ports"], peer["ports"]) <= PORTS
    return peer["way"] in results["latency"]["curves"] and (own["ports"] == peer["ports"] or fewest)


def _ports(count: float) -> str:
    return "one port" if count == 1 else f"{count:,.0f} ports"


def _setup(results: Results) -> str:
    setup = results["setup"]
    table = [["way", "seconds, median", "lowest to highest", "runs", "of which"]]
    for way, runs in setup["runs"].items():
        times = [run["seconds"] for run in runs]
        low, high = spread(times)
        parts = _parts([run["parts"] for run in runs if "parts" in run])
        table.append([_way(way), f"{median(times):.2f}", f"{low:.2f} to {high:.2f}", str(len(times)), parts])
    docker = setup["docker"]
    each, bare = docker["seconds"] / docker["containers"], docker["without"] / docker["containers"]
    count = setup["containers"]
    return f"""## {count} containers with {setup["ports"]} ports, from nothing

{_table(table)}

* Ours is the whole of `ansible-playbook`: its start, one task of `container_network`, one of `port_mapping`.
  Start-up is a play that only pings. Both reach the host through the
  connection plugin of the tests, which costs what a local connection does: over SSH both would take longer by the
  same.
* netavark and CNI (`bridge`, then `portmap`) are called once a container, as Podman and CRI-O do; namespaces were
  made before and don't count. No engine's own time is in it, and no DNS server.
* The floor is one `ip -batch` for namespaces and links, one in each namespace for addresses and routes, and one raw
  `nft -f`. It compares nothing, protects nothing, and can't be run twice. Without what is inside
  of the namespaces it would be {_without_inside(setup):.2f} s, and {_against_less(results)}.
* Docker: {docker["containers"]} containers, not {count}. `docker run` with two ports {1000 * each:.0f} ms each,
  {1000 * bare:.0f} ms with `--network none`; so the network is {1000 * (each - bare):.0f} ms a container, and
  {count} would be {count * (each - bare):.0f} s if
  the time did not grow (extrapolated). Without the userland proxy, which would be a process more for each port.

![{PICTURES["set-up.svg"]}](images/set-up.svg)

Ours with Ansible's start-up, each point a host of its own; the peers' lines are single hosts that grow. Docker's
includes the start of the container."""


def _way(way: str) -> str:
    return {setups.STARTUP: "Ansible's start-up", setups.FLOOR: "the floor"}.get(way, way)


def _parts(runs: Sequence[Mapping[str, float]]) -> str:
    return ", ".join(f"{name} {median([run[name] for run in runs]):.2f}" for name in runs[0]) if runs else ""


def _without_inside(setup: Results) -> float:
    return median([run["seconds"] - run["parts"]["inside"] for run in setup["runs"][setups.FLOOR]])


def _against_less(results: Results) -> str:
    less = _without_inside(results["setup"])
    own = {
        each: goals.seconds(results, ours.name(each)) - goals.seconds(results, setups.STARTUP)
        for each in results["tasks"]
    }
    return ", ".join(f"ours {seconds / less:.1f} times that with {backend}" for backend, seconds in own.items())


def _tasks(results: Results) -> str:
    many = f"{results['tasks_at']:,}"
    table = [["task", *(f"{backend}: {column}" for backend in results["tasks"] for column in ("few", "many", "ratio"))]]
    table.append([f"one more port (few: none; many: {many})", *_pairs(results, lambda each: each["more"], "empty")])
    for title in tasks.UNCHANGED:
        row = [f"unchanged, {title} (few: {tasks.FEW})"]
        table.append([*row, *_pairs(results, lambda each, title=title: each["unchanged"][title], "few")])
    return f"""## Tasks on a host with {many} ports

The ports are those of ten containers, and so are those of the host with {tasks.FEW}; the task that names a port is
about an eleventh container, which has no other. Milliseconds of a task inside a play, from its start to its result:
median, and lowest to highest.

{_table(table)}

{_pings(results)}

The same without Ansible on the controller: what it would send to the host, run there, with the start of Python.
Milliseconds of time (median), of processor time, and memory at its peak.

{_modules(results)}"""


def _pairs(results: Results, of: Any, few: str) -> Iterator[str]:
    for found in results["tasks"].values():
        times = of(found)
        yield _milliseconds(times[few])
        yield _milliseconds(times["many"])
        yield f"{median(times['many']) / median(times[few]):.2f}"


def _milliseconds(times: Sequence[float]) -> str:
    low, high = spread(times)
    return f"{1000 * median(times):.0f} ({1000 * low:.0f} to {1000 * high:.0f})"


def _pings(results: Results) -> str:
    titles = ("ping", *goals.PINGED, "container_info")
    table = [["unchanged task on a host with ten ports", *results["tasks"]]]
    for title in titles:
        cells = []
        for found in results["tasks"].values():
            ratio = median(found["ping"][title]) / median(found["ping"]["ping"])
            cells.append(f"{_milliseconds(found['ping'][title])}, {ratio:.2f} × ping")
        table.append([f"`{title}`", *cells])
    return _table(table)


def _modules(results: Results) -> str:
    places = {"empty": "none", "few": str(tasks.FEW), "many": f"{results['tasks_at']:,}"}
    titles = {"ping": "`ansible.builtin.ping`", "more": "one more port", "less": "one port less"}
    table = [["ports", "module that", *results["tasks"]]]
    first = next(iter(results["tasks"].values()))["modules"]
    for place, count in places.items():
        for title in first[place]:
            cells = [_cost(found["modules"][place][title]) for found in results["tasks"].values()]
            table.append([count, titles.get(title, title), *cells])
    return _table(table)


def _cost(costs: Mapping[str, Sequence[float]]) -> str:
    memory = max(costs["memory"]) * goals.KIB_IN_MB
    return f"{1000 * median(costs['seconds']):.0f} ms, {1000 * median(costs['cpu']):.0f} ms, {memory:.0f} MB"


def _latency(results: Results) -> str:
    spots = results["latency"]["spots"]
    table = [["way", "ports", "rules", "p50 µs", "p50 of the rounds", "p99 µs", "connects"]]
    for spot in sorted(spots, key=lambda each: (each["way"], each["origin"], each["ports"])):
        low, high = spread(spot["rounds"])
        figures = [f"{spot['p50']:.0f}", f"{low:.0f} to {high:.0f}", f"{spot['p99']:.0f}", f"{spot['connects']:,}"]
        table.append([spot["way"], f"{spot['ports']:,}", _origin(spot), *figures])
    same = "; ".join(
        f"{peer} at {_and(f'{each:,}' for each in sizes)} ports"
        for peer, sizes in results["latency"]["same_shape"].items()
    )
    return f"""## TCP connect through the last of many ports

![{PICTURES["connect-p50.svg"]}](images/connect-p50.svg)

![{PICTURES["connect-p99.svg"]}](images/connect-p99.svg)

{_table(table)}

* Ours are real at every size: one container, its ports published one to one by `port_mapping`. The peers have two
  ports a container.
* A peer that is called for 10,000 containers would take an hour. So they made the smaller sizes themselves (*real*);
  the larger rule sets are *written out* (`iptables-restore`), after the pattern of what one
  container adds. That this is what the peer would have made is checked, rule by rule and in order: the same for
  {same}. The written ones take turns with all others, and are what the pictures show;
  the real ones were measured when the peer had come so far, not in turn.
* *{latency.DIRECT}* is a server of the host itself, on a host without a rule."""


def _origin(spot: Mapping[str, Any]) -> str:
    return "none" if spot["way"] == latency.DIRECT else spot["origin"]


def _and(words: Iterable[str]) -> str:
    found = list(words)
    return " and ".join(filter(None, [", ".join(found[:-1]), *found[-1:]])) or "no size"


def _method(results: Results) -> str:
    machine = results["machine"]
    return f"""## How it was measured

* **Machine**: {machine["cores"]} cores ({machine["processor"]}), {machine["memory"]} of memory, {machine["system"]},
  kernel {machine["kernel"]}, load {machine["load"]:.1f} at the start.
* **Versions**: {machine["iptables"]}, {machine["nft"]}, Python {machine["python"]},
  {", ".join(machine["packages"])}. The peers are Debian's packages, unpacked only: {", ".join(machine["peers"])}.
* **Hosts** are throwaway: processes in namespaces of their own, with a client beside them on a LAN of veth pairs.
  Each set-up has a fresh one, and counts only if a client gets through to the last container.
* **Turns**: what is compared is measured alternately in one run, round after round, so that a slow moment hits all
  alike. Figures are medians; the spread beside them is the lowest and highest.
* **Connects**: one client process, on a processor of its own where there are two, connects again and again; timed is
  the call of `connect` alone, in Python, whose own share is the same for all. Every connection is closed by a
  reset, so none waits. The first {latency.WARM_UP} of each burst don't count.
* **Memory** is the peak of the largest process among the module and what it starts, as the kernel counted it
  (`ru_maxrss`).
* **Not measured**: IPv6, UDP, throughput, other machines, a connection over SSH, Podman and Kubernetes themselves."""


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
