"""What a download knows of one peer: what it holds, what it owes, and how fast it is."""

from __future__ import annotations

from collections.abc import Iterator

from .. import limits
from .pieces import PieceSet

PIPELINE_SECONDS = 1.0
"""How much of its work a peer is asked for in advance: more than a round trip takes."""

START_BYTES = 256 * 1024
"""Asked of a peer whose rate is unknown, but two pieces at least: a small file whole."""

FIRST_SECONDS = 0.5
"""When the first piece of a peer whose rate is unknown is expected."""

_DECAY = 0.9  # of what was measured, for each piece that comes


class Request:
    """A piece asked of a peer.

    Attributes:
        expected: when it should be here, going by the peer's rate.
        due: when it is late.
        is_here: whether it has come, and is verified now.
    """

    __slots__ = ("asked", "due", "expected", "is_here")

    def __init__(self, now: float, seconds: float) -> None:
        self.is_here = False
        self.asked = now
        self.expected = now + seconds
        self.due = now + 2 * seconds + 0.1


class Peer:
    """One peer of one download.

    Attributes:
        name: of the peer.
        have: the pieces that it holds.
        is_seed: whether it held all from the start; the picker does not count those.
        tie: decides between equal peers.
        useful: how many missing pieces it holds.
        asked: the pieces that are asked of it, in this order, until they are verified.
        owed: how many of them have not come.
        heard_at: when it last sent something, or began to owe.
        was_silent: whether it is left alone as it was silent, and not as it was busy.
        failures: how often in a row it was silent or busy.
        paused_until: when it may be asked again.
    """

    __slots__ = (
        "_mark",
        "_pieces",
        "_seconds",
        "_start_pieces",
        "_window_max",
        "asked",
        "failures",
        "have",
        "heard_at",
        "is_seed",
        "name",
        "owed",
        "paused_until",
        "tie",
        "useful",
        "was_silent",
    )

    def __init__(self, name: str, have: PieceSet, piece_bytes: int, tie: int) -> None:
        self.name = name
        self.have = have
        self.is_seed = have.is_full
        self.tie = tie
        self.useful = 0
        self.asked: dict[int, Request] = {}
        self.owed = 0
        self.heard_at = 0.0
        self.was_silent = False
        self.failures = 0
        self.paused_until = 0.0
        self._pieces = 0.0
        self._seconds = 0.0
        self._mark = 0.0
        self._start_pieces = max(START_BYTES // piece_bytes, 2)
        self._window_max = min(limits.WINDOW_PIECES_MAX, limits.WINDOW_BYTES_MAX // piece_bytes)

    @property
    def rate(self) -> float:
        """Pieces per second while it owed some; 0 if unknown."""
        return self._pieces / self._seconds if self._seconds > 0 else 0.0

    @property
    def window(self) -> int:
        """How many pieces it may owe."""
        if self.failures:
            return 1
        if self._seconds <= 0:
            return self._start_pieces
        return max(2, min(int(self.rate * PIPELINE_SECONDS) + 1, self._window_max))

    @property
    def patience(self) -> float:
        """Seconds of silence after which it is left."""
        rate = self.rate
        slow = 4 / rate if rate else 0.0
        return min(max(slow, limits.SILENCE_SECONDS), limits.BACKOFF_SECONDS_MAX)

    def is_silent(self, now: float) -> bool:
        """Whether it owes something, and has sent nothing for too long.

        Nobody reads what it sends while a piece of it is verified, so it can't be silent then.
        """
        is_read = self.owed == len(self.asked)
        return self.owed > 0 and is_read and now - self.heard_at > self.patience

    def seconds_for_next(self) -> float:
        """How long one more piece would take, behind those that it owes."""
        rate = self.rate
        return (self.owed + 1) / rate if rate else FIRST_SECONDS

    def owes(self) -> Iterator[int]:
        """The pieces that it owes; the first of them is perhaps on its way."""
        return (piece for piece, request in self.asked.items() if not request.is_here)

    def ask(self, piece: int, now: float) -> None:
        """It owes a piece from now on."""
        if not self.owed:
            self.heard_at = self._mark = now
        self.asked[piece] = Request(now, self.seconds_for_next())
        self.owed += 1

    def arrived(self, piece: int, now: float) -> None:
        """A piece came that was asked of it: measure, and trust it again."""
        request = self.asked[piece]
        if request.is_here:
            return
        request.is_here = True
        self.owed -= 1
        self._pieces = self._pieces * _DECAY + 1
        self._seconds = self._seconds * _DECAY + max(now - self._mark, 0.0)
        self._mark = self.heard_at = now
        self.trust()

    def trust(self) -> None:
        """It may be asked again, as before."""
        self.failures = 0
        self.paused_until = 0.0
        self.was_silent = False

    def release(self, piece: int) -> bool:
        """A piece is not expected of it any more; False if it was not."""
        request = self.asked.pop(piece, None)
        if request is None:
            return False
        self.owed -= not request.is_here
        return True

    def fail(self, now: float, seconds: float, *, was_silent: bool = False) -> None:
        """It was silent or busy: leave it alone for a while, longer each time."""
        self.was_silent = was_silent
        self.failures += 1
        pause = min(seconds * 2 ** min(self.failures - 1, 10), limits.BACKOFF_SECONDS_MAX)
        self.paused_until = now + pause
