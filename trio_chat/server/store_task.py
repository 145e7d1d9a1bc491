"""The store task: does what the broker wants written or read, one job after the other."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..core.commands import Command, CommitFailed, Committed, MailboxLoaded
from ..core.effects import Commit
from ..storage.store import Store, StoreError
from .connection import Submit
from .hub import StoreJob


async def run_store(
    store: Store,
    jobs: trio.MemoryReceiveChannel[StoreJob],
    submit: Submit,
    log: Callable[[str], None] | None,
) -> None:
    """Do jobs until cancelled, and submit what came of each."""
    async for job in jobs:
        result: Command
        try:
            if isinstance(job, Commit):
                await store.commit(job)
                result = Committed(job.number)
            else:
                result = MailboxLoaded(job.user, await store.load(job.user))
        except StoreError as error:
            if log is not None:
                log(f"store failed: {error}")
            if isinstance(job, Commit):
                result = CommitFailed(job.number)
            else:
                result = MailboxLoaded(job.user, None)
        await submit(result)
