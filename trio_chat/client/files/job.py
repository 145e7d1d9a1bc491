"""One download that the person has asked for, and how far it is."""

from __future__ import annotations

from collections import deque

import trio

from ..notice import Notice
from . import render
from .fetch import Fetch

RATE_SECONDS = 3.0
"""Over how much time a rate is measured."""


class Job:
    """A download that the person has asked for.

    Attributes:
        name: of the file.
        before: set when the last download of this name has ended; none if there was none.
        fetch: which does the work; none before it begins and after it has ended.
        started: when, in seconds of trio's clock.
        life: cancelled to give it up.
        done: set when it has ended.
        state: how it is while nothing is fetched, for `downloads`; at first it waits for its turn.
    """

    def __init__(self, name: str, before: trio.Event | None = None) -> None:
        self.name = name
        self.before = before
        self.fetch: Fetch | None = None
        self.started = trio.current_time()
        self.life = trio.CancelScope()
        self.done = trio.Event()
        self.state = "waiting"
        self._marks: deque[tuple[float, int]] = deque()  # when so many bytes were missing

    @property
    def is_ending(self) -> bool:
        """Whether it has ended, or was given up and will soon have."""
        return self.done.is_set() or self.life.cancel_called

    def describe(self) -> Notice:
        """How far it is now; its rate is that of the last seconds."""
        if self.fetch is None:
            return render.download_state(self.name, self.state)
        now = trio.current_time()
        missing = self.fetch.missing_bytes
        self._marks.append((now, missing))
        while len(self._marks) > 2 and self._marks[1][0] <= now - RATE_SECONDS:
            self._marks.popleft()
        then, before = self._marks[0]
        rate = (before - missing) / (now - then) if now > then else 0.0
        return render.progress(
            self.name, self.fetch.wanted_bytes, missing, rate, self.fetch.sources
        )
