from __future__ import annotations

import pytest

from trio_chat.client import guesses
from trio_chat.client.grammar import COMMAND_NAMES, UnknownCommandError, parse
from trio_chat.client.guesses import guess


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("quit", "logout"),
        ("exit", "logout"),
        ("/quit", "logout"),
        (":q", "logout"),
        ("/msg", "message"),
        ("/message", "message"),
        ("MESSAGE", "message"),
        ("mesage", "message"),
        ("who", "whoelse"),
        ("/who", "whoelse"),
        ("/help", "help"),
        ("?", "help"),
        ("/", "help"),
        ("searchfile", "searchFile"),
        ("/startPrivate", "startprivate"),
        ("get", "download"),
    ],
)
def test_what_people_mean(word: str, meant: str) -> None:
    assert guess(word, COMMAND_NAMES) == f"Did you mean '{meant}'?"


@pytest.mark.parametrize("word", ["whatsthetime", "hello", "你好"])
def test_what_nobody_can_guess(word: str) -> None:
    assert guess(word, COMMAND_NAMES) == ""


@pytest.mark.parametrize("word", ["/join", "/nick", "/clear"])
def test_what_is_not_here(word: str) -> None:
    assert guess(word, COMMAND_NAMES) != ""


def test_every_guess_is_a_command_and_no_command_is_guessed_about() -> None:
    assert set(guesses._OTHER_WORDS) <= set(COMMAND_NAMES)
    assert not set(guesses._COMMAND_OF) & {name.lower() for name in COMMAND_NAMES}
    words = [word for each in guesses._OTHER_WORDS.values() for word in each]
    assert len(words) == len(set(words))


def test_the_words_of_section_8_stay() -> None:
    with pytest.raises(UnknownCommandError, match=r"^Error\. Invalid command$") as caught:
        parse("/msg yoda hi")
    assert caught.value.hint == "Did you mean 'message'?"
