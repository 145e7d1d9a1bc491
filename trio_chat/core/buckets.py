"""Token buckets: how often something may happen, in the long run and at once.

Theory of operation: a bucket holds at most its burst, and fills at its rate. All that has to be
known of one is when it is full again; a fresh one is full.
"""

from __future__ import annotations

from .. import limits

_ROUNDING_SECONDS = 1e-6
"""Whoever waits as long as they were told must not find a hair missing."""


class Bucket:
    """Tokens, to be taken.

    Args:
        rate: tokens that come in a second; above 0.
        burst: tokens that it can hold.
    """

    __slots__ = ("_burst_seconds", "_full_at", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        assert rate > 0
        self._rate = rate
        self._burst_seconds = burst / rate
        self._full_at = float("-inf")

    def take(self, amount: float, now: float) -> float:
        """Take tokens, whether they are there or not; return the seconds until they will be.

        Nobody has to wait longer than `limits.READ_DELAY_SECONDS_MAX`: what is missing beyond
        that is forgiven.
        """
        full_at = max(self._full_at, now) + amount / self._rate
        there_at = full_at - self._burst_seconds
        self._full_at = min(there_at, now + limits.READ_DELAY_SECONDS_MAX) + self._burst_seconds
        return min(max(there_at - now, 0.0), limits.READ_DELAY_SECONDS_MAX)

    def try_take(self, now: float) -> float:
        """Take one token and return 0, or take none and return the seconds until there is one."""
        full_at = max(self._full_at, now) + 1 / self._rate
        wait = full_at - self._burst_seconds - now
        if wait > _ROUNDING_SECONDS:
            return wait
        self._full_at = full_at
        return 0.0

    def is_full(self, now: float) -> bool:
        """Whether it is like a fresh one."""
        return self._full_at <= now
