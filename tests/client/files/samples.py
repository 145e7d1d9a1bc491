"""What the tests of files share: small files, and time that runs fast.

Disk and hashes are real here and happen in threads, which trio's jumping clock does not wait
for. So time runs, only faster than outside: what takes five seconds takes a fraction of one.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import outcome
import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.client.files.disk import Version, hash_file
from trio_chat.client.files.shelf import Held
from trio_chat.swarm.manifest import Layout, Leaves, Manifest
from trio_chat.swarm.pieces import PieceSet

SPEED = 20
"""How many seconds of trio's time pass in one of ours."""


def seconds_max() -> float:
    """How long a test waits for what it expects, in trio's time."""
    return 8.0 * (SPEED if isinstance(trio.lowlevel.current_clock(), MockClock) else 1)


class Sample:
    """A file, and what is known of it."""

    def __init__(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.path = path
        self.data = data
        self.manifest: Manifest
        self.leaves: Leaves
        if data:
            self.manifest, self.leaves, self.version = hash_file(path, lambda done, size: None)
        else:  # nobody shares that, but a server may know such a file
            self.manifest = Manifest.build(path.name, Layout.of(0), b"")
            self.leaves, self.version = Leaves(self.manifest, b""), Version(0, 0, 0)
        self.root = self.manifest.root

    def held(self, have: PieceSet | None = None) -> Held:
        """The file as it is served; complete unless only some pieces are there."""
        if have is None:
            return Held(self.leaves, self.path, self.version, PieceSet.full(self.pieces))
        return Held(self.leaves, self.path, None, have)

    @property
    def pieces(self) -> int:
        return self.manifest.pieces

    def piece(self, number: int) -> bytes:
        offset, size = self.manifest.span(number)
        return self.data[offset : offset + size]


def make_sample(directory: Path, name: str = "a.bin", size: int = 300_000) -> Sample:
    return Sample(directory / name, os.urandom(size))


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    with trio.fail_after(seconds_max()):
        while not condition():  # noqa: ASYNC110  # there is no event for all that may be asked
            await trio.sleep(0.005)


async def in_time(function: Callable[[], Awaitable[object]]) -> object:
    """Wait for something, not for ever."""
    with trio.fail_after(seconds_max()):
        return await function()


@pytest.fixture(params=[limits.LEAF_BYTES_MAX, 8192], ids=["one leaf", "two leaves"])
def any_leaves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of one leaf, or of two as the largest have."""
    monkeypatch.setattr(limits, "LEAF_BYTES_MAX", request.param)


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a thread would do is done at once: a clock that jumps does not wait for threads."""

    async def at_once(function: Callable[..., object], *args: object, **_: object) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    def deliver_at_once(
        function: Callable[[], object], deliver: Callable[[outcome.Outcome[object]], object]
    ) -> None:
        deliver(outcome.capture(function))

    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
    monkeypatch.setattr(trio.lowlevel, "start_thread_soon", deliver_at_once)


@pytest.fixture
def fast_clock() -> MockClock:
    return MockClock(rate=SPEED)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return make_sample(tmp_path / "shared")
