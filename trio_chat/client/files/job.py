"""What the person has asked for of files, and how far it is.

A `Request` is one line that they typed. Those for one file share a `Job`, and its fetch.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import trio

from ..notice import Notice
from . import render
from .fetch import Fetch

RATE_SECONDS = 3.0
"""Over how much time a rate is measured."""


class Request:
    """A whole file, or chunks of it, that the person has asked for.

    Attributes:
        name: of the file.
        chunks: as they were typed; none for the whole file.
        user: who was asked for them; empty for anybody.
        started: when, in seconds of trio's clock.
        life: cancelled to give it up.
    """

    def __init__(self, name: str, chunks: str | None = None, user: str = "") -> None:
        self.name = name
        self.chunks = chunks
        self.user = user
        self.started = trio.current_time()
        self.life = trio.CancelScope()


class Job:
    """One file on its way, whatever was asked for of it.

    Attributes:
        name: of the file.
        before: set when the last job of this name has ended; none if there was none.
        requests: those that are not answered yet.
        fetch: which does the work; none before it begins and after it has ended.
        life: of its fetch; a new one for each.
        is_given_up: whether the person has cancelled it.
        closed: set while no fetch has the file open.
        path: where the whole file lies, once it is here.
        state: how it is while nothing is fetched, for `downloads`; at first it waits for its turn.
    """

    def __init__(self, name: str, before: trio.Event | None = None) -> None:
        self.name = name
        self.before = before
        self.requests: list[Request] = []
        self.fetch: Fetch | None = None
        self.life = trio.CancelScope()
        self.is_given_up = False
        self.closed = trio.Event()
        self.closed.set()
        self.path: Path | None = None
        self.state = "waiting"
        self._marks: deque[tuple[float, int]] = deque()  # when so many bytes were missing

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or was given up and will soon have."""
        return self.is_given_up or not (self.requests or self.fetch)

    @property
    def is_wanted_as_a_whole(self) -> bool:
        """Whether some request that was not given up is for all of it."""
        return not self.is_over and any(request.chunks is None for request in self.requests)

    @property
    def is_complete(self) -> bool:
        """Whether the whole file is here, or only has to get its name."""
        return self.fetch is not None and self.fetch.has_all

    @property
    def is_fetching(self) -> bool:
        """Whether its turn has come."""
        return self.fetch is not None and self.fetch.is_running

    def describe(self) -> Notice:
        """How far it is now; its rate is that of the last seconds."""
        if self.fetch is None or not self.fetch.is_running:
            return render.download_state(self.name, self.state)
        now = trio.current_time()
        missing = self.fetch.missing_bytes
        self._marks.append((now, missing))
        while len(self._marks) > 2 and self._marks[1][0] <= now - RATE_SECONDS:
            self._marks.popleft()
        then, before = self._marks[0]
        rate = max((before - missing) / (now - then), 0.0) if now > then else 0.0  # it may grow
        fetch = self.fetch
        return render.progress(
            self.name, fetch.wanted_bytes, missing, rate, fetch.sources, fetch.trouble
        )
