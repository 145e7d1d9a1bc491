"""200 real clients, one real server, and kill -9 for all of them: is anything lost, or doubled?

For some minutes clients do at random what people do, over TLS, on a server with its database on
the disk. At random moments the server is killed with -9 and started again on the same data, and
so are processes with a quarter of the clients each, which come back with their state directories.
Then nobody is killed any more, everybody is logged in, and what waits is delivered.

What each client has typed, what was acknowledged to it, and what it has shown stands in files
that outlive it (see `soak_worker`). Every message that was acknowledged must have been shown,
nothing may have been shown twice, and messages of one user to another must be in order. One
exception is documented, and counted by itself: a client that is killed between showing messages
and remembering them shows these again.

Exits with 1 if a message was lost, doubled or overtaken. Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec

from .server_process import ServerProcess
from .soak_worker import DRAIN, FILE_BYTES, LEAVE, SHARED_FILES, Record

SERVER_LIFE_SECONDS = (15.0, 60.0)
WORKER_LIFE_SECONDS = (5.0, 20.0)
WARM_UP_SECONDS = 10.0
DRAIN_SECONDS_MAX = 180.0
WORKERS = 4

_TEXT = re.compile(r"\w+(?:\(private\))?: (([mbp]):(\w+):(\d+)\.(\d+):(\d+))")


class Log:
    """What one process with clients has written so far.

    Attributes:
        path: of the file.
        was_killed: whether the process had no say in its end.
        count: of its lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.was_killed = False
        self.count = 0
        self._at = 0

    def read(self) -> list[Record]:
        """The lines that are new; one that a kill has cut off is none."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as stream:
            stream.seek(self._at)
            data = stream.read()
        data = data[: data.rfind(b"\n") + 1]
        self._at += len(data)
        records = msgspec.json.Decoder(Record).decode_lines(data)
        self.count += len(records)
        return records


class Observer:
    """Everything that was typed, acknowledged and shown.

    Attributes:
        typed: how many messages to others.
        acknowledged: text of each of them that was, and its receiver.
        answered: users who wait for nothing any more.
        overtaken: messages that were shown after later ones of the same sender.
    """

    def __init__(self) -> None:
        self.typed = 0
        self.overtaken = 0
        self.acknowledged: dict[str, str] = {}
        self.answered: set[str] = set()
        self._receivers: dict[str, str] = {}
        # Of each text on a screen: in which line of which file it stood first, and how often.
        self._first: dict[tuple[str, str], tuple[Log, int]] = {}
        self._again: Counter[tuple[str, str]] = Counter()
        self._latest: dict[tuple[str, str], tuple[int, ...]] = {}
        self._logs: list[Log] = []

    def watch(self, log: Log) -> None:
        self._logs.append(log)

    def look(self) -> None:
        """Read what is new."""
        for log in self._logs:
            start = log.count
            for number, record in enumerate(log.read(), start + 1):
                self._note(log, number, record)

    def _note(self, log: Log, number: int, record: Record) -> None:
        if record.typed.startswith("message "):
            _, receiver, text = record.typed.split(" ")
            self.typed += 1
            self._receivers[text] = receiver
        for text in record.acknowledged:
            self.acknowledged[text] = self._receivers[text]
        if record.answered:
            self.answered.add(record.user)
        for line in record.shown:
            found = _TEXT.fullmatch(line)
            if found is not None:
                self._note_shown(log, number, record.user, found)

    def _note_shown(self, log: Log, number: int, user: str, found: re.Match[str]) -> None:
        key = user, found[1]
        if key in self._first:
            self._again[key] += 1
            return
        self._first[key] = log, number
        if found[2] == "m":
            order = tuple(map(int, found.groups()[3:]))
            sender = user, found[3]
            self.overtaken += order < self._latest.get(sender, ())
            self._latest[sender] = max(order, self._latest.get(sender, ()))

    @property
    def received(self) -> int:
        """How many messages stand on screens; broadcasts and private ones do not count."""
        return sum(text.startswith("m:") for _, text in self._first)

    @property
    def lost(self) -> list[str]:
        """Texts that were acknowledged and never shown."""
        return [
            text
            for text, receiver in self.acknowledged.items()
            if (receiver, text) not in self._first
        ]

    def doubled(self) -> tuple[list[str], int]:
        """Texts that were shown again, of any kind; and how many more for which a kill accounts."""
        doubled, excused = [], 0
        for key, times in self._again.items():
            log, number = self._first[key]
            if log.was_killed and number == log.count and times == 1:
                excused += 1
            else:
                doubled.append(f"{key[1]} to {key[0]}")
        return doubled, excused


class Worker:
    """A process with clients, killed and started again."""

    def __init__(self, directory: Path, port: int, users: int, numbers: range) -> None:
        self.numbers = numbers
        self.log: Log
        self._directory = directory
        self._arguments = (port, users, numbers.start, numbers.stop)
        self._life = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, observer: Observer) -> None:
        self._life += 1
        self.log = Log(self._directory / f"log-{self.numbers.start}-{self._life}")
        observer.watch(self.log)
        arguments = map(str, (self._directory, self.log.path, *self._arguments, self._life))
        command = [sys.executable, "-m", "benchmarks.soak_worker", *arguments]
        self._process = subprocess.Popen(command)

    def kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError("a process with clients has ended by itself")
        self._process.kill()
        self._process.wait()
        self.log.was_killed = True

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, seconds: float) -> int:
        assert self._process is not None
        return self._process.wait(seconds)


class Soak:
    """Server, clients, and who kills them.

    Attributes:
        server_kills, worker_kills: so far.
    """

    def __init__(self, server: ServerProcess, directory: Path, clients: int, seed: int) -> None:
        self.server = server
        self.observer = Observer()
        self.server_kills = self.worker_kills = 0
        self._directory = directory
        self._chance = random.Random(seed)
        share = -(-clients // WORKERS)
        self.workers = [
            Worker(directory, server.port, clients, range(first, min(first + share, clients)))
            for first in range(0, clients, share)
        ]
        self._started = time.monotonic()
        self._early = ""

    def run(self, seconds: float) -> None:
        """Let them chat, and kill them; in the end all of them run."""
        for worker in self.workers:
            worker.start(self.observer)
        now = self._started
        end = now + seconds
        next_worker = now + self._chance.uniform(*WORKER_LIFE_SECONDS)
        next_server = now + self._chance.uniform(*SERVER_LIFE_SECONDS)
        while now < end:
            time.sleep(0.05)
            now = time.monotonic()
            if not self._early and now > self._started + WARM_UP_SECONDS:
                self._early = self._measure()
            if now > next_worker:
                worker = self._chance.choice(self.workers)
                worker.kill()
                self.worker_kills += 1
                worker.start(self.observer)
                next_worker = now + self._chance.uniform(*WORKER_LIFE_SECONDS)
            if now > next_server:
                self._tell_of_server()
                self.server.stop(signal.SIGKILL)
                self.server_kills += 1
                time.sleep(self._chance.uniform(0, 2))
                self.server.start()
                self._started = time.monotonic()
                next_server = now + self._chance.uniform(*SERVER_LIFE_SECONDS)

    def drain(self, clients: int) -> bool:
        """Wait until everybody has an answer to everything; return whether that came in time."""
        (self._directory / DRAIN).touch()
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while time.monotonic() < deadline:
            time.sleep(0.5)
            self.observer.look()
            if len(self.observer.answered) == clients and not self.observer.lost:
                break
        self._tell_of_server()
        (self._directory / LEAVE).touch()
        try:
            statuses = [worker.wait(60) for worker in self.workers]
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.observer.look()
        return not any(statuses)

    def _measure(self) -> str:
        return f"{self.server.memory_kib() / 1024:.1f} | {self.server.open_files()}"

    def _tell_of_server(self) -> None:
        """A row: the server after its first seconds, and now."""
        life = time.monotonic() - self._started
        print(
            f"| {self.server_kills + 1} | {life:.0f} | {self._early or ' | '} | {self._measure()} |"
        )
        sys.stdout.flush()
        self._early = ""


def main() -> int:
    """Run, and print what came of it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    clients = arguments.clients
    print(f"seed {arguments.seed}: decides whom to kill when\n")
    print(
        f"| server | seconds | MiB, {WARM_UP_SECONDS:.0f} s old | files | MiB at its end | files |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="trio-chat-soak-") as name,
        ServerProcess(clients, options=()) as server,
    ):
        directory = Path(name)
        for number in range(SHARED_FILES):
            (directory / f"{number}.bin").write_bytes(os.urandom(FILE_BYTES))
        soak = Soak(server, directory, clients, arguments.seed)
        try:
            soak.run(arguments.minutes * 60)
            ended_well = soak.drain(clients)
        finally:
            for worker in soak.workers:
                if worker.is_running:
                    worker.kill()
        return _judge(soak, clients, ended_well=ended_well)


def _judge(soak: Soak, clients: int, *, ended_well: bool) -> int:
    observer = soak.observer
    lost, (doubled, excused) = observer.lost, observer.doubled()
    print(
        f"\n{clients} clients; killed: server {soak.server_kills} times, a quarter of the clients"
        f" {soak.worker_kills} times"
        f"\nmessages: sent {observer.typed:,}, acknowledged {len(observer.acknowledged):,},"
        f" received {observer.received:,}"
        f"\nlost {len(lost)}, doubled {len(doubled)}, overtaken {observer.overtaken};"
        f" shown again by a kill between screen and memory: {excused}"
    )
    if not ended_well or len(observer.answered) < clients:
        print(f"not all ended as they should: {len(observer.answered)} have all their answers")
        ended_well = False
    for text in [*lost[:10], *doubled[:10]]:
        print(f"  {text}")
    return 0 if ended_well and not (lost or doubled or observer.overtaken) else 1


if __name__ == "__main__":
    sys.exit(main())
