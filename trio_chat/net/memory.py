"""Connections inside one process, for tests and simulation, on trio's in-memory streams."""

from __future__ import annotations

import trio
import trio.testing

from .. import limits
from .crowd import Crowd
from .transport import Handler, HandshakeError


class MemoryTransport:
    """One end of a pair made by `memory_pair`, behind the interface `Transport`.

    Attributes:
        peer_host, local_host: loopback, unless a test wants to be somewhere else.
        capacity_bytes: what the other end may leave unread before this one "is full".
    """

    def __init__(self, peer: str, capacity_bytes: int) -> None:
        self.peer = peer
        self.peer_host = self.local_host = "127.0.0.1"
        self.connected_at = 0.0
        self.receive_bytes_max = limits.RECEIVE_BYTES_MAX
        self.capacity_bytes = capacity_bytes
        self._stream = trio.testing.MemoryReceiveStream()
        self._unread_bytes = 0
        self._other: MemoryTransport | None = None
        self._closed = False
        self._eof_sent = False
        self._room = trio.Event()

    async def receive(self) -> bytes:
        data = bytes(await self._stream.receive_some(self.receive_bytes_max))
        self._unread_bytes -= len(data)
        if self._other is not None:
            self._other._room.set()
        return data

    async def receive_into(self, buffer: memoryview) -> int:
        data = bytes(await self._stream.receive_some(len(buffer)))
        buffer[: len(data)] = data
        self._unread_bytes -= len(data)
        if self._other is not None:
            self._other._room.set()
        return len(data)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        while True:
            data = data[self.send_nowait(bytes(data)) :]
            if not data:
                await trio.lowlevel.checkpoint()
                return
            await self.wait_writable()

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        self._check_open()
        other = self._other
        if other is None or other._closed:
            raise trio.BrokenResourceError
        taken = min(len(data), self.capacity_bytes - other._unread_bytes)
        if taken > 0:
            other._unread_bytes += taken
            other._stream.put_data(bytes(data[:taken]))
        return max(taken, 0)

    async def wait_writable(self) -> None:
        self._check_open()
        other = self._other
        while (
            not self._closed
            and other is not None
            and not other._closed
            and other._unread_bytes >= self.capacity_bytes
        ):
            self._room = trio.Event()
            await self._room.wait()
        await trio.lowlevel.checkpoint()
        self._check_open()

    def send_eof(self) -> None:
        self._check_open()
        self._eof_sent = True
        if self._other is not None and not self._other._closed:
            self._other._stream.put_eof()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._room.set()
        self._stream.close()
        other = self._other
        if other is not None and not other._closed:
            other._room.set()
            if not self._eof_sent:
                other._stream.put_eof()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError


def memory_pair(
    capacity_bytes: int = limits.RECEIVE_BYTES_MAX, names: tuple[str, str] = ("left", "right")
) -> tuple[MemoryTransport, MemoryTransport]:
    """Two ends of one connection; each is the ``peer`` of the other by its name."""
    left = MemoryTransport(names[1], capacity_bytes)
    right = MemoryTransport(names[0], capacity_bytes)
    left._other, right._other = right, left
    return left, right


class MemoryListener:
    """Accepts the connections that `connect` makes."""

    def __init__(
        self, capacity_bytes: int = limits.RECEIVE_BYTES_MAX, crowd: Crowd | None = None
    ) -> None:
        self._capacity_bytes = capacity_bytes
        self._crowd = crowd or Crowd(0)
        self._incoming, self._accept = trio.open_memory_channel[MemoryTransport](0)
        self._count = 0

    async def connect(self, host: str = "127.0.0.1") -> MemoryTransport:
        """The client's end of a new connection, which comes from this address."""
        self._count += 1
        client, server = memory_pair(self._capacity_bytes, (f"client {self._count}", "server"))
        server.peer_host = host
        client.connected_at = server.connected_at = trio.current_time()
        await self._incoming.send(server)
        return client

    async def serve(
        self,
        handler: Handler,
        handler_nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async def handle(transport: MemoryTransport) -> None:
            try:
                with self._crowd.place_for(transport):
                    await handler(transport)
            except HandshakeError:
                pass
            finally:
                transport.close()

        task_status.started(["memory"])
        async for transport in self._accept:
            handler_nursery.start_soon(handle, transport)
