"""Writes the log, so that nobody has to wait for it.

Theory of operation: the event loop only puts lines into a bounded queue, and a thread takes them
out and writes them. Only a thread can wait for a pipe or a terminal that nobody reads: to make
it non-blocking would do the same to every other program that has it open. While the queue is full
lines are dropped; as soon as there is room again, a line says how many.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from .. import limits
from .log import Record, note

Render = Callable[[Record], str]
"""Makes one line of a record."""


class LogWriter:
    """A `Log` that writes to a descriptor, for the length of a ``with`` block.

    The end of the block waits for what is left, but not for long.

    Args:
        render: makes lines of records.
        file: where to write; none to write nothing. It may be shared with other programs.
    """

    def __init__(self, render: Render, file: int | None) -> None:
        self._render = render
        self._file = file
        self._lines: list[bytes] = []
        self._bytes = 0  # also of those that are being written
        self._dropped = 0
        self._is_failing = False  # the latest write did
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def __enter__(self) -> LogWriter:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, record: Record) -> None:
        """Write a record some time later, or drop it if too much waits."""
        line = f"{self._render(record)}\n".encode(errors="backslashreplace")
        with self._changed:
            if self._is_closing or self._bytes + len(line) > limits.LOG_BYTES_MAX:
                self._dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._changed.notify()

    def close(self) -> None:
        """Wait a bounded time for what is left; then take no more."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(limits.LOG_SECONDS_MAX)

    # -- In the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_something_to_do)
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, 0
            if not lines and (self._is_failing or not dropped):
                return
            data = b"".join(lines)
            unwritten = self._write(data + self._told(dropped))
            with self._changed:
                self._bytes -= len(data)
                self._is_failing = unwritten > 0
                if self._is_failing:  # the line about those that were dropped is one of them
                    self._dropped += dropped + unwritten - (dropped > 0)

    def _is_something_to_do(self) -> bool:
        can_tell = self._dropped > 0 and not self._is_failing
        return bool(self._lines) or can_tell or self._is_closing

    def _told(self, dropped: int) -> bytes:
        if not dropped:
            return b""
        text = f"{dropped:,} lines of this log are missing here, as it was not read fast enough"
        return f"{self._render(note('log_dropped', text, lines=dropped))}\n".encode()

    def _write(self, data: bytes) -> int:
        """Write all of it, however long that takes; return how many lines were not."""
        if self._file is None:
            return 0
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except BlockingIOError:  # another program has made it non-blocking
                poll = select.poll()
                poll.register(self._file, select.POLLOUT)
                poll.poll()
            except OSError:  # nobody can read it any more, or its disk is full
                return data.count(b"\n")
        return 0


def standard_error() -> int | None:
    """The descriptor of standard error; none if it was closed, as it may be something else now."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            return sys.stderr.fileno()
    return None
