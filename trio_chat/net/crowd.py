"""How many connections each address has: one stranger can't take the places of all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trio

from ..addresses import is_loopback, neighbourhood
from .transport import HandshakeError, Transport


class Crowd:
    """Counts connections from before their first byte until they are closed.

    This machine's own addresses are free: tunnels end there, and people share it.

    Args:
        each_max: how many an address may have at one time; 0 for any number.
        refusal: what to tell the others. Who speaks TLS can't read it, and sees the end only.
    """

    def __init__(self, each_max: int, refusal: bytes = b"") -> None:
        self._each_max = each_max
        self._refusal = refusal
        self._counts: Counter[str] = Counter()

    @contextmanager
    def place_for(self, transport: Transport) -> Iterator[None]:
        """Count a connection for the length of a block.

        Raises:
            HandshakeError: if its address has too many; the connection is closed.
        """
        if not self._each_max or is_loopback(transport.peer_host):
            yield
            return
        network = neighbourhood(transport.peer_host)
        if self._counts[network] >= self._each_max:
            # At once: to wait for anything would give it a place after all.
            with suppress(trio.BrokenResourceError):
                transport.send_nowait(self._refusal)
            transport.close()
            raise HandshakeError("its address has too many connections")
        self._counts[network] += 1
        try:
            yield
        finally:
            self._counts[network] -= 1
            if not self._counts[network]:
                del self._counts[network]
