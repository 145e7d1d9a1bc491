"""What people write: what is harmful in it, whether there is anything to see, what counts as equal.

Rule: pure, and the one place that judges characters. Server and clients have to agree, so nothing
here asks Python's tables, as `str.isprintable` does: they grow with each version of Unicode, and a
new emoji is no control character.

Whoever wrote a text may want to move the cursor, change the title, or forge a line. Whole escape
sequences go, not only their first character; where a text breaks is said to whoever shows it, who
indents its further lines, so that none can be taken for a line of its own.
"""

from __future__ import annotations

import re
import unicodedata

BLANKS = " \t"
"""What parts the words of a line; no other kind of space does."""

BOM = "\ufeff"
"""What some editors put at the beginning of a file."""

_BREAKS = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")

_SEQUENCES = re.compile(
    r"""
    (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]                   # CSI: colours, cursor, ...
    | (?: \x1b[P\]X^_] | [\x90\x98\x9d-\x9f] )                # DCS, OSC, SOS, PM, APC: a
      [^\x07\x1b\x9c]* (?: \x07 | \x1b\\ | \x9c )             # string with its terminator
    | \x1b [ -/]* [0-~]                                       # any other one
    """,
    re.VERBOSE,
)

_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # what changes the direction of text
    "\u2028\u2029"
    "\ud800-\udfff]"  # halves of surrogate pairs, which no terminal can show
)

_VISIBLE = re.compile(
    "[^\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # controls, spaces
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"  # default ignorable
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u2800]"  # a pattern of Braille without dots
)


def clean_line(text: str) -> str:
    """Text from others for a place inside a line: nothing in it controls a terminal."""
    return _strip(_BREAKS.sub(" ", text))


def clean_lines(text: str) -> list[str]:
    """Text from others, cut where it breaks; there is at least one line."""
    return [_strip(line) for line in _BREAKS.split(text)]


def _strip(text: str) -> str:
    if not has_controls(text):  # nearly all texts
        return text
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\t", "    ")))


def has_controls(text: str) -> bool:
    """Whether something in a text controls a terminal or its direction; no name may have that."""
    return _CONTROLS.search(text) is not None


def replace_controls(text: str, replacement: str) -> str:
    """A text with something harmless in the place of each control character."""
    return _CONTROLS.sub(replacement, text)


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen: it is empty, or all spaces and invisible characters.

    Callers in the hot path ask only if not ``"!" <= text <= "~"``: those begin with what is seen.
    """
    return _VISIBLE.search(_strip(text)) is None


def trim(line: str) -> str:
    """The one word of a line, as it is meant: a name or a password, which have no blanks.

    Editors, shells and other systems leave a byte-order mark, a carriage return or blanks there.
    """
    return line.removeprefix(BOM).strip(f"{BLANKS}\r\n")


def normal(text: str) -> str:
    """A name or password as it is compared: composed (NFC), as most keyboards write it.

    File systems and some input methods write ``é`` as two characters, which look like one.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)
