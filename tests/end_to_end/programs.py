"""The server, and the client with redirected input and output."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from .watch import DEADLINE_SECONDS, Watch

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]

PASSWORDS = {
    "hans": "solo",
    "yoda": "wise",
    "luke": "skywalker",
    "vader": "darkside",
    "r2d2": "beepboop",
}

WELCOME = "Welcome to the greatest messaging application ever!"
SERVER_GONE = "The server has closed the connection"
INVALID = "Error. Invalid command"
HELP = "Example: help message"


def environment(directory: Path, terminal: str = "xterm-256color") -> dict[str, str]:
    """What the programs find there: nothing of the machine that tests run on."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "TERM": terminal,
    }


class Server:
    """A server, which can be ended in several ways and started again."""

    def __init__(
        self,
        watch: Watch,
        directory: Path,
        port: int,
        block_seconds: float,
        idle_seconds: float,
        options: Sequence[str] = (),
        host: str = HOST,
    ) -> None:
        self._watch = watch
        self._host = host
        self._directory = directory
        self._port = port
        self._log = directory / "server.txt"
        self._arguments = [
            *(str(port), f"{block_seconds:g}", f"{idle_seconds:g}"),
            *("--credentials", str(directory / "credentials.txt")),
            *("--data-dir", str(directory / "data")),
            *("--host", host),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def printed(self) -> str:
        """Everything that it has ever printed."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, on the same port and with the same data each time."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trio_chat.server", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env=environment(self._directory),
            )
        self._watch.wait_until(self._answers, lambda: f"a server that answers; {self.printed}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.printed
        with suppress(OSError):
            socket.create_connection((self._host, self._port), DEADLINE_SECONDS).close()
            return True
        return False

    def kill(self) -> None:
        """Let it crash, at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def terminate(self) -> int:
        """Ask it to end; return its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        self._watch.wait_until(lambda: process.poll() is not None, lambda: "an ended server")
        return process.returncode

    def crash_and_restart(self) -> None:
        """`kill`, then `start`."""
        self.kill()
        self.start()


class Client(ABC):
    """A process of the client; see `Terminal` and `Pipe`."""

    def __init__(self, watch: Watch, process: subprocess.Popen[bytes]) -> None:
        self._watch = watch
        self._process = process

    @abstractmethod
    def _describe(self) -> str:
        """What it shows, for a failed test."""

    def kill(self) -> None:
        """Let it crash, at once; what it has written can still be seen."""
        self._process.kill()
        self._process.wait()
        while self._watch.read_all():
            pass

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait_for_exit(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        self._watch.wait_until(
            lambda: self._process.poll() is not None,
            lambda: f"an ended client; it shows:\n{self._describe()}",
        )
        while self._watch.read_all():
            pass
        return self._process.returncode

    def close(self) -> None:
        """End it, and free what it needs."""
        self._process.kill()
        self._process.wait()


class Pipe(Client):
    """A client with redirected input and output.

    Attributes:
        output: all that it has written.
        errors: all that it has written on standard error.
    """

    def __init__(self, watch: Watch, directory: Path, command: Sequence[str]) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self._lines: list[str] = []
        self._cut = 0
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=directory,
            env=environment(directory),
        )
        super().__init__(watch, process)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._input, self._output, self._errors = process.stdin, process.stdout, process.stderr
        os.set_blocking(self._input.fileno(), False)
        watch.add(process.stdout.fileno(), self.output.extend)
        watch.add(process.stderr.fileno(), self.errors.extend)

    @property
    def lines(self) -> list[str]:
        """The lines that it has written, without the welcome."""
        while (end := self.output.find(b"\n", self._cut)) >= 0:
            self._lines.append(self.output[self._cut : end].decode())
            self._cut = end + 1
            if self._lines == [WELCOME]:
                self._lines.clear()
        return self._lines

    def _describe(self) -> str:
        return f"{self.output.decode(errors='replace')}{self.errors.decode(errors='replace')}"

    def send(self, *lines: str | bytes) -> None:
        """Put lines into its input; bytes are put there as they are."""
        unsent = memoryview(
            b"".join(line if isinstance(line, bytes) else f"{line}\n".encode() for line in lines)
        )

        def send_more() -> bool:
            nonlocal unsent
            with suppress(BlockingIOError):
                unsent = unsent[os.write(self._input.fileno(), unsent) :]
            return not unsent

        self._watch.wait_until(send_more, lambda: "a client that reads its input")

    def log_in(self, user: str) -> None:
        """Log in, and see that it worked."""
        self.send(user, PASSWORDS[user])
        self._wait(lambda: self.output.startswith(f"{WELCOME}\n".encode()), WELCOME)

    def wait_for(self, line: str) -> None:
        """Wait until it has written this line."""
        self._wait(lambda: line in self.lines, line)

    def wait_for_count(self, line: str, times: int) -> None:
        """Wait until it has written this line so often."""
        self._wait(lambda: self.lines.count(line) >= times, f"{line}, {times} times")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        self._watch.wait_until(condition, lambda: f"{what}\namong\n{self._describe()}")

    def wait_until_answered(self) -> None:
        """Wait until all that was sent so far has been answered.

        What the client answers by itself comes after everything that the server answers.
        """
        answered = self.lines.count(HELP)
        self.send("help help")
        self.wait_for_count(HELP, answered + 1)

    def end_input(self) -> None:
        """There will be no more lines."""
        self._input.close()

    def close_output(self) -> None:
        """Don't read it any more."""
        self._close(self._output)

    def _close(self, file: IO[bytes]) -> None:
        if not file.closed:
            self._watch.remove(file.fileno())
            file.close()

    def ends(self, exit_code: int) -> list[str]:
        """Wait until it has ended so, without complaints; return all its lines."""
        assert self.wait_for_exit() == exit_code, self._describe()
        assert self.errors == b"", self._describe()
        return self.lines

    def close(self) -> None:
        super().close()
        with suppress(BrokenPipeError):
            self._input.close()
        self._close(self._output)
        self._close(self._errors)
