"""The oracle's notebook: what the taps, screens and keyboards tell, and who judges it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .blocks import Blocks
from .delivery import Delivery
from .history import History


class Watched:
    """All that is observed in a run.

    Attributes:
        now: the clock.
        idle_seconds: after which the server logs out whoever does nothing.
        blocks, delivery, history: what they know, and judge.
        counts: how often what has happened.
        marks: for how many seconds each user has asked `whoelsesince` last.
        others: whom each user was told of by `whoelse` last.
        lines: the trace.
    """

    def __init__(self, clock: Callable[[], float], idle_seconds: float, directory: Path) -> None:
        self.now = clock
        self.idle_seconds = idle_seconds
        self.blocks = Blocks()
        self.delivery = Delivery(self.blocks, clock)
        self.history = History(clock)
        self.counts: dict[str, int] = {}
        self.marks: dict[str, float] = {}
        self.others: dict[str, list[str]] = {}
        self.lines: list[str] = []
        self._directory = str(directory)

    def trace(self, text: str) -> None:
        """Write down what happens; the same in every run."""
        self.lines.append(f"{self.now():11.6f} {text.replace(self._directory, '~')[:200]}")

    def count(self, what: str, amount: int = 1) -> None:
        """Count what happens."""
        self.counts[what] = self.counts.get(what, 0) + amount
