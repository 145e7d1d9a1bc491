"""Private messaging with everybody: who is linked, who is about to be (section 3.4).

Theory of operation: `start` asks the server for an introduction, connects to where it says,
and runs a `Link` in a task of its own; whoever was introduced to us connects by themselves,
and gets a link just the same. There is at most one link with each user: if both start at the
same time, both learn of that from the server, and the one whose name comes first connects.

The server is needed to start a link, and not after that. Everything here is a command of the
person, or an event of the server; what comes of it is shown in the person's terminal.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack

import trio

from .. import limits
from ..errors import ErrorCode
from ..net.identity import IdentityError
from ..net.tcp import format_address
from ..net.transport import HandshakeError, Transport
from ..protocol import messages as wire
from . import render
from .connection import ConnectionLost
from .link import Ending, Link, LinkError
from .peering import Peering
from .terminal import TerminalGone

PRESENCE_SECONDS_MAX = 1.0
"""How long the server may take to say that somebody has logged out whose link has ended."""

Introduce = Callable[[str, str], Awaitable[wire.Introduction | None]]
"""Asks the server to introduce us to a user under a ticket; a refusal has been shown."""


class _Start:
    """A link that our user wants and does not have yet.

    Attributes:
        ticket: of our introduction.
        dialling: cancelled if the other user comes to us instead.
        arrived: set when they have.
        done: set when the link is there, or won't be.
    """

    def __init__(self) -> None:
        self.ticket = secrets.token_hex(wire.TICKET_CHARACTERS // 2)
        self.dialling = trio.CancelScope()
        self.arrived = trio.Event()
        self.done = trio.Event()


class Links:
    """All links of a client; `run` must run while they are used.

    Attributes:
        terminal_gone: set when nobody can read what is shown, and all should end.

    Args:
        peering: the way to other clients.
        show: shows lines in the person's terminal.
        introduce: asks the server.
    """

    def __init__(
        self,
        peering: Peering,
        show: Callable[[Sequence[str]], Awaitable[None]],
        introduce: Introduce,
    ) -> None:
        self._peering = peering
        self._show_lines = show
        self._introduce = introduce
        self._user = ""
        self._links: dict[str, Link] = {}
        self._starts: dict[str, _Start] = {}
        self._lost: set[str] = set()  # whose link has ended, and nobody has stopped it
        self._coming: dict[str, float] = {}  # who may connect to us, and until when
        self._gone: set[str] = set()  # of whom the server has said that they logged out
        self._changed = trio.Event()
        self.terminal_gone = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the links until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def listen(self, user: str) -> wire.Listening:
        """Let other clients reach our user from now on; return what to tell the server.

        Raises:
            FailureError: if they can't.
        """
        assert self._nursery is not None
        self._user = user
        listening: wire.Listening = await self._nursery.start(
            self._peering.serve, user, self._welcome, self._nursery
        )
        return listening

    @property
    def is_empty(self) -> bool:
        """Whether there is no link."""
        return not self._links

    async def wait_empty(self) -> None:
        """Wait until there is no link any more."""
        while self._links:
            await self._changed.wait()

    async def wait_all_answered(self) -> None:
        """Wait until every message is acknowledged, or its link has ended."""
        for link in list(self._links.values()):
            await link.wait_all_answered()

    async def close(self) -> None:
        """End all links, as our user leaves; return when they have ended."""
        for link in self._links.values():
            link.stop(left=True)
        await self.wait_empty()

    # -- What the person wants ------------------------------------------------------------------

    async def start(self, user: str, *, wait: bool) -> None:
        """Begin to talk to a user directly; what comes of it is shown.

        Args:
            user: whom to talk to.
            wait: return only when something has come of it.
        """
        assert self._nursery is not None
        if user in self._links or user in self._starts:
            await self._show([render.private_already(user)])
            return
        start = self._starts[user] = _Start()
        self._nursery.start_soon(self._start, user, start)
        if wait:
            await start.done.wait()

    async def send(self, user: str, text: str) -> None:
        """Send a private message, as soon as a link that is on its way is there."""
        start = self._starts.get(user)
        if start is not None:
            await start.done.wait()
        link = self._links.get(user)
        if link is not None and await link.send(text):
            return
        if user == self._user:
            await self._show([ErrorCode.MESSAGE_SELF.text])
        elif user in self._lost:
            await self._show([render.private_gone(user)])
        else:
            await self._show([render.private_not_enabled(user)])

    async def stop(self, user: str) -> None:
        """End the link with a user."""
        link = self._links.get(user)
        if link is None or link.ending is not None:
            await self._show([render.private_not_active(user)])
        else:
            link.stop()
            await self._show([render.private_stop(user)])

    # -- What the server says ---------------------------------------------------------------------

    def introduced(self, introduced: wire.Introduced) -> None:
        """Somebody may connect to us."""
        user = introduced.user
        start = self._starts.get(user)
        if start is not None:
            if self._user < user:
                return  # they learn of our start too, and wait for us
            start.dialling.cancel()
        if user in self._links:
            # They would not start what they have; we have not noticed its end yet.
            self._links[user].abandon()
        self._coming[user] = trio.current_time() + limits.PEER_CONNECT_SECONDS_MAX
        self._peering.expect(introduced)

    def presence(self, user: str, *, online: bool) -> None:
        """The server has said that somebody came or went, and it was shown."""
        if online:
            self._gone.discard(user)
        else:
            self._gone.add(user)
        self._change()

    # -- Links begin ------------------------------------------------------------------------------

    async def _start(self, user: str, start: _Start) -> None:
        with ExitStack() as cleanup:
            link = await self._connect(user, start, cleanup)
            if link is not None:
                self._add(link)
            del self._starts[user]
            if user in self._links:
                await self._show([render.private_started(user)])
            start.done.set()
            if link is not None:
                await self._run(link)

    async def _connect(self, user: str, start: _Start, cleanup: ExitStack) -> Link | None:
        """A link that was greeted; none if they come to us, or if it was shown why not."""
        introduction: wire.Introduction | None = None
        try:
            with trio.fail_after(limits.PEER_CONNECT_SECONDS_MAX):
                if trio.current_time() < self._coming.get(user, -math.inf):
                    start.dialling.cancel()
                with start.dialling:
                    introduction = await self._introduce(user, start.ticket)
                    if introduction is None:
                        return None
                    transport = await self._peering.dial(introduction, start.ticket)
                    cleanup.callback(transport.close)
                    link = Link(user, transport, self._show_private)
                    await link.greet(first=True)
                    return link
                await start.arrived.wait()
        except _FAILURES as error:
            came_to_us = start.dialling.cancelled_caught
            reason = f"{user} did not connect" if came_to_us else _explain(error, introduction)
            await self._show([render.private_unreachable(user, self._user, reason)])
        return None

    async def _welcome(self, transport: Transport, user: str) -> None:
        link = Link(user, transport, self._show_private)
        try:
            with trio.fail_after(limits.PEER_CONNECT_SECONDS_MAX):
                await link.greet(first=False)
        except (LinkError, trio.TooSlowError):
            return  # the other user is told
        self._add(link)
        start = self._starts.get(user)
        if start is not None:
            start.arrived.set()
        await self._run(link)

    # -- Links end --------------------------------------------------------------------------------

    def _add(self, link: Link) -> None:
        self._links[link.user] = link
        self._lost.discard(link.user)
        self._coming.pop(link.user, None)

    async def _run(self, link: Link) -> None:
        user = link.user
        try:
            ending = await link.run()
            if link.unanswered:
                await self._show([render.private_unconfirmed(user, link.unanswered)])
        finally:
            if self._links.get(user) is link:
                del self._links[user]
            self._change()
        if ending is Ending.STOPPED_BY_US:
            return  # it was said at once
        if ending is Ending.STOPPED:
            await self._show([render.private_stopped(user)])
            return
        self._lost.add(user)
        if ending is Ending.LEFT or ending is Ending.LOST:
            # As the server says the same to everybody, it need not be said twice.
            with trio.move_on_after(PRESENCE_SECONDS_MAX):
                while user not in self._gone:
                    await self._changed.wait()
                return
        await self._show([render.private_ended(user, ending.value)])

    # -- Helpers ----------------------------------------------------------------------------------

    async def _show_private(self, user: str, text: str) -> None:
        await self._show(render.private(user, text))

    async def _show(self, lines: Sequence[str]) -> None:
        try:
            await self._show_lines(lines)
        except TerminalGone:
            # Nothing may be acknowledged that nobody sees.
            self.terminal_gone.set()
            await trio.sleep_forever()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


_FAILURES = (
    OSError,
    trio.TooSlowError,
    ConnectionLost,
    HandshakeError,
    LinkError,
    IdentityError,
)


def _explain(error: Exception, introduction: wire.Introduction | None) -> str:
    """Why there is no link, for people; ``error`` is among `_FAILURES`."""
    if introduction is None:
        is_lost = isinstance(error, ConnectionLost)
        return "there is no connection to the server" if is_lost else "the server does not answer"
    where = format_address(introduction.address, introduction.port)
    match error:
        case trio.TooSlowError():
            seconds = limits.PEER_CONNECT_SECONDS_MAX
            return f"no answer from {where} within {seconds:g} seconds"
        case HandshakeError() | LinkError() | IdentityError():
            return f"no safe connection to {where}: {error}"
        case _:
            return f"no connection to {where}"
