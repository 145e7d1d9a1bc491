"""Two users who write to each other, to see how others' doing slows them."""

from __future__ import annotations

import statistics
import time

from .load import Load
from .peers.ours import OurClient

TEXT = b"x" * 64
GAP_SECONDS = 0.002
QUIET_SECONDS = 2.0


class Probe:
    """Two users who are online, and how long each message between them took.

    Attributes:
        seconds: that each message took to its receiver.

    Args:
        load: which has no clients yet.
        port: of the server.
        password: of both; none for their own.
    """

    def __init__(self, load: Load, port: int, password: str | None = None) -> None:
        load.log_in(OurClient(number, port, password=password) for number in range(2))
        load.settle()
        self._load = load
        self._sender, self._receiver = load.clients
        self.seconds: list[float] = []

    def step(self) -> None:
        """Send a message, wait until it arrives, and a little more; serve everybody."""
        expected = self._receiver.deliveries + 1
        start = time.perf_counter()
        self._sender.message(self._receiver.name, TEXT, 1)
        self._load.run_while(lambda: self._receiver.deliveries < expected, lambda client: None)
        self.seconds.append(time.perf_counter() - start)
        self._load.settle(GAP_SECONDS)


def shown(seconds: list[float]) -> str:
    """Median, 99th percentile and maximum, in milliseconds, as cells of a table."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return " | ".join(f"{value * 1000:.1f}" for value in (cuts[49], cuts[98], max(seconds)))
