"""The connections of one fetch: who is asked for the file, who has left, and when to try again."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import trio

from ... import limits
from ...errors import ProtocolViolation
from ...net.transport import BulkTransport
from ...swarm.pieces import PieceSet
from .holders import Holders, Holding
from .source import Receiver, Source
from .throttle import Throttle

RETRY_SECONDS = 5.0
"""When to try again with somebody whose connection was lost, or could not be made."""

LOOK_SECONDS = 1.0
"""How often the server is asked for holders, at most."""


class ConnectError(Exception):
    """There is no connection to somebody; the text says why.

    Attributes:
        is_lasting: whether it is of no use to try again at once.
    """

    def __init__(self, text: str, *, is_lasting: bool = False) -> None:
        super().__init__(text)
        self.is_lasting = is_lasting


Connect = Callable[[str], Awaitable[BulkTransport]]
"""Connects to a user who serves, within `PEER_CONNECT_SECONDS_MAX`; raises `ConnectError`."""

Find = Callable[[], Awaitable[list[Holding] | None]]
"""Asks the server who holds the file now; none if it does not answer."""


class Sources:
    """Those from whom a file comes.

    Attributes:
        connected: those who have greeted, by user.
        holdings: what those have who have said so.
        liars: users who have sent wrong bytes, and are not asked any more.

    Args:
        root: names the file.
        holders: who has it; is told of those who can't be reached.
        connect: see `Connect`.
        find: see `Find`.
        may_ask: whether a user may be asked at all.
        receiver: is told of what comes from each.
        left: called when somebody is not asked any more, with their source if they had greeted.
        say: called with what the person should know.
        throttle: the limit on what is received.
    """

    def __init__(
        self,
        root: bytes,
        holders: Holders,
        connect: Connect,
        find: Find,
        may_ask: Callable[[str], bool],
        receiver: Receiver,
        left: Callable[[str, Source | None], None],
        say: Callable[[str], None],
        throttle: Throttle,
    ) -> None:
        self.connected: dict[str, Source] = {}
        self.holdings: dict[str, PieceSet] = {}
        self.liars: set[str] = set()
        self._root = root
        self._holders = holders
        self._connect = connect
        self._find = find
        self._may_ask = may_ask
        self._receiver = receiver
        self._left = left
        self._say = say
        self._throttle = throttle
        self._busy: set[str] = set()  # who is connected to, or about to be
        self._retry_at: dict[str, float] = {}
        self._somebody_left = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Ask all who are found, until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                await self._look()
        finally:
            self._nursery = None

    async def _look(self) -> None:
        while True:
            self.ask_all()
            await trio.sleep(LOOK_SECONDS)
            with trio.move_on_after(limits.SEARCH_SECONDS if self.holdings else 0):
                await self._somebody_left.wait()
            self._somebody_left = trio.Event()
            found = await self._find()
            if found is not None:
                self._holders.list(found)

    @property
    def expected(self) -> int:
        """How many may join soon."""
        return len(self._busy) - len(self.holdings)

    @property
    def is_trying(self) -> bool:
        """Whether it is not known yet what becomes of asking somebody."""
        tried = self._holders.is_tried
        return any(user not in self.holdings and not tried(user) for user in self._busy)

    def is_busy_with(self, user: str) -> bool:
        """Whether a user is connected to, or about to be."""
        return user in self._busy

    def ask_all(self) -> None:
        """Connect to all who have the file by the word of the server."""
        users = self._holders.users
        random.shuffle(users)  # so that not everybody asks the same ones
        for user in users:
            self.suggest(user)

    def suggest(self, user: str) -> None:
        """Somebody may have some of the file: connect to them, unless there are enough."""
        if (
            self._nursery is not None
            and self._may_ask(user)
            and user not in self._busy
            and user not in self.liars
            and len(self._busy) < limits.SOURCES_MAX
            and trio.current_time() >= self._retry_at.get(user, -math.inf)
        ):
            self._busy.add(user)
            self._nursery.start_soon(self._run, user)

    async def _run(self, user: str) -> None:
        try:
            with ExitStack() as cleanup:
                transport = await self._connect(user)
                cleanup.callback(transport.close)
                source = Source(user, transport, self._root, self._throttle)
                with trio.fail_after(limits.PEER_CONNECT_SECONDS_MAX):
                    await source.greet()
                self.connected[user] = source
                await source.run(self._receiver)
        except ConnectError as error:
            self._leave(user, str(error), is_lasting=error.is_lasting)
        except trio.TooSlowError:
            self._leave(user, "no answer")
        except trio.BrokenResourceError:
            self._leave(user, "the connection was lost")
        except ProtocolViolation:
            reason = "what comes from there makes no sense"
            self._leave(user, reason, is_lasting=True, retry_seconds=math.inf)
        else:
            was_there = user in self.holdings
            self._leave(user, "the connection has ended" if was_there else "no answer")

    def _leave(
        self,
        user: str,
        reason: str,
        *,
        is_lasting: bool = False,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._busy.discard(user)
        was_there = self.holdings.pop(user, None) is not None
        source = self.connected.pop(user, None)
        self._retry_at[user] = trio.current_time() + retry_seconds
        if self._holders.lasting_trouble(user) is None:  # or it is known already why
            self._holders.unreachable(user, reason, is_lasting=is_lasting)
            if not was_there:  # else it is tried again first
                self._tell_trouble(user)
        self._somebody_left.set()
        self._left(user, source)

    def drop(self, source: Source) -> None:
        """Somebody has sent what is wrong: they are not asked again."""
        self.liars.add(source.user)
        self._holders.lied(source.user)
        source.close()

    def lose(self, source: Source) -> None:
        """Somebody does not have the file any more."""
        self._holders.gone(source.user)
        self._tell_trouble(source.user)
        source.close()

    def _tell_trouble(self, user: str) -> None:
        news = self._holders.news_of(user)
        if news is not None:
            self._say(news)
