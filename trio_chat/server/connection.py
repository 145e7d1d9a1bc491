"""One connection: its task reads requests and hands them on, another empties its outbox.

The end of a connection, whoever wants it: the outbox is finished, the last lines go out,
our half of the connection is closed, and what still comes in is thrown away until the other
end closes too. Closing at once would let the kernel drop our last lines, which say why.

Who sends too much is read more slowly, and waits as one does who finds the broker busy. While
reading pauses the client's end of the connection is not noticed; our own takes no longer.

Requests are handed on in batches, each once the broker has handled the one before: so whoever
floods has one batch at a time in the queue that all share, and not thousands of requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import trio

from .. import limits
from ..core.commands import Command, Requests, SessionClosed, SessionFailed, SessionId
from ..net.outbox import Outbox
from ..net.transport import Transport
from ..protocol.framing import encode_lines, request_decoder
from ..protocol.messages import Request, ServerMessage
from .pace import Pace

Submit = Callable[[Command], Awaitable[None]]


class Connection:
    """The hub's end of a session.

    Attributes:
        session: its id.
        peer: the address of the other end.
        pending: what to send at the next `flush`.

    Args:
        session: see above.
        transport: connected; it is closed by whoever opened it.
        pace: how fast to read; none for as fast as the broker handles it.
    """

    def __init__(self, session: SessionId, transport: Transport, pace: Pace | None = None) -> None:
        self.session = session
        self.peer = transport.peer
        self.pending: list[ServerMessage | msgspec.Raw] = []
        self._transport = transport
        self._pace = pace
        self._outbox = Outbox(transport)
        self._decoder = request_decoder()
        self._reading = trio.CancelScope()
        self._handled = trio.Event()
        self._handled.set()
        self._input_ended = trio.Event()

    def admit(self) -> None:
        """The client has logged in, and may send longer lines."""
        self._decoder.line_bytes_max = limits.LINE_BYTES_MAX

    def flush(self) -> bool:
        """Send what is pending, in one go; return whether the receiver keeps up."""
        data = encode_lines(self.pending)
        self.pending = []
        return self._outbox.send(data)

    def handled(self) -> None:
        """The broker has handled the requests that were submitted last."""
        self._handled.set()

    def charge(self, receivers: int) -> None:
        """One of these requests went to so many others."""
        if self._pace is not None:
            self._pace.charge(receivers)

    def finish(self) -> None:
        """Close the connection once everything that was flushed is out."""
        self._outbox.finish()

    async def run(self, submit: Submit) -> None:
        """Serve the connection; return when both of its directions have ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, submit)
            await self._outbox.run()
            with trio.move_on_after(limits.DRAIN_SECONDS_MAX):
                try:
                    self._transport.send_eof()
                except trio.BrokenResourceError:
                    pass  # the other end was faster
                else:
                    await self._input_ended.wait()
            self._reading.cancel()

    async def _read(self, submit: Submit) -> None:
        with self._reading, suppress(trio.BrokenResourceError):  # no goodbye is as good as one
            while data := await self._transport.receive():
                if self._decoder.violation is not None:
                    continue
                requests = self._decoder.feed(data)
                while len(requests) > limits.REQUESTS_BATCH_MAX:
                    await self._hand_on(requests[: limits.REQUESTS_BATCH_MAX], submit)
                    await self._pause(limits.REQUESTS_BATCH_MAX, 0)
                    requests = requests[limits.REQUESTS_BATCH_MAX :]
                if requests:
                    await self._hand_on(requests, submit)
                violation = self._decoder.violation
                if violation is not None:
                    await submit(SessionFailed(self.session, violation.code, violation.text))
                else:
                    await self._pause(len(requests), len(data))
        self._outbox.finish()
        self._input_ended.set()
        # However busy the broker is: if this were lost, the user would seem to be online.
        await submit(SessionClosed(self.session))

    async def _hand_on(self, batch: list[Request], submit: Submit) -> None:
        if not self._handled.is_set():
            await self._handled.wait()
        self._handled = trio.Event()
        await submit(Requests(self.session, batch))

    async def _pause(self, requests: int, size_bytes: int) -> None:
        if self._pace is not None:
            delay = self._pace.delay(requests, size_bytes, trio.current_time())
            if delay:
                await trio.sleep(delay)
