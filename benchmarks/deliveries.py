"""What a delivery costs the server: CPU seconds per million, for pairs and for fan-out.

Each message is acknowledged by its receiver and then answered to its sender, with the
store on disk as in real use. The server is pinned to one core, the clients to another, so
the figures are the server's own whatever the clients cost. Beside each stands what the
least possible server costs (``benchmarks.reference``), measured in turn with ours: machines
differ, and one machine differs from minute to minute, but the ratio hardly does.

Linux only: it reads the server's CPU clock.
"""

from __future__ import annotations

import argparse
import os
import ssl
import statistics
import time
from collections.abc import Callable
from functools import partial

from trio_chat.net.tls import pinning_context

from .load import Client, Load
from .server_process import ServerProcess

TEXT = b"x" * 64
PAIRS = 50
RUNS = 3


def run_pairs(load: Load, in_flight: int, total: int) -> int:
    """Let 50 users each send to one other, with so many unanswered messages at a time."""
    senders = {
        id(sender): (sender, receiver.name)
        for sender, receiver in zip(
            load.clients[:PAIRS], load.clients[PAIRS : 2 * PAIRS], strict=True
        )
    }
    answered = {key: sender.answers for key, (sender, _) in senders.items()}
    left = total

    def react(client: Client) -> None:
        nonlocal left
        if id(client) in senders:
            new = client.answers - answered[id(client)]
            if new:
                answered[id(client)] = client.answers
                left -= new
                client.message(senders[id(client)][1], TEXT, new)

    for sender, receiver in senders.values():
        sender.message(receiver, TEXT, in_flight)
    load.run_while(lambda: left > 0, react)
    return total


def run_fan_out(load: Load, in_flight: int, total: int) -> int:
    """Let one user broadcast to all others."""
    sender = load.clients[0]
    answered = sender.answers
    done = 0

    def react(client: Client) -> None:
        nonlocal answered, done
        if client is sender and client.answers > answered:
            new = client.answers - answered
            answered = client.answers
            done += new
            client.broadcast(TEXT, new)

    sender.broadcast(TEXT, in_flight)
    load.run_while(lambda: done < total, react)
    return done * (len(load.clients) - 1)


class Subject:
    """A server that is measured, and its clients."""

    def __init__(self, server: ServerProcess, context: ssl.SSLContext | None = None) -> None:
        self.server = server
        self.load = Load(context)

    def log_in(self, count: int) -> float:
        """Log in more clients; return CPU seconds of the server per 1,000 logins."""
        cpu = self.server.cpu_seconds()
        self.load.log_in(count, self.server.port)
        self.load.settle()
        return (self.server.cpu_seconds() - cpu) / count * 1000

    def measure(self, run: Callable[[Load], int]) -> tuple[float, float]:
        """Run once; return deliveries per second, and CPU seconds per million of them."""
        cpu, wall = self.server.cpu_seconds(), time.perf_counter()
        deliveries = run(self.load)
        cpu, wall = self.server.cpu_seconds() - cpu, time.perf_counter() - wall
        self.load.settle(0.2)
        return deliveries / wall, cpu / deliveries * 1e6


def compare(name: str, ours: Subject, reference: Subject, run: Callable[[Load], int]) -> None:
    """Run on both servers in turn; print a row of medians."""
    rows = [(ours.measure(run), reference.measure(run)) for _ in range(RUNS)]
    rate = statistics.median(row[0][0] for row in rows)
    cost = statistics.median(row[0][1] for row in rows)
    reference_cost = statistics.median(row[1][1] for row in rows)
    print(
        f"| {name} | {rate:,.0f} | {cost:.2f} | {reference_cost:.2f} |"
        f" {cost / reference_cost:.2f} |",
        flush=True,
    )


def main() -> None:
    """Log in, run each load, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000, help="users online (default 1000)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the work of each run")
    parser.add_argument("--tls", action="store_true", help="encrypt; the reference does not")
    arguments = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    scale = arguments.scale
    users = arguments.clients
    with (
        ServerProcess(users, cpu=cpus[0]) as server,
        ServerProcess(users, cpu=cpus[0], module="benchmarks.reference") as reference_server,
    ):
        context = pinning_context() if arguments.tls else None
        ours, reference = Subject(server, context), Subject(reference_server)
        print("| load | deliveries/s | server CPU s per million | reference | ratio |")
        print("|---|---|---|---|---|")
        for count, broadcasts in ((101, 10_000), (users - 101, 1_000)):
            login_cost = ours.log_in(count)
            reference.log_in(count)
            run = partial(run_fan_out, in_flight=64, total=int(broadcasts * scale))
            compare(f"fan-out to {len(ours.load.clients) - 1}", ours, reference, run)
        for in_flight, total in ((1, 20_000), (64, 200_000)):
            run = partial(run_pairs, in_flight=in_flight, total=int(total * scale))
            compare(f"{PAIRS} pairs, {in_flight} in flight", ours, reference, run)
        print(
            f"\n{users} clients online; {login_cost:.2f} CPU s per 1,000 logins, each told to"
            f" all the others; {server.memory_kib() / 1024:.0f} MiB resident"
        )
        ours.load.close()
        reference.load.close()


if __name__ == "__main__":
    main()
