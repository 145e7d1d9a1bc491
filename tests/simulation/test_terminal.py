from __future__ import annotations

import random

import trio
from trio.testing import MockClock

from trio_chat.client.render import info

from .terminal import SimulatedTerminal


async def test_it_knows_what_was_shown_and_could_not_be_remembered(
    autojump_clock: MockClock,
) -> None:
    outcomes = set()
    for seed in range(40):
        screen: list[str] = []
        terminal = SimulatedTerminal(random.Random(seed), screen.append, [])
        terminal._seconds = 1.0
        with trio.move_on_after(0.7) as life:
            await terminal.show([info("hello")])
        unrecorded = [line for _, lines in terminal.unrecorded.values() for line in lines]
        assert unrecorded == (screen if life.cancelled_caught else [])
        outcomes.add((bool(screen), life.cancelled_caught))
    assert outcomes == {(False, True), (True, True), (True, False)}


async def test_it_asks_and_reads(autojump_clock: MockClock) -> None:
    terminal = SimulatedTerminal(random.Random(1), print, ["yoda"])
    assert await terminal.ask("Username: ") == "yoda"
    assert await terminal.ask("Password: ", secret=True) is None
    terminal.type("whoelse")
    assert await terminal.read_line() == terminal.last_read == "whoelse"
