"""A store in memory: for tests, and the model that the real one is checked against."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from ..core.beginning import Restored
from ..core.effects import Commit
from ..core.shares import counted_by_sender
from ..protocol.messages import Delivery, File
from .backup import DATABASE_NAME
from .sqlite import open_sqlite
from .store import StoreError


class MemoryStore:
    """Keeps commits as long as the object lives.

    Attributes:
        failure: while set, `commit` and `load` fail with this text, changing nothing.
    """

    def __init__(self) -> None:
        self.failure: str | None = None
        self._messages: dict[str, dict[int, Delivery]] = {}
        self._blocks: dict[tuple[str, str], None] = {}
        self._files: dict[str, tuple[str, File]] = {}

    async def restore(self) -> Restored:
        await trio.lowlevel.checkpoint()
        return Restored(
            last_seq=max((seq for box in self._messages.values() for seq in box), default=0),
            blocks=tuple(sorted(self._blocks)),
            files=tuple(self._files.values()),
            waiting={
                user: counted_by_sender(box.values())
                for user, box in sorted(self._messages.items())
            },
        )

    async def commit(self, commit: Commit) -> None:
        await trio.lowlevel.checkpoint()
        self._check()
        for user, acknowledged in commit.acknowledged:
            box = self._messages.get(user, {})
            for seq in [seq for seq in box if seq <= acknowledged]:
                del box[seq]
            if not box:
                self._messages.pop(user, None)
        for user, delivery in commit.messages:
            self._messages.setdefault(user, {})[delivery.seq] = delivery
        for blocker, blocked, on in commit.blocks:
            if on:
                self._blocks[blocker, blocked] = None
            else:
                self._blocks.pop((blocker, blocked), None)

        for user, file in commit.files:
            self._files[file.name] = (user, file)
        for name in commit.dropped:
            self._files.pop(name, None)

    async def load(self, user: str) -> tuple[Delivery, ...]:
        await trio.lowlevel.checkpoint()
        self._check()
        box = self._messages.get(user, {})
        return tuple(box[seq] for seq in sorted(box))

    async def back_up(self, path: Path) -> None:
        self._check()
        with TemporaryDirectory() as directory:
            twin = await open_sqlite(Path(directory) / DATABASE_NAME)
            try:
                await twin.commit(self._everything())
                await twin.back_up(path)
            finally:
                await twin.close()

    def _everything(self) -> Commit:
        return Commit(
            1,
            tuple(
                (user, letter) for user, box in self._messages.items() for letter in box.values()
            ),
            (),
            tuple((blocker, blocked, True) for blocker, blocked in self._blocks),
            tuple(self._files.values()),
        )

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self.failure is not None:
            raise StoreError(self.failure)
