"""The keyboard of a person: keys out of what a terminal sends.

Instead of prompt_toolkit's parser, which takes for text what it does not know of a sequence, and
takes the letter that follows an Esc for one with Alt, however late it comes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TextIO

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from ...tty import Tty
from ..sequences import Sequences, pasted_text

FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"

FOCUS_KEY = Keys.WindowsMouseEvent
"""There is no key for it, and this one comes from no terminal of ours."""

_KEYS: dict[str, Keys | tuple[Keys, ...]] = {
    **ANSI_SEQUENCES,
    FOCUS_IN: FOCUS_KEY,
    FOCUS_OUT: FOCUS_KEY,
    # Esc is Ctrl-G, which leaves a search, and answers a question with no.
    "\x1b": Keys.ControlG,
    "\x1b\x1b": Keys.ControlG,
}


class Keyboard(Vt100Input):
    """The keyboard of a terminal.

    Args:
        stdin: the terminal.
        tty: its modes.
    """

    def __init__(self, stdin: TextIO, tty: Tty) -> None:
        super().__init__(stdin)
        self._tty = tty
        self._sequences = Sequences()

    def read_keys(self) -> list[KeyPress]:
        """The keys that were pressed since the last time."""
        return _keys_of(self._sequences.feed(self.stdin_reader.read()))

    def flush_keys(self) -> list[KeyPress]:
        """The same of what has begun, since nothing has followed for a while."""
        return _keys_of(self._sequences.flush())

    def raw_mode(self) -> AbstractContextManager[None]:
        """For as long as a prompt is open."""
        return self._tty.taking_keys()


def _keys_of(sequences: list[str]) -> list[KeyPress]:
    return [key for sequence in sequences for key in _keys(sequence)]


def _keys(sequence: str) -> list[KeyPress]:
    """The keys behind a sequence; none if it is unknown."""
    text = pasted_text(sequence)
    if text is not None:
        return [KeyPress(Keys.BracketedPaste, text)]
    known = _KEYS.get(sequence)
    if isinstance(known, tuple):
        return [KeyPress(key, "") for key in known]
    if known is not None:
        return [KeyPress(known, sequence)]
    if len(sequence) == 1:
        return [KeyPress(sequence)]
    inner = _keys(sequence[1:]) if len(sequence) == 2 or sequence[1] == "\x1b" else []
    return [KeyPress(Keys.Escape, "\x1b"), *inner] if inner else []
