"""The client's end of the protocol: requests go out numbered, and find their replies.

Theory of operation: `send` numbers a request and remembers it as an `Exchange` until its
reply has been shown. `receive` returns what one read brought, replies together with their
requests. When these were shown, the reader hands them to `shown`, which acknowledges the
messages among them and finishes the exchanges: whoever waits for one goes on only after
its reply stands on the screen, so nothing overtakes it there.

One task receives. Requests that wait for a reply are bounded in number and bytes, and
`send` waits at the bound; acknowledgements are not, but there is at most one for each
batch that was received.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio
from msgspec import Struct

from .. import limits
from ..errors import ErrorCode, ProtocolViolation
from ..net.outbox import Outbox
from ..net.transport import Transport
from ..protocol import messages as wire
from ..protocol.framing import encode_line, server_message_decoder
from .grammar import Numbered

_UNANSWERED_BYTES_MAX = limits.OUTBOX_BYTES_MAX // 2
"""What may wait for replies, so that a server that does not read fills no outbox."""


class ConnectionLost(Exception):
    """The server has gone, or does not read any more."""


class Refused(Exception):
    """The server does not want to talk to this client; the text says why."""


class Exchange:
    """A request that was sent.

    Attributes:
        request: as it was sent, with its number.
        size_bytes: of the request on the wire.
        quiet: whether its reply is not to be shown, as whoever asks does something with it.
        reply: of the server, once it was shown.
    """

    def __init__(self, request: Numbered, size_bytes: int, *, quiet: bool) -> None:
        self.request = request
        self.quiet = quiet
        self.size_bytes = size_bytes
        self.reply: wire.Reply | None = None
        self._finished = trio.Event()

    def finish(self, reply: wire.Reply) -> None:
        """The reply was shown."""
        self.reply = reply
        self._finished.set()

    async def wait(self) -> wire.Reply:
        """Wait until the reply has been shown, and return it.

        Raises:
            ConnectionLost: if there will be none.
        """
        await self._finished.wait()
        if self.reply is None:
            raise ConnectionLost
        return self.reply

    def lose(self) -> None:
        """There will be no reply."""
        self._finished.set()


class Received(Struct, frozen=True):
    """A message of the server.

    Attributes:
        message: the message.
        request: if the message is a reply, what it replies to.
        quiet: whether it is not to be shown.
    """

    message: wire.ServerMessage
    request: Numbered | None = None
    quiet: bool = False


class Connection:
    """One connection to the server; `run` must run while it is used, once it is greeted.

    Args:
        transport: connected; it is closed by whoever opened it.
        client: the random name of this client, which it keeps for as long as it lives.
    """

    def __init__(self, transport: Transport, client: str) -> None:
        self._transport = transport
        self._client = client
        self._outbox = Outbox(transport)
        self._decoder = server_message_decoder()
        self._early: list[wire.ServerMessage] = []
        self._exchanges: dict[int, Exchange] = {}
        self._unanswered_bytes = 0
        self._answered = trio.Event()
        self._last_id = 0
        self._violation: ProtocolViolation | None = None
        self._is_lost = False

    @property
    def unanswered(self) -> int:
        """How many requests wait for their replies."""
        return len(self._exchanges)

    async def greet(self) -> None:
        """Exchange the first lines.

        Raises:
            Refused: if the server can't serve this client.
            ConnectionLost: if it closes the connection without a word.
            ProtocolViolation: if it says anything else.
        """
        self._put(wire.Hello(wire.PROTOCOL_VERSION, self._client))
        first, *self._early = await self._receive_some()
        if isinstance(first, wire.Error | wire.Closed):
            raise Refused(first.text)
        if not isinstance(first, wire.Welcome):
            raise ProtocolViolation(ErrorCode.BAD_LINE, reason="It did not greet")
        if first.version != wire.PROTOCOL_VERSION:
            code = ErrorCode.WRONG_VERSION
            raise Refused(code.describe(ours=first.version, theirs=wire.PROTOCOL_VERSION))

    async def run(self) -> None:
        """Send what the server did not take at once; runs until it is cancelled."""
        await self._outbox.run()

    # -- Sending -----------------------------------------------------------------------------

    async def send(self, request: Numbered, *, quiet: bool = False) -> Exchange:
        """Send a request under the next number; wait first while too many are unanswered.

        Args:
            request: its number does not matter.
            quiet: whether its reply is not to be shown.

        Raises:
            ConnectionLost: if the server does not read, or has gone.
        """
        while (
            len(self._exchanges) >= limits.REQUESTS_UNANSWERED_MAX
            or self._unanswered_bytes >= _UNANSWERED_BYTES_MAX
        ) and not self._is_lost:
            await self._answered.wait()
        if self._is_lost:
            raise ConnectionLost
        self._last_id += 1
        request = msgspec.structs.replace(request, id=self._last_id)
        exchange = Exchange(request, self._put(request), quiet=quiet)
        self._exchanges[self._last_id] = exchange
        self._unanswered_bytes += exchange.size_bytes
        return exchange

    def tell(self, message: wire.Active | wire.Listening) -> None:
        """Tell the server something that it does not reply to.

        Raises:
            ConnectionLost: if the server does not read.
        """
        self._put(message)

    async def wait_all_answered(self) -> None:
        """Wait until the replies to all requests have been shown, or can't come any more."""
        while self._exchanges and not self._is_lost:
            await self._answered.wait()

    def lose(self) -> None:
        """The server has gone: nobody needs to wait for it."""
        self._is_lost = True
        self._answered.set()
        for exchange in self._exchanges.values():
            exchange.lose()

    def _put(self, message: wire.Request) -> int:
        line = encode_line(message) + b"\n"
        if not self._outbox.send(line):
            raise ConnectionLost
        return len(line)

    # -- Receiving ---------------------------------------------------------------------------

    async def receive(self) -> list[Received]:
        """The next messages, at least one.

        Raises:
            ConnectionLost: if there will be none.
            ProtocolViolation: if the next one is none.
        """
        messages = self._early or await self._receive_some()
        self._early = []
        batch: list[Received] = []
        for message in messages:
            id = getattr(message, "id", None)
            if id is None or isinstance(message, wire.Delivery):
                batch.append(Received(message))
                continue
            exchange = self._exchanges.get(id)
            if exchange is None:
                self._violation = ProtocolViolation(
                    ErrorCode.BAD_LINE, reason=f"There is no request {id} to reply to"
                )
                break
            batch.append(Received(message, exchange.request, exchange.quiet))
        return batch or await self.receive()

    async def _receive_some(self) -> list[wire.ServerMessage]:
        while True:
            violation = self._violation or self._decoder.violation
            if violation is not None:
                raise violation
            try:
                data = await self._transport.receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise ConnectionLost from None
            if not data:
                raise ConnectionLost
            messages = self._decoder.feed(data)
            if messages:
                return messages

    def shown(self, batch: Sequence[Received]) -> None:
        """What was received has been shown: the server may forget it, and others go on.

        Raises:
            ConnectionLost: if the server does not read.
        """
        seq = -1
        for message, request in ((received.message, received.request) for received in batch):
            if isinstance(message, wire.Delivery):
                seq = message.seq
            elif request is not None:
                self._finish(request.id, message)
        if seq >= 0:
            self._put(wire.Ack(seq))

    def _finish(self, id: int, reply: wire.ServerMessage) -> None:
        exchange = self._exchanges.pop(id, None)
        if exchange is None:  # answered twice in one batch; the first answer holds
            return
        assert isinstance(reply, wire.Reply)
        self._unanswered_bytes -= exchange.size_bytes
        exchange.finish(reply)
        self._answered.set()
        self._answered = trio.Event()
