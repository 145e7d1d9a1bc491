"""How fast one connection is read: who sends too much waits, and loses nothing."""

from __future__ import annotations

from .. import limits
from ..core.buckets import Bucket


class Pace:
    """Two buckets, for the requests of one connection and for their bytes.

    Args:
        requests_per_second: in the long run; `limits.REQUESTS_BURST_SECONDS` as much at once.
    """

    def __init__(self, requests_per_second: float) -> None:
        self._requests = Bucket(
            requests_per_second, requests_per_second * limits.REQUESTS_BURST_SECONDS
        )
        self._bytes = Bucket(limits.RECEIVE_BYTES_PER_SECOND_MAX, limits.RECEIVE_BYTES_BURST_MAX)
        self._charged = 0.0

    def charge(self, receivers: int) -> None:
        """A request was more work than others, as it went to so many receivers."""
        self._charged += receivers / limits.REQUEST_RECEIVERS_MAX

    def delay(self, requests: int, size_bytes: int, now: float) -> float:
        """How many seconds to wait after reading so much, before reading on."""
        amount, self._charged = requests + self._charged, 0.0
        return max(self._requests.take(amount, now), self._bytes.take(size_bytes, now))
