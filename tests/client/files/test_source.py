"""What comes from one who serves a file: reported if it makes sense, the end if it does not."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.client.files.source import Source
from trio_chat.client.files.throttle import Throttle
from trio_chat.errors import ProtocolViolation
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.protocol import peer as wire
from trio_chat.protocol.framing import encode_line
from trio_chat.swarm.hashing import HASH_BYTES
from trio_chat.swarm.manifest import Leaf

from .samples import seconds_max

ROOT, OTHER_ROOT = b"r" * 32, b"o" * 32
SIZE = 20_000
PIECES = 40
HALVES = (12_000, 8_000)
HELLO = wire.PeerHello(wire.PEER_PROTOCOL_VERSION)


def leaves_of(piece: int) -> list[Leaf]:
    offset, (first, second) = piece * SIZE, HALVES
    return [Leaf(2 * piece, offset, first), Leaf(2 * piece + 1, offset + first, second)]


def reports_of(piece: int, data: bytes) -> list[tuple[object, ...]]:
    """What is reported of a piece that has come."""
    first, second = leaves_of(piece)
    return [
        ("leaf", piece, first, data[: first.size]),
        ("arrived", piece),
        ("leaf", piece, second, data[first.size :]),
        ("piece", piece),
    ]


class Reports:
    """What was reported, by whoever writes pieces to a disk."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []
        self.heard_at: list[float] = []
        self.disk = trio.Event()  # until this is set it takes nothing
        self.disk.set()

    def leaves_of(self, piece: int) -> list[Leaf]:
        if piece >= PIECES:
            return []
        return leaves_of(piece)

    def size_of_leaves(self) -> int:
        return PIECES * HASH_BYTES

    def holding(self, source: Source, pieces: bytes, *, is_gone: bool) -> None:
        self.said.append(("holding", pieces, is_gone))

    def has(self, source: Source, piece: int) -> None:
        self.said.append(("has", piece))

    def leaves(self, source: Source, data: bytes) -> None:
        self.said.append(("leaves", data))

    def heard(self, source: Source) -> None:
        self.heard_at.append(trio.current_time())

    async def leaf(self, source: Source, piece: int, leaf: Leaf, data: memoryview) -> None:
        self.said.append(("leaf", piece, leaf, bytes(data)))
        await self.disk.wait()

    def arrived(self, source: Source, piece: int) -> None:
        self.said.append(("arrived", piece))

    def piece(self, source: Source, piece: int) -> None:
        self.said.append(("piece", piece))

    def refused(self, source: Source, piece: int, *, is_busy: bool, is_gone: bool) -> None:
        self.said.append(("refused", piece, is_busy, is_gone))


def line(message: wire.ServeMessage) -> bytes:
    return encode_line(message) + b"\n"


async def greeted(rate: float | None = None) -> tuple[Source, MemoryTransport]:
    ours, theirs = memory_pair(capacity_bytes=1024 * 1024)
    theirs.send_nowait(line(HELLO))
    source = Source("hans", ours, ROOT, Throttle(rate))
    with trio.fail_after(seconds_max()):
        await source.greet()
        assert await theirs.receive() == line(HELLO) + encode_line(wire.Interest(ROOT)) + b"\n"
    return source, theirs


async def report_of(
    source: Source, theirs: MemoryTransport, said: bytes
) -> list[tuple[object, ...]]:
    """What is reported of this, after which the connection ends."""
    reports = Reports()
    theirs.send_nowait(said)
    theirs.close()
    with trio.fail_after(seconds_max()):
        await source.run(reports)
    return reports.said


@pytest.mark.parametrize(
    "greeting",
    [b"garbage\n", line(wire.PeerHello(99)), line(wire.Have(ROOT, 1)), b"x" * 300_000],
    ids=["garbage", "version", "no hello", "no end"],
)
async def test_who_does_not_greet_is_no_source(greeting: bytes) -> None:
    ours, theirs = memory_pair(capacity_bytes=1024 * 1024)
    theirs.send_nowait(greeting)
    with pytest.raises(ProtocolViolation), trio.fail_after(seconds_max()):
        await Source("hans", ours, ROOT, Throttle(None)).greet()


async def test_who_closes_at_once_is_no_source() -> None:
    ours, theirs = memory_pair()
    theirs.close()
    with pytest.raises(trio.BrokenResourceError), trio.fail_after(seconds_max()):
        await Source("hans", ours, ROOT, Throttle(None)).greet()


async def test_what_makes_sense_is_reported() -> None:
    source, theirs = await greeted()
    source.ask(3)
    source.ask_leaves()
    source.ask_leaves()
    leaves = bytes(PIECES * HASH_BYTES)
    assert await report_of(
        source,
        theirs,
        line(wire.Holding(ROOT, b"\x0f"))
        + line(wire.LeavesFollow(ROOT, len(leaves)))
        + leaves
        + line(wire.Have(ROOT, 7))
        + line(wire.PieceFollows(ROOT, 3, SIZE))
        + b"p" * SIZE
        + line(wire.Refused(ROOT, 4, busy=True))
        + line(wire.LeavesFollow(ROOT, 0)),
    ) == [
        ("holding", b"\x0f", False),
        ("leaves", leaves),
        ("has", 7),
        *reports_of(3, b"p" * SIZE),
        ("refused", 4, True, False),
        ("leaves", b""),
    ]


@pytest.mark.parametrize(
    "said",
    [
        line(wire.PieceFollows(ROOT, 3, SIZE - 1)),
        line(wire.PieceFollows(ROOT, 3, 0)),
        line(wire.PieceFollows(ROOT, 3, limits.INTEGER_MAX)),
        line(wire.PieceFollows(ROOT, 4, SIZE)),
        line(wire.PieceFollows(ROOT, PIECES, 0)),
        line(wire.PieceFollows(ROOT, limits.INTEGER_MAX, SIZE)),
        line(wire.PieceFollows(OTHER_ROOT, 3, SIZE)),
        line(wire.LeavesFollow(ROOT, 1)),
        line(wire.LeavesFollow(ROOT, limits.INTEGER_MAX)),
        line(wire.Have(OTHER_ROOT, 1)),
        line(wire.Holding(OTHER_ROOT, b"")),
        line(HELLO),
        b"garbage\n",
        b"x" * (limits.FILE_LINE_BYTES_MAX + 1),
    ],
    ids=[
        "small piece",
        "no bytes",
        "huge piece",
        "unasked piece",
        "no piece",
        "far piece",
        "other file",
        "few hashes",
        "many hashes",
        "have of other",
        "holding of other",
        "hello again",
        "garbage",
        "no end",
    ],
)
async def test_what_makes_no_sense_is_the_end(said: bytes) -> None:
    source, theirs = await greeted()
    source.ask(3)
    source.ask_leaves()
    with pytest.raises(ProtocolViolation):
        await report_of(source, theirs, said)


@pytest.mark.parametrize(
    "said",
    [
        line(wire.Holding(ROOT, b"")),
        line(wire.LeavesFollow(ROOT, PIECES * HASH_BYTES)) + bytes(PIECES * HASH_BYTES),
        line(wire.LeavesFollow(ROOT, 0)),
    ],
    ids=["holding", "hashes", "no hashes"],
)
async def test_what_was_asked_for_once_comes_once(said: bytes) -> None:
    source, theirs = await greeted()
    source.ask_leaves()
    reports = Reports()
    theirs.send_nowait(said * 2)
    with pytest.raises(ProtocolViolation), trio.fail_after(seconds_max()):
        await source.run(reports)
    assert len(reports.said) == 1


async def test_a_piece_comes_as_often_as_it_was_asked_for() -> None:
    source, theirs = await greeted()
    piece = line(wire.PieceFollows(ROOT, 3, SIZE)) + bytes(SIZE)
    source.ask(3)
    source.cancel(3)  # which may be too late
    source.ask(3)
    reports = Reports()
    theirs.send_nowait(piece * 3)
    with pytest.raises(ProtocolViolation), trio.fail_after(seconds_max()):
        await source.run(reports)
    assert reports.said == 2 * reports_of(3, bytes(SIZE))


@pytest.mark.parametrize(
    "said",
    [
        line(wire.PieceFollows(ROOT, 3, SIZE)) + b"only this",
        line(wire.LeavesFollow(ROOT, PIECES * HASH_BYTES)) + b"only this",
        b'{"type":"ha',
    ],
    ids=["piece", "hashes", "line"],
)
async def test_an_end_in_the_middle_is_the_end(said: bytes) -> None:
    source, theirs = await greeted()
    source.ask(3)
    source.ask_leaves()
    assert await report_of(source, theirs, said) == []


async def test_nothing_more_is_read_until_a_piece_is_verified_and_written() -> None:
    source, theirs = await greeted()
    reports = Reports()
    reports.disk = trio.Event()
    for piece in range(3):
        source.ask(piece)
        theirs.send_nowait(line(wire.PieceFollows(ROOT, piece, SIZE)) + bytes([piece]) * SIZE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.run, reports)
        await trio.testing.wait_all_tasks_blocked()
        assert reports.said == reports_of(0, bytes(SIZE))[:1]
        assert len(reports.heard_at) == 1
        reports.disk.set()
        await trio.testing.wait_all_tasks_blocked()
        assert reports.said == [
            report for piece in range(3) for report in reports_of(piece, bytes([piece]) * SIZE)
        ]
        theirs.close()
        nursery.cancel_scope.cancel()


async def test_a_low_limit_of_ours_makes_nobody_silent(autojump_clock: MockClock) -> None:
    source, theirs = await greeted(rate=1000)
    reports = Reports()
    theirs.send_nowait(line(wire.Holding(ROOT, b"")))
    for piece in (1, 2):
        source.ask(piece)
        theirs.send_nowait(line(wire.PieceFollows(ROOT, piece, SIZE)) + bytes(SIZE))
    theirs.close()
    await source.run(reports)
    assert trio.current_time() - reports.heard_at[0] == pytest.approx(2 * SIZE / 1000, rel=0.01)
    gaps = [after - before for before, after in pairwise(reports.heard_at)]
    assert max(gaps) < limits.SILENCE_SECONDS / limits.SOURCES_MAX


async def test_news_goes_with_the_next_line_or_soon(autojump_clock: MockClock) -> None:
    source, theirs = await greeted()
    news = [encode_line(wire.Have(ROOT, piece)) + b"\n" for piece in range(5)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.run, Reports())
        source.announce(0)
        source.announce(1)
        source.ask(7)
        assert await theirs.receive() == news[0] + news[1] + encode_line(wire.Get(ROOT, 7)) + b"\n"
        start = trio.current_time()
        source.announce(2)
        source.announce(3)
        assert await theirs.receive() == news[2] + news[3]
        assert trio.current_time() - start <= limits.NEWS_SECONDS
        source.announce(4)
        source.send_news()
        assert await theirs.receive() == news[4]
        nursery.cancel_scope.cancel()


async def test_who_does_not_read_is_left() -> None:
    ours, theirs = memory_pair(capacity_bytes=1000)
    theirs.send_nowait(line(HELLO))
    source = Source("hans", ours, ROOT, Throttle(None))
    with trio.fail_after(seconds_max()):
        await source.greet()
        for piece in range(limits.OUTBOX_BYTES_MAX // 50):
            source.ask(piece % PIECES)
        await source.run(Reports())


async def test_who_does_not_say_what_is_there_is_left(autojump_clock: MockClock) -> None:
    source, theirs = await greeted()
    start = trio.current_time()
    theirs.send_nowait(line(wire.Have(ROOT, 1)))
    await source.run(Reports())
    assert trio.current_time() - start == limits.PEER_CONNECT_SECONDS_MAX


async def test_who_has_said_what_is_there_may_be_silent(autojump_clock: MockClock) -> None:
    source, theirs = await greeted()
    theirs.send_nowait(line(wire.Holding(ROOT, b"")))
    with trio.move_on_after(100 * limits.PEER_CONNECT_SECONDS_MAX) as patience:
        await source.run(Reports())
    assert patience.cancelled_caught


async def test_it_can_be_closed_while_it_runs() -> None:
    source, _theirs = await greeted()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.run, Reports())
        await trio.testing.wait_all_tasks_blocked()
        source.close()
