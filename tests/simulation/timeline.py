"""What happens when, in virtual time: callbacks in order of their moment, then of their making."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import trio


class Timeline:
    """Calls functions at their time; `run` must run meanwhile."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._wake = trio.Event()
        self._asleep_until = 0.0

    def at(self, time: float, function: Callable[[], object]) -> None:
        """Call a function at a time, or as soon as possible."""
        heapq.heappush(self._heap, (time, next(self._numbers), function))
        if time < self._asleep_until:
            self._wake.set()

    def after(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function after a while."""
        self.at(trio.current_time() + seconds, function)

    async def run(self) -> None:
        """Call what is due, until cancelled."""
        heap = self._heap
        while True:
            now = trio.current_time()
            while heap and heap[0][0] <= now:
                heapq.heappop(heap)[2]()
            self._wake = trio.Event()
            self._asleep_until = heap[0][0] if heap else float("inf")
            with trio.move_on_at(self._asleep_until):
                await self._wake.wait()
            self._asleep_until = 0.0
