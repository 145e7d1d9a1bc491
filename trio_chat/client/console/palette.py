"""Colours for kinds of notices and for names.

Rule: pure. Each colour of 256 here has a contrast of 4:1 at least with black and with white, so
it can be read whatever the background is (a test computes that). Colour only repeats what the words
say: without it, nothing is lost.
"""

from __future__ import annotations

import zlib

from ..notice import Kind

_RESET = "\x1b[0m"

_NAMES_256 = (27, 28, 30, 31, 64, 98, 130, 131, 133, 163)
_GREY_256, _RED_256 = 243, 161

_NAMES_16 = (32, 34, 35, 36)
_GREY_16, _RED_16 = 90, 31


class Palette:
    """Puts text in colour, for a terminal that has 256 of them, or 16."""

    def __init__(self, *, colours: int) -> None:
        assert colours in (16, 256)
        if colours == 256:
            self._names = [f"1;38;5;{number}" for number in _NAMES_256]
            self._grey, self._red = f"38;5;{_GREY_256}", f"38;5;{_RED_256}"
        else:
            self._names = [f"1;{number}" for number in _NAMES_16]
            self._grey, self._red = str(_GREY_16), str(_RED_16)
        self._kinds = {
            Kind.PRESENCE: self._grey,
            Kind.INFO: self._grey,
            Kind.CONNECTION: self._grey,
            Kind.PROGRESS: self._grey,
            Kind.LINK: self._grey,
            Kind.WELCOME: "1",
            Kind.ERROR: self._red,
            Kind.CLOSED: self._red,
        }

    def name(self, text: str, name: str) -> str:
        """Text in the colour of a user, who has it for ever and on every machine."""
        return self._paint(text, self._names[zlib.crc32(name.encode()) % len(self._names)])

    def kind(self, text: str, kind: Kind) -> str:
        """Text in the colour of what it is about."""
        return self._paint(text, self._kinds.get(kind, ""))

    def discreet(self, text: str) -> str:
        """Text that shall not draw attention."""
        return self._paint(text, self._grey)

    @staticmethod
    def _paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}{_RESET}" if text and code else text


class NoPalette(Palette):
    """Leaves all text as it is."""

    def __init__(self) -> None:
        super().__init__(colours=16)

    @staticmethod
    def _paint(text: str, code: str) -> str:
        return text


def palette_for(terminal: str, colour_terminal: str) -> Palette:
    """What suits a terminal, which says so in ``TERM`` and ``COLORTERM``."""
    has_many = "256" in terminal or "direct" in terminal or bool(colour_terminal)
    return Palette(colours=256 if has_many else 16)
