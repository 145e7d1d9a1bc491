"""Carries out what the operator orders, beside the requests of users."""

from __future__ import annotations

from collections.abc import Collection

from ..protocol import messages as wire
from . import orders
from .blocks import Blocks
from .catalogue import Catalogue
from .commands import NOBODY, Operate
from .effects import Operated
from .gatekeeper import Gatekeeper
from .journal import BlockChange, Journal
from .outgoing import Outgoing
from .post_office import PostOffice
from .presence import Presence
from .registry import Registry

NAME = "the operator"
"""Whose announcements they are: no user's name has a blank."""


class Operator:
    """Carries out orders; the attributes of a broker are its arguments."""

    def __init__(
        self,
        *,
        gatekeeper: Gatekeeper,
        presence: Presence,
        blocks: Blocks,
        catalogue: Catalogue,
        registry: Registry,
        post: PostOffice,
        journal: Journal,
        outgoing: Outgoing,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._presence = presence
        self._blocks = blocks
        self._catalogue = catalogue
        self._registry = registry
        self._post = post
        self._journal = journal
        self._outgoing = outgoing

    def obey(self, command: Operate, users: Collection[str], now: float) -> None:
        """Do what was ordered; tell what came of it, now or when it is on disk."""
        order = command.order
        is_durable = False
        match order:
            case orders.Kick(user, text):
                was_online = self._gatekeeper.kick(user, text, now)
                outcome = orders.Outcome(users=1) if was_online else orders.Outcome("not_online")
            case orders.Announce(text, key):
                receivers = list(self._presence.online.values())
                announcement = wire.Announcement(NAME, key, 1, text, operator=True)
                self._outgoing.send_many(receivers, announcement)
                outcome = orders.Outcome(users=len(receivers))
            case orders.SetLogins(on, text):
                self._gatekeeper.set_logins(on, text)
                outcome = orders.Outcome()
            case orders.RemoveFiles(name, owner):
                names = [name] if self._catalogue.get(name) else self._catalogue.owned_by(owner)
                outcome = orders.Outcome("" if names else "no_file", files=len(names))
                self._registry.remove(names, now)
                is_durable = True
            case orders.ForgetUser(user, keep):
                outcome = self._forget(user, users, now, keep=keep)
                is_durable = not keep
        if is_durable and not outcome.problem:
            self._journal.answer_order(command.number, outcome, now)
        else:
            self._outgoing.add(Operated(command.number, outcome))

    def _forget(
        self, user: str, users: Collection[str], now: float, *, keep: bool
    ) -> orders.Outcome:
        pairs = [pair for pair in self._blocks if user in pair]
        if keep:
            waiting, owned = self._post.waiting(user), len(self._catalogue.owned_by(user))
            return orders.Outcome(messages=waiting, blocks=len(pairs), files=owned)
        if user in users:
            return orders.Outcome("has_account")
        messages = self._post.forget(user, now)
        if messages is None:
            return orders.Outcome("busy")
        self._gatekeeper.forget(user)
        for blocker, blocked in pairs:
            self._blocks.set(blocker, blocked, False)
            self._journal.add_block(BlockChange(blocker, blocked, False, NOBODY, 0), now)
        files = self._registry.forget(user, now)
        return orders.Outcome(messages=messages, blocks=len(pairs), files=files)
