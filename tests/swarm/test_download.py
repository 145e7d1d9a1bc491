"""The state machine of one file: what it asks of whom, and what it makes of what comes."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_chat import limits
from trio_chat.swarm.download import BUSY_SECONDS, TICK_SECONDS, Download
from trio_chat.swarm.manifest import Layout
from trio_chat.swarm.orders import Ask, Cancel, Receipt, Verdict
from trio_chat.swarm.pieces import PieceSet

KIB = 1024
LIE, DUPLICATE = Receipt(Verdict.LIE), Receipt(Verdict.DUPLICATE)


def layout_of(pieces: int, piece_bytes: int = 16 * KIB) -> Layout:
    return Layout(size=pieces * piece_bytes, chunks=10, piece_bytes=piece_bytes)


def start(
    pieces: int = 40, peers: str = "", *, salt: int = 0, chunks: Iterable[int] | None = None
) -> Download:
    layout = layout_of(pieces)
    download = Download(layout, PieceSet(pieces), salt, chunks)
    for peer in peers:
        assert download.peer_joined(peer, PieceSet.full(pieces))
    return download


def asked(download: Download, now: float = 0.0) -> dict[str, list[int]]:
    """What is asked of whom now; nothing may be cancelled."""
    asks: dict[str, list[int]] = {}
    for order in download.orders(now):
        assert isinstance(order, Ask)
        asks.setdefault(order.peer, []).append(order.piece)
    return asks


def fetch(download: Download, now: float = 0.0) -> dict[str, int]:
    """Let every peer send what it is asked for at once; return how many each sent."""
    sent: dict[str, int] = {}
    while asks := [order for order in download.orders(now) if isinstance(order, Ask)]:
        now += 0.1
        for ask in asks:
            sent[ask.peer] = sent.get(ask.peer, 0) + 1
            download.received(ask.peer, ask.piece, ok=True, now=now)
    return sent


def test_a_file_comes_whole_and_its_chunks_and_its_end_are_told() -> None:
    download = start(peers="a")
    chunks, now, ends = [], 0.0, []
    while orders := download.orders(now):
        for order in orders:
            now += 0.01
            receipt = download.received("a", order.piece, ok=True, now=now)
            assert receipt.verdict is Verdict.VERIFIED
            chunks += [receipt.chunk] if receipt.chunk else []
            ends.append(receipt.complete)
    assert sorted(chunks) == list(range(1, 11))
    assert ends == [False] * 39 + [True]
    assert download.complete
    assert download.have.is_full
    assert not download.can_go_on


def test_an_empty_file_is_complete_at_once() -> None:
    download = Download(Layout.of(0), PieceSet(0), 0)
    assert download.complete
    assert download.peer_joined("a", PieceSet(0))
    assert download.orders(0.0) == []


def test_only_the_wanted_chunks_are_asked_for_and_more_may_be_wanted_later() -> None:
    download = start(peers="a", chunks=[3])
    assert download.missing == 4
    assert sorted(asked(download)["a"]) == [8, 9, 10, 11]
    for piece in (8, 9, 10):
        download.received("a", piece, ok=True, now=0.1)
    last = download.received("a", 11, ok=True, now=0.1)
    assert last == Receipt(Verdict.VERIFIED, chunk=3, complete=True)
    download.want([3, 4])
    assert not download.complete
    assert sorted(asked(download, 0.2)["a"]) == [12, 13, 14, 15]
    assert download.received("a", 39, ok=True, now=0.3).verdict is Verdict.VERIFIED


def test_what_is_here_already_is_not_asked_for() -> None:
    layout = layout_of(40)
    download = Download(layout, PieceSet(40, range(4, 40)), 0)
    download.peer_joined("a", PieceSet.full(40))
    assert sorted(asked(download)["a"]) == [0, 1, 2, 3]


def test_equal_peers_share_a_file_equally_however_small_it_is() -> None:
    for pieces in (10, 40, 1000):
        assert sorted(fetch(start(pieces, "abcd")).values()) in (
            [2, 2, 3, 3],
            [pieces // 4] * 4,
        )


def test_peers_that_are_about_to_join_are_left_their_share() -> None:
    download = start(20)
    download.expect(3)
    download.peer_joined("a", PieceSet.full(20))
    assert len(asked(download)["a"]) == 5
    download = start(10)
    download.expect(3)
    download.peer_joined("a", PieceSet.full(10))
    assert len(asked(download)["a"]) == 3
    download.expect(1)
    assert len(asked(download)["a"]) == 2
    for peer in "bcd":
        download.peer_joined(peer, PieceSet.full(10))
    assert set(asked(download)) == {"b", "c", "d"}


def test_seeds_are_asked_for_what_others_lack() -> None:
    download = start(20, "s")
    download.peer_joined("a", PieceSet(20, range(10)))
    download.peer_joined("b", PieceSet(20, range(5, 15)))
    asks = asked(download)
    assert set(asks["a"] + asks["b"]) <= set(range(15))
    assert set(asks["s"][:5]) == set(range(15, 20))


def test_news_of_a_peer_that_is_unknown_or_of_pieces_beyond_the_file_are_ignored() -> None:
    download = start(10)
    download.peer_has("stranger", [1])
    download.peer_joined("a", PieceSet(10))
    assert download.orders(0.0) == []
    download.peer_has("a", [3, -1, 10, 3, 2**70])
    assert asked(download) == {"a": [3]}
    download.received("a", 3, ok=True, now=0.1)
    download.peer_joined("b", PieceSet(10))
    download.peer_has("b", [3])
    assert asked(download, 0.2) == {}


def test_what_a_peer_owes_when_it_leaves_is_asked_of_others() -> None:
    download = start(10, "ab")
    first = asked(download)
    download.peer_left("a")
    download.peer_left("a")
    assert download.received("a", first["a"][0], ok=True, now=0.1).verdict is Verdict.VERIFIED
    again = asked(download, 0.2)
    assert sorted(again["b"]) == sorted(first["a"][1:])


def test_a_partial_peer_that_leaves_takes_its_pieces_along() -> None:
    download = start(20)
    download.peer_joined("a", PieceSet(20, [1, 2]))
    download.peer_left("a")
    assert asked(download) == {}
    download.peer_joined("a", PieceSet(20, [2]))
    download.peer_joined("a", PieceSet(20, [3]))
    assert asked(download) == {"a": [3]}


def test_while_a_piece_is_verified_its_peer_owes_the_next_one() -> None:
    download = start(40, "a")
    first = asked(download)["a"]
    rest = set(range(40)).difference(first)
    download.arrived("stranger", first[0], 1.0)
    download.arrived("a", min(rest), 1.0)  # which nobody has asked for
    assert asked(download, 1.0) == {}
    for piece in first:
        download.arrived("a", piece, 1.0)
    assert rest.issuperset(asked(download, 1.0)["a"])


def test_a_peer_is_not_silent_while_its_last_pieces_are_verified() -> None:
    download = start(10, "a")
    pieces = asked(download)["a"]
    for piece in pieces:
        download.arrived("a", piece, 0.1)
    download.peer_joined("b", PieceSet.full(10))
    download.expire(1000.0)
    assert download.orders(1000.0) == []
    for piece in pieces:
        receipt = download.received("a", piece, ok=True, now=1000.1)
    assert receipt.complete


def test_a_peer_is_not_silent_while_a_slow_disk_keeps_us_from_reading_it() -> None:
    download = start(10, "a")
    first, *others = asked(download)["a"]
    download.arrived("a", first, 0.1)
    download.expire(1000.0)
    assert [order for order in download.orders(1000.0) if isinstance(order, Cancel)] == []
    download.received("a", first, ok=True, now=1000.0)
    download.expire(1000.0 + limits.SILENCE_SECONDS)
    assert [order for order in download.orders(1005.0) if isinstance(order, Cancel)] == []
    download.expire(1000.1 + limits.SILENCE_SECONDS)
    cancelled = {order.piece for order in download.orders(1005.1) if isinstance(order, Cancel)}
    assert cancelled.issuperset(others)


def test_what_is_verified_when_its_peer_leaves_is_asked_of_others() -> None:
    download = start(10, "ab")
    pieces = asked(download)["a"]
    download.arrived("a", pieces[0], 0.1)
    download.peer_left("a")
    assert sorted(asked(download, 0.1)["b"]) == sorted(pieces)


def test_who_has_sent_a_piece_is_not_told_to_stop() -> None:
    download = start(10, "ab")
    first = asked(download)
    for piece in first["b"]:
        download.arrived("b", piece, 60.0)
    late = asked(download, 60.0)["b"][0]
    download.arrived("b", late, 60.1)
    download.arrived("a", late, 60.1)
    assert download.received("a", late, ok=True, now=60.2).verdict is Verdict.VERIFIED
    assert Cancel("b", late) not in download.orders(60.2)


def test_a_liar_is_never_asked_again() -> None:
    download = start(10, "ab")
    first = asked(download)
    assert download.received("a", first["a"][0], ok=False, now=0.1) == LIE
    assert not download.peer_joined("a", PieceSet.full(10))
    assert sorted(asked(download, 0.2)["b"]) == sorted(first["a"])
    assert download.received("a", 9, ok=False, now=0.3) == LIE
    assert "a" not in fetch(download)


def test_no_more_peers_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEERS_MAX", 2)
    download = start(10, "ab")
    assert not download.peer_joined("c", PieceSet.full(10))
    assert download.peer_joined("a", PieceSet.full(10))
    download.peer_left("b")
    assert download.peer_joined("c", PieceSet.full(10))


def test_what_a_peer_does_not_hold_is_asked_of_another() -> None:
    download = start(10)
    download.peer_joined("a", PieceSet(10, [1]))
    assert asked(download) == {"a": [1]}
    download.refused("a", 1, 0.1, busy=False)
    download.refused("a", 99, 0.1, busy=False)
    download.refused("stranger", 1, 0.1, busy=False)
    assert asked(download, 0.1) == {}
    download.peer_joined("s", PieceSet.full(10))
    assert sorted(asked(download, 0.1)["s"]) == list(range(10))
    download.refused("s", 4, 0.2, busy=False)
    assert asked(download, 0.2) == {}
    download.peer_has("a", [4])
    assert asked(download, 0.3) == {"a": [4]}


def test_it_can_go_on_while_a_peer_holds_something_that_is_missing() -> None:
    download = start(10)
    assert not download.can_go_on
    download.peer_joined("a", PieceSet(10, [0]))
    assert download.can_go_on
    download.received("a", asked(download)["a"][0], ok=True, now=0.1)
    assert not download.can_go_on
    download.peer_has("a", [1])
    assert download.can_go_on
    download.peer_left("a")
    assert not download.can_go_on


def test_a_busy_peer_is_left_alone_for_a_moment() -> None:
    download = start(10, "a")
    first = asked(download)["a"]
    for piece in first:
        download.refused("a", piece, 1.0, busy=True)
    assert asked(download, 1.0) == {}
    download.expire(1.0 + BUSY_SECONDS)
    assert asked(download, 1.0 + BUSY_SECONDS) == {}
    download.expire(100.0)
    assert len(asked(download, 100.0)["a"]) == 1


def test_the_requests_of_a_silent_peer_are_given_to_others_and_it_is_tried_again() -> None:
    download = start(10)
    download.peer_joined("a", PieceSet(10, [0, 1]))
    assert sorted(asked(download)["a"]) == [0, 1]
    download.heard("a", 3.0)
    download.heard("stranger", 3.0)
    download.expire(7.9)
    assert asked(download, 7.9) == {}
    download.expire(8.1)
    assert sorted(download.orders(8.1), key=str) == [Cancel("a", 0), Cancel("a", 1)]
    download.expire(14.0)
    (again,) = asked(download, 14.0)["a"]
    assert download.received("a", again, ok=True, now=14.1).verdict is Verdict.VERIFIED
    assert len(asked(download, 14.2)["a"]) == 1


def test_what_is_late_is_asked_of_a_second_peer_and_the_slower_one_is_told() -> None:
    download = start(10, "ab")
    first = asked(download)
    now = 0.05
    for piece in first["b"]:
        download.received("b", piece, ok=True, now=now)
    twice: list[int] = []
    cancelled: list[int] = []
    while now < 4:
        download.expire(now)
        for order in download.orders(now):
            if isinstance(order, Cancel):
                assert order.peer == "a"
                cancelled.append(order.piece)
                continue
            assert order.peer == "b"
            twice.append(order.piece)
            receipt = download.received("b", order.piece, ok=True, now=now)
            assert receipt.verdict is Verdict.VERIFIED
        now += TICK_SECONDS
    assert download.complete
    assert sorted(twice) == sorted(cancelled) == sorted(first["a"])
    assert download.received("a", first["a"][0], ok=True, now=now) == DUPLICATE


def test_no_piece_is_asked_of_more_than_two() -> None:
    download = start(10, "abc")
    asks: dict[int, int] = {}
    for tick in range(45):
        download.expire(tick / 10)
        for order in download.orders(tick / 10):
            asks[order.piece] = asks.get(order.piece, 0) + 1
    assert set(asks.values()) <= {1, 2}


def test_a_new_holder_takes_over_what_a_seed_owes() -> None:
    download = start(10, "s")
    first = asked(download)["s"]
    download.peer_joined("a", PieceSet(10))
    download.peer_has("a", [first[3]])
    assert download.orders(0.1) == [Cancel("s", first[3]), Ask("a", first[3])]
    download.peer_has("a", [first[0]])
    assert download.orders(0.1) == []
    download.peer_has("a", [first[5]])
    assert download.orders(0.2) == [Cancel("s", first[5]), Ask("a", first[5])]


def test_a_new_holder_takes_over_its_part_of_what_others_owe() -> None:
    moved = 0
    for salt in range(100):
        download = start(10, salt=salt)
        download.peer_joined("a", PieceSet(10, [4]))
        assert asked(download) == {"a": [4]}
        download.peer_joined("b", PieceSet(10))
        download.peer_has("b", [4])
        orders = download.orders(0.1)
        assert orders in ([], [Cancel("a", 4), Ask("b", 4)])
        moved += bool(orders)
    assert 30 < moved < 70


def test_a_request_stays_where_something_comes_or_when_the_new_holder_is_paused() -> None:
    for salt in range(10):
        download = start(10, salt=salt)
        download.peer_joined("a", PieceSet(10, [4]))
        assert asked(download) == {"a": [4]}
        download.heard("a", 0.1)
        download.peer_joined("b", PieceSet(10))
        download.peer_has("b", [4])
        assert download.orders(0.2) == []
        download.peer_joined("c", PieceSet(10, [9]))
        assert asked(download, 0.2) == {"c": [9]}
        download.refused("c", 9, 0.2, busy=True)
        download.peer_has("c", [4])
        assert download.orders(0.3) == []


def test_windows_are_bounded_in_pieces_and_bytes() -> None:
    for piece_bytes, most in ((16 * KIB, limits.WINDOW_PIECES_MAX), (1024 * KIB, 4)):
        layout = layout_of(3000, piece_bytes)
        download = Download(layout, PieceSet(3000), 0)
        download.peer_joined("a", PieceSet.full(3000))
        highest, now = 0, 0.0
        queue: list[int] = []
        for _ in range(500):
            queue += asked(download, now).get("a", [])
            highest = max(highest, len(queue))
            now += 1e-4
            download.received("a", queue.pop(0), ok=True, now=now)
        assert highest == most


class World:
    """Peers that delay, refuse, lie, stall and leave, as a list of choices says."""

    def __init__(self, layout: Layout, holdings: list[set[int]], liars: set[int]) -> None:
        self.layout = layout
        self.download = Download(layout, PieceSet(layout.pieces), 7)
        self.now = 0.0
        self.owed: list[tuple[int, int]] = []
        self.here: set[tuple[int, int]] = set()  # of these, those that have come
        self.liars = liars
        self.exposed: set[int] = set()
        self.holdings = holdings
        self.verified: set[int] = set()
        self.asks = 0
        for peer in range(len(holdings)):
            self.join(peer)

    def join(self, peer: int) -> None:
        have = PieceSet(self.layout.pieces, self.holdings[peer])
        assert self.download.peer_joined(str(peer), have) is (peer not in self.exposed)

    def settle(self) -> None:
        """Take the orders, and check them."""
        for order in self.download.orders(self.now):
            key = (int(order.peer), order.piece)
            assert order.piece not in {piece for _, piece in self.here}
            if isinstance(order, Cancel):
                if key in self.owed:
                    self.owed.remove(key)
                continue
            self.asks += 1
            assert key not in self.owed
            assert key[0] not in self.exposed, "a liar is asked again"
            assert order.piece in self.holdings[key[0]]
            assert order.piece not in self.verified
            assert sum(piece == order.piece for _, piece in self.owed) < limits.ASKED_TWICE_MAX
            self.owed.append(key)
            assert len(self.owed) <= limits.WINDOW_PIECES_MAX * len(self.holdings)

    def deliver(self, at: int, *, lies: bool) -> None:
        peer, piece = self.owed.pop(at)
        self.here.discard((peer, piece))
        ok = not lies
        receipt = self.download.received(str(peer), piece, ok, self.now)
        if not ok:
            assert receipt.verdict is Verdict.LIE
            self.exposed.add(peer)
            self.gone(peer)
        else:
            is_new = piece not in self.verified
            assert receipt.verdict is (Verdict.VERIFIED if is_new else Verdict.DUPLICATE)
            self.verified.add(piece)

    @property
    def coming(self) -> list[tuple[int, int]]:
        return [key for key in self.owed if key not in self.here]

    def lose(self, which: int) -> tuple[int, int]:
        key = self.coming[which % len(self.coming)]
        self.owed.remove(key)
        return key

    def gone(self, peer: int) -> None:
        self.owed = [key for key in self.owed if key[0] != peer]
        self.here = {key for key in self.here if key[0] != peer}

    def step(self, kind: int, which: int) -> None:
        peer = which % len(self.holdings)
        self.now += 0.02
        if kind <= 3 and self.owed:
            at = which % len(self.owed)
            self.deliver(at, lies=self.owed[at][0] in self.liars and kind == 0)
        elif kind == 4 and self.coming:
            peer, piece = self.lose(which)
            self.download.refused(str(peer), piece, self.now, busy=True)
        elif kind == 5:
            self.download.peer_left(str(peer))
            self.gone(peer)
        elif kind == 6:
            self.gone(peer)
            self.join(peer)
        elif kind == 7:
            self.now += which / 20
            self.download.expire(self.now)
        elif kind == 8 and self.coming:
            self.lose(which)  # it never comes
        elif kind == 10 and self.coming:
            key = self.coming[which % len(self.coming)]
            self.here.add(key)
            self.download.arrived(str(key[0]), key[1], self.now)
        elif kind == 9 and peer != 0:
            piece = which % self.layout.pieces
            self.holdings[peer].add(piece)
            self.download.peer_has(str(peer), [piece])
        self.settle()


@settings(max_examples=60)
@given(st.data())
def test_whatever_happens_it_ends_complete_while_an_honest_holder_stays(
    data: st.DataObject,
) -> None:
    pieces = 30
    some = st.sets(st.integers(0, pieces - 1))
    holdings = [set(range(pieces)), *data.draw(st.lists(some, min_size=1, max_size=4))]
    liars = data.draw(st.sets(st.integers(1, len(holdings) - 1)))
    world = World(layout_of(pieces), holdings, liars)
    steps = st.tuples(st.integers(0, 10), st.integers(0, 99))
    for kind, which in data.draw(st.lists(steps, max_size=100)):
        world.step(kind, which)
    world.gone(0)
    world.join(0)  # the honest holder returns
    world.settle()
    for _ in range(3000):
        if world.download.complete:
            break
        world.now += 0.1
        if world.owed:
            world.deliver(0, lies=world.owed[0][0] in liars)
        world.download.expire(world.now)
        world.settle()
    assert world.download.complete
    assert world.verified == set(range(pieces))


@given(st.integers(0, 1000), st.lists(st.sets(st.integers(0, 29)), max_size=4))
def test_while_nobody_is_late_no_piece_is_asked_for_twice(
    salt: int, holdings: list[set[int]]
) -> None:
    download = start(30, "s", salt=salt)
    for number, holding in enumerate(holdings):
        download.peer_joined(str(number), PieceSet(30, holding))
    assert sum(fetch(download).values()) == 30
    assert download.complete


def test_a_seed_is_not_asked_for_what_the_others_will_soon_have_sent() -> None:
    download = Download(layout_of(1000), PieceSet(1000), 0)
    download.peer_joined("seed", PieceSet.full(1000))
    download.peer_joined("other", PieceSet(1000, range(400)))
    now, sent = 0.0, {"seed": 0, "other": 0}
    for _ in range(2000):
        orders = download.orders(now)
        # Ten pieces a second each, whoever is asked.
        now += 0.1
        for peer in sent:
            owed = [piece for piece, askers in download._askers.items() if askers[0].name == peer]
            if owed:
                sent[peer] += 1
                download.received(peer, owed[0], ok=True, now=now)
        if not orders:
            download.expire(now)
        if download.complete:
            break
    assert download.complete
    # It brings the 600 that nobody else has, and its part of the others while they are many.
    assert 600 <= sent["seed"] <= 1000 - sent["other"]
    assert sent["other"] >= 350


def test_a_seed_helps_those_who_are_slow() -> None:
    download = Download(layout_of(1000), PieceSet(1000), 0)
    download.peer_joined("slow", PieceSet(1000, range(1000 - 1)))
    download.orders(0.0)
    download.received("slow", next(iter(download._askers)), ok=True, now=60.0)
    download.peer_joined("seed", PieceSet.full(1000))
    assert "seed" in asked(download, 60.0)


def test_who_speaks_again_after_a_silence_is_asked_at_once() -> None:
    """A way that was cut for a while costs no more than that."""
    download = start(40, "s")
    owed = asked(download)["s"]
    download.expire(limits.SILENCE_SECONDS + 1)
    assert {type(order) for order in download.orders(limits.SILENCE_SECONDS + 1)} == {Cancel}
    download.heard("s", limits.SILENCE_SECONDS + 2)
    assert asked(download, limits.SILENCE_SECONDS + 2)["s"]
    assert owed
