"""How fast files move between clients, beside what aria2 and libtorrent do on the same machine.

Measured are real clients in processes of their own, from the moment when those who fetch are
told to, until the last of them says that the file is complete. All are running by then, and
those who share have hashed the file. The file is random and in the page cache, and all cut it
into pieces of the same size. The scenarios:

- one: from one client to another.
- four: from one to four at once, who also pass on to each other what they have.
- limited: the same, where nobody uploads more than 20 MB/s. No swarm is faster than its bound:
  the seed must send the file once, and all together must send it four times.
- holders: from four who have it to one.
- small: a file of 1 KiB, ten times; this is what it takes to begin and to end.
- kill: whoever fetches is killed with half of the file, started again, and told to fetch it
  again. Bytes beyond the size were moved twice.
- chat: how long messages between two others take while a file moves, and a control without.

Shown are medians. CPU time is that of all clients, system included, but not of the server or
the tracker. Ours encrypts and verifies with BLAKE3, and a download that is complete has been
synchronised to the disk; the others move clear text, verify with SHA-1 and leave the disk to
the system. ``--directory`` on a file system in memory takes the disk out of it. Linux only.
"""

from __future__ import annotations

import abc
import argparse
import contextlib
import filecmp
import os
import re
import selectors
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import torrent
from .load import Load
from .logins import QUIET_SECONDS, Probe, shown
from .server_process import ServerProcess, free_port, password_of, user_name

MIB = 2**20
LIMITED_MIB_MAX = 256
LIMIT_BYTES = 20_000_000  # per second
RECEIVERS = 4
SMALL_FILES = 10
SMALL_BYTES = 1024
WAIT_SECONDS_MAX = 300.0
LAST_LINES = 80


class Process:
    """A client, which is told what to do and says what it has done.

    It has a process group of its own, as programs may be started by a script.
    """

    def __init__(self, *arguments: str | Path) -> None:
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        self._poll = selectors.DefaultSelector()
        self._poll.register(self._output, selectors.EVENT_READ)
        self._said = b""
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def say(self, line: str) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def heard(self, pattern: str, seconds: float = 0.0) -> re.Match[str] | None:
        """The next line that matches, which is then taken with all before it; none if late.

        Raises:
            RuntimeError: if it has ended, or reports an error.
        """
        deadline = time.monotonic() + seconds
        while True:
            while b"\n" in self._said:
                line, _, self._said = self._said.partition(b"\n")
                text = line.decode(errors="replace")
                if match := re.search(pattern, text):
                    return match
                self._last.append(text)
                if "Error." in text or "[ERROR]" in text:
                    raise RuntimeError(f"it said: {text}")
            if not self._poll.select(max(0.0, deadline - time.monotonic())):
                return None
            data = os.read(self._output, 65536)
            if not data:
                raise RuntimeError("\n".join(["a client has ended; it said:", *self._last]))
            self._said += data

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The same; being late is an error, too."""
        match = self.heard(pattern, WAIT_SECONDS_MAX)
        if match is None:
            raise RuntimeError(f"a client did not say {pattern!r} in time")
        return match

    def _family(self, pid: int) -> Iterator[int]:
        yield pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from self._family(int(child))

    def cpu_seconds(self) -> float:
        """CPU time that it has used, in all of its threads, system included."""
        # What clock_getcpuclockid(3) makes of a process id on Linux.
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._family(self._process.pid))

    def read_bytes(self) -> int:
        """How much it has read from files and pipes, but not from sockets."""
        status = Path(f"/proc/{self._process.pid}/io").read_text()
        return int(re.findall(r"rchar: (\d+)", status)[0])

    def kill(self) -> None:
        """End it as a loss of power would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._poll.close()


class Swarm(abc.ABC):
    """The running clients of one program, numbered from 0.

    Attributes:
        clients: their processes.

    Args:
        directory: for what they write; an empty one.
        count: of clients.
        rate: bytes per second that each may upload; none for no limit.
    """

    def __init__(self, directory: Path, count: int, rate: int | None) -> None:
        self.directory = directory
        self.rate = rate
        self.clients: list[Process] = []
        self._cleanup = contextlib.ExitStack()
        try:
            self.prepare(count)
            for number in range(count):
                self.clients.append(self.start(number))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all of it."""
        for client in self.clients:
            client.kill()
        self._cleanup.close()

    def downloads(self, number: int) -> Path:
        """Where a client puts what it fetches."""
        path = self.directory / f"downloads{number}"
        path.mkdir(exist_ok=True)
        return path

    @abc.abstractmethod
    def prepare(self, count: int) -> None:
        """Do what must be done before the clients are started."""

    @abc.abstractmethod
    def start(self, number: int) -> Process:
        """Start a client; it is ready when this returns."""

    @abc.abstractmethod
    def share(self, number: int, path: Path) -> None:
        """Let a client serve a file; it does when this returns."""

    @abc.abstractmethod
    def fetch(self, number: int, path: Path) -> None:
        """Tell a client to fetch that file."""

    @abc.abstractmethod
    def fetched(self, number: int, path: Path, seconds: float = WAIT_SECONDS_MAX) -> bool:
        """Wait until it is complete; return whether it is."""

    @abc.abstractmethod
    def share_of(self, number: int, size: int) -> float:
        """Which part of all that was fetched (in bytes) came from a client."""

    @abc.abstractmethod
    def sent_bytes(self, number: int) -> int:
        """How much of files a client has sent."""

    def restart(self, number: int) -> None:
        """Kill a client, and start it again."""
        self.clients[number].kill()
        self.clients[number] = self.start(number)

    def cpu_seconds(self) -> float:
        """CPU time that all clients together have used."""
        return sum(client.cpu_seconds() for client in self.clients)


class Ours(Swarm):
    """The client of trio-chat, and a server."""

    title = "trio-chat"

    def prepare(self, count: int) -> None:
        self._server = self._cleanup.enter_context(ServerProcess(count))
        self._from: dict[str, float] = {}
        self._read_before: dict[int, int] = {}

    def start(self, number: int) -> Process:
        limit = () if self.rate is None else ("--upload-limit", str(self.rate))
        client = Process(
            *(sys.executable, "-m", "trio_chat.client", "127.0.0.1", str(self._server.port)),
            *("--state-dir", self.directory / f"state{number}"),
            *("--download-dir", self.downloads(number), "--peer-host", "127.0.0.1", *limit),
        )
        client.say(user_name(number))
        client.say(password_of(number))
        client.wait_for("^Welcome")
        return client

    def share(self, number: int, path: Path) -> None:
        self.clients[number].say(f"register {path}")
        self.clients[number].wait_for("^Ok. ")
        self._read_before[number] = self.clients[number].read_bytes()

    def fetch(self, number: int, path: Path) -> None:
        self.clients[number].say(f"download {path.name}")

    def fetched(self, number: int, path: Path, seconds: float = WAIT_SECONDS_MAX) -> bool:
        match = self.clients[number].heard(
            rf"^Downloaded {re.escape(path.name)}, .*?; from (.*): ", seconds
        )
        if match is None:
            return False
        for user, percent in re.findall(r"(\S+) (\d+)%", match[1]):
            part = int(percent) / 100 * path.stat().st_size
            self._from[user] = self._from.get(user, 0.0) + part
        return True

    def share_of(self, number: int, size: int) -> float:
        return self._from.get(user_name(number), 0.0) / size

    def sent_bytes(self, number: int) -> int:
        # It does not tell; but it reads each piece when it is about to send it.
        return self.clients[number].read_bytes() - self._read_before[number]


class Torrents(Swarm):
    """What is the same for all programs that speak BitTorrent."""

    def prepare(self, count: int) -> None:
        self._tracker = self._cleanup.enter_context(torrent.Tracker())
        self.ports = [0] * count

    def new_port(self, number: int) -> int:
        """A port for a client, which the tracker knows."""
        self.ports[number] = free_port()
        self._tracker.ports = self.ports
        return self.ports[number]

    def torrent_of(self, path: Path) -> Path:
        """The description of a file."""
        described = self.directory / f"{path.name}.torrent"
        if not described.exists():
            described.write_bytes(torrent.make_torrent(path, self._tracker.address))
        return described

    def share_of(self, number: int, size: int) -> float:
        return self.sent_bytes(number) / size


class Libtorrent(Torrents):
    """Small programs around libtorrent; see `torrent.Peer`."""

    title = "libtorrent"
    python: str

    def start(self, number: int) -> Process:
        port = self.new_port(number)
        client = Process(self.python, torrent.__file__, str(port), str(self.rate or 0))
        client.wait_for("^Ready$")
        return client

    def share(self, number: int, path: Path) -> None:
        self.clients[number].say(f"share\t{self.torrent_of(path)}\t{path.parent}")
        self.clients[number].wait_for(f"^Shared {re.escape(path.name)}$")

    def fetch(self, number: int, path: Path) -> None:
        others = "\t".join(str(port) for port in self.ports if port != self.ports[number])
        self.clients[number].say(
            f"fetch\t{self.torrent_of(path)}\t{self.downloads(number)}\t{others}"
        )

    def fetched(self, number: int, path: Path, seconds: float = WAIT_SECONDS_MAX) -> bool:
        pattern = f"^Downloaded {re.escape(path.name)}$"
        return self.clients[number].heard(pattern, seconds) is not None

    def sent_bytes(self, number: int) -> int:
        self.clients[number].say("sent")
        return int(self.clients[number].wait_for(r"^Sent (\d+)$")[1])


class Aria2(Torrents):
    """aria2, told what to do by XML-RPC."""

    title = "aria2"
    program: str

    def prepare(self, count: int) -> None:
        super().prepare(count)
        self._ids: dict[int, list[str]] = {}
        self._rpc: dict[int, Any] = {}

    def start(self, number: int) -> Process:
        rpc = free_port()
        options = [
            *("--no-conf", "--enable-rpc", f"--rpc-listen-port={rpc}", "--disable-ipv6"),
            *("--enable-dht=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false"),
            *("--file-allocation=none", "--seed-ratio=0.0"),
            *("--bt-max-peers=0", "--bt-tracker-interval=1"),
            *("--bt-request-peer-speed-limit=1000M", "--max-concurrent-downloads=100"),
            *("--show-console-readout=false", "--summary-interval=0", "--async-dns=false"),
            # It does not say when a file is complete; so it runs what does.
            f"--on-bt-download-complete={shutil.which('echo')}",
            f"--max-overall-upload-limit={self.rate or 0}",
            f"--listen-port={self.new_port(number)}",
        ]
        client = Process(self.program, *options)
        self._rpc[number] = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{rpc}/rpc").aria2
        self._ids[number] = []
        until(lambda: self._answers(number, client))
        return client

    def _answers(self, number: int, client: Process) -> bool:
        try:
            self._rpc[number].getVersion()
        except ConnectionRefusedError:
            client.heard("(?!)")  # nothing; but it notices the end
            return False
        return True

    def _add(self, number: int, path: Path, options: dict[str, str]) -> str:
        described = xmlrpc.client.Binary(self.torrent_of(path).read_bytes())
        added = str(self._rpc[number].addTorrent(described, [], options))
        self._ids[number].append(added)
        return added

    def share(self, number: int, path: Path) -> None:
        added = self._add(number, path, {"dir": str(path.parent), "bt-seed-unverified": "true"})
        rpc = self._rpc[number]
        until(lambda: rpc.tellStatus(added, ["seeder"]).get("seeder") == "true")

    def fetch(self, number: int, path: Path) -> None:
        # What an earlier try has left is of use only if it is verified.
        begun = (self.downloads(number) / path.name).exists()
        options = {"dir": str(self.downloads(number)), "check-integrity": str(begun).lower()}
        self._add(number, path, options)

    def fetched(self, number: int, path: Path, seconds: float = WAIT_SECONDS_MAX) -> bool:
        pattern = rf"^\w+ 1 .*/{re.escape(path.name)}$"
        return self.clients[number].heard(pattern, seconds) is not None

    def sent_bytes(self, number: int) -> int:
        rpc = self._rpc[number]
        return sum(
            int(rpc.tellStatus(added, ["uploadLength"])["uploadLength"])
            for added in self._ids[number]
        )


Program = type[Ours] | type[Libtorrent] | type[Aria2]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("a client is not ready in time")
        time.sleep(0.002)


# -- Scenarios -------------------------------------------------------------------------------


@dataclass
class Plan:
    """What to measure, and where.

    Attributes:
        directory: an empty one, for everything.
        mib: the size of the large files.
    """

    directory: Path
    mib: int

    @contextlib.contextmanager
    def swarm(self, program: Program, count: int, rate: int | None = None) -> Iterator[Swarm]:
        """Running clients, and nothing of them afterwards."""
        directory = self.directory / "swarm"
        directory.mkdir()
        try:
            with contextlib.closing(program(directory, count, rate)) as swarm:
                yield swarm
        finally:
            shutil.rmtree(directory)

    def file(self, size: int, name: str = "data.bin") -> Path:
        """A random file; the one of before if that will do."""
        path = self.directory / name
        if not path.exists() or path.stat().st_size != size:
            with path.open("wb") as file:
                for start in range(0, size, MIB):
                    file.write(os.urandom(min(MIB, size - start)))
        return path


def check(swarm: Swarm, number: int, path: Path) -> None:
    """See whether what was fetched is right."""
    if not filecmp.cmp(path, swarm.downloads(number) / path.name, shallow=False):
        raise RuntimeError("what was fetched is not what was shared")


def transfer(
    plan: Plan, program: Program, mib: int, seeds: int, receivers: int, rate: int | None
) -> list[float]:
    """Move a file to all receivers: seconds, MB/s, CPU seconds per GiB, per cent of the seed."""
    path = plan.file(mib * MIB)
    moved = receivers * path.stat().st_size
    with plan.swarm(program, seeds + receivers, rate) as swarm:
        for number in range(seeds):
            swarm.share(number, path)
        cpu = swarm.cpu_seconds()
        start = time.perf_counter()
        for number in range(seeds, seeds + receivers):
            swarm.fetch(number, path)
        for number in range(seeds, seeds + receivers):
            if not swarm.fetched(number, path):
                raise RuntimeError("a file was not complete in time")
        seconds = time.perf_counter() - start
        cpu = swarm.cpu_seconds() - cpu
        for number in range(seeds, seeds + receivers):
            check(swarm, number, path)
        share = swarm.share_of(0, moved)
    return [seconds, moved / seconds / 1e6, cpu / (moved / 2**30), share * 100]


def small(plan: Plan, program: Program) -> list[float]:
    """Move small files, one by one: the median and the longest time, in milliseconds."""
    times = []
    with plan.swarm(program, 2) as swarm:
        paths = [plan.file(SMALL_BYTES, f"small{number}.bin") for number in range(SMALL_FILES)]
        for path in paths:
            swarm.share(0, path)
        for path in paths:
            start = time.perf_counter()
            swarm.fetch(1, path)
            if not swarm.fetched(1, path):
                raise RuntimeError("a small file was not complete in time")
            times.append((time.perf_counter() - start) * 1000)
            check(swarm, 1, path)
    return [statistics.median(times), max(times)]


def allocated_bytes(directory: Path) -> int:
    """What the files of a directory take on the disk; holes take nothing."""
    size = 0
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has just got another name
            size += path.stat().st_blocks * 512
    return size


def kill(plan: Plan, program: Program) -> list[float]:
    """Kill whoever fetches: per cent that were there, seconds for the rest, pieces sent twice."""
    path = plan.file(plan.mib * MIB)
    size = path.stat().st_size
    with plan.swarm(program, 2) as swarm:
        swarm.share(0, path)
        swarm.fetch(1, path)
        until(lambda: allocated_bytes(swarm.downloads(1)) >= size / 2)
        swarm.clients[1].kill()
        there = allocated_bytes(swarm.downloads(1))
        swarm.restart(1)
        start = time.perf_counter()
        swarm.fetch(1, path)
        if not swarm.fetched(1, path):
            raise RuntimeError("the second try did not end in time")
        seconds = time.perf_counter() - start
        check(swarm, 1, path)
        twice = (swarm.sent_bytes(0) - size) / torrent.piece_bytes_of(size)
    return [there / size * 100, seconds, twice]


def chat(plan: Plan, program: Program | None) -> str:
    """Let two users write to each other while a file moves; return cells of a table."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServerProcess(2, entry=password_of(0)))
        load = Load()
        stack.callback(load.close)
        probe = Probe(load, server.port)
        if program is None:
            end = time.perf_counter() + QUIET_SECONDS
            while time.perf_counter() < end:
                probe.step()
        else:
            path = plan.file(plan.mib * MIB)
            swarm = stack.enter_context(plan.swarm(program, 2))
            swarm.share(0, path)
            swarm.fetch(1, path)
            while not swarm.fetched(1, path, 0.0):
                probe.step()
        return f"{len(probe.seconds)} | {shown(probe.seconds)}"


# -- Tables ----------------------------------------------------------------------------------


def table(
    title: str,
    columns: str,
    programs: list[Program],
    runs: int,
    measure: Callable[[Program], list[float]],
) -> None:
    """Measure all programs in turn, so often, and print the medians."""
    results: dict[Program, list[list[float]]] = {program: [] for program in programs}
    for _ in range(runs):
        for program in programs:
            results[program].append(measure(program))
    print(f"\n{title}; load {os.getloadavg()[0]:.1f}\n")
    print(f"| program | {columns} |")
    print("|---" * (columns.count("|") + 2) + "|")
    for program, rows in results.items():
        cells = (f"{statistics.median(values):.2f}" for values in zip(*rows, strict=True))
        print(f"| {program.title} | {' | '.join(cells)} |", flush=True)


def table_of_transfer(
    plan: Plan, programs: list[Program], runs: int, seeds: int, receivers: int
) -> None:
    """Transfers at full speed."""
    columns = "seconds to the last | MB/s | CPU s per GiB | % from the seed"
    title = f"{seeds} to {receivers}, {plan.mib} MiB"
    table(
        title,
        columns,
        programs,
        runs,
        lambda program: transfer(plan, program, plan.mib, seeds, receivers, None),
    )


def table_of_limited(plan: Plan, programs: list[Program], runs: int) -> None:
    """Transfers with a limit, and how far they are from what is possible."""
    mib = min(plan.mib, LIMITED_MIB_MAX)
    size = mib * MIB
    bound = max(size / LIMIT_BYTES, RECEIVERS * size / (LIMIT_BYTES * (1 + RECEIVERS)))
    columns = "seconds to the last | MB/s | CPU s per GiB | % from the seed | times the bound"

    def measure(program: Program) -> list[float]:
        row = transfer(plan, program, mib, 1, RECEIVERS, LIMIT_BYTES)
        return [*row, row[0] / bound]

    title = f"1 to {RECEIVERS}, {mib} MiB, 20 MB/s each; bound {bound:.2f} s"
    table(title, columns, programs, runs, measure)


def table_of_chat(plan: Plan, programs: list[Program], runs: int) -> None:
    """Messages beside a transfer; percentiles are shown for each run."""
    print(f"\nMessages beside 1 to 1, {plan.mib} MiB; load {os.getloadavg()[0]:.1f}\n")
    print("| beside | messages | p50 ms | p99 ms | max ms |")
    print("|---|---|---|---|---|")
    for _ in range(runs):
        print(f"| nothing | {chat(plan, None)} |", flush=True)
        for program in programs:
            print(f"| {program.title} | {chat(plan, program)} |", flush=True)


Table = Callable[[Plan, list[Program], int], None]

SCENARIOS: dict[str, Table] = {
    "one": lambda plan, programs, runs: table_of_transfer(plan, programs, runs, 1, 1),
    "four": lambda plan, programs, runs: table_of_transfer(plan, programs, runs, 1, RECEIVERS),
    "limited": table_of_limited,
    "holders": lambda plan, programs, runs: table_of_transfer(plan, programs, runs, RECEIVERS, 1),
    "small": lambda plan, programs, runs: table(
        f"{SMALL_FILES} files of 1 KiB, one by one",
        "median ms | max ms",
        programs,
        runs,
        lambda program: small(plan, program),
    ),
    "kill": lambda plan, programs, runs: table(
        f"Killed at half of {plan.mib} MiB",
        "% there | seconds for the rest | pieces sent twice",
        programs,
        runs,
        lambda program: kill(plan, program),
    ),
    "chat": table_of_chat,
}


def find_programs(python: str, aria2: str) -> list[Program]:
    """Those that are here; says which are not."""
    programs: list[Program] = [Ours]
    found = subprocess.run([python, "-c", "import libtorrent"], capture_output=True, check=False)
    if found.returncode == 0:
        Libtorrent.python = python
        programs.append(Libtorrent)
    else:
        print("libtorrent is left out: --libtorrent-python names no Python that has it")
    program = shutil.which(aria2)
    if program is not None:
        Aria2.program = program
        programs.append(Aria2)
    else:
        print("aria2 is left out: --aria2 names no program")
    return programs


def main() -> None:
    """Measure; print a table in Markdown for each scenario."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="(default: all)")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="(default 1024)")
    parser.add_argument("--runs", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--directory", type=Path, help="(default: that for temporary files)")
    parser.add_argument("--aria2", default="aria2c", metavar="PATH", help="(default: aria2c)")
    parser.add_argument(
        "--libtorrent-python",
        default=sys.executable,
        metavar="PATH",
        help="an interpreter that can import libtorrent (default: this one)",
    )
    arguments = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} processors")
    programs = find_programs(arguments.libtorrent_python, arguments.aria2)
    with tempfile.TemporaryDirectory(
        prefix="trio-chat-benchmark-", dir=arguments.directory
    ) as directory:
        plan = Plan(Path(directory), arguments.size)
        for name in arguments.only or SCENARIOS:
            SCENARIOS[name](plan, programs, arguments.runs)


if __name__ == "__main__":
    main()
