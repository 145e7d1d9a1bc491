"""Calling somebody who looks elsewhere: the bell, and a notice on the desktop.

Rule: no I/O. Terminals know two sequences for such notices (OSC 9 and OSC 777), and those that know
neither ignore them; only one is sent, or some would show two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum

from ..notice import CHAT, Kind, Notice

QUIET_SECONDS = 2.0
"""The time between two alerts, at least."""

TEXT_CHARACTERS_MAX = 200
"""What a desktop shows of a message."""

BELL = "\x07"


class Level(Enum):
    """Of what somebody wants to hear; its value is what stands on the command line."""

    OFF = "off"
    MENTIONS = "mentions"
    PRIVATE = "private"
    ALL = "all"


class Alerts:
    """Decides when to call, and how.

    Attributes:
        user: whose name counts as a mention.

    Args:
        level: what is worth a call.
        environment: which tells what kind of terminal it is.
    """

    def __init__(self, level: Level, environment: Mapping[str, str]) -> None:
        self.user = ""
        self._level = level
        self._open, self._close = _brackets(environment)
        self._last = -math.inf

    def call(self, notices: Sequence[Notice], now: float) -> str:
        """What to write to call somebody for some of these notices; empty if for none.

        Args:
            notices: which are shown, unseen.
            now: the moment, in seconds.
        """
        worthy = [notice for notice in notices if self._is_worth_it(notice)]
        if not worthy or now < self._last + QUIET_SECONDS:
            return ""
        self._last = now
        if not self._open:
            return BELL
        more = f" (and {len(worthy) - 1} more)" if len(worthy) > 1 else ""
        # Nothing in a line of a notice controls a terminal, but the semicolon means something here.
        text = f"{worthy[0].lines[0][:TEXT_CHARACTERS_MAX]}{more}".replace(";", ",")
        return f"{BELL}{self._open}{text}{self._close}"

    def _is_worth_it(self, notice: Notice) -> bool:
        if notice.kind not in CHAT or self._level is Level.OFF:
            return False
        if self._level is Level.ALL or self._mentions_us(notice):
            return True
        return self._level is Level.PRIVATE and notice.kind is not Kind.BROADCAST

    def _mentions_us(self, notice: Notice) -> bool:
        pattern = rf"(?<!\w){re.escape(self.user)}(?!\w)"
        text = str(notice.fields["text"])
        return bool(self.user) and re.search(pattern, text, re.IGNORECASE) is not None


def _brackets(environment: Mapping[str, str]) -> tuple[str, str]:
    """What stands before and after the text of a notice on the desktop."""
    kind = environment.get("TERM", "")
    if kind.startswith(("screen", "tmux", "linux")) or "TMUX" in environment:
        return "", ""  # they pass the bell on, and nothing else
    if kind.startswith("rxvt") or "VTE_VERSION" in environment:
        return "\x1b]777;notify;trio-chat;", BELL
    return "\x1b]9;", BELL
