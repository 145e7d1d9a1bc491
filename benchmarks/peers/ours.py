"""trio-chat itself, encrypted and in clear text, and the least that a server can do."""

from __future__ import annotations

import ssl
import sys
from typing import ClassVar

from trio_chat.net.tls import pinning_context

from ..load import Client, Login
from ..server_process import Process, ServerProcess, password_of
from . import Peer

_LOGIN = b'{"type":"hello","version":1}\n{"type":"login","id":1,"user":"%s","password":"%s"}\n'


class OurClient(Client):
    """Speaks our protocol.

    Attributes:
        token: with which to come back, if it has asked for one.

    Args:
        number, port, context, in_room: see `Client`.
        password: the user's; none for `password_of`.
        greeting: the first lines; none for those of a login with the password.
    """

    acknowledges = True

    def __init__(
        self,
        number: int,
        port: int,
        context: ssl.SSLContext | None = None,
        *,
        in_room: bool = True,
        password: str | None = None,
        greeting: bytes | None = None,
    ) -> None:
        self.token = b""
        self._password = password or password_of(number)
        self._greeting = greeting
        super().__init__(number, port, context, in_room=in_room)

    def log_in(self) -> Login:
        self.send(self._greeting or _LOGIN % (self.name.encode(), self._password.encode()))
        before = yield b'"type":"ok","id":1'  # and how many messages had to wait
        self.token = before.partition(b'"token":"')[2].partition(b'"')[0]

    def on_data(self, data: bytes) -> None:
        self.answers += data.count(b'{"type":"ok"') + data.count(b'{"type":"sent"')
        self.deliveries += data.count(b'{"type":"announcement"')
        messages = data.count(b'{"type":"delivery"')
        if messages:
            self.deliveries += messages
            start = data.rfind(b'{"type":"delivery","seq":') + 25
            self.send(b'{"type":"ack","seq":%s}\n' % data[start : data.index(b",", start)])
        if self.refusal in data:
            raise RuntimeError(f"{self.name} was refused: {data!r}")

    def message(self, to: str, text: bytes, count: int) -> None:
        template = b'{"type":"message","id":%d,"to":"' + to.encode() + b'","text":"%s"}\n'
        self.numbered(template, text, count)

    def broadcast(self, text: bytes, count: int) -> None:
        self.numbered(b'{"type":"broadcast","id":%d,"text":"%s"}\n', text, count)


class Encrypted(Peer):
    """With everything as it is by default, but for the rate limit: no other server has one."""

    name = "**trio-chat**"
    program = sys.executable
    client = OurClient
    encrypts = True
    acknowledges = "safe"
    keeps = True

    @classmethod
    def start(cls, users: int, cpu: int) -> Process:
        return ServerProcess(users, cpu=cpu)

    @classmethod
    def context(cls) -> ssl.SSLContext | None:
        return pinning_context() if cls.encrypts else None


class Clear(Encrypted):
    """The same without encryption, as its clients choose."""

    name = "trio-chat, clear"
    encrypts = False


class Reference(Clear):
    """`benchmarks.reference`."""

    name: ClassVar[str] = "reference"
    acknowledges = "nothing"
    keeps = False

    @classmethod
    def start(cls, users: int, cpu: int) -> Process:
        return ServerProcess(users, cpu=cpu, module="benchmarks.reference")
