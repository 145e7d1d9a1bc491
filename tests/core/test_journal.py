"""When a message is safe, and what is written when (design, delivery)."""

import pytest

from trio_chat import limits

from .playbook import Playbook

NOT_STORED = (
    'not_stored "Error. The server could not store this, so it may not last.'
    ' Please try again later"'
)


def test_a_message_that_is_acknowledged_in_time_is_never_written() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda "Hey Dude"
            yoda < delivery 1 hans pc-hans 2 "Hey Dude"
        deadline
            in 0.05
        wait 0.049
        yoda: ack 1
            hans < ok 2
        wait 10
        close yoda
            ...
        log in yoda
            ...
            hans < presence yoda true
        """)


def test_a_message_that_is_not_acknowledged_in_time_is_written_and_then_safe() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda "Hey Dude"
            yoda < delivery 1 hans pc-hans 2 "Hey Dude"
        wait 0.049
        wait 0.001
            commit 1: yoda/1
        committed
            hans < ok 2
        yoda: ack 1
        wait 0.999
        wait 0.001
            commit 2: -yoda/1
        committed
        """)


def test_a_message_acknowledged_during_its_commit_is_deleted_by_the_next_one() -> None:
    book = Playbook("hans", "yoda")
    book.do("hans: message 2 yoda hey")
    book.play("""
        wait 0.05
            commit 1: yoda/1
        yoda: ack 1
            hans < ok 2
        committed
        wait 1
            commit 2: -yoda/1
        """)
    book.do("committed")
    assert book.store.read("yoda") == ()


def test_messages_that_become_due_apart_are_written_apart() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda a
            yoda < delivery 1 hans pc-hans 2 a
        wait 0.03
        hans: message 3 yoda b
            yoda < delivery 2 hans pc-hans 3 b
        wait 0.02
            commit 1: yoda/1
        committed
            hans < ok 2
        wait 0.02
        wait 0.01
            commit 2: yoda/2
        committed
            hans < ok 3
        """)


def test_what_is_written_at_once_takes_along_what_came_before() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda a; message 3 luke b; message 4 yoda c
            yoda < delivery 1 hans pc-hans 2 a
            yoda < delivery 3 hans pc-hans 4 c
            commit 1: yoda/1 luke/2
        committed
            hans < ok 2
            hans < ok 3
        wait 0.05
            commit 2: yoda/3
        """)


def test_the_next_commit_gathers_while_one_is_under_way() -> None:
    Playbook("hans").play("""
        hans: message 2 luke a
            commit 1: luke/1
        hans: message 3 luke b
        hans: message 4 vader c; message 5 luke d
        wait 5
        committed
            hans < ok 2
            commit 2: luke/2 vader/3 luke/4
        committed
            hans < ok 3
            hans < ok 4
            hans < ok 5
        """)


def test_a_commit_that_has_become_needless_is_not_made() -> None:
    Playbook("hans", "yoda").play("""
        hans: message 2 yoda a
            ...
        yoda: ack 1
            hans < ok 2
        wait 10
        """)


def test_a_message_that_could_not_be_stored_is_refused_and_taken_back() -> None:
    Playbook("hans").play(f"""
        hans: message 2 luke a
            commit 1: luke/1
        hans: message 3 luke b
        commit failed
            hans < error {NOT_STORED} 2
            commit 2: luke/2
        committed
            hans < ok 3
        log in luke
            ...
            load luke
            ...
        loaded luke
            luke < ok 1
            luke < delivery 2 hans pc-hans 3 b
        """)


def test_a_message_on_the_screen_of_somebody_needs_no_disk_however_late_they_acknowledge() -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a")
    book.play("""
        wait 0.05
            commit 1: luke/1
        commit failed
        wait 1
            commit 2: luke/1
        commit failed
        luke: ack 1
            hans < ok 2
        wait 10
        close luke
            ...
        log in luke
            ...
            hans < presence luke true
        """)


def test_a_message_that_was_sent_is_written_when_the_disk_works_again() -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a")
    book.play("""
        wait 0.05
            commit 1: luke/1
        commit failed
        hans: message 3 luke b
            luke < delivery 2 hans pc-hans 3 b
        wait 0.05
            commit 2: luke/1 luke/2
        committed
            hans < ok 2
            hans < ok 3
        """)
    assert [delivery.text for delivery in book.store.read("luke")] == ["a", "b"]


def test_a_message_that_was_sent_is_refused_if_its_receiver_goes_and_the_disk_fails_still() -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a")
    book.play(f"""
        wait 0.05
            commit 1: luke/1
        commit failed
        close luke
            ...
        wait 1
            commit 2: luke/1
        commit failed
            hans < error {NOT_STORED} 2
        log in luke
            ...
            hans < presence luke true
        """)


def test_a_sender_who_comes_back_gets_the_answer_to_what_a_receiver_has_still_to_acknowledge() -> (
    None
):
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a")
    book.play("""
        wait 0.05
            commit 1: luke/1
        commit failed
        close hans
            ...
        log in hans
            ...
        hans: message 2 luke a
        luke: ack 1
            hans < ok 2
        """)


def test_a_stop_ends_though_the_disk_fails_and_messages_were_sent() -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a")
    book.play("""
        wait 0.05
            commit 1: luke/1
        commit failed
        stop
            ...
        wait 1
            commit 2: luke/1
        commit failed
        stopped
            yes
        """)


def test_a_message_acknowledged_during_a_commit_that_fails_stays_safe() -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a; message 3 luke b")
    book.play(f"""
        wait 0.05
            commit 1: luke/1 luke/2
        luke: ack 1
            hans < ok 2
        close luke
            ...
        commit failed
            hans < error {NOT_STORED} 3
        """)


def test_deletions_of_a_commit_that_failed_are_made_by_a_later_one() -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a; message 3 luke b")
    book.do("wait 0.05")
    book.do("committed")
    book.play("""
        luke: ack 1
        wait 1
            commit 2: -luke/1
        commit failed
        wait 1
            commit 3: -luke/1
        luke: ack 2
        commit failed
        wait 1
            commit 4: -luke/2
        committed
        """)
    assert book.store.read("luke") == ()


def test_a_failed_commit_does_not_harm_messages_that_are_stored_already() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.do("hans: message 3 luke b")
    book.play(f"""
        commit failed
            hans < error {NOT_STORED} 3
        log in luke
            ...
            load luke
            ...
        loaded luke
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 a
        """)


def test_nobody_is_answered_who_has_gone() -> None:
    book = Playbook("hans", "yoda", "luke")
    book.do("hans: message 2 vader a; block 3 vader; message 4 yoda b")
    book.do("close hans")
    book.play("""
        yoda: ack 2
        committed
        """)


BUSY = 'busy "Your message could not be delivered as the server is busy. Please try again"'


@pytest.fixture
def few_unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNSAFE_MESSAGES_MAX", 2)


def test_the_server_is_busy_while_too_much_waits_for_the_disk(few_unsafe: None) -> None:
    Playbook("hans").play(f"""
        hans: message 2 luke a
            commit 1: luke/1
        hans: message 3 luke b; message 4 luke c
        hans: message 5 luke d; broadcast 6 hello
            hans < error {BUSY} 5
            hans < sent 6 true
        committed
            hans < ok 2
            commit 2: luke/2 luke/3
        hans: message 7 luke e
        """)


def test_messages_that_are_on_their_way_count_until_the_commit_that_holds_them(
    few_unsafe: None,
) -> None:
    Playbook("hans", "yoda").play(f"""
        hans: message 2 yoda a; message 3 yoda b
            ...
        hans: message 4 yoda c
            hans < error {BUSY} 4
        wait 0.05
            commit 1: yoda/1 yoda/2
        hans: message 5 yoda d; message 6 yoda e
            ...
        yoda: ack 3
            ...
        hans: message 7 yoda f
            ...
        hans: message 8 yoda g
            hans < error {BUSY} 8
        """)


def test_messages_that_were_acknowledged_do_not_make_the_server_busy(few_unsafe: None) -> None:
    book = Playbook("hans", "yoda")
    for number in range(1, 6):
        book.play(f"""
            hans: message {number + 1} yoda hey
                yoda < delivery {number} hans pc-hans {number + 1} hey
            yoda: ack {number}
                hans < ok {number + 1}
            """)


def test_stopping_tells_everybody_and_saves_what_waits() -> None:
    book = Playbook("hans", "yoda")
    book.do("open stranger")
    book.do("hans: message 2 yoda a")
    book.play("""
        stopped
            no
        stop
            hans < closed stopping "The server is shutting down"
            close hans
            yoda < closed stopping "The server is shutting down"
            close yoda
            stranger < closed stopping "The server is shutting down"
            close stranger
        stopped
            no
        wait 0.05
            commit 1: yoda/1
        stopped
            no
        committed
        stopped
            yes
        open late
            close late
        close hans
        hans: whoelse 9
        """)
    assert [delivery.text for delivery in book.store.read("yoda")] == ["a"]


def test_stopping_waits_for_a_commit_under_way_and_the_next() -> None:
    Playbook("hans").play("""
        hans: message 2 luke a
            commit 1: luke/1
        hans: message 3 luke b
        stop
            ...
        committed
            commit 2: luke/2
        stopped
            no
        committed
        stopped
            yes
        """)


def test_with_nothing_to_save_the_server_stops_at_once() -> None:
    Playbook("hans").play("""
        stop
            ...
        stopped
            yes
        """)


def test_stopping_during_a_load_loses_nothing() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.do("log in luke")
    book.play("""
        stop
            ...
        loaded luke
        stopped
            yes
        """)
    assert [delivery.text for delivery in book.store.read("luke")] == ["a"]


def test_a_message_does_not_wait_for_the_retry_of_others() -> None:
    """Found by the simulation: those who wait for a retry are due later than what comes next."""
    book = Playbook("hans", "yoda", "vader")
    book.do("hans: message 2 vader one")
    assert book.do("wait 0.05") == ["commit 1: vader/1"]
    book.do("hans: message 3 yoda two")
    book.do("commit failed")
    book.do("yoda: ack 2")
    book.do("wait 0.05")
    book.do("hans: message 4 yoda three")
    assert book.do("wait 0.06") == ["commit 2: vader/1 yoda/3"]
