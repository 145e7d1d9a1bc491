"""How many others may be connected to a client at one time, so that nobody takes all places.

A stranger has shown no ticket yet. Whoever keeps to the protocol is one for a moment only, so the
stranger who has been one for longest makes room for a new one: first among those of the same
address, since one machine can be many strangers. Guests were introduced; each user may have a few
connections, and those for private messages and those that fetch files can't take each other's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from .. import limits
from ..addresses import neighbourhood
from ..net.transport import HandshakeError, Transport
from ..protocol.messages import Introduced, Purpose

_GUESTS_MAX: dict[Purpose, tuple[int, int]] = {
    "private": (limits.PEER_LINKS_MAX, limits.PEER_LINKS_USER_MAX),
    "files": (limits.PEER_FETCHERS_MAX, limits.PEER_FETCHERS_USER_MAX),
}
"""For each purpose how many guests there may be, and how many of them may be one user's."""


class Visitors:
    """Those who are connected."""

    def __init__(self) -> None:
        self._strangers: dict[trio.CancelScope, str] = {}  # and their addresses; the oldest first
        self._guests: Counter[tuple[Purpose, str]] = Counter()

    @contextmanager
    def stranger(self, transport: Transport) -> Iterator[None]:
        """Count a connection as a stranger's for the length of a block.

        Raises:
            HandshakeError: if the block was cancelled, as others wanted the place.
        """
        address = neighbourhood(transport.peer_host)
        neighbours = [scope for scope, where in self._strangers.items() if where == address]
        if len(neighbours) >= limits.PEER_STRANGERS_ADDRESS_MAX:
            self._throw_out(neighbours[0])
        elif len(self._strangers) >= limits.PEER_STRANGERS_MAX:
            self._throw_out(next(iter(self._strangers)))
        with trio.CancelScope() as scope:
            self._strangers[scope] = address
            try:
                yield
            finally:
                self._strangers.pop(scope, None)
        if scope.cancelled_caught:
            raise HandshakeError("others wanted its place")

    def _throw_out(self, stranger: trio.CancelScope) -> None:
        del self._strangers[stranger]
        stranger.cancel()

    @contextmanager
    def guest(self, introduced: Introduced) -> Iterator[None]:
        """Count a connection as a guest's for the length of a block.

        Raises:
            HandshakeError: if there are too many.
        """
        purpose, key = introduced.purpose, (introduced.purpose, introduced.user)
        guests_max, each_max = _GUESTS_MAX[purpose]
        guests = sum(count for (other, _), count in self._guests.items() if other == purpose)
        if guests >= guests_max or self._guests[key] >= each_max:
            raise HandshakeError("there are too many connections")
        self._guests[key] += 1
        try:
            yield
        finally:
            self._guests[key] -= 1
            if not self._guests[key]:
                del self._guests[key]
