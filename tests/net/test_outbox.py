"""The contract that stands above `Outbox`, sentence by sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from trio_chat import limits
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.net.outbox import Outbox

MOST = limits.OUTBOX_BYTES_MAX


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    """Run an outbox, which has to come to its end by itself."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        await trio.testing.wait_all_tasks_blocked()
        yield


async def read_to_the_end(transport: MemoryTransport, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await transport.receive()
    return data


async def test_what_the_transport_takes_is_sent_at_once() -> None:
    left, right = memory_pair()
    outbox = Outbox(left)
    assert outbox.send(b"hello ")
    assert outbox.send(b"there")
    assert await right.receive() == b"hello there"


async def test_what_it_does_not_take_follows_in_order() -> None:
    left, right = memory_pair(capacity_bytes=4)
    outbox = Outbox(left)
    async with running(outbox):
        for part in (b"abcdef", b"gh", b"ijklmnop"):
            assert outbox.send(part)
        assert await read_to_the_end(right, 16) == b"abcdefghijklmnop"
        await trio.testing.wait_all_tasks_blocked()
        assert outbox.send(b"more")
        assert await right.receive() == b"more"
        outbox.finish()


async def test_sending_never_waits_but_says_when_too_much_is_kept() -> None:
    left, _ = memory_pair(capacity_bytes=10)
    outbox = Outbox(left)
    assert outbox.send(b"x" * (10 + MOST))
    assert not outbox.send(b"x")


async def test_what_is_beyond_the_bound_is_not_kept_but_there_is_room_for_the_last_lines() -> None:
    size = 64 * 1024
    left, right = memory_pair(capacity_bytes=size)
    outbox = Outbox(left)
    assert outbox.send(b"x" * MOST)
    assert not outbox.send(b"y" * (size + 1))
    assert outbox.send(b"y" * size)
    async with running(outbox):
        outbox.finish()
        assert not outbox.send(b"z" * MOST)
        assert not outbox.send(b"w")
        data = await read_to_the_end(right, 2 * MOST + size)
        assert Counter(data) == {ord("x"): MOST, ord("y"): size, ord("z"): MOST}


async def test_the_bound_counts_only_what_is_still_kept() -> None:
    left, right = memory_pair(capacity_bytes=1000)
    outbox = Outbox(left)
    async with running(outbox):
        assert outbox.send(b"x" * (1000 + MOST))
        await read_to_the_end(right, 2000)
        await trio.testing.wait_all_tasks_blocked()
        assert outbox.send(b"y" * 1000)
        assert not outbox.send(b"y" * 1001)
        left.close()
        outbox.finish()


async def test_after_finish_it_ends_at_once_if_nothing_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    left, right = memory_pair()
    outbox = Outbox(left)
    begin = trio.current_time()
    async with running(outbox):
        outbox.send(b"bye")
        outbox.finish()
    assert trio.current_time() == begin
    assert await right.receive() == b"bye"


async def test_after_finish_what_is_kept_is_still_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    left, right = memory_pair(capacity_bytes=4)
    outbox = Outbox(left)
    async with running(outbox):
        outbox.send(b"last words")
        outbox.finish()
        await trio.sleep(limits.DRAIN_SECONDS_MAX / 2)
        assert await read_to_the_end(right, 10) == b"last words"


@pytest.mark.parametrize("finish_first", [True, False])
async def test_a_reader_that_is_stuck_is_given_up_after_a_while(
    autojump_clock: trio.testing.MockClock, finish_first: bool
) -> None:
    left, _ = memory_pair(capacity_bytes=4)
    outbox = Outbox(left)
    outbox.send(b"never read")
    begin = trio.current_time()
    if finish_first:
        outbox.finish()
        await outbox.run()
    else:
        async with running(outbox):
            outbox.finish()
    assert trio.current_time() - begin == pytest.approx(limits.DRAIN_SECONDS_MAX)


@pytest.mark.parametrize("which", [0, 1])
async def test_what_is_sent_to_a_broken_connection_vanishes(which: int) -> None:
    ends = memory_pair(capacity_bytes=4)
    outbox = Outbox(ends[0])
    async with running(outbox):
        assert outbox.send(b"never read")
        ends[which].close()
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            assert outbox.send(b"x" * MOST)
        outbox.finish()


async def test_it_may_be_finished_before_it_runs() -> None:
    left, _ = memory_pair()
    outbox = Outbox(left)
    outbox.finish()
    with trio.fail_after(1):
        await outbox.run()
    assert outbox.send(b"late")
