from __future__ import annotations

import pytest
from hypothesis import given

from tests.test_text import NASTY
from trio_chat.client import grammar
from trio_chat.client import render as module
from trio_chat.client.notice import Kind, Notice
from trio_chat.client.render import render
from trio_chat.errors import ErrorCode, ProtocolViolation
from trio_chat.protocol import messages as wire

EVIL = "ev\x1b[2Jil\n"


def _lines(*notices: Notice) -> list[str]:
    return [line for notice in notices for line in notice.lines]


def _delivery(text: str, sender: str = "hans") -> wire.Delivery:
    return wire.Delivery(1, sender, "c", 1, text)


@pytest.mark.parametrize(
    ("message", "request_", "lines"),
    [
        (wire.Welcome(1, "x"), None, []),
        (
            wire.Ok(1),
            wire.Login(1, "yoda", "wise"),
            ["Welcome to the greatest messaging application ever!"],
        ),
        (wire.Ok(1), wire.Message(1, "yoda", "x"), []),
        (wire.Ok(1), wire.Block(1, "hans"), ["hans is blocked"]),
        (wire.Ok(1), wire.Unblock(1, "hans"), ["hans is unblocked"]),
        (wire.Ok(1), wire.Logout(1), []),
        (wire.Sent(1, True), wire.Broadcast(1, "x"), []),
        (
            wire.Sent(1, False),
            wire.Broadcast(1, "x"),
            ["Your message could not be delivered to some recipients"],
        ),
        (wire.Users(1, ("yoda", "luke")), wire.WhoElse(1), ["yoda", "luke"]),
        (wire.Users(1, ()), wire.WhoElse(1), ["No other users are online"]),
        (wire.Users(1, ("vader",)), wire.WhoElseSince(1, 200.0), ["vader"]),
        (
            wire.Users(1, ()),
            wire.WhoElseSince(1, 200.0),
            ["No other users were online in the last 200 seconds"],
        ),
        (
            wire.Users(1, ()),
            wire.WhoElseSince(1, 1.0),
            ["No other users were online in the last 1 second"],
        ),
        (
            wire.Users(1, ()),
            wire.WhoElseSince(1, 0.25),
            ["No other users were online in the last 0.25 seconds"],
        ),
        (
            wire.Error(ErrorCode.UNKNOWN_USER, "Error. Invalid user", 1),
            wire.Message(1, "bob", "party time"),
            ["Error. Invalid user"],
        ),
        (_delivery("Hey Dude"), None, ["hans: Hey Dude"]),
        (wire.Announcement("hans", "pc", 2, "vader sucks"), None, ["hans: vader sucks"]),
        (
            wire.Announcement("the operator", "5f0c", 1, "Back at noon", operator=True),
            None,
            ["the operator: Back at noon"],
        ),
        (wire.Presence("luke", True), None, ["luke logged in"]),
        (wire.Presence("yoda", False), None, ["yoda logged out"]),
        (wire.Closed(ErrorCode.IDLE, "You are\nidle"), None, ["You are idle"]),
    ],
)
def test_wording(
    message: wire.ServerMessage, request_: wire.Request | None, lines: list[str]
) -> None:
    assert _lines(*render(message, request_)) == lines


def test_every_message_can_be_rendered() -> None:
    assert set(module._RENDERERS) == set(wire.ServerMessage.__args__)


def test_a_line_break_can_not_forge_a_line() -> None:
    for line_break in ("\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"):
        lines = _lines(*render(_delivery(f"hi{line_break}yoda: fake")))
        assert lines == ["hans: hi", "    yoda: fake"]
        presence = render(wire.Presence(f"luke{line_break}yoda", True))
        assert _lines(*presence) == ["luke yoda logged in"]
        assert _lines(*render(_delivery("x", sender=f"a{line_break}b"))) == ["a b: x"]


@given(NASTY)
def test_all_lines_of_a_text_but_the_first_are_indented(text: str) -> None:
    first, *rest = _lines(*render(_delivery(text)))
    assert first.startswith("hans: ")
    assert all(line.startswith("    ") for line in rest)


def test_what_the_client_says() -> None:
    assert module.unconfirmed(1).lines[0].startswith("1 request was not answered")
    assert module.unconfirmed(2).lines[0].startswith("2 requests were not answered")
    violation = ProtocolViolation(ErrorCode.BAD_LINE, reason="Not\x1b[m JSON")
    line = "Error. The server broke the protocol: Not JSON"
    assert module.broken_protocol(violation).lines == (line,)


# -- Private messaging -----------------------------------------------------------------------


def test_private_messages_look_as_in_the_assignment() -> None:
    notices = [
        module.private("hans", "hey dude"),
        module.private_started("luke"),
        module.private_not_enabled("luke"),
    ]
    assert _lines(*notices) == [
        "hans(private): hey dude",
        "Start private messaging with luke",
        "Error. Private messaging to luke not enabled",
    ]


def test_a_private_message_forges_no_line_and_moves_no_cursor() -> None:
    assert _lines(module.private("hans", "a\nyoda(private): b\x1b[2J\r")) == [
        "hans(private): a",
        "    yoda(private): b",
        "    ",
    ]


def test_one_unconfirmed_message_or_more() -> None:
    one, two = _lines(*(module.private_unconfirmed("luke", number) for number in (1, 2)))
    assert one == "Error. Your last private message to luke may not have arrived"
    assert two == "Error. Your last 2 private messages to luke may not have arrived"


@pytest.mark.parametrize(
    "notice",
    [
        module.private_started(EVIL),
        module.private_off(EVIL),
        module.private_already(EVIL),
        module.private_not_enabled(EVIL),
        module.private_gone(EVIL),
        module.private_failed(EVIL, EVIL),
        module.private_unreachable(EVIL, EVIL, EVIL),
        module.private_stop(EVIL),
        module.private_not_active(EVIL),
        module.private_stopped(EVIL),
        module.private_ended(EVIL, "it was lost"),
        module.private_unconfirmed(EVIL, 1),
        module.private(EVIL, "hi"),
    ],
)
def test_names_control_nothing_here_either(notice: Notice) -> None:
    (line,) = notice.lines
    assert line.isprintable()
    assert "evil" in line
    for field in notice.fields.values():
        assert field is None or str(field).isprintable()


ROOT = b"r" * 32


def _file(name: str = "a.bin", size: int = 1000, chunks: int = 10) -> wire.File:
    return wire.File(name, size, chunks, 16384, ROOT)


@pytest.mark.parametrize(
    ("found", "chunks", "lines"),
    [
        (wire.Found(1), (), ["Not available"]),
        (
            wire.Found(
                1, _file(), (wire.Holder("hans", tuple(range(1, 11))), wire.Holder("yoda", (3,)))
            ),
            (),
            [
                "Available: a.bin, 1000 bytes",
                "hans: all 10 chunks",
                "yoda: chunk 3 of 10",
            ],
        ),
        (
            wire.Found(1, _file(), (wire.Holder("hans", (1, 2, 3, 7)),)),
            (1, 2, 3, 7),
            ["Available: a.bin, 1000 bytes", "hans: chunks 1-3, 7 of 10"],
        ),
        (
            wire.Found(1, _file(size=1, chunks=1), (wire.Holder("hans", (1,)),)),
            (),
            ["Available: a.bin, 1 byte", "hans: all of it"],
        ),
        (
            wire.Found(1, _file(EVIL, 2**53 - 1), (wire.Holder(EVIL, (10**9, 1)),)),
            (),
            ["Available: evil , 8192.0 TiB", "evil : chunks 1, 1000000000 of 10"],
        ),
    ],
)
def test_what_was_found(found: wire.Found, chunks: tuple[int, ...], lines: list[str]) -> None:
    assert _lines(*render(found, wire.Search(1, "a.bin", chunks))) == lines


# -- What programs see -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "request_", "kind", "fields"),
    [
        (
            wire.Ok(1),
            wire.Login(1, "yoda", "wise"),
            Kind.WELCOME,
            {"user": "yoda", "text": module.WELCOME},
        ),
        (
            wire.Ok(1),
            wire.Message(1, "yoda", "x"),
            Kind.OK,
            {"command": "message", "user": "yoda", "text": ""},
        ),
        (
            wire.Users(1, ("yoda", "luke")),
            wire.WhoElseSince(1, 2.0),
            Kind.USERS,
            {"command": "whoelsesince", "users": ["yoda", "luke"], "text": "yoda\nluke"},
        ),
        (
            _delivery("a\nb\x1b[2J"),
            None,
            Kind.MESSAGE,
            {"from": "hans", "text": "a\nb"},
        ),
        (
            wire.Announcement("hans", "c", 1, "x"),
            None,
            Kind.BROADCAST,
            {"from": "hans", "text": "x"},
        ),
        (
            wire.Presence("luke", True),
            None,
            Kind.PRESENCE,
            {"user": "luke", "online": True, "text": "luke logged in"},
        ),
        (
            wire.Error(ErrorCode.UNKNOWN_USER, "Error. Invalid user", 1),
            wire.Search(1, "a.bin", (1,)),
            Kind.ERROR,
            {
                "code": "unknown_user",
                "command": "searchChunk",
                "user": None,
                "text": "Error. Invalid user",
            },
        ),
        (
            wire.Found(1, _file(), (wire.Holder("yoda", (3,)),)),
            wire.Search(1, "a.bin"),
            Kind.FOUND,
            {
                "name": "a.bin",
                "size": 1000,
                "chunks": 10,
                "holders": [{"user": "yoda", "chunks": [3]}],
                "text": "Available: a.bin, 1000 bytes\nyoda: chunk 3 of 10",
            },
        ),
        (
            wire.Closed(ErrorCode.IDLE, "You are idle"),
            None,
            Kind.CLOSED,
            {"code": "idle", "text": "You are idle"},
        ),
    ],
)
def test_fields(
    message: wire.ServerMessage,
    request_: wire.Request | None,
    kind: Kind,
    fields: dict[str, object],
) -> None:
    (notice,) = render(message, request_)
    assert notice.kind is kind
    assert notice.fields == fields


def test_a_request_is_made_for_the_command_that_was_typed() -> None:
    meanings = [grammar.parse(command.example) for command in grammar.COMMANDS]
    requests = [meaning for meaning in meanings if isinstance(meaning, wire.Request)]
    commands = [module.command_of(request) for request in requests]
    assert commands == [
        command.name
        for command, meaning in zip(grammar.COMMANDS, meanings, strict=True)
        if isinstance(meaning, wire.Request)
    ]
    assert module.command_of(wire.Introduce(1, "luke", "t")) == "startprivate"
    assert module.command_of(None) == ""
