"""Who has a file, and why nothing comes from them: in words for the person.

Rule: pure. The server says who has what; a fetch says what became of asking them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from ...text import clean_line

NAMED_MAX = 3
"""How many users one sentence names."""

TOLD_MAX = 10
"""Of how many users a person is told, for one download, that they can't be reached."""

NOBODY = "nobody who is online has the rest of it"

Holding = tuple[str, tuple[int, ...]]
"""A user, and the chunks that they hold by the word of the server; none if they only fetch."""


class _Trouble(Struct, frozen=True):
    """Why nothing comes from a user.

    Attributes:
        text: behind the name of the user.
        is_owner: whether the text goes behind what the user has.
        is_lasting: whether to try again is of no use now.
    """

    text: str
    is_owner: bool = True
    is_lasting: bool = False


class Holders:
    """Those who have a file.

    Args:
        chunks: how many the file has.
    """

    def __init__(self, chunks: int) -> None:
        self._chunks = chunks
        self._listed: dict[str, tuple[int, ...]] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._told: set[str] = set()

    @property
    def users(self) -> list[str]:
        """Those of whom the server has told last."""
        return list(self._listed)

    def list(self, found: Iterable[Holding]) -> None:
        """The server has told who has what; nobody else has any."""
        self._listed = dict(found)

    def has(self, user: str, chunks: Iterable[int]) -> bool:
        """Whether a user has these chunks, by the word of the server."""
        return set(chunks) <= set(self._listed.get(user, ()))

    # -- What became of asking them --------------------------------------------------------

    def reached(self, user: str) -> None:
        """A user has answered."""
        self._troubles.pop(user, None)

    def unreachable(self, user: str, reason: str, *, is_lasting: bool = False) -> None:
        """A user can't be reached."""
        self._troubles[user] = _Trouble(f"can't be reached: {reason}", is_lasting=is_lasting)

    def silent(self, user: str) -> None:
        """A user was reached, and does not send what is needed first."""
        self._troubles[user] = _Trouble("does not answer")

    def gone(self, user: str) -> None:
        """A user does not have the file any more."""
        text = "does not have it any more: it was changed or removed there"
        self._troubles[user] = _Trouble(text, is_owner=False, is_lasting=True)

    def lied(self, user: str) -> None:
        """A user has sent what is wrong."""
        self._troubles[user] = _Trouble("sends wrong bytes", is_owner=False, is_lasting=True)

    def is_tried(self, user: str) -> bool:
        """Whether it is known that nothing comes from a user at present."""
        return user in self._troubles

    def lasting_trouble(self, user: str) -> str | None:
        """Why it is of no use to ask a user again now; none if it may be."""
        trouble = self._troubles.get(user)
        return self.trouble(user) if trouble is not None and trouble.is_lasting else None

    # -- In words --------------------------------------------------------------------------

    def news_of(self, user: str) -> str | None:
        """Why nothing comes from a user, if it was not asked before; of the first users only."""
        if user in self._told or len(self._told) >= TOLD_MAX:
            return None
        sentence = self.trouble(user)
        if sentence is not None:
            self._told.add(user)
        return sentence

    def trouble(self, user: str) -> str | None:
        """Why nothing comes from a user; none if nothing was to be expected from them."""
        trouble = self._troubles.get(user)
        if trouble is None:
            return None
        name = clean_line(user)
        if not trouble.is_owner:
            return f"{name} {trouble.text}"
        held = len(self._listed.get(user, ()))
        if not held:
            return None
        what = "it" if held == self._chunks else _of(held, self._chunks)
        return f"{name} has {what}, but {trouble.text}"

    def cause(self, reached: Sequence[str] = (), chunks: int = 0) -> str:
        """Why the file can't be had as a whole.

        Args:
            reached: those who have some of it and can be asked.
            chunks: how many chunks they have together.
        """
        said = {user: self.trouble(user) for user in self._troubles}
        sentences = [text for user, text in said.items() if text and user not in reached]
        may_come = any(self._listed.get(user) and said[user] for user in self._troubles)
        parts = _cut(sentences)
        if sentences and reached:
            parts.insert(0, self._reached(reached, chunks))
        return "; ".join(parts if may_come else [*parts, NOBODY])

    def lacking(self, reached: Sequence[str], chunks: int, until: str | None) -> str:
        """What is missing; the arguments are those of `cause`.

        Args:
            reached: see there.
            chunks: see there.
            until: up to what time of day the others are waited for; none while something comes.
        """
        if reached:
            text = self._reached(reached, chunks)
        elif any(self._listed.values()):
            text = "nobody who has it can be reached"
        else:
            text = "nobody who is online has it"
        return f"{text}; waiting for others" + (f" until {until}" if until else "")

    def _reached(self, users: Sequence[str], chunks: int) -> str:
        names = _cut([clean_line(user) for user in sorted(users)])
        together = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
        verb = "have together" if len(names) > 1 else "has"
        return f"{together} {verb} {_of(chunks, self._chunks)}"


def _of(held: int, chunks: int) -> str:
    return f"{held} of {chunks} chunk{'' if chunks == 1 else 's'}"


def _cut(words: Sequence[str]) -> list[str]:
    """The first few; and how many there are beside."""
    rest = len(words) - NAMED_MAX
    return [*words[:NAMED_MAX], *([f"{rest} other{'' if rest == 1 else 's'}"] if rest > 0 else [])]
