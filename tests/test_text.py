from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_chat.client.render import render
from trio_chat.protocol import messages as wire
from trio_chat.text import clean_line, clean_lines


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hyoda: fake", "yoda: fake"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9d0;title\x9cx", "x"),
        ("\x1bPq#0;2\x1b\\x", "x"),
        ("\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\x", "x"),
        ("\x1b(0lqk\x1b(B", "lqk"),
        ("\x1bcreset", "reset"),
        ("\x1b7a\x1b8", "a"),
        ("a\x1b", "a"),
        ("a\x1b[3", "a3"),
        ("\x1b]0;no end", "0;no end"),
        ("\x1b\x1b[31mx", "x"),
        ("a\tb", "a    b"),
        ("a\x00\x07\x08\x7fb", "ab"),
        ("a\u202eb\u2066c\u200ed\u061ce", "abcde"),
        ("\ud800x", "x"),
    ],
)
def test_what_controls_a_terminal_is_removed(text: str, clean: str) -> None:
    assert clean_line(text) == clean
    assert clean_lines(text) == [clean]


def test_joiners_of_emoji_and_scripts_are_kept() -> None:
    for text in ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0645\u06cc\u200c\u062e\u0648"):
        assert clean_line(text) == text


_FORBIDDEN = frozenset("\u061c\u200e\u200f\u2028\u2029") | {
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x2070))
}
NASTY = st.text(st.sampled_from("\x1b\x9b\x9d\x9c[]0;1mH\\\x07\n\r\t ab\u202e") | st.characters())


@given(NASTY)
@example("\x1b[\x1b[mm")
def test_no_control_character_survives(text: str) -> None:
    (notice,) = render(wire.Delivery(1, text, "c", 1, text))
    fields = [line for field in notice.fields.values() for line in str(field).split("\n")]
    for line in (clean_line(text), *clean_lines(text), *notice.lines, *fields):
        for character in line:
            assert unicodedata.category(character) not in ("Cc", "Cs")
            assert character not in _FORBIDDEN


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_printable_text_is_unchanged(text: str) -> None:
    assert clean_line(text) == text
    assert clean_lines(text) == [text]
