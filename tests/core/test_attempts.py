"""How often an address may try to log in."""

from __future__ import annotations

import pytest

from trio_chat import limits
from trio_chat.core.attempts import Attempts

ADDRESS = "192.0.2.1"


def attempts_left(attempts: Attempts, address: str, now: float) -> int:
    left = 0
    while not attempts.try_one(address, now):
        left += 1
        assert left < 1000
    return left


def test_an_address_has_those_of_a_minute_at_once_and_gets_them_back_in_a_minute() -> None:
    attempts = Attempts(per_minute=6)
    assert attempts_left(attempts, ADDRESS, now=100) == 6
    assert attempts.try_one(ADDRESS, now=101) == pytest.approx(9)
    assert attempts_left(attempts, ADDRESS, now=130) == 3
    assert attempts_left(attempts, ADDRESS, now=1000) == 6


def test_each_address_is_counted_by_itself_and_an_ipv6_network_as_one() -> None:
    attempts = Attempts(per_minute=2)
    assert attempts_left(attempts, "192.0.2.1", now=0) == 2
    assert attempts_left(attempts, "192.0.2.2", now=0) == 2
    assert attempts_left(attempts, "::ffff:192.0.2.2", now=0) == 0
    assert attempts_left(attempts, "2001:db8::1", now=0) == 2
    assert attempts_left(attempts, "2001:db8::2", now=0) == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_free(address: str) -> None:
    attempts = Attempts(per_minute=1)
    assert not any(attempts.try_one(address, now=0) for _ in range(10))


def test_no_limit_is_none() -> None:
    attempts = Attempts(per_minute=0)
    assert not any(attempts.try_one(ADDRESS, now=0) for _ in range(1000))


def test_an_address_is_forgotten_when_it_has_all_its_attempts_again() -> None:
    attempts = Attempts(per_minute=60)
    for number in range(1, 100):
        attempts.try_one(f"192.0.2.{number}", now=number / 100)
    assert len(attempts._buckets) == 99
    attempts.try_one("192.0.2.5", now=1.5)
    assert len(attempts._buckets) == 50, "those of the last second, and this one"
    attempts.try_one("192.0.2.200", now=60)
    assert list(attempts._buckets) == ["192.0.2.200"]


def test_over_the_bound_the_address_that_was_silent_for_longest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ADDRESSES_MAX", 2)
    attempts = Attempts(per_minute=1)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
        attempts.try_one(address, now=0)
    assert attempts.try_one("192.0.2.1", now=0) > 0
    assert attempts.try_one("192.0.2.3", now=0) > 0
    assert attempts.try_one("192.0.2.2", now=0) == 0
