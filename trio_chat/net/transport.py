"""The interface of a connection.

It differs from trio's streams in one point: sending never waits. `send_nowait` hands the
kernel what it takes at once, and `wait_writable` waits until it takes more. So whoever has
something for a thousand connections sends it in one go, with no task to wake, and only for
those that do not keep up does anybody have to wait (see `outbox`).
"""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """Two streams of bytes, one each way.

    After `close`, every method raises `trio.ClosedResourceError`, in calls that wait at
    that moment too. A connection that the other side has broken raises
    `trio.BrokenResourceError`.

    Attributes:
        peer: the address of the other end, for people to read.
    """

    peer: str

    async def receive(self) -> bytes:
        """The next bytes, at most `limits.RECEIVE_BYTES_MAX`; empty at the end."""

    def send_nowait(self, data: bytes | bytearray) -> int:
        """Send what can be sent without waiting; return how many bytes that was."""

    async def wait_writable(self) -> None:
        """Wait until `send_nowait` is likely to take something."""

    def send_eof(self) -> None:
        """Tell the other end that nothing more comes; receiving goes on."""

    def close(self) -> None:
        """End the connection, at once. Closing twice is fine."""
