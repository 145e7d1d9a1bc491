"""What is measured of every server: loads of a fixed time, each the same for all protocols.

The server is pinned to one processor and the clients to the other, so the CPU seconds are the
server's own whatever the clients cost. The clients of one load keep so many messages in flight:
as soon as one has been delivered, and answered where the protocol does that, the next is sent.
"""

from __future__ import annotations

import signal
import socket
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from .load import Client, Load
from .peers import Peer
from .server_process import Process, user_name

TEXT = b"x" * 64
OFFLINE_WINDOW = 256
QUIET_SECONDS = 1.0
DRAIN_SECONDS = 0.2
COLLECT_SECONDS_MAX = 60.0
COLLECT_STEP_SECONDS = 0.01
STALLED_PAIRS = 10
FLOOD_TEXT = b"x" * 400
FLOOD_MESSAGES = 16
FLOOD_GAP_SECONDS = 0.005


@dataclass
class Result:
    """What one load has shown.

    Attributes:
        deliveries: how many.
        seconds: that it took.
        cpu_seconds: of the server.
        latencies: of some of the deliveries, in seconds.
    """

    deliveries: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def cpu_per_million(self) -> float:
        return self.cpu_seconds / self.deliveries * 1e6

    @property
    def rate(self) -> float:
        return self.deliveries / self.seconds

    def percentile(self, percent: int) -> float:
        """Of the latencies, in milliseconds."""
        if len(self.latencies) < 2:
            return max(self.latencies, default=0.0) * 1e3
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1] * 1e3


class Stream:
    """Messages that one client keeps in flight, and how long each takes.

    Args:
        sender: who sends, by ``send``.
        witness: whose deliveries are looked at; all come in the order of their sending.
        send: sends so many.
        result: takes the latencies.
    """

    def __init__(
        self, sender: Client, witness: Client, send: Callable[[int], None], result: Result
    ) -> None:
        self._sender, self._witness, self._send = sender, witness, send
        self._answered, self._delivered = sender.answers, witness.deliveries
        self._seen = self._sent = self._done = 0
        self._times: deque[tuple[int, float]] = deque()
        self._latencies = result.latencies

    def send(self, count: int) -> None:
        """Send so many more."""
        self._sent += count
        self._times.append((self._sent, time.perf_counter()))
        self._send(count)

    def advance(self) -> int:
        """Look at what has come; return how many have come to their end by that."""
        delivered = self._witness.deliveries - self._delivered
        if delivered > self._seen:
            self._seen = delivered
            now = time.perf_counter()
            while self._times and self._times[0][0] <= delivered:
                self._latencies.append(now - self._times.popleft()[1])
        if self._sender.acknowledges:
            delivered = min(delivered, self._sender.answers - self._answered)
        new, self._done = delivered - self._done, delivered
        return new

    @property
    def in_flight(self) -> int:
        """How many were sent and have not come to their end."""
        return self._sent - self._done

    @property
    def clients(self) -> tuple[Client, Client]:
        """Whose input moves it on."""
        return self._sender, self._witness


class Trial:
    """A running server, and its clients."""

    def __init__(self, peer: type[Peer], process: Process) -> None:
        self.peer = peer
        self.process = process
        self.load = Load()
        self._context = peer.context()

    def client(self, number: int, *, in_room: bool = True) -> Client:
        """A client that begins to log in."""
        return self.peer.client(number, self.process.port, self._context, in_room=in_room)

    def log_in(self, count: int, *, in_room: bool = True) -> Result:
        """Log in more clients; deliveries are logins here, until nobody has to be told any more."""
        first = len(self.load.clients)
        cpu, wall = self.process.cpu_seconds(), time.perf_counter()
        self.load.log_in(self.client(n, in_room=in_room) for n in range(first, first + count))
        wall = time.perf_counter() - wall
        self.load.settle(QUIET_SECONDS)
        return Result(count, wall, self.process.cpu_seconds() - cpu)

    def pairs(self, count: int, in_flight: int, seconds: float) -> Result:
        """Let so many users each send to one other."""
        clients = self.load.clients[: 2 * count]
        result = Result()
        streams = [
            Stream(sender, receiver, partial(sender.message, receiver.name, TEXT), result)
            for sender, receiver in zip(clients[:count], clients[count:], strict=True)
        ]
        self._run(result, streams, clients[count:], in_flight, seconds)
        return result

    def fan_out(self, in_flight: int, seconds: float) -> Result:
        """Let one user broadcast to all others; latencies are those of the one who came last."""
        sender, *others = self.load.clients
        result = Result()
        stream = Stream(sender, others[-1], partial(sender.broadcast, TEXT), result)
        self._run(result, [stream], others, in_flight, seconds)
        return result

    def beside_stalled(self, seconds: float) -> Result:
        """Let pairs talk while another user is sent more and more, and does not read it."""
        flooder, stalled, *_ = self.load.clients
        self.load.pause(stalled)
        stalled.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        clients = self.load.clients[2 : 2 + 2 * STALLED_PAIRS]
        receivers = clients[STALLED_PAIRS:]
        result = Result()
        streams = [
            Stream(sender, receiver, partial(sender.message, receiver.name, TEXT), result)
            for sender, receiver in zip(clients[:STALLED_PAIRS], receivers, strict=True)
        ]
        due = time.perf_counter()

        def flood() -> None:
            nonlocal due
            if time.perf_counter() >= due:
                due += FLOOD_GAP_SECONDS
                flooder.message(stalled.name, FLOOD_TEXT, FLOOD_MESSAGES)

        self._run(result, streams, receivers, 1, seconds, flood)
        return result

    def _run(
        self,
        result: Result,
        streams: list[Stream],
        receivers: list[Client],
        in_flight: int,
        seconds: float,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep so many of each stream in flight for a while, then wait until all have arrived."""
        of_client = {id(client): stream for stream in streams for client in stream.clients}
        before = sum(client.deliveries for client in receivers)
        cpu, start = self.process.cpu_seconds(), time.perf_counter()
        end = start + seconds

        def react(client: Client) -> None:
            stream = of_client.get(id(client))
            if stream is not None:
                new = stream.advance()
                if new and time.perf_counter() < end:
                    stream.send(new)

        def goes_on() -> bool:
            meanwhile()
            return time.perf_counter() < end

        for stream in streams:
            for _ in range(in_flight):
                stream.send(1)
        self.load.run_while(goes_on, react)
        self.load.run_while(lambda: any(stream.in_flight for stream in streams), react)
        result.seconds = time.perf_counter() - start
        self.load.settle(DRAIN_SECONDS)
        result.deliveries = sum(client.deliveries for client in receivers) - before
        result.cpu_seconds = self.process.cpu_seconds() - cpu

    # -- Somebody who is not there -------------------------------------------------------------

    def meet(self, numbers: range) -> None:
        """Log users in and out again, so that the server knows for whom to keep messages."""
        load = Load()
        load.log_in(self.client(number, in_room=False) for number in numbers)
        load.settle(DRAIN_SECONDS)
        load.close()
        self.load.settle(DRAIN_SECONDS)

    def store(self, receivers: range, total: int, seconds: float) -> tuple[int, float]:
        """Send to users who are offline; return how many were accepted, and in which time."""
        senders = self.load.clients
        to = {
            id(sender): user_name(receivers[n % len(receivers)]) for n, sender in enumerate(senders)
        }
        before = {id(sender): sender.answers for sender in senders}
        sent = 0
        start = time.perf_counter()

        def send(sender: Client, count: int) -> None:
            nonlocal sent
            sent += count
            sender.message_and_confirm(to[id(sender)], TEXT, count)

        def react(sender: Client) -> None:
            new = sender.answers - before[id(sender)]
            before[id(sender)] += new
            count = min(new, total - sent)
            if count > 0 and time.perf_counter() - start < seconds:
                send(sender, count)

        def accepted() -> int:
            return sum(before.values()) - first

        first = sum(before.values())
        for sender in senders:
            send(sender, min(OFFLINE_WINDOW, total // len(senders)))
        self.load.run_while(lambda: accepted() < sent, react)
        return sent, time.perf_counter() - start

    def collect(self, receivers: range, expected: int) -> tuple[int, float]:
        """Log users in who were offline; return how many messages came, and in which time."""
        load = Load()
        start = last = time.perf_counter()
        for number in receivers:
            load.add(self.client(number, in_room=False))
        received, before = 0, -1
        while received < expected and last - start < COLLECT_SECONDS_MAX:
            load.settle(COLLECT_STEP_SECONDS)
            received = sum(client.deliveries for client in load.clients)
            if received != before:
                before, last = received, time.perf_counter()
            elif time.perf_counter() - last > QUIET_SECONDS:
                break  # nothing comes any more
        load.close()
        return received, last - start

    def kill(self) -> None:
        """Kill the server, with no time to save anything, and start it again."""
        self.load.close()
        self.process.stop(signal.SIGKILL)
        self.process.start()
        self.load = Load()
