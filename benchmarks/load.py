"""A load generator: many clients in one thread, on plain bytes, so that it stays out of the way.

It speaks just enough of the protocol: it recognises messages by their first bytes and reads
no more of them than the sequence number that it has to acknowledge.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable

from .server_process import password_of, user_name

STALL_SECONDS_MAX = 30.0


class Client:
    """One logged-in user.

    Attributes:
        name: of the user.
        deliveries: how many messages and broadcasts have come.
        answers: how many requests were answered with success.
        next_id: the number of the next request.
        token: with which to come back, if it has asked for one.

    Args:
        number: of the user.
        port: of the server.
        password: the user's; none for `password_of`.
        context: to encrypt with; none for clear text.
        greeting: the first lines; none for those of a login with the password.
    """

    def __init__(
        self,
        number: int,
        port: int,
        password: str | None = None,
        context: ssl.SSLContext | None = None,
        greeting: bytes | None = None,
    ) -> None:
        self.name = user_name(number)
        self.token = b""
        self.deliveries = 0
        self.answers = 0
        self.next_id = 2
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock if context is None else context.wrap_socket(sock)
        self._rest = b""
        self.sock.sendall(
            greeting
            or b'{"type":"hello","version":1}\n'
            b'{"type":"login","id":1,"user":"%s","password":"%s"}\n'
            % (self.name.encode(), (password or password_of(number)).encode())
        )

    def wait_for_login(self) -> None:
        """Wait until the server has let this user in."""
        data = b""
        while b'"type":"ok","id":1}\n' not in data:
            more = self.sock.recv(65536)
            if not more or b'"type":"error"' in data:
                raise RuntimeError(f"{self.name} was not let in: {data!r}")
            data += more
        self.sock.setblocking(False)
        self.token = data.partition(b'"token":"')[2].partition(b'"')[0]
        # What waits for the user may have come right behind.
        self._take(data.partition(b'"type":"ok","id":1}\n')[2])

    def on_lines(self, lines: bytes) -> None:
        """Look at complete lines: count, and acknowledge what is to be acknowledged."""
        self.answers += lines.count(b'{"type":"ok"') + lines.count(b'{"type":"sent"')
        self.deliveries += lines.count(b'{"type":"announcement"')
        messages = lines.count(b'{"type":"delivery"')
        if messages:
            self.deliveries += messages
            start = lines.rfind(b'{"type":"delivery","seq":') + 25
            seq = lines[start : lines.index(b",", start)]
            self.send(b'{"type":"ack","seq":%s}\n' % seq)
        if b'{"type":"error"' in lines:
            raise RuntimeError(f"{self.name} was refused: {lines!r}")

    def receive(self) -> None:
        """Read what there is."""
        try:
            data = self.sock.recv(1 << 18)
        except ssl.SSLWantReadError:  # no whole record yet
            return
        if not data:
            raise ConnectionError(f"the server has closed the connection of {self.name}")
        self._take(data)

    def _take(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if end:
            self.on_lines(self._rest + data[:end])
            self._rest = data[end:]
        else:
            self._rest += data

    def send(self, data: bytes) -> None:
        """Send lines; they fit the socket's buffer, as what is in flight is bounded."""
        self.sock.sendall(data)

    def message(self, to: str, text: bytes, count: int) -> None:
        """Send messages, all in one go."""
        template = b'{"type":"message","id":%d,"to":"' + to.encode() + b'","text":"%s"}\n'
        self._send_numbered(template, text, count)

    def broadcast(self, text: bytes, count: int) -> None:
        """Send broadcasts, all in one go."""
        self._send_numbered(b'{"type":"broadcast","id":%d,"text":"%s"}\n', text, count)

    def _send_numbered(self, template: bytes, text: bytes, count: int) -> None:
        first = self.next_id
        self.next_id += count
        self.send(b"".join([template % (id, text) for id in range(first, self.next_id)]))


class Load:
    """All the clients, and the loop that serves them.

    Args:
        context: to encrypt with; none for clear text.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.clients: list[Client] = []
        self._context = context
        self._poll = select.epoll()
        self._by_fd: dict[int, Client] = {}

    def add(self, client: Client) -> None:
        """Begin to serve a client that is logged in."""
        self.clients.append(client)
        self._by_fd[client.sock.fileno()] = client
        self._poll.register(client.sock.fileno(), select.EPOLLIN)

    def log_in(self, count: int, port: int, password: str | None = None) -> None:
        """Log in more clients, a hundred at a time."""
        first = len(self.clients)
        for start in range(first, first + count, 100):
            batch = [
                Client(n, port, password, self._context)
                for n in range(start, min(start + 100, first + count))
            ]
            for client in batch:
                client.wait_for_login()
                self.add(client)

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
        """Serve the clients until nothing comes any more."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(left):
                self._by_fd[fd].receive()

    def close(self) -> None:
        """Drop all connections."""
        for client in self.clients:
            client.sock.close()
        self._poll.close()
