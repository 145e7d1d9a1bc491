"""Mailboxes: the messages that each user has not yet acknowledged.

Theory of operation: a message is *safe*, and its sender told so, once its receiver has
acknowledged it or it is on disk. A mailbox keeps it until it is acknowledged, so that it
is sent again at the next login if need be. A mailbox consists of, oldest first::

    stored (on disk only) | sent to the session | waiting in memory

Only one of the first two is ever filled: a session gets its first message after what is
on disk has been loaded. What is on disk stays only there while its user is offline, so
memory does not grow with the mail of those who are away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set

from .. import limits
from ..protocol.messages import Delivery
from .commands import SessionId


def text_bytes(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


class Letter:
    """A message on its way.

    Attributes:
        delivery: the message as its receiver gets it.
        recipient: the user who gets it.
        reply_to: the session whose request is answered when the message is safe.
        safe: acknowledged, or on disk; its sender has been told.
        written: on disk, or in the commit under way.
    """

    __slots__ = ("delivery", "recipient", "reply_to", "safe", "written")

    def __init__(self, delivery: Delivery, recipient: str, reply_to: SessionId) -> None:
        self.delivery = delivery
        self.recipient = recipient
        self.reply_to = reply_to
        self.safe = False
        self.written = False


class Mailbox:
    """What waits for one user.

    Attributes:
        user: its owner.
        session: the owner's, while online and after what is on disk has been loaded.
        loading: whether what is on disk is being read.
        letters: in memory, in order of ``seq``.
        sent: how many of `letters`, from the first, were sent to the session.
        stored: how many messages, older than all `letters`, are on disk only.
        bytes: of text in all of them.
        acknowledged: the ``seq`` up to which the owner has acknowledged.
    """

    __slots__ = (
        "acknowledged",
        "bytes",
        "letters",
        "loading",
        "sent",
        "session",
        "stored",
        "user",
    )

    def __init__(self, user: str, stored: int = 0, stored_bytes: int = 0) -> None:
        self.user = user
        self.session: SessionId | None = None
        self.loading = False
        self.letters: deque[Letter] = deque()
        self.sent = 0
        self.stored = stored
        self.bytes = stored_bytes
        self.acknowledged = 0

    def __len__(self) -> int:
        return self.stored + len(self.letters)

    def has_room(self, text: str) -> bool:
        """Whether one more message of this text is within the quota."""
        return (
            self.stored + len(self.letters) < limits.MAILBOX_MESSAGES_MAX
            and self.bytes + text_bytes(text) <= limits.MAILBOX_BYTES_MAX
        )

    def put(self, letter: Letter) -> bool:
        """Add the newest message; return whether to send it at once."""
        self.letters.append(letter)
        self.bytes += text_bytes(letter.delivery.text)
        # What waits goes first: the new one is next only if all before it were sent.
        if (
            self.session is None
            or self.sent >= limits.WINDOW_MESSAGES_MAX
            or self.sent + 1 != len(self.letters)
        ):
            return False
        self.sent += 1
        return True

    def next_to_send(self) -> list[Letter]:
        """Fill the window of the session: the messages to send to it now."""
        if self.session is None:
            return []
        start = self.sent
        self.sent = min(limits.WINDOW_MESSAGES_MAX, len(self.letters))
        return [self.letters[index] for index in range(start, self.sent)]

    def acknowledge(self, seq: int) -> list[Letter]:
        """Remove the sent messages up to ``seq``; return them."""
        removed = []
        letters = self.letters
        while self.sent and letters[0].delivery.seq <= seq:
            letter = letters.popleft()
            self.sent -= 1
            self.bytes -= text_bytes(letter.delivery.text)
            self.acknowledged = letter.delivery.seq
            removed.append(letter)
        return removed

    def discard(self, seqs: Set[int]) -> None:
        """Drop messages that could not be kept, sent or not."""
        kept: deque[Letter] = deque()
        sent = 0
        for index, letter in enumerate(self.letters):
            if letter.delivery.seq in seqs:
                self.bytes -= text_bytes(letter.delivery.text)
            else:
                kept.append(letter)
                sent += index < self.sent
        self.letters, self.sent = kept, sent

    def loaded(self, deliveries: Iterable[Delivery]) -> None:
        """Take what was read from disk; it comes before all that is in memory.

        What is there already, or was acknowledged but not yet deleted, is left out.
        """
        self.loading = False
        before = self.letters[0].delivery.seq if self.letters else limits.INTEGER_MAX
        missing = [d for d in deliveries if self.acknowledged < d.seq < before]
        for delivery in reversed(missing):
            letter = Letter(delivery, self.user, 0)
            letter.safe = letter.written = True
            self.letters.appendleft(letter)
        self.stored = 0
        self.bytes = sum(text_bytes(letter.delivery.text) for letter in self.letters)

    def leave_to_disk(self) -> None:
        """Drop from memory what is on disk, unless somebody is there to read it.

        While a read is under way everything stays: its result may be older than this.
        """
        if self.session is not None or self.loading:
            return
        while self.letters and self.letters[0].safe:
            assert self.letters[0].written, "safe and unacknowledged means written"
            self.letters.popleft()
            self.stored += 1


class Mailboxes:
    """The mailboxes that hold anything, or whose owner is online."""

    def __init__(self, waiting: Mapping[str, tuple[int, int]]) -> None:
        """Begin with what is on disk: messages and bytes of text for each user."""
        self._by_user = {
            user: Mailbox(user, count, size) for user, (count, size) in waiting.items()
        }

    def get(self, user: str) -> Mailbox:
        """The mailbox of a user, made if there is none."""
        mailbox = self._by_user.get(user)
        if mailbox is None:
            mailbox = self._by_user[user] = Mailbox(user)
        return mailbox

    def tidy(self, user: str) -> None:
        """Leave to the disk what is there, and forget a mailbox without any content."""
        mailbox = self._by_user.get(user)
        if mailbox is None:
            return
        mailbox.leave_to_disk()
        if not len(mailbox) and mailbox.session is None and not mailbox.loading:
            del self._by_user[user]

    def __iter__(self) -> Iterator[Mailbox]:
        return iter(self._by_user.values())
