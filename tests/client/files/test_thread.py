"""Short calls in worker threads."""

from __future__ import annotations

import threading

import pytest
import trio

from trio_chat.client.files.thread import run_briefly


async def test_it_returns_what_the_function_does_in_another_thread() -> None:
    def call(one: int, other: int) -> tuple[int, int]:
        return one + other, threading.get_ident()

    result, thread = await run_briefly(call, 1, 2)
    assert result == 3
    assert thread != threading.get_ident()


async def test_it_raises_what_the_function_does() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_briefly(lambda: 1 // 0)
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0


async def test_who_is_cancelled_waits_until_it_is_done() -> None:
    begun, may_end = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()
    ended: list[bool] = []

    def call() -> None:
        token.run_sync_soon(begun.set)
        ended.append(may_end.wait(5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_briefly, call)
        await begun.wait()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
            assert not ended
        may_end.set()
    assert ended == [True]


async def test_whoever_is_cancelled_before_does_not_begin() -> None:
    calls: list[None] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await run_briefly(calls.append, None)
    assert scope.cancelled_caught
    assert not calls


async def test_there_are_no_more_threads_than_trio_allows() -> None:
    limiter = trio.to_thread.current_default_thread_limiter()
    total = limiter.total_tokens
    limiter.total_tokens = 1
    running, most = 0, 0
    lock = threading.Lock()

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.005)  # others would come now, if they could
        with lock:
            running -= 1

    try:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(run_briefly, call)
    finally:
        limiter.total_tokens = total
    assert most == 1
