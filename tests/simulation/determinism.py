"""The same seed, the same run: the one place that knows how trio's scheduler draws lots.

Within a block all that the program takes from chance or from the machine comes from the seed:
the order in which trio runs its tasks, random names and tokens, shuffles. There are no threads:
what the program hands to one is called in place, and takes a while of virtual time. Wall-clock
time, which it reads for progress bars only, stands still.
"""

from __future__ import annotations

import random
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TypeVar
from unittest.mock import patch

import trio
import trio._core._run as scheduler
from trio.testing import MockClock

from trio_chat.client.files import fetch, serving, transfers

T = TypeVar("T")

THREAD_SECONDS_MAX = 0.02
"""How long what would be done in a thread may take."""


@contextmanager
def _determined(seed: int) -> Iterator[None]:
    """Take chance, names and threads away from the program."""
    chance = random.Random(f"names of {seed}")

    def token_hex(size: int = 32) -> str:
        return chance.randbytes(size).hex()

    async def in_place(function: Callable[..., T], *args: object, **_: object) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):  # a thread that has begun is not given up
            await trio.sleep(chance.random() * THREAD_SECONDS_MAX)
        return function(*args)

    def call(function: Callable[..., T], *args: object) -> T:
        return function(*args)

    state = random.getstate()
    scheduler_state = scheduler._r.getstate()
    with (
        patch.object(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        patch.object(secrets, "token_hex", token_hex),
        patch.object(secrets, "token_urlsafe", token_hex),
        patch.object(secrets, "token_bytes", chance.randbytes),
        patch.object(secrets, "randbits", chance.getrandbits),
        patch.object(trio.to_thread, "run_sync", in_place),
        patch.object(fetch, "run_briefly", in_place),
        patch.object(serving, "run_briefly", in_place),
        patch.object(trio.from_thread, "run_sync", call),
        patch.object(trio.from_thread, "check_cancelled", lambda: None),
        patch.object(trio, "open_signal_receiver", _no_signals),
        patch.object(transfers, "time", SimpleNamespace(monotonic=lambda: 0.0)),
    ):
        random.seed(f"shuffles of {seed}")
        scheduler._r.seed(f"tasks of {seed}")
        try:
            yield
        finally:
            random.setstate(state)
            scheduler._r.setstate(scheduler_state)


def run(seed: int, function: Callable[[], Awaitable[T]]) -> T:
    """Run an async function in virtual time, as the seed wants it."""
    with _determined(seed):
        return trio.run(function, clock=MockClock(autojump_threshold=0))


@contextmanager
def _no_signals(*_: signal.Signals) -> Iterator[AsyncIterator[int]]:
    """Several clients in one process can't all have its signals."""

    async def never() -> AsyncIterator[int]:
        await trio.sleep_forever()
        yield 0

    yield never()
