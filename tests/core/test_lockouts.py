"""Login, and what three wrong passwords in a row do (section 3.1, user authentication)."""

import pytest

from trio_chat import limits
from trio_chat.core.lockouts import Lockouts

from .playbook import Playbook


def test_right_password_logs_in() -> None:
    Playbook("yoda").play("""
        open hans
        hans: hello 1 laptop
            hans < welcome 1 trio-chat/0.1.0 [unregister]
        hans: login 1 hans solo
            check hans: hans solo
        right hans
            admit hans as hans
            hans < ok 1
            yoda < presence hans true
        """)


def test_third_wrong_password_closes_the_connection_and_blocks_the_name() -> None:
    Playbook().play("""
        open a
        a: hello 1
            ...
        a: login 1 yoda weird
            check a: yoda weird
        wrong a
            a < error invalid_password "Invalid Password. Please try again" 1
        a: login 2 yoda green
            check a: yoda green
        wrong a
            a < error invalid_password "Invalid Password. Please try again" 2
        a: login 3 yoda password
            check a: yoda password
        wrong a
            a < error now_blocked "Invalid Password. Your account has been blocked. Please try again later" 3
            close a
        open b
        b: hello 1
            ...
        b: login 1 yoda wise
            b < error still_blocked "Your account is blocked due to multiple login failures. Please try again later" 1
            close b
        """)


def attempts(book: Playbook, user: str, *results: str) -> None:
    """Log in as this user, each time on a new connection."""
    for result in results:
        book.do("open guess")
        book.do("guess: hello 1")
        book.do(f"guess: login 1 {user} guess")
        book.do(f"{result} guess")
        book.do("close guess")


BLOCKED = """
    open a
    a: hello 1
        ...
    a: login 1 {user} right
        a < error still_blocked "Your account is blocked due to multiple login failures. Please try again later" 1
        close a
    """

NOT_BLOCKED = """
    open a
    a: hello 1
        ...
    a: login 1 {user} right
        check a: {user} right
    """


@pytest.mark.parametrize("user", ["yoda", "nobody"])
def test_failures_count_over_connections_for_names_with_and_without_account(user: str) -> None:
    book = Playbook()
    attempts(book, user, "wrong", "wrong", "wrong")
    book.play(BLOCKED.format(user=user))


def test_success_resets_the_count() -> None:
    book = Playbook()
    attempts(book, "yoda", "wrong", "wrong", "right", "wrong", "wrong")
    book.play(NOT_BLOCKED.format(user="yoda"))


def test_names_are_counted_apart_and_case_sensitive() -> None:
    book = Playbook()
    attempts(book, "yoda", "wrong", "wrong")
    attempts(book, "Yoda", "wrong", "wrong")
    book.play(NOT_BLOCKED.format(user="yoda"))


@pytest.mark.parametrize("user", ["yoda", "nobody"])
def test_block_ends_after_exactly_its_seconds(user: str) -> None:
    book = Playbook(block_seconds=60)
    attempts(book, user, "wrong", "wrong", "wrong")
    book.do("wait 59.999")
    book.play(BLOCKED.format(user=user))
    book.do("wait 0.001")
    book.play(NOT_BLOCKED.format(user=user))


def test_after_a_block_three_new_failures_are_needed() -> None:
    book = Playbook(block_seconds=60)
    attempts(book, "yoda", "wrong", "wrong", "wrong")
    book.do("wait 60")
    attempts(book, "yoda", "wrong", "wrong")
    book.play(NOT_BLOCKED.format(user="yoda"))


def test_trying_while_blocked_does_not_make_it_longer() -> None:
    book = Playbook(block_seconds=60)
    attempts(book, "yoda", "wrong", "wrong", "wrong")
    book.do("wait 59")
    book.play(BLOCKED.format(user="yoda"))
    book.do("wait 1")
    book.play(NOT_BLOCKED.format(user="yoda"))


def test_parallel_guesses_are_judged_one_by_one() -> None:
    book = Playbook()
    for name in "abcde":
        book.do(f"open {name}")
        book.do(f"{name}: hello 1")
        book.do(f"{name}: login 1 yoda guess-{name}")
    book.do("wrong a")
    book.do("close c")
    book.play("""
        wrong b
            b < error invalid_password "Invalid Password. Please try again" 1
        wrong c
        right d
            d < error still_blocked "Your account is blocked due to multiple login failures. Please try again later" 1
            close d
        wrong e
            e < error still_blocked "Your account is blocked due to multiple login failures. Please try again later" 1
            close e
        """)


def test_guesses_on_connections_that_are_gone_change_nothing_once_blocked() -> None:
    book = Playbook()
    for name in "abcd":
        book.do(f"open {name}")
        book.do(f"{name}: hello 1")
        book.do(f"{name}: login 1 yoda guess-{name}")
        book.do(f"close {name}")
    book.play("""
        wrong a
        wrong b
        wrong c
        right d
        """)
    book.play(BLOCKED.format(user="yoda"))


def test_right_password_on_a_connection_that_is_gone_logs_nobody_in() -> None:
    Playbook("hans").play("""
        open a
        a: hello 1
            ...
        a: login 1 yoda wise
            ...
        close a
        right a
        hans: whoelse 2
            hans < users 2 []
        """)


def test_second_login_of_a_user_who_is_online_is_denied() -> None:
    Playbook("yoda").play("""
        open b
        b: hello 1
            ...
        b: login 1 yoda wise
            check b: yoda wise
        right b
            b < error already_online "Your account is already logged in elsewhere. Log out there first, then try again" 1
            close b
        yoda: whoelse 2
            yoda < users 2 []
        """)


def test_of_two_logins_at_the_same_time_one_succeeds() -> None:
    Playbook().play("""
        open a
        open b
        a: hello 1
            ...
        b: hello 1
            ...
        a: login 1 yoda wise
            ...
        b: login 1 yoda wise
            ...
        right b
            admit b as yoda
            b < ok 1
        right a
            a < error already_online ...
            close a
        """)


def test_blocked_names_without_account_are_bounded_and_the_oldest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FAILED_NAMES_MAX", 2)
    lockouts = Lockouts({"yoda"}, 60)
    for name in ("yoda", "a", "b", "c"):
        for _ in range(3):
            lockouts.fail(name, 0)
    blocked = [name for name in ("yoda", "a", "b", "c") if lockouts.is_blocked(name, 0)]
    assert blocked == ["yoda", "b", "c"]


def test_how_counts_are_forgotten_does_not_tell_real_names_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FAILED_NAMES_MAX", 3)
    lockouts = Lockouts({"yoda", "hans"}, 60)
    candidates = ("yoda", "nobody", "somebody", "hans")
    for name in (*candidates, *candidates):
        assert not lockouts.fail(name, 0)
    for number in range(3):
        lockouts.fail(f"random{number}", 0)
    assert [lockouts.fail(name, 0) for name in candidates] == [False] * 4
    assert len(lockouts._counts) == 3


def test_endless_names_are_cut_before_they_are_kept_and_never_to_a_real_one() -> None:
    longest = "x" * limits.NAME_BYTES_MAX
    lockouts = Lockouts({longest}, 60)
    for ending in "abc":
        lockouts.fail(longest + "x" + ending, 0)
    assert lockouts.is_blocked(longest + "x", 0)
    assert not lockouts.is_blocked(longest, 0)


def test_failures_stay_counted_when_accounts_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FAILED_NAMES_MAX", 2)
    lockouts = Lockouts({"hans"}, 60)
    for name in ("hans", "luke"):
        for _ in range(limits.LOGIN_FAILURES_MAX):
            lockouts.fail(name, 0)
    lockouts.fail("vader", 0)
    lockouts.change_users({"luke", "vader"})
    assert not lockouts.fail("vader", 0)
    assert lockouts.fail("vader", 0)
    assert lockouts.is_blocked("hans", 59)
    for number in range(2):
        for _ in range(limits.LOGIN_FAILURES_MAX):
            lockouts.fail(f"stranger{number}", 0)
    assert not lockouts.is_blocked("hans", 59), "the oldest of the strangers by now"
    assert lockouts.is_blocked("luke", 59)
    assert not lockouts.is_blocked("luke", 60)


def test_accounts_that_go_all_at_once_are_not_all_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FAILED_NAMES_MAX", 2)
    names = [f"user{number}" for number in range(5)]
    lockouts = Lockouts(names, 60)
    for name in names:
        for _ in range(limits.LOGIN_FAILURES_MAX):
            lockouts.fail(name, 0)
    lockouts.change_users({"hans"})
    assert len(lockouts._unknown_blocked) == 2
    assert not lockouts._blocked
