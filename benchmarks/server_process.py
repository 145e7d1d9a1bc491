"""A real server in a process of its own, to be measured and killed. Linux only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

START_SECONDS_MAX = 20.0
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


class ServerProcess:
    """Starts, measures, kills and restarts one server.

    Attributes:
        port: where it listens, on 127.0.0.1.

    Args:
        users: how many have an account.
        cpu: the processor to run on; none for any.
        module: the program.
        entry: what stands as everybody's password; none for `password_of` each.
        options: of the program; it is told not to slow users down unless they say otherwise.
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
        self._directory = tempfile.TemporaryDirectory(prefix="trio-chat-benchmark-")
        self._path = Path(self._directory.name)
        self._cpu = cpu
        self._module = module
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        lines = (f"{user_name(number)} {entry or password_of(number)}\n" for number in range(users))
        (self._path / "credentials.txt").write_text("".join(lines))

    @property
    def data_dir(self) -> Path:
        """Where it keeps its data."""
        return self._path / "data"

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGTERM)
        self._directory.cleanup()

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        arguments = [
            *(sys.executable, "-m", self._module, str(self.port), "60", "3600"),
            *("--credentials", str(self._path / "credentials.txt")),
            *("--data-dir", str(self.data_dir), "--host", "127.0.0.1"),
            *self._options,
        ]
        self._process = subprocess.Popen(arguments)
        if self._cpu is not None:
            os.sched_setaffinity(self._process.pid, {self._cpu})
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the server did not start") from None
                time.sleep(0.02)
            else:
                return

    def stop(self, number: signal.Signals) -> None:
        """Send the server a signal, and wait for its end."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait()

    def cpu_seconds(self) -> float:
        """CPU time that the server has used, in all of its threads, system included."""
        assert self._process is not None
        # What clock_getcpuclockid(3) makes of a process id on Linux.
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def memory_kib(self, *, most: bool = False) -> int:
        """Resident memory of the server: now, or the most that it ever had."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        name = "VmHWM:" if most else "VmRSS:"
        line = next(line for line in status.splitlines() if line.startswith(name))
        return int(line.split()[1])

    def open_files(self) -> int:
        """File descriptors that the server has open."""
        assert self._process is not None
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))
