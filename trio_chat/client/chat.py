"""From login to logout: the tasks of a client.

Theory of operation: these tasks run side by side, and the first that returns decides how
the client ends (`Ending`); links are closed and the others are cancelled then, an open prompt
included. Only a signal for which that takes too long decides anew.

- `_read` shows what the server sends, then acknowledges it: it alone receives. If the connection
  is lost, it makes another one (`reconnect`), while what the person types waits.
- `_converse` asks for name and password, then turns lines into requests.
- `_watch_signals` turns Ctrl-C and the like into a logout.
- `_watch_terminal`, once for links and once for transfers, ends the client if they find that
  nobody can read any more what they show.

The end of others ends nothing:

- `Session.run` sends what the server does not take at once.
- `Links.run` holds the direct connections to other users, and `Transfers.run` downloads and
  registrations. While there are any, the client goes on though its server is lost for good.
- `Peering.serve`, from the login on, lets in those who were introduced, each in a task of its own.
- `_ask_who_is_online` asks that after each login, and is done.

Replies are shown by `_read`, in the order in which the server sent them, and only then
does whoever waits for one go on; so the prompt that follows a refused password, or the
first messages after the welcome, stand where they belong.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import random

import trio

from .. import limits
from ..errors import ErrorCode, FailureError, ProtocolViolation, UsageError
from ..net.transport import BulkTransport
from ..protocol import messages as wire
from . import grammar, render
from .commands import Commands
from .connection import ConnectionLost
from .ending import LOGIN_STATUSES, Ending, is_final, status_of
from .exchange import Exchange, Received
from .files.shelf import Shelf
from .files.sources import ConnectError
from .files.transfers import FileOptions, Transfers
from .links import LINK_FAILURES, Links, explain
from .login import InputEndedError, log_in
from .meanings import UNNUMBERED
from .notice import Notice
from .peering import Peering
from .reconnect import is_passing, reconnect
from .roster import Roster
from .session import Session, UnreachableError
from .shown import Key, ShownKeys
from .state import keys_path, shelf_path
from .status import Board, Line
from .terminal import Terminal, TerminalGone

LOGOUT_SECONDS_MAX = 3.0
"""How long somebody who wants to leave is kept waiting for the server, and for the screen."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Chat:
    """One run of the client, in a session that is open.

    Args:
        terminal: of the person.
        session: with the server.
        peering: the way to other clients.
        server: its address, as the person knows it.
        state_dir: where to remember what was shown.
        file_options: what the person has decided about files.
        reconnect_seconds: how long to try to reach a server that is lost; 0 not to try.
        encrypted: whether the way to the server is.
    """

    def __init__(
        self,
        terminal: Terminal,
        session: Session,
        peering: Peering,
        server: str,
        state_dir: Path,
        file_options: FileOptions,
        reconnect_seconds: float,
        *,
        encrypted: bool = True,
    ) -> None:
        self._peering = peering
        self._board = Board(terminal.status)
        self._roster = Roster()
        self._encrypted = encrypted
        self._links = Links(peering, terminal.show, session.ask, self._board)
        self._shelf = Shelf()
        self._transfers = Transfers(
            terminal, self._board, file_options, self._shelf, session.ask, self._connect_for_files
        )
        self._commands = Commands(terminal, session, self._links, self._transfers, self._roster)
        self._nursery: trio.Nursery | None = None
        self._terminal = terminal
        self._session = session
        self._server = server
        self._state_dir = state_dir
        self._reconnect_seconds = reconnect_seconds
        self._user = ""
        self._shown = ShownKeys()
        self._showing = trio.Lock()  # while a message may be on the screen and not remembered
        self._logout: Exchange | None = None
        self._listening = trio.CancelScope()
        self._listens_no_more = trio.Event()
        self._listens_no_more.set()
        self._talk = trio.CancelScope()
        self._ending: Ending | None = None

    async def run(self) -> int:
        """Chat until somebody ends it; return the exit status."""
        # Signals are taken before anything is shown, so that nobody can be too quick for us.
        with trio.open_signal_receiver(*SIGNALS) as signals:
            await self._run_tasks(signals)
        assert self._ending is not None
        ending = self._with_unanswered(self._ending)
        if ending.notices:
            with trio.move_on_after(LOGOUT_SECONDS_MAX), suppress(TerminalGone):
                await self._terminal.show(ending.notices)
        return ending.status

    async def _run_tasks(self, signals: AsyncIterator[int]) -> None:
        async with trio.open_nursery() as nursery:

            async def run_until_end(task: Callable[[], Awaitable[Ending]]) -> None:
                ending = await self._run_to_ending(task)
                has_no_patience = ending.status >= 128
                if self._ending is None or has_no_patience:
                    self._ending = ending
                    await self._links.close(0 if has_no_patience else LOGOUT_SECONDS_MAX)
                    # What stands on the screen has to be remembered, or it would come again.
                    if self._showing.locked():
                        with trio.move_on_after(LOGOUT_SECONDS_MAX):
                            await self._showing.acquire()
                    nursery.cancel_scope.cancel()

            self._nursery = nursery
            await nursery.start(self._links.run)
            await nursery.start(self._transfers.run)
            nursery.start_soon(self._session.run)
            nursery.start_soon(run_until_end, partial(self._watch_signals, signals))
            nursery.start_soon(
                run_until_end, partial(self._watch_terminal, self._links.terminal_gone)
            )
            nursery.start_soon(
                run_until_end, partial(self._watch_terminal, self._transfers.terminal_gone)
            )
            nursery.start_soon(run_until_end, self._read)
            nursery.start_soon(run_until_end, self._converse)

    async def _run_to_ending(self, task: Callable[[], Awaitable[Ending]]) -> Ending:
        try:
            return await task()
        except TerminalGone:
            return Ending(1)
        except ConnectionLost as lost:
            return self._connection_lost(lost)
        except ProtocolViolation as violation:
            return Ending(1, (render.broken_protocol(violation),))

    def _connection_lost(self, lost: ConnectionLost) -> Ending:
        if self._logout is not None:
            return Ending(0)
        return Ending(1, (render.server_gone(str(lost)),), server_gone=True)

    def _with_unanswered(self, ending: Ending) -> Ending:
        """The same ending, which says too how many requests it leaves unanswered."""
        if not self._session.has_begun or self._links.alone:  # then it was said before
            return ending
        unanswered = self._session.unanswered
        if self._logout is not None and self._logout.reply is None:
            unanswered -= 1
        if not unanswered:
            return ending
        return Ending(ending.status or 1, render.with_unanswered(ending.notices, unanswered))

    # -- What the server says ----------------------------------------------------------------

    async def _read(self) -> Ending:
        """Follow the server to its end, and private messaging to the end of that."""
        ending = await self._follow_server()
        while ending.server_gone and self._session.has_begun and self._reconnect_seconds:
            failure = await self._come_back(ending)
            if failure is not None:
                ending = failure
                break
            ending = await self._follow_server()
        if ending.server_gone:
            return await self._end_without_server(ending)
        return ending

    async def _end_without_server(self, ending: Ending) -> Ending:
        if not self._transfers.is_used and self._links.is_empty:
            return ending
        notices = self._with_unanswered(ending).notices
        self._links.alone = True
        asides = self._session.close()
        self._board.update(line=Line.GONE, online=None)
        # The client's own answers stand behind what was not answered, and that is told first.
        await self._terminal.show([*notices, *asides, render.peers_go_on()])
        await self._links.wait_empty()
        await self._transfers.wait_unused()
        return Ending(1)

    async def _follow_server(self) -> Ending:
        """Show what the server says until it says no more."""
        try:
            while True:
                batch = await self._session.receive()
                notices, keys, ending = self._digest(batch)
                async with self._showing:
                    if notices:
                        await self._terminal.show(notices)
                    self._shown.add(keys)
                await self._show_notice()
                self._session.shown(batch)
                asides = self._session.take_asides()
                if asides:
                    await self._terminal.show(asides)
                self._tell_links(batch)
                self._tell_roster(batch)
                if ending is not None:
                    return ending
                if self._logout is not None and self._logout.reply is not None:
                    return Ending(0)
        except ConnectionLost as lost:
            return self._connection_lost(lost)

    async def _come_back(self, ending: Ending) -> Ending | None:
        """Reach the server again; return how the client ends if that does not work."""
        self._board.update(line=Line.RECONNECTING, online=None)
        await self._terminal.show([render.reconnecting(*ending.notices)])
        try:
            await reconnect(self._session, self._reconnect_seconds, random)
        except UnreachableError as error:
            notices = (render.failure(str(error)),)
            return Ending(status_of(error.code), notices, server_gone=True)
        except FailureError as error:
            return Ending(1, (render.failure(str(error)),))
        await self._terminal.show([render.reconnected()])
        self._transfers.log_in(self._user)
        self._look_around()
        return None

    def _digest(self, batch: list[Received]) -> tuple[list[Notice], list[Key], Ending | None]:
        """What to show of a batch, what to remember of it, and whether it is the last."""
        notices: list[Notice] = []
        keys: dict[Key, None] = {}
        for received in batch:
            message, request = received.message, received.request
            match message:
                case wire.Delivery() | wire.Announcement():
                    key = (message.sender, message.client, message.id)
                    if key in self._shown or key in keys:
                        continue
                    keys[key] = None
                case wire.Closed() | wire.Error() if is_final(message, request):
                    last = render.render(message, request)
                    server_gone = request is None and is_passing(message.code)
                    status = status_of(message.code)
                    return notices, list(keys), Ending(status, tuple(last), server_gone)
            if not received.quiet:
                notices += render.render(message, request, has_waited=received.has_waited)
        return notices, list(keys), None

    def _tell_roster(self, batch: list[Received]) -> None:
        """Note who and what was heard of, and keep in view who is online."""
        news = [self._roster.learn(received.message, received.request) for received in batch]
        if any(news) and self._terminal.shows_status:
            roster = self._roster
            self._board.update(online=roster.online, known=roster.known, files=roster.files)

    def _look_around(self) -> None:
        """After each login: let a person see who and where they are."""
        if self._terminal.shows_status:
            assert self._nursery is not None
            line = Line.ENCRYPTED if self._encrypted else Line.CLEAR
            self._board.update(user=self._user, line=line)
            # Not here: what waits may leave no room for it before replies to that are read.
            self._nursery.start_soon(self._ask_who_is_online)

    async def _ask_who_is_online(self) -> None:
        with suppress(ConnectionLost):
            await self._session.ask(wire.WhoElse(UNNUMBERED, unasked=True))

    def _tell_links(self, batch: list[Received]) -> None:
        for received in batch:
            match received.message:
                case wire.Introduced(purpose="files") as introduced:
                    self._peering.expect(introduced)
                case wire.Introduced() as introduced:
                    self._links.introduced(introduced)
                case wire.Presence(user, online):
                    self._links.presence(user, online=online)

    # -- Other clients -----------------------------------------------------------------------

    async def _listen(self, user: str) -> None:
        """Let other clients reach our user from now on."""
        assert self._nursery is not None
        self._links.log_in(user)
        self._listening.cancel()  # for somebody whose name was mistyped
        await self._listens_no_more.wait()
        try:
            self._session.tell(await self._nursery.start(self._serve_peers, user))
        except FailureError as error:
            await self._terminal.show([render.private_off(str(error))])

    async def _serve_peers(
        self, user: str, *, task_status: trio.TaskStatus[wire.Listening]
    ) -> None:
        assert self._nursery is not None
        self._listens_no_more = trio.Event()
        try:
            with trio.CancelScope() as self._listening:
                await self._peering.serve(
                    user, self._welcome, self._nursery, task_status=task_status
                )
        finally:
            self._listens_no_more.set()

    async def _welcome(self, transport: BulkTransport, introduced: wire.Introduced) -> None:
        if introduced.purpose == "files":
            await self._transfers.serving.serve(transport, introduced.user)
        else:
            await self._links.welcome(transport, introduced.user)

    async def _connect_for_files(self, user: str) -> BulkTransport:
        ticket = secrets.token_hex(wire.TICKET_CHARACTERS // 2)
        request = wire.Introduce(UNNUMBERED, user, ticket, "files")
        introduction = None
        try:
            with trio.fail_after(limits.PEER_CONNECT_SECONDS_MAX):
                reply = await self._session.ask(request)
                if isinstance(reply, wire.Introduction):
                    introduction = reply
                    return await self._peering.dial(introduction, ticket)
        except LINK_FAILURES as error:
            raise ConnectError(explain(error, introduction)) from error
        assert isinstance(reply, wire.Error)
        raise ConnectError(reply.text.removeprefix("Error. "), is_lasting=True)

    async def _show_notice(self) -> None:
        notice, self._shown.notice = self._shown.notice, None
        if notice is not None:
            await self._terminal.show([render.info(notice)])

    # -- What the person says ----------------------------------------------------------------

    async def _converse(self) -> Ending:
        with self._talk:
            try:
                await log_in(self._terminal, self._session, self._become)
            except InputEndedError as ended:
                status = LOGIN_STATUSES[ErrorCode.INVALID_PASSWORD] if ended.was_refused else 1
                return Ending(status, () if self._terminal.interactive else (render.input_ended(),))
            self._transfers.log_in(self._user)
            self._look_around()
            await self._follow_lines()
            if not self._terminal.interactive:  # a script has time
                await self._commands.wait_all_done()
        return await self._log_out()

    async def _become(self, user: str) -> None:
        """Remember and serve what is this user's, and nobody else's."""
        self._user = user
        self._shown = ShownKeys(keys_path(self._state_dir, self._server, user))
        self._shelf.open(shelf_path(self._state_dir, self._server, user))
        await self._show_notice()
        await self._listen(user)

    async def _follow_lines(self) -> None:
        """Do what the lines say, until there are no more or one says to log out."""
        while True:
            try:
                line = await self._terminal.read_line()
                if line is None:
                    return
                if not line.strip():
                    continue
                meaning = grammar.parse(line)
            except UsageError as error:
                await self._commands.answer(render.misused(error))
                continue
            await self._commands.do(meaning)
            if isinstance(meaning, wire.Logout):
                return

    async def _log_out(self) -> Ending:
        """Log out, once everything is answered; `_read` sees the reply, and ends."""
        with trio.move_on_after(LOGOUT_SECONDS_MAX):
            await self._links.wait_all_said()
            await self._session.wait_all_answered()
        if self._links.alone:
            return Ending(1 if self._session.unanswered else 0)  # which was said before
        if self._session.is_connected:
            with trio.move_on_after(LOGOUT_SECONDS_MAX):
                self._logout = await self._session.send(wire.Logout(UNNUMBERED))
                await trio.sleep_forever()
        return Ending(0)  # whether the server could still answer it or not

    async def _watch_terminal(self, gone: trio.Event) -> Ending:
        await gone.wait()
        return Ending(1)

    async def _watch_signals(self, signals: AsyncIterator[int]) -> Ending:
        async for number in signals:
            if not self._session.has_begun or self._talk.cancel_called:
                return Ending(128 + number)
            self._talk.cancel()
        raise AssertionError("signals never end")
