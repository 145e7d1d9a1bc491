"""Clients that reach each other inside one process: a network without sockets and keys.

A certificate is a name here, and whoever presents it has it; so these tests are about what
clients do with each other, and `test_peering` is about who gets through.
"""

from __future__ import annotations

import trio

from trio_chat import limits
from trio_chat.client.peering import Tickets, Welcome
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.net.transport import HandshakeError
from trio_chat.protocol import messages as wire


class Network:
    """Where clients listen.

    Attributes:
        cut: ports that nobody answers on, as behind a firewall.
        delay_seconds: how long a connection takes to be made.
        transports: both ends of every connection that was made, the one that connected first.
        owners: whose each of these is.
    """

    def __init__(self) -> None:
        self.clients: dict[int, MemoryPeering] = {}
        self.cut: set[int] = set()
        self.delay_seconds = 0.0
        self.transports: list[tuple[MemoryTransport, MemoryTransport]] = []
        self.owners: dict[MemoryTransport, MemoryPeering] = {}

    def client(self) -> MemoryPeering:
        """A way to the others, for one more client."""
        return MemoryPeering(self, len(self.clients) + 1)


class MemoryPeering:
    """Behind the interface `Peering`."""

    def __init__(self, network: Network, port: int) -> None:
        self.port = port
        self.certificate = b"client %d" % port
        self.failure: Exception | None = None
        self._network = network
        self._tickets = Tickets()
        self._incoming, self._accept = trio.open_memory_channel[tuple[MemoryTransport, str]](100)
        network.clients[port] = self

    async def serve(
        self,
        user: str,
        welcome: Welcome,
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[wire.Listening] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        if self.failure is not None:
            raise self.failure

        async def handle(transport: MemoryTransport, ticket: str) -> None:
            try:
                introduced = None
                with trio.move_on_after(limits.PEER_CONNECT_SECONDS_MAX):
                    introduced = await self._tickets.find(ticket)
                if introduced is not None and self._tickets.take(ticket):
                    await welcome(transport, introduced)
            finally:
                transport.close()

        task_status.started(wire.Listening(self.port, self.certificate))
        async for transport, ticket in self._accept:
            nursery.start_soon(handle, transport, ticket)

    def expect(self, introduced: wire.Introduced) -> None:
        self._tickets.add(introduced)

    async def dial(self, introduction: wire.Introduction, ticket: str) -> MemoryTransport:
        await trio.sleep(self._network.delay_seconds)
        other = self._network.clients.get(introduction.port)
        if introduction.port in self._network.cut:
            await trio.sleep_forever()
        if other is None:
            raise ConnectionRefusedError
        if introduction.certificate != other.certificate:
            raise HandshakeError("it shows another certificate")
        ours, theirs = memory_pair(names=(f"client {self.port}", f"client {other.port}"))
        self._network.transports.append((ours, theirs))
        self._network.owners.update({ours: self, theirs: other})
        other._incoming.send_nowait((theirs, ticket))
        return ours
