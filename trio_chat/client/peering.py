"""Direct connections between clients: who was introduced gets one, and nobody else.

Both sides learn of each other from the server: the one who connects gets the address and the
certificate of the other, who gets the certificate and a ticket by which to recognise the
connection. A ticket is good for one connection and for a short time, and the handshake fails
unless both sides have the keys of these very certificates.

The other side may connect before our server has told us of it, so an unknown ticket is
waited for, within the deadline that every connection has.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

import trio
from msgspec import Struct

from .. import limits
from ..addresses import plain_address
from ..net import bulk, tcp, tls
from ..net.identity import Identity, IdentityError, load_or_make
from ..net.tcp import TcpListener, TcpTransport
from ..net.transport import BulkTransport, HandshakeError, ListenError, Transport
from ..protocol import messages as wire
from .visitors import Visitors

Welcome = Callable[[BulkTransport, wire.Introduced], Awaitable[None]]
"""Takes a connection of somebody who was introduced; it is closed when this returns."""


class Peering(Protocol):
    """The way to other clients, and theirs to us."""

    async def serve(
        self,
        user: str,
        welcome: Welcome,
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[wire.Listening] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Let those in who are expected, until cancelled.

        Reports where it listens as its started value.

        Args:
            user: for whom.
            welcome: called for each connection, in a task of its own.
            nursery: runs these tasks.
            task_status: see `trio.Nursery.start`.

        Raises:
            FailureError: if nobody can reach us; its text says why.
        """

    def expect(self, introduced: wire.Introduced) -> None:
        """Somebody may connect now."""

    async def dial(self, introduction: wire.Introduction, ticket: str) -> BulkTransport:
        """Connect to somebody who expects us.

        Raises:
            OSError: if there is no way.
            HandshakeError: if whoever answers there is not whom we look for, or that is nowhere.
        """


class _Expected(Struct, frozen=True):
    introduced: wire.Introduced
    deadline: float


class Tickets:
    """Those who may connect: kept until they do, or for a short time, or until too many are.

    A ticket is `take`n when its owner has proved to be that, so nobody who has seen it on its
    way can use it up.
    """

    def __init__(self) -> None:
        self._expected: dict[str, _Expected] = {}
        self._more = trio.Event()

    def add(self, introduced: wire.Introduced) -> None:
        """Somebody may connect now."""
        now = trio.current_time()
        while self._expected and next(iter(self._expected.values())).deadline <= now:
            del self._expected[next(iter(self._expected))]
        # A server that names a longer time can't make us remember more.
        deadline = now + min(introduced.seconds, limits.INTRODUCTION_SECONDS)
        # A ticket stays whose it is, though others may have seen it and ask for the same.
        self._expected.setdefault(introduced.ticket, _Expected(introduced, deadline))
        if len(self._expected) > limits.INTRODUCTIONS_EXPECTED_MAX:
            del self._expected[next(iter(self._expected))]
        self._more.set()
        self._more = trio.Event()

    async def find(self, ticket: str) -> wire.Introduced:
        """Who comes with this ticket; waits until it is known."""
        while True:
            expected = self._expected.get(ticket)
            if expected is not None and trio.current_time() < expected.deadline:
                return expected.introduced
            await self._more.wait()

    def take(self, ticket: str) -> bool:
        """Use a ticket up; return whether it was still good."""
        expected = self._expected.pop(ticket, None)
        return expected is not None and trio.current_time() < expected.deadline


class TlsPeering:
    """Direct connections over TCP, with TLS 1.3 in which both sides present a certificate.

    Args:
        directory: for a user, where their key is kept.
        port: to listen on; 0 lets the system pick one.
        host: a name or address of this machine to listen on; none for all of them.
    """

    def __init__(
        self, directory: Callable[[str], Path], port: int = 0, host: str | None = None
    ) -> None:
        self._directory = directory
        self._listener = TcpListener(port, host, connections_max=limits.PEER_CONNECTIONS_MAX)
        self._tickets = Tickets()
        self._visitors = Visitors()
        self._identity: Identity | None = None

    async def serve(
        self,
        user: str,
        welcome: Welcome,
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[wire.Listening] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self._identity = load_or_make(self._directory(user), "trio-chat client")

        async def handle(transport: Transport) -> None:
            assert isinstance(transport, TcpTransport)
            with self._visitors.stranger(transport):
                secure, introduced = await self._accept(transport)
            with closing(secure), self._visitors.guest(introduced):
                await welcome(secure, introduced)

        failure: ListenError | None = None
        async with trio.open_nursery() as accepting:
            try:
                await accepting.start(self._listener.serve, handle, nursery)
                task_status.started(wire.Listening(self._listener.port, self._identity.certificate))
            except ListenError as error:
                failure = error
        if failure is not None:
            raise failure  # from in there it would come in a group

    def expect(self, introduced: wire.Introduced) -> None:
        self._tickets.add(introduced)

    async def _accept(self, transport: TcpTransport) -> tuple[BulkTransport, wire.Introduced]:
        assert self._identity is not None
        try:
            with trio.fail_after(limits.PEER_CONNECT_SECONDS_MAX):
                line = await transport.receive_exactly(wire.TICKET_CHARACTERS + 1)
                if _TICKET_LINE.fullmatch(line) is None:
                    raise HandshakeError("it shows no ticket")
                ticket = line[:-1].decode()
                introduced = await self._tickets.find(ticket)
                certificate = introduced.certificate
                context = tls.peer_context(self._identity, certificate, server_side=True)
                secure = await bulk.handshake(transport, context)
        except (trio.TooSlowError, trio.BrokenResourceError, IdentityError) as error:
            raise HandshakeError("it was not introduced, or has gone") from error
        if secure.peer_certificate != certificate or not self._tickets.take(ticket):
            secure.close()
            raise HandshakeError("it was not introduced")
        return secure, introduced

    async def dial(self, introduction: wire.Introduction, ticket: str) -> BulkTransport:
        assert self._identity is not None
        certificate = introduction.certificate
        try:
            address = plain_address(introduction.address)
        except ValueError as error:  # a name is not looked up because a server wants it
            raise HandshakeError("the server does not give its address") from error
        context = tls.peer_context(self._identity, certificate, server_side=False)
        transport = await tcp.connect(address, introduction.port)
        with ExitStack() as cleanup:
            cleanup.callback(transport.close)
            try:
                transport.send_nowait(ticket.encode() + b"\n")  # a new connection takes a line
            except trio.BrokenResourceError as error:
                raise HandshakeError("it has closed the connection") from error
            secure = await bulk.handshake(transport, context, server_name=_SERVER_NAME)
        if secure.peer_certificate != certificate:
            secure.close()
            raise HandshakeError("it shows another certificate")
        return secure


_TICKET_LINE = re.compile(rb"[0-9a-f]{%d}\n" % wire.TICKET_CHARACTERS)

_SERVER_NAME = "peer"
"""TLS wants to have one; who is meant is settled by the certificate."""
