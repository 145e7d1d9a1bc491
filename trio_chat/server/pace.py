"""How fast one connection is read: who sends too much waits, and loses nothing."""

from __future__ import annotations

from .. import limits
from ..core.buckets import Bucket

_GATHERED_PART = 1 / 100
_BYTES_GATHERED_MAX = limits.RECEIVE_BYTES_BURST_MAX * _GATHERED_PART


class Pace:
    """Two buckets, for the requests of one connection and for their bytes.

    Small amounts are gathered before they are taken, as looking at the buckets costs more than
    reading a message. That never makes anybody wait who would not have to otherwise, but for a
    small part of a burst.

    Args:
        requests_per_second: in the long run; `limits.REQUESTS_BURST_SECONDS` as much at once.
    """

    __slots__ = ("_bytes", "_bytes_gathered", "_gathered", "_gathered_max", "_requests")

    def __init__(self, requests_per_second: float) -> None:
        burst = requests_per_second * limits.REQUESTS_BURST_SECONDS
        self._requests = Bucket(requests_per_second, burst)
        self._bytes = Bucket(limits.RECEIVE_BYTES_PER_SECOND_MAX, limits.RECEIVE_BYTES_BURST_MAX)
        self._gathered: float = 0
        self._bytes_gathered = 0
        self._gathered_max = burst * _GATHERED_PART

    def charge(self, receivers: int, size_bytes: int, weight: int = 0) -> None:
        """A request counts as more than one.

        Args:
            receivers: to how many it went.
            size_bytes: what each of them was sent.
            weight: so many requests more, whatever these are.
        """
        self._gathered += (
            receivers / limits.REQUEST_RECEIVERS_MAX
            + size_bytes / limits.REQUEST_BYTES_MAX
            + weight
        )

    def delay(self, requests: int, size_bytes: int, now: float) -> float:
        """How many seconds to wait after reading so much, before reading on."""
        self._gathered += requests
        self._bytes_gathered += size_bytes
        if self._gathered < self._gathered_max and self._bytes_gathered < _BYTES_GATHERED_MAX:
            return 0.0
        amount, size_bytes = self._gathered, self._bytes_gathered
        self._gathered = self._bytes_gathered = 0
        return max(self._requests.take(amount, now), self._bytes.take(size_bytes, now))
