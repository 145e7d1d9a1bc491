from __future__ import annotations

import pytest

from trio_chat.client.console.paste import Paste, into_message, split_lines


@pytest.mark.parametrize(
    ("before", "pasted", "paste"),
    [
        ("message yoda ", "1\n2", Paste("message yoda ", ("1", "2"))),
        ("  message yoda so: ", "1\r\n\r\n2\r\n", Paste("message yoda ", ("so: 1", "", "2"))),
        ("broadcast ", "1\n  2\n", Paste("broadcast ", ("1", "  2"))),
        ("private yoda ", "1\r2", Paste("private yoda ", ("1", "2"))),
        ("", "message yoda 1\n2\n", Paste("message yoda ", ("1", "2"))),
        ("message yo", "da 1\n2\n", Paste("message yoda ", ("1", "2"))),
        ("message yoda ", "one line", None),
        ("message yoda ", "one line\n", None),
        ("message yoda", "\nwhoelse\n", None),
        ("", "message yoda 1\nmessage yoda 2\n", None),
        ("", "message yoda 1\nwhoelse\nmess", None),
        ("", "whoelse\nno command\n", None),
        ("", "no command\nneither\n", None),
        ("block ", "yoda\nluke", None),
        ("", "\n\n", None),
    ],
)
def test_what_is_asked_about(before: str, pasted: str, paste: Paste | None) -> None:
    assert into_message(before, pasted, "") == paste


def test_what_stands_behind_the_cursor_is_the_end() -> None:
    paste = into_message("message yoda ", "1\n2", " end")
    assert paste == Paste("message yoda ", ("1", "2 end"))


def test_one_message_or_several() -> None:
    paste = Paste("message yoda ", ("1", "", "  2"))
    assert paste.one == "message yoda 1\n\n  2"
    assert paste.several == ["message yoda 1", "message yoda   2"]
    assert paste.question == "Send 3 lines as one message (o), as several (s), or not (n)?"


def test_lines_end_as_on_any_system() -> None:
    assert split_lines("a\r\nb\rc\nd") == ["a", "b", "c", "d"]
