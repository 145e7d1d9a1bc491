"""What a `session` keeps of a request until its reply is shown, and what stands between replies."""

from __future__ import annotations

import trio
from msgspec import Struct

from ..protocol import messages as wire
from ..protocol.framing import encode_line
from .connection import ConnectionLost
from .meanings import Numbered
from .notice import Notice


class Exchange:
    """A request that was sent, or waits for a connection.

    Attributes:
        request: as it is sent, with its number.
        size_bytes: of the request on the wire.
        quiet: whether its reply is not to be shown, as whoever asks does something with it.
        is_on_wire: whether it was sent on the connection of the moment.
        is_sent: whether it was on any connection.
        is_repeated: whether it was on more than one.
        is_wanted: whether anybody waits for its reply.
        reply: of the server, once it was shown.
    """

    def __init__(self, request: Numbered, *, quiet: bool) -> None:
        self.request = request
        self.quiet = quiet
        self.size_bytes = len(encode_line(request)) + 1
        self.is_on_wire = False
        self.is_sent = False
        self.is_repeated = False
        self.is_wanted = True
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


class Aside(Struct, frozen=True):
    """An answer of the client's own, which waits for replies of the server.

    Attributes:
        after: the number of the last request before it.
        notice: what to show.
    """

    after: int
    notice: Notice


class Received(Struct, frozen=True):
    """A message of the server.

    Attributes:
        message: the message.
        request: if the message is a reply, what it replies to.
        quiet: whether it is not to be shown.
        has_waited: whether it is a delivery that had to wait for our user's login.
    """

    message: wire.ServerMessage
    request: Numbered | None = None
    quiet: bool = False
    has_waited: bool = False
