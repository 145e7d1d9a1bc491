"""The gatekeeper: how sessions begin and end (section 3.1, user authentication and timeout).

It owns what is remembered of those who want to come in: failed logins, attempts by address, and
tokens. Who has come in is in `Sessions` and `Presence`, and everybody is told here of who comes
and goes, except those whom they have blocked.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from .. import __version__
from ..errors import ErrorCode
from ..protocol import messages as wire
from . import commands, effects
from .attempts import Attempts
from .beginning import Settings
from .blocks import Blocks
from .catalogue import Catalogue
from .effects import Close
from .lockouts import Lockouts
from .outgoing import Outgoing
from .post_office import PostOffice
from .presence import Presence
from .sessions import Phase, Session, Sessions
from .tokens import Tokens


class Gatekeeper:
    """Lets sessions in and out.

    Args:
        users: the names that have an account.
        settings: what the operator has decided.
        sessions, presence: who is there.
        blocks: who is not told of whom.
        catalogue: forgets what somebody serves who goes.
        post: delivers what waits for somebody who comes.
        outgoing: takes what is to be sent.

    Attributes:
        is_stopping: after `stop`; nobody is let in any more.
        logins_off: while the operator lets nobody in, what those are told; else empty.
    """

    def __init__(
        self,
        users: Collection[str],
        settings: Settings,
        *,
        sessions: Sessions,
        presence: Presence,
        blocks: Blocks,
        catalogue: Catalogue,
        post: PostOffice,
        outgoing: Outgoing,
    ) -> None:
        self.is_stopping = False
        self.logins_off = ""
        self._users = users
        self._settings = settings
        self._lockouts = Lockouts(users, settings.block_seconds)
        self._attempts = Attempts(settings.logins_per_minute)
        self._tokens = Tokens()
        self._sessions = sessions
        self._presence = presence
        self._blocks = blocks
        self._catalogue = catalogue
        self._post = post
        self._outgoing = outgoing

    # -- What the operator does ------------------------------------------------------------------

    def change_users(self, users: Collection[str], changed: Collection[str], now: float) -> None:
        """Other names have an account now, and some have another password."""
        self._users = users
        self._lockouts.change_users(users)
        self._tokens.change_users(users, changed)
        for user in [user for user in self._presence.online if user not in users]:
            self._expel(user, ErrorCode.ACCOUNT_REMOVED, "", now)

    def kick(self, user: str, text: str, now: float) -> bool:
        """End a user's session, so that its client does not come back by itself.

        Returns:
            Whether there was one.
        """
        self._tokens.void(user)
        if user not in self._presence.online:
            return False
        self._expel(user, ErrorCode.KICKED, text, now)
        return True

    def set_logins(self, on: bool, text: str) -> None:
        """Let people log in, or nobody; what those are told who may not has a usual sentence."""
        self.logins_off = "" if on else text or ErrorCode.LOGINS_OFF.text

    def forget(self, user: str) -> None:
        """Somebody has no account any more, and the next one of this name is another."""
        self._presence.forget(user)

    def _expel(self, user: str, code: ErrorCode, reason: str, now: float) -> None:
        session = self._sessions.by_id[self._presence.online[user]]
        text = f"{code.text}: {reason}" if reason else code.text
        self.end(session, wire.Closed(session.code_for(code), text), now)

    # -- What the shell tells ----------------------------------------------------------------

    def session_opened(self, command: commands.SessionOpened, now: float) -> None:
        """Somebody has connected."""
        if self.is_stopping:
            self._outgoing.add(Close(command.session))
            return
        session = self._sessions.open(command.session, command.client, now - command.waited)
        session.token = command.token
        session.address, session.local_address = command.address, command.local_address

    def session_closed(self, command: commands.SessionClosed, now: float) -> None:
        """A connection is gone."""
        session = self._sessions.by_id.get(command.session)
        if session is not None:
            self._forget(session, now)

    def session_failed(self, command: commands.SessionFailed, now: float) -> None:
        """A connection has to end, for a reason that the shell has found."""
        session = self._sessions.by_id.get(command.session)
        if session is None:
            return
        message: wire.ServerMessage
        if command.code is ErrorCode.SLOW:
            message = wire.Closed(command.code, command.text)
        else:
            message = wire.Error(command.code, command.text)
        self.end(session, message, now)

    def tick(self, now: float) -> None:
        """End the sessions whose time is up."""
        for session in self._sessions.expired(now):
            if session.phase is Phase.ONLINE:
                self._tokens.end(session.user, session.id)
                text = ErrorCode.IDLE.describe(seconds=self._settings.idle_seconds)
                self.end(session, wire.Closed(ErrorCode.IDLE, text), now)
            else:
                code = ErrorCode.LOGIN_TIMEOUT
                self.end(session, wire.Closed(code, code.describe()), now)

    def stop(self, now: float) -> None:
        """Let everybody go."""
        self.is_stopping = True
        code = ErrorCode.STOPPING
        for session in list(self._sessions.by_id.values()):
            self._outgoing.send(session.id, wire.Closed(code, code.describe()))
            self._outgoing.add(Close(session.id))
            # Nobody is told of the others' absence, as they all go at once.
            if session.phase is Phase.ONLINE:
                self._leave(session, now)
            self._sessions.remove(session)

    # -- Logging in --------------------------------------------------------------------------

    def hello(self, session: Session, request: wire.Hello, now: float) -> None:
        """The first line."""
        if request.version != wire.PROTOCOL_VERSION:
            self.violation(
                session,
                now,
                ErrorCode.WRONG_VERSION,
                ours=wire.PROTOCOL_VERSION,
                theirs=request.version,
            )
            return
        session.client = request.client or session.client
        if wire.RESUME not in request.capabilities:
            session.token = ""
        session.knows_codes = wire.CODES in request.capabilities
        session.phase = Phase.LOGIN
        server = f"trio-chat/{__version__}"
        welcome = wire.Welcome(wire.PROTOCOL_VERSION, server, (wire.UNREGISTER,))
        self._outgoing.send(session.id, welcome)

    def login(self, session: Session, request: wire.Login, now: float) -> None:
        """Log in with a password, which has to be checked."""
        if self._refuse_attempt(session, now):
            return
        if self.logins_off:
            self._refuse_login(session, ErrorCode.LOGINS_OFF, now)
            return
        if self._lockouts.is_blocked(request.user, now):
            self._refuse_login(session, ErrorCode.STILL_BLOCKED, now)
            return
        session.phase = Phase.CHECKING
        self._outgoing.add(effects.CheckPassword(session.id, request.user, request.password))

    def password_checked(self, command: commands.PasswordChecked, now: float) -> None:
        """Decide on a login."""
        session = self._sessions.by_id.get(command.session)
        user = command.user
        # Guesses made at the same time are judged one by one: those after the third
        # failure are told no more than that the name is blocked. A wrong one counts even
        # if its connection did not wait for the answer.
        if self._lockouts.is_blocked(user, now):
            if session is not None:
                self._refuse_login(session, ErrorCode.STILL_BLOCKED, now)
        elif not command.correct or user not in self._users:  # it may be gone meanwhile
            blocked = self._lockouts.fail(user, now)
            if session is not None:
                if blocked:
                    self._refuse_login(session, ErrorCode.NOW_BLOCKED, now)
                else:
                    session.phase = Phase.LOGIN
                    self._outgoing.refuse(session.id, session.last_id, ErrorCode.INVALID_PASSWORD)
        else:
            self._lockouts.reset(user)
            if session is not None:
                if self.logins_off:
                    self._refuse_login(session, ErrorCode.LOGINS_OFF, now)
                elif user in self._presence.online:
                    self._refuse_login(session, ErrorCode.ALREADY_ONLINE, now)
                else:
                    self._admit(session, user, now)

    def _refuse_login(self, session: Session, code: ErrorCode, now: float) -> None:
        text = self.logins_off if code is ErrorCode.LOGINS_OFF else code.text
        self.end(session, wire.Error(session.code_for(code), text, session.last_id), now)

    def _refuse_attempt(self, session: Session, now: float) -> bool:
        """Count an attempt to log in; refuse it if there are too many from its address."""
        seconds = self._attempts.try_one(session.address, now)
        if seconds:
            code = ErrorCode.TOO_MANY_ATTEMPTS
            self._outgoing.refuse(session.id, session.last_id, code, seconds=math.ceil(seconds))
        return bool(seconds)

    def resume(self, session: Session, request: wire.Resume, now: float) -> None:
        """Log in with a token."""
        # A token can't be guessed. So a wrong one blocks no name, and a right one works though
        # somebody else's wrong passwords have blocked it.
        if self._refuse_attempt(session, now):
            return
        user = request.user
        lost = self._tokens.find(user, session.client, request.token, now)
        online = self._presence.online.get(user)
        if lost is None:
            self._outgoing.refuse(session.id, session.last_id, ErrorCode.INVALID_TOKEN)
        elif online is None and self.logins_off:
            self._refuse_login(session, ErrorCode.LOGINS_OFF, now)
        elif online is None:
            self._tokens.void(user)
            self._admit(session, user, now)
        elif online == lost:
            self._tokens.void(user)
            self._take_over(session, self._sessions.by_id[lost], now)
        else:
            self._refuse_login(session, ErrorCode.ALREADY_ONLINE, now)

    def _admit(self, session: Session, user: str, now: float) -> None:
        session.deadline = now + self._settings.idle_seconds
        self._presence.log_in(user, session.id)
        self._enter(session, user)
        self._announce(user, online=True)

    def _take_over(self, session: Session, ghost: Session, now: float) -> None:
        """Go on in a new session instead of one that its client has lost; nobody is told.

        A client does that by itself, so it does not show that its user is there.
        """
        session.deadline = ghost.deadline
        code = ErrorCode.REPLACED
        self._outgoing.send(ghost.id, wire.Closed(code, code.describe()))
        self._outgoing.add(Close(ghost.id))
        self._sessions.remove(ghost)
        self._catalogue.leave(ghost.id, now)
        self._post.leave(ghost)
        self._presence.move(ghost.user, session.id)
        self._enter(session, ghost.user)

    def _enter(self, session: Session, user: str) -> None:
        session.phase = Phase.ONLINE
        session.user = user
        self._sessions.change_deadline(session)
        self._outgoing.add(effects.Admit(session.id, user))
        if session.token:
            self._tokens.give(user, session.client, session.id, session.token)
            self._outgoing.send(session.id, wire.Token(session.token))
        self._post.enter(session)

    def _announce(self, user: str, *, online: bool) -> None:
        """Tell everybody else who is online and not blocked by this user."""
        blocked = self._blocks.blocked_by(user)
        receivers = [
            receiver
            for name, receiver in self._presence.online.items()
            if name != user and name not in blocked
        ]
        self._outgoing.send_many(receivers, wire.Presence(user, online), can_wait=True)

    # -- Leaving -----------------------------------------------------------------------------

    def logout(self, session: Session, request: wire.Logout, now: float) -> None:
        """Its user leaves (section 3.3)."""
        self._tokens.end(session.user, session.id)
        self.end(session, wire.Ok(request.id), now)

    def violation(self, session: Session, now: float, code: ErrorCode, **fields: object) -> None:
        """End a session that broke the protocol."""
        self.end(session, wire.Error(code, code.describe(**fields)), now)

    def end(self, session: Session, last: wire.ServerMessage, now: float) -> None:
        """End a session from our side, with a last message."""
        self._outgoing.send(session.id, last)
        self._outgoing.add(Close(session.id))
        self._forget(session, now)

    def _forget(self, session: Session, now: float) -> None:
        was_online = session.phase is Phase.ONLINE
        self._sessions.remove(session)
        if was_online:
            self._leave(session, now)
            self._announce(session.user, online=False)

    def _leave(self, session: Session, now: float) -> None:
        self._presence.log_out(session.user, now)
        self._tokens.lose(session.user, session.id, now)
        self._catalogue.leave(session.id, now)
        self._post.leave(session)
