from __future__ import annotations

from functools import partial

import trio
from trio.testing import MockClock

from .timeline import Timeline


async def test_what_is_due_is_called_in_order_of_time_then_of_making(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    timeline, calls = Timeline(), list[tuple[str, float]]()

    def call(name: str) -> None:
        calls.append((name, trio.current_time()))

    nursery.start_soon(timeline.run)
    timeline.after(2, partial(call, "b"))
    timeline.after(2, partial(call, "c"))
    await trio.sleep(1)
    timeline.after(0.5, partial(call, "a"))  # earlier than what it sleeps for
    await trio.sleep(5)
    assert calls == [("a", 1.5), ("b", 2), ("c", 2)]
