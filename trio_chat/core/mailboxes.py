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
from collections.abc import Iterable, Mapping, Set

from msgspec import Struct

from .. import limits
from ..protocol.messages import Delivery
from .commands import NOBODY, SessionId


def text_bytes(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


class Letter(Struct, gc=False):
    """A message on its way.

    Attributes:
        delivery: the message as its receiver gets it.
        recipient: the user who gets it.
        bytes: of its text.
        reply_to: the session whose request is answered when the message is safe.
        due: when it should be written if it is not acknowledged before.
        safe: acknowledged, or on disk; its sender has been told.
        written: on disk, or in the commit under way.
    """

    delivery: Delivery
    recipient: str
    bytes: int
    reply_to: SessionId
    due: float
    safe: bool = False
    written: bool = False


class Mailbox:
    """What waits for one user.

    Attributes:
        user: its owner.
        session: the owner's, while online and after what is on disk has been loaded.
        is_journalled: whether the journal looks into it in time for its next message.
        loading: whether what is on disk is being read.
        letters: in memory, in order of ``seq``.
        sent: how many of `letters`, from the first, were sent to the session.
        sent_bytes: of text in these.
        stored: how many messages, older than all `letters`, are on disk only.
        bytes: of text in all of them.
        acknowledged: the ``seq`` up to which the owner has acknowledged.
    """

    __slots__ = (
        "acknowledged",
        "bytes",
        "is_journalled",
        "letters",
        "loading",
        "sent",
        "sent_bytes",
        "session",
        "stored",
        "user",
    )

    def __init__(self, user: str, stored: int = 0, stored_bytes: int = 0) -> None:
        self.user = user
        self.session: SessionId = NOBODY
        self.is_journalled = False
        self.loading = False
        self.letters: deque[Letter] = deque()
        self.sent = self.sent_bytes = 0
        self.stored = stored
        self.bytes = stored_bytes
        self.acknowledged = 0

    def __len__(self) -> int:
        return self.stored + len(self.letters)

    def put(self, letter: Letter) -> SessionId | None:
        """Add the newest message.

        Returns:
            The session to send it to at once; NOBODY if it waits here; None if it was not
            added, as the quota is used up.
        """
        letters, sent = self.letters, self.sent
        count, size = len(letters), self.bytes + letter.bytes
        if self.stored + count >= limits.MAILBOX_MESSAGES_MAX or size > limits.MAILBOX_BYTES_MAX:
            return None
        letters.append(letter)
        self.bytes = size
        # What waits goes first: the new one is next only if all before it were sent.
        size = self.sent_bytes + letter.bytes
        if (
            self.session == NOBODY
            or sent != count
            or sent >= limits.WINDOW_MESSAGES_MAX
            or size > limits.WINDOW_TEXT_BYTES_MAX
        ):
            return NOBODY
        self.sent, self.sent_bytes = sent + 1, size
        return self.session

    def next_to_send(self) -> list[Letter]:
        """Fill the window of the session: the messages to send to it now."""
        if self.session == NOBODY:
            return []
        letters = []
        for index in range(self.sent, min(limits.WINDOW_MESSAGES_MAX, len(self.letters))):
            letter = self.letters[index]
            size = self.sent_bytes + letter.bytes
            if size > limits.WINDOW_TEXT_BYTES_MAX:
                break
            letters.append(letter)
            self.sent, self.sent_bytes = index + 1, size
        return letters

    def take_back(self) -> None:
        """The owner has gone: what was sent and not acknowledged is to be sent again."""
        self.session = NOBODY
        self.sent = self.sent_bytes = 0

    def acknowledge(self, seq: int) -> list[Letter]:
        """Remove the sent messages up to ``seq``; return them."""
        letters, sent = self.letters, self.sent
        if not sent:
            return []
        if letters[-1].delivery.seq <= seq and sent == len(letters):  # nearly always
            removed = list(letters)
            letters.clear()
        else:
            removed = []
            while len(removed) < sent and letters[0].delivery.seq <= seq:
                removed.append(letters.popleft())
            if not removed:
                return []
        self.sent = sent - len(removed)
        size = sum([letter.bytes for letter in removed])
        self.bytes -= size
        self.sent_bytes -= size
        self.acknowledged = removed[-1].delivery.seq
        return removed

    def unwritten(self) -> list[Letter]:
        """The messages that are neither safe nor being written: the newest ones, in order."""
        letters = []
        for letter in reversed(self.letters):
            if letter.safe or letter.written:
                break
            letters.append(letter)
        letters.reverse()
        return letters

    def unsafe(self, sender: str, client: str, id: int) -> Letter | None:
        """The message of this key, if it is here and not safe yet."""
        for letter in reversed(self.letters):
            if letter.safe:
                break
            delivery = letter.delivery
            if (delivery.sender, delivery.client, delivery.id) == (sender, client, id):
                return letter
        return None

    def was_sent(self, letter: Letter) -> bool:
        """Whether the session has been sent this message, which is here."""
        return self.sent > 0 and letter.delivery.seq <= self.letters[self.sent - 1].delivery.seq

    def discard(self, seqs: Set[int]) -> None:
        """Drop messages that could not be kept, and were not sent to the session."""
        letters = self.letters
        self.bytes -= sum(letter.bytes for letter in letters if letter.delivery.seq in seqs)
        self.letters = deque(letter for letter in letters if letter.delivery.seq not in seqs)

    def loaded(self, deliveries: Iterable[Delivery]) -> None:
        """Take what was read from disk; it comes before all that is in memory.

        What is there already, or was acknowledged but not yet deleted, is left out.
        """
        self.loading = False
        before = self.letters[0].delivery.seq if self.letters else limits.INTEGER_MAX
        missing = [d for d in deliveries if self.acknowledged < d.seq < before]
        for delivery in reversed(missing):
            size = text_bytes(delivery.text)
            self.letters.appendleft(
                Letter(delivery, self.user, size, NOBODY, due=0, safe=True, written=True)
            )
        self.stored = 0
        self.bytes = sum(letter.bytes for letter in self.letters)

    def leave_to_disk(self) -> None:
        """Drop from memory what is on disk, unless somebody is there to read it.

        While a read is under way everything stays: its result may be older than this.
        """
        if self.session != NOBODY or self.loading:
            return
        while self.letters and self.letters[0].safe:
            assert self.letters[0].written, "safe and unacknowledged means written"
            self.letters.popleft()
            self.stored += 1


class Mailboxes(dict[str, Mailbox]):
    """By user the mailboxes that hold anything, or whose owner is online."""

    def __init__(self, waiting: Mapping[str, tuple[int, int]]) -> None:
        """Begin with what is on disk: messages and bytes of text for each user."""
        super().__init__(
            (user, Mailbox(user, count, size)) for user, (count, size) in waiting.items()
        )

    def __missing__(self, user: str) -> Mailbox:
        mailbox = self[user] = Mailbox(user)
        return mailbox

    def tidy(self, user: str) -> None:
        """Leave to the disk what is there, and forget a mailbox without any content."""
        mailbox = self.get(user)
        if mailbox is None:
            return
        mailbox.leave_to_disk()
        if not len(mailbox) and mailbox.session == NOBODY and not mailbox.loading:
            del self[user]
