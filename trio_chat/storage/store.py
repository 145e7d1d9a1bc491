"""The interface of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..core.beginning import Restored
from ..core.effects import Commit
from ..errors import FailureError
from ..protocol.messages import Delivery


class StoreError(FailureError):
    """The store could not do what it was asked for."""


class InUseError(StoreError):
    """Another process uses the data."""


class Store(Protocol):
    """Keeps what it is told.

    Every method raises `StoreError` if the disk or the data do not permit it.
    """

    async def restore(self) -> Restored:
        """What earlier runs have left."""

    async def commit(self, commit: Commit) -> None:
        """Write a commit; when this returns, it survives a crash and a power failure."""

    async def load(self, user: str) -> tuple[Delivery, ...]:
        """The messages that wait for a user, in order."""

    async def back_up(self, path: Path) -> None:
        """Copy everything into a new database at this path, while commits go on.

        It is the store as it was at some moment before the return, and not synced; see
        `backup.seal`. Nothing is left there if it fails or is cancelled.
        """

    async def close(self) -> None:
        """Let go of the files; nothing is lost without it."""
