"""The store task: does what the broker wants written or read, one job after the other."""

from __future__ import annotations

import trio

from ..core.commands import Command, CommitFailed, Committed, MailboxLoaded
from ..core.effects import Commit
from ..storage.store import Store, StoreError
from .connection import Submit
from .health import StoreHealth
from .hub import StoreJob
from .log import Log, note


async def run_store(
    store: Store,
    jobs: trio.MemoryReceiveChannel[StoreJob],
    submit: Submit,
    health: StoreHealth,
    log: Log | None,
) -> None:
    """Do jobs until cancelled, and submit what came of each.

    Args:
        store: what does them.
        jobs: what to do.
        submit: takes the results.
        health: takes how long it took, and what failed.
        log: takes each failure, if it is wanted.
    """
    async for job in jobs:
        failure = ""
        result: Command
        if isinstance(job, Commit):
            health.commit_begins(trio.current_time())
            try:
                await store.commit(job)
                result = Committed(job.number)
            except StoreError as error:
                failure = str(error)
                result = CommitFailed(job.number)
            health.commit_ends(trio.current_time(), failure)
        else:
            try:
                result = MailboxLoaded(job.user, await store.load(job.user))
            except StoreError as error:
                failure = str(error)
                result = MailboxLoaded(job.user, None)
            health.loaded(job.user, failure)
        if failure and log is not None:
            log(note("store_failed", f"store failed: {failure}", reason=failure))
        await submit(result)
