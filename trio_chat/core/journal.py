"""The journal: what waits for the disk, committed in groups.

Theory of operation: everything that waits has a time when it is due, and the first one that
is begins a commit. While one is under way the next one gathers, so the busier the disk, the
larger the groups. A message that its receiver acknowledges before it is due is not written
at all, and leaves no trace here: the journal knows only which mailboxes to look into.

Whatever is committed, every message accepted before it is safe too: a commit takes all that
were accepted before the last one that is due.
"""

from __future__ import annotations

from .. import limits
from ..protocol.messages import Ok, Registered
from .catalogue import Entry
from .commands import SessionId
from .effects import Commit
from .mailboxes import Letter, Mailbox
from .orders import Outcome

NEVER = float("inf")


class BlockChange:
    """A block, or its end, that is answered when it is on disk."""

    __slots__ = ("blocked", "blocker", "id", "on", "reply_to")

    def __init__(self, blocker: str, blocked: str, on: bool, reply_to: SessionId, id: int):
        self.blocker = blocker
        self.blocked = blocked
        self.on = on
        self.reply_to = reply_to
        self.id = id


class FileChange:
    """A name of the catalogue that stands for something else, answered when that is on disk.

    Attributes:
        name: which.
        before, after: what stood there, and what does; none for nothing. They are the same if
            somebody only waits for an earlier change to be on disk.
        reply_to, reply: who is answered, and what, if anybody is.
    """

    __slots__ = ("after", "before", "name", "reply", "reply_to")

    def __init__(
        self,
        name: str,
        before: Entry | None,
        after: Entry | None,
        reply_to: SessionId,
        reply: Registered | Ok | None,
    ) -> None:
        self.name = name
        self.before = before
        self.after = after
        self.reply_to = reply_to
        self.reply = reply


class Group:
    """What one commit holds."""

    __slots__ = ("acknowledged", "blocks", "files", "held", "letters", "number", "orders")

    def __init__(self, number: int) -> None:
        self.number = number
        self.letters: list[Letter] = []
        self.acknowledged: dict[str, int] = {}
        self.blocks: list[BlockChange] = []
        self.files: list[FileChange] = []
        self.held: list[str] = []
        self.orders: list[tuple[int, Outcome]] = []


class Journal:
    """Gathers what must become durable, and says when to commit it.

    Attributes:
        due: when the next commit should begin, in monotonic seconds.
        under_way: what is being committed.
        unwritten: how many messages are neither safe nor being written. The post office counts
            those that come and those that are acknowledged.
    """

    def __init__(self) -> None:
        self.due = NEVER
        self.under_way: Group | None = None
        self.unwritten = 0
        self._gathering = Group(1)
        self._mailboxes: dict[Mailbox, None] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nothing is under way."""
        return self.due == NEVER and self.under_way is None

    def is_full(self) -> bool:
        """Whether more waits than should; the disk does not keep up."""
        return self.unwritten >= limits.UNSAFE_MESSAGES_MAX

    def next_deadline(self) -> float:
        """When to call `begin`; never while a commit is under way."""
        return self.due if self.under_way is None else NEVER

    def hurry(self, due: float) -> None:
        """Begin the next commit no later than this."""
        if due < self.due:
            self.due = due

    def add_letter(self, mailbox: Mailbox, due: float) -> None:
        """Write the newest message of a mailbox, unless it is acknowledged before it is due.

        Needed only for the first such message of a mailbox, and for one that is due earlier
        than those before it.
        """
        self._mailboxes[mailbox] = None
        mailbox.is_journalled = True
        if due < self.due:
            self.due = due

    def add_block(self, change: BlockChange, now: float) -> None:
        """Write a block or its end at once."""
        self._gathering.blocks.append(change)
        self.hurry(now)

    def find_block(self, blocker: str, blocked: str) -> BlockChange | None:
        """The latest change of this block that is not on disk, if there is one."""
        under_way = self.under_way.blocks if self.under_way is not None else []
        for change in reversed([*under_way, *self._gathering.blocks]):
            if (change.blocker, change.blocked) == (blocker, blocked):
                return change
        return None

    def add_file(self, change: FileChange, now: float) -> None:
        """Write a change of the catalogue at once."""
        self._gathering.files.append(change)
        self.hurry(now)

    def note_held(self, names: list[str], now: float) -> None:
        """Write that somebody holds these files, with whatever is committed next."""
        if names:
            self._gathering.held += names
            self.hurry(now + limits.CLEANUP_DELAY_SECONDS)

    def answer_order(self, number: int, outcome: Outcome, now: float) -> None:
        """Tell the operator when all that was ordered until now is on disk."""
        self._gathering.orders.append((number, outcome))
        self.hurry(now)

    def acknowledged(self, user: str, seq: int, now: float) -> None:
        """Delete a user's messages up to ``seq``, with whatever is committed next."""
        self._gathering.acknowledged[user] = seq
        self.hurry(now + limits.CLEANUP_DELAY_SECONDS)

    def begin(self, now: float) -> Commit | None:
        """Begin the next commit, with all that needs it; none if nothing does."""
        assert self.under_way is None
        group = self._gathering
        group.letters = self._take_due(now)
        if not (group.letters or group.acknowledged or group.blocks) and not (
            group.files or group.held or group.orders
        ):
            return None
        for letter in group.letters:
            letter.written = True
        self.unwritten -= len(group.letters)
        self.under_way = group
        self._gathering = Group(group.number + 1)
        files = {change.name: change.after for change in group.files}  # the last one holds
        return Commit(
            group.number,
            tuple((letter.recipient, letter.delivery) for letter in group.letters),
            tuple(group.acknowledged.items()),
            tuple((change.blocker, change.blocked, change.on) for change in group.blocks),
            tuple((entry.owner, entry.file) for entry in files.values() if entry is not None),
            tuple(name for name, entry in files.items() if entry is None),
            tuple(group.held),
        )

    def _take_due(self, now: float) -> list[Letter]:
        """The messages up to the last one that is due, in order; the others go on waiting."""
        waiting = [letter for mailbox in self._mailboxes for letter in mailbox.unwritten()]
        last = max([letter.delivery.seq for letter in waiting if letter.due <= now], default=0)
        due = [letter for letter in waiting if letter.delivery.seq <= last]
        due.sort(key=lambda letter: letter.delivery.seq)
        later = [letter for letter in waiting if letter.delivery.seq > last]
        self.due = min((letter.due for letter in later), default=NEVER)
        users = {letter.recipient for letter in later}
        # A message that comes later may be due before those that wait for a retry.
        is_soon = self.due <= now + limits.COMMIT_DELAY_SECONDS
        for mailbox in self._mailboxes:
            mailbox.is_journalled = is_soon and mailbox.user in users
        self._mailboxes = {box: None for box in self._mailboxes if box.user in users}
        return due

    def end(self, number: int) -> Group:
        """Take back the group whose commit has ended."""
        group = self.under_way
        assert group is not None and group.number == number
        self.under_way = None
        return group

    def take_back_blocks(self, group: Group) -> list[BlockChange]:
        """The changes of a commit that failed, and those since, which build on them."""
        changes = [*group.blocks, *self._gathering.blocks]
        self._gathering.blocks = []
        return changes

    def take_back_files(self, group: Group) -> list[FileChange]:
        """The changes of a commit that failed, and those since, which build on them."""
        files = [*group.files, *self._gathering.files]
        self._gathering.files = []
        return files

    def retry_acknowledged(self, group: Group, now: float) -> None:
        """Take over the deletions of a commit that failed, for the next one to do."""
        waiting = self._gathering.acknowledged
        for user, seq in group.acknowledged.items():
            waiting.setdefault(user, seq)
        if waiting:
            self.hurry(now + limits.CLEANUP_DELAY_SECONDS)
