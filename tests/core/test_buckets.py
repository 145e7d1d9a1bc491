"""Token buckets: in the long run nobody gets more than the rate, and at once the burst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_chat import limits
from trio_chat.core.buckets import Bucket


def test_the_burst_is_there_at_once_and_then_the_rate_holds() -> None:
    bucket = Bucket(rate=10, burst=100)
    assert bucket.take(100, now=5) == 0
    assert bucket.take(20, now=5) == pytest.approx(2)
    assert bucket.take(10, now=7) == pytest.approx(1)


def test_it_never_holds_more_than_its_burst() -> None:
    bucket = Bucket(rate=10, burst=100)
    bucket.take(100, now=0)
    assert not bucket.is_full(now=9.9)
    assert bucket.is_full(now=10)
    assert bucket.take(101, now=10_000) == pytest.approx(0.1)


def test_what_is_missing_beyond_the_longest_pause_is_forgiven() -> None:
    bucket = Bucket(rate=1, burst=1)
    longest = limits.READ_DELAY_SECONDS_MAX
    assert bucket.take(1_000_000, now=0) == longest
    assert bucket.take(1, now=longest) == pytest.approx(1)


def test_one_that_is_empty_gives_nothing_and_says_when_it_will() -> None:
    bucket = Bucket(rate=0.5, burst=2)
    assert [bucket.try_take(now=0) for _ in range(3)] == [0, 0, pytest.approx(2)]
    assert bucket.try_take(now=1) == pytest.approx(1), "asking costs nothing"
    assert bucket.try_take(now=2) == 0
    assert bucket.try_take(now=2) > 0


@given(
    rate=st.floats(0.01, 10_000),
    burst=st.integers(1, 100),
    steps=st.lists(st.floats(0, 5), min_size=1, max_size=100),
)
def test_who_asks_again_and_again_gets_the_burst_and_the_rate(
    rate: float, burst: int, steps: list[float]
) -> None:
    bucket = Bucket(rate, burst)
    start = now = 1000.0
    got = 0
    for step in steps:
        now += step
        wait = bucket.try_take(now)
        if wait:
            now += wait
            assert bucket.try_take(now) == 0, "after the wait it is there"
        got += 1
    assert got <= burst + (now - start) * rate + 0.5


@given(
    amounts=st.lists(st.tuples(st.integers(0, 200), st.floats(0, 5)), min_size=1, max_size=100),
)
def test_who_waits_as_told_is_read_at_the_rate(amounts: list[tuple[int, float]]) -> None:
    bucket = Bucket(rate=100, burst=1000)
    start = now = 1000.0
    for amount, pause in amounts:
        now += bucket.take(amount, now) + pause
    assert sum(amount for amount, _ in amounts) <= 1000 + 100 * (now - start) + 0.5
