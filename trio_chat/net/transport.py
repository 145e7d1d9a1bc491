"""The interfaces of a connection, and of what accepts connections.

A transport differs from trio's streams in one point: sending never waits. `send_nowait` hands the
kernel what it takes at once, and `wait_writable` waits until it takes more. So whoever has
something for a thousand connections sends it in one go, with no task to wake, and only for
those that do not keep up does anybody have to wait (see `outbox`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from ..errors import FailureError


class Transport(Protocol):
    """Two streams of bytes, one each way.

    After `close`, every method raises `trio.ClosedResourceError`, in calls that wait at
    that moment too. A connection that the other side has broken raises
    `trio.BrokenResourceError`.

    Attributes:
        peer: the address of the other end, for people to read.
        peer_host: the same without port and zone, as `addresses.plain_address` writes it.
        local_host: the address of this end, likewise.
        connected_at: when it was accepted, or made (seconds of trio's clock).
        receive_bytes_max: how much one read takes; `limits.RECEIVE_BYTES_MAX` at first.
    """

    peer: str
    peer_host: str
    local_host: str
    connected_at: float
    receive_bytes_max: int

    async def receive(self) -> bytes:
        """The next bytes, about `receive_bytes_max` at most; empty at the end."""

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """Send what can be sent without waiting; return how many bytes that was.

        What was not taken MUST come first in the next call, with as much behind it or more:
        an encrypted connection may have begun with it.
        """

    async def wait_writable(self) -> None:
        """Wait until `send_nowait` is likely to take something."""

    def send_eof(self) -> None:
        """Tell the other end that nothing more comes; receiving goes on."""

    def close(self) -> None:
        """End the connection, at once. Closing twice is fine."""


class BulkTransport(Transport, Protocol):
    """A transport for large amounts, of which one task receives and one sends at a time."""

    async def receive_into(self, buffer: memoryview) -> int:
        """Fill a buffer with what is there, and at least something; return 0 at the end."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it; whoever cancels that has to close the connection."""


Handler = Callable[[Transport], Awaitable[object]]


class ListenError(FailureError):
    """It is not possible to listen where it was asked for."""


class HandshakeError(FailureError):
    """Two ends that are connected do not agree on how to talk."""


class Listener(Protocol):
    """Accepts connections."""

    async def serve(
        self,
        handler: Handler,
        handler_nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run ``handler`` for each new connection, in a task of its own, until cancelled.

        Reports the addresses on which it listens as its started value.

        Args:
            handler: its transport is closed when it returns.
            handler_nursery: runs the handlers; they go on when this is cancelled, so that
                a server can stop to accept and still finish what it has begun.
            task_status: see `trio.Nursery.start`.

        Raises:
            ListenError: if it cannot listen there.
        """
