"""How often somebody may try to log in, by the address that they come from."""

from __future__ import annotations

from .. import limits
from ..addresses import is_loopback, neighbourhood
from .buckets import Bucket


class Attempts:
    """Logins for each address: a bucket that holds, and gets, those of a minute.

    This machine's own addresses are free, as tunnels end there and people share it. Those whose
    address can't be told have one in common (`net.tcp.UNKNOWN_HOST`), which is limited as any.

    Args:
        per_minute: how many each address may make; 0 for any number.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        # The one that was used last stands last. All are full a minute after their last use.
        self._buckets: dict[str, Bucket] = {}

    def try_one(self, address: str, now: float) -> float:
        """Count an attempt and return 0, or return how many seconds to wait with it."""
        if not self._per_minute or is_loopback(address):
            return 0.0
        network = neighbourhood(address)
        bucket = self._buckets.pop(network, None) or Bucket(self._per_minute / 60, self._per_minute)
        self._buckets[network] = bucket
        wait = bucket.try_take(now)
        self._forget(now)
        return wait

    def _forget(self, now: float) -> None:
        """Forget buckets that are full, and those not used for longest over the bound."""
        buckets = self._buckets
        while True:
            oldest = next(iter(buckets))
            if len(buckets) <= limits.ADDRESSES_MAX and not buckets[oldest].is_full(now):
                return
            del buckets[oldest]
