from __future__ import annotations

import pytest

from trio_chat.client import render
from trio_chat.client.console.alerts import QUIET_SECONDS, Alerts, Level
from trio_chat.client.notice import Notice
from trio_chat.protocol import messages as wire

XTERM = {"TERM": "xterm-256color"}


def message(text: str, sender: str = "hans") -> Notice:
    (shown,) = render.render(wire.Delivery(1, sender, "c", 1, text))
    return shown


def broadcast(text: str) -> Notice:
    (shown,) = render.render(wire.Announcement("hans", "c", 1, text))
    return shown


def alerts(level: Level, environment: dict[str, str] = XTERM) -> Alerts:
    one = Alerts(level, environment)
    one.user = "yoda"
    return one


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (Level.OFF, []),
        (Level.MENTIONS, ["mention", "named"]),
        (Level.PRIVATE, ["message", "private", "mention", "named"]),
        (Level.ALL, ["message", "private", "broadcast", "mention", "named", "yodas"]),
    ],
)
def test_what_is_worth_a_call(level: Level, heard: list[str]) -> None:
    notices = {
        "message": message("hi"),
        "private": render.private("hans", "hi"),
        "broadcast": broadcast("hi"),
        "mention": broadcast("is Yoda there?"),
        "named": message("yoda!"),
        "yodas": broadcast("all yodas"),
        "presence": render.render(wire.Presence("luke", True))[0],
        "error": render.no_server(),
    }
    calls = {name: alerts(level).call([one], 0) for name, one in notices.items()}
    assert [name for name, call in calls.items() if call] == heard


def test_nobody_is_called_all_the_time() -> None:
    one = alerts(Level.ALL)
    assert one.call([message("1")], 10)
    assert not one.call([message("2")], 10 + QUIET_SECONDS / 2)
    assert one.call([message("3")], 10 + QUIET_SECONDS)


def test_several_are_one_call() -> None:
    call = alerts(Level.PRIVATE).call([broadcast("0"), message("1"), message("2")], 0)
    assert call == "\x07\x1b]9;hans: 1 (and 1 more)\x07"


@pytest.mark.parametrize(
    ("environment", "call"),
    [
        (XTERM, "\x07\x1b]9;hans: hi\x07"),
        ({**XTERM, "VTE_VERSION": "7600"}, "\x07\x1b]777;notify;trio-chat;hans: hi\x07"),
        ({"TERM": "rxvt-unicode"}, "\x07\x1b]777;notify;trio-chat;hans: hi\x07"),
        ({**XTERM, "TMUX": "1"}, "\x07"),
        ({"TERM": "screen"}, "\x07"),
        ({"TERM": "linux"}, "\x07"),
        ({}, "\x07\x1b]9;hans: hi\x07"),
    ],
)
def test_each_terminal_gets_what_it_knows(environment: dict[str, str], call: str) -> None:
    assert alerts(Level.ALL, environment).call([message("hi")], 0) == call


def test_what_others_write_ends_no_sequence_and_begins_none() -> None:
    evil = message("4;1\x07\x1b]0;title\x1b\\\x9c;" + "x" * 1000, sender="9;4")
    call = alerts(Level.ALL).call([evil], 0)
    inner = call.removeprefix("\x07\x1b]9;").removesuffix("\x07")
    assert inner.isprintable()
    assert ";" not in inner
    assert len(inner) <= 200
