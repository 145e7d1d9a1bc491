r"""Cuts what a terminal sends into characters, whole escape sequences, and texts that were pasted.

Rule: pure. The rules are those of ECMA-48 and xterm's ``ctlseqs``, so a sequence is recognised
though nobody knows its meaning. Otherwise its rest would look as if it had been typed: F13 of some
terminal would write ``[25~``.
"""

from __future__ import annotations

import re

ESCAPE_SECONDS = 0.1
"""How soon the rest of a sequence has to follow an Esc; it mostly comes with it."""

PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"

_WHOLE = re.compile(
    r"""
    \x1b?                                       # Alt, with a key that sends a sequence itself
    (?: \x1b \[ M ... | \x1b \[ \[ .            # a mouse in xterm's first way; Linux's F1 to F5
      | \x1b \[ [0-?]* [ -/]* [@-LN-Z\\-~]      # a control sequence, of most keys
      | \x1b \[ [0-?]+ [ -/]* M                 # a mouse in urxvt's way and in xterm's newer one
      | \x1b O [0-9;]* [ -/:<-~]                # of function keys and keypads
      | \x1b [\]PX^_] [^\x07\x1b]* (?: \x07 | \x1b\\ )      # an answer to a question
    )
    | \x1b [^\x1b\[O\]PX^_]                     # Alt, with a character
    | [^\x1b]
    """,
    re.VERBOSE | re.DOTALL,
)

_BEGUN = re.compile(
    r"\x1b{1,2}(?:\[(?:M.{0,2}|\[|[0-?]*[ -/]*)|O[0-9;]*|[\]PX^_][^\x07\x1b]*\x1b?)?\Z", re.DOTALL
)
"""What may become a sequence, if more follows."""

_ANSWER = re.compile(r"\x1b[\]PX^_]")


def pasted_text(sequence: str) -> str | None:
    """The text that was pasted; none if the sequence is another one."""
    if not sequence.startswith(PASTE_BEGINS):
        return None
    return sequence[len(PASTE_BEGINS) : -len(PASTE_ENDS)]


class Sequences:
    """What one terminal sends."""

    def __init__(self) -> None:
        self._rest = ""
        self._pasted: str | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the rest of a sequence is missing; see `flush`."""
        return bool(self._rest)

    def feed(self, data: str) -> list[str]:
        """The characters and sequences that are complete with this.

        A text that was pasted stands between `PASTE_BEGINS` and `PASTE_ENDS`.
        """
        found: list[str] = []
        text, self._rest = self._rest + data, ""
        while text:
            if self._pasted is not None:
                # Of a long text only what is new is searched.
                searched = max(0, len(self._pasted) - len(PASTE_ENDS))
                self._pasted += text
                end = self._pasted.find(PASTE_ENDS, searched)
                if end < 0:
                    break
                text = self._pasted[end + len(PASTE_ENDS) :]
                found.append(PASTE_BEGINS + self._pasted[:end] + PASTE_ENDS)
                self._pasted = None
            text = self._cut(text, found)
        return found

    def _cut(self, text: str, found: list[str]) -> str:
        """Cut off what is complete; return what stands behind the beginning of a paste."""
        position = 0
        while position < len(text):
            if text.startswith(PASTE_BEGINS, position):
                self._pasted = ""
                return text[position + len(PASTE_BEGINS) :]
            if _BEGUN.match(text, position):
                self._rest = text[position:]
                break
            whole = _WHOLE.match(text, position)
            end = whole.end() if whole else position + 1
            found.append(text[position:end])
            position = end
        return ""

    def flush(self) -> list[str]:
        """The same of what has begun, since nothing has followed for a while."""
        begun, self._rest = self._rest, ""
        if not _ANSWER.match(begun):
            return [begun] if begun else []
        # It was Alt with a character, before a text.
        found = [begun[:2]]
        self._cut(begun[2:], found)
        self._rest = ""
        return found
