"""The real programs on a stage: in pseudo-terminals and pipes, over TCP on loopback.

Tests look at what a person sees: the bytes of a `Terminal` go through a terminal emulator,
and what counts is the text on its screen.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from trio_chat.client.known_hosts import FILE_NAME, KnownHosts
from trio_chat.net.identity import load_or_make

from .programs import HOST, PASSWORDS, Client, Pipe, Server
from .terminal import Terminal
from .watch import Watch


class Stage:
    """What the programs of one test share; leaving it ends them all.

    Args:
        directory: for their files.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = next(_free_ports)
        (directory / "credentials.txt").write_text(
            "".join(f"{user} {password}\n" for user, password in PASSWORDS.items())
        )
        self.watch = Watch()
        self._clients: list[Client] = []
        self._server: Server | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        self.watch.close()
        if self._server is not None:
            self._server.kill()
            if kind is None:
                assert self._server.printed == "", "without -d it prints nothing"

    # -- Programs ----------------------------------------------------------------------------

    @property
    def server(self) -> Server:
        """The one that was started."""
        assert self._server is not None
        return self._server

    def start_server(
        self,
        *options: str,
        block_seconds: float = 60,
        idle_seconds: float = 120,
        host: str = HOST,
    ) -> Server:
        """Start a server, and wait until it serves; clients know it from then on."""
        self._server = Server(
            self.watch, self.directory, self.port, block_seconds, idle_seconds, options, host
        )
        self._server.start()
        self.known_hosts.meet(f"{HOST}:{self.port}", self.fingerprint)
        return self._server

    @property
    def known_hosts(self) -> KnownHosts:
        """The servers that clients have met."""
        return KnownHosts(self.directory / "state" / FILE_NAME)

    @property
    def fingerprint(self) -> str:
        """By which the server is known."""
        return load_or_make(self.directory / "data", "test").fingerprint

    def open_terminal(
        self, *command: str, columns: int = 80, rows: int = 24, kind: str = "xterm-256color"
    ) -> Terminal:
        """Open a terminal with a client in it, or whatever a command runs there."""
        terminal = Terminal(
            self.watch, self.directory, command or self.client_command(), columns, rows, kind
        )
        self._clients.append(terminal)
        return terminal

    def open_pipe(self, *command: str) -> Pipe:
        """The same with redirected input and output."""
        pipe = Pipe(self.watch, self.directory, command or self.client_command())
        self._clients.append(pipe)
        return pipe

    def log_in(self, *users: str, columns: int = 80, rows: int = 24) -> list[Terminal]:
        """Open a terminal for each user, and log them in one after the other."""
        terminals = [self.open_terminal(columns=columns, rows=rows) for _ in users]
        online: list[Terminal] = []
        for user, terminal in zip(users, terminals, strict=True):
            terminal.log_in(user)
            for other in online:
                other.shows(f"{user} logged in")
            online.append(terminal)
        return terminals

    def log_in_pipe(self, user: str) -> Pipe:
        """Start a client with redirected input and output, and log it in."""
        pipe = self.open_pipe()
        pipe.log_in(user)
        return pipe

    def client_command(self, *arguments: str) -> tuple[str, ...]:
        """The command line of a client, on our server unless there are other arguments."""
        return (
            *(sys.executable, "-m", "trio_chat.client"),
            *(arguments or (HOST, str(self.port))),
            *("--state-dir", str(self.directory / "state")),
            *("--download-dir", str(self.directory / "downloads")),
        )


def _find_free_ports() -> Iterator[int]:
    """Ports for servers, outside the range from which the system serves clients."""
    for port in count(10_000 + os.getpid() % 1000 * 20):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((HOST, port))
            except OSError:
                continue
        yield port


_free_ports = _find_free_ports()
