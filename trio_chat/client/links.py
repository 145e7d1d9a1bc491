"""Private messaging with everybody: who is linked, who is about to be (section 3.4).

Theory of operation: `start` asks the server for an introduction, connects to where it says,
and runs a `Link` in a task of its own; whoever was introduced to us connects by themselves,
and gets a link just the same. There is at most one link with each user: if both start at the
same time, both learn of that from the server, and the one whose name comes first connects. The
other side of a link may know of its end before we do; then its next one replaces ours.

The server is needed to start a link, and not after that. Everything here is a command of the
person, or an event of the server; what comes of it is shown in the person's terminal.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack

import trio

from .. import limits
from ..net.identity import IdentityError
from ..net.tcp import format_address
from ..net.transport import HandshakeError, Transport
from ..protocol import messages as wire
from ..text import clean_line
from . import render
from .connection import ConnectionLost
from .link import Link, LinkEnding, LinkError
from .meanings import UNNUMBERED, Numbered, Private, StartPrivate, StopPrivate
from .notice import Notice
from .peering import Peering
from .status import Board
from .terminal import TerminalGone

PRESENCE_SECONDS_MAX = 1.0
"""How long the server may take to say that somebody has logged out whose link has ended."""

Ask = Callable[[Numbered], Awaitable[wire.Reply]]
"""Sends a request to the server, and returns its reply, which nobody has shown."""


_Action = StartPrivate | Private | StopPrivate
"""What our user may want to do while a link is on its way."""


class _Start:
    """A link that our user wants and does not have yet.

    Attributes:
        ticket: of our introduction.
        asked: whether the other user learns of it.
        passed_over: their introduction to us, which we have left to ours.
        dialling: cancelled if the other user comes to us instead.
        arrived: set when they have.
        done: set when the link is there, or won't be.
    """

    def __init__(self) -> None:
        self.ticket = secrets.token_hex(wire.TICKET_CHARACTERS // 2)
        self.asked = False
        self.passed_over: wire.Introduced | None = None
        self.dialling = trio.CancelScope()
        self.arrived = trio.Event()
        self.done = trio.Event()


class Links:
    """All links of a client; `run` must run while they are used.

    Attributes:
        terminal_gone: set when nobody can read what is shown, and all should end.
        alone: whether the server has gone, and says nothing any more.

    Args:
        peering: the way to other clients.
        show: shows notices in the person's terminal.
        ask: asks the server.
        board: is told to whom there is a link.
    """

    def __init__(
        self,
        peering: Peering,
        show: Callable[[Sequence[Notice]], Awaitable[None]],
        ask: Ask,
        board: Board,
    ) -> None:
        self._board = board
        self._peering = peering
        self._show_notices = show
        self._ask = ask
        self._user = ""
        self._links: dict[str, Link] = {}
        self._starts: dict[str, _Start] = {}
        self._places = trio.Semaphore(limits.LINKS_STARTING_MAX)
        # What our user has said to somebody to whom a link was on its way: done in order.
        self._queues: dict[str, deque[_Action]] = {}
        self._lost: set[str] = set()  # whose link has ended, and nobody has stopped it
        self._coming: dict[str, float] = {}  # who may connect to us, and until when
        self._gone: set[str] = set()  # of whom the server has said that they logged out
        self._running = 0  # links whose end was not told yet
        self._closing = False
        self._changed = trio.Event()
        self.alone = False
        self.terminal_gone = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the links until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def log_in(self, user: str) -> None:
        """Note who our user is."""
        self._user = user

    @property
    def is_empty(self) -> bool:
        """Whether there is no link."""
        return not self._links

    async def wait_empty(self) -> None:
        """Wait until there is no link any more, and the end of the last one was told."""
        while self._running:
            await self._changed.wait()

    async def wait_all_said(self) -> None:
        """Wait until nothing that our user has said waits for a link."""
        while self._queues:
            await self._changed.wait()

    async def wait_all_done(self) -> None:
        """Wait until no link is on its way, and each message is acknowledged or lost."""
        while self._starts or self._queues:
            await self._changed.wait()
        for link in list(self._links.values()):
            await link.wait_all_answered()

    async def close(self, seconds: float) -> None:
        """End all links, as our user leaves.

        Args:
            seconds: how long to wait for the acknowledgements of what was sent; then it is told
                what has none.
        """
        self._closing = True
        self._change()
        with trio.move_on_after(seconds):
            for user, queue in list(self._queues.items()):
                unsent = sum(isinstance(action, Private) for action in queue)
                if unsent:
                    await self._show([render.private_unconfirmed(user, unsent)])
        for link in self._links.values():
            link.stop(left=True)
        with trio.move_on_after(seconds):
            await self.wait_empty()
        for link in self._links.values():
            link.abandon()
        with trio.move_on_after(seconds):
            await self.wait_empty()

    # -- What the person wants -------------------------------------------------------------

    async def start(self, user: str) -> None:
        """Begin to talk to a user directly; what comes of it is shown later.

        Waits first while too many links are being made.
        """
        if user in self._queues:
            await self._do_in_turn(StartPrivate(user))
        else:
            await self._begin(user)

    async def send(self, user: str, text: str) -> None:
        """Send a private message, later if a link is on its way.

        Waits first while too many to this user are not acknowledged.
        """
        await self._do_in_turn(Private(user, text))

    async def stop(self, user: str) -> None:
        """End the link with a user, later if it is on its way."""
        await self._do_in_turn(StopPrivate(user))

    def has(self, user: str) -> bool:
        """Whether there is a link with a user."""
        link = self._links.get(user)
        return link is not None and link.ending is None

    def is_starting(self, user: str) -> bool:
        """Whether one is on its way."""
        return user in self._starts

    async def arrives(self, user: str) -> bool:
        """Wait for a link that is on its way; return whether there is one."""
        start = self._starts.get(user)
        if start is not None:
            await start.done.wait()
        return self.has(user)

    async def _do_in_turn(self, action: _Action) -> None:
        """Do it now or, if a link is on its way, when that is there, or won't be."""
        assert self._nursery is not None
        user = action.user
        while len(self._queues.get(user, ())) >= limits.PRIVATE_UNANSWERED_MAX:
            await self._changed.wait()
        await trio.lowlevel.checkpoint_if_cancelled()  # the nursery has ended then
        if user in self._queues:
            self._queues[user].append(action)
        elif user in self._starts:
            queue = self._queues[user] = deque([action])
            self._nursery.start_soon(self._work_off, user, queue)
        else:
            await self._do(action)

    async def _work_off(self, user: str, queue: deque[_Action]) -> None:
        while queue:
            await self.arrives(user)
            await self._do(queue[0])
            queue.popleft()
            self._change()
        del self._queues[user]
        self._change()

    async def _do(self, action: _Action) -> None:
        match action:
            case StartPrivate(user):
                await self._begin(user)
            case Private(user, text):
                await self._send(user, text)
            case StopPrivate(user):
                await self._stop(user)

    async def _begin(self, user: str) -> None:
        assert self._nursery is not None
        if user in self._starts or self.has(user):
            await self._show([render.private_already(user)])
            return
        await self._places.acquire()
        # Last, since others run while a place is taken: the nursery has ended then.
        await trio.lowlevel.checkpoint_if_cancelled()
        start = self._starts[user] = _Start()
        self._nursery.start_soon(self._start, user, start)

    async def _send(self, user: str, text: str) -> None:
        link = self._links.get(user)
        if link is not None and await link.send(text):
            return
        if user == self._user:
            await self._show([render.private_self()])
        elif user in self._lost or (link is not None and link.ending not in _STOPS):
            await self._show([render.private_gone(user)])
        else:
            await self._show([render.private_not_enabled(user)])

    async def _stop(self, user: str) -> None:
        link = self._links.get(user)
        if link is None or link.ending is not None:
            await self._show([render.private_not_active(user)])
        else:
            link.stop()
            await self._show([render.private_stop(user)])

    # -- What the server says ---------------------------------------------------------------------

    def introduced(self, introduced: wire.Introduced) -> None:
        """Somebody may connect to us."""
        start = self._starts.get(introduced.user)
        if start is not None and start.asked:
            if self._user < introduced.user:
                start.passed_over = introduced  # they learn of our start too, and wait for us
                return
            start.dialling.cancel()
        self._expect(introduced)

    def _comes_until(self, user: str) -> float:
        return self._coming.get(user, -math.inf)

    def _expect(self, introduced: wire.Introduced) -> None:
        self._coming[introduced.user] = trio.current_time() + limits.PEER_CONNECT_SECONDS_MAX
        self._peering.expect(introduced)

    def presence(self, user: str, *, online: bool) -> None:
        """The server has said that somebody came or went, and it was shown."""
        if online:
            self._gone.discard(user)
        else:
            self._gone.add(user)
        self._change()

    # -- Links begin -----------------------------------------------------------------------

    async def _start(self, user: str, start: _Start) -> None:
        with ExitStack() as cleanup:
            link = await self._connect(user, start, cleanup)
            if link is not None:
                self._add(link)
            del self._starts[user]
            self._places.release()
            if user in self._links:
                await self._show([render.private_started(user)])
            start.done.set()
            self._change()
            if link is not None:
                await self._run(link)

    async def _connect(self, user: str, start: _Start, cleanup: ExitStack) -> Link | None:
        """A link that was greeted; none if they come to us, or if it was shown why not."""
        introduction: wire.Introduction | None = None
        try:
            with trio.fail_after(limits.PEER_CONNECT_SECONDS_MAX):
                while user in self._links and not self.has(user):
                    await self._changed.wait()  # the last one ends first
                if user in self._links:
                    return None
                # Half of our time is theirs, if they are on their way.
                patience = trio.current_time() + limits.PEER_CONNECT_SECONDS_MAX / 2
                while trio.current_time() < (until := min(patience, self._comes_until(user))):
                    with trio.move_on_at(until):
                        await start.arrived.wait()
                        return None
                start.asked = True
                with start.dialling:
                    request = wire.Introduce(UNNUMBERED, user, start.ticket)
                    reply = await self._ask(request)
                    if not isinstance(reply, wire.Introduction):
                        assert isinstance(reply, wire.Error)
                        await self._show([render.refused(reply, "startprivate", clean_line(user))])
                        if start.passed_over is not None:
                            self._expect(start.passed_over)
                        return None
                    introduction = reply
                    transport = await self._peering.dial(introduction, start.ticket)
                    cleanup.callback(transport.close)
                    link = Link(user, transport, self._show_private)
                    await link.greet(first=True)
                    return link
                await start.arrived.wait()
        except LINK_FAILURES as error:
            if start.dialling.cancelled_caught:
                reason = f"{user} did not connect"
            elif introduction is None:
                await self._show([render.private_failed(user, explain(error, None))])
                return None
            else:
                reason = explain(error, introduction)
            await self._show([render.private_unreachable(user, self._user, reason)])
        return None

    async def welcome(self, transport: Transport, user: str) -> None:
        """Talk to somebody who has connected to us, until the link ends."""
        link = Link(user, transport, self._show_private)
        try:
            with trio.fail_after(limits.PEER_CONNECT_SECONDS_MAX):
                await link.greet(first=False)
        except (LinkError, trio.TooSlowError):
            return  # the other user is told
        self._add(link)
        start = self._starts.get(user)
        if start is not None:
            start.dialling.cancel()
            start.arrived.set()
        await self._run(link)

    # -- Links end -------------------------------------------------------------------------

    def _add(self, link: Link) -> None:
        old = self._links.get(link.user)
        if old is not None:
            old.abandon()  # they know of its end, or would not have begun another
        self._links[link.user] = link
        self._lost.discard(link.user)
        self._coming.pop(link.user, None)
        self._running += 1
        self._change()

    async def _run(self, link: Link) -> None:
        user = link.user
        try:
            ending = await link.run()
            if link.unanswered:
                await self._show([render.private_unconfirmed(user, link.unanswered)])
            was_replaced = self._links.get(user) is not link
            if not was_replaced:
                del self._links[user]
                self._change()
            await self._tell_end(user, ending, was_replaced=was_replaced)
        finally:
            self._running -= 1
            self._change()

    async def _tell_end(self, user: str, ending: LinkEnding, *, was_replaced: bool) -> None:
        if ending is LinkEnding.STOPPED:
            await self._show([render.private_stopped(user)])
        if ending in _STOPS or was_replaced:
            return  # our own stop was told at once
        self._lost.add(user)
        if ending is LinkEnding.LEFT or ending is LinkEnding.LOST:
            # As the server says the same to everybody, it need not be said twice.
            with trio.move_on_after(0 if self.alone else PRESENCE_SECONDS_MAX):
                while user not in self._gone and not self._closing:
                    await self._changed.wait()
                return
        await self._show([render.private_ended(user, ending.value)])

    # -- Helpers ---------------------------------------------------------------------------

    async def _show_private(self, user: str, text: str) -> None:
        await self._show([render.private(user, text)])

    async def _show(self, notices: Sequence[Notice]) -> None:
        try:
            await self._show_notices(notices)
        except TerminalGone:
            # Nothing may be acknowledged that nobody sees.
            self.terminal_gone.set()
            await trio.sleep_forever()

    def _change(self) -> None:
        linked = (user for user, link in self._links.items() if link.ending is None)
        self._board.update(private=tuple(linked))
        self._changed.set()
        self._changed = trio.Event()


_STOPS = (LinkEnding.STOPPED, LinkEnding.STOPPED_BY_US)

LINK_FAILURES = (
    OSError,
    trio.TooSlowError,
    ConnectionLost,
    HandshakeError,
    LinkError,
    IdentityError,
)


def explain(error: Exception, introduction: wire.Introduction | None) -> str:
    """Why there is no connection to a user, for people.

    Args:
        error: is among `LINK_FAILURES`.
        introduction: to the user; none if that is what failed.
    """
    if introduction is None:
        is_lost = isinstance(error, ConnectionLost)
        return f"the server {'has gone' if is_lost else 'does not answer'}"
    where = format_address(introduction.address, introduction.port)
    match error:
        case trio.TooSlowError():
            seconds = limits.PEER_CONNECT_SECONDS_MAX
            return f"no answer from {where} within {seconds:g} seconds"
        case HandshakeError() | LinkError() | IdentityError():
            return f"no safe connection to {where}: {error}"
        case _:
            return f"no connection to {where}"
