"""Names in requests: composed and decomposed ones are the same, for clients of any age."""

from __future__ import annotations

import pytest

from trio_chat.core.commands import UsersChanged
from trio_chat.protocol.messages import (
    Ack,
    Block,
    File,
    Hello,
    Introduce,
    Listening,
    Login,
    Message,
    Register,
    Resume,
    Search,
    Unblock,
)

from .playbook import USERS, Playbook

ZOE, OLD_ZOE = "Zo\u00eb", "Zoe\u0308"
TICKET = "0" * 32


@pytest.fixture
def book() -> Playbook:
    """Hans and Zoë are online; she has logged in with her name decomposed."""
    book = Playbook("hans")
    book.handle(UsersChanged(frozenset({*USERS, ZOE})))
    book.do("open zoe")
    book.ask("zoe", Hello(1, "pc-zoe", ("resume",)))
    assert book.ask("zoe", Login(1, OLD_ZOE, "secret")) == [f"check zoe: {ZOE} secret"]
    assert book.do("right zoe")[0] == f"admit zoe as {ZOE}"
    return book


def test_a_login_is_one_of_the_user_that_is_known(book: Playbook) -> None:
    assert book.broker.user_of(book._ids["zoe"]) == ZOE
    book.do("open again")
    book.ask("again", Hello(1, "pc-again"))
    book.ask("again", Login(1, ZOE, "secret"))
    assert "already_online" in book.do("right again")[0]


def test_a_message_reaches_the_user_that_is_known(book: Playbook) -> None:
    (delivery,) = book.ask("hans", Message(2, OLD_ZOE, "hello"))
    assert delivery == "zoe < delivery 1 hans pc-hans 2 hello"
    assert book.ask("zoe", Ack(1)) == ["hans < ok 2"]
    assert "message_self" in book.ask("zoe", Message(2, OLD_ZOE, "hello"))[0]
    assert "unknown_user" in book.ask("hans", Message(3, OLD_ZOE + "x", "hello"))[0]


def test_a_message_that_is_repeated_waits_for_the_same_commit(book: Playbook) -> None:
    book.do("close zoe")
    assert book.ask("hans", Message(2, OLD_ZOE, "hello")) == [f"commit 1: {ZOE}/1"]
    book.do("close hans")
    book.do("open hans")
    book.ask("hans", Hello(1, "pc-hans"))
    book.ask("hans", Login(1, "hans", "secret"))
    book.do("right hans")
    assert book.ask("hans", Message(2, OLD_ZOE, "hello")) == [], "it is not safe yet"
    assert "hans < ok 2" in book.do("committed")


def test_blocks_are_those_of_the_user_that_is_known(book: Playbook) -> None:
    book.ask("hans", Block(2, OLD_ZOE))
    book.do("committed")
    assert "already_blocked" in book.ask("hans", Block(3, ZOE))[0]
    assert "blocked_by_recipient" in book.ask("zoe", Message(2, "hans", "hello"))[0]
    book.ask("hans", Unblock(4, OLD_ZOE))
    book.do("committed")
    assert "not_blocked" in book.ask("hans", Unblock(5, ZOE))[0]


def test_introductions_are_to_the_user_that_is_known(book: Playbook) -> None:
    for name in ("hans", "zoe"):
        book.ask(name, Listening(4001, b"certificate"))
    lines = book.ask("hans", Introduce(2, OLD_ZOE, TICKET))
    assert lines[0].startswith("zoe < introduced hans")


def test_files_have_one_name_and_are_found_under_the_one_that_was_asked_for(
    book: Playbook,
) -> None:
    file = File(OLD_ZOE, 1000, 10, 16384, bytes(32))
    book.ask("zoe", Register(2, file, (1,)))
    book.do("committed")
    composed = File(ZOE, 1000, 10, 16384, bytes(32))
    assert book.ask("hans", Register(2, composed, (2,))) == ["hans < registered 2 false"]
    for number, name in ((3, ZOE), (4, OLD_ZOE)):
        (line,) = book.ask("hans", Search(number, name))
        assert line == f"hans < found {number} {name} [hans:2 {ZOE}:1]"


def test_a_token_is_that_of_the_user_that_is_known(book: Playbook) -> None:
    book.do("close zoe")
    book.do("open zoe")
    book.ask("zoe", Hello(1, "pc-zoe", ("resume",)))
    assert book.ask("zoe", Resume(1, OLD_ZOE, "token-2"))[0] == f"admit zoe as {ZOE}"
