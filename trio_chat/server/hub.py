"""The hub: the one task that owns the broker, and the way from everybody to it and back.

Theory of operation: the hub takes what has come on all connections (`net.arrivals`), has the
broker handle it, and then sends to each connection that is concerned what has gathered for it,
in one call. So the busier the server, the more messages share a wake-up and a system call, and
nobody ever waits for a slow receiver. Whatever else happens is a command in one bounded channel,
and wakes the hub. This is the hot path: every message takes it, in `_round`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, ClassVar

import msgspec
import trio

from .. import limits
from ..core import effects
from ..core.broker import Broker
from ..core.catalogue import Entry
from ..core.commands import (
    Command,
    MailboxLoaded,
    Operate,
    Requests,
    SessionFailed,
    SessionId,
    Tick,
    session_name,
)
from ..core.effects import Commit, LoadMailbox
from ..core.orders import Order, Outcome
from ..core.shares import counted_by_sender
from ..core.statistics import Statistics
from ..errors import ErrorCode
from ..net.arrivals import Arrivals
from ..protocol.framing import Batch
from .connection import Connection
from .log import Log, Record, describe
from .pace import ROW_BYTES, Paces

StoreJob = Commit | LoadMailbox

NEVER = float("inf")


class Hub:
    """Runs a broker.

    Args:
        broker: which decides.
        log: takes a record of each event, if it is wanted.
        paces: how fast users are read; none for as fast as it goes.

    Attributes:
        store_jobs: what the store task has to do.
        password_jobs: what the password task has to do.
        stopped: set after a `Stop` command, when nothing is left to be saved.
        arrivals: what comes in, for the connections that it is fed to.
    """

    def __init__(self, broker: Broker, log: Log | None, paces: Paces | None = None) -> None:
        self._broker = broker
        self._log = log
        self._paces = paces
        self._submit, self._commands = trio.open_memory_channel[Command](limits.COMMANDS_QUEUE_MAX)
        self.arrivals: Arrivals[Connection] = Arrivals()
        # One commit at a time is asked for, so there is always room for it here, and the broker
        # never waits for the disk.
        self._store, self.store_jobs = trio.open_memory_channel[StoreJob](limits.STORE_QUEUE_MAX)
        self._passwords, self.password_jobs = trio.open_memory_channel[effects.CheckPassword](
            limits.PASSWORD_QUEUE_MAX
        )
        self._connections: dict[SessionId, Connection] = {}
        self._touched: dict[Connection, None] = {}
        self._own: deque[Command] = deque()
        self._behind: dict[Connection, float] = {}  # and when it may go on
        self._asker: Connection | None = None  # whose requests are being handled
        self._is_submitted = False
        self._notices_due = NEVER
        self._batch: Batch | None = None
        self._batch_sessions: Sequence[SessionId] = ()
        self._now = 0.0
        self._order_count = 0
        self._orders: dict[int, trio.MemorySendChannel[Outcome]] = {}
        self.stopped = trio.Event()

    async def submit(self, command: Command) -> None:
        """Hand a command to the broker; wait only while too many wait already."""
        self._is_submitted = True
        self.arrivals.wake()
        try:
            self._submit.send_nowait(command)
        except trio.WouldBlock:
            await self._submit.send(command)

    async def obey(self, order: Order) -> Outcome:
        """Have the broker carry out an order of the operator; return what came of it."""
        self._order_count += 1
        number = self._order_count
        self._orders[number], outcomes = trio.open_memory_channel[Outcome](1)
        try:
            await self.submit(Operate(number, order))
            return await outcomes.receive()
        finally:
            del self._orders[number]

    def attach(self, connection: Connection) -> None:
        """Begin to send to a connection."""
        self._connections[connection.session] = connection

    def detach(self, connection: Connection) -> None:
        """Send nothing more to a connection."""
        del self._connections[connection.session]
        self._behind.pop(connection, None)
        if self._paces is not None and connection.user:
            self._paces.give_back(connection.user, trio.current_time())

    @property
    def connections(self) -> int:
        """How many there are, logged in or not."""
        return len(self._connections)

    @property
    def statistics(self) -> Statistics:
        """What the broker holds."""
        return self._broker.statistics

    def files(self, start: int, size: int) -> list[Entry]:
        """See `Catalogue.page`."""
        return self._broker.files(start, size)

    async def run(self) -> None:
        """Handle commands until cancelled."""
        with closing(self.arrivals):
            while True:
                await self.arrivals.wait(
                    min(self._broker.next_deadline(), self._notices_due, *self._behind.values())
                )
                self._take_turn()
                if self._broker.has_stopped:
                    self.stopped.set()

    def _take_turn(self) -> None:
        """Serve what has come and, for a moment, what comes meanwhile."""
        count = new = self._round()
        end = self._now + limits.LINGER_SECONDS
        while new and count < limits.READS_TURN_MAX and self._now < end:
            new = self._round(limits.LINGER_SECONDS)
            count += new

    def _round(self, linger_seconds: float = 0.0) -> int:
        """Handle all that waits, then send; return from how many connections something came."""
        self._now = trio.current_time()
        if self._is_submitted:
            self._handle_submitted()
        if self._now >= self._notices_due:
            self._notices_due = NEVER
            self._touched.update((c, None) for c in self._connections.values() if c.pending)
        count = requests = 0
        for connection, due in tuple(self._behind.items()):
            if due > self._now:
                continue
            requests += self._serve(connection)
            if connection not in self._behind:
                self.arrivals.release(connection, connection.delay(self._now))
        for connection, data in self.arrivals.take(0.0 if requests else linger_seconds):
            count += 1
            requests += connection.feed(data) + self._serve(connection)
            if connection in self._behind:
                self.arrivals.hold()
            elif delay := connection.delay(self._now):
                self.arrivals.pause(delay)
            if requests >= limits.REQUESTS_ROUND_MAX:
                self._flush()
                requests = 0
        # Time is judged after all that had come by then: this process may have been stopped, and
        # nobody was idle whose requests lay in a socket meanwhile.
        if self._now >= self._broker.next_deadline():
            self._handle(Tick())
        self._flush()
        return count

    def _serve(self, connection: Connection) -> int:
        """Handle one batch of a connection, or what ends it; return how many requests that was.

        What is left is for the next round, or for when its sender may send on.
        """
        count = 0
        self._asker = connection
        while (command := connection.next_command()) is not None:
            self._handle(command)
            if type(command) is Requests:
                count += len(command.batch)
                if connection.has_more:
                    self._behind[connection] = self._now + connection.delay(self._now)
                    break
        else:
            self._behind.pop(connection, None)
        self._asker = None
        return count

    def _handle_submitted(self) -> None:
        requests = 0
        try:
            while True:
                command = self._commands.receive_nowait()
                self._handle(command)
                requests += len(command.batch) if type(command) is Requests else 1
                if requests >= limits.REQUESTS_ROUND_MAX:
                    self._flush()
                    requests = 0
        except trio.WouldBlock:
            self._is_submitted = False

    def _handle(self, command: Command) -> None:
        if self._log is not None:
            self._log_command(command)
        for effect in self._broker.handle(command, self._now):
            if self._log is not None:
                self._log_effect(effect)
            self._EFFECTS[type(effect)](self, effect)

    def _flush(self) -> None:
        while self._touched or self._own:
            self._batch = None  # nothing may be added to what has been sent
            touched, self._touched = self._touched, {}
            for connection in touched:
                if not connection.flush():
                    code = ErrorCode.SLOW
                    self._own.append(SessionFailed(connection.session, code, code.describe()))
            while self._own:  # somebody is slow, which others are told
                self._handle(self._own.popleft())

    # -- Effects -----------------------------------------------------------------------------

    def _send(self, effect: effects.Send) -> None:
        connection = self._connections.get(effect.session)
        if connection is not None:
            pending = connection.pending
            if pending and pending[-1] is self._batch:
                self._batch = None  # what is sent to all next comes behind this
            pending += effect.messages
            self._touched[connection] = None

    def _send_many(self, effect: effects.SendMany) -> None:
        if self._batch is not None and effect.sessions is self._batch_sessions:
            # To the same receivers as the one before.
            self._charge(effect, self._batch.append(effect.message))
            return
        batch = Batch()
        self._charge(effect, batch.append(effect.message))
        find = self._connections.get
        receivers = [found for session in effect.sessions if (found := find(session)) is not None]
        for connection in receivers:
            connection.pending.append(batch)
        if effect.can_wait:
            self._batch = None
            self._notices_due = min(self._notices_due, self._now + limits.NOTICE_DELAY_SECONDS)
        else:
            self._batch, self._batch_sessions = batch, effect.sessions
            self._touched.update(dict.fromkeys(receivers))

    def _charge(self, effect: effects.SendMany, size_bytes: int) -> None:
        if self._asker is not None:
            self._asker.charge(len(effect.sessions), size_bytes, effect.weight)

    def _admit(self, effect: effects.Admit) -> None:
        connection = self._connections.get(effect.session)
        if connection is not None:
            pace = self._paces.take(effect.user) if self._paces is not None else None
            connection.admit(effect.user, pace)

    def _close(self, effect: effects.Close) -> None:
        connection = self._connections.get(effect.session)
        if connection is not None:
            connection.finish()

    def _check_password(self, effect: effects.CheckPassword) -> None:
        try:
            self._passwords.send_nowait(effect)
        except trio.WouldBlock:
            # Whoever connects, logs in and goes, again and again, leaves a job each time.
            code = ErrorCode.LOGIN_BUSY
            self._own.append(SessionFailed(effect.session, code, code.describe()))

    def _commit(self, effect: Commit) -> None:
        self._store.send_nowait(effect)
        paces = self._paces
        if paces is not None:
            for sender, (count, size) in counted_by_sender(d for _, d in effect.messages).items():
                paces.charge_stored(sender, size + count * ROW_BYTES)
            others = [blocker for blocker, _, _ in effect.blocks]
            others += [user for user, _ in effect.files]
            for user in others:
                paces.charge_stored(user, ROW_BYTES)

    def _load_mailbox(self, effect: LoadMailbox) -> None:
        if self._store.statistics().current_buffer_used < limits.STORE_QUEUE_MAX - 1:
            self._store.send_nowait(effect)
        else:
            # The disk hangs, and more have logged in and gone meanwhile than can be online.
            self._own.append(MailboxLoaded(effect.user, None))

    def _operated(self, effect: effects.Operated) -> None:
        waiting = self._orders.get(effect.number)
        if waiting is not None:  # whoever has ordered it may be gone
            waiting.send_nowait(effect.outcome)

    _EFFECTS: ClassVar[dict[type, Callable[[Hub, Any], None]]] = {
        effects.Send: _send,
        effects.SendMany: _send_many,
        effects.Admit: _admit,
        effects.Close: _close,
        effects.CheckPassword: _check_password,
        effects.Commit: _commit,
        effects.LoadMailbox: _load_mailbox,
        effects.Operated: _operated,
    }

    # -- Log ---------------------------------------------------------------------------------

    def _log_command(self, command: Command) -> None:
        if isinstance(command, Requests):
            for request in command.batch:
                self._log_message(request, command.session, "in")
        elif not isinstance(command, Tick):
            self._write_log(describe(command))

    def _log_effect(self, effect: effects.Effect) -> None:
        if isinstance(effect, effects.Send):
            for message in effect.messages:
                self._log_message(message, effect.session, "out")
        else:
            self._write_log(describe(effect))

    def _log_message(self, message: msgspec.Struct, session: SessionId, direction: str) -> None:
        user = self._broker.user_of(session)
        name = session_name(session)
        self._write_log(describe(message, session=name, user=user, direction=direction))

    def _write_log(self, record: Record) -> None:
        assert self._log is not None
        self._log(record)
