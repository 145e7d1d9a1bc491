"""Messages and broadcasts between users (section 3.3), and what holds of the broker as such."""

import pytest

from trio_chat import limits
from trio_chat.core.commands import UsersChanged
from trio_chat.protocol.messages import Broadcast, Message

from .playbook import Playbook


def test_a_message_reaches_somebody_online_at_once() -> None:
    Playbook("hans", "yoda", "luke").play("""
        hans: message 2 yoda "Hey Dude"
            yoda < delivery 1 hans pc-hans 2 "Hey Dude"
        yoda: ack 1
            hans < ok 2
        """)


def test_a_message_to_an_invalid_user_or_oneself_is_refused() -> None:
    Playbook("hans").play("""
        hans: message 2 bob "party time"
            hans < error unknown_user "Error. Invalid user" 2
        hans: message 3 Yoda "party time"
            hans < error unknown_user "Error. Invalid user" 3
        hans: message 4 hans "party time"
            hans < error message_self "Error. Cannot message self" 4
        """)


def test_an_empty_text_is_refused() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda ''; broadcast 3 ''
            hans < error text_empty "Error. A message cannot be empty" 2
            hans < error text_empty "Error. A message cannot be empty" 3
        """)


@pytest.mark.parametrize(
    "text", [" ", "\t\n", "\u00a0\u3000", "\u200b\u2060", "\x1b[31m", "\u2800"]
)
def test_a_text_of_which_nothing_can_be_seen_is_empty(text: str) -> None:
    book = Playbook("hans", "yoda")
    refusal = 'hans < error text_empty "Error. A message cannot be empty"'
    assert book.ask("hans", Message(2, "yoda", text)) == [f"{refusal} 2"]
    assert book.ask("hans", Broadcast(3, text)) == [f"{refusal} 3"]


@pytest.mark.parametrize("text", ["~", "~~", "é", "\u200bx", " x", "\x1b[31mx"])
def test_a_text_in_which_something_can_be_seen_is_taken(text: str) -> None:
    book = Playbook("hans", "yoda")
    (delivery,) = book.ask("hans", Message(2, "yoda", text))
    assert delivery.startswith("yoda < delivery 1 hans pc-hans 2 ")


@pytest.mark.parametrize("character", ["a", "ä", "😀"])
def test_a_text_is_measured_in_bytes(character: str) -> None:
    book = Playbook("hans", "yoda")
    size = len(character.encode())
    fits = character * (limits.TEXT_BYTES_MAX // size)
    too_long = fits + character
    refusal = (
        f'hans < error text_too_long "Error. A message can have at most {limits.TEXT_BYTES_MAX}'
        f' bytes; this one has {limits.TEXT_BYTES_MAX + size}"'
    )
    assert book.ask("hans", Message(2, "yoda", too_long)) == [f"{refusal} 2"]
    assert book.ask("hans", Broadcast(3, too_long)) == [f"{refusal} 3"]
    assert book.ask("hans", Message(4, "yoda", fits)) == [
        f"yoda < delivery 1 hans pc-hans 4 {fits}"
    ]
    assert book.ask("hans", Broadcast(5, fits)) == [
        f"yoda < announcement hans pc-hans 5 {fits}",
        "hans < sent 5 true",
    ]


def test_a_broadcast_reaches_everybody_else_online_and_is_not_stored() -> None:
    Playbook("hans", "yoda", "luke").play("""
        hans: broadcast 2 "vader sucks"
            yoda luke < announcement hans pc-hans 2 "vader sucks"
            hans < sent 2 true
        log in vader
            ...
            hans yoda luke < presence vader true
        wait 10
        """)


def test_a_broadcast_without_anybody_else_online_is_complete() -> None:
    Playbook("hans").play("""
        hans: broadcast 2 hello
            hans < sent 2 true
        """)


def test_messages_of_one_sender_keep_their_order() -> None:
    Playbook("hans", "yoda", "luke").play("""
        hans: message 2 yoda a; message 3 luke b; message 4 yoda c
            yoda < delivery 1 hans pc-hans 2 a
            yoda < delivery 3 hans pc-hans 4 c
            luke < delivery 2 hans pc-hans 3 b
        """)


def test_logout_is_confirmed() -> None:
    Playbook("yoda").play("""
        yoda: logout 2
            yoda < ok 2
            close yoda
        """)


def test_the_same_commands_have_the_same_effects() -> None:
    def story() -> list[str]:
        book = Playbook("hans", "yoda", "luke")
        lines = ["hans: message 2 yoda a; message 3 vader b", "luke: block 2 hans", "wait 1"]
        lines += ["committed", "close yoda", "hans: whoelsesince 4 60", "stop"]
        return [effect for line in lines for effect in book.do(line)]

    assert story() == story()


def test_other_accounts_change_who_can_be_written_to_but_no_session_of_those_who_stay() -> None:
    book = Playbook("hans", "yoda")
    book.broker.handle(UsersChanged(frozenset({"hans", "yoda", "chewie"})), book.now)
    book.play("""
        hans: message 2 luke hello
            hans < error unknown_user "Error. Invalid user" 2
        hans: block 3 luke
            hans < error unknown_user "Error. Invalid user" 3
        yoda: message 2 hans "I am still here"
            hans < delivery 1 yoda pc-yoda 2 "I am still here"
        hans: ack 1
            yoda < ok 2
        hans: message 4 chewie hello
            commit 1: chewie/2
        """)
