"""Mailboxes: the messages that each user has not yet acknowledged.

Theory of operation: a message is *safe*, and its sender told so, once its receiver has
acknowledged it or it is on disk. A mailbox keeps it until it is acknowledged, so that it
is sent again at the next login if need be. A mailbox consists of, oldest first::

    stored (on disk only) | sent to the session | waiting in memory

Only one of the first two is ever filled: a session gets its first message after what is
on disk has been loaded. What is on disk stays only there while its user is offline, so
memory does not grow with the mail of those who are away.

A sender may have at most as much in a mailbox as is still free in it (`shares`). Nobody can
exceed that while the mailbox is at most half full, so only then it is *crowded* and counts the
messages in memory by sender; those on disk are always counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Set

from msgspec import Struct

from .. import limits
from ..errors import ErrorCode
from ..protocol.messages import Delivery
from .commands import NOBODY, SessionId
from .shares import Shares, text_bytes

_NOTHING: Mapping[str, tuple[int, int]] = {}


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
        is_crowded: whether `shares` counts what is in memory too.
        shares: of each sender.
    """

    __slots__ = (
        "acknowledged",
        "bytes",
        "is_crowded",
        "is_journalled",
        "letters",
        "loading",
        "sent",
        "sent_bytes",
        "session",
        "shares",
        "stored",
        "user",
    )

    def __init__(self, user: str, stored: Mapping[str, tuple[int, int]] = _NOTHING) -> None:
        self.user = user
        self.session: SessionId = NOBODY
        self.is_journalled = False
        self.loading = False
        self.letters: deque[Letter] = deque()
        self.sent = self.sent_bytes = 0
        self.shares = Shares(stored)
        self.is_crowded = False
        self.stored = sum([count for count, _ in stored.values()])
        self.bytes = sum([size for _, size in stored.values()])
        self.acknowledged = 0

    def __len__(self) -> int:
        return self.stored + len(self.letters)

    def put(self, letter: Letter) -> SessionId | None:
        """Add the newest message.

        Returns:
            The session to send it to at once; NOBODY if it waits here; None if it was not
            added, as `fault` says.
        """
        letters, sent = self.letters, self.sent
        count, size = len(letters), self.bytes + letter.bytes
        if (
            self.is_crowded
            or self.stored + count >= limits.MAILBOX_MESSAGES_MAX // 2
            or size > limits.MAILBOX_BYTES_MAX // 2
        ):
            self._count_by_sender()
            if self.fault(letter.delivery.sender, letter.bytes) is not None:
                return None
            self.shares.add(letter.delivery.sender, letter.bytes)
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

    def fault(self, sender: str, size_bytes: int) -> ErrorCode | None:
        """Why a message of so many bytes was not added, if it was not."""
        free = limits.MAILBOX_MESSAGES_MAX - len(self)
        free_bytes = limits.MAILBOX_BYTES_MAX - self.bytes
        count, size = self.shares.get(sender, (0, 0))
        if free < 1 or size_bytes > free_bytes:
            return ErrorCode.MAILBOX_FULL
        if count >= free or size + size_bytes > free_bytes:
            return ErrorCode.MAILBOX_SHARE_FULL
        return None

    def _count_by_sender(self) -> None:
        if not self.is_crowded:
            self.is_crowded = True
            for letter in self.letters:
                self.shares.add(letter.delivery.sender, letter.bytes)

    def _has_removed(self, letters: Iterable[Letter]) -> None:
        """Keep the shares right, and give them up once the mailbox is a quarter full at most.

        Not before: or a mailbox that is half full would be counted again and again.
        """
        if not self.is_crowded:
            return
        for letter in letters:
            self.shares.remove(letter.delivery.sender, letter.bytes)
        if (
            len(self) <= limits.MAILBOX_MESSAGES_MAX // 4
            and self.bytes <= limits.MAILBOX_BYTES_MAX // 4
        ):
            self.is_crowded = False
            for letter in self.letters:
                self.shares.remove(letter.delivery.sender, letter.bytes)

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
        if self.is_crowded:
            self._has_removed(removed)
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
        gone = [letter for letter in letters if letter.delivery.seq in seqs]
        self.bytes -= sum(letter.bytes for letter in gone)
        self.letters = deque(letter for letter in letters if letter.delivery.seq not in seqs)
        self._has_removed(gone)

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
        self.shares.clear()
        self.is_crowded = False  # the next message that it matters to counts anew

    def leave_to_disk(self) -> None:
        """Drop from memory what is on disk, unless somebody is there to read it.

        While a read is under way everything stays: its result may be older than this.
        """
        if self.session != NOBODY or self.loading:
            return
        while self.letters and self.letters[0].safe:
            letter = self.letters.popleft()
            assert letter.written, "safe and unacknowledged means written"
            self.stored += 1
            if not self.is_crowded:
                self.shares.add(letter.delivery.sender, letter.bytes)


class Mailboxes(dict[str, Mailbox]):
    """By user the mailboxes that hold anything, or whose owner is online."""

    def __init__(self, waiting: Mapping[str, Mapping[str, tuple[int, int]]]) -> None:
        """Begin with what is on disk; see `beginning.Restored`."""
        super().__init__((user, Mailbox(user, stored)) for user, stored in waiting.items())

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
