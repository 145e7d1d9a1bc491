"""Clients of several programs that move files, behind one interface: ours, libtorrent's, aria2."""

from __future__ import annotations

import abc
import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trio_chat.swarm.manifest import choose_piece_bytes

from . import torrent
from .server_process import ServerProcess, free_port, password_of, user_name

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
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self.prepare(count)
            for number in range(count):
                self.clients.append(self.start(number))
            undo.pop_all()

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
            piece_bytes = choose_piece_bytes(path.stat().st_size)
            described.write_bytes(torrent.make_torrent(path, self._tracker.address, piece_bytes))
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
