"""Introductions of clients that want to talk directly (section 3.4, startprivate)."""

from base64 import b64encode

import pytest

from trio_chat.protocol.messages import Introduce, Listening

from .playbook import Playbook

TICKET = "0123456789abcdef" * 2


def _book(*listening: str) -> Playbook:
    """Hans, yoda and luke are online, and some of them listen."""
    book = Playbook("hans", "yoda", "luke")
    for user in listening:
        book.ask(user, Listening(4000 + len(user), f"cert-{user}".encode()))
    return book


def test_both_are_told_and_first_the_one_who_is_to_expect_the_other() -> None:
    _book("hans", "luke").play(f"""
        hans: introduce 2 luke {TICKET}
            luke < introduced hans cert-hans {TICKET} 30.0 private
            hans < introduction 2 127.0.0.1 4004 cert-luke 30.0
        hans: introduce 3 luke {TICKET}
            luke < introduced hans cert-hans {TICKET} 30.0 private
            hans < introduction 3 127.0.0.1 4004 cert-luke 30.0
        """)


def test_impossible_introductions_are_refused() -> None:
    _book("hans", "luke").play(f"""
        hans: introduce 2 hans {TICKET}
            hans < error introduce_self "Error. Cannot start private messaging with self" 2
        hans: introduce 3 bob {TICKET}
            hans < error unknown_user "Error. Invalid user" 3
        hans: introduce 4 vader {TICKET}
            hans < error peer_offline "Error. vader is offline" 4
        hans: introduce 5 yoda {TICKET}
            hans < error peer_not_listening "Error. The client of yoda takes no direct connections; 'message' goes through the server" 5
        yoda: introduce 2 hans {TICKET}
            yoda < error peer_not_listening "Error. The client of yoda takes no direct connections; 'message' goes through the server" 2
        """)


def test_a_user_who_logged_out_is_offline() -> None:
    _book("hans", "luke").play(f"""
        close luke
            hans yoda < presence luke false
        hans: introduce 2 luke {TICKET}
            hans < error peer_offline "Error. luke is offline" 2
        """)


def test_a_blocked_user_is_not_told_whether_the_other_is_online() -> None:
    book = _book("hans", "luke")
    book.do("luke: block 2 hans")
    book.play(f"""
        hans: introduce 2 luke {TICKET}
            hans < error blocked_by_peer "Error. luke has blocked you" 2
        committed
            luke < ok 2
        close luke
            yoda < presence luke false
        hans: introduce 3 luke {TICKET}
            hans < error blocked_by_peer "Error. luke has blocked you" 3
        """)


def test_who_has_blocked_somebody_may_still_be_introduced_to_them() -> None:
    book = _book("hans", "luke")
    book.do("luke: block 2 hans")
    book.play(f"""
        luke: introduce 3 hans {TICKET}
            hans < introduced luke cert-luke {TICKET} 30.0 private
            luke < introduction 3 127.0.0.1 4004 cert-hans 30.0
        """)


@pytest.mark.parametrize(
    ("asker", "user", "address"),
    [
        ("10.0.0.7", "10.0.0.8", "10.0.0.8"),
        ("10.0.0.7", "127.0.0.1", "10.0.0.1"),  # by which hans has reached the server
        ("10.0.0.7", "::1", "10.0.0.1"),
        ("127.0.0.1", "10.0.0.8", "10.0.0.8"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.2", "127.0.0.2"),
        ("2001:db8::7", "2001:db8::8", "2001:db8::8"),
    ],
)
def test_the_address_is_one_at_which_the_asker_can_reach_the_user(
    asker: str, user: str, address: str
) -> None:
    book = Playbook()
    for name, where in (("hans", asker), ("luke", user)):
        book.do(f"open {name} {where}")
        certificate = b64encode(f"cert-{name}".encode()).decode()
        book.do(f"{name}: hello 1 pc; listening 4000 {certificate}; login 1 {name} secret")
        book.do(f"right {name}")
    book.play(f"""
        hans: introduce 2 luke {TICKET}
            luke < introduced hans cert-hans {TICKET} 30.0 private
            hans < introduction 2 {address} 4000 cert-luke 30.0
        """)


def test_what_a_client_said_last_holds() -> None:
    book = _book("hans", "luke")
    assert book.ask("luke", Listening(5000, b"another")) == []
    assert book.ask("hans", Introduce(2, "luke", TICKET)) == [
        f"luke < introduced hans cert-hans {TICKET} 30.0 private",
        "hans < introduction 2 127.0.0.1 5000 another 30.0",
    ]


def test_neither_listening_nor_asking_shows_that_a_user_is_there() -> None:
    """Clients do both by themselves, for files; they tell of what a person types."""
    book = Playbook("hans", "luke", idle_seconds=60)
    book.do("wait 40")
    book.ask("luke", Listening(4000, b"cert-luke"))
    book.ask("hans", Listening(4000, b"cert-hans"))
    book.do(f"hans: introduce 2 luke {TICKET}")
    book.play("""
        wait 20
            hans < closed idle "You have been logged out after 60 seconds without activity"
            close hans
            luke < presence hans false
            luke < closed idle "You have been logged out after 60 seconds without activity"
            close luke
        """)


def test_an_introduction_has_a_number_like_other_requests() -> None:
    _book("hans", "luke").play(f"""
        hans: introduce 1 luke {TICKET}
            hans < error id_not_increasing ...
            close hans
            ...
        """)


def test_nobody_is_introduced_before_their_login() -> None:
    Playbook("luke").play(f"""
        open hans
        hans: hello 1
            ...
        hans: introduce 1 luke {TICKET}
            hans < error wrong_phase ...
            close hans
        """)
