"""The broker: the one owner of all chat state.

`Broker.handle` takes one command and returns the effects that it has, in order; nothing
else changes the state, and exactly one task calls it. What a request may do depends on the
phase of its session, and that is a table (`_REQUESTS`): to add a request is to add its
message, a row and a method.

What one user does reaches another by way of `Blocks` only: in `_message`, `_broadcast`,
`_introduce`, `Registry.search`, and the `Gatekeeper`'s notices of who comes and goes. `_whoelse`
and `_whoelsesince` list everybody nevertheless, as the assignment has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar

from .. import limits
from ..errors import ErrorCode
from ..protocol import messages as wire
from ..protocol.framing import encode_line
from ..text import is_blank, normal
from . import commands
from .beginning import Restored, Settings
from .blocks import Blocks
from .catalogue import Catalogue, Entry
from .commands import NOBODY, Command, SessionId
from .effects import Effect, Operated
from .gatekeeper import Gatekeeper
from .introductions import introduce
from .journal import BlockChange, Journal
from .operator import Operator
from .orders import Outcome
from .outgoing import Outgoing
from .post_office import PostOffice
from .presence import Presence
from .registry import Registry
from .sessions import Phase, Session, Sessions
from .shares import text_bytes
from .statistics import Statistics
from .written import by_name, composed, fault_of_text

_INTRODUCTION_WEIGHT = limits.REQUESTS_PER_SECOND_MAX // limits.INTRODUCTIONS_PER_SECOND_MAX


def _by(part: str, method: Callable[..., None]) -> Callable[..., None]:
    """A row of the tables below that is the business of a part of the broker."""
    return lambda broker, *arguments: method(getattr(broker, part), *arguments)


class Broker:
    """The state of the chat.

    Attributes:
        users: the names that have an account.

    Args:
        settings: what the operator decides.
        restored: what the store holds from earlier runs.
        now: monotonic seconds.
    """

    def __init__(
        self, users: Collection[str], settings: Settings, restored: Restored, now: float = 0.0
    ) -> None:
        self.users = users
        self._settings = settings
        self._sessions = Sessions()
        self._presence = Presence()
        self._blocks = Blocks(restored.blocks)
        self._blockers_of = self._blocks.by_blocked
        self._catalogue = Catalogue(
            restored.files, restored.idle_seconds, settings.keep_files_seconds, now
        )
        self._journal = Journal()
        self._outgoing = Outgoing(self._sessions.by_id)
        self._post = PostOffice(
            restored.waiting, restored.last_seq, self._sessions, self._journal, self._outgoing
        )
        self._gatekeeper = Gatekeeper(
            users,
            settings,
            sessions=self._sessions,
            presence=self._presence,
            blocks=self._blocks,
            catalogue=self._catalogue,
            post=self._post,
            outgoing=self._outgoing,
        )
        self._registry = Registry(
            self._catalogue, self._sessions, self._blocks, self._journal, self._outgoing
        )
        self._operator = Operator(
            gatekeeper=self._gatekeeper,
            presence=self._presence,
            blocks=self._blocks,
            catalogue=self._catalogue,
            registry=self._registry,
            post=self._post,
            journal=self._journal,
            outgoing=self._outgoing,
        )
        self._is_busy = False
        self._audience_key = NOBODY, 0, 0
        self._audience: list[SessionId] = []

    # -- What the shell uses ---------------------------------------------------------------

    def handle(self, command: Command, now: float) -> list[Effect]:
        """Change the state as the command says; return what is to be done about it.

        Args:
            command: what happened.
            now: monotonic seconds; never less than at the call before.
        """
        done = self._outgoing.begin()
        self._COMMANDS[type(command)](self, command, now)
        journal = self._journal
        if journal.due <= now and journal.under_way is None:
            commit = journal.begin(now)
            if commit is not None:
                done.append(commit)
        return done

    def next_deadline(self) -> float:
        """When a `Tick` is due, in monotonic seconds, if no other command comes before."""
        return min(
            self._sessions.next_deadline(),
            self._journal.next_deadline(),
            self._catalogue.next_visit(),
        )

    @property
    def has_stopped(self) -> bool:
        """After `Stop`: everybody was told, and nothing waits for the disk."""
        return self._gatekeeper.is_stopping and self._journal.is_empty

    @property
    def statistics(self) -> Statistics:
        """How many are online and what waits; it looks at every mailbox."""
        waiting = [len(mailbox) for mailbox in self._post.mailboxes.values() if len(mailbox)]
        online, logins_off = len(self._presence.online), self._gatekeeper.logins_off
        return Statistics(online, len(waiting), sum(waiting), logins_off)

    def files(self, start: int, size: int) -> list[Entry]:
        """See `Catalogue.page`."""
        return self._catalogue.page(start, size)

    def user_of(self, session: SessionId) -> str:
        """Who is logged in on a session; empty if nobody is, or it is gone."""
        found = self._sessions.by_id.get(session)
        return found.user if found is not None else ""

    # -- Commands --------------------------------------------------------------------------

    def _requests(self, command: commands.Requests, now: float) -> None:
        session = self._sessions.by_id.get(command.session)
        if session is None:
            return
        phase, allowed = session.phase, self._REQUESTS[session.phase]
        self._is_busy = self._journal.is_full()
        idle_deadline = now + self._settings.idle_seconds
        for request in command.batch:
            kind = type(request)
            row = allowed.get(kind)
            if row is None:
                type_name = str(kind.__struct_config__.tag)
                self._gatekeeper.violation(
                    session, now, ErrorCode.WRONG_PHASE, type=type_name, phase=phase.value
                )
                return
            handler, is_numbered, is_activity = row
            if is_numbered:
                number: int = request.id  # type: ignore[union-attr]  # as the table says
                if number <= session.last_id:
                    self._gatekeeper.violation(
                        session,
                        now,
                        ErrorCode.ID_NOT_INCREASING,
                        ours=session.last_id,
                        theirs=number,
                    )
                    return
                session.last_id = number
            if is_activity:
                session.deadline = idle_deadline
            handler(self, session, request, now)
            if session.phase is not phase:
                if session.phase is Phase.ENDED:
                    return  # what came after the request that ended it is void
                phase, allowed = session.phase, self._REQUESTS[session.phase]

    def _users_changed(self, command: commands.UsersChanged, now: float) -> None:
        self.users = command.users
        self._gatekeeper.change_users(command.users, command.changed, now)

    def _operate(self, command: commands.Operate, now: float) -> None:
        self._operator.obey(command, self.users, now)

    def _tick(self, command: commands.Tick, now: float) -> None:
        self._gatekeeper.tick(now)
        self._registry.tick(now)

    def _stop(self, command: commands.Stop, now: float) -> None:
        self._gatekeeper.stop(now)
        self._journal.hurry(now)

    # -- Requests: messages (section 3.3) ------------------------------------------------------

    def _message(self, session: Session, request: wire.Message, now: float) -> None:
        # The hot path: every message takes it, and _ack.
        recipient, text = request.to, request.text
        if request.id <= session.repeats_until:
            self._post.repeat(session, composed(request))
            return
        sender = session.user
        size = len(text) if text.isascii() else text_bytes(text)
        if (
            size > limits.TEXT_BYTES_MAX
            or (not "!" <= text <= "~" and is_blank(text))
            or recipient not in self.users
            or recipient == sender
            or recipient in self._blockers_of.get(sender, ())
            or self._is_busy
            or not self._post.accept(session, request, size, now)
        ):
            self._refuse_message(session, request, size, now)

    def _refuse_message(
        self, session: Session, request: wire.Message, size: int, now: float
    ) -> None:
        """Say why, in the order of what its sender can do about it."""
        recipient = request.to
        if normal(recipient) != recipient:
            self._message(session, composed(request), now)
            return
        code = fault_of_text(request.text, size)
        if code is None:
            if recipient not in self.users:
                code = ErrorCode.UNKNOWN_USER
            elif recipient == session.user:
                code = ErrorCode.MESSAGE_SELF
            elif recipient in self._blocks.blockers_of(session.user):
                code = ErrorCode.BLOCKED_BY_RECIPIENT
            elif self._is_busy:
                code = ErrorCode.BUSY
            else:
                fault = self._post.mailboxes[recipient].fault(session.user, size)
                code = fault or ErrorCode.MAILBOX_FULL
        text = code.describe(size=size, user=recipient)
        error = wire.Error(session.code_for(code), text, request.id)
        session.history.remember(error)
        self._outgoing.send(session.id, error)

    def _ack(self, session: Session, request: wire.Ack, now: float) -> None:
        self._post.acknowledge(session, request.seq, now)

    def _broadcast(self, session: Session, request: wire.Broadcast, now: float) -> None:
        size = text_bytes(request.text)
        code = fault_of_text(request.text, size)
        if code is not None:
            self._outgoing.refuse(session.id, request.id, code, size=size)
            return
        if request.id <= session.repeats_until:
            reply = session.history.reply(request.id) or wire.Sent(request.id, True)
            self._outgoing.send(session.id, reply)
            return
        receivers = self._audience_of(session)
        announcement = wire.Announcement(session.user, session.client, request.id, request.text)
        self._outgoing.send_many(receivers, announcement)
        # Those who are offline miss it anyway, so only a blocker who is online counts.
        sent = wire.Sent(request.id, len(receivers) == len(self._presence.online) - 1)
        if not sent.complete:
            session.history.remember(sent)
        self._outgoing.send(session.id, sent)

    def _audience_of(self, session: Session) -> list[SessionId]:
        """Whom a broadcast reaches: the same list again as long as nothing has changed."""
        key = session.id, self._presence.version, self._blocks.version
        if self._audience_key != key:
            blockers = self._blocks.blockers_of(session.user)
            self._audience_key = key
            self._audience = [
                receiver
                for user, receiver in self._presence.online.items()
                if receiver != session.id and user not in blockers
            ]
        return self._audience

    # -- Requests: the others ------------------------------------------------------------------

    def _whoelse(self, session: Session, request: wire.WhoElse, now: float) -> None:
        if not request.unasked:
            session.deadline = now + self._settings.idle_seconds
        self._list(session, request.id, self._presence.others(session.user))

    def _whoelsesince(self, session: Session, request: wire.WhoElseSince, now: float) -> None:
        users = self._presence.others_since(session.user, now - request.seconds)
        self._list(session, request.id, users)

    def _list(self, session: Session, id: int, users: tuple[str, ...]) -> None:
        """Answer with names, unless they are too many for a line."""
        reply = wire.Users(id, users)
        if (
            len(users) > limits.USERS_UNMEASURED_MAX
            and len(encode_line(reply)) >= limits.SERVER_LINE_BYTES_MAX
        ):
            self._outgoing.refuse(session.id, id, ErrorCode.TOO_MANY_USERS)
        else:
            self._outgoing.send(session.id, reply)

    def _block(self, session: Session, request: wire.Block | wire.Unblock, now: float) -> None:
        """Block a user, or end that; whoever was blocked may have no account any more."""
        on, user = isinstance(request, wire.Block), request.user
        is_blocked = user in self._blocks.blocked_by(session.user)
        if user == session.user:
            code = ErrorCode.BLOCK_SELF if on else ErrorCode.UNBLOCK_SELF
            self._outgoing.refuse(session.id, request.id, code)
        elif user not in self.users and (on or not is_blocked):
            self._outgoing.refuse(session.id, request.id, ErrorCode.UNKNOWN_USER)
        elif on is is_blocked:
            code = ErrorCode.ALREADY_BLOCKED if on else ErrorCode.NOT_BLOCKED
            self._refuse_block(session, request, code)
        else:
            self._set_block(session, request, on, now)

    def _set_block(
        self, session: Session, request: wire.Block | wire.Unblock, on: bool, now: float
    ) -> None:
        """It holds from now on; it is confirmed when it will hold after a crash too."""
        self._blocks.set(session.user, request.user, on)
        change = BlockChange(session.user, request.user, on, session.id, request.id)
        self._journal.add_block(change, now)

    def _refuse_block(
        self, session: Session, request: wire.Block | wire.Unblock, code: ErrorCode
    ) -> None:
        change = self._journal.find_block(session.user, request.user)
        if change is not None and request.id <= session.repeats_until:
            # A repetition is not answered before the commit that decides on it.
            change.reply_to, change.id = session.id, request.id
        else:
            self._outgoing.refuse(session.id, request.id, code, user=request.user)

    def _listening(self, session: Session, request: wire.Listening, now: float) -> None:
        session.listening = request

    def _introduce(self, session: Session, request: wire.Introduce, now: float) -> None:
        name = request.user
        user = self._sessions.by_id.get(self._presence.online.get(name, NOBODY))
        code = None
        if name == session.user:
            code = ErrorCode.INTRODUCE_SELF
        elif name not in self.users:
            code = ErrorCode.UNKNOWN_USER
        elif name in self._blocks.blockers_of(session.user):  # before: or presence would leak
            code = ErrorCode.BLOCKED_BY_PEER
        elif user is None:
            code = ErrorCode.PEER_OFFLINE
        elif user.listening is None or session.listening is None:
            code = ErrorCode.PEER_NOT_LISTENING
            name = name if user.listening is None else session.user
        else:
            introduction, introduced = introduce(request, session, user)
            self._outgoing.send_many([user.id], introduced, weight=_INTRODUCTION_WEIGHT)
            self._outgoing.send(session.id, introduction)
        if code is not None:
            self._outgoing.refuse(session.id, request.id, code, user=name)

    def _active(self, session: Session, request: wire.Active, now: float) -> None:
        """Its arrival has moved the deadline, as any request does."""

    # -- The store's answers ---------------------------------------------------------------

    def _committed(self, command: commands.Committed, now: float) -> None:
        group = self._journal.end(command.number)
        self._post.committed(group)
        for change in group.blocks:
            self._outgoing.answer(change.reply_to, wire.Ok(change.id))
        self._registry.committed(group)
        for number, outcome in group.orders:
            self._outgoing.add(Operated(number, outcome))

    def _commit_failed(self, command: commands.CommitFailed, now: float) -> None:
        """Refuse what could not be kept; what was promised before goes into the next one."""
        group = self._journal.end(command.number)
        self._post.commit_failed(group, now)
        changes = self._journal.take_back_blocks(group)
        for change in reversed(changes):
            self._blocks.set(change.blocker, change.blocked, not change.on)
        code = ErrorCode.NOT_STORED
        for change in changes:
            self._outgoing.answer(change.reply_to, wire.Error(code, code.describe(), change.id))
        self._registry.commit_failed(group, now)
        self._journal.retry_acknowledged(group, now)
        for number, _ in group.orders:
            self._outgoing.add(Operated(number, Outcome("not_stored")))

    def _mailbox_loaded(self, command: commands.MailboxLoaded, now: float) -> None:
        online = self._presence.online.get(command.user, NOBODY)
        session = self._sessions.by_id.get(online)
        self._post.loaded(command.user, command.deliveries, session)
        if session is not None and command.deliveries is None:
            code = ErrorCode.MAILBOX_UNREADABLE
            self._gatekeeper.end(session, wire.Closed(code, code.describe()), now)

    _COMMANDS: ClassVar[dict[type, Callable[[Broker, Any, float], None]]] = {
        commands.SessionOpened: _by("_gatekeeper", Gatekeeper.session_opened),
        commands.SessionClosed: _by("_gatekeeper", Gatekeeper.session_closed),
        commands.SessionFailed: _by("_gatekeeper", Gatekeeper.session_failed),
        commands.Requests: _requests,
        commands.PasswordChecked: _by("_gatekeeper", Gatekeeper.password_checked),
        commands.Committed: _committed,
        commands.CommitFailed: _commit_failed,
        commands.MailboxLoaded: _mailbox_loaded,
        commands.UsersChanged: _users_changed,
        commands.Operate: _operate,
        commands.Tick: _tick,
        commands.Stop: _stop,
    }

    # What is allowed in which phase: the method, whether the request has a number, and whether
    # it shows that its user is there (section 3.1, timeout).
    _REQUESTS: ClassVar[dict[Phase, dict[type, tuple[_Handler, bool, bool]]]] = {
        Phase.GREETING: {wire.Hello: (_by("_gatekeeper", Gatekeeper.hello), False, False)},
        Phase.LOGIN: {
            wire.Login: (_by("_gatekeeper", by_name(Gatekeeper.login)), True, False),
            wire.Resume: (_by("_gatekeeper", by_name(Gatekeeper.resume)), True, False),
            wire.Listening: (_listening, False, False),
        },
        Phase.CHECKING: {},
        Phase.ONLINE: {
            wire.Message: (_message, True, True),
            wire.Ack: (_ack, False, False),
            wire.Broadcast: (_broadcast, True, True),
            wire.WhoElse: (_whoelse, True, False),
            wire.WhoElseSince: (_whoelsesince, True, True),
            wire.Block: (by_name(_block), True, True),
            wire.Unblock: (by_name(_block), True, True),
            wire.Listening: (_listening, False, False),
            wire.Introduce: (by_name(_introduce), True, False),
            wire.Register: (_by("_registry", by_name(Registry.register)), True, False),
            wire.Unregister: (_by("_registry", by_name(Registry.unregister)), True, False),
            wire.Search: (_by("_registry", Registry.search), True, False),
            wire.Active: (_active, False, True),
            wire.Logout: (_by("_gatekeeper", Gatekeeper.logout), True, True),
        },
    }


_Handler = Callable[[Broker, Session, Any, float], None]
