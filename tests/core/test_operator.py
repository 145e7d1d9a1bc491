"""What the operator orders, and what follows from the end of an account."""

from __future__ import annotations

from trio_chat.core import orders
from trio_chat.core.commands import Operate, UsersChanged
from trio_chat.core.orders import Order, Outcome, Problem
from trio_chat.protocol.messages import File, Register

from .playbook import USERS, Playbook

KICKED = "You have been logged out by the operator of the server"
REMOVED = "You have been logged out as your account was removed"
FILE = File("a.bin", 1000, 10, 16384, bytes(32))
ALL = tuple(range(1, 11))


def order(book: Playbook, what: Order) -> list[str]:
    return book.handle(Operate(7, what))


def outcome(problem: Problem = "", **counts: int) -> str:
    return f"operated 7: {Outcome(problem, **counts)}"


def come(book: Playbook, user: str) -> None:
    """Log in with a client that asks for a token and knows the newer codes."""
    for line in (
        f"open {user}",
        f"{user}: hello 1 pc-{user} resume codes; login 1 {user} secret",
        f"right {user}",
    ):
        book.do(line)


def test_who_is_kicked_is_told_and_does_not_come_back_with_a_token() -> None:
    book = Playbook("yoda")
    come(book, "hans")
    assert order(book, orders.Kick("hans")) == [
        f'hans < closed kicked "{KICKED}"',
        "close hans",
        "yoda < presence hans false",
        outcome(users=1),
    ]
    book.do("open again")
    assert (
        "invalid_token" in book.do("again: hello 1 pc-hans resume codes; resume 1 hans token-2")[1]
    )
    assert order(book, orders.Kick("hans")) == [outcome(problem="not_online")]


def test_an_older_client_is_told_a_code_after_which_it_stays_away() -> None:
    book = Playbook("hans")
    assert order(book, orders.Kick("hans", "be polite"))[0] == (
        f'hans < closed idle "{KICKED}: be polite"'
    )


def test_everybody_online_hears_an_announcement_of_nobody_who_could_be_a_user() -> None:
    book = Playbook("hans", "yoda")
    assert order(book, orders.Announce("Back at noon", "5f0c")) == [
        'hans yoda < announcement "the operator" 5f0c 1 "Back at noon" true',
        outcome(users=2),
    ]
    assert order(Playbook(), orders.Announce("Back at noon", "5f0c")) == [outcome(users=0)]


def test_while_logins_are_off_nobody_comes_and_nobody_has_to_go() -> None:
    book = Playbook("yoda")
    come(book, "hans")
    assert order(book, orders.SetLogins(False, "Back at noon")) == [outcome()]
    assert book.broker.statistics.logins_off == "Back at noon"
    book.do("open luke")
    book.play("""
        luke: hello 1 pc codes; login 1 luke secret
            luke < welcome 1 trio-chat/0.1.0 [unregister]
            luke < error logins_off "Back at noon" 1
            close luke
        open old
        old: hello 1 pc; login 1 luke secret
            old < welcome 1 trio-chat/0.1.0 [unregister]
            old < error login_busy "Back at noon" 1
            close old
        open hans-again
        hans-again: hello 1 pc-hans codes; resume 1 hans token-2
            hans-again < welcome 1 trio-chat/0.1.0 [unregister]
            hans-again < ok 1
            hans < closed replaced ...
            close hans
            admit hans-again as hans
        """)
    assert order(book, orders.SetLogins(True)) == [outcome()]
    assert book.broker.statistics.logins_off == ""
    assert "luke < ok 1" in book.do("log in luke")


def test_who_is_gone_comes_back_with_a_token_only_when_logins_are_on() -> None:
    book = Playbook("yoda")
    come(book, "hans")
    book.do("close hans")
    order(book, orders.SetLogins(False))
    book.do("open again")
    answers = book.do("again: hello 1 pc-hans codes; resume 1 hans token-2")
    assert answers[1].startswith('again < error logins_off "The server lets nobody log in')


def test_a_password_that_was_being_checked_lets_nobody_in_after_that() -> None:
    book = Playbook("hans")
    book.do("open luke")
    book.do("luke: hello 1 pc codes; login 1 luke secret")
    order(book, orders.SetLogins(False))
    assert book.do("right luke")[0].startswith("luke < error logins_off")


def test_a_name_is_removed_from_the_catalogue_whoever_holds_it() -> None:
    book = Playbook("hans", "yoda")
    book.ask("hans", Register(2, FILE, ALL))
    book.do("committed")
    book.ask("yoda", Register(2, FILE, ALL))
    assert order(book, orders.RemoveFiles("a.bin")) == ["commit 2: -a.bin"]
    assert book.do("committed") == [outcome(files=1)]
    assert order(book, orders.RemoveFiles("a.bin")) == [outcome(problem="no_file")]
    assert book.do("yoda: search 3 a.bin") == ["yoda < found 3 none []"]


def test_all_names_of_a_user_are_removed_or_none_if_the_disk_fails() -> None:
    book = Playbook("hans", "yoda")
    for number, name in enumerate("abc", 2):
        user = "yoda" if name == "c" else "hans"
        book.ask(user, Register(number, File(name, 0, 0, 1, bytes(32)), ()))
        book.do("committed")
    assert order(book, orders.RemoveFiles(owner="hans")) == ["commit 4: -a -b"]
    assert book.do("commit failed") == [outcome(problem="not_stored")]
    order(book, orders.RemoveFiles(owner="hans"))
    assert book.do("committed") == [outcome(files=2)]
    assert list(book.store.files) == ["c"]


# -- The end of an account ---------------------------------------------------------------------


def without(*users: str) -> UsersChanged:
    return UsersChanged(USERS - {*users})


def test_the_session_of_a_user_whose_account_is_gone_ends() -> None:
    book = Playbook("yoda")
    come(book, "hans")
    assert book.handle(without("hans")) == [
        f'hans < closed account_removed "{REMOVED}"',
        "close hans",
        "yoda < presence hans false",
    ]
    assert book.handle(without("hans", "yoda"))[0] == f'yoda < closed idle "{REMOVED}"'


def test_who_is_removed_while_the_password_is_checked_does_not_get_in() -> None:
    book = Playbook("yoda")
    book.do("open hans")
    book.do("hans: hello 1 pc; login 1 hans solo")
    book.handle(without("hans"))
    assert book.do("right hans")[0].startswith("hans < error invalid_password")


def test_whoever_was_blocked_may_be_unblocked_though_they_are_gone() -> None:
    book = Playbook("yoda")
    book.do("yoda: block 2 vader")
    book.do("committed")
    book.handle(without("vader"))
    assert book.do("yoda: block 3 vader") == ['yoda < error unknown_user "Error. Invalid user" 3']
    assert book.do("yoda: unblock 4 vader") == ["commit 2: yoda=vader"]
    assert book.do("yoda: unblock 5 vader") == ['yoda < error unknown_user "Error. Invalid user" 5']


def test_a_change_of_the_accounts_alone_deletes_nothing() -> None:
    book = Playbook("hans", "yoda")
    book.do("hans: message 2 luke hello")
    book.do("committed")
    book.handle(without("luke"))
    book.handle(without())
    book.do("log in luke")
    assert "luke < delivery 1 hans pc-hans 2 hello" in book.do("loaded luke")


def test_what_is_kept_of_a_forgotten_user_is_deleted() -> None:
    book = Playbook("hans", "yoda", "luke")
    book.ask("luke", Register(2, FILE, ALL))
    for line in ("committed", "luke: block 3 vader", "committed", "yoda: block 2 luke"):
        book.do(line)
    for line in (
        "committed",
        "close luke",
        "hans: message 2 luke a; message 3 luke b",
        "committed",
    ):
        book.do(line)
    kept = {"messages": 2, "blocks": 2, "files": 1}
    assert order(book, orders.ForgetUser("luke")) == [outcome(problem="has_account")]
    book.handle(without("luke"))
    assert order(book, orders.ForgetUser("luke", keep=True)) == [outcome("", **kept)]
    assert order(book, orders.ForgetUser("luke")) == [
        "commit 5: -luke/2 luke=vader yoda=luke -a.bin"
    ]
    assert book.do("committed") == [outcome("", **kept)]
    book.handle(without())
    assert book.do("log in luke")[-1] != "load luke"
    assert book.store.read("luke") == () and not book.store.blocks and not book.store.files
    assert order(book, orders.ForgetUser("nobody")) == ["commit 6: "]
    assert book.do("committed") == [outcome()]


def test_a_sender_is_answered_before_the_mail_of_a_removed_user_goes() -> None:
    book = Playbook("hans", "luke")
    book.do("hans: message 2 luke a")
    book.handle(without("luke"))
    assert order(book, orders.ForgetUser("luke")) == [outcome(problem="busy")]
    book.do("wait 0.05")
    assert order(book, orders.ForgetUser("luke")) == [outcome(problem="busy")]
    assert book.do("committed") == ["hans < ok 2"]
    assert order(book, orders.ForgetUser("luke")) == ["commit 2: -luke/1"]
    assert book.do("committed") == [outcome(messages=1)]


def test_a_deletion_that_fails_is_told_and_done_later() -> None:
    book = Playbook("hans")
    book.do("hans: message 2 luke a")
    book.do("committed")
    book.handle(without("luke"))
    order(book, orders.ForgetUser("luke"))
    assert book.do("commit failed") == [outcome(problem="not_stored")]
    assert book.do("wait 1") == ["commit 3: -luke/1"]
    book.do("committed")
    assert book.store.read("luke") == ()


def test_a_name_that_others_hold_outlives_its_owner() -> None:
    book = Playbook("hans", "yoda")
    book.ask("hans", Register(2, FILE, ALL))
    book.do("committed")
    book.ask("yoda", Register(2, FILE, (1,)))
    book.handle(without("hans"))
    assert order(book, orders.ForgetUser("hans")) == ["commit 2: yoda+a.bin"]
    assert book.do("committed") == [outcome(files=1)]
