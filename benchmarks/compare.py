"""Our server beside its peers, in one run: what the same work costs each of them.

Each server gets a configuration of its own and one processor; the clients are one process on
the other one. Each load is put on one server after the other, three times, and the table shows
medians; logins, memory and what has to do with absence are measured once. Whoever is not
installed is left out; ``make bench-peers`` installs Debian's packages. Linux only.

Read the guarantees with the figures: only ours encrypts here, and answers a sender when a message
cannot be lost any more. ``benchmarks.reference`` is the least that a server can do in Python, on
the plain transports of the clients: no acknowledgement, no store, no limits.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from .peers import Peer
from .peers.irc import Inspircd, Ngircd
from .peers.mqtt import Mosquitto
from .peers.nats import Nats
from .peers.ours import Clear, Encrypted, Reference
from .peers.xmpp import Ejabberd, Prosody
from .scenarios import Result, Trial

PEERS: tuple[type[Peer], ...] = (
    *(Encrypted, Clear, Reference, Ngircd, Inspircd, Nats, Mosquitto, Prosody, Ejabberd),
)
RUNS = 3
PAIRS = 50
OFFLINE = range(20, 30)
KILLED = range(30, 31)
KILL_MESSAGES = 5_000
OFFLINE_MESSAGES = 50_000

Figures = dict[str, float]
"""What one server has shown, by row."""


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        seconds: of each load.
        crowd: users online in the largest fan-out, besides the one who sends.
        idle: connections whose memory is measured.
    """

    seconds: float
    crowd: int
    idle: int


QUICK = Plan(seconds=0.7, crowd=300, idle=1000)
FULL = Plan(seconds=1.0, crowd=1000, idle=5000)


@contextmanager
def running(peer: type[Peer], users: int, cpu: int) -> Iterator[Trial]:
    """A server with so many accounts."""
    with peer.start(users, cpu) as process:
        peer.prepare(process, users)
        trial = Trial(peer, process)
        try:
            yield trial
        finally:
            trial.load.close()


def add(figures: Figures, name: str, result: Result) -> None:
    """Note what a load has shown."""
    figures[f"{name}: CPU s per million"] = result.cpu_per_million
    figures[f"{name}: deliveries/s"] = result.rate
    figures[f"{name}: p50 ms"] = result.percentile(50)
    figures[f"{name}: p99 ms"] = result.percentile(99)


def measure_deliveries(
    peers: Sequence[type[Peer]], plan: Plan, cpu: int, runs: int
) -> dict[type[Peer], list[Figures]]:
    """Pairs, fan-out and logins: all servers run, and each load is put on one after the other.

    So what the machine does at a moment meets all of them alike.
    """
    figures: dict[type[Peer], list[Figures]] = {peer: [] for peer in peers}
    with ExitStack() as stack:
        trials = {}
        for peer in peers:
            users = min(plan.crowd, peer.crowd_max) + 1
            trials[peer] = stack.enter_context(running(peer, users, cpu))
            trials[peer].log_in(2 * PAIRS + 1)

        def measure(name: str, load: Callable[[Trial], Result]) -> None:
            for number in range(runs):
                print(f"{name}, run {number + 1}", file=sys.stderr, flush=True)
                for peer, trial in trials.items():
                    figures[peer].append({})
                    add(figures[peer][-1], name, load(trial))

        for in_flight in (1, 64):
            measure(
                f"{PAIRS} pairs, {in_flight} in flight",
                partial(Trial.pairs, count=PAIRS, in_flight=in_flight, seconds=plan.seconds),
            )
        fan_out = partial(Trial.fan_out, in_flight=64, seconds=plan.seconds)
        measure("fan-out to 100", fan_out)
        for peer, trial in list(trials.items()):
            print(f"logins: {peer.name}", file=sys.stderr, flush=True)
            logins = trial.log_in(min(plan.crowd, peer.crowd_max) - 2 * PAIRS)
            figures[peer][-1]["logins/s, all told"] = logins.rate
            figures[peer][-1]["CPU s per 1,000 logins, all told"] = logins.cpu_per_million / 1000
            if peer.crowd_max < plan.crowd:
                del trials[peer]
        measure(f"fan-out to {plan.crowd:,}", fan_out)
    return figures


def measure_idle(peer: type[Peer], plan: Plan, cpu: int) -> Figures:
    """Memory of connections that do nothing."""
    count = min(plan.idle, peer.idle_max)
    with running(peer, count, cpu) as trial:
        trial.log_in(10, in_room=False)
        before = trial.process.memory_kib()
        logins = trial.log_in(count - 10, in_room=False)
        kib = (trial.process.memory_kib() - before) / (count - 10)
    return {
        f"KiB per idle connection, of {plan.idle:,}": kib,
        f"CPU s per 1,000 logins, of {plan.idle:,}": logins.cpu_per_million / 1000,
    }


def measure_offline(peer: type[Peer], plan: Plan, cpu: int) -> Figures:
    """Messages for those who are away, and a kill."""
    figures: Figures = {}
    with running(peer, KILLED.stop, cpu) as trial:
        if peer.keeps:
            trial.log_in(10, in_room=False)
            trial.meet(range(OFFLINE.start, KILLED.stop))
            stored, seconds = trial.store(OFFLINE, OFFLINE_MESSAGES, 2 * plan.seconds)
            figures["stored for offline users/s"] = stored / seconds
            received, seconds = trial.collect(OFFLINE, stored)
            figures["delivered from store/s"] = received / seconds
            stored, _ = trial.store(KILLED, KILL_MESSAGES, 600.0)
            trial.kill()
            received, _ = trial.collect(KILLED, stored)
            figures[f"lost of {KILL_MESSAGES:,} at kill -9"] = stored - received
            figures["start after that, s"] = trial.process.start_seconds
    with running(peer, KILLED.stop, cpu) as trial:
        trial.log_in(KILLED.stop, in_room=False)
        result = trial.beside_stalled(plan.seconds)
        figures["p99 ms beside a stalled reader"] = result.percentile(99)
    return figures


def medians(runs: list[Figures]) -> Figures:
    """Of each figure the median of the runs that have it."""
    names = dict.fromkeys(name for figures in runs for name in figures)
    return {
        name: statistics.median(figures[name] for figures in runs if name in figures)
        for name in names
    }


def shown(value: float | None) -> str:
    """A figure, with three digits that count."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def print_table(figures: dict[type[Peer], Figures]) -> None:
    """One column for each server."""

    def row(name: str, cell: Callable[[type[Peer]], str]) -> None:
        print(f"| {name} |", " | ".join(cell(peer) for peer in figures), "|")

    row("", lambda peer: peer.name)
    print("|---" * (len(figures) + 1) + "|")
    row("encrypted", lambda peer: "TLS 1.3" if peer.encrypts else "no")
    row("an answer means", lambda peer: peer.acknowledges)
    names = dict.fromkeys(name for rows in figures.values() for name in rows)
    for name in names:
        # mypy can't infer a lambda that binds the name of this turn.
        row(name, lambda peer, name=name: shown(figures[peer].get(name)))  # type: ignore[misc]


def main() -> None:
    """Measure all that are installed; print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="longer, and with more connections")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each (default {RUNS})")
    parser.add_argument("--only", nargs="*", help="these servers, by the name of their class")
    parser.add_argument("--skip", nargs="*", default=[], help="deliveries, idle or offline")
    arguments = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    plan = FULL if arguments.full else QUICK
    peers = []
    for peer in PEERS:
        if arguments.only and peer.__name__ not in arguments.only:
            continue
        if peer.is_installed():
            peers.append(peer)
        else:
            print(f"{peer.name} is not installed", file=sys.stderr)
    runs: dict[type[Peer], list[Figures]] = {peer: [] for peer in peers}
    if "deliveries" not in arguments.skip:
        runs |= measure_deliveries(peers, plan, cpus[0], arguments.runs)
    for name, measure in (("idle", measure_idle), ("offline", measure_offline)):
        for peer in peers if name not in arguments.skip else ():
            print(f"{name}: {peer.name}", file=sys.stderr, flush=True)
            runs[peer].append(measure(peer, plan, cpus[0]))
    today = datetime.datetime.now(datetime.UTC).date()
    print(f"{today}, {len(cpus)} processors, {arguments.runs} runs\n")
    print_table({peer: medians(figures) for peer, figures in runs.items()})


if __name__ == "__main__":
    main()
