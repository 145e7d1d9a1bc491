"""The promise about messages: acknowledged is shown, once, in order, and nothing else is.

Every text begins with a number of its own, so whatever stands on a screen can be found again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .blocks import Blocks

SHOWN = re.compile(r"(\w+)(\(private\))?: #(\d+) ?(.*)")
"""A line of a screen that says what somebody has said."""

MAY_APPEAR = frozenset({"not_stored"})
"""Refusals after which a message may have arrived nevertheless: it was on its way already."""


class Broken(AssertionError):
    """The program has broken a promise."""


class Note:
    """One text that somebody has typed.

    Attributes:
        number: by which it is known.
        kind: the command, ``message``, ``broadcast`` or ``private``.
        sender, to: whose it is, and for whom; nobody in particular if empty.
        rest: of the text, behind the number.
        client: into which it was typed.
        typed_at: when.
        acknowledged_at: when its sender's client was told that it is safe.
        refusal: the code, if it was refused.
        shown: to whom, how often.
        servers: to which of the servers it was sent.
    """

    def __init__(
        self, number: int, kind: str, sender: str, to: str, rest: str, client: object, now: float
    ) -> None:
        self.number = number
        self.kind = kind
        self.sender = sender
        self.to = to
        self.rest = rest
        self.client = client
        self.typed_at = now
        self.acknowledged_at: float | None = None
        self.refusal: str | None = None
        self.shown: dict[str, int] = {}
        self.servers: set[int] = set()

    @property
    def first_line(self) -> str:
        """What stands behind the number on a screen; the rest is on lines of its own."""
        return self.rest.split("\u2028")[0].replace("\t", "    ")

    @property
    def may_appear(self) -> bool:
        """Whether it may be on a screen though it was refused.

        What a server has died with may be done, and another one decides anew.
        """
        return self.refusal in (None, *MAY_APPEAR) or len(self.servers) > 1

    def __str__(self) -> str:
        return f"{self.kind} #{self.number} of {self.sender} to {self.to or 'all'}"


class Delivery:
    """All texts, and where they were shown."""

    def __init__(self, blocks: Blocks, clock: Callable[[], float]) -> None:
        self.notes: dict[int, Note] = {}
        self._blocks = blocks
        self._now = clock
        self._streams: dict[tuple[str, str, str], list[int]] = {}  # what each user was shown

    def typed(self, kind: str, sender: str, to: str, rest: str, client: object) -> Note:
        """Somebody types a text into a client; return it with its number."""
        number = len(self.notes) + 1
        note = self.notes[number] = Note(number, kind, sender, to, rest, client, self._now())
        return note

    def acknowledged(self, number: int) -> None:
        """The sender's client was told that it is done."""
        note = self.notes[number]
        if note.refusal is not None:
            raise Broken(f"{note} was refused, then acknowledged")
        if note.acknowledged_at is None:
            note.acknowledged_at = self._now()
        if note.kind == "message" and self._blocks.has_blocked(note.to, note.sender, note.typed_at):
            raise Broken(f"{note} was accepted, though {note.to} has blocked {note.sender}")

    def refused(self, number: int, code: str) -> None:
        """The sender's client was told that it is not done."""
        note = self.notes[number]
        if note.acknowledged_at is not None:
            raise Broken(f"{note} was acknowledged, then refused: {code}")
        note.refusal = code
        if note.shown and not note.may_appear:
            raise Broken(f"{note} was shown, then refused: {code}")
        if code == "blocked_by_recipient" and self._blocks.is_free(
            note.to, note.sender, note.typed_at
        ):
            raise Broken(f"{note} was refused, though {note.to} does not block {note.sender}")

    def shown(self, user: str, line: str) -> None:
        """A line appears on a user's screen."""
        match = SHOWN.fullmatch(line)
        if match is None:
            return
        sender, private, number, rest = match[1], bool(match[2]), int(match[3]), match[4]
        note = self.notes.get(number)
        if note is None or note.sender != sender or (note.kind == "private") is not private:
            raise Broken(f"{user} was shown what nobody has said: {line!r}")
        if rest != note.first_line:
            raise Broken(f"{user} was shown {rest!r} instead of {note.rest!r}: {note}")
        if (note.to or user) != user or sender == user:
            raise Broken(f"{note} was shown to {user}")
        if not note.may_appear:
            raise Broken(f"{note} was shown, though it was refused: {note.refusal}")
        if user in note.shown:
            raise Broken(f"{note} was shown twice to {user}")
        note.shown[user] = 1
        stream = self._streams.setdefault((user, sender, note.kind), [])
        if stream and stream[-1] > number and len(note.servers) < 2:
            raise Broken(f"{note} was shown after #{stream[-1]}")
        stream.append(number)
        # A link that was there before the block is another matter.
        if not private and self._blocks.has_blocked(user, sender, note.typed_at):
            raise Broken(f"{note} was shown to {user}, who has blocked {sender}")

    def forgotten(self, user: str, line: str) -> None:
        """A client died before it could know that this line was shown: it may come again."""
        match = SHOWN.fullmatch(line)
        note = self.notes[int(match[3])] if match else None
        if note is not None and note.kind != "private":
            del note.shown[user]
            self._streams[user, note.sender, note.kind].remove(note.number)

    def missing(self) -> list[Note]:
        """What was acknowledged, and not shown."""
        return [
            note
            for note in self.notes.values()
            if note.acknowledged_at is not None and note.to and note.to not in note.shown
        ]
