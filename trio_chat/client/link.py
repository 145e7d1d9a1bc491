"""One private conversation, over a connection to another client (section 3.4).

A message is acknowledged by the other client once it stands on the screen there; a sender
whose message was not is told so when the link ends. On one connection TCP keeps the order and
doubles nothing, and a link is never resumed on another: so each message is shown at most once.

An end that either side wants is said (`Bye`). Whoever is told so says what they still have to
say and closes their half; then the other closes too. So what either side sent before arrives
and is acknowledged, unless that takes too long. An end that nobody wanted is noticed by TCP, or as
a message that stays without its acknowledgement.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

import trio

from .. import limits
from ..net.outbox import Outbox
from ..net.transport import Transport
from ..protocol.framing import encode_line
from ..protocol.peer import (
    PEER_PROTOCOL_VERSION,
    Bye,
    PeerHello,
    PeerMessage,
    Private,
    PrivateAck,
    peer_decoder,
)

_UNANSWERED_BYTES_MAX = limits.OUTBOX_BYTES_MAX // 2
"""What may wait for acknowledgements, so that a peer that does not read fills no outbox."""

_END_SECONDS_MAX = limits.PEER_CONNECT_SECONDS_MAX - limits.DRAIN_SECONDS_MAX
"""How long an end may take on a slow way; who wants another link to the same user waits for it."""


class LinkEnding(Enum):
    """Why a link has ended."""

    STOPPED_BY_US = "we have stopped it"
    STOPPED = "the other user has stopped it"
    LEFT = "the other user has logged out"
    LOST = "the connection was lost"
    SILENT = "the other client does not answer"
    BROKEN = "the other client broke the protocol"


class LinkError(Exception):
    """There is no link to whoever answered."""


class Link:
    """A link to one user; `run` must run while it is used.

    Attributes:
        user: at the other end, as the server has introduced them.
        ending: why it has ended, once it has.

    Args:
        user: see above.
        transport: connected to them; closed by whoever opened it.
        show: shows a message of the user, and returns once it stands on the screen.
    """

    def __init__(
        self, user: str, transport: Transport, show: Callable[[str, str], Awaitable[None]]
    ) -> None:
        self.user = user
        self.ending: LinkEnding | None = None
        self._transport = transport
        self._show = show
        self._outbox = Outbox(transport)
        self._decoder = peer_decoder()
        self._early: list[PeerMessage] = []
        self._last_id = 0
        # When each message went that is not acknowledged, and its bytes; the oldest first.
        self._sent: deque[tuple[float, int]] = deque()
        self._unanswered_bytes = 0
        self._changed = trio.Event()
        self._life = trio.CancelScope()
        self._over_at = math.inf

    @property
    def unanswered(self) -> int:
        """How many messages were not acknowledged."""
        return len(self._sent)

    async def greet(self, *, first: bool) -> None:
        """Exchange the first lines; whoever has connected speaks first.

        Raises:
            LinkError: if the other end has other plans.
        """
        hello = PeerHello(PEER_PROTOCOL_VERSION)
        if first:
            self._put(hello)
        messages = await self._receive()
        if not messages:
            raise LinkError("it closed the connection")
        theirs, *self._early = messages
        if not isinstance(theirs, PeerHello):
            raise LinkError("it does not keep to the protocol")
        if theirs.version != hello.version:
            raise LinkError("one of both clients is too old for the other, and needs an update")
        if not first:
            self._put(hello)

    # -- Sending ---------------------------------------------------------------------------

    async def send(self, text: str) -> bool:
        """Send a message, waiting first while too many are unanswered; False if it has ended."""
        while self.ending is None and (
            len(self._sent) >= limits.PRIVATE_UNANSWERED_MAX
            or self._unanswered_bytes >= _UNANSWERED_BYTES_MAX
        ):
            await self._changed.wait()
        if self.ending is not None:
            return False
        self._last_id += 1
        size = self._put(Private(self._last_id, text))
        self._sent.append((trio.current_time(), size))
        self._unanswered_bytes += size
        self._change()
        return True

    async def wait_all_answered(self) -> None:
        """Wait until nothing is unanswered any more, or the link has ended."""
        while self._sent and self.ending is None:
            await self._changed.wait()

    def stop(self, *, left: bool = False) -> None:
        """End the link, once what was sent is out; ``left`` if our user logs out."""
        if self.ending is None:
            self._put(Bye(left))
            self._end(LinkEnding.STOPPED_BY_US)

    def abandon(self) -> None:
        """End the link at once: the other end has no part in it any more."""
        self._end(LinkEnding.LOST)
        self._life.cancel()

    def _put(self, message: PeerMessage) -> int:
        """Send a message now or soon; return its bytes."""
        line = encode_line(message) + b"\n"
        if not self._outbox.send(line):
            self._end(LinkEnding.SILENT)
            self._life.cancel()
        return len(line)

    # -- Running ---------------------------------------------------------------------------

    async def run(self) -> LinkEnding:
        """Talk until either side ends it; return why."""
        with self._life:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._watch)
                await self._read()
                self._end(LinkEnding.LOST)
                self._outbox.finish()
        assert self.ending is not None
        return self.ending

    async def _write(self) -> None:
        await self._outbox.run()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self._transport.send_eof()

    async def _read(self) -> None:
        """Read to the end of the other side, or of what it may say."""
        while messages := self._early or await self._receive():
            self._early = []
            shown, said_bye = 0, False
            for message in messages:
                match message:
                    case Private():
                        await self._show(self.user, message.text)
                        shown = message.id
                    case PrivateAck():
                        self._acknowledged(message.id)
                    case Bye():
                        self._end(LinkEnding.LEFT if message.left else LinkEnding.STOPPED)
                        said_bye = True
                    case PeerHello():
                        self._end(LinkEnding.BROKEN)
            if shown:
                self._put(PrivateAck(shown))
            if said_bye:
                self._outbox.finish()  # what we have sent may still be acknowledged
            if self.ending is LinkEnding.BROKEN:
                return
        if self._decoder.violation is not None:
            self._end(LinkEnding.BROKEN)

    async def _receive(self) -> list[PeerMessage]:
        """The next messages; none at the end."""
        while self._decoder.violation is None:
            try:
                data = await self._transport.receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return []
            if not data:
                return []
            messages = self._decoder.feed(data)
            if messages:
                return messages
        return []

    def _acknowledged(self, id: int) -> None:
        while self._sent and self._last_id - len(self._sent) < id:
            _, size = self._sent.popleft()
            self._unanswered_bytes -= size
            if self.ending is not None:  # while it comes in, more may
                self._life.deadline = min(self._over_at, self._next_deadline())
        self._change()

    async def _watch(self) -> None:
        """End the link if an acknowledgement does not come in time."""
        patience = -math.inf
        while self.ending is None:
            oldest = self._sent[0][0] if self._sent else math.inf
            deadline = max(oldest + limits.PEER_ANSWER_SECONDS_MAX, patience)
            with trio.move_on_at(deadline):
                await self._changed.wait()
                continue
            now = trio.current_time()
            if now > deadline + limits.LATE_SECONDS:
                # This process was stopped: what came meanwhile has not been read yet.
                patience = now + limits.LATE_SECONDS
                continue
            self._end(LinkEnding.SILENT)
            self._life.cancel()

    def _end(self, ending: LinkEnding) -> None:
        """Note why it ends, the first time; what was said may still go out for a while."""
        if self.ending is None:
            self.ending = ending
            self._over_at = trio.current_time() + _END_SECONDS_MAX
            self._life.deadline = self._next_deadline()
            self._change()

    @staticmethod
    def _next_deadline() -> float:
        return trio.current_time() + limits.DRAIN_SECONDS_MAX

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
