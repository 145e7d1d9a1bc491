"""The way to other clients, without keys: a certificate is a name, and whoever shows it has it.

Who gets through by the real handshake is tested in `tests/client/test_peering.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from trio_chat import limits
from trio_chat.client.peering import Tickets, Welcome
from trio_chat.net.transport import HandshakeError
from trio_chat.protocol import messages as wire

from .network import End, Network

Watch = Callable[[End, str, str], None]
"""Is told of a connection: its end, whose that is, and who is at the other one."""


Everybody = dict[tuple[str, int], "SimulatedPeering"]
"""Who listens at which address."""


class SimulatedPeering:
    """Behind the interface `Peering`, for the life of one client."""

    def __init__(
        self, network: Network, host: str, port: int, everybody: Everybody, watch: Watch
    ) -> None:
        self.host, self.port = host, port
        self.certificate = f"client {host}:{port}".encode()
        self.tickets = Tickets()
        self._network = network
        self._everybody = everybody
        self._watch = watch

    async def serve(
        self,
        user: str,
        welcome: Welcome,
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[wire.Listening] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async def handle(end: End) -> None:
            try:
                introduced = None
                with trio.move_on_after(limits.PEER_CONNECT_SECONDS_MAX):
                    ticket = await end.receive_exactly(wire.TICKET_CHARACTERS)
                    introduced = await self.tickets.find(ticket)
                if introduced is not None and self.tickets.take(ticket):
                    if introduced.purpose == "private":
                        self._watch(end, user, introduced.user)
                        self._watch(end.other, introduced.user, user)
                    await welcome(end, introduced)
            except trio.BrokenResourceError:
                pass
            finally:
                end.close()

        stop = self._network.listen(
            self.host, self.port, lambda end: nursery.start_soon(handle, end)
        )
        self._everybody[self.host, self.port] = self
        try:
            task_status.started(wire.Listening(self.port, self.certificate))
            await trio.sleep_forever()
        finally:
            stop()
            del self._everybody[self.host, self.port]

    def expect(self, introduced: wire.Introduced) -> None:
        self.tickets.add(introduced)

    async def dial(self, introduction: wire.Introduction, ticket: str) -> End:
        address = introduction.address, introduction.port
        end = await self._network.connect(self.host, *address)
        other = self._everybody.get(address)
        if other is None:
            end.close()
            raise ConnectionRefusedError
        if other.certificate != introduction.certificate:
            end.close()
            raise HandshakeError("it shows another certificate")
        try:
            await end.send_all(ticket.encode())
        except trio.BrokenResourceError as error:
            raise HandshakeError("it has closed the connection") from error
        return end
