"""How long chat waits for a backup: ``python -m benchmarks.backup --messages 1000000``.

A server whose database holds that many messages serves clients that write to users who are
offline, each waiting for its answer, so every answer needs a commit. They are timed for five
seconds, and then during three backups. The server's store is filled before it starts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

import trio

from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery
from trio_chat.storage.backup import DATABASE_NAME
from trio_chat.storage.sqlite import open_sqlite

from .load import Client
from .peers.ours import OurClient
from .server_process import ServerProcess, user_name

SENDERS = 20
FILLED = 1000
EMPTY = 200
GROUP = 2000
TEXT = b"x" * 100


async def fill(path: Path, messages: int) -> None:
    """Let messages wait for users who never come."""
    store = await open_sqlite(path)
    for first in range(1, messages + 1, GROUP):
        letters = tuple(
            (
                user_name(SENDERS + EMPTY + seq % FILLED),
                Delivery(seq, "hans", "pc", seq, TEXT.decode()),
            )
            for seq in range(first, min(first + GROUP, messages + 1))
        )
        await store.commit(Commit(first, letters, (), ()))
    await store.close()


class Senders:
    """Clients that write, each in a thread of its own.

    Attributes:
        waits: when each answer came, and after how many seconds.
    """

    def __init__(self, port: int) -> None:
        self.waits: list[tuple[float, float]] = []
        self._ended = threading.Event()
        clients: list[Client] = [OurClient(number, port) for number in range(SENDERS)]
        for client in clients:
            client.wait_for_login()
            client.sock.setblocking(True)
        self._threads = [threading.Thread(target=self._send, args=(client,)) for client in clients]
        for thread in self._threads:
            thread.start()

    def _send(self, client: Client) -> None:
        while not self._ended.is_set():
            begun, answers = time.perf_counter(), client.answers
            to = user_name(SENDERS + client.next_id % EMPTY)
            client.message(to, TEXT, 1)
            while client.answers == answers:
                client.receive()
            now = time.perf_counter()
            self.waits.append((now, now - begun))
        client.sock.close()

    def report(self, name: str, begun: float) -> None:
        """Print how long answers took since then."""
        waits = sorted(seconds * 1000 for at, seconds in list(self.waits) if at >= begun)
        p50, p99 = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
        text = (
            f"{name}: {len(waits):,} answers; ms p50 {p50:.1f}, p99 {p99:.1f}, max {waits[-1]:.1f}"
        )
        print(text, flush=True)

    def stop(self) -> None:
        """Let them end."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    server = ServerProcess(SENDERS + EMPTY + FILLED)
    trio.run(fill, server.data_dir / DATABASE_NAME, parser.parse_args().messages)
    with server:
        senders = Senders(server.port)
        begun = time.perf_counter()
        time.sleep(5)
        senders.report("no backup", begun)
        for number in range(3):
            begun = time.perf_counter()
            file = server.data_dir.parent / f"saved{number}.db"
            command = [sys.executable, "-m", "trio_chat.server", "backup"]
            subprocess.run([*command, "--data-dir", server.data_dir, file], check=True)
            senders.report("backup", begun)
        senders.stop()
        command = [sys.executable, "-m", "trio_chat.server", "status"]
        subprocess.run([*command, "--data-dir", server.data_dir], check=True)


if __name__ == "__main__":
    main()
