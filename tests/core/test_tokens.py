"""Session tokens: the same client comes back at once, without a password."""

from __future__ import annotations

import pytest

from trio_chat import limits
from trio_chat.core.commands import UsersChanged
from trio_chat.core.tokens import Tokens

from .playbook import USERS, Playbook

DAY = limits.TOKEN_SECONDS_MAX


def playbook(**settings: float) -> Playbook:
    """With yoda online, and hans on connection 2 of his client pc, holding token-2."""
    book = Playbook("yoda", **settings)
    for line in ("open hans", "hans: hello 1 pc resume", "hans: login 1 hans solo", "right hans"):
        book.do(line)
    return book


def open_again(book: Playbook, name: str = "again", client: str = "pc") -> None:
    """A new connection of hans, from the same client unless told."""
    book.do(f"open {name}")
    book.do(f"{name}: hello 1 {client} resume")


INVALID = 'again < error invalid_token "Your session has ended. Please log in again" 1'


def test_who_asks_for_a_token_gets_one_right_before_the_answer_to_the_login() -> None:
    Playbook().play("""
        open hans
        hans: hello 1 pc resume; login 1 hans solo
            hans < welcome 1 trio-chat/0.1.0 [unregister]
            check hans: hans solo
        right hans
            admit hans as hans
            hans < token token-1
            hans < ok 1
        """)


def test_who_asks_for_something_else_gets_none() -> None:
    Playbook().play("""
        open hans
        hans: hello 1 pc files; login 1 hans solo
            ...
        right hans
            admit hans as hans
            hans < ok 1
        """)


# -- Coming back ---------------------------------------------------------------------------------


def test_a_client_takes_over_the_session_that_it_has_lost_and_nobody_else_is_told() -> None:
    book = playbook()
    book.do("log in luke")
    open_again(book)
    book.play("""
        again: resume 1 hans token-2
            hans < closed replaced "Your session goes on over a new connection of the same client"
            close hans
            admit again as hans
            again < token token-4
            again < ok 1
        yoda: whoelse 2; whoelsesince 3 0
            yoda < users 2 [hans luke]
            yoda < users 3 [hans luke]
        hans: message 2 yoda hello
        close hans
        again: message 2 yoda hello
            yoda < delivery 1 hans pc 2 hello
        close again
            yoda luke < presence hans false
        """)


def test_a_client_whose_session_is_gone_logs_in_like_anybody() -> None:
    book = playbook()
    book.do("close hans")
    open_again(book)
    book.play("""
        again: resume 1 hans token-2; whoelse 2
            admit again as hans
            again < token token-3
            again < ok 1
            yoda < presence hans true
            again < users 2 [yoda]
        """)


def test_a_token_serves_once_and_the_next_one_takes_its_place() -> None:
    book = playbook()
    open_again(book)
    book.do("again: resume 1 hans token-2")
    open_again(book, "third")
    book.play("""
        third: resume 1 hans token-2
            third < error invalid_token ...
        third: resume 2 hans token-3
            again < closed replaced ...
            close again
            admit third as hans
            third < token token-4
            third < ok 2
        """)


def test_a_client_that_does_not_ask_again_is_not_given_another_one() -> None:
    book = playbook()
    book.play("""
        open again
        again: hello 1 pc
            ...
        again: resume 1 hans token-2
            hans < closed replaced ...
            close hans
            admit again as hans
            again < ok 1
        """)
    open_again(book, "third")
    book.play("""
        third: resume 1 hans token-2
            third < error invalid_token ...
        """)


def test_a_session_that_was_taken_over_keeps_the_time_of_its_latest_activity() -> None:
    book = playbook(idle_seconds=100)
    book.do("wait 60")
    book.do("yoda: active")
    open_again(book)
    book.do("again: resume 1 hans token-2")
    book.play("""
        wait 39.9
        wait 0.1
            again < closed idle ...
            close again
            yoda < presence hans false
        """)


def test_a_connection_that_asks_for_its_session_must_greet_first() -> None:
    book = playbook()
    book.play("""
        open again
        again: resume 1 hans token-2
            again < error wrong_phase ...
            close again
        """)


# -- What was on its way -------------------------------------------------------------------------


def test_what_the_lost_session_did_not_acknowledge_comes_again_in_order() -> None:
    book = playbook()
    book.play("""
        yoda: message 2 hans a; message 3 hans b; message 4 hans c
            ...
        hans: ack 1
            yoda < ok 2
        """)
    open_again(book)
    book.play("""
        again: resume 1 hans token-2
            ...
            again < token token-3
            again < ok 1
            again < delivery 2 yoda pc-yoda 3 b
            again < delivery 3 yoda pc-yoda 4 c
        yoda: message 5 hans d
            again < delivery 4 yoda pc-yoda 5 d
        again: ack 4
            yoda < ok 3
            yoda < ok 4
            yoda < ok 5
        """)


def test_what_is_on_disk_by_then_is_read_first() -> None:
    book = playbook()
    book.do("yoda: message 2 hans a")
    book.do("wait 0.05")
    book.do("committed")
    open_again(book)
    book.play("""
        again: resume 1 hans token-2
            hans < closed replaced ...
            close hans
            admit again as hans
            again < token token-3
            load hans
        yoda: message 3 hans b
            commit 2: hans/2
        loaded hans
            again < ok 1
            again < delivery 1 yoda pc-yoda 2 a
            again < delivery 2 yoda pc-yoda 3 b
        """)


def test_a_mailbox_that_is_being_read_for_the_lost_session_is_handed_to_the_next_one() -> None:
    book = Playbook("yoda")
    for line in (
        *("yoda: message 2 hans a", "committed", "open hans", "hans: hello 1 pc resume"),
        *("hans: login 1 hans solo", "right hans"),
    ):
        book.do(line)
    open_again(book)
    book.play("""
        again: resume 1 hans token-2
            hans < closed replaced ...
            close hans
            admit again as hans
            again < token token-3
        loaded hans
            again < ok 1
            again < delivery 1 yoda pc-yoda 2 a
        """)


def test_requests_that_the_lost_session_sent_are_recognised() -> None:
    book = playbook()
    book.play("""
        hans: message 2 yoda a; message 3 luke b; message 4 bob c; message 5 yoda d
            ...
        yoda: ack 1
            hans < ok 2
        """)
    open_again(book)
    book.play("""
        again: resume 1 hans token-2; message 2 yoda a; message 3 luke b; message 4 bob c; message 5 yoda d; message 6 yoda e
            ...
            again < ok 1
            again < ok 2
            again < error unknown_user "Error. Invalid user" 4
            yoda < delivery 4 hans pc 6 e
        committed
            again < ok 3
        yoda: ack 4
            again < ok 5
            again < ok 6
        """)


# -- Who may not -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "user", "token"),
    [
        ("pc", "hans", "token-1"),
        ("pc", "hans", "token-3"),
        ("pc", "hans", "''"),
        ("pc", "hans", "tökén-2"),
        ("pc", "hans", "token-22"),
        ("pc", "yoda", "token-2"),
        ("pc", "nobody", "token-2"),
        ("tablet", "hans", "token-2"),
        ("''", "hans", "token-2"),
    ],
)
def test_it_must_be_the_token_of_that_user_and_that_client(
    client: str, user: str, token: str
) -> None:
    book = playbook()
    open_again(book, client=client)
    book.play(f"""
        again: resume 1 {user} {token}
            {INVALID}
        """)


def test_a_refused_client_may_still_give_the_password() -> None:
    book = playbook()
    book.do("hans: logout 2")
    open_again(book)
    book.play(f"""
        again: resume 1 hans token-2
            {INVALID}
        again: login 2 hans solo
            check again: hans solo
        right again
            admit again as hans
            again < token token-3
            again < ok 2
            yoda < presence hans true
        """)


def test_wrong_tokens_block_no_name_and_wrong_passwords_stop_no_token() -> None:
    book = playbook()
    book.do("open stranger")
    book.do("stranger: hello 1")
    for number in range(1, 10):
        book.play(f"""
            stranger: resume {number} hans guess
                stranger < error invalid_token ...
            """)
    for number in (10, 11, 12):
        book.do(f"stranger: login {number} hans guess")
        book.do("wrong stranger")
    open_again(book)
    book.play("""
        open other
        other: hello 1; login 1 hans solo
            ...
            other < error still_blocked ...
            close other
        again: resume 1 hans token-2
            hans < closed replaced ...
            close hans
            admit again as hans
            again < token token-4
            again < ok 1
        """)


def test_who_is_online_elsewhere_by_now_is_not_replaced() -> None:
    book = playbook()
    for line in (
        "close hans",
        "open tablet",
        "tablet: hello 1 tablet",
        "tablet: login 1 hans solo",
    ):
        book.do(line)
    book.do("right tablet")
    open_again(book)
    book.play("""
        again: resume 1 hans token-2
            again < error already_online ...
            close again
        tablet: logout 2
            ...
        """)
    open_again(book)
    book.play("""
        again: resume 1 hans token-2
            admit again as hans
            ...
        """)


def test_a_login_that_gets_a_token_makes_an_earlier_one_void() -> None:
    book = playbook()
    for line in ("close hans", "open tablet", "tablet: hello 1 tablet resume"):
        book.do(line)
    for line in ("tablet: login 1 hans solo", "right tablet", "close tablet"):
        book.do(line)
    open_again(book)
    book.play(f"""
        again: resume 1 hans token-2
            {INVALID}
        """)


# -- How long a token lasts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "ends",
    [
        ["hans: logout 2"],
        ["wait 599", "yoda: active", "wait 1"],
    ],
    ids=["logout", "idle"],
)
def test_a_logout_ends_it(ends: list[str]) -> None:
    book = playbook(idle_seconds=600)
    for line in ends:
        book.do(line)
    open_again(book)
    book.play(f"""
        again: resume 1 hans token-2
            {INVALID}
        """)


@pytest.mark.parametrize(
    "ends",
    [
        ["close hans"],
        ["fail hans slow"],
        ["fail hans bad_line"],
        ["hans: hello 1"],
        ["hans: whoelse 1"],
    ],
    ids=" ".join,
)
def test_any_other_end_keeps_it(ends: list[str]) -> None:
    book = playbook()
    for line in ends:
        book.do(line)
    open_again(book)
    book.play("""
        again: resume 1 hans token-2
            admit again as hans
            ...
        """)


def test_a_mailbox_that_could_not_be_read_keeps_it() -> None:
    book = playbook()
    for line in ("yoda: message 2 hans a", "wait 0.05", "committed"):
        book.do(line)
    open_again(book)
    book.play("""
        again: resume 1 hans token-2
            ...
            again < token token-3
            load hans
        load failed hans
            again < closed mailbox_unreadable ...
            close again
            yoda < presence hans false
        """)
    open_again(book, "third")
    book.play("""
        third: resume 1 hans token-3
            admit third as hans
            third < token token-4
            load hans
            yoda < presence hans true
        """)


@pytest.mark.parametrize(("seconds", "holds"), [(DAY - 1, True), (DAY, False)])
def test_it_lasts_a_day_after_the_connection_was_lost(seconds: float, holds: bool) -> None:
    book = playbook(idle_seconds=10 * DAY)
    book.do(f"wait {DAY}")
    book.do("close hans")
    book.do(f"wait {seconds}")
    open_again(book)
    answers = book.do("again: resume 1 hans token-2")
    assert (answers == [INVALID]) != holds
    assert ("again < ok 1" in answers) == holds


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize(
    ("users", "changed", "holds"),
    [
        (USERS, set(), True),
        (USERS, {"yoda"}, True),
        (USERS, {"hans"}, False),
        (USERS - {"hans"}, set(), False),
    ],
)
def test_another_password_ends_it_and_so_does_the_end_of_the_account(
    users: frozenset[str], changed: set[str], holds: bool, online: bool
) -> None:
    book = playbook()
    if not online:
        book.do("close hans")
    open_again(book)
    ends = book.handle(UsersChanged(users, frozenset(changed)))
    assert any(line.startswith("hans < closed") for line in ends) == (
        online and "hans" not in users
    )
    answers = book.do("again: resume 1 hans token-2")
    assert (answers == [INVALID]) != holds


def test_a_stopping_server_takes_nobody_back() -> None:
    book = playbook()
    book.do("stop")
    book.play("""
        open again
            close again
        """)


def test_tokens_that_do_not_hold_are_forgotten() -> None:
    tokens = Tokens()
    tokens.give("hans", "pc", 7, "secret")
    tokens.lose("hans", 6, now=0)
    tokens.end("hans", 6)
    assert tokens.find("hans", "pc", "secret", now=10 * DAY) == 7, "those were other sessions"
    tokens.lose("hans", 7, now=5)
    assert tokens.find("hans", "pc", "secret", now=DAY + 5) is None
    assert not tokens._by_user


# -- Too many attempts ---------------------------------------------------------------------------


def test_one_address_has_so_many_logins_a_minute_and_then_has_to_wait() -> None:
    book = playbook()
    per_minute = limits.LOGINS_PER_MINUTE_MAX
    book.do("open stranger 192.0.2.1")
    book.do("stranger: hello 1 pc")
    for number in range(1, per_minute + 1):
        line = f"stranger: {'resume' if number % 2 else 'login'} {number} user{number} guess"
        assert book.do(line)
        if number % 2 == 0:
            book.do("wrong stranger")
    book.play("""
        stranger: login 1000 hans guess; resume 1001 hans guess; resume 1002 hans token-2
            stranger < error too_many_attempts "Too many logins from your address. Please try again in 1 seconds" 1000
            stranger < error too_many_attempts ...
            stranger < error too_many_attempts ...
        open neighbour 192.0.2.2
        neighbour: hello 1; login 1 luke guess
            neighbour < welcome ...
            check neighbour: luke guess
        wait 1
        stranger: login 1003 luke guess
            check stranger: luke guess
        """)
