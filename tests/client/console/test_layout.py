from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
import wcwidth
from hypothesis import given
from hypothesis import strategies as st

from trio_chat.client import grammar, meanings, render
from trio_chat.client.console.layout import Layout, in_columns
from trio_chat.client.console.palette import NoPalette, Palette
from trio_chat.client.files import render as files
from trio_chat.client.notice import Kind, Notice, error, notice
from trio_chat.protocol import messages as wire

NOON = datetime(2026, 11, 27, 12, 5, tzinfo=UTC)
LONG = "the quick brown fox jumps over the lazy dog and goes on and on until the end"


def message(text: str, sender: str = "hans") -> Notice:
    (shown,) = render.render(wire.Delivery(1, sender, "c", 1, text))
    return shown


def waited(text: str) -> Notice:
    """The same for one that had to wait for the login."""
    (shown,) = render.render(wire.Delivery(1, "hans", "c", 1, text), has_waited=True)
    return shown


def welcome() -> Notice:
    return notice(Kind.WELCOME, render.WELCOME, user="yoda")


def layout(*, timestamps: bool = True) -> Layout:
    return Layout(NoPalette(), timestamps=timestamps)


def compose(
    layout: Layout, notices: Sequence[Notice], columns: int = 80, seconds: float = 0.0
) -> list[str]:
    return layout.compose(notices, columns, NOON + timedelta(seconds=seconds)).splitlines()


# -- The time ------------------------------------------------------------------------------


def test_the_time_stands_at_the_right_edge_and_the_words_stay() -> None:
    notices = [message("Hey Dude"), notice(Kind.USERS, "yoda", command="whoelse", users=["yoda"])]
    assert compose(layout(), notices, 40) == [f"hans: Hey Dude{'12:05':>26}", "yoda"]
    assert compose(layout(timestamps=False), notices, 40) == ["hans: Hey Dude", "yoda"]


def test_room_for_the_time_is_kept_on_a_wide_screen_and_not_on_a_narrow_one() -> None:
    text = "x" * 30 + " " + "y" * 24 + " " + "z" * 12
    wide = compose(layout(), [message(text)], 80)
    assert wide[0].endswith(" 12:05")
    assert len(wide[0]) == 80
    narrow = compose(layout(), [message("x" * 33)], 40)
    assert narrow == ["hans: " + "x" * 33], "there is no room for it"
    assert compose(layout(), [message("x" * 28)], 40) == [f"hans: {'x' * 28} 12:05"]


def test_the_time_takes_wide_characters_into_account() -> None:
    (line,) = compose(layout(), [message("你好")], 60)
    assert wcwidth.wcswidth(line) == 60


# -- Long lines ----------------------------------------------------------------------------


def test_a_long_line_is_broken_between_words_and_goes_on_indented() -> None:
    assert compose(layout(timestamps=False), [message(LONG)], 40) == [
        "hans: the quick brown fox jumps over the",
        "    lazy dog and goes on and on until",
        "    the end",
    ]


def test_a_word_wider_than_the_screen_stays_whole() -> None:
    address = "https://example.com/" + "a" * 60
    assert compose(layout(timestamps=False), [message(f"see {address} there")], 40) == [
        "hans: see",
        f"    {address}",
        "    there",
    ]


def test_a_line_that_fits_keeps_its_blanks() -> None:
    assert compose(layout(timestamps=False), [message("two  blanks  ")]) == ["hans: two  blanks  "]


def test_the_list_of_commands_can_be_read_on_a_narrow_screen() -> None:
    meaning = grammar.parse("help")
    assert isinstance(meaning, meanings.Help)
    lines = compose(layout(), [render.help_text(meaning.lines)], 40)
    assert lines[:2] == ["message <user> <message>", "    Send a message to one user"]
    assert max(map(len, lines)) <= 40


@given(st.text(st.sampled_from("ab 你é\U0001f600-"), max_size=200), st.integers(20, 100))
def test_no_words_are_lost_and_no_line_is_too_wide(text: str, columns: int) -> None:
    lines = compose(layout(timestamps=False), [message(text)], columns)
    assert "".join(lines).replace(" ", "") == f"hans:{text}".replace(" ", "")
    for line in lines:
        words = line.split()
        assert wcwidth.wcswidth(line) <= columns or len(words) <= 2


def test_the_time_keeps_off_the_edge_where_terminals_differ_in_the_width_of_a_text() -> None:
    """Some show a skin tone in the hand, others beside it; a line that wraps is worse than a gap."""
    (line,) = compose(
        layout(), [message("\N{WAVING HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-5}")]
    )
    assert sum(wcwidth.wcwidth(character) for character in line) == 80


# -- What is unread ------------------------------------------------------------------------


def test_what_comes_while_nobody_looks_is_marked_once() -> None:
    one = layout(timestamps=False)
    assert compose(one, [message("1")]) == ["hans: 1"]
    one.focus(focused=False)
    away = notice(Kind.PRESENCE, "luke logged in", user="luke", online=True)
    assert compose(one, [away]) == ["luke logged in"]
    shown = compose(one, [message("2"), message("3")])
    assert shown == ["--- unread since 12:05 ---", "hans: 2", "hans: 3"]
    assert compose(one, [message("4")]) == ["hans: 4"]
    one.focus(focused=True)
    assert compose(one, [message("5")]) == ["hans: 5"]
    one.focus(focused=False)
    assert compose(one, [message("6")])[0] == "--- unread since 12:05 ---"


def test_messages_that_waited_for_the_login_get_no_time_but_a_mark() -> None:
    one = layout()
    shown = compose(one, [welcome(), waited("1"), waited("2")], 40)
    assert shown == [
        "Welcome to the greatest messaging",
        "    application ever!",
        "--- unread while you were away ---",
        f"hans: 1{'earlier':>33}",
        f"hans: 2{'earlier':>33}",
    ]
    assert compose(one, [waited("3"), message("4")], 40) == [
        f"hans: 3{'earlier':>33}",
        f"hans: 4{'12:05':>33}",
    ]


def test_one_message_that_waited_needs_no_mark() -> None:
    """Example 6 of section 8 has no such line."""
    shown = compose(layout(), [welcome(), waited("Let's rock")])
    assert shown == [render.WELCOME, f"hans: Let's rock{'earlier':>64}"]


# -- Colour --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (message("hi"), "\x1b[1;{hans}mhans\x1b[0m: hi"),
        (render.private("hans", "hi"), "\x1b[1;{hans}mhans(private)\x1b[0m: hi"),
        (error("usage", "Error. Invalid command"), "\x1b[31mError. Invalid command\x1b[0m"),
        (
            notice(Kind.USERS, "hans", command="whoelse", users=["hans"]),
            "\x1b[1;{hans}mhans\x1b[0m",
        ),
        (
            notice(Kind.USERS, "No other users are online", command="whoelse", users=[]),
            "No other users are online",
        ),
    ],
)
def test_names_and_kinds_are_coloured(shown: Notice, line: str) -> None:
    palette = Palette(colours=16)
    hans = palette.name("x", "hans").split("m")[0].split(";")[1]
    composed = Layout(palette, timestamps=False).compose([shown], 80, NOON)
    assert composed == line.format(hans=hans) + "\n"


def test_a_hint_is_a_line_of_its_own() -> None:
    shown = error("invalid_command", "Error. Invalid command", hint="Did you mean 'message'?")
    assert compose(layout(), [shown]) == ["Error. Invalid command", "Did you mean 'message'?"]


def test_what_follows_names_is_aligned() -> None:
    file = wire.File("a.bin", 1000, 10, 16384, b"r" * 32)
    holders = (wire.Holder("hans", (1,)), wire.Holder("r2", (2, 3)))
    found = render.render(wire.Found(1, file, holders), wire.Search(1, "a.bin"))
    assert compose(layout(), found) == [
        "Available: a.bin, 1000 bytes",
        "hans: chunk 1 of 10",
        "r2:   chunks 2-3 of 10",
    ]
    assert compose(layout(), render.render(wire.Found(1), wire.Search(1, "a"))) == ["Not available"]
    downloads = [
        files.progress("hoth.pdf", 1000, 500, 0.0, 1),
        files.progress("b", 1000, 1000, 0.0, 0),
        files.sent_to_others(0),
    ]
    assert compose(layout(), downloads) == [
        "hoth.pdf [##########          ]  50% 0 bytes/s, 1 peer",
        "b        [                    ]   0% 0 bytes/s, 0 peers",
        "Sent to others: 0 bytes",
    ]


def test_short_words_stand_side_by_side() -> None:
    assert in_columns(["hans", "yoda", "你好"], 14) == "hans  yoda\n你好\n"
    assert in_columns(["x" * 50, "y"], 20) == f"{'x' * 50}\ny\n"
