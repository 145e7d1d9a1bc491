"""One line while it is typed, where nothing may move but the end of the line.

Rule: pure. It knows the keys that a terminal knows by itself: what edits is what has always edited
in front of a program that reads lines. It is not left to the terminal, which would not tell what
has been typed so far, so that nobody could show it again below a line that has arrived.
"""

from __future__ import annotations

import unicodedata
from enum import Enum

import wcwidth

from .. import limits

ENTER, ERASE = ("\r", "\n"), ("\x7f", "\b")
CTRL_C, CTRL_D, CTRL_L, CTRL_R, CTRL_U, CTRL_W, CTRL_Z = "\x03\x04\x0c\x12\x15\x17\x1a"


class Outcome(Enum):
    """What a key means beyond the line."""

    ENTERED = "the line is complete"
    ENDED = "there will be no more lines"
    INTERRUPTED = "somebody wants to leave"
    STOPPED = "somebody wants to do something else for a while"


class LineEditor:
    """A line.

    Attributes:
        text: what was typed so far.
        is_too_long: whether something of it was dropped.

    Args:
        prompt: what stands before it.
        echoes: whether what is typed is shown.
        secret: whether nobody sees what is typed, so there is nothing to clear either.
    """

    def __init__(self, prompt: str, *, echoes: bool = True, secret: bool = False) -> None:
        self.text = ""
        self.is_too_long = False
        self._prompt = prompt
        self._echoes = echoes and not secret
        self._secret = secret

    @property
    def shown(self) -> str:
        """What stands on the screen."""
        return self._prompt + (self.text if self._echoes else "")

    def press(self, key: str) -> tuple[str, Outcome | None]:
        """Press a key.

        Args:
            key: a character, or the sequence of another key, which does nothing.

        Returns:
            What to write, and what the key means if it ends the line or is not about it.
        """
        if key in ENTER:
            return "\n", Outcome.ENTERED
        if key == CTRL_Z:
            return "", Outcome.STOPPED
        if key == CTRL_D:
            return "", None if self.text else Outcome.ENDED
        if key == CTRL_C:
            if self._secret or not self.text:
                return "", Outcome.INTERRUPTED
            return self._clear(), None
        if key == CTRL_U:
            return self._clear() if self.text else "", None
        if key in (CTRL_L, CTRL_R):
            return f"\n{self.shown}", None
        if key in ERASE:
            return self._erase(self._last_character()), None
        if key == CTRL_W:
            return self._erase(self._last_word()), None
        return self._insert(" " if key == "\t" else key), None

    def _insert(self, key: str) -> str:
        if len(key) > 1 or unicodedata.category(key) == "Cc":
            return ""
        self.is_too_long |= len(self.text) >= limits.LINE_BYTES_MAX
        if self.is_too_long:
            return ""
        self.text += key
        return key if self._echoes else ""

    def _clear(self) -> str:
        """Begin again, below: a long line could not be erased where it stands."""
        self.text, self.is_too_long = "", False
        return f"\n{self._prompt}" if not self._secret else ""

    def _erase(self, count: int) -> str:
        kept = len(self.text) - count
        erased, self.text = self.text[kept:], self.text[:kept]
        if not self._echoes:
            return ""
        columns = sum(max(0, wcwidth.wcwidth(character)) for character in erased)
        return "\b \b" * columns

    def _last_character(self) -> int:
        """How much a person sees as the last character, with what is combined with it."""
        count = min(1, len(self.text))
        while count < len(self.text) and wcwidth.wcwidth(self.text[-count]) == 0:
            count += 1
        return count

    def _last_word(self) -> int:
        return len(self.text) - self.text.rstrip(" ").rfind(" ") - 1
