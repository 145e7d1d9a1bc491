"""NATS: at most once, to whoever has subscribed. The room is a subject."""

from __future__ import annotations

from ..load import Client, Login
from ..server_process import Process
from . import Peer


class NatsClient(Client):
    """Speaks the client protocol of NATS."""

    refusal = b"-ERR"

    def log_in(self) -> Login:
        yield b"INFO "
        lines = [b'CONNECT {"verbose":false,"pedantic":false}', b"SUB u.%s 1" % self.name.encode()]
        if self.in_room:
            lines.append(b"SUB all 2")
        self.send(b"\r\n".join([*lines, b"PING", b""]))
        yield b"PONG\r\n"

    def on_data(self, data: bytes) -> None:
        self.deliveries += data.count(b"MSG ")
        if b"PING\r\n" in data:
            self.send(b"PONG\r\n")

    def message(self, to: str, text: bytes, count: int) -> None:
        self.send(b"PUB u.%s %d\r\n%s\r\n" % (to.encode(), len(text), text) * count)

    def broadcast(self, text: bytes, count: int) -> None:
        self.send(b"PUB all %d\r\n%s\r\n" % (len(text), text) * count)


class Nats(Peer):
    """nats-server, without JetStream, as it comes."""

    name = "nats"
    program = "nats-server"
    client = NatsClient

    @classmethod
    def start(cls, users: int, cpu: int) -> Process:
        process = Process(cpu)
        process.command = ["nats-server", "--addr", "127.0.0.1", "--port", str(process.port)]
        # As many threads of Go as the processors that it gets.
        process.environment = {"GOMAXPROCS": "1"}
        return process
