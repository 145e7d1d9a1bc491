"""Text from others, so that it can't control a terminal.

Rule: pure. Whoever wrote it may want to move the cursor, change the title, or forge a line. Whole
escape sequences go, not only their first character; where a text breaks is said to whoever shows
it, who indents its further lines, so that none can be taken for a line of its own.
"""

from __future__ import annotations

import re

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


def clean_line(text: str) -> str:
    """Text from others for a place inside a line: nothing in it controls a terminal."""
    return _strip(_BREAKS.sub(" ", text))


def clean_lines(text: str) -> list[str]:
    """Text from others, cut where it breaks; there is at least one line."""
    return [_strip(line) for line in _BREAKS.split(text)]


def _strip(text: str) -> str:
    if text.isprintable():  # nearly all texts are; the rest may still be harmless
        return text
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\t", "    ")))
