"""Files: what is registered, and who is said to hold what (section 3.5)."""

from __future__ import annotations

import pytest

from tests.test_text import HARMLESS
from trio_chat import limits
from trio_chat.core.beginning import Restored, Settings
from trio_chat.core.broker import Broker
from trio_chat.core.catalogue import Catalogue
from trio_chat.protocol.messages import File, Register, Search, Unregister

from .playbook import Playbook

ROOT = bytes(range(32))
ALL = tuple(range(1, 11))


def file(name: str = "a.bin", size: int = 1000, root: bytes = ROOT) -> File:
    return File(name, size, min(size, 10), 16384, root)


def registered(book: Playbook, user: str, name: str = "a.bin") -> None:
    """A user has registered a file, and holds all of it."""
    book.ask(user, Register(90, file(name), ALL))
    if not book.do("stopped"):
        raise AssertionError
    if name not in book.store.files:
        book.do("committed")


def test_a_new_file_is_confirmed_when_it_is_on_disk() -> None:
    book = Playbook("hans")
    assert book.ask("hans", Register(2, file(), ALL)) == ["commit 1: hans+a.bin"]
    assert book.do("committed") == ["hans < registered 2 true"]
    assert book.store.restore().files == (("hans", file()),)


def test_the_same_bytes_again_make_one_more_holder() -> None:
    book = Playbook("hans", "yoda")
    registered(book, "hans")
    assert book.ask("yoda", Register(2, file(), ALL)) == ["yoda < registered 2 false"]
    assert book.ask("hans", Search(91, "a.bin")) == [
        "hans < found 91 a.bin [hans:1:2:3:4:5:6:7:8:9:10 yoda:1:2:3:4:5:6:7:8:9:10]"
    ]


@pytest.mark.parametrize("other", [file(root=bytes(32)), file(size=1001)])
def test_other_bytes_under_the_same_name_are_refused(other: File) -> None:
    book = Playbook("hans", "yoda")
    registered(book, "hans")
    assert book.ask("yoda", Register(2, other, ALL)) == [
        "yoda < error file_differs"
        ' "Error. Another file is registered as a.bin already. Please rename yours" 2'
    ]
    assert book.ask("yoda", Search(3, "a.bin")) == [
        "yoda < found 3 a.bin [hans:1:2:3:4:5:6:7:8:9:10]"
    ]


def test_a_second_registration_waits_for_the_commit_of_the_first() -> None:
    book = Playbook("hans", "yoda")
    assert book.ask("hans", Register(2, file(), ALL)) == ["commit 1: hans+a.bin"]
    assert book.ask("yoda", Register(2, file(), ALL)) == []
    assert book.do("committed") == ["hans < registered 2 true", "commit 2: hans+a.bin"]
    assert book.do("committed") == ["yoda < registered 2 false"]
    assert book.store.restore().files == (("hans", file()),)


def test_what_cannot_be_kept_is_not_registered() -> None:
    book = Playbook("hans", "yoda")
    book.ask("hans", Register(2, file(), ALL))
    book.ask("yoda", Register(2, file(), ALL))
    refusal = (
        'error not_stored "Error. The server could not store this, so it may not last.'
        ' Please try again later" 2'
    )
    assert book.do("commit failed") == [f"hans < {refusal}", f"yoda < {refusal}"]
    assert book.ask("yoda", Search(3, "a.bin")) == ["yoda < found 3 none []"]
    book.ask("yoda", Register(4, file(root=bytes(32)), ALL))
    assert book.do("committed") == ["yoda < registered 4 true"]


def test_who_was_not_there_any_more_is_not_answered() -> None:
    book = Playbook("hans", "yoda")
    book.ask("hans", Register(2, file(), ALL))
    book.do("close hans")
    assert book.do("committed") == []
    assert book.ask("yoda", Search(2, "a.bin")) == ["yoda < found 2 none []"]


def test_the_catalogue_outlives_the_server_and_the_holdings_the_session_only() -> None:
    book = Playbook("hans")
    registered(book, "hans")
    book.restart()
    book.do("log in yoda")
    assert book.ask("yoda", Search(2, "a.bin")) == ["yoda < found 2 none []"]
    assert book.ask("yoda", Register(3, file(root=bytes(32)), ALL))[0].startswith(
        "yoda < error file_differs"
    )
    assert book.ask("yoda", Register(4, file(), (3, 1, 3))) == ["yoda < registered 4 false"]
    assert book.ask("yoda", Search(5, "a.bin")) == ["yoda < found 5 a.bin [yoda:1:3]"]
    book.do("close yoda")
    book.do("log in hans")
    assert book.ask("hans", Search(2, "a.bin")) == ["hans < found 2 none []"]


def test_a_search_for_chunks_finds_who_has_one_of_them() -> None:
    book = Playbook("hans", "yoda", "luke")
    registered(book, "hans")
    book.ask("yoda", Register(2, file(), (2, 5)))
    book.ask("luke", Register(2, file(), (3,)))
    assert book.ask("luke", Search(3, "a.bin", (5, 3, 9))) == [
        "luke < found 3 a.bin [hans:3:5:9 yoda:5 luke:3]"
    ]
    book.ask("hans", Register(91, file(), ()))
    assert book.ask("luke", Search(4, "a.bin", (9,))) == ["luke < found 4 none []"]
    book.ask("hans", Register(92, file(), ()))
    assert book.ask("luke", Search(5, "a.bin", (5,))) == ["luke < found 5 a.bin [yoda:5]"]
    assert book.ask("luke", Search(6, "A.bin")) == ["luke < found 6 none []"]


def test_who_fetches_a_file_is_told_of_only_to_those_who_ask_for_that() -> None:
    book = Playbook("hans", "yoda")
    registered(book, "hans")
    assert book.ask("yoda", Register(2, file(), (), fetching=True)) == ["yoda < registered 2 false"]
    assert book.ask("hans", Search(91, "a.bin", (1,))) == ["hans < found 91 a.bin [hans:1]"]
    assert book.ask("hans", Search(92, "a.bin", (1,), fetchers=True)) == [
        "hans < found 92 a.bin [hans:1 yoda]"
    ]
    book.ask("yoda", Register(3, file(), ()))
    assert book.ask("hans", Search(93, "a.bin", (1,), fetchers=True)) == [
        "hans < found 93 a.bin [hans:1]"
    ]


def test_a_holder_who_has_blocked_the_asker_is_not_told_of() -> None:
    book = Playbook("hans", "yoda", "luke")
    registered(book, "hans")
    book.ask("yoda", Register(2, file(), (2,)))
    book.do("hans: block 91 luke")
    assert book.ask("luke", Search(2, "a.bin")) == ["luke < found 2 a.bin [yoda:2]"]
    book.do("yoda: block 3 luke")
    assert book.ask("luke", Search(3, "a.bin")) == ["luke < found 3 none []"]
    assert book.ask("hans", Search(92, "a.bin")) == [
        "hans < found 92 a.bin [hans:1:2:3:4:5:6:7:8:9:10 yoda:2]"
    ]


@pytest.mark.parametrize("name", HARMLESS)
def test_a_name_may_have_spaces_joiners_and_emoji_of_any_age(name: str) -> None:
    book = Playbook("hans")
    book.ask("hans", Register(2, file(name), (1,)))
    assert book.do("committed") == ["hans < registered 2 true"]


@pytest.mark.parametrize(
    ("bad", "chunks", "reason"),
    [
        (file(""), (), "a file's name has no slashes, and is neither empty nor only dots"),
        (file(".."), (), "a file's name has no slashes, and is neither empty nor only dots"),
        (file("../x"), (), "a file's name has no slashes, and is neither empty nor only dots"),
        (file("a\\b"), (), "a file's name has no slashes, and is neither empty nor only dots"),
        (file("a\x1b[2J"), (), "a file's name has no control characters"),
        (file("a\u202egpj.exe"), (), "a file's name has no control characters"),
        (
            file("\u00a0\u200b"),
            (),
            "a file's name has no slashes, and is neither empty nor only dots",
        ),
        (file("ä" * 128), (), "a file's name has at most 255 bytes"),
        (File("a", 5, 10, 16384, ROOT), (), "a file of 5 bytes has 5 chunks"),
        (file(size=5), (6,), "it has only 5 chunks"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(
    bad: File, chunks: tuple[int, ...], reason: str
) -> None:
    book = Playbook("hans")
    assert book.ask("hans", Register(2, bad, chunks)) == [
        f'hans < error bad_file "Error. This cannot be registered: {reason}" 2'
    ]


def test_an_empty_file_has_no_chunks() -> None:
    book = Playbook("hans")
    assert book.ask("hans", Register(2, file(size=0), ())) == ["commit 1: hans+a.bin"]


def test_the_number_of_files_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILES_USER_MAX", 2)
    monkeypatch.setattr(limits, "FILES_MAX", 3)
    book = Playbook("hans", "yoda")
    names = iter("abcdefgh")
    refusal = "error too_many_files"
    for user, number, accepted in (("hans", 2, True), ("hans", 3, True), ("hans", 4, False)):
        lines = book.ask(user, Register(number, file(next(names)), ()))
        assert lines[0].startswith("commit" if accepted else f"{user} < {refusal}")
        if accepted:
            book.do("committed")
    book.ask("yoda", Register(2, file("x"), ()))
    book.do("committed")
    assert book.ask("yoda", Register(3, file("y"), ()))[0].startswith(f"yoda < {refusal}")
    assert book.ask("yoda", Register(4, file("x"), ())) == ["yoda < registered 4 false"]


def test_a_search_tells_of_so_many_holders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HOLDERS_MAX", 2)
    book = Playbook("hans", "yoda", "luke")
    registered(book, "hans")
    for user in ("luke", "yoda"):
        book.ask(user, Register(2, file(), (1,)))
    assert book.ask("luke", Search(3, "a.bin", (1,))) == ["luke < found 3 a.bin [hans:1 yoda:1]"]


def test_iterating_gives_back_what_was_restored() -> None:
    files = (("hans", file("a")), ("yoda", file("b")))
    assert tuple(Catalogue(Restored(files=files).files)) == files


def test_a_failed_commit_takes_nothing_back_that_an_earlier_one_has_kept() -> None:
    book = Playbook("hans", "yoda")
    book.ask("hans", Register(2, file(), ALL))
    book.ask("yoda", Register(2, file(), ALL))
    book.do("committed")
    assert book.do("commit failed")[0].startswith("yoda < error not_stored")
    assert book.ask("yoda", Search(3, "a.bin", (1,))) == ["yoda < found 3 a.bin [hans:1 yoda:1]"]


def test_a_client_that_takes_its_session_over_says_anew_what_it_holds() -> None:
    book = Playbook("yoda")
    for line in ("open hans", "hans: hello 1 pc resume; login 1 hans solo", "right hans"):
        book.do(line)
    registered(book, "hans")
    token = book.broker._sessions.by_id[book._ids["hans"]].token
    book.do("open again")
    book.do(f"again: hello 1 pc resume; resume 91 hans {token}")
    assert book.ask("yoda", Search(2, "a.bin")) == ["yoda < found 2 none []"]
    book.ask("again", Register(92, file(), (4,)))
    assert book.ask("yoda", Search(3, "a.bin")) == ["yoda < found 3 a.bin [hans:4]"]


def test_who_is_let_go_by_a_stop_holds_nothing_any_more() -> None:
    """Found by the fuzzer; the invariants are checked after each command."""
    book = Playbook("hans")
    registered(book, "hans")
    assert book.do("stop")[-1] == "close hans"


# -- Names are given up ------------------------------------------------------------------------

NOT_REGISTERED = 'error not_registered "Error. No file of yours is registered as a.bin"'


def test_an_owner_takes_a_name_back_when_that_is_on_disk() -> None:
    book = Playbook("hans", "yoda")
    registered(book, "hans")
    assert book.ask("yoda", Unregister(2, "a.bin")) == [f"yoda < {NOT_REGISTERED} 2"]
    assert book.ask("hans", Unregister(91, "a.bin")) == ["commit 2: -a.bin"]
    assert book.ask("yoda", Search(3, "a.bin")) == ["yoda < found 3 none []"]
    assert book.do("committed") == ["hans < ok 91"]
    assert book.store.files == {}
    assert book.ask("hans", Unregister(92, "a.bin")) == [f"hans < {NOT_REGISTERED} 92"]
    assert book.ask("yoda", Register(4, file(root=bytes(32)), ALL)) == ["commit 3: yoda+a.bin"]


def test_a_name_that_others_hold_goes_to_the_first_of_them() -> None:
    book = Playbook("hans", "vader", "yoda", "luke")
    registered(book, "hans")
    book.ask("vader", Register(2, file(), (), fetching=True))
    book.ask("yoda", Register(2, file(), (3,)))
    book.ask("luke", Register(2, file(), ALL))
    assert book.ask("hans", Unregister(91, "a.bin")) == ["commit 2: yoda+a.bin"]
    assert book.do("committed") == ["hans < ok 91"]
    found = book.ask("hans", Search(92, "a.bin", (3,)))
    assert found == ["hans < found 92 a.bin [yoda:3 luke:3]"]
    assert book.ask("luke", Unregister(3, "a.bin")) == ["luke < ok 3"]
    assert book.ask("luke", Unregister(4, "a.bin")) == [f"luke < {NOT_REGISTERED} 4"]
    book.ask("yoda", Unregister(3, "a.bin"))
    assert book.do("committed") == ["yoda < ok 3"]
    assert book.store.files == {}


@pytest.mark.parametrize("others", [(), ("luke",)])
def test_what_cannot_be_taken_back_stays_as_it_was(others: tuple[str, ...]) -> None:
    book = Playbook("hans", "yoda", "luke")
    registered(book, "hans")
    for other in others:
        book.ask(other, Register(2, file(), (1,)))
    before = book.ask("yoda", Search(2, "a.bin", (1,)))
    book.ask("hans", Unregister(91, "a.bin"))
    assert book.ask("yoda", Register(3, file("b.bin"), ())) == []
    lines = book.do("commit failed")
    assert [line.partition(' "')[0] for line in lines] == [
        "hans < error not_stored",
        "yoda < error not_stored",
    ]
    after = book.ask("yoda", Search(4, "a.bin", (1,)))
    assert [line.replace(" 4 ", " 2 ") for line in after] == before
    book.ask("hans", Unregister(92, "a.bin"))
    assert book.do("committed") == ["hans < ok 92"]


def test_who_has_gone_meanwhile_holds_nothing_when_a_name_comes_back() -> None:
    book = Playbook("hans", "yoda")
    registered(book, "hans")
    book.ask("hans", Unregister(91, "a.bin"))
    book.do("close hans")
    book.do("commit failed")
    assert book.ask("yoda", Search(2, "a.bin")) == ["yoda < found 2 none []"]


def test_a_user_has_as_many_names_as_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """So neither one nor several can use up what is for all."""
    monkeypatch.setattr(limits, "FILES_MAX", 12)
    book = Playbook("hans", "vader", "yoda")
    for user, share in (("hans", 6), ("vader", 3), ("yoda", 2)):
        for number in range(share):
            book.ask(user, Register(number + 2, file(f"{user}{number}"), ()))
            assert book.do("committed") == [f"{user} < registered {number + 2} true"]
        [line] = book.ask(user, Register(50, file("more"), ()))
        assert line.startswith(f'{user} < error too_many_files "Error. The server has no room for')
    book.ask("hans", Unregister(60, "hans0"))
    book.do("committed")
    assert book.ask("yoda", Register(61, file("more"), ())) == [
        'yoda < error too_many_files "Error. The server has no room for one more file of yours;'
        " 'unregister <filename>' takes one back\" 61"
    ]
    assert book.ask("luke" if "luke" in book._ids else "vader", Register(62, file("vader9"), ()))


def test_what_one_session_holds_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Playbook("hans", "vader")
    for name in "abc":
        registered(book, "hans", name) if name == "a" else book.ask(
            "hans", Register(90 + ord(name), file(name), ALL)
        )
        if book._commit is not None:
            book.do("committed")
    monkeypatch.setattr(limits, "FILES_USER_MAX", 2)
    answers = [
        book.ask("vader", Register(number, file(name), (1,)))
        for number, name in enumerate("abca", 2)
    ]
    assert [line[0].split(" ")[2] for line in answers] == [
        *("registered", "registered", "error", "registered"),
    ]


# -- New versions ------------------------------------------------------------------------------


def test_an_owner_may_replace_a_file_and_others_hold_the_old_one_no_longer() -> None:
    book = Playbook("hans", "yoda")
    registered(book, "hans")
    book.ask("yoda", Register(2, file(), ALL))
    new = file(root=bytes(32))
    assert book.ask("hans", Register(91, new, ALL))[0].startswith("hans < error file_differs")
    assert book.ask("yoda", Register(3, new, ALL, replace=True))[0].startswith(
        "yoda < error file_differs"
    )
    assert book.ask("hans", Register(92, new, ALL, replace=True)) == ["commit 2: hans+a.bin"]
    assert book.do("committed") == ["hans < registered 92 true"]
    assert book.store.restore().files == (("hans", new),)
    assert book.ask("yoda", Search(4, "a.bin", (1,))) == ["yoda < found 4 a.bin [hans:1]"]
    assert book.ask("yoda", Register(5, file(), ALL))[0].startswith("yoda < error file_differs")
    assert book.ask("yoda", Register(6, new, (2,))) == ["yoda < registered 6 false"]


def test_a_new_version_that_cannot_be_kept_leaves_the_old_one() -> None:
    book = Playbook("hans", "yoda")
    registered(book, "hans")
    book.ask("yoda", Register(2, file(), (1,)))
    book.ask("hans", Register(92, file(root=bytes(32)), ALL, replace=True))
    book.do("commit failed")
    assert book.ask("yoda", Search(3, "a.bin", (1,))) == ["yoda < found 3 a.bin [hans:1 yoda:1]"]
    assert book.ask("yoda", Register(4, file(), (1, 2))) == ["yoda < registered 4 false"]


# -- Time --------------------------------------------------------------------------------------

DAY = 24 * 60 * 60.0


def catalogue_of(idle: dict[str, float]) -> Broker:
    files = tuple(("hans", file(name)) for name in idle)
    settings = Settings(60, 600, keep_files_seconds=30 * DAY)
    return Broker({"hans"}, settings, Restored(files=files, idle_seconds=idle), now=1000.0)


def test_a_name_that_somebody_holds_is_kept_and_that_is_noted() -> None:
    book = Playbook("hans", idle_seconds=100 * DAY)
    registered(book, "hans")
    assert book.do(f"wait {40 * DAY}") == ["commit 2: held:a.bin"]


def test_time_runs_from_the_last_holder_and_over_a_restart() -> None:
    book = Playbook("hans", idle_seconds=100 * DAY)
    registered(book, "hans")
    book.do(f"wait {2 * DAY}")
    assert book.do("committed") == []
    assert book.do("wait 1") == ["commit 3: held:a.bin"]
    book.do("committed")
    assert book.store.held == ["a.bin", "a.bin"], "once a day"
    book.do("close hans")
    assert book.do(f"wait {30 * DAY - 4000}") == []
    assert book.do("wait 8000") == ["commit 4: -a.bin"]
    book.do("committed")
    assert not book.store.files


def test_a_name_is_not_given_up_before_its_owner_could_come_back() -> None:
    broker = catalogue_of({"old": 31 * DAY, "young": 29 * DAY})
    assert broker.next_deadline() == 1000 + limits.FILE_VISIT_SECONDS
    assert broker._catalogue.visit(1000 + limits.FILE_VISIT_SECONDS) == ([], ["old"])
    assert broker._catalogue.visit(1000 + DAY + limits.FILE_VISIT_SECONDS) == ([], ["old", "young"])


def test_only_so_many_names_are_looked_at_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILE_VISITS_MAX", 2)
    broker = catalogue_of(dict.fromkeys("abc", 31 * DAY))
    catalogue, now = broker._catalogue, 1000 + limits.FILE_VISIT_SECONDS
    assert catalogue.visit(now) == ([], ["a", "b"])
    assert catalogue.next_visit() == now + limits.FILE_VISITS_PAUSE_SECONDS
    assert catalogue.visit(now + 1) == ([], ["c"])
    assert catalogue.next_visit() == now + limits.FILE_VISIT_SECONDS


def test_names_may_be_kept_for_ever() -> None:
    catalogue = Catalogue((("hans", file("a")),))
    assert catalogue.visit(1e12) == ([], [])
