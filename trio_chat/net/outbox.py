"""The bounded buffer between those who have something to say and one connection."""

from __future__ import annotations

import trio

from .. import limits
from .transport import Transport


class Outbox:
    """Sends to one transport without ever making anybody wait.

    - `send` MUST NOT wait: what the transport does not take at once is kept, in order.
    - What is kept MUST stay below `limits.OUTBOX_BYTES_MAX`: what would be behind that is not
      kept, `send` returns False, and the caller has to `finish`. For the last lines, after
      that, there is as much room again.
    - Only `run` waits for a slow receiver; it MUST run as long as the connection lives.
    - After `finish`, what is kept is still sent, for `limits.DRAIN_SECONDS_MAX`.
    - A broken connection is not an error here: what is sent to it vanishes, and whoever
      reads from it learns the rest.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._unsent = bytearray()
        self._work = trio.Event()
        self._finished = False
        self._life = trio.CancelScope()

    def send(self, data: bytes) -> bool:
        """Send bytes now or soon; return whether they are within the bound."""
        if not self._unsent:
            taken = self._try_send(data)
            if taken == len(data):
                return True
            data = data[taken:]
        elif len(self._unsent) + len(data) > limits.OUTBOX_BYTES_MAX * (1 + self._finished):
            return False
        self._unsent += data
        self._work.set()
        return len(self._unsent) <= limits.OUTBOX_BYTES_MAX

    def finish(self) -> None:
        """Nothing more will be sent; `run` ends once everything is out, or time is."""
        self._finished = True
        self._life.deadline = trio.current_time() + limits.DRAIN_SECONDS_MAX
        self._work.set()

    async def run(self) -> None:
        """Send what the transport did not take at once; return after `finish`."""
        with self._life:
            while self._unsent or not self._finished:
                await self._work.wait()
                if not self._finished:
                    self._work = trio.Event()
                await self._drain()

    async def _drain(self) -> None:
        try:
            while self._unsent:
                await self._transport.wait_writable()
                taken = self._try_send(self._unsent)
                del self._unsent[:taken]
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._unsent.clear()

    def _try_send(self, data: bytes | bytearray) -> int:
        try:
            return self._transport.send_nowait(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return len(data)
