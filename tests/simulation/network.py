"""A network in virtual time, behind the interfaces of `net.transport`.

Theory of operation: a connection is two `End`s. What one sends is cut into segments, each of which
arrives after a delay of its own, in order, unless something is wrong:

- *stalled*: nothing arrives in one direction; it comes later, if the connection still lives;
- *cut*: both ends learn it at once, by a reset, or by an end of file as from a proxy that closes;
- *half open*: one end learns it, and the other believes in the connection until keep-alive
  gives it up, 15 seconds later;
- *partitioned*: a host reaches nobody for a while, and nobody reaches it.

An end that is closed while something for it is unread, or comes later, answers with a reset, which
may take with it what the other one has not read yet, as with TCP.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial

import trio

from trio_chat import limits
from trio_chat.net.transport import Handler

from .timeline import Timeline

DEAD_SECONDS = 15.0
"""When keep-alive gives a connection up on which nothing arrives (`net.tcp`)."""

Tap = Callable[[bytes], None]
"""Is told of bytes as an end sends or receives them."""


class Path:
    """One direction of a connection.

    Attributes:
        stalled_until: nothing arrives before.
        lost: nothing arrives ever.
    """

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.stalled_until = 0.0
        self.lost = False
        self.last_arrival = 0.0
        self.held: deque[Callable[[], None]] = deque()

    def release(self) -> None:
        """Let arrive what may, in order."""
        while self.held and trio.current_time() >= self.stalled_until and not self.lost:
            self.held.popleft()()


class End:
    """One end of a connection, behind `Transport` and `BulkTransport`.

    Attributes:
        host: whose it is.
        informed_at: when it learned that the connection has ended, or ended it itself.
        sent, received: taps, if anybody listens.
    """

    def __init__(self, network: Network, host: str, peer_host: str, path: Path) -> None:
        self.host = self.local_host = host
        self.peer_host = peer_host
        self.peer = f"{peer_host}:1"
        self.connected_at = 0.0
        self.receive_bytes_max = limits.RECEIVE_BYTES_MAX
        self.path = path  # from here
        self.other: End = self
        self.informed_at: float | None = None
        self.sent: Tap | None = None
        self.received: Tap | None = None
        self.is_closed = False
        self._is_dead = False
        self._network = network
        self._capacity = network.pick_capacity()
        self._arrived: deque[bytes] = deque()
        self._underway = 0  # sent from here, and not read at the other end
        self._ended = False  # nothing more arrives
        self._eof_sent = False
        self.is_broken = False
        self._readable = trio.Event()
        self._room = trio.Event()

    # -- The interface of a transport ------------------------------------------------------

    async def receive(self) -> bytes:
        return await self._receive(self.receive_bytes_max)

    async def receive_into(self, buffer: memoryview) -> int:
        data = await self._receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    async def receive_exactly(self, size: int) -> str:
        """The first bytes, as a text; fewer at the end."""
        data = b""
        while len(data) < size and (some := await self._receive(size - len(data))):
            data += some
        return data.decode()

    async def _receive(self, size_max: int) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            await self._check_alive()
            self._check_open()
            if self._arrived:
                return self._take(size_max)
            if self.is_broken:
                raise trio.BrokenResourceError
            if self._ended:
                return b""
            self._readable = trio.Event()
            await self._readable.wait()

    def _take(self, size_max: int) -> bytes:
        pieces: list[bytes] = []
        while self._arrived and size_max:
            piece = self._arrived.popleft()
            if len(piece) > size_max:
                self._arrived.appendleft(piece[size_max:])
                piece = piece[:size_max]
            size_max -= len(piece)
            pieces.append(piece)
        data = b"".join(pieces)
        self.other._underway -= len(data)
        self.other._room.set()
        if self.received is not None:
            self.received(data)
        return data

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        if self._is_dead:
            return len(data)
        self._check_open()
        if self.is_broken or self._eof_sent:
            raise trio.BrokenResourceError
        taken = min(len(data), self._capacity - self._underway)
        if taken <= 0:
            return 0
        segment = bytes(data[:taken])
        self._underway += taken
        if self.sent is not None:
            self.sent(segment)
        self._network.send(self, segment)
        return taken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        while True:
            data = data[self.send_nowait(data) :] if data else data
            if not data:
                await trio.lowlevel.checkpoint()
                return
            await self.wait_writable()

    async def wait_writable(self) -> None:
        await self._check_alive()
        self._check_open()
        while not self.is_closed and not self.is_broken and self._underway >= self._capacity:
            self._room = trio.Event()
            await self._room.wait()
            await self._check_alive()
        await trio.lowlevel.checkpoint()
        self._check_open()

    def send_eof(self) -> None:
        if self._is_dead:
            return
        self._check_open()
        if self.is_broken:
            raise trio.BrokenResourceError
        if not self._eof_sent:
            self._eof_sent = True
            self._network.send_event(self, self.other.end_arrives)

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._network.open_ends.pop(self, None)
        self._inform()
        if self._arrived:
            self._network.send_reset(self)
        elif not self._eof_sent and not self.is_broken:
            self._network.send_event(self, self.other.end_arrives)
        self._arrived.clear()

    async def _check_alive(self) -> None:
        if self._is_dead:
            await trio.sleep_forever()

    def _check_open(self) -> None:
        if self.is_closed:
            raise trio.ClosedResourceError

    # -- What happens to it ----------------------------------------------------------------

    def data_arrives(self, data: bytes) -> None:
        if self.is_broken:
            return
        if self.is_closed:
            self._network.send_reset(self)
        elif not self._ended:
            self._arrived.append(data)
            self._readable.set()

    def end_arrives(self) -> None:
        if not self.is_closed and not self.is_broken:
            self._ended = True
            self._inform()

    def break_(self) -> None:
        """It learns that the connection is gone."""
        if self.is_broken or self.is_closed:
            return
        self.is_broken = True
        if self._network.drops_unread():
            self._arrived.clear()
        self._inform()

    def die(self, *, silently: bool) -> None:
        """Its program is no more, so nobody uses it; nor is its machine, if it goes silently."""
        if silently:
            self.path.lost = self.other.path.lost = True
            self._network.timeline.after(DEAD_SECONDS, self.other.break_)
        self.close()
        self._is_dead = True

    def _inform(self) -> None:
        if self.informed_at is None:
            self.informed_at = trio.current_time()
        self._readable.set()
        self._room.set()


class Network:
    """Hosts, and the connections between them.

    Attributes:
        timeline: on which everything arrives.
        open_ends: that nobody has closed; in order of their making.
        counts: how often what has happened.
    """

    def __init__(self, chance: random.Random, timeline: Timeline) -> None:
        self.timeline = timeline
        self.open_ends: dict[End, None] = {}
        self.counts: dict[str, int] = {}
        self._chance = chance
        self._listeners: dict[tuple[str, int], Callable[[End], None]] = {}
        self._away: dict[str, float] = {}  # hosts that reach nobody, until when
        self._delay_max = chance.choice((0.0, 0.002, 0.03, 0.03, 0.3))
        self._jitter = chance.choice((0.0, 0.0, 0.5, 3.0))
        self._capacity = chance.choice((700, 4000, 65536))
        self._cuts_segments = chance.random() < 0.5
        self._drops_unread = chance.random() < 0.7

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    # -- What ends ask -----------------------------------------------------------------------

    def pick_capacity(self) -> int:
        return self._capacity

    def drops_unread(self) -> bool:
        return self._drops_unread

    def send(self, end: End, data: bytes) -> None:
        """Bring bytes to the other end, in one or more segments."""
        other = end.other
        chance = self._chance
        while self._cuts_segments and len(data) > 1 and chance.random() < 0.2:
            size = chance.randrange(1, len(data))
            self.send_event(end, partial(other.data_arrives, data[:size]))
            data = data[size:]
        self.send_event(end, partial(other.data_arrives, data))

    def send_event(self, end: End, arrive: Callable[[], None]) -> None:
        """Have something happen at the other end, after all that was sent before."""
        path = end.path
        delay = path.delay * (1 + self._jitter * self._chance.random())
        path.last_arrival = max(path.last_arrival, trio.current_time() + delay)
        self._arrive(path, path.last_arrival, arrive)

    def _arrive(self, path: Path, time: float, arrive: Callable[[], None]) -> None:
        def try_to() -> None:
            if not path.lost:
                path.held.append(arrive)
                path.release()

        self.timeline.at(time, try_to)

    def send_reset(self, end: End) -> None:
        """Tell the other end that nobody is here; it may overtake what was sent."""
        self._arrive(end.path, trio.current_time() + end.path.delay, end.other.break_)

    # -- Connections -------------------------------------------------------------------------

    def listen(self, host: str, port: int, accept: Callable[[End], None]) -> Callable[[], None]:
        """Call ``accept`` with our end of each new connection, until what it returns is called."""
        assert (host, port) not in self._listeners
        self._listeners[host, port] = accept

        def stop() -> None:
            if self._listeners.get((host, port)) is accept:
                del self._listeners[host, port]

        return stop

    async def connect(self, host: str, to_host: str, port: int) -> End:
        """The near end of a new connection.

        Raises:
            OSError: if nobody answers.
        """
        chance = self._chance
        delay = chance.random() * self._delay_max
        await trio.sleep(2 * delay)
        await trio.sleep_until(self._away_until(host, to_host))
        accept = self._listeners.get((to_host, port))
        if accept is None:
            self.count("connections refused")
            raise ConnectionRefusedError
        self.count("connections")
        near = End(self, host, to_host, Path(delay))
        far = End(self, to_host, host, Path(delay))
        near.connected_at = far.connected_at = trio.current_time()
        near.other, far.other = far, near
        self.open_ends[near] = self.open_ends[far] = None
        accept(far)
        return near

    def _away_until(self, *hosts: str) -> float:
        return max(self._away.get(host, 0.0) for host in hosts)

    # -- Trouble ---------------------------------------------------------------------------------

    def kill(self, host: str, *, silently: bool) -> None:
        """The program at a host is no more."""
        for end in [end for end in self.open_ends if end.host == host]:
            end.die(silently=silently)

    def cut(self, end: End, *, clean: bool) -> None:
        """End a connection for both ends: what is on its way is lost, or arrives first."""
        ends = (end, end.other)
        for one in ends:
            if clean:
                self.send_event(one, one.other.end_arrives)
            else:
                one.path.lost = True
                one.break_()
        if clean:  # what is sent from now on is answered with a reset
            for one in ends:
                self.timeline.at(one.path.last_arrival + 0.01, one.other.break_)
                one.path = Path(one.path.delay)
                one.path.lost = True

    def half_open(self, end: End) -> None:
        """One end learns that the connection is gone, the other one when keep-alive says so."""
        end.path.lost = end.other.path.lost = True
        end.break_()
        self.timeline.after(DEAD_SECONDS, end.other.break_)

    def stall(self, end: End, seconds: float) -> None:
        """Nothing that an end sends arrives for a while; for too long, and it is dead."""
        until = trio.current_time() + seconds
        path = end.path
        path.stalled_until = max(path.stalled_until, until)
        self.timeline.at(path.stalled_until, path.release)
        if seconds >= DEAD_SECONDS:
            for one in (end, end.other):
                self.timeline.after(DEAD_SECONDS, partial(self._give_up, one, path))

    def _give_up(self, end: End, path: Path) -> None:
        if path.stalled_until > trio.current_time():
            path.lost = True
            end.break_()

    def partition(self, host: str, seconds: float) -> None:
        """A host reaches nobody for a while."""
        self._away[host] = max(self._away.get(host, 0.0), trio.current_time() + seconds)
        for end in list(self.open_ends):
            if host in (end.host, end.peer_host):
                self.stall(end, seconds)

    def heal(self) -> None:
        """Whatever can still be mended is."""
        self._away.clear()
        for end in list(self.open_ends):
            end.path.stalled_until = 0.0
            end.path.release()


class VirtualListener:
    """The server's: behind the interface `Listener`."""

    def __init__(self, network: Network, host: str, port: int) -> None:
        self._network = network
        self._host, self._port = host, port

    async def serve(
        self,
        handler: Handler,
        handler_nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async def handle(end: End) -> None:
            try:
                await handler(end)
            finally:
                end.close()

        stop = self._network.listen(
            self._host, self._port, lambda end: handler_nursery.start_soon(handle, end)
        )
        try:
            task_status.started([f"{self._host}:{self._port}"])
            await trio.sleep_forever()
        finally:
            stop()
