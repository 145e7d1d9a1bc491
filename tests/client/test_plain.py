from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from trio_chat import limits
from trio_chat.client.notice import Kind, notice
from trio_chat.client.plain import PlainTerminal, open_plain
from trio_chat.client.render import info
from trio_chat.client.terminal import TerminalGone
from trio_chat.errors import UsageError


class Pipes(NamedTuple):
    """A terminal between two pipes."""

    terminal: PlainTerminal
    keyboard: int
    screen: int


@pytest.fixture
async def pipes() -> AsyncGenerator[Pipes, None]:
    input_file, keyboard = os.pipe()
    screen, output_file = os.pipe()
    files = [input_file, keyboard, screen, output_file]
    async with open_plain(input_file, output_file) as terminal:
        yield Pipes(terminal, keyboard, screen)
    for file in files:
        try:
            os.close(file)
        except OSError:
            continue  # the test has closed it


async def _read_all(terminal: PlainTerminal) -> list[str | None]:
    lines: list[str | None] = []
    while True:
        try:
            line = await terminal.read_line()
        except UsageError as error:
            lines.append(f"! {error}")
            continue
        if line is None:
            return lines
        lines.append(line)


async def test_lines_are_read_as_they_are(pipes: Pipes) -> None:
    os.write(pipes.keyboard, b"yoda\r\n\n  two  words \n\xe2\x82\xac\nno newline")
    os.close(pipes.keyboard)
    lines = await _read_all(pipes.terminal)
    assert lines == ["yoda", "", "  two  words ", "\u20ac", "no newline"]
    assert await pipes.terminal.read_line() is None
    assert not pipes.terminal.interactive


async def test_a_byte_order_mark_does_not_matter(pipes: Pipes) -> None:
    os.write(pipes.keyboard, b"\xef\xbb\xbfyoda\r\nwise\r\n\xef\xbb\xbfwhoelse")
    os.close(pipes.keyboard)
    assert await _read_all(pipes.terminal) == ["yoda", "wise", "whoelse"]


async def test_a_line_that_comes_in_parts_is_one(pipes: Pipes) -> None:
    got: list[str | None] = []

    async def read() -> None:
        got.append(await pipes.terminal.ask("Username: "))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for part in (b"yo", b"da", b"\nrest"):
            await trio.testing.wait_all_tasks_blocked()
            assert not got
            os.write(pipes.keyboard, part)
    assert got == ["yoda"]


async def test_reading_can_be_cancelled_and_loses_nothing(pipes: Pipes) -> None:
    with trio.move_on_after(0.01):
        await pipes.terminal.read_line()
    os.write(pipes.keyboard, b"yoda\n")
    assert await pipes.terminal.read_line() == "yoda"


async def test_bytes_that_are_not_utf8_reach_the_grammar_as_surrogates(pipes: Pipes) -> None:
    os.write(pipes.keyboard, b"caf\xe9\n")
    assert await pipes.terminal.read_line() == "caf\udce9"


async def test_a_line_that_never_ends_is_dropped_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "input"
    longest = b"x" * limits.LINE_BYTES_MAX
    path.write_bytes(
        b"a\n" + longest + b"\n" + longest + b"y\nb\n" + longest * 40 + b"\nc\n" + longest * 2
    )
    error = f"! Error. A line can have at most {limits.LINE_BYTES_MAX} bytes"
    with path.open("rb") as file:
        terminal = PlainTerminal(file.fileno(), 1)
        assert await _read_all(terminal) == ["a", longest.decode(), error, "b", error, "c", error]
        assert len(terminal._unread) == 0


async def test_input_that_can_not_be_waited_for_is_read(tmp_path: Path) -> None:
    with ExitStack() as cleanup:
        null = os.open(os.devnull, os.O_RDONLY)
        cleanup.callback(os.close, null)
        assert await PlainTerminal(null, 1).read_line() is None
        output = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
        cleanup.callback(os.close, output)
        await PlainTerminal(null, output).show([info("a"), info("b")])
        await PlainTerminal(null, output).show([])
        assert (tmp_path / "out").read_text() == "a\nb\n"


async def test_input_that_is_no_input_is_at_its_end(pipes: Pipes) -> None:
    write_only = PlainTerminal(pipes.keyboard, 1)
    os.close(pipes.terminal._input)
    assert await write_only.read_line() is None


async def test_shown_lines_do_not_mix_and_wait_for_a_slow_reader(pipes: Pipes) -> None:
    batches = [[f"{name}{number}" for number in range(5000)] for name in "ab"]
    received = b""
    async with trio.open_nursery() as nursery:
        for batch in batches:
            nursery.start_soon(pipes.terminal.show, [info(line) for line in batch])
        await trio.testing.wait_all_tasks_blocked()
        while nursery.child_tasks:
            received += os.read(pipes.screen, 65536)
            await trio.testing.wait_all_tasks_blocked()
    os.close(pipes.terminal._output)
    while data := os.read(pipes.screen, 65536):
        received += data
    lines = received.decode().splitlines()
    assert lines in ([*batches[0], *batches[1]], [*batches[1], *batches[0]])


async def test_showing_can_be_cancelled(pipes: Pipes) -> None:
    with trio.move_on_after(0.01) as scope:
        await pipes.terminal.show([info("x" * 1000)] * 1000)
    assert scope.cancelled_caught


async def test_a_reader_that_went_away_is_told(pipes: Pipes) -> None:
    os.close(pipes.screen)
    with pytest.raises(TerminalGone):
        await pipes.terminal.show([info("x")])


async def test_what_can_not_be_encoded_is_replaced(pipes: Pipes) -> None:
    await pipes.terminal.show([notice(Kind.INFO, "a\udce9b")])
    assert os.read(pipes.screen, 100) == b"a?b\n"


async def test_shared_descriptors_that_others_made_non_blocking(pipes: Pipes) -> None:
    for file in (pipes.terminal._input, pipes.terminal._output):
        os.set_blocking(file, False)
    os.write(pipes.keyboard, b"x\n")
    assert await pipes.terminal.read_line() == "x"
    await pipes.terminal.show([info("y")])
    assert os.read(pipes.screen, 100) == b"y\n"


async def test_a_terminal_that_takes_no_output_can_be_left() -> None:
    keyboard, file = os.openpty()
    with trio.move_on_after(0.01) as scope:
        await PlainTerminal(file, file).show([info("x" * 70)] * 10_000)
    assert scope.cancelled_caught
    os.close(keyboard)
    os.close(file)
