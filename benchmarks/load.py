"""A load generator: many clients in one thread, on plain bytes, so that it stays out of the way.

A client speaks just enough of its protocol (see `benchmarks.peers`): it recognises messages by
their first bytes and reads no more of them than what it has to acknowledge.
"""

from __future__ import annotations

import abc
import select
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterable
from typing import ClassVar

from .server_process import user_name

STALL_SECONDS_MAX = 60.0
RECEIVE_BYTES = 1 << 18

Login = Generator[bytes, bytes, None]
"""Sends what a login takes; yields what it waits for, and gets what has come before that."""


class Client(abc.ABC):
    """One user; a subclass knows the protocol.

    Attributes:
        acknowledges: whether the server answers each message, and so sets the pace.
        cut: what complete input ends with; nothing if only `on_data` can tell.
        refusal: what the server says only if it does not do what was asked.
        name: of the user.
        deliveries: how many messages and broadcasts have come.
        answers: how many requests were answered with success.
        next_id: the number of the next request.
        logged_in: whether that is done.

    Args:
        number: of the user.
        port: of the server.
        context: to encrypt with; none for clear text.
        in_room: whether broadcasts are to reach this user.
    """

    acknowledges: ClassVar[bool] = False
    cut: ClassVar[bytes] = b"\n"
    refusal: ClassVar[bytes] = b'"type":"error"'

    def __init__(
        self,
        number: int,
        port: int,
        context: ssl.SSLContext | None = None,
        *,
        in_room: bool = True,
    ) -> None:
        self.name = user_name(number)
        self.number = number
        self.in_room = in_room
        self.deliveries = 0
        self.answers = 0
        self.next_id = 2
        self.logged_in = False
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.sock = sock
        if context is not None:
            self.sock = context.wrap_socket(sock, do_handshake_on_connect=False)
        self._rest = b""
        self._login = self.log_in()
        self._expected = b""
        self._receive = self._begin
        self._receive()

    # -- What a protocol has to say ------------------------------------------------------------

    @abc.abstractmethod
    def log_in(self) -> Login:
        """Log in, and join the room if there is one."""

    @abc.abstractmethod
    def on_data(self, data: bytes) -> None:
        """Look at complete input: count, and acknowledge what is to be acknowledged."""

    @abc.abstractmethod
    def message(self, to: str, text: bytes, count: int) -> None:
        """Send messages, all in one go."""

    def message_and_confirm(self, to: str, text: bytes, count: int) -> None:
        """Send messages, all in one go, and have it confirmed that the server has them."""
        self.message(to, text, count)

    @abc.abstractmethod
    def broadcast(self, text: bytes, count: int) -> None:
        """Send broadcasts, all in one go."""

    # -- The connection ------------------------------------------------------------------------

    def receive(self) -> None:
        """Read what there is."""
        self._receive()

    def send(self, data: bytes) -> None:
        """Send bytes; they fit the socket's buffer, as what is in flight is bounded."""
        self.sock.sendall(data)

    def numbered(self, template: bytes, text: bytes, count: int) -> None:
        """Send a template filled with a number and the text, so many times."""
        first = self.next_id
        self.next_id += count
        self.send(b"".join([template % (id, text) for id in range(first, self.next_id)]))

    def wait_for_login(self) -> None:
        """Wait until the server has let this user in."""
        while not self.logged_in:
            select.select([self.sock], [], [], STALL_SECONDS_MAX)
            self.receive()

    def _begin(self) -> None:
        if isinstance(self.sock, ssl.SSLSocket):
            try:
                self.sock.do_handshake()
            except ssl.SSLWantReadError:
                return
        self._receive = self._receive_login
        self._expected = next(self._login)

    def _read(self) -> bytes:
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):  # no whole record yet
            return b""
        if not data:
            raise ConnectionError(f"the server has closed the connection of {self.name}")
        return data

    def _receive_login(self) -> None:
        self._rest += self._read()
        if self.refusal in self._rest:
            raise RuntimeError(f"{self.name} was not let in: {self._rest!r}")
        while self._expected in self._rest:
            before, _, self._rest = self._rest.partition(self._expected)
            try:
                self._expected = self._login.send(before)
            except StopIteration:
                self.logged_in = True
                self._receive = self._receive_data
                self._take(b"")  # what waits for the user may have come right behind
                return

    def _receive_data(self) -> None:
        self._take(self._read())

    def _take(self, data: bytes) -> None:
        data = self._rest + data
        end = data.rfind(self.cut) + len(self.cut)
        if end >= len(self.cut):
            self._rest = data[end:]
            self.on_data(data[:end])
        else:
            self._rest = data


class Load:
    """All the clients, and the loop that serves them."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self._poll = select.epoll()
        self._by_fd: dict[int, Client] = {}

    def add(self, client: Client) -> None:
        """Begin to serve a client."""
        self.clients.append(client)
        self._by_fd[client.sock.fileno()] = client
        self._poll.register(client.sock.fileno(), select.EPOLLIN)

    def pause(self, client: Client) -> None:
        """Read nothing more of a client."""
        self._poll.unregister(client.sock.fileno())

    def log_in(self, clients: Iterable[Client], at_once: int = 300) -> None:
        """Log clients in, so many at a time: as soon as one is in, the next one begins."""
        waiting = iter(clients)
        pending: set[Client] = set()

        def begin() -> None:
            for client in waiting:
                pending.add(client)
                self.add(client)
                if len(pending) == at_once:
                    return

        def react(client: Client) -> None:
            if client in pending and client.logged_in:
                pending.remove(client)
                begin()

        begin()
        self.run_while(lambda: bool(pending), react)

    def run_while(self, condition: Callable[[], bool], react: Callable[[Client], None]) -> None:
        """Serve the clients while a condition holds; call ``react`` for each that got something.

        Raises:
            RuntimeError: if nothing happens for a long time.
        """
        while condition():
            ready = self._poll.poll(STALL_SECONDS_MAX)
            if not ready:
                raise RuntimeError("nothing happens any more")
            for fd, _ in ready:
                client = self._by_fd[fd]
                client.receive()
                react(client)

    def settle(self, seconds: float = 0.5) -> None:
        """Serve the clients for a while."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(left):
                self._by_fd[fd].receive()

    def close(self) -> None:
        """Drop all connections."""
        for client in self.clients:
            client.sock.close()
        self._poll.close()
