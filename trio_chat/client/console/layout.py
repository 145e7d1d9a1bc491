"""How notices look on a screen: colour, breaks between words, the time, and what is unread.

Rule: no I/O, and no clock: the moment is an argument. The words are those of the notices; what is
added to them stands at the right edge, or on a line of its own between two of them. A line that
fits is left alone; one that does not is broken between words and goes on indented. A word that
is wider than the screen is left to the terminal, so that an address in it stays whole.

What was unread is marked once: when something was said while the terminal did not have the focus,
and above the messages that were waiting for the login. For those the time would be wrong, so
they get a word instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec
import wcwidth

from ..notice import CHAT, Kind, Notice
from ..render import CONTINUATION
from .palette import Palette

EARLIER = "earlier"
"""What stands in the place of the time of a message that had to wait."""

_TIMED = CHAT | {Kind.PRESENCE}
_TIME_COLUMNS = len(" 12:34")
_ROOMY_COLUMNS = 60
"""From this width on, room for the time is kept; below, it is shown where there is some."""

_GAP = re.compile(" {2,}")


class Layout:
    """Lays out what is shown on one terminal, from its first line on.

    Attributes:
        focused: whether the person seems to look at it.

    Args:
        palette: its colours.
        timestamps: whether the time stands beside what was said.
    """

    def __init__(self, palette: Palette, *, timestamps: bool) -> None:
        self.focused = True
        self._palette = palette
        self._timestamps = timestamps
        self._marked = False

    def focus(self, *, focused: bool) -> None:
        """The terminal was given the focus, or lost it."""
        self.focused = focused
        self._marked = False

    def compose(self, notices: Sequence[Notice], columns: int, now: datetime) -> str:
        """What to write to show notices, each line with its end.

        Args:
            notices: in their order.
            columns: of the screen.
            now: the local time.
        """
        waiting = sum(notice.has_waited for notice in notices)
        lines: list[str] = []
        for notice in _aligned(notices):
            if notice.kind in CHAT and not self._marked:
                lines += self._divider(now, waiting=notice.has_waited and waiting > 1)
            time = EARLIER if notice.has_waited else f"{now:%H:%M}"
            lines += self._lay_out(notice, columns, time)
        return "".join(f"{line}\n" for line in lines)

    def _divider(self, now: datetime, *, waiting: bool) -> list[str]:
        if waiting:
            text = "--- unread while you were away ---"
        elif not self.focused:
            text = f"--- unread since {now:%H:%M} ---"
        else:
            return []
        self._marked = True
        return [self._palette.discreet(text)]

    def _lay_out(self, notice: Notice, columns: int, time: str) -> list[str]:
        is_timed = self._timestamps and notice.kind in _TIMED
        width = columns - _TIME_COLUMNS if is_timed and columns >= _ROOMY_COLUMNS else columns
        lines = [
            part
            for line in (*notice.lines, *([notice.hint] if notice.hint else []))
            for part in _break(line, max(width, 1), is_table=notice.kind is Kind.HELP)
        ]
        painted = [self._paint(line, notice) for line in lines]
        if is_timed and lines:
            gap = columns - _width_at_most(lines[0]) - len(time)
            if gap > 0:
                painted[0] += " " * gap + self._palette.discreet(time)
        return painted

    def _paint(self, line: str, notice: Notice) -> str:
        palette = self._palette
        if notice.kind in CHAT:
            label = f"{notice.sender}(private)" if notice.kind is Kind.PRIVATE else notice.sender
            if line.startswith(f"{label}:"):
                return palette.name(label, notice.sender) + line[len(label) :]
            return line
        if notice.kind is Kind.USERS and notice.fields["users"]:
            return palette.name(line, line)
        if line == notice.hint:
            return palette.discreet(line)
        return palette.kind(line, notice.kind)


def _aligned(notices: Sequence[Notice]) -> list[Notice]:
    """The same notices, what follows names in several lines one below the other."""
    running = [str(notice.fields["name"]) for notice in notices if notice.kind is Kind.PROGRESS]
    width = max(map(_width, running), default=0)
    aligned = []
    for notice in notices:
        lines = notice.lines
        if notice.kind is Kind.PROGRESS:
            lines = _pad([str(notice.fields["name"])], lines, width)
        elif notice.kind is Kind.FOUND:
            users = [line.partition(": ")[0] + ":" for line in lines[1:]]
            lines = (*lines[:1], *_pad(users, lines[1:], max(map(_width, users), default=0)))
        aligned.append(msgspec.structs.replace(notice, lines=lines))
    return aligned


def _pad(names: Sequence[str], lines: Sequence[str], width: int) -> tuple[str, ...]:
    """Lines that begin with these names, which are made equally wide."""
    return tuple(
        wcwidth.ljust(name, width) + line[len(name) :]
        for name, line in zip(names, lines, strict=True)
    )


def _width(text: str) -> int:
    return max(wcwidth.wcswidth(text), 0)


def _width_at_most(text: str) -> int:
    """The same on a terminal that shows one after the other what others combine, as in emoji."""
    return max(_width(text), sum(max(wcwidth.wcwidth(character), 0) for character in text))


def _break(line: str, columns: int, *, is_table: bool) -> list[str]:
    """Cut a line where it has to end; the first gap of a table is such a place too."""
    if _width(line) <= columns:
        return [line]
    if is_table and len(halves := _GAP.split(line, maxsplit=1)) == 2:
        first, rest = halves
        return [*_break(first, columns, is_table=False), *_indented(rest, columns)]
    return wcwidth.wrap(
        line,
        columns,
        control_codes="ignore",
        subsequent_indent=CONTINUATION,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _indented(text: str, columns: int) -> list[str]:
    return wcwidth.wrap(
        text,
        columns,
        control_codes="ignore",
        initial_indent=CONTINUATION,
        subsequent_indent=CONTINUATION,
        break_long_words=False,
        break_on_hyphens=False,
    )


def in_columns(words: Sequence[str], columns: int) -> str:
    """Short words side by side, as many in a line as fit."""
    width = max(_width(word) for word in words) + 2
    row = max(columns // width, 1)
    lines = [
        "".join(wcwidth.ljust(word, width) for word in words[start : start + row]).rstrip()
        for start in range(0, len(words), row)
    ]
    return "".join(f"{line}\n" for line in lines)
