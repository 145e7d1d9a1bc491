"""What a delivery costs the server: CPU seconds per million, for pairs and for fan-out.

Each message is acknowledged by its receiver and then answered to its sender, with the
store on disk as in real use. The server is pinned to one core, the clients to another, so
the figures are the server's own whatever the clients cost.

Linux only: it reads the server's CPU clock.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

from .load import Client, Load
from .server_process import ServerProcess

TEXT = b"x" * 64
PAIRS = 50


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


def measure(name: str, server: ServerProcess, load: Load, run: Callable[[], int]) -> None:
    """Run once, and print a row."""
    load.settle()
    cpu, wall = server.cpu_seconds(), time.perf_counter()
    deliveries = run()
    cpu, wall = server.cpu_seconds() - cpu, time.perf_counter() - wall
    print(
        f"| {name} | {deliveries:,} | {deliveries / wall:,.0f} | {cpu / deliveries * 1e6:.2f} |",
        flush=True,
    )
    load.settle()


def main() -> None:
    """Log in, run each load, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000, help="users online (default 1000)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the work of each run")
    arguments = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    server_cpu, load_cpu = cpus[0], cpus[-1]
    os.sched_setaffinity(0, {load_cpu})
    scale = arguments.scale
    with ServerProcess(arguments.clients, cpu=server_cpu) as server:
        load = Load()
        load.log_in(101, server.port)
        print("| load | deliveries | per second | server CPU s per million |")
        print("|---|---|---|---|")
        measure("fan-out to 100", server, load, lambda: run_fan_out(load, 64, int(20_000 * scale)))
        cpu = server.cpu_seconds()
        before = len(load.clients)
        load.log_in(arguments.clients - before, server.port)
        logins = len(load.clients) - before
        login_cpu = (server.cpu_seconds() - cpu) / logins * 1000
        name = f"fan-out to {len(load.clients) - 1}"
        measure(name, server, load, lambda: run_fan_out(load, 64, int(2_000 * scale)))
        for in_flight, total in ((1, 50_000), (64, 500_000)):
            measure(
                f"{PAIRS} pairs, {in_flight} in flight",
                server,
                load,
                partial(run_pairs, load, in_flight, int(total * scale)),
            )
        print(
            f"\n{len(load.clients)} clients online; {login_cpu:.2f} CPU s per 1,000 logins"
            f" (each told to all the others); {server.memory_kib() / 1024:.0f} MiB resident"
        )
        load.close()


if __name__ == "__main__":
    main()
