"""Who is served next."""

import pytest

from trio_chat import limits
from trio_chat.swarm.uploads import Upload, Uploads

FILE, OTHER = b"f" * 32, b"o" * 32


def serve(uploads: Uploads) -> list[tuple[str, int]]:
    served = []
    while (upload := uploads.next()) is not None:
        served.append((upload.peer, upload.piece))
        uploads.done(upload.peer)
    return served


def test_peers_take_turns() -> None:
    uploads = Uploads()
    for piece in range(4):
        assert uploads.ask("greedy", FILE, piece)
    assert uploads.ask("modest", FILE, 10)
    assert uploads.waiting == 5
    assert serve(uploads) == [
        ("greedy", 0), ("modest", 10), ("greedy", 1), ("greedy", 2), ("greedy", 3)
    ]  # fmt: skip
    assert uploads.waiting == 0


def test_a_peer_gets_first_what_was_sent_least_often() -> None:
    uploads = Uploads()
    for peer, pieces in (("a", [1, 2]), ("b", [1, 3]), ("c", [1, 2, 3])):
        for piece in pieces:
            uploads.ask(peer, FILE, piece)
    served = serve(uploads)
    assert served[:3] == [("a", 1), ("b", 3), ("c", 2)]
    assert sorted(served[3:]) == [("a", 2), ("b", 1), ("c", 1), ("c", 3)]


def test_who_waits_for_something_old_is_passed_over_a_few_times_only() -> None:
    uploads = Uploads()
    uploads.ask("first", FILE, 0)
    serve(uploads)
    uploads.ask("patient", FILE, 0)
    for piece in range(1, 20):
        uploads.ask("greedy", FILE, piece)
    assert [peer for peer, _ in serve(uploads)].index("patient") == limits.UPLOADS_SKIPPED_MAX


def test_few_pieces_are_on_their_way_and_one_for_each_peer() -> None:
    uploads = Uploads(2)
    for peer in ("a", "b", "c"):
        uploads.ask(peer, FILE, 1)
        uploads.ask(peer, FILE, 2)
    assert uploads.next() == Upload("a", FILE, 1)
    assert uploads.next() == Upload("b", FILE, 2)
    assert uploads.next() is None
    uploads.done("a")
    uploads.done("a")
    assert uploads.next() == Upload("c", FILE, 1)
    assert uploads.next() is None


def test_a_receiver_that_does_not_read_holds_up_nobody() -> None:
    uploads = Uploads(1)
    for peer in ("slow", "fast"):
        uploads.ask(peer, FILE, 1)
    assert uploads.next() == Upload("slow", FILE, 1)
    assert uploads.next() is None
    uploads.blocked("slow")
    uploads.blocked("slow")
    assert uploads.next() == Upload("fast", FILE, 1)
    assert uploads.next() is None
    uploads.done("slow")
    uploads.ask("slow", FILE, 2)
    assert uploads.next() is None
    uploads.done("fast")
    assert uploads.next() == Upload("slow", FILE, 2)
    uploads.blocked("slow")
    uploads.peer_left("slow")
    uploads.ask("fast", FILE, 3)
    assert uploads.next() == Upload("fast", FILE, 3)
    assert uploads.next() is None


def test_too_many_requests_of_one_peer_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPLOADS_WAITING_MAX", 2)
    uploads = Uploads()
    assert [uploads.ask("a", FILE, piece) for piece in (1, 2, 1, 3)] == [True, True, True, False]
    assert uploads.ask("b", FILE, 3)
    assert uploads.next() == Upload("a", FILE, 1)
    assert uploads.ask("a", FILE, 1)
    assert uploads.ask("a", FILE, 3)
    assert not uploads.ask("a", FILE, 4)


def test_what_is_cancelled_is_not_sent() -> None:
    uploads = Uploads()
    for piece in (1, 2):
        uploads.ask("a", FILE, piece)
    uploads.cancel("a", FILE, 1)
    uploads.cancel("a", FILE, 7)
    uploads.cancel("stranger", FILE, 1)
    assert serve(uploads) == [("a", 2)]
    uploads.ask("a", FILE, 3)
    uploads.cancel("a", FILE, 3)
    assert serve(uploads) == []


def test_who_leaves_makes_room() -> None:
    uploads = Uploads(1)
    for peer in ("a", "b"):
        uploads.ask(peer, FILE, 1)
        uploads.ask(peer, FILE, 2)
    assert uploads.next() == Upload("a", FILE, 1)
    uploads.peer_left("a")
    uploads.peer_left("a")
    uploads.done("a")
    uploads.blocked("a")
    assert uploads.next() == Upload("b", FILE, 2)
    uploads.done("b")
    assert serve(uploads) == [("b", 1)]


def test_a_file_that_is_no_longer_served_is_forgotten() -> None:
    uploads = Uploads()
    for file in (FILE, OTHER):
        uploads.ask("a", file, 1)
        uploads.ask("b", file, 1)
    uploads.ask("c", FILE, 1)
    uploads.forget_file(FILE)
    uploads.forget_file(FILE)
    assert uploads.next() == Upload("a", OTHER, 1)
    assert uploads.next() == Upload("b", OTHER, 1)
    assert uploads.waiting == 0


def test_of_pieces_that_were_all_sent_the_one_sent_least_often_comes_first() -> None:
    uploads = Uploads()
    for peer in ("a", "b"):
        uploads.ask(peer, FILE, 1)
        serve(uploads)
    uploads.ask("a", FILE, 2)
    serve(uploads)
    for piece in (1, 2, 1):
        uploads.ask("c", FILE, piece)
    assert serve(uploads) == [("c", 2), ("c", 1)]
