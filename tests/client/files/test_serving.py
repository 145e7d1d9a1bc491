"""Serving files to those who fetch, each played by a script that may be hostile."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_chat import limits
from trio_chat.client.files.disk import DiskError
from trio_chat.client.files.serving import Serving
from trio_chat.client.files.shelf import Held, Shelf
from trio_chat.client.files.stream import FileStream
from trio_chat.client.files.throttle import Throttle
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.protocol import peer as wire
from trio_chat.protocol.framing import encode_line
from trio_chat.swarm.pieces import PieceSet

from .samples import Sample, in_time, make_sample, seconds_max, until

OTHER_ROOT = b"?" * 32


class Fetcher:
    """Somebody at the other end, who says what a test tells them to."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self._stream = FileStream(transport, msgspec.json.Decoder(wire.ServeMessage))

    def say(self, *messages: wire.FetchMessage) -> None:
        self.say_bytes(b"".join(encode_line(message) + b"\n" for message in messages))

    def say_bytes(self, data: bytes) -> None:
        assert self.transport.send_nowait(data) == len(data)

    async def hears(self) -> wire.ServeMessage | None:
        with trio.fail_after(seconds_max()):
            return await self._stream.receive()

    async def takes(self, size: int) -> bytes:
        target = bytearray(size)
        with trio.fail_after(seconds_max()):
            assert await self._stream.receive_exactly(memoryview(target))
        return bytes(target)

    async def greets(self) -> None:
        self.say(wire.PeerHello(wire.PEER_PROTOCOL_VERSION))
        assert await self.hears() == wire.PeerHello(wire.PEER_PROTOCOL_VERSION)

    async def gets(self, sample: Sample) -> int:
        """The next thing is a piece of this file, and right; return its number."""
        message = await self.hears()
        assert isinstance(message, wire.PieceFollows), message
        assert message.root == sample.root
        assert await self.takes(message.size) == sample.piece(message.piece)
        return message.piece


class Host:
    """Who serves."""

    def __init__(self, nursery: trio.Nursery, *, rate: float | None) -> None:
        self.shelf = Shelf()
        self.gone: list[tuple[Held, DiskError]] = []
        self.interested: list[tuple[bytes, str]] = []
        self.fetched: set[bytes] = set()  # the files that are on their way here
        self.serving = Serving(
            self.shelf,
            Throttle(rate),
            self._note_gone,
            self._note_interested,
            lambda root, user, piece: None,
        )
        self._nursery = nursery

    def _note_gone(self, held: Held, error: DiskError) -> bool:
        self.gone.append((held, error))
        if held.version is None:
            return False
        self.shelf.remove(held)
        self.serving.forget(held.manifest.root)
        return True

    def _note_interested(self, root: bytes, user: str) -> bool:
        self.interested.append((root, user))
        return root in self.fetched

    async def connect(self, user: str, capacity_bytes: int = limits.RECEIVE_BYTES_MAX) -> Fetcher:
        ours, theirs = memory_pair(capacity_bytes)

        async def serve() -> None:
            try:
                await self.serving.serve(theirs, user)
            finally:
                theirs.close()

        self._nursery.start_soon(serve)
        fetcher = Fetcher(ours)
        await fetcher.greets()
        return fetcher


@asynccontextmanager
async def hosting(*held: Held, rate: float | None = None) -> AsyncIterator[Host]:
    """A host for the length of a block; it ends by itself when all fetchers have gone."""
    async with trio.open_nursery() as nursery:
        host = Host(nursery, rate=rate)
        for each in held:
            host.shelf.put(each)
        yield host
        nursery.cancel_scope.cancel()


async def test_it_says_what_is_there(sample: Sample) -> None:
    some = PieceSet(sample.pieces, [0, 5])
    async with hosting(sample.held(some)) as host:
        fetcher = await host.connect("luke")
        fetcher.say(wire.Interest(sample.root), wire.Interest(OTHER_ROOT))
        assert await fetcher.hears() == wire.Holding(sample.root, some.to_bytes())
        assert await fetcher.hears() == wire.Holding(OTHER_ROOT, b"")
        assert host.interested == [(sample.root, "luke"), (OTHER_ROOT, "luke")]
        host.serving.announce(sample.root, 7, ())
        assert await fetcher.hears() == wire.Have(sample.root, 7)


async def test_news_is_for_those_who_want_it(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke")
        host.serving.announce(sample.root, 1, ())
        host.serving.announce(OTHER_ROOT, 1, ())
        fetcher.say(wire.GetLeaves(OTHER_ROOT))
        assert await fetcher.hears() == wire.LeavesFollow(OTHER_ROOT, 0)


async def test_interest_in_what_is_not_there_is_not_kept(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke")
        for number in range(100):
            fetcher.say(wire.Interest(number.to_bytes(32, "big")))
            assert await fetcher.hears() == wire.Holding(number.to_bytes(32, "big"), b"")
        ((known, _),) = host.serving._fetchers.values()
        assert known.interests == set()


async def test_who_asks_before_anything_is_here_hears_of_it_then(sample: Sample) -> None:
    async with hosting() as host:
        host.fetched.add(sample.root)
        early, other = await host.connect("luke"), await host.connect("yoda")
        early.say(wire.Interest(sample.root))
        assert await early.hears() == wire.Holding(sample.root, b"")
        have = PieceSet(sample.pieces, [2, 3])
        host.shelf.put(sample.held(have))
        host.serving.begin(sample.root, have)
        other.say(wire.Interest(sample.root))
        assert await other.hears() == wire.Holding(sample.root, have.to_bytes())
        host.serving.begin(sample.root, have)  # the next try
        host.serving.announce(sample.root, 7, ())
        for piece in (2, 3, 7):
            assert await early.hears() == wire.Have(sample.root, piece)
        assert await other.hears() == wire.Have(sample.root, 7)


async def test_who_would_have_to_hear_too_much_must_ask_again() -> None:
    async with hosting() as host:
        host.fetched.add(OTHER_ROOT)
        early = await host.connect("luke")
        early.say(wire.Interest(OTHER_ROOT))
        assert await early.hears() == wire.Holding(OTHER_ROOT, b"")
        host.serving.begin(OTHER_ROOT, PieceSet.full(10 * limits.SERVED_WAITING_MAX))
        assert await early.hears() is None


@pytest.mark.usefixtures("any_leaves")
async def test_pieces_come_as_they_are_on_the_disk(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke")
        fetcher.say(*(wire.Get(sample.root, piece) for piece in range(sample.pieces)))
        assert {await fetcher.gets(sample) for _ in range(sample.pieces)} == set(
            range(sample.pieces)
        )
        await until(lambda: host.serving.sent_bytes == len(sample.data))


async def test_hashes_come_as_they_are(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke")
        fetcher.say(wire.GetLeaves(sample.root))
        size = len(sample.leaves.packed)
        assert await fetcher.hears() == wire.LeavesFollow(sample.root, size)
        assert await fetcher.takes(size) == sample.leaves.packed


@pytest.mark.parametrize("piece", [3, 20_000, limits.INTEGER_MAX])
async def test_what_is_not_there_is_refused(sample: Sample, piece: int) -> None:
    async with hosting(sample.held(PieceSet(sample.pieces, [0]))) as host:
        fetcher = await host.connect("luke")
        fetcher.say(wire.Get(sample.root, piece), wire.Get(OTHER_ROOT, 0))
        assert await fetcher.hears() == wire.Refused(sample.root, piece)
        assert await fetcher.hears() == wire.Refused(OTHER_ROOT, 0, gone=True)
        fetcher.say(wire.Get(sample.root, 0))
        assert await fetcher.gets(sample) == 0


async def test_what_was_cancelled_does_not_come(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        slow = await host.connect("luke", capacity_bytes=1000)
        slow.say(wire.Get(sample.root, 0), wire.Get(sample.root, 1), wire.Get(sample.root, 2))
        await until(lambda: host.serving._uploads.waiting == 2)
        slow.say(wire.Cancel(sample.root, 1), wire.Cancel(sample.root, 9))
        await until(lambda: host.serving._uploads.waiting == 1)
        assert [await slow.gets(sample), await slow.gets(sample)] == [0, 2]


async def test_two_fetchers_take_turns(sample: Sample) -> None:
    order: list[str] = []
    async with hosting(sample.held(), rate=2_000_000) as host:
        fetchers = {user: await host.connect(user) for user in ("luke", "yoda")}
        for fetcher in fetchers.values():
            fetcher.say(*(wire.Get(sample.root, piece) for piece in range(8)))

        async def fetch(user: str) -> None:
            for _ in range(8):
                await fetchers[user].gets(sample)
                order.append(user)

        async with trio.open_nursery() as nursery:
            for user in fetchers:
                nursery.start_soon(fetch, user)
    assert set(order[:4]) == {"luke", "yoda"}, "nobody waits for all that another one wants"
    assert abs(order[:8].count("luke") - 4) <= 1


async def test_who_does_not_read_stops_nobody_else(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        for user in ("hans", "vader", "r2d2"):
            idle = await host.connect(user, capacity_bytes=1000)
            idle.say(*(wire.Get(sample.root, piece) for piece in range(8)))
        reader = await host.connect("luke")
        reader.say(*(wire.Get(sample.root, piece) for piece in range(8)))
        assert {await reader.gets(sample) for _ in range(8)} == set(range(8))


async def test_who_asks_for_too_much_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UPLOADS_WAITING_MAX", 20)
    large = make_sample(tmp_path, size=16 * 1024 * 100)
    async with hosting(large.held()) as host:
        greedy = await host.connect("luke", capacity_bytes=2000)
        for piece in range(limits.UPLOADS_WAITING_MAX + 2):
            await greedy.transport.send_all(encode_line(wire.Get(large.root, piece)) + b"\n")
        await until(lambda: host.serving._uploads.waiting == limits.UPLOADS_WAITING_MAX)
        await wait_all_tasks_blocked()
        # The first is on its way, as many as may be wait, and the last is too much.
        heard = None
        while not isinstance(heard, wire.Refused):
            heard = await greedy.hears()
            if isinstance(heard, wire.PieceFollows):
                await greedy.takes(heard.size)
        assert heard == wire.Refused(large.root, limits.UPLOADS_WAITING_MAX + 1, busy=True)


async def test_a_file_that_has_changed_is_refused_and_dropped(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke")
        os.utime(sample.path, (1, 1))
        fetcher.say(wire.Get(sample.root, 4))
        assert await fetcher.hears() == wire.Refused(sample.root, 4, gone=True)
        ((held, error),) = host.gone
        assert held.path == sample.path
        assert "was changed since it was registered" in str(error)
        fetcher.say(wire.Get(sample.root, 4))
        assert await fetcher.hears() == wire.Refused(sample.root, 4, gone=True)
        assert len(host.gone) == 1


async def test_a_file_that_changes_in_the_middle_of_a_piece_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "LEAF_BYTES_MAX", 8192)
    sample = make_sample(tmp_path)
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke", capacity_bytes=1000)
        fetcher.say(wire.Get(sample.root, 0))
        header = wire.PieceFollows(sample.root, 0, len(sample.piece(0)))
        assert await fetcher.hears() == header
        os.utime(sample.path, (1, 1))  # while the first leaf is on its way
        assert await fetcher.takes(8192) == sample.piece(0)[:8192]
        with pytest.raises(AssertionError):  # as the rest does not come
            await fetcher.takes(1)
        ((held, _),) = host.gone
        assert held.path == sample.path


async def test_of_a_file_that_is_only_here_in_part_now_no_hole_is_sent(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke", capacity_bytes=1000)
        fetcher.say(wire.Get(sample.root, 0), wire.Get(sample.root, 1))
        await until(lambda: host.serving._uploads.waiting == 1)
        host.shelf.put(sample.held(PieceSet(sample.pieces, [0])))
        assert await fetcher.gets(sample) == 0
        assert await fetcher.hears() == wire.Refused(sample.root, 1)


async def test_a_part_that_just_gets_its_name_is_asked_for_again_later(sample: Sample) -> None:
    async with hosting(sample.held(PieceSet.full(sample.pieces))) as host:
        fetcher = await host.connect("luke")
        sample.path.rename(sample.path.with_name("b.bin"))
        fetcher.say(wire.Get(sample.root, 4))
        assert await fetcher.hears() == wire.Refused(sample.root, 4, busy=True)


@pytest.mark.parametrize(
    "garbage",
    [b"garbage\n", b"x" * (limits.FILE_LINE_BYTES_MAX + 1), b'{"type":"hello","version":1}\n'],
    ids=["no message", "no end", "hello again"],
)
async def test_garbage_ends_only_that_connection(sample: Sample, garbage: bytes) -> None:
    async with hosting(sample.held()) as host:
        hostile = await host.connect("vader", capacity_bytes=1024 * 1024)
        reader = await host.connect("luke")
        hostile.say_bytes(garbage)
        assert await hostile.hears() is None
        reader.say(wire.Get(sample.root, 0))
        assert await reader.gets(sample) == 0


async def test_who_leaves_in_the_middle_leaves_nothing_behind(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke", capacity_bytes=1000)
        fetcher.say(*(wire.Get(sample.root, piece) for piece in range(8)))
        await until(lambda: host.serving._uploads.waiting == 7)
        assert host.serving.is_used
        fetcher.transport.close()
        await in_time(host.serving.wait_unused)
        assert host.serving._uploads.waiting == 0
        assert not host.serving.is_used


async def test_news_is_not_mixed_into_a_piece(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke", capacity_bytes=1000)
        fetcher.say(wire.Interest(sample.root))
        assert isinstance(await fetcher.hears(), wire.Holding)
        fetcher.say(wire.Get(sample.root, 0))
        header = await fetcher.hears()
        assert isinstance(header, wire.PieceFollows)
        for piece in range(5):
            host.serving.announce(sample.root, piece, ())
        assert await fetcher.takes(header.size) == sample.piece(0)
        for piece in range(5):
            assert await fetcher.hears() == wire.Have(sample.root, piece)


async def test_who_does_not_read_news_is_left(sample: Sample) -> None:
    async with hosting(sample.held()) as host:
        idle = await host.connect("luke", capacity_bytes=1000)
        idle.say(wire.Interest(sample.root))
        await until(lambda: host.interested)
        for piece in range(2 * limits.SERVED_WAITING_MAX + 50):
            host.serving.announce(sample.root, piece, ())
            if piece % 100 == 0:
                await trio.lowlevel.checkpoint()
        await in_time(host.serving.wait_unused)


async def test_who_never_reads_costs_little_memory(tmp_path: Path) -> None:
    large = make_sample(tmp_path, size=20 * 1024 * 1024)
    async with hosting(large.held()) as host:
        idle = await host.connect("luke", capacity_bytes=1000)
        tracemalloc.start()
        try:
            sent = b"".join(encode_line(wire.Get(large.root, n)) + b"\n" for n in range(400))
            sent += (encode_line(wire.GetLeaves(large.root)) + b"\n") * 200
            with trio.move_on_after(0.3):
                await idle.transport.send_all(sent)
            assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
        finally:
            tracemalloc.stop()


async def test_who_does_not_greet_is_sent_away(sample: Sample, autojump_clock: MockClock) -> None:
    async with hosting(sample.held()) as host:
        ours, theirs = memory_pair()
        start = trio.current_time()
        await host.serving.serve(theirs, "luke")
        assert trio.current_time() - start == limits.PEER_CONNECT_SECONDS_MAX
        ours.close()
        ours, theirs = memory_pair()
        ours.send_nowait(encode_line(wire.Get(sample.root, 0)) + b"\n")
        await host.serving.serve(theirs, "luke")
        assert trio.current_time() - start == limits.PEER_CONNECT_SECONDS_MAX


async def test_a_low_limit_makes_slow_and_not_silent(
    sample: Sample, no_threads: None, autojump_clock: MockClock
) -> None:
    async with hosting(sample.held(), rate=4000) as host:
        fetcher = await host.connect("luke")
        fetcher.say(*(wire.Get(sample.root, piece) for piece in (0, 1)))
        received = 0
        while received < len(sample.piece(0)) + len(sample.piece(1)):
            with trio.fail_after(limits.SILENCE_SECONDS / 2):
                received += len(await fetcher.transport.receive())


async def test_hashes_count_for_the_upload_limit(sample: Sample, autojump_clock: MockClock) -> None:
    async with hosting(sample.held(), rate=100) as host:
        fetcher = await host.connect("luke")
        start = trio.current_time()
        for _ in range(3):
            fetcher.say(wire.GetLeaves(sample.root))
            assert await fetcher.hears() == wire.LeavesFollow(
                sample.root, len(sample.leaves.packed)
            )
            await fetcher.takes(len(sample.leaves.packed))
        assert trio.current_time() - start == pytest.approx(2 * len(sample.leaves.packed) / 100)


async def test_who_asks_for_nothing_loses_the_place(
    sample: Sample, no_threads: None, autojump_clock: MockClock
) -> None:
    async with hosting(sample.held()) as host:
        fetcher = await host.connect("luke")
        for _ in range(3):
            await trio.sleep(limits.FETCHER_IDLE_SECONDS - 1)
            fetcher.say(wire.Interest(sample.root))
            assert isinstance(await fetcher.hears(), wire.Holding)
        started = trio.current_time()
        assert await fetcher.transport.receive() == b""
        assert trio.current_time() - started == limits.FETCHER_IDLE_SECONDS


async def test_who_waits_for_a_piece_keeps_the_place(
    sample: Sample, no_threads: None, autojump_clock: MockClock
) -> None:
    async with hosting(sample.held(), rate=115) as host:
        fetcher = await host.connect("luke")
        fetcher.say(wire.Get(sample.root, 0))
        assert await fetcher.gets(sample) == 0
        assert trio.current_time() > limits.FETCHER_IDLE_SECONDS
