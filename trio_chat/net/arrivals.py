"""What comes in over many transports, for one task that serves them all.

Theory of operation: a task for each connection that waits for its socket costs more than all that
a server does with a message: a switch of tasks, and three system calls each time. So the sockets
of all connections are in one set of the kernel's (epoll), the set itself is what trio waits for,
and the one task that wakes then takes what has come on all of them. The busier the server, the
more a wake-up brings.

A transport that is no socket, or any on a system without epoll, gets a task of its own, which
receives and brings what came here. To whoever takes it there is no difference.
"""

from __future__ import annotations

import heapq
import select
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Generic, TypeVar

import trio

from .tcp import TcpTransport
from .transport import Transport

T = TypeVar("T")

HAS_EPOLL = hasattr(select, "epoll")
FOR_EVER = float("inf")

_EVENTS_MAX = 1024
"""Sockets for whose events there is room in one poll; with more of them, room for all is made."""


class Arrivals(Generic[T]):
    """Input of transports, each with an owner. Only one task may `wait` and `take`."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if HAS_EPOLL else None
        self._sockets: dict[int, _Socket[T]] = {}
        self._early: list[tuple[int, int]] = []
        self._brought: deque[_Courier[T]] = deque()
        self._paused: list[tuple[float, int, _Socket[T] | _Courier[T]]] = []
        self._pauses = count()
        self._pause_seconds = 0.0
        self._held: dict[T, _Socket[T] | _Courier[T]] = {}
        self._is_woken = False
        self._waiting = trio.CancelScope()

    def close(self) -> None:
        """Let go of the kernel's set."""
        if self._epoll is not None:
            self._epoll.close()

    @asynccontextmanager
    async def watching(self, transport: Transport, owner: T) -> AsyncIterator[None]:
        """Take what comes over a transport, for the length of a block."""
        if self._epoll is not None and isinstance(transport, TcpTransport):
            source = _Socket(self._epoll, transport, owner)
            self._sockets[source.number] = source
            source.resume()
            if transport.has_early_input:
                self._early.append((source.number, 0))
                self.wake()
            try:
                yield
            finally:
                del self._sockets[source.number]
                self._held.pop(owner, None)
                source.close()
        else:
            courier = _Courier(owner)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(courier.run, transport, self._bring)
                yield
                self._held.pop(owner, None)
                nursery.cancel_scope.cancel()

    def _bring(self, courier: _Courier[T]) -> None:
        self._brought.append(courier)
        self.wake()

    def wake(self) -> None:
        """Let `wait` return, now or when it is called next."""
        self._is_woken = True
        self._waiting.cancel()

    async def wait(self, deadline: float) -> None:
        """Wait until something has come, somebody calls `wake`, or it is time."""
        if self._paused:
            deadline = min(deadline, self._paused[0][0])
        with trio.CancelScope(deadline=deadline) as self._waiting:
            if self._is_woken:
                self._waiting.cancel()
            if self._epoll is not None:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            else:
                await trio.sleep_forever()
        self._is_woken = False

    def take(self, linger_seconds: float = 0.0) -> Iterator[tuple[T, bytes]]:
        """Each owner for whom something has come, and that; empty bytes for the end.

        Args:
            linger_seconds: for how long to wait in the kernel, and keep trio's other tasks
                waiting, if nothing has come yet.
        """
        if self._paused:
            self._resume_paused()
        for number, _ in self._poll(linger_seconds):
            source = self._sockets.get(number)
            if source is None:
                continue  # it had early input, and is gone already
            try:
                data = source.transport.receive_nowait()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""  # no goodbye is as good as one
            if data is not None:
                yield source.owner, data
                if not data:
                    source.close()
                elif self._pause_seconds:
                    source.suspend()
                    self._pause(source)
        for _ in range(len(self._brought)):
            courier = self._brought.popleft()
            yield courier.owner, courier.data
            if self._pause_seconds:
                self._pause(courier)
            else:
                courier.resume()

    def _poll(self, linger_seconds: float) -> Iterable[tuple[int, int]]:
        """The numbers of the sockets of which something may have come."""
        if self._epoll is None or not self._sockets:
            return ()
        most = max(len(self._sockets), _EVENTS_MAX)  # so that no socket is left out
        if not self._early:
            return self._epoll.poll(linger_seconds, most)
        events = {**dict(self._early), **dict(self._epoll.poll(0, most))}
        self._early.clear()
        return events.items()

    def _resume_paused(self) -> None:
        now = trio.current_time()
        while self._paused and self._paused[0][0] <= now:
            heapq.heappop(self._paused)[2].resume()

    def pause(self, seconds: float) -> None:
        """Take nothing for a while of the owner whose input was just taken."""
        self._pause_seconds = seconds

    def hold(self) -> None:
        """The same until `release` is called."""
        self._pause_seconds = FOR_EVER

    def release(self, owner: T, seconds: float = 0.0) -> None:
        """Take input of this owner again, after some seconds."""
        source = self._held.pop(owner, None)
        if source is None:
            return  # it is not watched any more
        if seconds:
            self._pause_seconds = seconds
            self._pause(source)
        else:
            source.resume()

    def _pause(self, source: _Socket[T] | _Courier[T]) -> None:
        seconds, self._pause_seconds = self._pause_seconds, 0.0
        if seconds == FOR_EVER:
            self._held[source.owner] = source
        else:
            until = trio.current_time() + seconds
            heapq.heappush(self._paused, (until, next(self._pauses), source))


class _Socket(Generic[T]):
    """A transport whose socket is in the kernel's set, except while it is suspended."""

    __slots__ = ("_epoll", "_is_closed", "_is_in_set", "number", "owner", "transport")

    def __init__(self, epoll: select.epoll, transport: TcpTransport, owner: T) -> None:
        self.transport = transport
        self.owner = owner
        self.number = transport.fileno()
        self._epoll = epoll
        self._is_in_set = self._is_closed = False

    def resume(self) -> None:
        if not self._is_closed:
            self._epoll.register(self.number, select.EPOLLIN)
            self._is_in_set = True

    def suspend(self) -> None:
        if self._is_in_set and not self._epoll.closed:
            self._epoll.unregister(self.number)
            self._is_in_set = False

    def close(self) -> None:
        self.suspend()
        self._is_closed = True


class _Courier(Generic[T]):
    """Receives from a transport, and brings what came, one piece at a time."""

    __slots__ = ("_taken", "data", "owner")

    def __init__(self, owner: T) -> None:
        self.owner = owner
        self.data = b""
        self._taken = trio.Event()

    def resume(self) -> None:
        self._taken.set()

    async def run(self, transport: Transport, bring: Callable[[_Courier[T]], None]) -> None:
        while True:
            try:
                self.data = await transport.receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.data = b""
            self._taken = trio.Event()
            bring(self)
            if not self.data:
                return
            await self._taken.wait()
