"""A worker thread for one piece, without what `trio.to_thread.run_sync` does for longer work.

That one names the thread (two calls through ctypes), copies the context, and lets the thread
call back and learn of being cancelled. For a piece, which takes a fraction of a millisecond, all
of this costs more than it is worth: the thread and the loop then wait for each other's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import trio

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")


async def run_briefly(function: Callable[..., T], *arguments: object) -> T:
    """Call a short function in a worker thread; cancelling has to wait until it is done.

    It counts as one of the threads of `trio.to_thread`, of which there are only so many.
    The function can't use `trio.from_thread`.

    Raises:
        Exception: whatever the function raises.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    limiter = trio.to_thread.current_default_thread_limiter()
    try:
        limiter.acquire_nowait()  # which spares a turn of the loop
    except trio.WouldBlock:
        await limiter.acquire()
    try:
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()

        def deliver(result: Outcome[T]) -> None:
            token.run_sync_soon(trio.lowlevel.reschedule, task, result)

        trio.lowlevel.start_thread_soon(partial(function, *arguments), deliver)
        return cast("T", await trio.lowlevel.wait_task_rescheduled(_do_not_abort))
    finally:
        limiter.release()


def _do_not_abort(_raise_cancel: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
