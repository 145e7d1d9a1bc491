"""The real programs in processes of their own, on free ports of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_lines, server_message_decoder

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


class Talker:
    """A client on a real socket, one line after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self._decoder = server_message_decoder()
        self._unread: list[wire.ServerMessage] = []

    def send(self, *requests: wire.Request) -> None:
        self._socket.sendall(encode_lines(requests))

    def next(self) -> wire.ServerMessage | None:
        """The next message; none at the end of the connection."""
        while not self._unread:
            data = self._socket.recv(65536)
            if not data:
                return None
            self._unread = self._decoder.feed(data)
        return self._unread.pop(0)

    def log_in(self, user: str, password: str) -> None:
        self.send(wire.Hello(wire.PROTOCOL_VERSION, f"pc-{user}"))
        assert isinstance(self.next(), wire.Welcome)
        self.send(wire.Login(1, user, password))
        reply = self.next()
        assert isinstance(reply, wire.Ok) and reply.id == 1

    def close(self) -> None:
        self._socket.close()


@contextmanager
def talker(port: int) -> Iterator[Talker]:
    client = Talker(port)
    try:
        yield client
    finally:
        client.close()


class Program:
    """A server process.

    Attributes:
        process: it.
        port: where it was told to listen.

    Args:
        directory: for its files.
        options: beside those that it needs.
        program: what to run.
    """

    def __init__(
        self, directory: Path, *options: str, program: Sequence[str] = ("-m", "trio_chat.server")
    ) -> None:
        self.port = free_port()
        self._stderr = directory / "stderr"
        self._stdout = directory / "stdout"
        with self._stderr.open("wb") as stderr, self._stdout.open("wb") as stdout:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, *program, str(self.port), "60", "600"),
                    *("--credentials", str(write_credentials(directory))),
                    *("--data-dir", str(directory / "data"), "--host", "127.0.0.1"),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=ENVIRONMENT,
                cwd=directory,
            )

    def printed(self) -> tuple[str, str]:
        """What it has written on standard output and standard error so far."""
        return self._stdout.read_text(), self._stderr.read_text()

    def answers(self) -> bool:
        assert self.process.poll() is None, f"it has ended: {self.printed()}"
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running_server(
    directory: Path, *options: str, program: Sequence[str] = ("-m", "trio_chat.server")
) -> Iterator[Program]:
    """A server that answers, and does not outlive the block."""
    server = Program(directory, *options, program=program)
    try:
        wait_until(server.answers)
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def write_credentials(directory: Path) -> Path:
    path = directory / "credentials.txt"
    path.write_text("hans solo\nyoda wise\n")
    return path


def run_module(
    module: str, *arguments: str, directory: Path, text: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    command: Sequence[str] = (sys.executable, "-m", module, *arguments)
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        cwd=directory,
        env={**ENVIRONMENT, **environment},
        timeout=PATIENCE_SECONDS,
        check=False,
    )
