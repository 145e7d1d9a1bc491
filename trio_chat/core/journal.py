"""The journal: what waits for the disk, committed in groups.

Theory of operation: the first thing that waits sets a time by which a commit should
begin; everything that came until then goes into it. While one is under way the next one
gathers, so the busier the disk, the larger the groups. A message that its receiver
acknowledges before its commit begins is not written at all.

Whatever is committed, every message accepted before it is safe too: a commit always takes
all that are not.
"""

from __future__ import annotations

from .. import limits
from .commands import SessionId
from .effects import Commit
from .mailboxes import Letter

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


class Group:
    """What one commit holds."""

    __slots__ = ("acknowledged", "blocks", "letters", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.letters: list[Letter] = []
        self.acknowledged: dict[str, int] = {}
        self.blocks: list[BlockChange] = []


class Journal:
    """Gathers what must become durable, and says when to commit it.

    Attributes:
        due: when the next commit should begin, in monotonic seconds.
        under_way: what is being committed.
    """

    def __init__(self) -> None:
        self._gathering = Group(1)
        self.under_way: Group | None = None
        self.due = NEVER

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nothing is under way."""
        return self.due == NEVER and self.under_way is None

    @property
    def is_full(self) -> bool:
        """Whether more waits than should; the disk does not keep up."""
        return len(self._gathering.letters) >= limits.UNSAFE_MESSAGES_MAX

    def next_deadline(self) -> float:
        """When to call `begin`; never while a commit is under way."""
        return self.due if self.under_way is None else NEVER

    def hurry(self, due: float) -> None:
        """Begin the next commit no later than this."""
        if due < self.due:
            self.due = due

    def add_letter(self, letter: Letter, due: float) -> None:
        """Write a message, unless it is acknowledged before the commit begins."""
        self._gathering.letters.append(letter)
        if due < self.due:
            self.due = due

    def add_block(self, change: BlockChange, now: float) -> None:
        """Write a block or its end at once."""
        self._gathering.blocks.append(change)
        self.hurry(now)

    def acknowledged(self, user: str, seq: int, now: float) -> None:
        """Delete a user's messages up to ``seq``, with whatever is committed next."""
        self._gathering.acknowledged[user] = seq
        self.hurry(now + limits.CLEANUP_DELAY_SECONDS)

    def begin(self) -> Commit | None:
        """Begin the next commit, with all that needs it; none if nothing does."""
        assert self.under_way is None
        group, self.due = self._gathering, NEVER
        group.letters = [letter for letter in group.letters if not letter.safe]
        if not (group.letters or group.acknowledged or group.blocks):
            return None
        for letter in group.letters:
            letter.written = True
        self.under_way = group
        self._gathering = Group(group.number + 1)
        return Commit(
            group.number,
            tuple((letter.recipient, letter.delivery) for letter in group.letters),
            tuple(group.acknowledged.items()),
            tuple((change.blocker, change.blocked, change.on) for change in group.blocks),
        )

    def end(self, number: int) -> Group:
        """Take back the group whose commit has ended."""
        group = self.under_way
        assert group is not None and group.number == number
        self.under_way = None
        return group

    def retry_acknowledged(self, group: Group, now: float) -> None:
        """Take over the deletions of a commit that failed, for the next one to do."""
        waiting = self._gathering.acknowledged
        for user, seq in group.acknowledged.items():
            waiting.setdefault(user, seq)
        if waiting:
            self.hurry(now + limits.CLEANUP_DELAY_SECONDS)

    def unanswered(self, sender: str, client: str, id: int) -> Letter | None:
        """The message of this key if it is not safe yet. Slow; for repetitions only."""
        groups = (self._gathering, self.under_way) if self.under_way else (self._gathering,)
        for group in groups:
            for letter in group.letters:
                delivery = letter.delivery
                if not letter.safe and (delivery.sender, delivery.client, delivery.id) == (
                    sender,
                    client,
                    id,
                ):
                    return letter
        return None
