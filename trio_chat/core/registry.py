"""Registering files, and finding who holds them (section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from .. import limits
from ..errors import ErrorCode
from ..protocol import messages as wire
from ..text import normal
from .blocks import Blocks
from .catalogue import Catalogue, Entry, fault_of
from .commands import NOBODY, SessionId
from .journal import FileChange, Group, Journal
from .outgoing import Outgoing
from .sessions import Session, Sessions


class Registry:
    """Answers what clients say and ask about files.

    Args:
        catalogue: which it changes.
        sessions: those that have not ended.
        blocks: who may not know of whom.
        journal: takes what must become durable.
        outgoing: takes what is to be sent.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        sessions: Sessions,
        blocks: Blocks,
        journal: Journal,
        outgoing: Outgoing,
    ) -> None:
        self._catalogue = catalogue
        self._sessions = sessions
        self._blocks = blocks
        self._journal = journal
        self._outgoing = outgoing

    # -- What clients say ----------------------------------------------------------------------

    def register(self, session: Session, request: wire.Register, now: float) -> None:
        """A client holds a file, or some of it; nobody may know the file yet."""
        file, user = request.file, session.user
        known = self._catalogue.get(file.name)
        is_new = known is None or known.file != file
        code, reason = None, fault_of(file, request.chunks)
        if reason is not None:
            code = ErrorCode.BAD_FILE
        elif known is None:
            code = self._catalogue.fault_of_share(user)
        elif is_new and not (request.replace and known.owner == user):
            code = ErrorCode.FILE_DIFFERS
        if code is None and not self._catalogue.can_hold(session.id, file.name):
            code = ErrorCode.FILES_SHARE_FULL
        if code is not None:
            self._outgoing.refuse(session.id, request.id, code, reason=reason, name=file.name)
            return
        registered = wire.Registered(request.id, is_new)
        if is_new:
            entry = Entry(user, file, now)
            self._change(file.name, entry, now, session.id, registered)
        elif known is not None and known.unsafe:
            self._change(file.name, known, now, session.id, registered)
        else:
            self._outgoing.send(session.id, registered)
        self._catalogue.hold(session.id, file.name, request.chunks, now, fetching=request.fetching)

    def unregister(self, session: Session, request: wire.Unregister, now: float) -> None:
        """A client does not hold a file any more, and its user does not own the name."""
        name = request.name
        known = self._catalogue.get(name)
        if known is None or (known.owner != session.user and session.id not in known.holders):
            code = ErrorCode.NOT_REGISTERED
            self._outgoing.refuse(session.id, request.id, code, name=name)
            return
        ok = wire.Ok(request.id)
        if known.owner == session.user:
            self._let_go(known, now, session.id, ok)
        else:
            self._catalogue.hold(session.id, name, (), now, fetching=False)
            self._outgoing.send(session.id, ok)

    def search(self, session: Session, request: wire.Search, now: float) -> None:
        """Who holds a file, of those who have not blocked the asker."""
        blockers = self._blocks.blockers_of(session.user)
        holders: list[wire.Holder] = []
        name = normal(request.name)
        found = self._catalogue.holders(name, request.chunks, fetchers=request.fetchers)
        for id, chunks in found:
            user = self._sessions.by_id[id].user
            if user not in blockers:
                holders.append(wire.Holder(user, chunks))
                if len(holders) == limits.HOLDERS_MAX:
                    break
        entry = self._catalogue.get(name) if holders else None
        file = entry.file if entry is not None else None
        if file is not None and name != request.name:
            file = replace(file, name=request.name)  # older clients believe no other name
        self._outgoing.send(session.id, wire.Found(request.id, file, tuple(holders)))

    # -- What the operator and time do ---------------------------------------------------------

    def remove(self, names: Sequence[str], now: float) -> None:
        """Remove names, whoever holds them."""
        for name in names:
            self._change(name, None, now)

    def forget(self, user: str, now: float) -> int:
        """Let go of all names that a user owns; return how many there were."""
        names = self._catalogue.owned_by(user)
        for name in names:
            entry = self._catalogue.get(name)
            assert entry is not None
            self._let_go(entry, now)
        return len(names)

    def tick(self, now: float) -> None:
        """Look after the names whose turn it is."""
        if now >= self._catalogue.next_visit():
            held, left = self._catalogue.visit(now)
            self._journal.note_held(held, now)
            self.remove(left, now)

    def _let_go(
        self,
        entry: Entry,
        now: float,
        reply_to: SessionId = NOBODY,
        reply: wire.Registered | wire.Ok | None = None,
    ) -> None:
        """The owner of a name leaves it to the first who holds some of the file, or gives it up."""
        heir = None
        for id, chunks in sorted(entry.holders.items()):
            user = self._sessions.by_id[id].user
            if chunks and user != entry.owner:
                heir = entry.given_to(user)
                heir.holders.pop(reply_to, None)
                break
        self._change(entry.file.name, heir, now, reply_to, reply)

    def _change(
        self,
        name: str,
        after: Entry | None,
        now: float,
        reply_to: SessionId = NOBODY,
        reply: wire.Registered | wire.Ok | None = None,
    ) -> None:
        """Let a name stand for something else, and answer when that is on disk."""
        before = self._catalogue.get(name)
        if after is not before:
            self._catalogue.put(name, after, now)
        if after is not None:
            after.unsafe += 1
        self._journal.add_file(FileChange(name, before, after, reply_to, reply), now)

    # -- The store's answers -------------------------------------------------------------------

    def committed(self, group: Group) -> None:
        """A commit is on disk."""
        for change in group.files:
            if change.after is not None:
                change.after.unsafe -= 1
            if change.reply is not None:
                self._outgoing.answer(change.reply_to, change.reply)

    def commit_failed(self, group: Group, now: float) -> None:
        """Nothing of a commit is on disk: names stand again for what they did before."""
        changes = self._journal.take_back_files(group)
        for change in reversed(changes):
            if change.after is not None:
                change.after.unsafe -= 1
            before = change.before
            if before is not change.after:
                if before is not None:
                    for id in before.holders.keys() - self._sessions.by_id.keys():
                        del before.holders[id]
                self._catalogue.put(change.name, before, now)
        code = ErrorCode.NOT_STORED
        for change in changes:
            if change.reply is not None:
                error = wire.Error(code, code.describe(), change.reply.id)
                self._outgoing.answer(change.reply_to, error)
