"""How fast one connection is read."""

from __future__ import annotations

import pytest

from trio_chat import limits
from trio_chat.server.pace import Pace, Paces


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


BURST = int(100 * limits.REQUESTS_BURST_SECONDS)


def test_who_comes_back_goes_on_with_what_they_had_used_up() -> None:
    paces = Paces(100, idle_seconds=60)
    first = paces.take("hans")
    assert first.delay(BURST + 300, 0, now=0) == pytest.approx(3)
    paces.give_back("hans", now=1)
    second = paces.take("hans")
    assert second.delay(1, 0, now=1) == pytest.approx(2.01), "though so few are gathered otherwise"
    assert second.delay(1, 0, now=1) == 0
    assert paces.take("yoda").delay(BURST, 0, now=1) == 0


def test_small_amounts_count_too_when_somebody_leaves() -> None:
    paces = Paces(100, idle_seconds=60)
    for _ in range(3):
        assert paces.take("hans").delay(BURST // 3, 0, now=0) == 0
        paces.give_back("hans", now=0)
    pace = paces.take("hans")
    pace.delay(1, 0, now=0)
    for _ in range(9):
        assert pace.delay(1, 0, now=0) == 0, "gathered"
    paces.give_back("hans", now=0)
    assert paces.take("hans").delay(0, 0, now=0) == pytest.approx(0.09)


def test_a_user_who_is_on_two_connections_for_a_moment_has_one_pace() -> None:
    paces = Paces(100, idle_seconds=60)
    pace = paces.take("hans")
    assert paces.take("hans") is pace
    paces.give_back("hans", now=0)
    assert paces.take("hans") is pace


def test_those_who_left_are_forgotten_when_they_may_send_a_whole_burst_again() -> None:
    paces = Paces(100, idle_seconds=60)
    for now, user in enumerate(("hans", "yoda", "luke")):
        paces.take(user).delay(BURST, 0, now)
        paces.give_back(user, now)
    assert paces._left.keys() == {"hans", "yoda", "luke"}
    paces.take("vader")
    paces.give_back("vader", now=limits.REQUESTS_BURST_SECONDS + 1.5)
    assert paces._left.keys() == {"luke", "vader"}
    assert not paces._used


def test_what_is_written_to_the_disk_has_a_rate_and_a_burst_of_its_own() -> None:
    paces = Paces(1_000_000, idle_seconds=60)
    pace = paces.take("hans")
    paces.charge_stored("hans", limits.STORED_BYTES_BURST_MAX)
    assert pace.delay(1, 0, now=0) == 0
    paces.charge_stored("hans", 2 * limits.STORED_BYTES_PER_SECOND_MAX)
    assert pace.delay(1, 0, now=0) == pytest.approx(2)
    paces.charge_stored("nobody", 1)


def test_who_leaves_is_charged_for_what_is_written_after_that() -> None:
    paces = Paces(1_000_000, idle_seconds=60)
    paces.take("hans").delay(1, 0, now=0)
    paces.give_back("hans", now=0)
    paces.charge_stored("hans", limits.STORED_BYTES_BURST_MAX)
    paces.take("yoda")
    paces.give_back("yoda", now=0)
    pace = paces.take("hans")
    paces.charge_stored("hans", limits.STORED_BYTES_PER_SECOND_MAX)
    assert pace.delay(1, 0, now=0) == pytest.approx(1)


def test_nobody_becomes_idle_while_their_requests_wait_to_be_read() -> None:
    pace = Paces(1, idle_seconds=8).take("hans")
    assert pace.delay(1000, 0, now=0) == 4


def test_a_stranger_may_say_little_at_once_whatever_users_may() -> None:
    stranger = Paces(5_000, idle_seconds=600).for_stranger()
    assert stranger.delay(50, 0, now=0) == 0
    assert stranger.delay(500, 0, now=0) > 20
    assert Paces(1, idle_seconds=600).for_stranger().delay(20, 0, now=0) == 10
