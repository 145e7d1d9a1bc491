"""Messages that a client sends again, as it lost its connection before the answer."""

import pytest

from trio_chat import limits
from trio_chat.core.repetitions import History, Repetitions
from trio_chat.errors import ErrorCode
from trio_chat.protocol.messages import Error, Sent

from .playbook import Playbook


def test_a_message_that_is_safe_already_is_confirmed_and_not_sent_again() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda hey
            yoda < delivery 1 hans pc-hans 2 hey
        close hans
            ...
        yoda: ack 1
        log in hans
            ...
        hans: message 2 yoda hey
            hans < ok 2
        hans: message 3 yoda "and on"
            yoda < delivery 2 hans pc-hans 3 "and on"
        """)


def test_a_message_in_the_commit_under_way_is_confirmed_by_it_on_the_new_connection() -> None:
    Playbook("hans").play("""
        hans: message 2 luke hey
            commit 1: luke/1
        close hans
        log in hans
            ...
        hans: message 2 luke hey
        committed
            hans < ok 2
        """)


def test_a_message_not_yet_committed_is_confirmed_on_the_new_connection() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda a; message 3 yoda b
            ...
        close hans
            ...
        log in hans
            ...
        hans: message 2 yoda a; message 3 yoda b
        yoda: ack 1
            hans < ok 2
        wait 0.05
            commit 1: yoda/2
        committed
            hans < ok 3
        """)


def test_a_safe_message_is_confirmed_although_a_later_one_is_not_safe_yet() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda a; message 3 yoda b
            ...
        yoda: ack 1
            hans < ok 2
        close hans
            ...
        log in hans
            ...
        hans: message 2 yoda a; message 3 yoda b
            hans < ok 2
        """)


def test_a_refused_message_is_refused_again_although_it_would_be_accepted_now() -> None:
    book = Playbook("hans", "luke")
    book.do("luke: block 2 hans")
    book.do("hans: message 2 luke a; message 3 nobody b")
    book.do("luke: unblock 3 hans")
    book.do("close hans")
    book.do("log in hans")
    book.play("""
        hans: message 2 luke a; message 3 nobody b; message 4 luke c
            hans < error blocked_by_recipient ...
            hans < error unknown_user "Error. Invalid user" 3
            luke < delivery 1 hans pc-hans 4 c
        """)


def test_a_message_that_could_not_be_stored_is_refused_on_the_new_connection_too() -> None:
    Playbook("hans").play("""
        hans: message 2 luke a
            commit 1: luke/1
        close hans
        commit failed
        log in hans
            ...
        hans: message 2 luke a
            hans < error not_stored ...
        hans: message 3 luke a
            commit 2: luke/2
        """)


def test_a_broadcast_is_not_said_again_and_answered_as_before() -> None:
    Playbook("hans", "yoda", "luke").play("""
        luke: block 2 hans
            ...
        committed
            ...
        hans: broadcast 2 hey
            yoda < announcement hans pc-hans 2 hey
            hans < sent 2 false
        luke: unblock 3 hans
            ...
        committed
            ...
        hans: broadcast 3 hey
            ...
        close hans
            ...
        log in hans
            ...
        hans: broadcast 2 hey; broadcast 3 hey
            hans < sent 2 false
            hans < sent 3 true
        hans: broadcast 4 hey
            yoda luke < announcement hans pc-hans 4 hey
            hans < sent 4 true
        """)


def test_a_block_in_the_commit_under_way_is_confirmed_by_it_on_the_new_connection() -> None:
    Playbook("hans").play("""
        hans: block 2 luke
            commit 1: hans!luke
        close hans
        log in hans
            ...
        hans: block 2 luke
        committed
            hans < ok 2
        hans: unblock 3 luke
            commit 2: hans=luke
        close hans
        log in hans
            ...
        hans: unblock 3 luke
        commit failed
            hans < error not_stored ...
        hans: block 4 luke
            hans < error already_blocked ...
        """)


def test_a_block_that_is_on_disk_is_refused_when_it_is_repeated() -> None:
    """Its client takes that for what it is."""
    Playbook("hans").play("""
        hans: block 2 luke
            ...
        committed
            ...
        close hans
        log in hans
            ...
        hans: block 2 luke
            hans < error already_blocked ...
        """)


def test_another_client_of_the_same_user_has_numbers_of_its_own() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda a
            ...
        yoda: ack 1
            hans < ok 2
        close hans
            ...
        log in tablet hans
            ...
        tablet: message 2 yoda b
            yoda < delivery 2 hans pc-tablet 2 b
        """)


def test_an_anonymous_client_gets_a_name_from_the_server_for_each_connection() -> None:
    book = Playbook("yoda")
    for line in ("open hans", "hans: hello 1", "hans: login 1 hans solo", "right hans"):
        book.do(line)
    book.play("""
        hans: message 2 yoda a
            yoda < delivery 1 hans anonymous-2 2 a
        """)


def test_a_refusal_that_is_forgotten_is_never_taken_for_a_message_that_was_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REQUESTS_UNANSWERED_MAX", 2)
    Playbook("hans", "yoda").play("""
        hans: message 2 nobody a; message 3 yoda b; message 4 nobody c; message 5 nobody d
            ...
        hans: message 6 luke e; message 7 nobody f; message 8 yoda g
            ...
            commit 1: yoda/1 luke/2
        yoda: ack 3
            hans < ok 3
            hans < ok 8
        close hans
            ...
        log in hans
            ...
        hans: message 2 nobody a; message 3 yoda b; message 4 nobody c; message 5 nobody d
            hans < error not_stored ...
            hans < error not_stored ...
            hans < error not_stored ...
            hans < error unknown_user ...
        hans: message 6 luke e; message 7 nobody f; message 8 yoda g
            hans < error unknown_user ...
            hans < ok 8
        committed
            hans < ok 6
        """)


def test_a_broadcast_that_is_forgotten_puts_no_message_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REQUESTS_UNANSWERED_MAX", 1)
    history = History()
    for id in (1, 2):
        history.remember(Sent(id, complete=False))
    assert (history.reply(1), history.unsure_until) == (None, 0)


def refusal(id: int) -> Error:
    return Error(ErrorCode.BUSY, "", id)


def test_refusals_are_remembered_as_far_back_as_a_client_may_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REQUESTS_UNANSWERED_MAX", 2)
    history = History()
    for id in (1, 2, 3):
        history.remember(refusal(id))
    assert [history.reply(id) for id in (1, 2, 3)] == [None, refusal(2), refusal(3)]
    assert history.unsure_until == 1


def test_the_latest_clients_of_a_user_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENTS_REMEMBERED_MAX", 2)
    repetitions = Repetitions()
    a = repetitions.history("hans", "a")
    repetitions.history("hans", "b")
    assert repetitions.history("hans", "a") is a
    repetitions.history("hans", "c")
    assert repetitions.history("hans", "a") is a
    b = repetitions.history("yoda", "b")
    assert repetitions.history("yoda", "b") is b
