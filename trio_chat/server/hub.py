"""The hub: the one task that owns the broker, and the way from everybody to it and back.

Theory of operation: whatever happens becomes a command in one bounded channel. The hub takes
all that waits there, has the broker handle it, and then sends to each connection that is
concerned what has gathered for it, in one call. So the busier the server, the more messages
share a system call, and nobody ever waits for a slow receiver.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import trio

from .. import limits
from ..core import effects
from ..core.broker import Broker
from ..core.commands import (
    Command,
    Requests,
    SessionFailed,
    SessionId,
    Tick,
    session_name,
)
from ..core.effects import Commit, LoadMailbox
from ..core.statistics import Statistics
from ..errors import ErrorCode
from ..protocol.framing import encode_line
from .connection import Connection
from .log import Log, Record, describe

StoreJob = Commit | LoadMailbox


class Hub:
    """Runs a broker.

    Attributes:
        store_jobs: what the store task has to do.
        password_jobs: what the password task has to do.
        stopped: set after a `Stop` command, when nothing is left to be saved.
    """

    def __init__(self, broker: Broker, log: Log | None) -> None:
        self._broker = broker
        self._log = log
        self._submit, self._commands = trio.open_memory_channel[Command](limits.COMMANDS_QUEUE_MAX)
        # At most one commit and one load for each session are ever asked for, so there is
        # always room here, and the broker never waits for the disk.
        self._store, self.store_jobs = trio.open_memory_channel[StoreJob](limits.STORE_QUEUE_MAX)
        self._passwords, self.password_jobs = trio.open_memory_channel[effects.CheckPassword](
            limits.PASSWORD_QUEUE_MAX
        )
        self._connections: dict[SessionId, Connection] = {}
        self._touched: dict[Connection, None] = {}
        self._own: deque[Command] = deque()
        self._asker: Connection | None = None  # whose requests are being handled
        self.stopped = trio.Event()

    async def submit(self, command: Command) -> None:
        """Hand a command to the broker; wait only while too many wait already."""
        try:
            self._submit.send_nowait(command)
        except trio.WouldBlock:
            await self._submit.send(command)

    def attach(self, connection: Connection) -> None:
        """Begin to send to a connection."""
        self._connections[connection.session] = connection

    def detach(self, connection: Connection) -> None:
        """Send nothing more to a connection."""
        del self._connections[connection.session]

    @property
    def connections(self) -> int:
        """How many there are, logged in or not."""
        return len(self._connections)

    @property
    def statistics(self) -> Statistics:
        """What the broker holds."""
        return self._broker.statistics

    async def run(self) -> None:
        """Handle commands until cancelled."""
        while True:
            for command in await self._next_commands():
                self._handle(command)
            while self._own or self._touched:  # a flush may find that somebody is slow
                while self._own:
                    self._handle(self._own.popleft())
                self._flush()
            if self._broker.has_stopped:
                self.stopped.set()

    async def _next_commands(self) -> list[Command]:
        """All commands that wait, up to a bound, or a tick if none comes in time."""
        command: Command = Tick()
        with trio.move_on_at(self._broker.next_deadline()):
            command = await self._commands.receive()
        commands = [command]
        requests = 0
        try:
            while requests < limits.REQUESTS_ROUND_MAX:
                requests += len(command.batch) if type(command) is Requests else 1
                command = self._commands.receive_nowait()
                commands.append(command)
        except trio.WouldBlock:
            pass
        return commands

    def _handle(self, command: Command) -> None:
        if self._log is not None:
            self._log_command(command)
        if type(command) is Requests:
            self._asker = self._connections.get(command.session)
        for effect in self._broker.handle(command, trio.current_time()):
            if self._log is not None:
                self._log_effect(effect)
            self._EFFECTS[type(effect)](self, effect)
        if self._asker is not None:
            self._asker.handled()
            self._asker = None

    def _flush(self) -> None:
        for connection in self._touched:
            if not connection.flush():
                code = ErrorCode.SLOW
                self._own.append(SessionFailed(connection.session, code, code.describe()))
        self._touched.clear()

    # -- Effects -----------------------------------------------------------------------------

    def _send(self, effect: effects.Send) -> None:
        connection = self._connections.get(effect.session)
        if connection is not None:
            connection.pending += effect.messages
            self._touched[connection] = None

    def _send_many(self, effect: effects.SendMany) -> None:
        line = msgspec.Raw(encode_line(effect.message))
        if self._asker is not None:
            self._asker.charge(len(effect.sessions))
        for session in effect.sessions:
            connection = self._connections.get(session)
            if connection is not None:
                connection.pending.append(line)
                self._touched[connection] = None

    def _admit(self, effect: effects.Admit) -> None:
        connection = self._connections.get(effect.session)
        if connection is not None:
            connection.admit()

    def _close(self, effect: effects.Close) -> None:
        connection = self._connections.get(effect.session)
        if connection is not None:
            connection.flush()
            connection.finish()

    def _check_password(self, effect: effects.CheckPassword) -> None:
        try:
            self._passwords.send_nowait(effect)
        except trio.WouldBlock:
            # Whoever connects, logs in and goes, again and again, leaves a job each time.
            code = ErrorCode.LOGIN_BUSY
            self._own.append(SessionFailed(effect.session, code, code.describe()))

    def _store_job(self, effect: StoreJob) -> None:
        self._store.send_nowait(effect)

    _EFFECTS: ClassVar[dict[type, Callable[[Hub, Any], None]]] = {
        effects.Send: _send,
        effects.SendMany: _send_many,
        effects.Admit: _admit,
        effects.Close: _close,
        effects.CheckPassword: _check_password,
        effects.Commit: _store_job,
        effects.LoadMailbox: _store_job,
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
