"""Who is online, who was, and who is told (section 3.1, presence; 3.3, whoelse)."""

import pytest

from trio_chat import limits
from trio_chat.core.presence import Presence
from trio_chat.protocol.framing import encode_line
from trio_chat.protocol.messages import Users

from .playbook import Playbook


def test_everybody_else_is_told_of_a_login_and_a_logout() -> None:
    Playbook("hans", "yoda").play("""
        log in luke
            ...
            admit luke as luke
            luke < ok 1
            hans yoda < presence luke true
        luke: logout 2
            luke < ok 2
            close luke
            hans yoda < presence luke false
        """)


def test_everybody_else_is_told_when_a_connection_is_lost() -> None:
    Playbook("hans", "yoda").play("""
        close hans
            yoda < presence hans false
        close hans
        yoda: whoelse 2
            yoda < users 2 []
        """)


def test_users_blocked_by_somebody_learn_nothing_of_their_presence() -> None:
    book = Playbook("hans", "yoda", "luke")
    book.do("luke: block 2 hans")
    book.play("""
        luke: logout 3
            luke < ok 3
            close luke
            yoda < presence luke false
        log in luke
            ...
            yoda < presence luke true
        """)


def test_who_has_blocked_somebody_still_learns_of_their_presence() -> None:
    book = Playbook("hans", "luke")
    book.do("luke: block 2 hans")
    book.play("""
        hans: logout 2
            hans < ok 2
            close hans
            luke < presence hans false
        log in hans
            ...
            luke < presence hans true
        """)


def test_after_an_unblock_presence_is_told_again() -> None:
    book = Playbook("hans", "luke")
    book.do("luke: block 2 hans")
    book.do("luke: unblock 3 hans")
    book.play("""
        close luke
            hans < presence luke false
        """)


def test_whoelse_lists_all_others_in_order_of_login_whoever_blocks_whom() -> None:
    book = Playbook("luke", "hans", "yoda")
    book.do("luke: block 2 hans")
    book.play("""
        hans: whoelse 2
            hans < users 2 [luke yoda]
        luke: whoelse 3
            luke < users 3 [hans yoda]
        """)


def test_whoelse_does_not_list_those_who_have_not_logged_in() -> None:
    book = Playbook("hans")
    book.do("open yoda")
    book.do("yoda: hello 1")
    book.do("yoda: login 1 yoda wise")
    book.play("""
        hans: whoelse 2
            hans < users 2 []
        """)


def test_whoelsesince_lists_who_was_online_at_any_moment_as_in_the_assignment() -> None:
    """Case 5 of section 8: vader left 2 minutes ago, r2d2 left 5 minutes ago."""
    book = Playbook("r2d2")
    book.do("wait 300")
    for line in ("close r2d2", "log in vader", "wait 180", "close vader", "wait 120"):
        book.do(line)
    for user in ("hans", "yoda", "luke"):
        book.do(f"log in {user}")
    book.play("""
        luke: whoelsesince 2 200
            luke < users 2 [hans yoda vader]
        luke: whoelsesince 3 500
            luke < users 3 [hans yoda vader r2d2]
        luke: whoelsesince 4 1000000
            luke < users 4 [hans yoda vader r2d2]
        """)


def test_whoelsesince_includes_those_who_left_exactly_then() -> None:
    book = Playbook("hans", "vader")
    book.do("close vader")
    book.do("wait 10")
    book.play("""
        hans: whoelsesince 2 9.99
            hans < users 2 []
        hans: whoelsesince 3 10
            hans < users 3 [vader]
        """)


def test_whoelsesince_zero_lists_those_online_now() -> None:
    book = Playbook("hans", "yoda", "vader")
    book.do("close vader")
    book.do("wait 1")
    book.play("""
        hans: whoelsesince 2 0
            hans < users 2 [yoda]
        """)


def test_whoelsesince_excludes_the_asker_who_was_here_before() -> None:
    book = Playbook("hans", "yoda")
    for line in ("close hans", "wait 1", "close yoda", "log in hans"):
        book.do(line)
    book.play("""
        hans: whoelsesince 2 60
            hans < users 2 [yoda]
        """)


def test_whoelsesince_knows_long_sessions_that_began_before_the_time_asked_for() -> None:
    book = Playbook("yoda", idle_seconds=10_000)
    book.do("wait 5000")
    book.do("log in hans")
    book.play("""
        hans: whoelsesince 2 1
            hans < users 2 [yoda]
        """)


@pytest.mark.parametrize("request_line", ["whoelse 2", "whoelsesince 2 60"])
def test_a_list_that_does_not_fit_a_line_is_refused(
    request_line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "USERS_UNMEASURED_MAX", 2)
    book = Playbook("hans", "yoda", "luke", "vader")
    fits = len(encode_line(Users(2, ("yoda", "luke", "vader")))) + 1  # and its newline
    monkeypatch.setattr(limits, "SERVER_LINE_BYTES_MAX", fits)
    book.play(f"""
        hans: {request_line}
            hans < users 2 [yoda luke vader]
        """)
    monkeypatch.setattr(limits, "SERVER_LINE_BYTES_MAX", fits - 1)
    book.play(f"""
        hans: {request_line.replace("2", "3", 1)}
            hans < error too_many_users ...
        close vader
            ...
        hans: whoelse 4
            hans < users 4 [yoda luke]
        """)


def test_history_does_not_list_the_user_who_asks_after_leaving() -> None:
    presence = Presence()
    for user, session in (("hans", 1), ("yoda", 2)):
        presence.log_in(user, session)
        presence.log_out(user, 5.0)
    assert presence.others_since("yoda", 5.0) == ("hans",)


def test_one_user_has_one_session() -> None:
    presence = Presence()
    presence.log_in("hans", 1)
    with pytest.raises(AssertionError):
        presence.log_in("hans", 2)


def test_who_goes_on_in_another_session_keeps_their_place() -> None:
    presence = Presence()
    for session, user in enumerate(("hans", "yoda"), 1):
        presence.log_in(user, session)
    presence.move("hans", 7)
    assert list(presence.online.items()) == [("hans", 7), ("yoda", 2)]
    assert presence.others_since("yoda", 0) == ("hans",)
