"""A swarm in virtual time: real `Download` and `Uploads` machines, a modelled network.

Each peer has an upload and a download capacity, which its transfers share evenly; a
message takes the latency, a piece the latency and its bytes. Nothing is random but the
salts, so a set-up gives the same figures each time. `python -m tests.swarm.simulation`
prints a table of several.
"""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from trio_chat import limits
from trio_chat.swarm.download import TICK_SECONDS, Download
from trio_chat.swarm.manifest import Layout
from trio_chat.swarm.orders import Ask, Order, Verdict
from trio_chat.swarm.pieces import PieceSet
from trio_chat.swarm.uploads import Uploads

FILE = bytes(32)
MB = 1_000_000.0
GATHER_SECONDS = limits.NEWS_SECONDS


@dataclass(eq=False)
class Transfer:
    source: Node
    target: Node
    piece: int
    rest_bytes: float
    rate: float = 0.0
    since: float = 0.0
    version: int = 0


@dataclass(eq=False)
class Node:
    """One client: `download` is None for who has the whole file."""

    name: str
    up: float
    down: float
    uploads: Uploads
    download: Download | None
    stalls_at: float = float("inf")
    lies: bool = False
    outgoing: set[Transfer] = field(default_factory=set)
    incoming: set[Transfer] = field(default_factory=set)
    cut_until: float = 0.0
    has_tick: bool = False
    ticked_at: float = 0.0
    sent_bytes: float = 0.0
    sent: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    done_at: float | None = None


class Swarm:
    """All nodes, and what is to happen, in order of time."""

    def __init__(self, layout: Layout, latency: float = 0.005) -> None:
        self.layout = layout
        self.latency = latency
        self.now = 0.0
        self.nodes: dict[str, Node] = {}
        self._news: dict[str, list[int]] = {}
        self.events = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []

    def seed(self, name: str, up: float) -> Node:
        return self._add(Node(name, up, float("inf"), Uploads(), None))

    def leecher(self, name: str, up: float, down: float = float("inf"), *, salt: int) -> Node:
        empty = PieceSet(self.layout.pieces)
        download = Download(self.layout, empty, salt, me=name)
        return self._add(Node(name, up, down, Uploads(), download))

    def _add(self, node: Node) -> Node:
        self.nodes[node.name] = node
        return node

    def run(self, until: float = 1e6) -> float:
        """Link everybody, let it go on until all are complete; return when the last one was."""
        for node in self.nodes.values():
            for other in self.nodes.values():
                if node.download is not None and other is not node:
                    node.download.peer_joined(other.name, self._have(other))
        for node in self.nodes.values():
            self._flush(node)
        leechers = [node for node in self.nodes.values() if node.download is not None]
        while any(node.done_at is None for node in leechers):
            assert self._queue, "nothing is to happen, and not all are complete"
            self.now, _, happen = heapq.heappop(self._queue)
            assert self.now < until, "it takes too long"
            happen()
        return max(node.done_at or 0.0 for node in leechers)

    def at(self, when: float, happen: Callable[[], None]) -> None:
        self.events += 1
        heapq.heappush(self._queue, (when, self.events, happen))

    def cut(self, name: str, when: float, seconds: float) -> None:
        """For a while nothing goes to a node or comes from it; then all of it arrives."""
        self.at(when, partial(self._cut, self.nodes[name], when + seconds))

    def _cut(self, node: Node, until: float) -> None:
        node.cut_until = until
        for transfer in sorted(node.outgoing | node.incoming, key=lambda one: one.piece):
            transfer.rest_bytes -= transfer.rate * (self.now - transfer.since)
            transfer.rate, transfer.since = 0.0, self.now
            transfer.version += 1
            self.at(until, partial(self._share, transfer))

    def leave(self, name: str) -> None:
        """A node is gone, and everybody knows at once."""
        gone = self.nodes.pop(name)
        for transfer in [*gone.outgoing, *gone.incoming]:
            self._end(transfer)
        for node in self.nodes.values():
            if node.download is not None:
                node.download.peer_left(name)
            node.uploads.peer_left(name)
            self._flush(node)
            self._serve(node)

    def _have(self, node: Node) -> PieceSet:
        if node.download is None:
            return PieceSet.full(self.layout.pieces)
        return node.download.have

    # -- Messages ----------------------------------------------------------------------

    def _flush(self, node: Node) -> None:
        assert node.download is not None or not node.incoming
        if node.download is None:
            return
        orders = node.download.orders(self.now)
        if orders:
            self.at(self.now + self.latency, partial(self._deliver, node.name, orders))
        self._tick(node)

    def _tick(self, node: Node) -> None:
        assert node.download is not None
        if node.download.can_go_on and not node.has_tick:
            node.has_tick = True
            self.at(max(node.ticked_at + TICK_SECONDS, self.now), partial(self._expire, node))

    def _expire(self, node: Node) -> None:
        assert node.download is not None
        node.has_tick = False
        node.ticked_at = self.now
        if node.name in self.nodes:
            node.download.expire(self.now)
            self._flush(node)

    def _deliver(self, name: str, orders: Iterable[Order]) -> None:
        touched: dict[str, Node] = {}
        for order in orders:
            target = self.nodes.get(order.peer)
            if target is None or name not in self.nodes:
                continue
            until = max(target.cut_until, self.nodes[name].cut_until)
            if until > self.now:
                self.at(until, partial(self._deliver, name, [order]))
                continue
            touched[target.name] = target
            if not isinstance(order, Ask):
                target.uploads.cancel(name, FILE, order.piece)
            else:
                assert order.piece in self._have(target), "asked for what was not announced"
                assert target.uploads.ask(name, FILE, order.piece), "who keeps the window is served"
        for target in touched.values():
            self._serve(target)

    def _announce(self, name: str, piece: int) -> None:
        """News are gathered for a moment, as a client would, to send several in one message."""
        if not self._news:
            self.at(self.now + self.latency + GATHER_SECONDS, self._spread)
        self._news.setdefault(name, []).append(piece)

    def _spread(self) -> None:
        news, self._news = self._news, {}
        for node in self.nodes.values():
            if node.download is None or node.done_at is not None:
                continue
            for name, pieces in news.items():
                if name != node.name:
                    node.download.peer_has(name, pieces)
            self._flush(node)

    # -- Bytes -------------------------------------------------------------------------

    def _serve(self, node: Node) -> None:
        if self.now >= node.stalls_at:
            return
        while (upload := node.uploads.next()) is not None:
            target = self.nodes[upload.peer]
            length = self.layout.span(upload.piece)[1]
            transfer = Transfer(node, target, upload.piece, float(length), since=self.now)
            node.outgoing.add(transfer)
            target.incoming.add(transfer)
            self._share(transfer)

    def _share(self, changed: Transfer) -> None:
        """Give all transfers beside one that has come or gone the rate that is theirs now."""
        touched = changed.source.outgoing
        if changed.target.down != float("inf"):
            touched = touched | changed.target.incoming
        for transfer in sorted(touched, key=lambda one: (one.source.name, one.target.name)):
            up = transfer.source.up / len(transfer.source.outgoing)
            rate = min(up, transfer.target.down / len(transfer.target.incoming))
            if rate < up:  # its link takes less than it could get
                transfer.source.uploads.blocked(transfer.target.name)
                self.at(self.now, partial(self._serve, transfer.source))
            if rate == transfer.rate:
                continue
            transfer.rest_bytes -= transfer.rate * (self.now - transfer.since)
            transfer.rate, transfer.since = rate, self.now
            transfer.version += 1
            when = self.now + max(transfer.rest_bytes, 0.0) / rate
            self.at(when, partial(self._sent, transfer, transfer.version))

    def _end(self, transfer: Transfer) -> None:
        transfer.version += 1
        transfer.source.outgoing.discard(transfer)
        transfer.target.incoming.discard(transfer)
        self._share(transfer)

    def _sent(self, transfer: Transfer, version: int) -> None:
        source, target = transfer.source, transfer.target
        if transfer.version != version or self.now >= source.stalls_at:
            return
        self._end(transfer)
        source.sent_bytes += self.layout.span(transfer.piece)[1]
        source.sent[target.name] = source.sent.get(target.name, 0) + 1
        source.uploads.done(target.name)
        self._serve(source)
        self.at(self.now + self.latency, partial(self._receive, source, target, transfer.piece))

    def _receive(self, source: Node, target: Node, piece: int) -> None:
        if target.name not in self.nodes or target.download is None:
            return
        target.download.heard(source.name, self.now)
        target.download.arrived(source.name, piece, self.now)
        receipt = target.download.received(source.name, piece, not source.lies, self.now)
        if receipt.verdict is Verdict.VERIFIED:
            self._announce(target.name, piece)
        elif receipt.verdict is Verdict.DUPLICATE:
            target.duplicates += 1
        if receipt.complete:
            target.done_at = self.now
        self._flush(target)


# -- Set-ups ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What came of a set-up: times in seconds, shares of all bytes that were moved."""

    seconds: float
    bound_seconds: float
    seed_share: float
    duplicates: float

    @property
    def over_bound(self) -> float:
        return self.seconds / self.bound_seconds


def layout_of(pieces: int, piece_bytes: int = 1024 * 1024) -> Layout:
    """A file of about that many pieces."""
    return Layout(size=pieces * piece_bytes, chunks=10, piece_bytes=piece_bytes)


def bound(size: int, seeds: Iterable[Node], leechers: Iterable[Node]) -> float:
    """No swarm is done sooner: somebody sends each byte, somebody takes it, and all is sent."""
    ups = [node.up for node in seeds]
    lows = [node.down for node in leechers]
    up_all = sum(ups) + sum(node.up for node in leechers)
    return max(size / sum(ups), size / min(lows), len(lows) * size / up_all)


def measure(swarm: Swarm) -> Figures:
    """Run it to the end."""
    nodes = list(swarm.nodes.values())
    seeds = [node for node in nodes if node.download is None]
    leechers = [node for node in nodes if node.download is not None]
    seconds = swarm.run()
    sent = sum(node.sent_bytes for node in nodes)
    return Figures(
        seconds,
        bound(swarm.layout.size, seeds, leechers),
        sum(node.sent_bytes for node in seeds) / sent,
        sum(node.duplicates for node in leechers) / (len(leechers) * swarm.layout.pieces),
    )


def one_to_many(
    leechers: int, pieces: int, *, salt: int, seed_up: float = 20 * MB, up: float = 20 * MB
) -> Swarm:
    swarm = Swarm(layout_of(pieces))
    swarm.seed("seed", seed_up)
    for number in range(leechers):
        swarm.leecher(f"leecher{number}", up, salt=salt * 1000 + number)
    return swarm


def many_to_one(seeds: int, pieces: int, *, salt: int) -> Swarm:
    swarm = Swarm(layout_of(pieces))
    for number in range(seeds):
        swarm.seed(f"seed{number}", 20 * MB)
    swarm.leecher("leecher", 20 * MB, salt=salt)
    return swarm


def main() -> None:
    """Print the table."""
    sys.stdout.write("set-up              seconds   x bound  seed share  duplicates    (took)\n")
    for name, make in {
        "1 -> 1": partial(one_to_many, 1, 1024),
        "1 -> 4": partial(one_to_many, 4, 1024),
        "1 -> 4, small": partial(one_to_many, 4, 128),
        "1 -> 10": partial(one_to_many, 10, 1024),
        "1 -> 50, small": partial(one_to_many, 50, 256),
        "1 -> 50": partial(one_to_many, 50, 1024),
        "1 -> 50, fast seed": partial(one_to_many, 50, 256, seed_up=100 * MB),
        "4 -> 1": partial(many_to_one, 4, 1024),
    }.items():
        began = time.perf_counter()
        figures = measure(make(salt=0))
        took = time.perf_counter() - began
        sys.stdout.write(
            f"{name:<18} {figures.seconds:>8.2f} {figures.over_bound:>9.3f}"
            f" {figures.seed_share:>11.3f} {figures.duplicates:>11.4f} {took:>8.1f} s\n"
        )


if __name__ == "__main__":
    main()
