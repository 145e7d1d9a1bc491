"""The server's disk: what was committed, and nothing else, outlives a crash.

A commit takes a while, becomes durable at one moment of it, and is reported after another
while. So a server that dies in between has written something of which nobody was told; when
that is, the seed decides. While the disk is full every commit fails, and changes nothing.
"""

from __future__ import annotations

import random
from pathlib import Path

import trio

from trio_chat.core.beginning import Restored
from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery
from trio_chat.storage.memory import MemoryStore
from trio_chat.storage.store import StoreError


class Disk:
    """What outlives servers.

    Attributes:
        durable: what a new server finds.
        is_full: whether commits fail.
        is_unreadable: whether mailboxes can't be read.
        commits, failures: how many there were.
    """

    def __init__(self, chance: random.Random) -> None:
        self.durable = MemoryStore()
        self.is_full = False
        self.is_unreadable = False
        self.commits = 0
        self.failures = 0
        self.chance = chance
        self.seconds = chance.choice((0.0, 0.001, 0.02, 0.5))

    def open(self) -> SimulatedStore:
        return SimulatedStore(self)


class SimulatedStore:
    """Behind the interface `Store`, for the life of one server."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.is_dead = False

    async def restore(self) -> Restored:
        return await self._disk.durable.restore()

    async def commit(self, commit: Commit) -> None:
        disk = self._disk
        await self._wait()
        if disk.is_full:
            disk.failures += 1
            raise StoreError("the disk is full")
        if self.is_dead:
            return
        with trio.CancelScope(shield=True):
            await disk.durable.commit(commit)
        disk.commits += 1
        await self._wait()

    async def load(self, user: str) -> tuple[Delivery, ...]:
        await self._wait()
        if self._disk.is_unreadable:
            self._disk.failures += 1
            raise StoreError("the disk cannot be read")
        result = await self._disk.durable.load(user)
        await self._wait()
        return result

    async def back_up(self, path: Path) -> None:
        raise AssertionError("no person of the simulation types an operator's command")

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()

    async def _wait(self) -> None:
        chance = self._disk.chance
        await trio.sleep(self._disk.seconds * chance.expovariate(1.0))
