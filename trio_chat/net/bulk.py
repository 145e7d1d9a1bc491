"""TLS for large transfers: the same connection as `tls` makes, with fewer calls for each byte.

The socket is read and written in blocks of 256 KiB, which TLS decrypts into a buffer of the
caller's. One task may receive and one may send at a time, as on any stream.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import cast

import trio

from .. import limits
from .tcp import TcpTransport
from .tls import TlsTransport, begin_tls

BLOCK_BYTES = 256 * 1024
"""What one call to the kernel moves: large enough to make calls cheap, and small enough that other
tasks never wait long."""

_SLICE_BYTES = 64 * 1024
"""What is decrypted at a time, before it is looked at whether that has brought anything."""


class BulkTlsTransport(TlsTransport):
    """A TLS connection after its handshake, behind the interface `BulkTransport`.

    Made by `handshake`.
    """

    _block_bytes = _slice_bytes = BLOCK_BYTES

    def __init__(self, plain: TcpTransport, context: ssl.SSLContext, server_name: str | None):
        super().__init__(plain, context, server_name)
        self._block = memoryview(bytearray(BLOCK_BYTES))
        self._received = self._block[:0]  # what TLS was not given yet
        self._at_end = False  # what comes after that is nothing

    # -- Receiving -------------------------------------------------------------------------

    async def receive(self) -> bytes:
        buffer = bytearray(limits.RECEIVE_BYTES_MAX)
        size = await self.receive_into(memoryview(buffer))
        return bytes(buffer[:size])

    async def receive_into(self, buffer: memoryview) -> int:
        """Fill a buffer with what is there, and at least something; return 0 at the end.

        Raises:
            trio.BrokenResourceError: if the connection is.
        """
        assert buffer
        await trio.lowlevel.checkpoint_if_cancelled()
        filled = 0
        while not filled and not self._at_end:
            if not self.has_early_input and not self._received and not await self._read_block():
                break
            filled = self._decrypt_into(buffer)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return filled

    def _decrypt_into(self, buffer: memoryview) -> int:
        """Decrypt what was received, as far as there is room for it."""
        filled, room = 0, len(buffer)
        while filled < room and (self.has_early_input or self._received) and not self._at_end:
            if not self.has_early_input:
                self._incoming.write(self._received[:_SLICE_BYTES])
                self._received = self._received[_SLICE_BYTES:]
                self.has_early_input = True
            left = self._left
            brought, records = self._read_records(buffer[filled:])
            self._count(left - self._left, brought, records)
            filled += brought
        return filled

    @property
    def _left(self) -> int:
        """How many bytes TLS has that were not asked for yet."""
        return self._incoming.pending + self._tls.pending()

    def _read_records(self, buffer: memoryview) -> tuple[int, int]:
        """Take what TLS has, as far as there is room: so many bytes, in so many records.

        It may have more if `has_early_input` is left.
        """
        filled, records, room = 0, 0, len(buffer)
        # A record at most comes at a time, so this runs 64 times for each MiB. With a buffer it
        # returns a size, which typeshed does not know.
        read = cast("Callable[[int, memoryview], int]", self._tls.read)
        try:
            # With nothing left, only an exception would come, which is dear.
            while filled < room and self.has_early_input:
                size = read(room - filled, buffer[filled:])
                if size == 0:
                    self._at_end = True
                    break
                filled += size
                records += 1
                self.has_early_input = bool(self._incoming.pending or self._tls.pending())
        except ssl.SSLWantReadError:
            self.has_early_input = False  # a part of a record
        except ssl.SSLError as error:
            self._break(error)
        return filled, records

    async def _read_block(self) -> bool:
        """Take what the socket has; return False at the end."""
        while True:
            self._check_open()
            try:
                size = self._sock.recv_into(self._block)
            except (BlockingIOError, InterruptedError):
                await trio.lowlevel.wait_readable(self._sock)
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error
            self._received = self._block[:size]
            return size > 0

    # -- Sending ---------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it; whoever cancels that has to close the connection.

        Raises:
            trio.BrokenResourceError: if the connection is.
        """
        view = memoryview(data)
        while True:
            view = view[self.send_nowait(view) :]
            if not view:
                await trio.lowlevel.checkpoint()
                return
            await self.wait_writable()


async def handshake(
    transport: TcpTransport, context: ssl.SSLContext, *, server_name: str | None = None
) -> BulkTlsTransport:
    """Begin TLS on a connection, as `tls.begin_tls` does."""
    return await begin_tls(BulkTlsTransport, transport, context, server_name)
