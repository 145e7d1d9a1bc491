"""What a text of several lines means that was pasted.

Rule: pure. Behind the beginning of a message it is something to say, and it is asked once whether
that is one message or several. Anywhere else, and where each of its lines is a command, its lines
are entered as if they had been typed.
"""

from __future__ import annotations

import re

from msgspec import Struct

from ..grammar import COMMAND_NAMES, command_named

_BREAK = re.compile("\r\n|\r|\n")
_GAP = re.compile(r"[ \t]+")


class Paste(Struct, frozen=True):
    """A text that was pasted into a message.

    Attributes:
        command: up to the text, with its last blank.
        lines: of the text.
    """

    command: str
    lines: tuple[str, ...]

    @property
    def question(self) -> str:
        """What has to be decided."""
        return f"Send {len(self.lines)} lines as one message (o), as several (s), or not (n)?"

    @property
    def one(self) -> str:
        """The line to enter for one message."""
        return self.command + "\n".join(self.lines)

    @property
    def several(self) -> list[str]:
        """The lines to enter for one message each; empty lines say nothing."""
        return [self.command + line for line in self.lines if line.strip()]


def split_lines(text: str) -> list[str]:
    """The lines of what was pasted; the last one has no end."""
    return _BREAK.split(text)


def into_message(before: str, pasted: str, after: str) -> Paste | None:
    """What was pasted into a message; none if it was not, or is one line only.

    Args:
        before: what stands before it.
        pasted: what was pasted.
        after: what stands behind it.
    """
    lines = split_lines((before.lstrip() + pasted).rstrip("\r\n") + after)
    first, *rest = lines
    start = _start_of_text(first)
    if start is None or not rest:
        return None
    whole = rest if pasted.endswith(("\r", "\n")) or len(rest) == 1 else rest[:-1]
    if all(line.split(maxsplit=1)[0] in COMMAND_NAMES for line in whole if line.strip()):
        return None
    return Paste(first[:start], (first[start:], *rest))


def _start_of_text(line: str) -> int | None:
    """Where the message begins in a command that has one; none if it has not got so far."""
    command = command_named(_GAP.split(line, maxsplit=1)[0])
    if command is None or command.parameters[-1:] != ("message",):
        return None
    gaps = list(_GAP.finditer(line))
    needed = len(command.parameters)
    return gaps[needed - 1].end() if len(gaps) >= needed else None
