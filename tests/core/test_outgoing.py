"""What one command sends: grouped by session, and never out of order for anybody."""

from __future__ import annotations

from trio_chat.core.effects import Close, Send, SendMany
from trio_chat.core.outgoing import Outgoing
from trio_chat.core.sessions import Session
from trio_chat.protocol.messages import Announcement, Ok

HANS, YODA, GONE = 1, 2, 3
NEWS = Announcement("luke", "pc", 2, "news")


def sessions(*ids: int) -> dict[int, Session]:
    return {id: Session(id, "pc", 0) for id in ids}


def test_what_goes_to_one_session_is_one_effect() -> None:
    outgoing = Outgoing(sessions(HANS, YODA))
    effects = outgoing.begin()
    outgoing.send(HANS, Ok(1))
    outgoing.send(YODA, Ok(2))
    outgoing.send(HANS, Ok(3))
    assert effects == [Send(HANS, [Ok(1), Ok(3)]), Send(YODA, [Ok(2)])]


def test_what_follows_a_message_to_many_does_not_overtake_it() -> None:
    outgoing = Outgoing(sessions(HANS, YODA))
    effects = outgoing.begin()
    outgoing.send(HANS, Ok(1))
    outgoing.send_many([HANS, YODA], NEWS)
    outgoing.send(HANS, Ok(2))
    assert effects == [Send(HANS, [Ok(1)]), SendMany([HANS, YODA], NEWS), Send(HANS, [Ok(2)])]


def test_a_message_to_nobody_has_no_effect() -> None:
    outgoing = Outgoing(sessions(HANS))
    effects = outgoing.begin()
    outgoing.send_many([], NEWS)
    assert effects == []


def test_only_who_is_still_there_is_answered() -> None:
    outgoing = Outgoing(sessions(HANS))
    effects = outgoing.begin()
    outgoing.answer(HANS, Ok(1))
    outgoing.answer(GONE, Ok(2))
    assert effects == [Send(HANS, [Ok(1)])]


def test_each_command_begins_afresh() -> None:
    outgoing = Outgoing(sessions(HANS))
    first = outgoing.begin()
    outgoing.send(HANS, Ok(1))
    second = outgoing.begin()
    outgoing.send(HANS, Ok(2))
    outgoing.add(Close(HANS))
    assert first == [Send(HANS, [Ok(1)])]
    assert second == [Send(HANS, [Ok(2)]), Close(HANS)]
