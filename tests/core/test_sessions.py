"""The phases of a session, its deadlines, and how it ends (section 3.1, timeout)."""

import pytest

from trio_chat.core.broker import Broker
from trio_chat.core.commands import SessionOpened
from trio_chat.core.sessions import Phase
from trio_chat.protocol import messages as wire

from .playbook import Playbook


def test_a_session_without_login_ends_after_two_minutes_whatever_it_did() -> None:
    Playbook().play("""
        open a
        open b
        wait 100
        b: hello 1
            ...
        b: login 1 hans solo
            check b: hans solo
        wait 19.9
        wait 0.1
            a < closed login_timeout "Login took longer than 120 seconds. Please start again"
            close a
            b < closed login_timeout "Login took longer than 120 seconds. Please start again"
            close b
        right b
        deadline
            in inf
        """)


def test_the_two_minutes_begin_when_it_connected() -> None:
    broker = Playbook().broker
    broker.handle(SessionOpened(1, "pc", "token", "127.0.0.1", "127.0.0.1", waited=30.0), 1000.0)
    assert broker.next_deadline() == 1090.0


def test_a_user_without_requests_is_logged_out() -> None:
    book = Playbook("yoda", "hans", idle_seconds=30)
    book.play("""
        wait 20
        yoda: whoelse 2
            ...
        wait 9.9
        wait 0.1
            hans < closed idle "You have been logged out after 30 seconds without activity"
            close hans
            yoda < presence hans false
        wait 19.9
        wait 0.1
            yoda < closed idle ...
            close yoda
        """)


def test_an_idle_time_longer_than_the_login_time_is_kept() -> None:
    Playbook("yoda", idle_seconds=500).play("""
        wait 499.9
        deadline
            in 0.1
        wait 0.1
            yoda < closed idle ...
            close yoda
        """)


def test_receiving_and_acknowledging_do_not_count_as_activity() -> None:
    book = Playbook("yoda", "hans", idle_seconds=30)
    book.play("""
        wait 20
        hans: message 2 yoda hey
            yoda < delivery 1 hans pc-hans 2 hey
        yoda: ack 1
            hans < ok 2
        wait 10
            yoda < closed idle ...
            close yoda
            hans < presence yoda false
        """)


def test_what_a_client_asks_by_itself_does_not_count_as_activity() -> None:
    book = Playbook("yoda", idle_seconds=30)
    book.do("wait 20")
    assert book.ask("yoda", wire.WhoElse(2, unasked=True)) == ["yoda < users 2 []"]
    book.play("""
        wait 10
            yoda < closed idle ...
            close yoda
        """)


@pytest.mark.parametrize(
    "request_line",
    [
        "active",
        "whoelse 2",
        "message 2 nobody hey",
        "broadcast 2 hey",
        "whoelsesince 2 5",
        "block 2 yoda",
    ],
)
def test_every_command_counts_as_activity_refused_or_not(request_line: str) -> None:
    book = Playbook("yoda", idle_seconds=30)
    book.do("wait 20")
    book.do(f"yoda: {request_line}")
    book.play("""
        wait 29.9
        wait 0.1
            yoda < closed idle ...
            close yoda
        """)


def test_one_who_is_busy_all_the_time_is_never_logged_out() -> None:
    book = Playbook("yoda", idle_seconds=30)
    for number in range(20):
        book.do("wait 25")
        book.play(f"""
            yoda: whoelse {number + 2}
                yoda < users {number + 2} []
            """)


WRONG_PHASES = [
    (phase, tag)
    for phase, allowed in {
        Phase.GREETING: {"hello"},
        Phase.LOGIN: {"login", "resume"},
        Phase.CHECKING: set(),
        Phase.ONLINE: {
            "message",
            "broadcast",
            "whoelse",
            "whoelsesince",
            "block",
            "unblock",
            "logout",
            "ack",
            "active",
        },
    }.items()
    for tag in (
        "hello",
        "login",
        "resume",
        "message",
        "broadcast",
        "whoelse",
        "whoelsesince",
        "block",
        "unblock",
        "logout",
        "ack",
        "active",
    )
    if tag not in allowed
]

LINES = {
    "hello": "hello 1",
    "login": "login 5 hans solo",
    "resume": "resume 5 hans token-1",
    "message": "message 5 yoda hey",
    "broadcast": "broadcast 5 hey",
    "whoelse": "whoelse 5",
    "whoelsesince": "whoelsesince 5 5",
    "block": "block 5 yoda",
    "unblock": "unblock 5 yoda",
    "logout": "logout 5",
    "ack": "ack 5",
    "active": "active",
}


def playbook_in(phase: Phase) -> Playbook:
    """With a connection "a" that has come as far as this phase."""
    book = Playbook()
    steps = ["open a", "a: hello 1", "a: login 1 hans solo", "right a"]
    for step in steps[: list(Phase).index(phase) + 1]:
        book.do(step)
    return book


@pytest.mark.parametrize(("phase", "tag"), WRONG_PHASES)
def test_a_request_in_the_wrong_phase_ends_the_session(phase: Phase, tag: str) -> None:
    playbook_in(phase).play(f"""
        a: {LINES[tag]}
            a < error wrong_phase "Protocol error. '{tag}' is not allowed in phase '{phase.value}'" none
            close a
        """)


@pytest.mark.parametrize(
    ("phase", "tag"),
    [
        (phase, tag)
        for phase in (Phase.GREETING, Phase.LOGIN, Phase.ONLINE)
        for tag in LINES
        if (phase, tag) not in WRONG_PHASES
    ],
)
def test_a_request_in_its_phase_is_handled(phase: Phase, tag: str) -> None:
    answers = playbook_in(phase).do(f"a: {LINES[tag]}")
    assert not any("wrong_phase" in line for line in answers)


def test_every_request_has_a_handler() -> None:
    handled = {kind for allowed in Broker._REQUESTS.values() for kind in allowed}
    assert handled == set(wire.Request.__args__)


def test_another_version_ends_the_session() -> None:
    Playbook().play("""
        open a
        a: hello 2
            a < error wrong_version "Protocol error. This server speaks version 1, the client version 2. Please update the older one" none
            close a
        """)


@pytest.mark.parametrize("number", [7, 6])
def test_request_numbers_must_increase(number: int) -> None:
    book = Playbook("hans", "yoda")
    book.do("hans: whoelse 7")
    book.play(f"""
        hans: message {number} yoda hey
            hans < error id_not_increasing "Protocol error. Request numbers must increase; {number} came after 7" none
            close hans
            yoda < presence hans false
        """)


def test_what_follows_the_end_of_a_session_is_ignored() -> None:
    Playbook("hans", "yoda").play("""
        hans: logout 2; message 3 yoda hey; whoelse 2
            hans < ok 2
            close hans
            yoda < presence hans false
        hans: whoelse 9
        fail hans slow
        close hans
        """)


def test_a_batch_is_answered_in_order() -> None:
    Playbook("hans", "yoda").play("""
        hans: whoelse 2; message 3 yoda a; ack 0; active; broadcast 4 b
            hans < users 2 [yoda]
            yoda < delivery 1 hans pc-hans 3 a
            yoda < announcement hans pc-hans 4 b
            hans < sent 4 true
        """)


def test_nothing_is_handled_while_the_password_is_checked() -> None:
    Playbook().play("""
        open a
        a: hello 1; login 1 hans solo; whoelse 2
            a < welcome 1 trio-chat/0.1.0 [unregister]
            a < error wrong_phase ...
            check a: hans solo
            close a
        """)


def test_a_session_that_failed_is_told_why() -> None:
    Playbook("hans", "yoda", "luke").play("""
        fail hans slow
            hans < closed slow Enough
            close hans
            yoda luke < presence hans false
        fail yoda bad_line
            yoda < error bad_line Enough none
            close yoda
            luke < presence yoda false
        """)


def test_who_is_logged_in_on_a_session_can_be_asked() -> None:
    book = Playbook("hans")
    book.do("open a")
    assert [book.broker.user_of(session) for session in (1, 2, 3)] == ["hans", "", ""]


def test_deadlines_of_those_who_are_gone_do_not_gather() -> None:
    book = Playbook("hans", "yoda", idle_seconds=1e9)
    for _ in range(1000):
        book.do("log in luke")
        book.do("close luke")
    sessions = book.broker._sessions
    assert len(sessions._deadlines) < 200
    book.play("""
        wait 999999998
        yoda: active
        wait 2
            hans < closed idle ...
            close hans
            yoda < presence hans false
        """)
