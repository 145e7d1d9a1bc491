"""Which terminal is chosen where there is none; real ones are in `test_console`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from trio_chat.client import terminals
from trio_chat.client.notice import error
from trio_chat.client.prepared import Answers
from trio_chat.client.terminals import Colour, Opener, Style

REFUSAL = error("usage", "Error. No", hint="Did you mean yes?")


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of what stands for standard output; the input is empty."""
    source = os.open(os.devnull, os.O_RDONLY)
    reader, writer = os.pipe()
    monkeypatch.setattr(terminals, "STDIN", source)
    monkeypatch.setattr(terminals, "STDOUT", writer)
    yield reader
    for file in (source, reader, writer):
        os.close(file)


@pytest.mark.parametrize(
    ("style", "start"),
    [
        (Style(), b"Error. No\n"),
        (Style(plain=True), b"Error. No\n"),
        (Style(colour=Colour.ALWAYS), b"\x1b["),
        (Style(json=True), b'{"event":"error","code":"usage"'),
        (Style(answers=Answers("hans", "solo", ("whoelse",))), b"Error. No\n"),
    ],
)
async def test_what_is_no_terminal_gets_lines(output: int, style: Style, start: bytes) -> None:
    opener = Opener(style)
    assert not opener.was_refused
    async with opener.open() as terminal:
        assert not terminal.interactive
        assert not terminal.shows_status
        await terminal.show([REFUSAL])
    assert os.read(output, 1000).startswith(start)
    assert opener.was_refused


@pytest.mark.parametrize(
    ("colour", "environment", "suits"),
    [
        (Colour.AUTO, {}, True),
        (Colour.AUTO, {"NO_COLOR": ""}, True),
        (Colour.AUTO, {"NO_COLOR": "1"}, False),
        (Colour.ALWAYS, {"NO_COLOR": "1"}, True),
        (Colour.NEVER, {}, False),
    ],
)
def test_colour(colour: Colour, environment: dict[str, str], suits: bool) -> None:
    assert colour.suits(environment) is suits
