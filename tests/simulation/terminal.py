"""A person's screen and keyboard, which outlive the client that uses them.

Showing takes a while, of which the lines stand on the screen only in the second half. So a client
that is killed in between has shown what it has not remembered: exactly those lines may appear
again (`unrecorded`), and no others.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

import trio

from trio_chat.client.notice import Notice
from trio_chat.client.status import Status


class SimulatedTerminal:
    """Behind the interface `Terminal`, for the life of one client.

    Attributes:
        unrecorded: what is on the screen, though `show` has not returned, so that the client can't
            know; and when that was called.
        last_read: the line that the client has taken last.
        stalled_until: the screen takes nothing before, as when Ctrl-S was pressed.

    Args:
        chance: how slow it is.
        see: takes each line as it appears.
        answers: to the questions for name and password, in order.
    """

    interactive = True
    shows_status = False

    def __init__(
        self, chance: random.Random, see: Callable[[str], None], answers: Sequence[str]
    ) -> None:
        self.unrecorded: dict[int, tuple[float, list[str]]] = {}
        self.stalled_until = 0.0
        self.last_read = ""
        self._chance = chance
        self._see = see
        self._answers = deque(answers)
        self._keys, self._typed = trio.open_memory_channel[str](10_000)
        self._turn = trio.Lock()
        self._batches = 0
        self._seconds = chance.choice((0.0, 0.001, 0.1, 0.1, 1.0))

    def type(self, line: str) -> None:
        self._keys.send_nowait(line)

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        await trio.lowlevel.checkpoint()
        return self._answers.popleft() if self._answers else None

    async def read_line(self) -> str | None:
        self.last_read = await self._typed.receive()
        return self.last_read

    def status(self, status: Status) -> None:
        pass

    async def show(self, notices: Sequence[Notice]) -> None:
        await trio.lowlevel.checkpoint()
        began = trio.current_time()
        lines = [line for notice in notices for line in notice.lines]
        async with self._turn:
            await self._wait()
            self._batches += 1
            batch = self._batches
            self.unrecorded[batch] = began, lines
            for line in lines:
                self._see(line)
            await self._wait()
            # No checkpoint from here on, until whoever has shown this goes on.
            del self.unrecorded[batch]

    async def _wait(self) -> None:
        chance = self._chance
        seconds = (4.0 if chance.random() < 0.01 else self._seconds) * chance.random()
        await trio.sleep_until(max(self.stalled_until, trio.current_time() + seconds))
