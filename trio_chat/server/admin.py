"""The admin channel: what the operator's commands ask a running server.

Theory of operation: a socket in the data directory, to which only the server's own user may
connect. One connection is one question and one answer, each a line of JSON. Few are answered at
a time, each within a bounded time, and a question ends with its connection: whoever stops a
backup with Ctrl-C has stopped the server's part of it too. The chat does not notice: the copy
for a backup goes in small steps between two commits, and whatever else it takes (verifying,
hashing, syncing) is done by the command in its own process.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import trio
from msgspec import Struct

from .. import limits
from ..core.catalogue import Entry
from ..core.orders import Announce, Order, Outcome
from ..errors import FailureError
from ..net.local import connect_local, listen_local
from ..net.tcp import NO_ROOM, NO_ROOM_SECONDS
from ..net.transport import ListenError
from ..protocol.framing import LineDecoder, encode_lines
from ..storage.store import Store, StoreError
from .health import Health, Status
from .hub import Hub
from .log import Log, note

SOCKET_NAME = "admin.sock"
"""The socket in a data directory."""

T = TypeVar("T")


class AskStatus(Struct, frozen=True, tag="status"):
    """How does the server do? Answered by `Status`."""


class AskCopy(Struct, frozen=True, tag="copy"):
    """Copy the store to this path, where nothing is yet; answered by `Copied`."""

    path: str


class Copied(Struct, frozen=True, tag="copied"):
    """The copy is there.

    Attributes:
        commit_seconds_max: the longest that a commit took meanwhile.
    """

    commit_seconds_max: float


class AskFiles(Struct, frozen=True, tag="files"):
    """Which files are registered, from this place in the list on? Answered by `Files`."""

    start: int = 0


class ListedFile(Struct, frozen=True):
    """A registered file.

    Attributes:
        name, size: of the file.
        owner: who has registered it.
        holders: how many of those online hold some of it.
        idle: for how many seconds nobody has held it.
    """

    name: str
    size: int
    owner: str
    holders: int
    idle: float


class Files(Struct, frozen=True, tag="files"):
    """Some registered files; none after the last one."""

    files: list[ListedFile]


class Failed(Struct, frozen=True, tag="failed"):
    """That did not work, for this reason."""

    text: str


Question = AskStatus | AskCopy | AskFiles | Order
Answer = Status | Copied | Files | Outcome | Failed

_questions: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


async def _accept(listener: trio.SocketListener) -> trio.SocketStream:
    """The next connection; without a traceback when there are no descriptors, as `trio` writes."""
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            await trio.sleep(NO_ROOM_SECONDS)


class NobodyAnswersError(FailureError):
    """No server listens there."""


class Admin:
    """Answers the operator's questions.

    Args:
        hub: whose broker and connections are counted.
        store: what is copied.
        health: what is measured.
    """

    def __init__(self, hub: Hub, store: Store, health: Health) -> None:
        self._hub = hub
        self._store = store
        self._health = health
        self._is_copying = False

    async def serve(
        self,
        path: Path,
        alarm: Log,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Answer at this path until cancelled; where that can't be, the chat goes on without."""
        places = trio.Semaphore(limits.ADMIN_CONNECTIONS_MAX)

        async def handle(stream: trio.SocketStream) -> None:
            try:
                async with stream:
                    await self._converse(stream)
            finally:
                places.release()

        try:
            with listen_local(path) as listener:
                async with trio.open_nursery() as nursery:
                    task_status.started()
                    while True:
                        await places.acquire()
                        nursery.start_soon(handle, await _accept(listener))
        except ListenError as error:
            text = (
                "there will be no 'status', 'backup' or other command of the operator while the"
                f" server runs: {error}"
            )
            alarm(note("admin_unavailable", text, reason=str(error)))
            task_status.started()

    async def _converse(self, stream: trio.SocketStream) -> None:
        question: Question | None = None
        with trio.move_on_after(limits.ADMIN_SECONDS_MAX), suppress(trio.BrokenResourceError):
            question = await _receive(stream, _questions)
        if question is None:
            return
        answer: Answer = Failed("this took too long, and was given up")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_end, stream, nursery.cancel_scope)
            with trio.move_on_after(limits.BACKUP_SECONDS_MAX):
                answer = await self.answer(question)
            nursery.cancel_scope.cancel()
        with trio.move_on_after(limits.ADMIN_SECONDS_MAX), suppress(trio.BrokenResourceError):
            await stream.send_all(encode_lines([answer]))

    async def answer(self, question: Question) -> Answer:
        """The answer to a question."""
        if isinstance(question, AskStatus):
            return self._health.status(self._hub.statistics, self._hub.connections)
        if isinstance(question, AskFiles):
            now = trio.current_time()
            entries = self._hub.files(question.start, limits.FILES_LISTED_MAX)
            return Files([_listed(entry, now) for entry in entries])
        if isinstance(question, AskCopy):
            return await self._copy(question)
        if isinstance(question, Announce):
            question = Announce(question.text, secrets.token_hex(8))
        return await self._hub.obey(question)

    async def _copy(self, question: AskCopy) -> Answer:
        if self._is_copying:
            return Failed("another backup is under way; try again when it has ended")
        self._is_copying = True
        commits = self._health.store.count
        try:
            await self._store.back_up(Path(question.path))
        except StoreError as error:
            return Failed(str(error))
        finally:
            self._is_copying = False
        return Copied(self._health.store.slowest_since(commits))


def _listed(entry: Entry, now: float) -> ListedFile:
    idle = 0.0 if entry.holders else max(0.0, now - entry.left_at)
    return ListedFile(entry.file.name, entry.file.size, entry.owner, len(entry.holders), idle)


async def _cancel_at_end(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Whoever asked has gone, or says more than one line: either way that was it."""
    with suppress(trio.BrokenResourceError):
        await stream.receive_some(1)
    scope.cancel()


async def _receive(stream: trio.SocketStream, lines: msgspec.json.Decoder[T]) -> T | None:
    """The one message that comes; none if the connection ends, or brings something else."""
    decoder = LineDecoder(lines, limits.ADMIN_LINE_BYTES_MAX)
    while data := await stream.receive_some(limits.ADMIN_LINE_BYTES_MAX):
        messages = decoder.feed(data)
        if messages:
            return messages[0]
        if decoder.violation is not None:
            violation = decoder.violation
            with suppress(trio.BrokenResourceError):
                await stream.send_all(encode_lines([Failed(violation.text)]))
            return None
    return None


async def ask(path: Path, question: Question) -> Answer:
    """Ask the server whose admin socket this is; how long to wait is the caller's choice.

    Raises:
        NobodyAnswersError: if there is no server.
        FailureError: if it could not do what was asked, or ended meanwhile.
    """
    try:
        stream = await connect_local(path)
    except OSError as error:
        raise NobodyAnswersError(str(error)) from error
    answer: Answer | None = None
    async with stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(encode_lines([question]))
            answer = await _receive(stream, _answers)
    if answer is None:
        raise FailureError("the server has ended the connection; is it being stopped?")
    if isinstance(answer, Failed):
        raise FailureError(answer.text)
    return answer
