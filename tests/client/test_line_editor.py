from __future__ import annotations

import pytest

from trio_chat import limits
from trio_chat.client.line_editor import LineEditor, Outcome


def _written(keys: str) -> str:
    """What these keys have written."""
    line = LineEditor("> ")
    return "".join(line.press(key)[0] for key in keys)


def text_after(*keys: str) -> str:
    """What a line holds after these keys."""
    line = LineEditor("> ")
    for key in keys:
        line.press(key)
    return line.text


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("hello", "hello"),
        ("hellp\x7fo", "hello"),
        ("\x7f\b", ""),
        ("one two\x17three", "one three"),
        ("one two  \x17", "one "),
        ("one\x17\x17", ""),
        ("all of it\x15new", "new"),
        ("a\tb", "a b"),
        ("你好\x7f", "你"),
        ("cafe\u0301\x7f", "caf"),
        ("half\x03", ""),
        ("a\x01\x02\x05b", "ab"),
    ],
)
def test_keys_edit_the_end_of_the_line(keys: str, text: str) -> None:
    assert text_after(*keys) == text


@pytest.mark.parametrize("key", ["\x1b[5~", "\x1bOP", "\x1b[25~", "\x1bb", "\x1b[A"])
def test_other_keys_do_nothing(key: str) -> None:
    assert text_after("a", key, "b") == "ab"


@pytest.mark.parametrize(
    ("keys", "written"),
    [
        ("hi\x7f", "hi\b \b"),
        ("你\x7f", "你\b \b\b \b"),
        ("e\u0301\x7f", "e\u0301\b \b"),
        ("one\x17", "one\b \b\b \b\b \b"),
        ("half\x03", "half\n> "),
        ("half\x15", "half\n> "),
        ("half\x0c", "half\n> half"),
    ],
)
def test_what_it_writes_needs_no_more_than_a_backspace(keys: str, written: str) -> None:
    assert _written(keys) == written


@pytest.mark.parametrize(
    ("keys", "outcome"),
    [
        ("x\r", Outcome.ENTERED),
        ("\n", Outcome.ENTERED),
        ("\x04", Outcome.ENDED),
        ("x\x04", None),
        ("\x03", Outcome.INTERRUPTED),
        ("x\x03", None),
        ("x\x03\x03", Outcome.INTERRUPTED),
        ("x\x1a", Outcome.STOPPED),
    ],
)
def test_what_a_key_means_beyond_the_line(keys: str, outcome: Outcome | None) -> None:
    line = LineEditor("> ")
    assert [line.press(key)[1] for key in keys][-1] is outcome


def test_nothing_of_a_secret_is_shown_not_even_when_it_is_erased() -> None:
    line = LineEditor("Password: ", secret=True)
    assert "".join(line.press(key)[0] for key in "wise\x7f\x17x\x15") == ""
    assert line.shown == "Password: "
    line.press("w")
    assert line.press("\x03") == ("", Outcome.INTERRUPTED)


def test_a_line_that_is_too_long_takes_no_memory() -> None:
    line = LineEditor("> ")
    for _ in range(limits.LINE_BYTES_MAX + 10):
        line.press("x")
    assert line.is_too_long
    assert len(line.text) == limits.LINE_BYTES_MAX
    line.press("\x15")
    assert not line.is_too_long
