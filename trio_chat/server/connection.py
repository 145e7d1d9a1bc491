"""One connection, as the hub sees it: what comes in is fed to it, what goes out is flushed.

The end of a connection, whoever wants it: the outbox is finished, the last lines go out,
our half of the connection is closed, and what still comes in is thrown away until the other
end closes too. Closing at once would let the kernel drop our last lines, which say why.

Who sends too much is read more slowly. While reading pauses the client's end of the connection
is not noticed; our own takes no longer. Whoever floods has one batch of requests handled at a
time, and others are served in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import trio

from .. import limits
from ..core.commands import Command, Requests, SessionClosed, SessionFailed, SessionId
from ..errors import ErrorCode
from ..net.arrivals import Arrivals
from ..net.outbox import Outbox
from ..net.transport import Transport
from ..protocol.framing import Batch, encode_lines, request_decoder
from ..protocol.messages import Request, ServerMessage
from .pace import Pace

Submit = Callable[[Command], Awaitable[None]]


class Connection:
    """The hub's end of a session.

    Attributes:
        session: its id.
        peer: the address of the other end.
        pending: what to send at the next `flush`.
        user: who has logged in; empty before.

    Args:
        session: see above.
        transport: connected; it is closed by whoever opened it.
        pace: how fast to read until somebody logs in; none for as fast as the broker handles it.
    """

    __slots__ = (
        *("_decoder", "_input_ended", "_is_end_told", "_is_reported", "_outbox", "_pace"),
        *("_requests", "_transport", "_unpaced_bytes", "_unpaced_requests"),
        *("peer", "pending", "session", "user"),
    )

    def __init__(self, session: SessionId, transport: Transport, pace: Pace | None = None) -> None:
        self.session = session
        self.user = ""
        self.peer = transport.peer
        self.pending: list[ServerMessage | Batch] = []
        self._transport = transport
        transport.receive_bytes_max = limits.LOGIN_RECEIVE_BYTES_MAX
        self._pace = pace
        self._outbox = Outbox(transport)
        self._decoder = request_decoder()
        self._input_ended = trio.Event()
        self._requests: list[Request] = []
        self._unpaced_requests = self._unpaced_bytes = 0
        self._is_reported = self._is_end_told = False

    def admit(self, user: str, pace: Pace | None) -> None:
        """The client has logged in, may send longer lines, and is read at its user's pace."""
        self._decoder.line_bytes_max = limits.LINE_BYTES_MAX
        self._transport.receive_bytes_max = limits.RECEIVE_BYTES_MAX
        self.user = user
        self._pace = pace

    def feed(self, data: bytes) -> int:
        """Take the next bytes of the input; empty bytes are its end.

        Returns:
            As how many requests the work counts, besides those that they bring.
        """
        if not data:
            self._outbox.finish()
            self._input_ended.set()
            return 0
        decoder = self._decoder
        if decoder.violation is not None:
            return 0
        self._requests = decoder.feed(data)
        if decoder.violation is not None:  # what comes now is thrown away, which is little work
            self._transport.receive_bytes_max = limits.RECEIVE_BYTES_MAX
        self._unpaced_bytes += len(data)
        skipped = decoder.skipped
        if skipped:
            self._unpaced_requests += skipped
            decoder.skipped = 0
            if skipped > limits.STRANGER_EMPTY_LINES_MAX and not self.user:
                # To read on slowly would keep the connection for as long as it likes.
                decoder.fail(ErrorCode.BAD_LINE, reason="Empty lines mean nothing")
        return skipped + len(data) // limits.REQUEST_INPUT_BYTES_MAX

    def next_command(self) -> Command | None:
        """What the input means, a batch of requests at a time; none when nothing is left."""
        requests = self._requests
        if requests:
            if len(requests) <= limits.REQUESTS_BATCH_MAX:  # nearly always
                self._requests = []
            else:
                self._requests = requests[limits.REQUESTS_BATCH_MAX :]
                requests = requests[: limits.REQUESTS_BATCH_MAX]
            self._unpaced_requests += len(requests)
            return Requests(self.session, requests)
        violation = self._decoder.violation
        if violation is not None and not self._is_reported:
            self._is_reported = True
            return SessionFailed(self.session, violation.code, violation.text)
        if self._input_ended.is_set() and not self._is_end_told:
            self._is_end_told = True
            return SessionClosed(self.session)
        return None

    @property
    def has_more(self) -> bool:
        """Whether requests are left that were fed and not handled yet."""
        return bool(self._requests)

    def delay(self, now: float) -> float:
        """How many seconds to wait before more is fed, after all that was handled."""
        if self._pace is None:
            return 0.0
        requests, size_bytes = self._unpaced_requests, self._unpaced_bytes
        self._unpaced_requests = self._unpaced_bytes = 0
        return self._pace.delay(requests, size_bytes, now)

    def flush(self) -> bool:
        """Send what is pending, in one go; return whether the receiver keeps up."""
        data = encode_lines(self.pending)
        self.pending = []
        if len(data) > limits.OUTBOX_BYTES_MAX:
            return all(map(self._outbox.send, _pieces(data)))  # up to the first that is refused
        return self._outbox.send(data)

    def charge(self, receivers: int, size_bytes: int, weight: int) -> None:
        """One of these requests had others sent something; see `Pace.charge`."""
        if self._pace is not None:
            self._pace.charge(receivers, size_bytes, weight)

    def finish(self) -> None:
        """Close the connection once everything is out, what is pending too."""
        self._outbox.finish()
        self.flush()

    async def run(self, arrivals: Arrivals[Connection]) -> bool:
        """Serve the connection until both of its directions have ended, or time is up.

        Returns:
            Whether the end of its input was fed to it, and so was told.
        """
        async with arrivals.watching(self._transport, self):
            await self._outbox.run()
            with trio.move_on_after(limits.DRAIN_SECONDS_MAX):
                try:
                    self._transport.send_eof()
                except trio.BrokenResourceError:
                    pass  # the other end was faster
                else:
                    await self._input_ended.wait()
        return self._input_ended.is_set()


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Whole lines, in pieces that an outbox may keep; a line that is longer is one by itself."""
    start = 0
    while len(lines) - start > limits.OUTBOX_BYTES_MAX:
        end = lines.rfind(b"\n", start, start + limits.OUTBOX_BYTES_MAX)
        end = (lines.index(b"\n", start) if end < 0 else end) + 1
        yield lines[start:end]
        start = end
    yield lines[start:]
