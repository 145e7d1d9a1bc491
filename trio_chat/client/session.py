"""Our user's session with the server, over as many connections as it takes.

Theory of operation: `send` numbers a request and remembers it as an `Exchange` until its
reply has been shown. `receive` returns what one read brought, replies together with their
requests. When these were shown, the reader hands them to `shown`, which acknowledges the
messages among them and finishes the exchanges: whoever waits for one goes on only after
its reply stands on the screen, so nothing overtakes it there.

When a connection is lost, exchanges stay, and what is sent waits with them. `resume` makes
another connection, logs in with the token of the last one (or else with the password), and
sends again, in order and under the same numbers, whatever had no reply: the server answers a
repetition as it answered the first time, and receivers know what they have shown. A block that
had been set before its reply was lost is refused when it is repeated; that is a success.

What a script is answered by the client itself (`Aside`) stands in the same order: it is shown
after the replies to all requests before it, and the requests behind it are sent after that. So
nobody who reads lines has to wait for that order.

One task receives and resumes. Requests that wait for a reply are bounded in number and bytes,
and `send` waits at the bound; acknowledgements are not, but there is at most one for each
batch that was received.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence, Set
from contextlib import ExitStack

import msgspec
import trio

from .. import limits
from ..errors import ErrorCode, FailureError, ProtocolViolation
from ..net.transport import Transport
from ..protocol import messages as wire
from .connection import Connection, ConnectionLost, Refused
from .exchange import Aside, Exchange, Received
from .meanings import Numbered
from .notice import Notice

_UNANSWERED_BYTES_MAX = limits.OUTBOX_BYTES_MAX // 2
"""What may wait for replies, so that a server that does not read fills no outbox."""

_RESUME_ID, _LOGIN_ID = 1, 2
"""The numbers of a login on a later connection: below those of all that may be repeated."""

_ALREADY_DONE = {
    wire.Block: ErrorCode.ALREADY_BLOCKED,
    wire.Unblock: ErrorCode.NOT_BLOCKED,
    wire.Unregister: ErrorCode.NOT_REGISTERED,
}
"""How a request that was done is refused when it is repeated."""

Connect = Callable[[], Awaitable[Transport]]
"""Tries once to connect to the server and to make sure that it is the right one.

Raises `UnreachableError` if there is none, `FailureError` if it is another one."""


class UnreachableError(FailureError):
    """There is no such server, or nothing that is one, or it does not want us.

    Attributes:
        code: why it does not want us; none if it did not say that.
    """

    def __init__(self, text: str, code: ErrorCode | None = None) -> None:
        self.code = code
        super().__init__(text)


class Session:
    """The session; `run` must run while it is used, once it is open.

    Args:
        server: its address, for people.
        connect: see `Connect`.
        client: the random name of this client, which it keeps for as long as it lives.

    Attributes:
        has_begun: whether our user was ever logged in.
        is_connected: whether our user is logged in on the connection of the moment.
    """

    def __init__(self, server: str, connect: Connect, client: str) -> None:
        self.has_begun = False
        self.is_connected = False
        self._server = server
        self._connect = connect
        self._client = client
        self._connection: Connection | None = None
        self._renewed = trio.Event()
        self._is_over = False
        self._login: wire.Login | None = None
        self._token = ""
        self._listening: wire.Listening | None = None
        self._last_id = _LOGIN_ID
        self._exchanges: dict[int, Exchange] = {}
        self._asides: deque[Aside] = deque()
        self._unanswered_bytes = 0
        self._answered = trio.Event()
        self._early: list[wire.ServerMessage] = []
        self._waiting = 0  # deliveries to come that had to wait for the login
        self._violation: ProtocolViolation | None = None

    @property
    def unanswered(self) -> int:
        """How many requests of our user wait for their replies."""
        return sum(not exchange.quiet for exchange in self._exchanges.values())

    @property
    def is_full(self) -> bool:
        """Whether `send` would wait, as too much waits already."""
        return (
            len(self._exchanges) + len(self._asides) >= limits.REQUESTS_UNANSWERED_MAX
            or self._unanswered_bytes >= _UNANSWERED_BYTES_MAX
        )

    @property
    def capabilities(self) -> Set[str]:
        """What the server can do beside what every server does."""
        return frozenset() if self._connection is None else self._connection.capabilities

    # -- Connections -------------------------------------------------------------------------

    async def open(self) -> None:
        """Make the first connection.

        Raises:
            UnreachableError: if there is no server to talk to.
            FailureError: if it is not the right one.
        """
        self._use(await self._reach())

    async def run(self) -> None:
        """Send what the server does not take at once; runs until it is cancelled."""
        while True:
            connection = self._connection
            assert connection is not None
            await connection.run()
            while self._connection is connection:
                await self._renewed.wait()

    async def resume(self) -> None:
        """Make another connection instead of one that was lost, and go on there.

        Raises:
            UnreachableError: if that does not work, or not now.
            FailureError: if what answers is not the right server.
        """
        self._lose_connection()
        connection = await self._reach()
        self._use(connection)
        with ExitStack() as undo:
            undo.callback(self._lose_connection)
            try:
                with trio.fail_after(limits.RESUME_SECONDS_MAX):
                    self._early = await self._log_in_again(connection)
            except _UNREACHABLE as error:
                raise self._unreachable(error) from None
            undo.pop_all()
        self.is_connected = True
        for exchange in self._exchanges.values():
            exchange.is_on_wire = False
        self._put_allowed()

    def close(self) -> list[Notice]:
        """The session is over: nobody needs to wait for it any more.

        Returns:
            The client's own answers that nobody has seen yet.
        """
        self._is_over = True
        self._lose_connection()
        self._answered.set()
        for exchange in self._exchanges.values():
            exchange.lose()
        asides = [aside.notice for aside in self._asides]
        self._asides.clear()
        return asides

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self._renewed.set()
        self._renewed = trio.Event()

    def _lose_connection(self) -> None:
        self.is_connected = False
        self._violation = None
        self._early = []
        if self._connection is not None:
            self._connection.close()

    async def _reach(self) -> Connection:
        try:
            with ExitStack() as undo, trio.fail_after(limits.CONNECT_SECONDS_MAX):
                connection = Connection(await self._connect())
                undo.callback(connection.close)
                await connection.greet(
                    wire.Hello(wire.PROTOCOL_VERSION, self._client, (wire.RESUME, wire.CODES))
                )
                undo.pop_all()
        except _UNREACHABLE as error:
            raise self._unreachable(error) from None
        return connection

    def _unreachable(self, error: Exception) -> UnreachableError:
        """One line about an error that is among `_UNREACHABLE`."""
        server = self._server
        match error:
            case Refused():
                return UnreachableError(str(error), error.code)
            case trio.TooSlowError():
                return UnreachableError(f"The server at {server} does not answer")
            case ConnectionLost():
                return UnreachableError(f"The server at {server} has closed the connection")
            case _:
                return UnreachableError(f"What answers at {server} is no trio-chat server")

    async def _log_in_again(self, connection: Connection) -> list[wire.ServerMessage]:
        """Log in with the token, or else with the password; return what else was said."""
        login = self._login
        assert login is not None
        if self._listening is not None:
            connection.send(self._listening)
        if self._token:
            connection.send(wire.Resume(_RESUME_ID, login.user, self._token))
            before, answer, after = await _answer(connection)
            if isinstance(answer, wire.Ok):
                self._waiting = answer.waiting
                return [*before, *after]
            if answer.code is not ErrorCode.INVALID_TOKEN:
                raise Refused(answer.code, answer.text)
        connection.send(wire.Login(_LOGIN_ID, login.user, login.password))
        before, answer, after = await _answer(connection)
        if not isinstance(answer, wire.Ok):
            raise Refused(answer.code, answer.text)
        self._waiting = answer.waiting
        return [*before, *after]

    # -- Sending -----------------------------------------------------------------------------

    def log_in(self, user: str, password: str) -> Exchange:
        """Try to log in on the first connection; `has_begun` tells if that has worked."""
        assert not self.has_begun
        return self._begin(wire.Login(0, user, password), quiet=False)

    async def send(self, request: Numbered, *, quiet: bool = False) -> Exchange:
        """Send a request under the next number; wait first while too many are unanswered.

        Args:
            request: its number does not matter.
            quiet: whether its reply is not to be shown.

        Raises:
            ConnectionLost: if the session is over.
        """
        await self._wait_room()
        return self._begin(request, quiet=quiet)

    async def ask(self, request: Numbered) -> wire.Reply:
        """Send a request, return its reply, which nobody has shown.

        Who gives up to wait takes the request back, if it is not on a connection.

        Raises:
            ConnectionLost: if the session is over.
        """
        exchange = await self.send(request, quiet=True)
        try:
            return await exchange.wait()
        finally:
            exchange.is_wanted = False

    def tell(self, message: wire.Active | wire.Listening) -> None:
        """Tell the server something that it does not reply to, if there is a connection."""
        if isinstance(message, wire.Listening):
            self._listening = message  # and every connection to come
        if self._connection is not None and (self.is_connected or not self.has_begun):
            self._connection.send(message)

    async def wait_all_answered(self) -> None:
        """Wait until all replies that somebody sees have been shown, or can't come any more."""
        while (self.unanswered or self._asides) and not self._is_over:
            await self._answered.wait()

    async def _wait_room(self) -> None:
        while self.is_full and not self._is_over:
            await self._answered.wait()
        if self._is_over:
            raise ConnectionLost

    def _begin(self, request: Numbered, *, quiet: bool) -> Exchange:
        self._last_id += 1
        exchange = Exchange(msgspec.structs.replace(request, id=self._last_id), quiet=quiet)
        self._exchanges[self._last_id] = exchange
        self._unanswered_bytes += exchange.size_bytes
        if self._is_allowed(exchange):
            self._put(exchange)
        return exchange

    def _put_allowed(self) -> None:
        """Send what has waited for that, unless nobody wants to know the reply any more."""
        for exchange in [each for each in self._exchanges.values() if not each.is_on_wire]:
            if not exchange.is_wanted:
                self._remove(exchange)
            elif self._is_allowed(exchange):
                self._put(exchange)

    def _is_allowed(self, exchange: Exchange) -> bool:
        """Whether a request may be sent now."""
        if not self.has_begun:
            return True
        is_held = self._asides and self._asides[0].after < exchange.request.id
        return self.is_connected and not is_held

    def _put(self, exchange: Exchange) -> None:
        assert self._connection is not None
        exchange.is_repeated = exchange.is_sent
        exchange.is_sent = exchange.is_on_wire = True
        self._connection.send(exchange.request)

    # -- The client's own answers ------------------------------------------------------------

    async def put_aside(self, notice: Notice) -> bool:
        """Keep an answer until its turn has come; False if that is now.

        Waits first while too much is unanswered.

        Raises:
            ConnectionLost: if the session is over.
        """
        await self._wait_room()
        if not self.unanswered and not self._asides:
            return False
        self._asides.append(Aside(self._last_id, notice))
        return True

    def take_asides(self) -> list[Notice]:
        """The answers whose turn has come; the requests behind them are sent."""
        if not self._asides:
            return []
        waiting = (id for id, exchange in self._exchanges.items() if not exchange.quiet)
        first = next(waiting, math.inf)
        taken = []
        while self._asides and self._asides[0].after < first:
            taken.append(self._asides.popleft().notice)
        if taken:
            self._tell_answered()
            self._put_allowed()
        return taken

    # -- Receiving ---------------------------------------------------------------------------

    async def receive(self) -> list[Received]:
        """The next messages, at least one.

        Raises:
            ConnectionLost: if there will be none on the connection of the moment.
            ProtocolViolation: if the next one is none.
        """
        assert self._connection is not None
        batch: list[Received] = []
        while not batch:
            if self._violation is not None:
                raise self._violation
            try:
                messages = self._early or await self._connection.receive()
            except ConnectionLost:
                self._lose_connection()
                raise
            self._early = []
            batch = self._pair(messages)
        return batch

    def _pair(self, messages: Sequence[wire.ServerMessage]) -> list[Received]:
        """Replies with their requests, up to one that has none."""
        batch: list[Received] = []
        for message in messages:
            if isinstance(message, wire.Token):
                self._token = message.token
            if isinstance(message, wire.Delivery):
                batch.append(Received(message, has_waited=self._waiting > 0))
                self._waiting -= 1
                continue
            if (
                not isinstance(message, wire.Reply)
                or isinstance(message, wire.Welcome)
                or message.id is None
            ):
                batch.append(Received(message))
                continue
            exchange = self._exchanges.get(message.id)
            if exchange is None:
                reason = f"There is no request {message.id} to reply to"
                self._violation = ProtocolViolation(ErrorCode.BAD_LINE, reason=reason)
                break
            request = exchange.request
            if not isinstance(message, wire.REPLY_TO[type(request)] | wire.Error):
                reason = f"That is no reply to request {message.id}"
                self._violation = ProtocolViolation(ErrorCode.BAD_LINE, reason=reason)
                break
            if isinstance(request, wire.Login) and isinstance(message, wire.Ok):
                self._login = request
                self._waiting = message.waiting
                self.has_begun = self.is_connected = True
            was_done = exchange.is_repeated and _was_done(request, message)
            reply = wire.Ok(request.id) if was_done else message
            batch.append(Received(reply, request, exchange.quiet))
        return batch

    def shown(self, batch: Sequence[Received]) -> None:
        """What was received has been shown: the server may forget it, and others go on."""
        seq = -1
        for received in batch:
            message, request = received.message, received.request
            if isinstance(message, wire.Delivery):
                seq = message.seq
            elif request is not None:
                assert isinstance(message, wire.Reply)
                self._finish(request.id, message)
        if seq >= 0 and self.is_connected:
            assert self._connection is not None
            self._connection.send(wire.Ack(seq))

    def _finish(self, id: int, reply: wire.Reply) -> None:
        exchange = self._exchanges.get(id)
        if exchange is None:  # answered twice in one batch; the first answer holds
            return
        exchange.finish(reply)
        self._remove(exchange)

    def _remove(self, exchange: Exchange) -> None:
        del self._exchanges[exchange.request.id]
        self._unanswered_bytes -= exchange.size_bytes
        self._tell_answered()

    def _tell_answered(self) -> None:
        self._answered.set()
        self._answered = trio.Event()


async def _answer(
    connection: Connection,
) -> tuple[list[wire.ServerMessage], wire.Ok | wire.Error | wire.Closed, list[wire.ServerMessage]]:
    """The answer to a login, between what is said before it and what came with it."""
    before: list[wire.ServerMessage] = []
    while True:
        messages = await connection.receive()
        for index, message in enumerate(messages):
            if isinstance(message, wire.Ok | wire.Error | wire.Closed):
                return before, message, messages[index + 1 :]
            before.append(message)


def _was_done(request: Numbered, reply: wire.Reply) -> bool:
    """Whether a repeated request was refused because it had been done the first time."""
    return isinstance(reply, wire.Error) and reply.code is _ALREADY_DONE.get(type(request))


_UNREACHABLE = (trio.TooSlowError, ConnectionLost, Refused, ProtocolViolation)
