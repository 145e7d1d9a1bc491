from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_chat.client import render as module
from trio_chat.client.render import clean_line, clean_lines, render
from trio_chat.errors import ErrorCode, ProtocolViolation
from trio_chat.protocol import messages as wire
from trio_chat.swarm.manifest import Manifest

EVIL = "ev\x1b[2Jil\n"


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
        (wire.Presence("luke", True), None, ["luke logged in"]),
        (wire.Presence("yoda", False), None, ["yoda logged out"]),
        (wire.Closed(ErrorCode.IDLE, "You are\nidle"), None, ["You are idle"]),
    ],
)
def test_wording(
    message: wire.ServerMessage, request_: wire.Request | None, lines: list[str]
) -> None:
    assert render(message, request_) == lines


def test_every_message_can_be_rendered() -> None:
    assert set(module._RENDERERS) == set(wire.ServerMessage.__args__)


def test_a_line_break_can_not_forge_a_line() -> None:
    for line_break in ("\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"):
        lines = render(_delivery(f"hi{line_break}yoda: fake"))
        assert lines == ["hans: hi", "    yoda: fake"]
        assert render(wire.Presence(f"luke{line_break}yoda", True)) == ["luke yoda logged in"]
        assert render(_delivery("x", sender=f"a{line_break}b")) == ["a b: x"]


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
_nasty = st.text(st.sampled_from("\x1b\x9b\x9d\x9c[]0;1mH\\\x07\n\r\t ab\u202e") | st.characters())


@given(_nasty)
@example("\x1b[\x1b[mm")
def test_no_control_character_survives(text: str) -> None:
    for line in (clean_line(text), *clean_lines(text), *render(_delivery(text, sender=text))):
        for character in line:
            assert unicodedata.category(character) not in ("Cc", "Cs")
            assert character not in _FORBIDDEN


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_printable_text_is_unchanged(text: str) -> None:
    assert clean_line(text) == text
    assert clean_lines(text) == [text]


@given(_nasty)
def test_all_lines_of_a_text_but_the_first_are_indented(text: str) -> None:
    first, *rest = render(_delivery(text))
    assert first.startswith("hans: ")
    assert all(line.startswith("    ") for line in rest)


def test_what_the_client_says() -> None:
    assert module.unconfirmed(1).startswith("1 request was not answered")
    assert module.unconfirmed(2).startswith("2 requests were not answered")
    violation = ProtocolViolation(ErrorCode.BAD_LINE, reason="Not\x1b[m JSON")
    assert module.broken_protocol(violation) == "Error. The server broke the protocol: Not JSON"


# -- Private messaging -----------------------------------------------------------------------


def test_private_messages_look_as_in_the_assignment() -> None:
    assert module.private("hans", "hey dude") == ["hans(private): hey dude"]
    assert module.private_started("luke") == "Start private messaging with luke"
    not_enabled = "Error. Private messaging to luke not enabled"
    assert module.private_not_enabled("luke") == not_enabled


def test_a_private_message_forges_no_line_and_moves_no_cursor() -> None:
    assert module.private("hans", "a\nyoda(private): b\x1b[2J\r") == [
        "hans(private): a",
        "    yoda(private): b",
        "    ",
    ]


def test_one_unconfirmed_message_or_more() -> None:
    one, two = (module.private_unconfirmed("luke", number) for number in (1, 2))
    assert one == "Error. Your last private message to luke may not have arrived"
    assert two == "Error. Your last 2 private messages to luke may not have arrived"


@pytest.mark.parametrize(
    "line",
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
        *module.private(EVIL, "hi"),
    ],
)
def test_names_control_nothing_here_either(line: str) -> None:
    assert line.isprintable()
    assert "evil" in line


ROOT = b"r" * 32


def _file(name: str = "a.bin", size: int = 1000, chunks: int = 10) -> wire.File:
    return wire.File(name, size, chunks, 16384, ROOT)


def _manifest(size: int, name: str = "a.bin") -> Manifest:
    return Manifest(name=name, size=size, chunks=min(size, 10), piece_bytes=16384, root=ROOT)


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
    assert render(found, wire.Search(1, "a.bin", chunks)) == lines


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            module.registered(_manifest(1_000_003), new=True),
            "Ok. a.bin is registered: 1,000,003 bytes in 10 chunks of 100,000 bytes",
        ),
        (
            module.registered(_manifest(1, EVIL), new=False),
            "Ok. evil  was registered already: 1 byte in 1 chunk; you serve all of it now",
        ),
        (
            module.progress("a.bin", 1000, 250, 100.0, 1),
            "a.bin [###############     ]  75% 100 bytes/s, 0:02 left, 1 peer",
        ),
        (
            module.progress("a.bin", 10**12, 10**12, 1024.0, 0),
            "a.bin [                    ]   0% 1.0 KiB/s, 271267:21:40 left, 0 peers",
        ),
        (
            module.progress("a.bin", 0, 0, 0.0, 2),
            "a.bin [####################] 100% 0 bytes/s, 2 peers",
        ),
        (
            module.downloaded(_manifest(2048), Path("/d/a.bin"), 2.0, {"yoda": 512, "hans": 1536}),
            "Downloaded a.bin, 2.0 KiB in 2.0 s, 1.0 KiB/s; from hans 75%, yoda 25%: /d/a.bin",
        ),
        (
            module.downloaded(_manifest(0), Path("/d/\x1b[2Ja"), 0.0, {}),
            "Downloaded a.bin, 0 bytes: /d/a",
        ),
        (
            module.chunks_downloaded(_manifest(20), (1, 2, 5), EVIL),
            "Downloaded chunks 1-2,5 of a.bin from evil ",
        ),
    ],
)
def test_what_is_said_of_files(line: str, shown: str) -> None:
    assert line == shown
