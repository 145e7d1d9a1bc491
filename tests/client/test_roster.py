from __future__ import annotations

import pytest

from trio_chat import limits
from trio_chat.client.roster import Roster, names
from trio_chat.protocol import messages as wire

EVIL = "ev\x1b[2Jil"


def test_nobody_is_counted_until_somebody_has_asked() -> None:
    roster = Roster()
    assert roster.learn(wire.Presence("luke", True))
    assert roster.online is None
    assert roster.known == ("luke",)
    assert roster.learn(wire.Users(1, ("yoda", "luke")), wire.WhoElse(1))
    assert roster.online == ("yoda", "luke")


def test_who_comes_and_goes() -> None:
    roster = Roster()
    roster.learn(wire.Users(1, ("yoda",)), wire.WhoElse(1))
    roster.learn(wire.Presence("luke", True))
    roster.learn(wire.Presence("luke", True))
    assert roster.online == ("yoda", "luke")
    roster.learn(wire.Presence("yoda", False))
    roster.learn(wire.Presence("nobody", False))
    assert list(roster.online or ()) == ["luke"]
    assert roster.known == ("nobody", "yoda", "luke")


@pytest.mark.parametrize(
    ("message", "request_"),
    [
        (wire.Delivery(1, "vader", "c", 1, "hi"), None),
        (wire.Announcement("vader", "c", 1, "hi"), None),
        (wire.Users(1, ("vader",)), wire.WhoElseSince(1, 60.0)),
        (wire.Ok(1), wire.Message(1, "vader", "hi")),
        (wire.Ok(1), wire.Block(1, "vader")),
        (wire.Ok(1), wire.Unblock(1, "vader")),
    ],
)
def test_names_that_were_heard_of(
    message: wire.ServerMessage, request_: wire.Request | None
) -> None:
    roster = Roster()
    assert roster.learn(message, request_)
    assert roster.known == ("vader",)
    assert roster.online is None


@pytest.mark.parametrize(
    ("message", "request_"),
    [
        (wire.Ok(1), wire.Login(1, "hans", "solo")),
        (wire.Ok(1), wire.Logout(1)),
        (wire.Sent(1, True), wire.Broadcast(1, "hi")),
        (wire.Found(1), wire.Search(1, "a.bin")),
        (wire.Announcement("the operator", "c", 1, "hi", operator=True), None),
    ],
)
def test_what_tells_nothing(message: wire.ServerMessage, request_: wire.Request | None) -> None:
    assert not Roster().learn(message, request_)


def test_files_that_were_found() -> None:
    roster = Roster()
    file = wire.File("a.bin", 1, 1, 16384, b"r" * 32)
    roster.learn(wire.Found(1, file, (wire.Holder("yoda", (1,)),)), wire.Search(1, "a.bin"))
    assert roster.files == ("a.bin",)
    assert roster.known == ("yoda",)


def test_names_are_cleaned_and_their_number_is_bounded() -> None:
    roster = Roster()
    roster.learn(wire.Presence(EVIL, True))
    roster.learn(wire.Users(1, (EVIL,)), wire.WhoElse(1))
    assert roster.known == roster.online == ("evil",)
    for number in range(limits.NAMES_REMEMBERED_MAX):
        roster.learn(wire.Presence(str(number), False))
    assert len(roster.known) == limits.NAMES_REMEMBERED_MAX
    assert "evil" not in roster.known


def test_those_who_are_online_are_named_first() -> None:
    assert names(("yoda",), ("luke", "yoda")) == ("yoda", "luke")
    assert names(None, ("luke",)) == ("luke",)
