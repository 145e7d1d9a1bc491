"""What many logins at once cost those who are already online.

Two users write to each other, one message at a time; meanwhile 200 others log in, all at
once. Shown are how many logins a second were done, and how long the messages took from
sender to receiver: first with nobody logging in, then during the logins. All of it against
argon2id entries, against plain ones, and with session tokens of connections that seem to last,
as after the loss of a network. Linux only.
"""

from __future__ import annotations

import argparse
import os
import time

from trio_chat.server.credentials import HASHER

from .load import Client, Load
from .peers.ours import OurClient
from .probe import QUIET_SECONDS, Probe, shown
from .server_process import ServerProcess, password_of, user_name

TOKEN = "token"


def greeting(user: str, login: bytes) -> bytes:
    """The first lines of a client that wants a token."""
    hello = b'{"type":"hello","version":1,"client":"pc-%s","capabilities":["resume"]}\n'
    return hello % user.encode() + login


def begin_login(number: int, port: int) -> Client:
    """Log in with the password."""
    return OurClient(number, port, password=password_of(0))


def begin_resume(lost: OurClient, number: int, port: int) -> Client:
    """Log in with the token of a connection."""
    line = b'{"type":"resume","id":1,"user":"%s","token":"%s"}\n'
    return OurClient(
        number, port, greeting=greeting(lost.name, line % (lost.name.encode(), lost.token))
    )


def tokens(numbers: range, port: int) -> list[OurClient]:
    """Connections of users that have tokens, and then say and read nothing more."""
    line = b'{"type":"login","id":1,"user":"%s","password":"%s"}\n'
    clients = []
    for number in numbers:
        user = user_name(number)
        login = line % (user.encode(), password_of(0).encode())
        clients.append(OurClient(number, port, greeting=greeting(user, login)))
        clients[-1].wait_for_login()
    return clients


def measure(name: str, entry: str | None, count: int) -> None:
    """Log so many in at once; print two rows, without and with that."""
    with ServerProcess(count + 2, entry=entry) as server:
        load = Load()
        probe = Probe(load, server.port, password_of(0))
        end = time.perf_counter() + QUIET_SECONDS
        while time.perf_counter() < end:
            probe.step()
        print(f"| {name}, nobody logs in | | {len(probe.seconds)} | {shown(probe.seconds)} |")

        numbers = range(2, count + 2)
        lost = tokens(numbers, server.port) if name == TOKEN else []
        load.settle()
        probe.seconds.clear()
        start = time.perf_counter()
        if name == TOKEN:
            waiting = [
                begin_resume(client, number, server.port)
                for client, number in zip(lost, numbers, strict=True)
            ]
        else:
            waiting = [begin_login(number, server.port) for number in numbers]
        for client in waiting:
            load.add(client)
        while waiting:
            probe.step()
            waiting = [client for client in waiting if not client.logged_in]
        rate = count / (time.perf_counter() - start)
        print(
            f"| {name}, {count} log in | {rate:,.0f} | {len(probe.seconds)} |"
            f" {shown(probe.seconds)} |",
            flush=True,
        )
        load.close()
        for client in lost:
            client.sock.close()


def main() -> None:
    """Measure all kinds of logins; print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logins", type=int, default=200, help="at once (default 200)")
    parser.add_argument("--runs", type=int, default=3, help="of each kind (default 3)")
    arguments = parser.parse_args()
    hashed = HASHER.hash(password_of(0))  # one for all: making it takes as long as a login
    print(f"{len(os.sched_getaffinity(0))} processors\n")
    print("| entries | logins/s | messages | p50 ms | p99 ms | max ms |")
    print("|---|---|---|---|---|---|")
    plain = password_of(0)
    for name, entry in (("argon2id", hashed), ("plain", plain), (TOKEN, plain)):
        for _ in range(arguments.runs):
            measure(name, entry, arguments.logins)


if __name__ == "__main__":
    main()
