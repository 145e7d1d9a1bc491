"""What waits for whom: window, redelivery, loading, quota (section 3.1, offline messaging)."""

import pytest

from trio_chat import limits
from trio_chat.core.mailboxes import Mailbox
from trio_chat.core.shares import text_bytes

from .playbook import Playbook


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW_MESSAGES_MAX", 2)


def test_a_window_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW_TEXT_BYTES_MAX", 10)
    book = Playbook("hans", "luke")
    book.play("""
        hans: message 2 luke 12345
            luke < delivery 1 hans pc-hans 2 12345
        hans: message 3 luke 123456
            ...
        hans: message 4 luke 1
            ...
        luke: ack 1
            hans < ok 2
            luke < delivery 2 hans pc-hans 3 123456
            luke < delivery 3 hans pc-hans 4 1
        """)
    book.do("close luke")
    book.do("hans: message 5 luke 1234")
    book.play("""
        log in luke
            ...
            luke < delivery 2 hans pc-hans 3 123456
            luke < delivery 3 hans pc-hans 4 1
            hans < presence luke true
        """)


def test_a_message_to_somebody_offline_is_delivered_at_the_next_login() -> None:
    Playbook("hans").play("""
        hans: message 2 luke "Let's rock"
            commit 1: luke/1
        committed
            hans < ok 2
        log in luke
            ...
            admit luke as luke
            load luke
            hans < presence luke true
        loaded luke
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 "Let's rock"
        luke: ack 1
        wait 1
            commit 2: -luke/1
        committed
        close luke
            ...
        log in luke
            ...
            hans < presence luke true
        """)


def test_what_was_not_acknowledged_is_sent_again_in_order_and_the_rest_is_not() -> None:
    book = Playbook("hans", "luke")
    for number in (2, 3, 4):
        book.do(f"hans: message {number} luke text-{number}")
    book.do("luke: ack 1")
    book.do("close luke")
    book.do("hans: message 5 luke text-5")
    book.play("""
        log in luke
            ...
            luke < delivery 2 hans pc-hans 3 text-3
            luke < delivery 3 hans pc-hans 4 text-4
            luke < delivery 4 hans pc-hans 5 text-5
            hans < presence luke true
        luke: ack 4
            ...
        """)


def test_at_most_a_window_is_sent_before_the_first_is_acknowledged(small_window: None) -> None:
    Playbook("hans", "luke").play("""
        hans: message 2 luke a; message 3 luke b; message 4 luke c; message 5 luke d
            luke < delivery 1 hans pc-hans 2 a
            luke < delivery 2 hans pc-hans 3 b
            commit 1: luke/1 luke/2 luke/3 luke/4
        luke: ack 1
            hans < ok 2
            luke < delivery 3 hans pc-hans 4 c
        luke: ack 3
            hans < ok 3
            hans < ok 4
            luke < delivery 4 hans pc-hans 5 d
        hans: message 6 luke e; message 7 luke f
            luke < delivery 5 hans pc-hans 6 e
        committed
            hans < ok 5
            commit 2: luke/5 luke/6 -luke/3
        luke: ack 5
            hans < ok 6
            luke < delivery 6 hans pc-hans 7 f
        """)


def test_what_was_stored_is_sent_by_the_window_too(small_window: None) -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a; message 3 luke b; message 4 luke c")
    book.do("committed")
    book.do("log in luke")
    book.play("""
        loaded luke
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 a
            luke < delivery 2 hans pc-hans 3 b
        hans: message 5 luke d
            commit 2: luke/4
        luke: ack 2
            luke < delivery 3 hans pc-hans 4 c
            luke < delivery 4 hans pc-hans 5 d
        """)


def test_when_the_disk_fails_only_what_was_not_sent_is_refused(small_window: None) -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a")
    book.do("wait 0.05")
    book.play("""
        hans: message 3 luke b; message 4 luke c
            luke < delivery 2 hans pc-hans 3 b
        commit failed
            commit 2: luke/1 luke/2 luke/3
        commit failed
            hans < error not_stored ...
        luke: ack 1
            hans < ok 2
        hans: message 5 luke d
            luke < delivery 4 hans pc-hans 5 d
        luke: ack 4
            hans < ok 3
            hans < ok 5
        """)


def test_acknowledging_more_than_was_sent_acknowledges_what_was_sent(small_window: None) -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a; message 3 luke b; message 4 luke c")
    book.play("""
        luke: ack 1000
            hans < ok 2
            hans < ok 3
            luke < delivery 3 hans pc-hans 4 c
        """)


def test_acknowledging_again_or_nothing_changes_nothing() -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a")
    book.play("""
        luke: ack 0
        luke: ack 1
            hans < ok 2
        luke: ack 1
        hans: ack 7
        """)


def test_messages_that_come_while_a_mailbox_is_loaded_are_delivered_behind_it() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.do("log in luke")
    book.play("""
        hans: message 3 luke b
            commit 2: luke/2
        loaded luke early
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 a
            luke < delivery 2 hans pc-hans 3 b
        committed
            hans < ok 3
        """)


@pytest.mark.parametrize("when", ["", "early"])
def test_a_message_committed_while_its_mailbox_is_loaded_is_delivered_once(when: str) -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.do("log in luke")
    book.do("hans: message 3 luke b")
    book.do("committed")
    book.play(f"""
        loaded luke {when}
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 a
            luke < delivery 2 hans pc-hans 3 b
        """)


def test_logging_out_while_the_mailbox_is_loaded_keeps_everything() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.do("log in luke")
    book.play("""
        hans: message 3 luke b
            commit 2: luke/2
        close luke
            hans < presence luke false
        committed
            hans < ok 3
        loaded luke early
        log in luke
            ...
            load luke
            ...
        loaded luke
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 a
            luke < delivery 2 hans pc-hans 3 b
        """)


def test_logging_in_again_waits_for_the_loading_that_is_under_way() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    for line in ("log in luke", "close luke", "hans: message 3 luke b"):
        book.do(line)
    book.play("""
        log in luke
            ...
            hans < presence luke true
        loaded luke early
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 a
            luke < delivery 2 hans pc-hans 3 b
        """)


def test_what_was_acknowledged_and_not_yet_deleted_is_not_loaded_again() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a; message 3 luke b")
    book.do("committed")
    for line in ("log in luke", "loaded luke", "luke: ack 1", "close luke", "log in luke"):
        book.do(line)
    book.play("""
        loaded luke
            luke < ok 1
            luke < delivery 2 hans pc-hans 3 b
        wait 1
            commit 2: -luke/1
        """)


def test_the_last_deletion_may_come_after_its_user_has_gone() -> None:
    book = Playbook("hans", "luke")
    for line in ("hans: message 2 luke a", "wait 0.05", "committed", "luke: ack 1"):
        book.do(line)
    book.play("""
        close luke
            hans < presence luke false
        wait 1
            commit 2: -luke/1
        committed
        log in luke
            ...
            hans < presence luke true
        """)


def test_a_mailbox_that_cannot_be_read_ends_the_session_and_is_kept() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.do("log in luke")
    book.play("""
        load failed luke
            luke < closed mailbox_unreadable "The server could not read your messages; they are kept. Please try again later"
            close luke
            hans < presence luke false
        log in luke
            ...
            load luke
            ...
        loaded luke
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 a
        """)


def test_a_mailbox_that_cannot_be_read_after_its_owner_left_is_kept() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    for line in ("log in luke", "close luke"):
        book.do(line)
    book.play("""
        load failed luke
        log in luke
            ...
            load luke
            ...
        """)


def test_what_waits_survives_a_restart_and_numbers_go_on() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.restart()
    book.do("log in hans")
    book.play("""
        hans: message 3 luke b
            commit 1: luke/2
        committed
            hans < ok 3
        log in luke
            ...
            load luke
            ...
        loaded luke
            luke < ok 1
            luke < delivery 1 hans pc-hans 2 a
            luke < delivery 2 hans pc-hans 3 b
        """)


FULL = (
    'mailbox_full "Your message could not be delivered as the mailbox of luke is full.'
    ' Please try again after luke has logged in"'
)


SHARE = (
    'mailbox_share_full "Your message could not be delivered as too many of yours wait for luke'
    ' already. Please try again after luke has logged in"'
)


def crowd(book: Playbook, *users: str) -> None:
    """Users whose clients know the newer codes of errors."""
    for user in users:
        for line in (
            *(f"open {user}", f"{user}: hello 1 pc-{user} codes; login 1 {user} secret"),
            f"right {user}",
        ):
            book.do(line)


def test_a_sender_is_told_that_a_mailbox_has_too_many_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAILBOX_MESSAGES_MAX", 2)
    book = Playbook("hans", "vader")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.play(f"""
        vader: message 3 luke b; message 4 luke c
            vader < error {FULL} 4
            commit 2: luke/2
        hans: message 5 yoda elsewhere
        log in luke
            ...
            load luke
            ...
        loaded luke
            luke < ok 1
            ...
        luke: ack 1
        hans: message 6 luke d
            luke < delivery 4 hans pc-hans 6 d
        """)


def test_a_sender_is_told_that_a_mailbox_has_too_many_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAILBOX_BYTES_MAX", 10)
    book = Playbook("hans", "yoda")
    book.play(f"""
        hans: message 2 luke äb
            commit 1: luke/1
        yoda: message 3 luke 12345678; message 4 luke 1234567
            yoda < error {FULL} 3
        hans: message 5 luke x
            hans < error {FULL} 5
        """)


def test_a_sender_has_as_much_of_a_mailbox_as_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """So one can't fill it, nor can several, and there is room for somebody else."""
    monkeypatch.setattr(limits, "MAILBOX_MESSAGES_MAX", 12)
    book = Playbook()
    crowd(book, "hans", "vader", "yoda")
    before = book.broker.statistics.messages_waiting
    for user, number, share in (("hans", 6, 6), ("vader", 3, 3), ("yoda", 2, 2)):
        for id in range(2, number + 2):
            assert not any("error" in line for line in book.do(f"{user}: message {id} luke x"))
        assert f"{user} < error {SHARE} 99" in book.do(f"{user}: message 99 luke x")
        before += share
        assert book.broker.statistics.messages_waiting == before
    assert f"hans < error {SHARE} 100" in book.do("hans: message 100 luke x")


def test_a_share_holds_in_bytes_too_and_over_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAILBOX_BYTES_MAX", 100)
    book = Playbook()
    crowd(book, "hans", "vader")
    book.do(f"hans: message 2 luke {'x' * 50}")
    book.do("committed")
    assert book.do("hans: message 3 luke x") == [f"hans < error {SHARE} 3"]
    book.restart()
    crowd(book, "hans", "vader")
    assert book.do("hans: message 4 luke x") == [f"hans < error {SHARE} 4"]
    assert book.do(f"vader: message 5 luke {'ä' * 16}")[0].startswith("commit")
    assert book.do("vader: message 6 luke x") == [f"vader < error {SHARE} 6"]


def test_a_share_is_given_back_with_each_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAILBOX_MESSAGES_MAX", 8)
    book = Playbook()
    crowd(book, "hans", "luke")
    book.do("hans: " + "; ".join(f"message {id} luke x" for id in range(2, 6)))
    assert book.do("hans: message 6 luke x") == [f"hans < error {SHARE} 6"]
    book.do("luke: ack 1")
    assert book.do("hans: message 7 luke x") == ["luke < delivery 5 hans pc-hans 7 x"]
    assert book.do("hans: message 8 luke x") == [f"hans < error {SHARE} 8"]
    book.do("luke: ack 5")
    assert not book.broker._post.mailboxes["luke"].is_crowded
    for id in range(9, 13):
        assert book.do(f"hans: message {id} luke x")[0].startswith("luke < delivery")


def test_a_client_of_before_is_told_a_code_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAILBOX_MESSAGES_MAX", 4)
    book = Playbook("hans")
    book.do("hans: message 2 luke a; message 3 luke b")
    text = SHARE.partition(" ")[2]
    assert book.do("hans: message 4 luke c") == [f"hans < error mailbox_full {text} 4"]


def test_the_quota_counts_what_is_stored_and_what_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAILBOX_BYTES_MAX", 3)
    book = Playbook("hans", "vader")
    book.do("hans: message 2 luke 12")
    book.do("committed")
    for line in ("log in luke", "loaded luke"):
        book.do(line)
    book.play(f"""
        vader: message 3 luke 34
            vader < error {FULL} 3
        luke: ack 1
        hans: message 4 luke 345
            luke < delivery 2 hans pc-hans 4 345
        close luke
            ...
        hans: message 5 luke 6
            hans < error {FULL} 5
        """)


def test_bytes_of_text_are_those_of_utf8() -> None:
    assert [text_bytes(text) for text in ("", "abc", "ä", "😀")] == [0, 3, 2, 4]


def test_nothing_is_sent_without_a_session() -> None:
    assert Mailbox("luke").next_to_send() == []
