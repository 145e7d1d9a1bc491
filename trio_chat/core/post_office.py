"""The post office: a message from its acceptance until its receiver has acknowledged it.

It owns the mailboxes, and what is remembered of the clients that may repeat themselves. Who
may write to whom is not its business: the broker asks it only for what is allowed.

Theory of operation: a message for somebody who is online is sent at once and written only if
it is not acknowledged soon; one for somebody else is written at once. In either case its
sender is answered when it is safe, by `acknowledge` or by `committed`, whichever comes first. If
it can't be written its sender is told so, unless it was sent to somebody who is still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .. import limits
from ..errors import ErrorCode
from ..protocol import messages as wire
from .commands import NOBODY
from .effects import LoadMailbox
from .journal import Group, Journal
from .mailboxes import Letter, Mailboxes
from .outgoing import Outgoing
from .repetitions import Repetitions
from .sessions import Session, Sessions


class PostOffice:
    """Messages on their way.

    Args:
        waiting: what is on disk; see `beginning.Restored`.
        last_seq: the highest sequence number among them.
        sessions: those that have not ended.
        journal: takes what must become durable.
        outgoing: takes what is to be sent.

    Attributes:
        mailboxes: what is not acknowledged yet.
        last_seq: the sequence number of the newest message.
    """

    def __init__(
        self,
        waiting: Mapping[str, Mapping[str, tuple[int, int]]],
        last_seq: int,
        sessions: Sessions,
        journal: Journal,
        outgoing: Outgoing,
    ) -> None:
        self.mailboxes = Mailboxes(waiting)
        self.last_seq = last_seq
        self._repetitions = Repetitions()
        self._sessions = sessions
        self._journal = journal
        self._outgoing = outgoing

    # -- People come and go --------------------------------------------------------------------

    def enter(self, session: Session) -> None:
        """Somebody has logged in: answer, now or when what is on disk has been read."""
        session.login_id = session.last_id
        session.history = self._repetitions.history(session.user, session.client)
        session.repeats_until = session.history.highest
        mailbox = session.mailbox = self.mailboxes[session.user]
        if not mailbox.stored:
            self._open(session)
        elif not mailbox.loading:
            mailbox.loading = True
            self._outgoing.add(LoadMailbox(session.user))

    def loaded(
        self, user: str, deliveries: Iterable[wire.Delivery] | None, session: Session | None
    ) -> None:
        """What is on disk for a user has been read; hand it out if they are still there.

        Args:
            user: whose mailbox it is.
            deliveries: what was read; none if that failed.
            session: the user's; none if they have gone.
        """
        mailbox = self.mailboxes[user]
        if session is None or deliveries is None:
            mailbox.loading = False
            self.mailboxes.tidy(user)
        else:
            mailbox.loaded(deliveries)
            self._open(session)

    def _open(self, session: Session) -> None:
        """Answer the login, with what waits right behind: nobody can leave before it comes."""
        mailbox = session.mailbox
        self._outgoing.send(session.id, wire.Ok(session.login_id, len(mailbox.letters)))
        mailbox.session = session.id
        self._fill_window(session)

    def _fill_window(self, session: Session) -> None:
        for letter in session.mailbox.next_to_send():
            self._outgoing.send(session.id, letter.delivery)

    def leave(self, session: Session) -> None:
        """Somebody has gone; what they did not acknowledge is sent again at the next login."""
        session.history.highest = max(session.history.highest, session.last_id)
        session.mailbox.take_back()
        self.mailboxes.tidy(session.user)

    # -- Messages come and go ------------------------------------------------------------------

    def accept(self, session: Session, request: wire.Message, text_bytes: int, now: float) -> bool:
        """Take a message; return False if its recipient's mailbox has no room for it."""
        recipient = request.to
        seq = self.last_seq + 1
        delivery = wire.Delivery(seq, session.user, session.client, request.id, request.text)
        due = now + limits.COMMIT_DELAY_SECONDS
        letter = Letter(delivery, recipient, text_bytes, session.id, due)
        mailbox = self.mailboxes[recipient]
        receiver = mailbox.put(letter)
        if receiver is None:
            return False
        self.last_seq = seq
        self._journal.unwritten += 1
        if receiver:
            self._outgoing.messages_to(receiver).append(delivery)
            if not mailbox.is_journalled:
                self._journal.add_letter(mailbox, due)
        else:
            letter.due = now
            self._journal.add_letter(mailbox, now)
        return True

    def repeat(self, session: Session, request: wire.Message) -> None:
        """Answer a message as the first time, or leave that to the commit that decides it."""
        refusal = session.history.reply(request.id)
        mailbox = self.mailboxes.get(request.to)
        letter = mailbox and mailbox.unsafe(session.user, session.client, request.id)
        if refusal is not None:
            self._outgoing.send(session.id, refusal)
        elif letter:
            letter.reply_to = session.id
        elif request.id <= session.history.unsure_until:
            self._outgoing.refuse(session.id, request.id, ErrorCode.NOT_STORED)
        else:
            self._outgoing.send(session.id, wire.Ok(request.id))

    def acknowledge(self, session: Session, seq: int, now: float) -> None:
        """A receiver has shown its messages up to ``seq``: tell their senders, and forget."""
        mailbox = session.mailbox
        sessions = self._sessions.by_id
        ok = wire.Ok
        is_written = False
        sender = NOBODY
        replies: list[wire.ServerMessage] = []  # of those who have gone, for nobody
        letters = mailbox.acknowledge(seq)
        unwritten = len(letters)
        for letter in letters:
            if letter.written:
                is_written = True
                unwritten -= 1
                if letter.safe:
                    continue
                letter.safe = True  # for the commit that holds it
            if letter.reply_to != sender:
                sender = letter.reply_to
                replies = self._outgoing.messages_to(sender) if sender in sessions else []
            replies.append(ok(letter.delivery.id))
        self._journal.unwritten -= unwritten
        if is_written:
            self._journal.acknowledged(session.user, mailbox.acknowledged, now)
        if mailbox.sent < len(mailbox.letters):
            self._fill_window(session)

    # -- Accounts go ---------------------------------------------------------------------------

    def waiting(self, user: str) -> int:
        """How many messages wait for a user."""
        mailbox = self.mailboxes.get(user)
        return len(mailbox) if mailbox is not None else 0

    def forget(self, user: str, now: float) -> int | None:
        """Delete the mail of somebody who has no account any more.

        Returns:
            How many messages that were; none if some are on their way to the disk just now, whose
            senders have to be answered first, or are being read from there.
        """
        self._repetitions.forget(user)
        mailbox = self.mailboxes.get(user)
        if mailbox is None:
            return 0
        if mailbox.loading or mailbox.letters:
            return None
        del self.mailboxes[user]
        self._journal.acknowledged(user, self.last_seq, now)
        return mailbox.stored

    # -- The store's answers -------------------------------------------------------------------

    def committed(self, group: Group) -> None:
        """A commit is on disk: what it holds is safe."""
        for letter in group.letters:
            if not letter.safe:
                letter.safe = True
                self._outgoing.answer(letter.reply_to, wire.Ok(letter.delivery.id))
        recipients = dict.fromkeys(letter.recipient for letter in group.letters)
        for user in (*recipients, *group.acknowledged):
            self.mailboxes.tidy(user)

    def commit_failed(self, group: Group, now: float) -> None:
        """Nothing of a commit is on disk: refuse what nobody else may have.

        What was sent to somebody who is still there may stand on their screen, and its sender
        would say it again. It waits for its acknowledgement, and for a commit that succeeds.
        """
        refused = []
        due = now + limits.CLEANUP_DELAY_SECONDS
        for letter in group.letters:
            letter.written = False
            if letter.safe:
                continue
            mailbox = self.mailboxes[letter.recipient]
            if mailbox.was_sent(letter):
                letter.due = due
                self._journal.unwritten += 1
                self._journal.add_letter(mailbox, due)
                mailbox.is_journalled = False  # its next message is due before that
            else:
                refused.append(letter)
        for user in dict.fromkeys(letter.recipient for letter in refused):
            self.mailboxes[user].discard(
                {letter.delivery.seq for letter in refused if letter.recipient == user}
            )
            self.mailboxes.tidy(user)
        code = ErrorCode.NOT_STORED
        for letter in refused:
            delivery = letter.delivery
            error = wire.Error(code, code.describe(), delivery.id)
            self._repetitions.history(delivery.sender, delivery.client).remember(error)
            self._outgoing.answer(letter.reply_to, error)
