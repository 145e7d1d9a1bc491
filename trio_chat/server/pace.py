"""How fast one user, or one stranger, is read: who sends too much waits, and loses nothing."""

from __future__ import annotations

from .. import limits
from ..core.buckets import Bucket

ROW_BYTES = 128
"""What a message takes on the disk besides its text, and what a block or a file takes."""

_GATHERED_PART = 1 / 100
_BYTES_GATHERED_MAX = limits.RECEIVE_BYTES_BURST_MAX * _GATHERED_PART
_STORED_GATHERED_MAX = limits.STORED_BYTES_BURST_MAX * _GATHERED_PART


class Pace:
    """Three buckets: for the requests of one user or stranger, their bytes, and bytes for the disk.

    Small amounts are gathered before they are taken, as looking at the buckets costs more than
    reading a message. That never makes anybody wait who would not have to otherwise, but for a
    small part of a burst.

    Args:
        requests_per_second: in the long run; `limits.REQUESTS_BURST_SECONDS` as much at once.
        pause_seconds_max: the longest time to wait before reading on.
    """

    __slots__ = (
        *("_burst_part", "_bytes", "_bytes_gathered", "_gathered", "_gathered_max"),
        *("_pause_seconds_max", "_requests", "_stored", "_stored_gathered"),
    )

    def __init__(
        self,
        requests_per_second: float,
        pause_seconds_max: float = limits.READ_DELAY_SECONDS_MAX,
    ) -> None:
        self._pause_seconds_max = pause_seconds_max
        burst = requests_per_second * limits.REQUESTS_BURST_SECONDS
        self._requests = Bucket(requests_per_second, burst)
        self._bytes = Bucket(limits.RECEIVE_BYTES_PER_SECOND_MAX, limits.RECEIVE_BYTES_BURST_MAX)
        self._stored = Bucket(limits.STORED_BYTES_PER_SECOND_MAX, limits.STORED_BYTES_BURST_MAX)
        self._stored_gathered = 0
        self._gathered: float = 0
        self._bytes_gathered = 0
        self._gathered_max = self._burst_part = burst * _GATHERED_PART

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

    def charge_stored(self, size_bytes: int) -> None:
        """So many bytes of what was read are written to the disk."""
        self._stored_gathered += size_bytes
        if self._stored_gathered >= _STORED_GATHERED_MAX:
            self.check_next()

    def delay(self, requests: int, size_bytes: int, now: float) -> float:
        """How many seconds to wait after reading so much, before reading on."""
        self._gathered += requests
        self._bytes_gathered += size_bytes
        if self._gathered < self._gathered_max and self._bytes_gathered < _BYTES_GATHERED_MAX:
            return 0.0
        return self._take(now)

    def check_next(self) -> None:
        """Look at the buckets after the next read, however small it is."""
        self._gathered_max = 0

    def is_full(self, now: float) -> bool:
        """Whether it is like a fresh one; what was gathered is taken first."""
        self._take(now)
        buckets = (self._requests, self._bytes, self._stored)
        return all(bucket.is_full(now) for bucket in buckets)

    def _take(self, now: float) -> float:
        amount, size_bytes, stored = self._gathered, self._bytes_gathered, self._stored_gathered
        self._gathered = self._bytes_gathered = self._stored_gathered = 0
        self._gathered_max = self._burst_part
        pause = max(
            self._requests.take(amount, now),
            self._bytes.take(size_bytes, now),
            self._stored.take(stored, now),
        )
        return min(pause, self._pause_seconds_max)


class Paces:
    """Those of all users: whoever comes back goes on with what they had used up.

    Args:
        requests_per_second: for each; see `Pace`.
        idle_seconds: after how long without any request a user is logged out.
    """

    def __init__(self, requests_per_second: float, idle_seconds: float) -> None:
        self._requests_per_second = requests_per_second
        # Nobody is idle whose requests wait to be read.
        self._pause_seconds_max = min(limits.READ_DELAY_SECONDS_MAX, idle_seconds / 2)
        self._used: dict[str, tuple[Pace, int]] = {}  # and by how many connections
        self._left: dict[str, Pace] = {}  # whoever left last stands last

    def for_stranger(self) -> Pace:
        """A pace for a connection on which nobody has logged in."""
        rate = min(self._requests_per_second, limits.STRANGER_REQUESTS_PER_SECOND_MAX)
        return Pace(rate, self._pause_seconds_max)

    def take(self, user: str) -> Pace:
        """The pace of a user, for one more connection of theirs."""
        pace, count = self._used.get(user, (None, 0))
        pace = pace or self._left.pop(user, None)
        pace = pace or Pace(self._requests_per_second, self._pause_seconds_max)
        self._used[user] = pace, count + 1
        pace.check_next()
        return pace

    def charge_stored(self, user: str, size_bytes: int) -> None:
        """So many bytes that a user has sent are written to the disk."""
        pace, _ = self._used.get(user, (None, 0))
        pace = pace or self._left.get(user)
        if pace is not None:
            pace.charge_stored(size_bytes)

    def give_back(self, user: str, now: float) -> None:
        """A connection of a user has ended; forget whoever left and has all of it again."""
        pace, count = self._used.pop(user)
        if count > 1:
            self._used[user] = pace, count - 1
        else:
            self._left[user] = pace
        while self._left:
            user, pace = next(iter(self._left.items()))
            if not pace.is_full(now):
                return
            del self._left[user]
