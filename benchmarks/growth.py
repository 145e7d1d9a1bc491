"""Cost grows as the work grows: the same work among more people, and after more history.

- A message between two users, while 10 to 5,000 are online; and a login, of which all are told.
- ``whoelsesince`` for the few who left lately, when everybody else left in the course of a year.
- A login with ten messages waiting, beside a million that wait for others.
- The start of a server with a million stored messages and 100,000 users.

Linux only, for CPU times.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path

import apsw
import trio

from trio_chat.core.presence import Presence
from trio_chat.storage.sqlite import open_sqlite

from .peers.ours import Encrypted, OurClient
from .scenarios import Trial
from .server_process import ServerProcess, user_name

ONLINE = (10, 100, 1000, 5000)
PAIRS = 5
IN_FLIGHT = 16
LOGINS = 50
USERS = 100_000
MESSAGES = 1_000_000
LATELY = 10
YEAR_SECONDS = 365 * 86_400.0


def among_many(online: Iterable[int], cpu: int) -> None:
    """Messages and logins among more and more who are online."""
    print("| online | CPU s per million deliveries | CPU ms per login | the same, per 1,000 told |")
    print("|---|---|---|---|")
    with Encrypted.start(max(online) + LOGINS, cpu) as process:
        trial = Trial(Encrypted, process)
        for count in online:
            trial.log_in(count - len(trial.load.clients))
            costs = [trial.pairs(PAIRS, IN_FLIGHT, 1.0).cpu_per_million for _ in range(3)]
            login = trial.log_in(LOGINS).cpu_per_million / 1000
            for client in trial.load.clients[count:]:
                client.sock.close()
            del trial.load.clients[count:]
            trial.load.settle(1.0)
            told = login / count * 1000
            print(f"| {count:,} | {sorted(costs)[1]:.2f} | {login:.2f} | {told:.2f} |", flush=True)
        trial.load.close()


def after_a_year() -> None:
    """`Presence.others_since`, for the same answer out of little and out of much history."""
    for users in (LATELY + 1, USERS):
        presence = Presence()
        for number in range(users):
            presence.log_in(user_name(number), number + 1)
            presence.log_out(user_name(number), number / users * YEAR_SECONDS)
        since = (users - LATELY) / users * YEAR_SECONDS
        begun = time.perf_counter()
        for _ in range(1000):
            found = presence.others_since("nobody", since)
        microseconds = (time.perf_counter() - begun) * 1e3
        print(f"whoelsesince, {len(found)} of {users:,} who have left: {microseconds:.1f} us")


def fill(path: Path) -> None:
    """Ten messages for each of 100,000 users, as the server has stored them."""

    async def make() -> None:
        await (await open_sqlite(path)).close()

    trio.run(make)
    database = apsw.Connection(str(path))
    with database:
        database.executemany(
            "INSERT INTO messages (recipient, seq, sender, client, id, text)"
            " VALUES (?, ?, 'user0', 'pc', ?, ?)",
            (
                (user_name(seq % USERS), seq, seq, f"a text of usual length, number {seq}")
                for seq in range(1, MESSAGES + 1)
            ),
        )
    database.close()


def with_a_million(cpu: int) -> None:
    """Start with much that is stored; then log in."""
    process = ServerProcess(USERS, cpu=cpu)
    fill(process.directory / "data" / "chat.db")
    with process:
        print(f"start, {MESSAGES:,} messages and {USERS:,} users: {process.start_seconds:.2f} s")
        begun = time.perf_counter()
        client = OurClient(1, process.port)
        client.wait_for_login()
        while client.deliveries < MESSAGES // USERS:
            client.receive()
        milliseconds = (time.perf_counter() - begun) * 1e3
        print(f"login, with {client.deliveries} of them: {milliseconds:.1f} ms")
        client.sock.close()


def main() -> None:
    """Measure; print a table and some lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--online", type=int, nargs="*", default=ONLINE)
    arguments = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    among_many(arguments.online, cpus[0])
    print()
    after_a_year()
    with_a_million(cpus[0])


if __name__ == "__main__":
    main()
