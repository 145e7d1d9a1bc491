"""Abusive clients, each kind against a server of its own: do two honest users notice?

They write to each other, one message at a time; shown is how long these took from sender to
receiver, and the most memory that the server had. Attackers run at low priority, as they would
have machines of their own, and through loopback, to which the limits by address do not apply:
whoever comes from elsewhere has 256 connections and 60 logins a minute.

Exits with 1 if a bound of docs/security.md does not hold. Linux only.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

from . import peer_port
from .attacks import ATTACKS, FIRST_USER, USERS
from .load import Load
from .probe import Probe, shown
from .server_process import ServerProcess

PEER_PORT = "peer_port"
P99_SECONDS_MAX = 0.05
MEMORY_MIB_MAX = 256


def measure(name: str, seconds: float) -> bool:
    """Run one attack, or none; print a row, and return whether the bounds held."""
    with ServerProcess(FIRST_USER + USERS, options=()) as server:
        load = Load()
        probe = Probe(load, server.port)
        arguments = ["nice", sys.executable, "-m", "benchmarks.attacks"]
        attack = subprocess.Popen([*arguments, name, str(server.port)]) if name in ATTACKS else None
        cpu, start = server.cpu_seconds(), time.monotonic()
        try:
            while time.monotonic() < start + seconds:
                probe.step()
            assert attack is None or attack.poll() is None, "the attack has ended"
        finally:
            if attack is not None:
                attack.kill()
                attack.wait()
        busy = (server.cpu_seconds() - cpu) / (time.monotonic() - start)
        memory = server.memory_kib(most=True) / 1024
        load.close()
    return _tell(name, probe.seconds, busy, memory)


def measure_peer_port(seconds: float) -> bool:
    """The same for the port of a client, and private messages; see `peer_port`."""
    with ServerProcess(peer_port.USERS, options=()) as server:
        cpu, start = server.cpu_seconds(), time.monotonic()
        took, kib = peer_port.measure(server.port, server.directory, seconds)
        busy = (server.cpu_seconds() - cpu) / (time.monotonic() - start)
    return _tell(PEER_PORT, took, busy, kib / 1024)


def _tell(name: str, seconds: list[float], busy: float, memory: float) -> bool:
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    holds = p99 <= P99_SECONDS_MAX and memory <= MEMORY_MIB_MAX
    print(
        f"| {name} | {len(seconds)} | {shown(seconds)} | {busy:.0%} | {memory:.0f} |"
        f"{'' if holds else ' TOO MUCH'}",
        flush=True,
    )
    return holds


def main() -> int:
    """Measure all kinds; print a table in Markdown; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each attack (default 10)")
    parser.add_argument("attacks", nargs="*", default=["nobody", *ATTACKS, PEER_PORT])
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"{len(os.sched_getaffinity(0))} processors\n")
    print("| attack | messages | p50 ms | p99 ms | max ms | server busy | server MiB |")
    print("|---|---|---|---|---|---|---|")
    held = [
        measure_peer_port(arguments.seconds)
        if name == PEER_PORT
        else measure(name, arguments.seconds)
        for name in arguments.attacks
    ]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
