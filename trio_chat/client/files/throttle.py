"""A limit on bytes per second, over all connections of this client."""

from __future__ import annotations

import trio

from ... import limits

TURN_SECONDS = 0.1
"""How long one turn takes at most: nobody must seem silent because the limit is low."""


class Throttle:
    """Lets so many bytes pass in a second, and a little ahead of that.

    Whoever takes bytes waits until those before are paid for, so large takes are fine, and
    turns are fair as long as all take about the same.

    Attributes:
        turn_bytes: what to take at most at a time.

    Args:
        rate: bytes per second; none for no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self.turn_bytes = limits.PIECE_BYTES_MAX
        if rate is not None:
            self.turn_bytes = min(max(int(rate * TURN_SECONDS), 1), self.turn_bytes)
        self._rate = rate
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Wait until these bytes may pass."""
        if self._rate is None:
            return
        now = trio.current_time()
        start = max(now, self._free_at)
        self._free_at = start + size / self._rate
        try:
            await trio.sleep_until(start)
        except trio.Cancelled:
            self._free_at -= size / self._rate  # they do not pass: those who come next may
            raise
