"""What is harmful in a text, whether there is anything to see, and what counts as equal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_chat.client.render import render
from trio_chat.protocol import messages as wire
from trio_chat.text import (
    clean_line,
    clean_lines,
    has_controls,
    is_blank,
    normal,
    replace_controls,
    trim,
)


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


# -- Names ---------------------------------------------------------------------------------------

HARMLESS = [
    "Bildschirmfoto um 10.15.00\u202fPM.png",
    "a\u00a0b",
    "\u5c71\u3000\u7530",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u0645\u06cc\u200c\u062e",
    "so\u00adlo",
    "\U0001f3f4\U000e0067\U000e0062\U000e007f",  # the flag of a country of another
    "\U0001fae9",  # of Unicode 16
    "\U000323af",  # of Unicode 15
    "\ue0b0",  # of a font of somebody's own
    "\U0003fffd",  # of nobody, yet
]


@pytest.mark.parametrize("text", HARMLESS)
def test_a_name_may_have_whatever_harms_nobody(text: str) -> None:
    assert not has_controls(text)
    assert not is_blank(text)
    assert clean_line(text) == text
    assert replace_controls(text, "_") == text


def test_the_controls_are_the_same_in_every_version_of_unicode() -> None:
    everything = map(chr, range(0x110000))
    controls = [code for code in everything if has_controls(code)]
    expected = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F)]
    expected += [*range(0x2066, 0x2070), *range(0xD800, 0xE000)]
    assert [ord(code) for code in controls] == expected
    assert replace_controls("".join(controls), "") == ""


def test_spaces_and_what_is_invisible_are_blank() -> None:
    spaces = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    invisible = ["", "\u00ad", "\u200b\u200d", "\u2060", "\u3164", "\ufeff", "\ufe0f", "\u2800"]
    invisible += ["\u202e", "\x00", "\x1b[31m \x1b[0m", "\U000e0067", "\u115f", " \t\u3000"]
    for text in (*spaces, *invisible, "".join(spaces)):
        assert is_blank(text), ascii(text)


@given(st.text())
def test_a_text_that_begins_with_what_is_seen_need_not_be_looked_at(text: str) -> None:
    if "!" <= text <= "~":
        assert not is_blank(text)


@given(st.text(st.characters(exclude_categories=["C", "Z", "M"]), min_size=1))
def test_what_can_be_seen_is_not_blank(text: str) -> None:
    assert is_blank(text) <= all(is_blank(character) for character in text)
    assert not is_blank(f" {text}x")


def test_names_and_passwords_are_compared_composed() -> None:
    assert normal("hans") == "hans"
    assert normal("Zoe\u0308") == normal("Zo\u00eb") == "Zo\u00eb"
    assert normal("\ud800") == "\ud800"


@pytest.mark.parametrize(
    "line", ["solo", "\ufeffsolo", "solo\r", "solo\r\n", " \tsolo \t", "\ufeff solo \r\n"]
)
def test_what_surrounds_a_word_does_not_matter(line: str) -> None:
    assert trim(line) == "solo"
    assert trim("\u00a0") == "\u00a0"
