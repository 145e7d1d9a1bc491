"""What many runs together must have met: a simulation in which nothing breaks proves nothing."""

from __future__ import annotations

from collections.abc import Mapping

SEEDS_MIN = 50
"""So many seeds must have met all of these."""

NEEDED = (
    "messages typed",
    "broadcasts typed",
    "privates typed",
    "private messages acknowledged",
    "lines shown and not recorded",
    "logins",
    "resumptions",
    "sessions taken over",
    "requests repeated",
    "lines dropped by clients",
    "logins refused",
    "blocks done",
    "unblocks done",
    "presence checks",
    "histories checked",
    "introductions",
    "files registered",
    "files downloaded",
    "commits",
    "commits failed",
    "connections reset",
    "connections closed midway",
    "connections half open",
    "directions stalled",
    "hosts partitioned",
    "clients killed",
    "machines lost",
    "screens stalled",
    "strangers",
    "server crashes",
    "server machines lost",
    "server stops",
    "refused: blocked_by_recipient",
    "refused: mailbox_share_full",
    "refused: not_stored",
    "refused: busy",
    "closed: idle",
    "closed: slow",
    "closed: stopping",
    "closed: mailbox_unreadable",
)


def missing(counts: Mapping[str, int], seeds: int) -> list[str]:
    """What did not happen in any of so many runs, and should have."""
    return [name for name in NEEDED if not counts.get(name)] if seeds >= SEEDS_MIN else []
