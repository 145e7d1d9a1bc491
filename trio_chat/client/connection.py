"""One connection to the server: messages in and out.

A server that does not read is as good as one that has gone: the connection is closed then, and
`receive`, which one task calls, says so. `session` makes a conversation of connections.
"""

from __future__ import annotations

import errno
from collections.abc import Set

import trio

from ..errors import ErrorCode, ProtocolViolation
from ..net.outbox import Outbox
from ..net.own_address import wait_until_gone
from ..net.tcp import TcpTransport
from ..net.transport import Transport
from ..protocol import messages as wire
from ..protocol.framing import encode_line, server_message_decoder

CLOSED = "The server has closed the connection"
SILENT = "The server has not answered for 15 seconds"
UNREACHABLE = "The server can't be reached any more"
NETWORK_CHANGED = "The network has changed"

_CAUSES = {
    errno.ETIMEDOUT: SILENT,
    **dict.fromkeys((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN), UNREACHABLE),
}
"""What the kernel says of a lost connection, for people; of an end or a reset it is `CLOSED`."""


class ConnectionLost(Exception):
    """The server has gone, or does not read any more; the text says what was seen."""

    def __init__(self, text: str = CLOSED) -> None:
        super().__init__(text)


def _cause_of(error: BaseException) -> str:
    cause = error.__cause__
    return _CAUSES.get(cause.errno or 0, CLOSED) if isinstance(cause, OSError) else CLOSED


class Refused(Exception):
    """The server does not want to talk to this client.

    Attributes:
        code: why, for programs; the text says it to people.
    """

    def __init__(self, code: ErrorCode, text: str) -> None:
        self.code = code
        super().__init__(text)


class Connection:
    """One connection; `run` must run while it is used, once it is greeted.

    Args:
        transport: connected; `close` closes it.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._outbox = Outbox(transport)
        self._decoder = server_message_decoder()
        self._early: list[wire.ServerMessage] = []
        self._lost_because = ""
        self.capabilities: Set[str] = frozenset()

    async def greet(self, hello: wire.Hello) -> None:
        """Exchange the first lines.

        Raises:
            Refused: if the server can't serve this client.
            ConnectionLost: if it closes the connection without a word.
            ProtocolViolation: if it says anything else.
        """
        self.send(hello)
        first, *self._early = await self.receive()
        if isinstance(first, wire.Error | wire.Closed):
            raise Refused(first.code, first.text)
        if not isinstance(first, wire.Welcome):
            raise ProtocolViolation(ErrorCode.BAD_LINE, reason="It did not greet")
        if first.version != wire.PROTOCOL_VERSION:
            code = ErrorCode.WRONG_VERSION
            text = code.describe(ours=first.version, theirs=wire.PROTOCOL_VERSION)
            raise Refused(code, text)
        self.capabilities = {wire.UNREGISTER}.intersection(first.capabilities)

    async def run(self) -> None:
        """Send what the server did not take at once; return when the connection is closed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_address)
            await self._outbox.run()
            nursery.cancel_scope.cancel()

    async def _watch_address(self) -> None:
        if isinstance(self._transport, TcpTransport):
            await wait_until_gone(self._transport.local_host)
            self._lost_because = NETWORK_CHANGED
            self.close()

    def send(self, message: wire.Request) -> int:
        """Send a message now or soon; return its size in bytes."""
        line = encode_line(message) + b"\n"
        if not self._outbox.send(line):
            self.close()
        return len(line)

    async def receive(self) -> list[wire.ServerMessage]:
        """The next messages, at least one.

        Raises:
            ConnectionLost: if there will be none.
            ProtocolViolation: if the next one is none.
        """
        early, self._early = self._early, []
        while not early:
            if self._decoder.violation is not None:
                raise self._decoder.violation
            try:
                data = await self._transport.receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionLost(self._lost_because or _cause_of(error)) from None
            if not data:
                raise ConnectionLost
            early = self._decoder.feed(data)
        return early

    def close(self) -> None:
        """Close the connection at once."""
        self._transport.close()
        self._outbox.finish()
