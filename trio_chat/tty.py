"""The modes of the terminal: silent while nobody asks, and as before whatever ends the process.

Rule: imports only what costs no time, since nothing typed may be echoed while the rest is imported.

A process that ends by itself restores its terminal. So does the handler of each signal that would
end or stop it. Nothing can be done in a process that is killed by SIGKILL or crashes in foreign
code, so a child of it, the guardian, waits for its end. The guardian has a session of its own:
no key and no signal to the job reaches it.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

Modes = list[Any]
"""What `termios.tcgetattr` returns."""

FOCUS_ON, FOCUS_OFF = "\x1b[?1004h", "\x1b[?1004l"
"""Asks a terminal to tell when it is given the focus and when it loses it, and to stop that."""

_PASTE_OFF = "\x1b[?2004l"

_SCREEN_OFF = f"{FOCUS_OFF}\x1b[0m\x1b[?7h\x1b[?25h"
"""Undoes what a prompt asks of a terminal: no colour, lines that wrap, a cursor that is seen."""

_BELOW = "\x1b[J\r\n"
"""Leaves what stands up to the cursor, and goes on below it."""

_FATAL = frozenset(
    {signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
)
"""Signals that no handler of ours can take: the interpreter does not get to run it."""

_HARMLESS = frozenset({signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH})

_STOPPING = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})

_FILES_MAX = 4096
"""The guardian closes all descriptors below this."""


class Tty:
    """A terminal and its modes.

    Attributes:
        echoes: whether it has echoed what is typed before.

    Args:
        file: a descriptor of it.

    Raises:
        termios.error: if it is no terminal.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._before: Modes = termios.tcgetattr(file)
        self._modes: Modes | None = None
        self._screen: int | None = None
        self._uses_screen = False
        self._guardian: int | None = None
        self.echoes = bool(self._before[3] & termios.ECHO)

    # -- Modes -------------------------------------------------------------------------------

    def silence(self) -> None:
        """Let nothing that is typed be seen; it is kept for whoever reads next.

        Keys that send signals still do that.
        """
        self._enter(_silent(self._before))

    @contextmanager
    def taking_keys(self) -> Iterator[None]:
        """Let each key be read at once and do nothing else, for as long as this lasts."""
        modes = self._modes
        self._enter(_raw(self._before))
        try:
            yield
        finally:
            if modes is None:
                self.restore()
            elif self._modes is not None:  # or the terminal has been restored meanwhile
                self._enter(modes)

    def restore(self) -> None:
        """Let the terminal be as it was before."""
        if self._modes is not None:
            self._modes = None
            self._set(self._before)

    def drop_typed(self) -> None:
        """Forget what was typed and not read, such as a password that nobody will ask for."""
        with suppress(termios.error):
            termios.tcflush(self._file, termios.TCIFLUSH)

    def _enter(self, modes: Modes) -> None:
        self._modes = modes
        self._set(modes)

    def _set(self, modes: Modes) -> None:
        while True:
            try:
                # At once: a terminal may take no output for ever.
                termios.tcsetattr(self._file, termios.TCSANOW, modes)
            except termios.error as error:
                # A process in the background is stopped here until it is in the foreground.
                if error.args[0] == errno.EINTR:
                    continue
            return  # though there may be no terminal any more

    # -- What a prompt asks of a screen ------------------------------------------------------

    @property
    def uses_screen(self) -> bool:
        """Whether the terminal was asked for more than lines, which has to be undone."""
        return self._uses_screen

    @uses_screen.setter
    def uses_screen(self, value: bool) -> None:
        self._uses_screen = value
        self._tell_guardian(b"+" if value else b"-")

    def _write(self, text: str) -> None:
        """Write what undoes something; without waiting, since nobody may be reading."""
        if self._screen is not None:
            with suppress(OSError):
                os.write(self._screen, text.encode())

    # -- Stopping and going on ---------------------------------------------------------------

    def stop(self) -> None:
        """Stop this process as Ctrl-Z does, with the terminal as it was before.

        Returns when somebody lets it go on, or at once if nobody could.
        """
        self._set(self._before)
        previous = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, previous)
        self.resume()

    def resume(self) -> None:
        """Give the terminal the modes again that it had when this process was stopped."""
        if self._modes is not None:
            self._set(self._modes)

    # -- Whatever ends the process -----------------------------------------------------------

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Restore the terminal in the end, and also if a signal or a crash ends the process."""
        with suppress(OSError):  # such as a terminal that has no name here
            name = os.ttyname(self._file)
            self._screen = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        handlers = self._take_signals()
        with suppress(OSError):  # such as a limit on processes
            self._guardian = self._post_guardian()
        try:
            yield
        finally:
            self.restore()
            self._tell_guardian(b".")
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for file in (self._guardian, self._screen):
                if file is not None:
                    os.close(file)
            self._guardian = self._screen = None

    def _take_signals(self) -> dict[int, Any]:
        """Handle what would end, stop or continue this process; return what did so before."""
        ending = signal.valid_signals() - _FATAL - _HARMLESS - _STOPPING - {signal.SIGCONT}
        handlers = {
            **dict.fromkeys(ending, self._die),
            signal.SIGTSTP: lambda *_: self.stop(),
            signal.SIGCONT: lambda *_: self.resume(),
        }
        before: dict[int, Any] = {}
        for number, handler in handlers.items():
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, handler)
        return before

    def _die(self, number: int, _frame: FrameType | None) -> None:
        """Let a signal end the process, with the terminal as it was before."""
        self.restore()
        if self._uses_screen:
            self._write(f"{_SCREEN_OFF}{_PASTE_OFF}{_BELOW}")
        self._tell_guardian(b".")
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    def _tell_guardian(self, news: bytes) -> None:
        if self._guardian is not None:
            with suppress(OSError):  # it may have been killed
                os.write(self._guardian, news)

    # -- The guardian ------------------------------------------------------------------------

    def _post_guardian(self) -> int:
        """Start the guardian; return the descriptor over which it is told what to undo."""
        reader, writer = os.pipe()
        if os.fork() != 0:
            os.close(reader)
            return writer
        try:
            os.setsid()
            kept = {self._file, reader, self._screen if self._screen is not None else reader}
            first = 0
            for file in (*sorted(kept), _FILES_MAX):
                if first < file:  # an empty range means all of them to some systems
                    os.closerange(first, file)
                first = file + 1
            self._keep_watch(reader)
        finally:
            os._exit(0)

    def _keep_watch(self, reader: int) -> None:
        """Wait until the other process has ended; undo what it could not.

        Args:
            reader: where it says ``.`` if nothing is left to undo, and ``+`` or ``-`` when it
                begins and ends to use the screen.
        """
        while news := os.read(reader, 1):
            if news == b".":
                return
            self._uses_screen = news == b"+"
        # A shell may have noticed the end sooner, and have set modes of its own.
        is_left = termios.tcgetattr(self._file) in (_silent(self._before), _raw(self._before))
        if is_left:
            self._set(self._before)
        if self._uses_screen:
            self._write(_SCREEN_OFF + (_PASTE_OFF if is_left else ""))


@contextmanager
def guarded(file: int, *, silent: bool) -> Iterator[Tty | None]:
    """Guard a terminal for all the time that a program runs.

    Args:
        file: its descriptor.
        silent: whether to silence it from the first moment. Not if the output goes through a
            pipe: the program at its other end, such as a pager, may use the same terminal. And
            not in the background, where that would stop the process.

    Returns:
        The terminal; none if the file is none.
    """
    try:
        tty = Tty(file)
        for standard in range(3):  # or one of our files would get its number
            os.fstat(standard)
    except (termios.error, OSError):
        yield None
        return
    with tty.guarded():
        if silent and _is_in_foreground(file) and not stat.S_ISFIFO(os.fstat(1).st_mode):
            tty.silence()
        yield tty


def _is_in_foreground(file: int) -> bool:
    try:
        return os.tcgetpgrp(file) == os.getpgrp()
    except OSError:  # it is not our terminal, so there is no background
        return True


def _silent(before: Modes) -> Modes:
    modes = [*before]
    modes[3] &= ~(termios.ECHO | termios.ICANON)
    modes[6] = [*before[6]]
    modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
    return modes


def _raw(before: Modes) -> Modes:
    modes = _silent(before)
    # Ctrl-C and the like, Ctrl-V, Ctrl-S and Ctrl-Q are keys as others; so is Ctrl-J.
    modes[3] &= ~(termios.ISIG | termios.IEXTEN)
    modes[0] &= ~(termios.IXON | termios.IXOFF | termios.ICRNL | termios.INLCR | termios.IGNCR)
    return modes
