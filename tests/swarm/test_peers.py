"""How fast a peer is taken to be, and how much it is asked for."""

from trio_chat import limits
from trio_chat.swarm.peers import PIPELINE_SECONDS, Peer
from trio_chat.swarm.pieces import PieceSet

KIB = 1024


def make(piece_bytes: int = 64 * KIB) -> Peer:
    return Peer("a", PieceSet.full(1000), piece_bytes, 0)


def send(peer: Peer, pieces: int, gap: float) -> float:
    now = 10.0
    for piece in range(pieces):
        peer.ask(piece, now)
        now += gap
        peer.arrived(piece, now)
        assert peer.release(piece)
    return now


def test_of_an_unknown_peer_little_is_asked_but_a_small_file_whole() -> None:
    assert make(16 * KIB).window == 16
    assert make(1024 * KIB).window == 2
    assert make().rate == 0
    assert make().seconds_for_next() == 0.5


def test_the_window_is_what_comes_in_a_second_within_bounds() -> None:
    for gap, window in ((0.1, 11), (5.0, 2), (1e-6, limits.WINDOW_PIECES_MAX)):
        peer = make(16 * KIB)
        send(peer, 50, gap)
        assert peer.rate * gap > 0.99
        assert abs(peer.window - window) <= PIPELINE_SECONDS
    large = make(1024 * KIB)
    send(large, 50, 1e-6)
    assert large.window * 1024 * KIB == limits.WINDOW_BYTES_MAX


def test_idle_time_does_not_count() -> None:
    peer = make()
    now = send(peer, 50, 0.1)
    peer.ask(99, now + 1000)
    peer.arrived(99, now + 1000.1)
    assert abs(peer.rate - 10) < 0.1


def test_a_slow_peer_is_given_more_time_than_a_fast_one() -> None:
    peer = make()
    assert peer.patience == limits.SILENCE_SECONDS
    send(peer, 50, 5.0)
    assert 19 < peer.patience < 21
    send(peer, 50, 500.0)
    assert peer.patience == limits.BACKOFF_SECONDS_MAX


def test_each_failure_makes_the_pause_longer_and_a_piece_ends_it() -> None:
    peer = make()
    pauses = []
    for _ in range(7):
        peer.fail(100.0, 5.0)
        pauses.append(peer.paused_until - 100)
    assert pauses == [5, 10, 20, 40, 60, 60, 60]
    assert peer.window == 1
    peer.ask(1, 200.0)
    peer.arrived(1, 200.0)
    assert peer.failures == peer.paused_until == 0
    assert peer.window > 1


def test_a_piece_is_owed_until_it_has_come_and_measured_then() -> None:
    peer = make()
    peer.ask(1, 10.0)
    peer.ask(2, 10.0)
    peer.arrived(1, 10.5)
    assert (peer.owed, list(peer.owes())) == (1, [2])
    peer.arrived(1, 20.0)
    assert (peer.owed, peer.rate) == (1, 2.0)
    assert peer.release(1)
    assert not peer.release(1)
    assert peer.owed == 1
    assert peer.release(2)
    assert peer.owed == 0
