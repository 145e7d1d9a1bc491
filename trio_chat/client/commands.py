"""What is done about a line that was typed: by the server, by links, by transfers, or right here.

Rule: no line is carried out to its end before the next one is read, or nobody could cancel
anything. So whatever takes time is only begun here, and `wait_all_done` waits for it. A line waits
where too much is under way already (`limits`), which is the backpressure that a script gets.

Every line shows that somebody is there (section 3.1, timeout). The server is told of those that
are of no interest to it.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial

import trio

from ..errors import UsageError
from ..protocol import messages as wire
from . import grammar, meanings, render
from .connection import ConnectionLost
from .files import render as files_render
from .files.transfers import Transfers
from .links import Links
from .notice import Notice
from .roster import Roster
from .session import Session
from .terminal import Terminal

ACTIVE_SECONDS_MIN = 1.0
"""How often the server is told of lines that are of no interest to it."""

_WAIT_IS_FOR_SCRIPTS = "Error. 'wait' is for scripts; 'downloads' shows what is under way"


class Commands:
    """Begins to carry out the lines of one client, one after the other.

    Args:
        terminal: where answers are shown.
        session: with the server.
        links: private messaging.
        transfers: files.
        roster: which files were found.
    """

    def __init__(
        self,
        terminal: Terminal,
        session: Session,
        links: Links,
        transfers: Transfers,
        roster: Roster,
    ) -> None:
        self._terminal = terminal
        self._session = session
        self._links = links
        self._transfers = transfers
        self._roster = roster
        self._told_active = -math.inf

    async def do(self, meaning: meanings.Line) -> None:
        """Begin what a line means; but who says `logout` has to be let go by the caller."""
        match meaning:
            case meanings.Help(lines):
                await self.answer(render.help_text(lines))
            case meanings.StartPrivate(user):
                await self._links.start(user)
                self._tell_active()
            case meanings.Private(user, text):
                usage = grammar.mistyped_download(
                    text, {*self._roster.files, *self._transfers.names}
                )
                if usage is None:
                    await self._links.send(user, text)
                else:
                    await self.answer(render.misused(UsageError(f"Error. Usage: {usage}")))
                self._tell_active()
            case meanings.StopPrivate(user):
                await self._links.stop(user)
                self._tell_active()
            case wire.Search():
                await self._ask_server(meaning)
                self._tell_active()
            case (
                meanings.RegisterFile()
                | meanings.UnregisterFile()
                | meanings.Download()
                | meanings.DownloadChunks()
                | meanings.Cancel()
                | meanings.ListDownloads()
            ):
                await self._do_with_files(meaning)
                self._tell_active()
            case meanings.Wait():
                await self._wait()
                self._tell_active()
            case wire.Logout():
                pass
            case _:
                await self._ask_server(meaning)

    async def _do_with_files(self, meaning: meanings.AboutFiles) -> None:
        transfers, links = self._transfers, self._links
        match meaning:
            case meanings.RegisterFile(path):
                await transfers.register(path)
            case meanings.UnregisterFile(name):
                if wire.UNREGISTER in self._session.capabilities:
                    await transfers.unregister(name)
                else:
                    await self._terminal.show([files_render.cannot_unregister()])
            case meanings.Download(name):
                await transfers.download(name)
            case meanings.DownloadChunks(user, name, chunks):
                if links.has(user):
                    await transfers.download_chunks(user, name, chunks)
                elif links.is_starting(user):
                    await transfers.download_chunks(
                        user, name, chunks, partial(links.arrives, user)
                    )
                else:
                    await self._terminal.show([render.private_not_enabled(user)])
            case meanings.Cancel(name):
                await transfers.cancel(name)
            case meanings.ListDownloads():
                await transfers.show_list()

    async def _ask_server(self, request: meanings.Numbered) -> None:
        session, is_person = self._session, self._terminal.interactive
        if is_person and session.is_full and not session.is_connected:
            await self._terminal.show([render.outbox_full(render.command_of(request))])
            return
        try:
            await session.send(request)
        except ConnectionLost:
            await self._terminal.show([render.no_server(render.command_of(request))])
            return
        if is_person and not session.is_connected:
            await self._terminal.show([render.waiting(session.unanswered)])

    async def answer(self, notice: Notice) -> None:
        """Answer a line that does not concern the server."""
        if not self._terminal.interactive:
            # Whoever reads the output of a script wants the answers in its order.
            with suppress(ConnectionLost):
                if await self._session.put_aside(notice):
                    self._tell_active()
                    return
        await self._terminal.show([notice])
        self._tell_active()

    async def _wait(self) -> None:
        if self._terminal.interactive:  # nobody wants to look at a dead prompt
            await self._terminal.show([render.misused(UsageError(_WAIT_IS_FOR_SCRIPTS))])
            return
        await self.wait_all_done()
        await self._terminal.show([render.waited()])

    async def wait_all_done(self) -> None:
        """Wait until all lines so far are answered and done."""
        await self._links.wait_all_done()
        await self._transfers.wait_all_done()
        await self._session.wait_all_answered()

    def _tell_active(self) -> None:
        now = trio.current_time()
        if now >= self._told_active + ACTIVE_SECONDS_MIN:
            self._told_active = now
            self._session.tell(wire.Active())
