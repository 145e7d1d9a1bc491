"""How fast one connection is read."""

from __future__ import annotations

import pytest

from trio_chat import limits
from trio_chat.server.pace import Pace


def test_many_requests_at_once_are_followed_by_a_pause() -> None:
    pace = Pace(100)
    assert pace.delay(int(100 * limits.REQUESTS_BURST_SECONDS), 0, now=0) == 0
    assert pace.delay(50, 0, now=0) == pytest.approx(0.5)
    assert pace.delay(50, 0, now=1) == 0


def test_many_bytes_at_once_are_too() -> None:
    pace = Pace(1_000_000)
    assert pace.delay(0, limits.RECEIVE_BYTES_BURST_MAX, now=0) == 0
    assert pace.delay(0, limits.RECEIVE_BYTES_PER_SECOND_MAX // 2, now=0) == pytest.approx(0.5)


def test_the_longer_pause_counts() -> None:
    pace = Pace(100)
    pace.delay(int(100 * limits.REQUESTS_BURST_SECONDS), limits.RECEIVE_BYTES_BURST_MAX, now=0)
    assert pace.delay(100, limits.RECEIVE_BYTES_PER_SECOND_MAX * 2, now=0) == pytest.approx(2)
    assert pace.delay(400, 0, now=2) == pytest.approx(3)


def test_what_goes_to_many_counts_as_several_requests() -> None:
    pace = Pace(100)
    pace.charge(10_000 * limits.REQUEST_RECEIVERS_MAX, 0)
    assert pace.delay(0, 0, now=0) == limits.READ_DELAY_SECONDS_MAX
    now = limits.READ_DELAY_SECONDS_MAX
    assert pace.delay(0, 0, now) == 0
    pace.charge(100 * limits.REQUEST_RECEIVERS_MAX, 0)
    assert pace.delay(50, 0, now) == pytest.approx(1.5)


def test_what_others_are_sent_counts_by_its_bytes_and_its_weight() -> None:
    pace = Pace(100)
    pace.delay(int(100 * limits.REQUESTS_BURST_SECONDS), 0, now=0)
    pace.charge(0, 50 * limits.REQUEST_BYTES_MAX, 100)
    assert pace.delay(0, 0, now=0) == pytest.approx(1.5)


def test_by_default_one_read_makes_no_long_pause() -> None:
    requests = limits.RECEIVE_BYTES_MAX // len(b'{"type":"active"}\n')
    pace = Pace(limits.REQUESTS_PER_SECOND_MAX)
    delays = []
    now = 0.0
    for _ in range(100):
        delays.append(pace.delay(requests, limits.RECEIVE_BYTES_MAX, now))
        now += delays[-1]
    assert delays[0] == 0
    assert 0.5 < max(delays) < 1
