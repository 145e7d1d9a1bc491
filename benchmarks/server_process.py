"""A real server in a process of its own, to be measured and killed. Linux only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS_MAX = 30.0
SERVER = "trio_chat.server"


def user_name(number: int) -> str:
    """The name of a user of the benchmarks."""
    return f"user{number}"


def password_of(number: int) -> str:
    """The password of that user."""
    return f"password{number}"


def free_port() -> int:
    """A TCP port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


class Process:
    """Starts, measures, kills and restarts one program that listens on a port.

    Attributes:
        directory: for its files; it is gone when the block ends.
        port: where it listens, on 127.0.0.1.
        command: its arguments; must be set before `start`.
        environment: added to ours.
        start_seconds: that the latest start has taken.

    Args:
        cpu: the processor to run on; none for any.
    """

    command: Sequence[str]

    def __init__(self, cpu: int | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="trio-chat-benchmark-")
        self.directory = Path(self._temporary.name)
        self.port = free_port()
        self.environment: dict[str, str] = {}
        self.start_seconds = 0.0
        self._cpu = cpu
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data_dir(self) -> Path:
        """Where it keeps its data."""
        return self.directory / "data"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGTERM)
        self._temporary.cleanup()

    def start(self) -> None:
        """Start the program, and wait until it listens."""
        pinned = [] if self._cpu is None else ["taskset", "--cpu-list", str(self._cpu)]
        with (self.directory / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [*pinned, *self.command],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output if pinned else None,
                start_new_session=True,
            )
        begun = time.monotonic()
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                if self._process.poll() is not None or time.monotonic() > begun + START_SECONDS_MAX:
                    said = (self.directory / "output.txt").read_text(errors="replace")
                    raise RuntimeError(f"{self.command[0]} did not start: {said}") from None
                time.sleep(0.02)
            else:
                self.start_seconds = time.monotonic() - begun
                return

    def stop(self, number: signal.Signals) -> None:
        """Send the program and its children a signal, and wait for its end."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        self._process.wait()

    def cpu_seconds(self) -> float:
        """CPU time that it has used, in all of its threads and children, system included."""
        # What clock_getcpuclockid(3) makes of a process id on Linux.
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._pids())

    def memory_kib(self, *, most: bool = False) -> int:
        """Resident memory of the program and its children: now, or the most it ever was."""
        return sum(_resident_kib(pid, "VmHWM:" if most else "VmRSS:") for pid in self._pids())

    def open_files(self) -> int:
        """File descriptors that the program has open."""
        assert self._process is not None
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def _pids(self) -> Iterator[int]:
        assert self._process is not None
        waiting = [self._process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())


def _resident_kib(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1])


class ServerProcess(Process):
    """Our own server.

    Args:
        users: how many have an account.
        cpu: the processor to run on; none for any.
        module: the program.
        entry: what stands as everybody's password; none for `password_of` each.
        options: more of them; by default the server is told not to slow users down.
    """

    def __init__(
        self,
        users: int,
        *,
        cpu: int | None = None,
        module: str = SERVER,
        entry: str | None = None,
        options: Sequence[str] = ("--rate", "0"),
    ) -> None:
        super().__init__(cpu)
        credentials = self.directory / "credentials.txt"
        lines = (f"{user_name(number)} {entry or password_of(number)}\n" for number in range(users))
        credentials.write_text("".join(lines))
        self.command = [
            *(sys.executable, "-m", module, str(self.port), "60", "3600"),
            *("--credentials", str(credentials), "--data-dir", str(self.data_dir)),
            *("--host", "127.0.0.1", *options),
        ]
