"""A limit on bytes per second."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.client.files.throttle import TURN_SECONDS, Throttle


async def test_no_limit_never_waits(autojump_clock: MockClock) -> None:
    throttle = Throttle(None)
    start = trio.current_time()
    for _ in range(1000):
        await throttle.take(10**9)
    assert trio.current_time() == start


async def test_bytes_pass_at_the_rate(autojump_clock: MockClock) -> None:
    throttle = Throttle(1000)
    start = trio.current_time()
    for _ in range(11):
        await throttle.take(500)
    assert trio.current_time() - start == 5.0


async def test_all_share_one_limit(autojump_clock: MockClock) -> None:
    throttle = Throttle(1000)
    ends: list[float] = []

    async def take() -> None:
        for _ in range(4):
            await throttle.take(250)
        ends.append(trio.current_time())

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
    assert [round(end - start, 3) for end in ends] == [1.5, 1.75]


async def test_a_pause_earns_no_credit(autojump_clock: MockClock) -> None:
    throttle = Throttle(1000)
    await throttle.take(500)
    await trio.sleep(100)
    start = trio.current_time()
    await throttle.take(500)
    await throttle.take(500)
    assert trio.current_time() - start == 0.5


async def test_what_was_cancelled_costs_nothing(autojump_clock: MockClock) -> None:
    throttle = Throttle(1000)
    await throttle.take(1000)
    for _ in range(5):
        with trio.move_on_after(0):
            await throttle.take(100_000)
    start = trio.current_time()
    await throttle.take(1)
    assert trio.current_time() - start == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rate", "turn_bytes"),
    [(1, 1), (20_000, 2000), (10_000_000, 1_000_000), (None, limits.PIECE_BYTES_MAX)],
)
def test_a_turn_is_short_even_where_the_limit_is_low(rate: int | None, turn_bytes: int) -> None:
    assert Throttle(rate).turn_bytes == turn_bytes


def test_all_sources_have_a_turn_before_one_seems_silent() -> None:
    assert limits.SOURCES_MAX * TURN_SECONDS < limits.SILENCE_SECONDS
