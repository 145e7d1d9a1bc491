"""A hostile server: the client ends with a status, and no byte that does harm is shown."""

from __future__ import annotations

import shlex
from contextlib import suppress

import msgspec
import trio

from tests.client.peers import Network
from tests.client.scripted import ScriptedTerminal
from tests.fuzz.forgery import NAMES, TEXTS, forge
from tests.fuzz.reader import Reader
from tests.fuzz.stage import Stage, assert_harmless, play
from trio_chat.client.chat import Chat
from trio_chat.client.console.toolbar import toolbar
from trio_chat.client.files.transfers import FileOptions
from trio_chat.client.notice import json_of
from trio_chat.client.session import Session, UnreachableError
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_line, request_decoder

STAGE = Stage()
CONNECTIONS_MAX = 4
RECONNECT_SECONDS = 30.0
PATIENCE_SECONDS = 200.0
"""Who asks a server that does not answer may wait for ever; so it goes some time."""

FILE = shlex.quote(str(STAGE.sample.path))
LINES = (
    *("message hans hey", "broadcast hey", "whoelse", "whoelsesince 5", "help", "nonsense"),
    *("block hans", "unblock hans", "startprivate hans", "private hans hey", "stopprivate hans"),
    *(f"register {FILE}", "searchFile a.bin", "searchChunk a.bin 1-3", "download a.bin"),
    *("private hans download a.bin 1", "downloads", "cancel a.bin", "logout"),
)


def one_input(data: bytes) -> None:
    play(lambda: _scene(Reader(data)))


async def _scene(reader: Reader) -> None:
    is_person = bool(reader.below(2))
    terminal = ScriptedTerminal(interactive=is_person, shows_status=is_person)
    terminal.type("yoda", "wise")
    for _ in range(reader.below(8)):
        terminal.type(reader.pick(LINES))
    terminal.type_end()
    connections: list[MemoryTransport] = []
    async with trio.open_nursery() as nursery:

        async def connect() -> MemoryTransport:
            await trio.lowlevel.checkpoint()
            if len(connections) >= CONNECTIONS_MAX:
                raise UnreachableError("nobody answers")
            ours, theirs = memory_pair(1024 * 1024)
            connections.append(ours)
            nursery.start_soon(_Server(reader, theirs).run)
            return ours

        session = Session("server:4000", connect, "abcd")
        with suppress(UnreachableError):
            await session.open()
            chat = Chat(
                terminal,
                session,
                Network().client(),
                "server:4000",
                STAGE.clear("state"),
                FileOptions(STAGE.clear("downloads")),
                RECONNECT_SECONDS,
            )
            assert await chat.run() in (0, 1)
        for transport in connections:
            transport.close()
    assert_harmless(terminal.screen)
    for status in terminal.statuses:
        assert_harmless([toolbar(status, 80), *(status.online or ()), *status.known, *status.files])
    assert_harmless(json_of(terminal.notices).splitlines())


class _Server:
    """Answers as it should, or not."""

    def __init__(self, reader: Reader, transport: MemoryTransport) -> None:
        self.reader = reader
        self.transport = transport
        self.last_id = 0

    async def run(self) -> None:
        decoder = request_decoder()
        with (
            trio.move_on_after(PATIENCE_SECONDS),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            while data := await self.transport.receive():
                for request in decoder.feed(data):
                    self.last_id = getattr(request, "id", self.last_id)
                    self.say(self.answer(request))
                    self.misbehave()
                assert decoder.violation is None
        self.transport.close()

    def say(self, line: bytes) -> None:
        if line:
            self.transport.send_nowait(line + b"\n")

    def answer(self, request: wire.Request) -> bytes:
        usual = {"id": self.last_id, "version": 1}
        if self.reader.more and not self.reader.below(4):
            return forge(self.reader, wire.Reply, usual)
        match request:
            case wire.Hello():
                return encode_line(wire.Welcome(1, "hostile"))
            case wire.Register(id):
                return encode_line(wire.Registered(id, new=True))
            case wire.Broadcast(id):
                return encode_line(wire.Sent(id, complete=bool(self.reader.below(2))))
            case wire.WhoElse(id) | wire.WhoElseSince(id):
                return encode_line(wire.Users(id, TEXTS[:10]))
            case wire.Search(id):
                return self.find(id)
            case wire.Introduce(id):
                return forge(self.reader, wire.Introduction, usual)
            case wire.Active() | wire.Ack() | wire.Listening():
                return b""
            case wire.Resume(id):
                return encode_line(wire.Ok(id))
        return encode_line(wire.Ok(self.last_id))

    def find(self, id: int) -> bytes:
        manifest = STAGE.sample.manifest
        file = {
            "name": self.reader.pick((manifest.name, *NAMES)),
            "size": self.reader.pick((manifest.size, 0, 1, 2**40)),
            "chunks": self.reader.pick((manifest.chunks, 0, 1)),
            "piece_bytes": manifest.piece_bytes,
            "root": msgspec.to_builtins(manifest.root),
        }
        usual = {"id": id, **file, "user": "hans"}
        return forge(self.reader, wire.Found, usual)

    def misbehave(self) -> None:
        usual = {"seq": self.reader.below(8), "from": self.reader.pick(TEXTS)}
        while self.reader.more and not self.reader.below(3):
            match self.reader.below(8):
                case 0:
                    self.say(self.reader.some())
                case 1:
                    self.transport.close()
                case 2:
                    self.say(forge(self.reader, wire.Reply, {"id": self.reader.below(8)}))
                case _:
                    self.say(forge(self.reader, wire.Event, usual))
