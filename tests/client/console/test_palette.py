from __future__ import annotations

import pytest

from trio_chat.client.console import palette as module
from trio_chat.client.console.palette import NoPalette, Palette, palette_for
from trio_chat.client.notice import Kind

COLOURS = (*module._NAMES_256, module._GREY_256, module._RED_256)


def _luminance(number: int) -> float:
    """Of a colour of the cube or the ramp of 256 colours; see WCAG 2, relative luminance."""
    if number >= 232:
        levels = [8 + (number - 232) * 10] * 3
    else:
        steps = (0, 95, 135, 175, 215, 255)
        levels = [steps[(number - 16) // power % 6] for power in (36, 6, 1)]
    parts = [level / 255 for level in levels]
    red, green, blue = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("number", COLOURS)
def test_every_colour_can_be_read_on_black_and_on_white(number: int) -> None:
    light = _luminance(number) + 0.05
    assert light / 0.05 >= 4
    assert 1.05 / light >= 4


@pytest.mark.parametrize("colours", [16, 256])
def test_a_name_keeps_its_colour(colours: int) -> None:
    palette = Palette(colours=colours)
    hans = palette.name("hans(private)", "hans")
    assert hans == palette.name("hans(private)", "hans")
    assert hans.endswith("mhans(private)\x1b[0m")
    many = {palette.name("x", f"user{number}") for number in range(200)}
    assert len(many) == len(palette._names), "all are used"


def test_kinds_have_their_colours_and_replies_have_none() -> None:
    palette = Palette(colours=16)
    assert palette.kind("Error.", Kind.ERROR) == "\x1b[31mError.\x1b[0m"
    assert palette.kind("yoda", Kind.USERS) == "yoda"
    assert palette.kind("", Kind.ERROR) == ""
    assert palette.discreet("12:34") == "\x1b[90m12:34\x1b[0m"


def test_without_colour_text_is_text() -> None:
    palette = NoPalette()
    texts = (palette.name("hans", "hans"), palette.kind("x", Kind.ERROR), palette.discreet("y"))
    assert texts == ("hans", "x", "y")


@pytest.mark.parametrize(
    ("terminal", "colour_terminal", "colours"),
    [
        ("xterm", "", 16),
        ("xterm-256color", "", 256),
        ("xterm", "truecolor", 256),
        ("xterm-direct", "", 256),
        ("linux", "", 16),
    ],
)
def test_as_many_colours_as_the_terminal_has(
    terminal: str, colour_terminal: str, colours: int
) -> None:
    chosen = palette_for(terminal, colour_terminal)
    assert chosen.name("x", "hans") == Palette(colours=colours).name("x", "hans")
