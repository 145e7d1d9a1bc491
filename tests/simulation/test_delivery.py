"""The oracle itself: what it lets pass, and what it does not."""

from __future__ import annotations

import pytest

from .blocks import Blocks, Known
from .delivery import Broken, Delivery, Note


class Judge:
    """A `Delivery` with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.blocks = Blocks()
        self.delivery = Delivery(self.blocks, lambda: self.now)

    def typed(self, text: str = "hello", kind: str = "message") -> Note:
        self.now += 1
        to = "" if kind == "broadcast" else "yoda"
        return self.delivery.typed(kind, "hans", to, text, None)


@pytest.fixture
def judge() -> Judge:
    return Judge()


def test_an_acknowledged_message_is_missing_until_it_is_shown(judge: Judge) -> None:
    note = judge.typed()
    assert judge.delivery.missing() == []
    judge.delivery.acknowledged(note.number)
    assert judge.delivery.missing() == [note]
    judge.delivery.shown("yoda", "hans: #1 hello")
    assert judge.delivery.missing() == []


@pytest.mark.parametrize(
    ("user", "line", "complaint"),
    [
        ("yoda", "hans: #9 hello", "nobody has said"),
        ("yoda", "luke: #1 hello", "nobody has said"),
        ("yoda", "hans(private): #1 hello", "nobody has said"),
        ("yoda", "hans: #1 good bye", "instead of"),
        ("luke", "hans: #1 hello", "was shown to luke"),
    ],
)
def test_what_was_not_said_is_not_shown(judge: Judge, user: str, line: str, complaint: str) -> None:
    judge.typed()
    with pytest.raises(Broken, match=complaint):
        judge.delivery.shown(user, line)


def test_nothing_is_shown_twice_unless_its_client_died_with_it(judge: Judge) -> None:
    judge.typed()
    judge.delivery.shown("yoda", "hans: #1 hello")
    judge.delivery.forgotten("yoda", "hans: #1 hello")
    judge.delivery.shown("yoda", "hans: #1 hello")
    with pytest.raises(Broken, match="twice"):
        judge.delivery.shown("yoda", "hans: #1 hello")


def test_order(judge: Judge) -> None:
    judge.typed()
    judge.typed()
    judge.delivery.shown("yoda", "hans: #2 hello")
    with pytest.raises(Broken, match="after #2"):
        judge.delivery.shown("yoda", "hans: #1 hello")


def test_a_refused_message_does_not_appear(judge: Judge) -> None:
    judge.typed()
    judge.delivery.refused(1, "mailbox_full")
    with pytest.raises(Broken, match="refused"):
        judge.delivery.shown("yoda", "hans: #1 hello")
    with pytest.raises(Broken, match="refused"):
        judge.delivery.acknowledged(1)


def test_what_the_disk_or_another_server_has_refused_may(judge: Judge) -> None:
    judge.typed()
    judge.delivery.refused(1, "not_stored")
    judge.delivery.shown("yoda", "hans: #1 hello")
    note = judge.typed()
    note.servers |= {1, 2}
    judge.delivery.shown("yoda", "hans: #2 hello")
    judge.delivery.refused(2, "mailbox_full")


def test_blocks_hold_for_what_was_typed_after_them(judge: Judge) -> None:
    judge.typed()
    judge.typed(kind="broadcast")
    judge.blocks.typed("yoda", "hans", 2.0)
    judge.blocks.answered("yoda", "hans", Known.BLOCKED, 2.5)
    judge.delivery.shown("yoda", "hans: #1 hello")
    judge.delivery.shown("yoda", "hans: #2 hello")
    judge.typed()
    with pytest.raises(Broken, match="blocked hans"):
        judge.delivery.acknowledged(3)
    with pytest.raises(Broken, match="blocked hans"):
        judge.delivery.shown("yoda", "hans: #3 hello")
    judge.typed(kind="private")  # over a link that was there before
    judge.delivery.shown("yoda", "hans(private): #4 hello")


def test_nobody_is_refused_without_a_block(judge: Judge) -> None:
    judge.typed()
    with pytest.raises(Broken, match="does not block"):
        judge.delivery.refused(1, "blocked_by_recipient")


def test_other_lines_are_none_of_its_business(judge: Judge) -> None:
    judge.typed("\u2028luke: #1 forged")
    judge.delivery.shown("yoda", "hans: #1 ")
    judge.delivery.shown("yoda", "    luke: #1 forged")
    judge.delivery.shown("yoda", "hans logged out")
