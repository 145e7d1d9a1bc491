"""How many transfers may be under way; whoever asks for one more waits."""

from __future__ import annotations

import trio

from ... import limits


class Places:
    """One for each registration and each download that was asked for."""

    def __init__(self) -> None:
        self._free = trio.Semaphore(limits.TRANSFERS_MAX)
        self._left = trio.Event()

    async def take(self) -> None:
        """Wait for a free one, and take it."""
        await self._free.acquire()
        # Last, since others run meanwhile: the nursery has ended then.
        await trio.lowlevel.checkpoint_if_cancelled()

    def give_back(self) -> None:
        """Let somebody else have it."""
        self._free.release()
        self._left.set()
        self._left = trio.Event()

    async def wait_all_free(self) -> None:
        """Wait until nothing is under way."""
        while self._free.value < limits.TRANSFERS_MAX:
            await self._left.wait()
