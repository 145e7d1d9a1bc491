"""Where clients and their parts are played against somebody hostile, in virtual time.

Disks are real and threads are not: what would be done in one is done at once, so that the same
bytes always give the same story, and thousands of them a second.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import outcome
import trio
from trio.testing import MockClock

from tests.client.files.samples import Sample

SECONDS_MAX = 10_000.0
"""Nothing takes so long in virtual time, unless it hangs."""

_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e") | frozenset(
    map(chr, range(0x2066, 0x2070))
)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene to its end; fail if it has none."""

    async def run() -> None:
        with trio.fail_after(SECONDS_MAX):
            await scene()

    with (
        patch("trio.to_thread.run_sync", _at_once),
        patch("trio.lowlevel.start_thread_soon", _deliver_at_once),
        patch("trio.from_thread.check_cancelled", lambda: None),
        patch("trio.from_thread.run_sync", lambda function, *args: function(*args)),
        patch("trio.open_signal_receiver", _no_signals),
    ):
        trio.run(run, clock=MockClock(autojump_threshold=0))


async def _at_once(function: Callable[..., object], *args: object, **_: object) -> object:
    await trio.lowlevel.checkpoint()
    return function(*args)


def _deliver_at_once(
    function: Callable[[], object], deliver: Callable[[outcome.Outcome[object]], object]
) -> None:
    deliver(outcome.capture(function))


@contextmanager
def _no_signals(*_: object) -> Iterator[Any]:
    async def never() -> Any:
        await trio.sleep_forever()
        yield 0

    yield never()


def assert_harmless(lines: Sequence[str]) -> None:
    """Fail if anything among these lines could control a terminal."""
    for line in lines:
        for character in line:
            category = unicodedata.category(character)
            assert category not in ("Cc", "Cs", "Zl", "Zp"), ascii(line)
            assert character not in _DIRECTIONS, ascii(line)


class Stage:
    """A directory for all stories of a process, and a file to share in it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="trio-chat-fuzz-")
        self.path = Path(self._directory.name)
        self.sample = Sample(self.path / "shared" / "a.bin", bytes(range(250)) * 200)

    def clear(self, name: str) -> Path:
        """A directory with nothing in it; there are no others in it either."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        for file in path.iterdir():
            file.unlink()
        return path
