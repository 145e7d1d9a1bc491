"""Who is online, and which names of users and files were heard of: to count and to complete.

Rule: pure. It follows what the server says anyway; whoever has just logged in asks `whoelse` once,
as nothing else tells who was there before.
"""

from __future__ import annotations

from itertools import chain, islice

from .. import limits
from ..protocol import messages as wire
from ..text import clean_line


class Roster:
    """What one client has heard of, the latest first where it has a bound."""

    def __init__(self) -> None:
        self._online: dict[str, None] | None = None
        self._known: dict[str, None] = {}
        self._files: dict[str, None] = {}

    @property
    def online(self) -> tuple[str, ...] | None:
        """Who else is online; none as long as nobody has asked."""
        return None if self._online is None else tuple(self._online)

    @property
    def known(self) -> tuple[str, ...]:
        """Other users of whom the server has told, whether they are online or not."""
        return tuple(reversed(self._known))

    @property
    def files(self) -> tuple[str, ...]:
        """Files that were found."""
        return tuple(reversed(self._files))

    def learn(self, message: wire.ServerMessage, request: wire.Request | None = None) -> bool:
        """Note what a message of the server tells; return whether it tells anything.

        Args:
            message: what it sent.
            request: if that is a reply, what it replies to.
        """
        match message, request:
            case wire.Presence(user, online), _:
                self._came_or_went(clean_line(user), online=online)
            case wire.Users(users=users), wire.WhoElse():
                self._online = dict.fromkeys(clean_line(user) for user in users)
            case wire.Users(users=users), _:
                self._hear_of(*users)
            case ((wire.Delivery(sender=user) | wire.Announcement(sender=user, operator=False)), _):
                self._hear_of(user)
            case wire.Ok(), (
                wire.Message(to=user) | wire.Block(user=user) | wire.Unblock(user=user)
            ):
                self._hear_of(user)
            case wire.Found(file=wire.File(), holders=holders), wire.Search(name=name):
                self._hear_of(*(holder.user for holder in islice(holders, limits.SOURCES_MAX)))
                _remember(self._files, clean_line(name))
            case _:
                return False
        return True

    def _came_or_went(self, user: str, *, online: bool) -> None:
        self._hear_of(user)
        if self._online is None:
            return
        if online:
            self._online[user] = None
        else:
            self._online.pop(user, None)

    def _hear_of(self, *users: str) -> None:
        for user in users:
            _remember(self._known, clean_line(user))


def _remember(names: dict[str, None], name: str) -> None:
    """Put a name last; the one that was not heard of for longest is forgotten."""
    names.pop(name, None)
    names[name] = None
    if len(names) > limits.NAMES_REMEMBERED_MAX:
        del names[next(iter(names))]


def names(online: tuple[str, ...] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """All names that may be meant, those who are online first."""
    return tuple(dict.fromkeys(chain(online or (), known)))
