"""Waiting for what programs write and do, in one thread and without sleeping for luck."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from contextlib import suppress

DEADLINE_SECONDS = 20.0
"""How long to wait for what normally takes much less than a second."""

POLL_SECONDS = 0.01
"""How often to look at what can't be waited for, such as the end of a process."""


class Watch:
    """Reads what all programs write whenever somebody waits, so that none waits for a reader."""

    def __init__(self) -> None:
        self._readers = selectors.DefaultSelector()

    def add(self, file: int, feed: Callable[[bytes], object]) -> None:
        """Read this file from now on."""
        self._readers.register(file, selectors.EVENT_READ, feed)

    def remove(self, file: int) -> None:
        """Don't read this file any more."""
        with suppress(KeyError):
            self._readers.unregister(file)

    def close(self) -> None:
        """Free what it needs."""
        self._readers.close()

    def wait_until(self, condition: Callable[[], bool], describe: Callable[[], str]) -> None:
        """Wait until it is so, while all that the programs write is read.

        Raises:
            AssertionError: if it takes too long; with what `describe` says.
        """
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"after {DEADLINE_SECONDS:g} seconds still not: {describe()}")
            self.read_all(POLL_SECONDS)

    def wait_until_time(self, moment: float) -> None:
        """Wait until the monotonic clock shows this."""
        self.wait_until(lambda: time.monotonic() > moment, lambda: f"{moment} on the clock")

    def read_all(self, seconds: float = 0) -> bool:
        """Read what the programs have written; wait for something as long as is said.

        Returns:
            Whether there was anything.
        """
        ready = self._readers.select(seconds)
        for key, _ in ready:
            try:
                data = os.read(key.fd, 65536)
            except OSError:  # a terminal without programs
                data = b""
            if data:
                key.data(data)
            else:
                self._readers.unregister(key.fd)
        return bool(ready)
