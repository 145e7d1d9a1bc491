"""Files: what is registered, and who is said to hold what (section 3.5)."""

from __future__ import annotations

import pytest

from trio_chat import limits
from trio_chat.core.beginning import Restored
from trio_chat.core.catalogue import Catalogue
from trio_chat.protocol.messages import File, Register, Search

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
    assert book.do("committed") == ["hans < registered 2 true", "commit 2: yoda+a.bin"]
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


@pytest.mark.parametrize(
    ("bad", "chunks", "reason"),
    [
        (file(""), (), "a file's name has no slashes, and is neither empty nor only dots"),
        (file(".."), (), "a file's name has no slashes, and is neither empty nor only dots"),
        (file("../x"), (), "a file's name has no slashes, and is neither empty nor only dots"),
        (file("a\\b"), (), "a file's name has no slashes, and is neither empty nor only dots"),
        (file("a\x1b[2J"), (), "a file's name has no control characters"),
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


def test_a_user_who_loses_one_file_keeps_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILES_USER_MAX", 2)
    catalogue = Catalogue((("hans", file("a")), ("hans", file("b"))))
    assert not catalogue.has_room_for("hans")
    catalogue.remove("a")
    assert catalogue.has_room_for("hans")
    assert tuple(catalogue) == (("hans", file("b")),)


def test_who_is_let_go_by_a_stop_holds_nothing_any_more() -> None:
    """Found by the fuzzer; the invariants are checked after each command."""
    book = Playbook("hans")
    registered(book, "hans")
    assert book.do("stop")[-1] == "close hans"
