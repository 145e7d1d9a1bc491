"""The modes of a person's terminal: silent while no prompt is open, and the shell's when we stop.

"Modes" are the attributes of its line discipline (termios): whether it echoes, whether it gives
whole lines only, which keys send signals.
"""

from __future__ import annotations

import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Keyboard:
    """The modes of a terminal's line discipline, over the times in which the process is stopped.

    Args:
        file: the terminal's descriptor.
        before: its modes when the client began.
    """

    def __init__(self, file: int, before: list[Any]) -> None:
        self._file = file
        self._before = before
        self._modes: list[Any] | None = None

    def give_back(self) -> None:
        """Let a shell find it as it was before the client."""
        with suppress(termios.error):  # there may be no terminal any more
            self._modes = termios.tcgetattr(self._file)
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def take_again(self) -> None:
        """Set the modes that were current when it was given back; those of an open prompt, say."""
        modes, self._modes = self._modes, None
        if modes is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._file, termios.TCSADRAIN, modes)


@contextmanager
def silent_keyboard(file: int) -> Iterator[Keyboard]:
    """Let a terminal show nothing of what is typed while no prompt is open.

    Keys are kept as they come, for the next prompt; only those that send signals do that.
    """
    before = termios.tcgetattr(file)
    silent = termios.tcgetattr(file)
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(file, termios.TCSADRAIN, silent)
    try:
        yield Keyboard(file, before)
    finally:
        with suppress(termios.error):
            termios.tcsetattr(file, termios.TCSANOW, before)  # it may take no output for ever
