"""The password task: checks passwords, slow ones in a few worker threads.

A hash takes tens of milliseconds and megabytes by design. So at most `WORKERS` are computed at a
time, and the others wait their turn here, while the chat goes on.
"""

from __future__ import annotations

import os

import trio

from ..core.commands import PasswordChecked
from ..core.effects import CheckPassword
from .accounts import Accounts
from .connection import Submit

WORKERS = max(1, (os.cpu_count() or 1) - 1)
"""One processor stays free for those who chat."""


async def check_passwords(
    jobs: trio.MemoryReceiveChannel[CheckPassword],
    accounts: Accounts,
    submit: Submit,
) -> None:
    """Check until cancelled; submit the result of each check.

    Args:
        jobs: what to check.
        accounts: against which to check.
        submit: takes the results.
    """
    async with trio.open_nursery() as nursery:
        for _ in range(WORKERS):
            nursery.start_soon(_work, jobs.clone(), accounts, submit)


async def _work(
    jobs: trio.MemoryReceiveChannel[CheckPassword],
    accounts: Accounts,
    submit: Submit,
) -> None:
    async for job in jobs:
        credentials = None
        # Once more if the file was read meanwhile: a user may just have been removed.
        while credentials is not accounts.credentials:
            credentials = accounts.credentials
            if credentials.is_slow:
                correct = await trio.to_thread.run_sync(credentials.check, job.user, job.password)
            else:
                correct = credentials.check(job.user, job.password)
        await submit(PasswordChecked(job.session, job.user, correct))
