"""What can come of what is wanted of a file, why the rest can't, and what a person is told."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import trio

from ...swarm.download import Download
from ...swarm.manifest import Manifest
from ...swarm.pieces import PieceSet
from .holders import Holders
from .sources import Sources
from .want import Want, Wants

ALONE_SECONDS_MAX = 60.0
"""How long a file is looked for that nobody has any more; more than it takes to connect."""

TELL_AGAIN_SECONDS = 30.0
"""How often a person is told, at most, that the rest of a file is waited for."""


class Outlook:
    """Judges what is wanted of one file.

    Attributes:
        download: that brings it; none before it is known what is here.

    Args:
        manifest: of the file.
        wants: what is wanted of it.
        holders: who has it, and what became of asking them.
        sources: from whom it comes.
        may_get_hashes: whether somebody may still send the hashes, before there is a download.
        say: called with what the person should know.
    """

    def __init__(
        self,
        manifest: Manifest,
        wants: Wants,
        holders: Holders,
        sources: Sources,
        may_get_hashes: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        self.download: Download | None = None
        self._manifest = manifest
        self._wants = wants
        self._holders = holders
        self._sources = sources
        self._may_get_hashes = may_get_hashes
        self._say = say
        self._said, self._said_at = "", -math.inf  # that the rest is waited for

    def is_here(self, want: Want) -> bool:
        """Whether all of it is here."""
        return self.download is not None and self._wants.is_here(want, self.download.have)

    def judge(self, want: Want) -> str | None:
        """Why something can't be had that is not here; none as long as it may come."""
        now = trio.current_time()
        if self._can_come(want):
            want.seen_at = now
            return None
        failure = self._why_in_vain(want)
        if failure is None and now - want.seen_at >= ALONE_SECONDS_MAX:
            failure = self._cause(want)
        return failure

    @property
    def trouble(self) -> str | None:
        """Why nothing comes at present; none if something does, or may soon."""
        wants = list(self._wants)
        if not wants or self._sources.is_trying or any(map(self._can_come, wants)):
            return None
        return self._cause(wants[0])

    def _can_come(self, want: Want) -> bool:
        """Whether somebody has what is missing; before that is known, may send the hashes."""
        if self.download is None:
            return self._may_get_hashes()
        if self._is_from_anybody(want):
            return self.download.can_go_on
        have = self._sources.holdings.get(want.user)
        return have is not None and self._wants.can_bring(want, have, self.download.have)

    def _is_from_anybody(self, want: Want) -> bool:
        """While the whole file is wanted too, a chunk may come from others than was asked for."""
        return not want.user or self._wants.for_anybody is not None

    def _why_in_vain(self, want: Want) -> str | None:
        """Why it is of no use to wait for what can't come now; none if it may be."""
        user = want.user
        if self._is_from_anybody(want):
            return None
        trouble = self._holders.lasting_trouble(user)
        if trouble is not None:
            return trouble
        if user in self._sources.holdings:
            return None if self.download is None else f"{user} does not have that"
        if self._sources.is_busy_with(user) or self._holders.has(user, want.chunks):
            return None
        return f"{user} is not online, or does not have that any more"

    def _cause(self, want: Want) -> str:
        if not self._is_from_anybody(want):
            return self._holders.trouble(want.user) or f"{want.user} does not answer"
        reached, together = self._reached()
        return self._holders.cause(reached, self._chunks_in(together))

    def _reached(self) -> tuple[list[str], PieceSet]:
        """Those who have some of it and can be asked, and what they have together."""
        reached = {
            user: have
            for user, have in self._sources.holdings.items()
            if have and not self._holders.is_tried(user)
        }
        together = PieceSet(self._manifest.pieces)
        for have in reached.values():
            together |= have
        return list(reached), together

    def _chunks_in(self, pieces: PieceSet) -> int:
        chunks = range(1, self._manifest.chunks + 1)
        return sum(pieces.has_range(self._manifest.pieces_of(chunk)) for chunk in chunks)

    def tell_what_is_lacking(self) -> None:
        """Say what nobody has who can be reached, and how long the others are waited for."""
        want, now = self._wants.for_anybody, trio.current_time()
        if want is None or self._sources.is_trying or self.is_here(want):
            return
        reached, together = self._reached()
        if self.download is None:
            lacks = not reached
        else:
            lacks = not self._wants.is_here(want, together | self.download.have)
        waits = lacks and not self._can_come(want)
        said = "waits" if waits else "lacks" if lacks else ""
        is_late = now - self._said_at >= TELL_AGAIN_SECONDS
        if said == self._said or (self._said == "waits" and not is_late):
            return
        self._said = said
        if not said:
            return
        self._said_at = now
        until = _time_in(want.seen_at + ALONE_SECONDS_MAX - now) if waits else None
        self._say(self._holders.lacking(reached, self._chunks_in(together), until))


def _time_in(seconds: float) -> str:
    """What a clock shows after so many seconds."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
