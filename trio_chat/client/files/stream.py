"""Lines and raw bytes on one connection: how files travel between two clients.

A line is a message, as everywhere; some say how many bytes follow right behind them.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from ... import limits
from ...errors import ErrorCode, ProtocolViolation
from ...net.transport import BulkTransport

T = TypeVar("T")


class FileStream(Generic[T]):
    """What one side receives.

    Args:
        transport: to read from.
        decoder: of the messages.
    """

    def __init__(self, transport: BulkTransport, decoder: msgspec.json.Decoder[T]) -> None:
        self._transport = transport
        self._decoder = decoder
        self._bytes = bytearray(limits.FILE_LINE_BYTES_MAX)
        self._buffer = memoryview(self._bytes)
        self._start = self._end = 0

    async def receive(self) -> T | None:
        """The next message; none at the end.

        Raises:
            trio.BrokenResourceError: if the connection is.
            ProtocolViolation: if what comes is no message.
        """
        searched = self._start
        while True:
            line_end = self._bytes.find(b"\n", searched, self._end)
            if line_end >= 0:
                line = self._buffer[self._start : line_end]
                self._start = line_end + 1
                try:
                    return self._decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise ProtocolViolation(ErrorCode.BAD_LINE, reason=str(error)) from None
            searched = self._end - self._start
            self._compact()
            if self._end == len(self._buffer):
                raise ProtocolViolation(ErrorCode.LINE_TOO_LONG, limit=len(self._buffer))
            size = await self._transport.receive_into(self._buffer[self._end :])
            if size == 0:
                return None
            self._end += size

    async def receive_into(self, target: memoryview) -> int:
        """Fill a buffer with what is there of the bytes that follow; return 0 at the end.

        Raises:
            trio.BrokenResourceError: if the connection is.
        """
        size = min(self._end - self._start, len(target))
        if size == 0:
            return await self._transport.receive_into(target)
        target[:size] = self._buffer[self._start : self._start + size]
        self._start += size
        return size

    async def receive_exactly(self, target: memoryview) -> bool:
        """Fill a buffer with the bytes that follow; return False if the end comes first.

        Raises:
            trio.BrokenResourceError: if the connection is.
        """
        while target:
            size = await self.receive_into(target)
            if size == 0:
                return False
            target = target[size:]
        return True

    def _compact(self) -> None:
        rest = self._end - self._start
        self._buffer[:rest] = bytes(self._buffer[self._start : self._end])
        self._start, self._end = 0, rest
