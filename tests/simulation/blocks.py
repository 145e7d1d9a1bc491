"""What can be known from outside of who has blocked whom.

A pair is *blocked* from the confirmation on, and *free* from that of the opposite on, as long
as nothing else was typed. In between, and after an answer that was lost, nobody can know.
"""

from __future__ import annotations

from enum import Enum


class Known(Enum):
    """What is certain of a pair."""

    BLOCKED = "blocked"
    FREE = "free"
    UNSURE = "unsure"


class Pair:
    """One user's wish about another one.

    Attributes:
        known: what is certain now.
        since: from when on.
        pending: commands that were typed and are not answered.
    """

    def __init__(self) -> None:
        self.known = Known.FREE
        self.since = -1.0
        self.pending = 0

    def settle(self, known: Known, now: float) -> None:
        if self.known is not known:
            self.known = known
            self.since = now


class Blocks:
    """All pairs of blocker and blocked."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], Pair] = {}

    def pair(self, blocker: str, blocked: str) -> Pair:
        return self._pairs.setdefault((blocker, blocked), Pair())

    def typed(self, blocker: str, blocked: str, now: float) -> None:
        """Either command was typed: from now on everything is possible."""
        pair = self.pair(blocker, blocked)
        pair.pending += 1
        pair.settle(Known.UNSURE, now)

    def answered(self, blocker: str, blocked: str, known: Known, now: float) -> None:
        """A command was answered; it settles the matter if no other one is on its way."""
        pair = self.pair(blocker, blocked)
        pair.pending = max(0, pair.pending - 1)
        if not pair.pending:
            pair.settle(known, now)

    def client_ended(self, blocker: str, now: float) -> None:
        """What a client has not heard the answer to may have been done or not."""
        for (user, _), pair in self._pairs.items():
            if user == blocker and pair.pending:
                pair.pending = 0
                pair.settle(Known.UNSURE, now)

    def has_blocked(self, blocker: str, blocked: str, since: float) -> bool:
        """Whether a block is certain that was confirmed before a time, and holds."""
        pair = self.pair(blocker, blocked)
        return pair.known is Known.BLOCKED and pair.since < since

    def is_free(self, blocker: str, blocked: str, since: float) -> bool:
        """Whether there is certainly no block, and was none since a time."""
        pair = self.pair(blocker, blocked)
        return pair.known is Known.FREE and pair.since < since

    def blocked_pairs(self) -> list[tuple[str, str]]:
        """All that are certain."""
        return [key for key, pair in self._pairs.items() if pair.known is Known.BLOCKED]
