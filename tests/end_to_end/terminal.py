"""A client in a terminal, with what a person sees of it and does to it."""

from __future__ import annotations

import os
import re
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

import pyte

from .programs import PASSWORDS, WELCOME, Client, environment
from .watch import Watch

_SUGGESTED = "brightblack"
_MARGIN = re.compile(r" +(\d\d:\d\d|earlier)$")

_PROMPTS = ("Username:", "Password:", ">")


class Terminal(Client):
    """A terminal with a client in it.

    Its transcript is what stands above the line with the cursor, all that has scrolled away
    included; `shows` goes through it, so that no line remains unnoticed.

    Attributes:
        received: every byte that came from the client.
        modes_before: what `modes` were before the client began.
    """

    def __init__(
        self,
        watch: Watch,
        directory: Path,
        command: Sequence[str],
        columns: int,
        rows: int,
        kind: str,
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=100_000)
        self._stream = pyte.ByteStream(self._screen)
        self._scrolled_away: list[str] = []
        self._transcript: list[str] | None = None
        self._noticed = 0
        self.received = bytearray()
        self._files = list(os.openpty())
        termios.tcsetwinsize(self._files[1], (rows, columns))
        self.modes_before = self.modes
        # A shell that leads a session gets the first terminal that it opens as its own, and
        # with it the signals of its keys and of a changed size.
        shell = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(self._files[1])]
        process = subprocess.Popen(
            [*shell, *command],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=directory,
            env=environment(directory, kind),
        )
        super().__init__(watch, process)
        watch.add(self._files[0], self._feed)

    def _feed(self, data: bytes) -> None:
        self._transcript = None
        self.received += data
        self._stream.feed(data)

    # -- What is to be seen ------------------------------------------------------------------

    @property
    def transcript(self) -> list[str]:
        """The lines above the cursor's."""
        if self._transcript is None:
            top = self._screen.history.top
            for index in range(len(self._scrolled_away), len(top)):
                self._scrolled_away.append(self._text_of(top[index]))
            self._transcript = self._scrolled_away + self.screen_lines[: self._screen.cursor.y]
        return self._transcript

    @property
    def screen_lines(self) -> list[str]:
        """The lines that fit on the screen now."""
        return [self._text_of(self._screen.buffer[y]) for y in range(self._screen.lines)]

    @property
    def prompt(self) -> str:
        """The line with the cursor, such as ``> what was typed``."""
        return self._text_of(self._screen.buffer[self._screen.cursor.y])

    @property
    def toolbar(self) -> str:
        """What stands below the line with the cursor."""
        return "".join(self.screen_lines[self._screen.cursor.y + 1 :])

    @property
    def margins(self) -> list[str]:
        """What stands at the right edge, beside the words."""
        rows = [self._screen.buffer[y] for y in range(self._screen.lines)]
        texts = ["".join(row[x].data for x in range(self._screen.columns)) for row in rows]
        return [found[1] for text in texts if (found := _MARGIN.search(text.rstrip()))]

    def _text_of(self, row: dict[int, pyte.screens.Char]) -> str:
        """Its words: the time at its right edge is none, nor is what is only suggested."""
        cells = (row[x] for x in range(self._screen.columns))
        text = "".join(cell.data for cell in cells if cell.fg != _SUGGESTED)
        return _MARGIN.sub("", text.rstrip()).rstrip()

    @property
    def modes(self) -> list[object]:
        """Of the terminal: whether it shows what is typed, which keys send signals, ..."""
        return termios.tcgetattr(self._files[1])

    def _describe(self) -> str:
        return "\n".join([*self.transcript, f"{self.prompt}_"])

    def shows(self, *lines: str) -> None:
        """Wait until exactly these are the next lines of the transcript."""
        end = self._noticed + len(lines)
        expected = "\n".join(lines)
        self._watch.wait_until(
            lambda: self.transcript[self._noticed : end] == list(lines),
            lambda: f"\n{expected}\nas what follows line {self._noticed} of\n{self._describe()}",
        )
        self._noticed = end

    def wait_for(self, line: str) -> None:
        """Wait until this is a line of the transcript, and skip all up to it."""
        self._watch.wait_until(
            lambda: line in self.transcript[self._noticed :],
            lambda: f"{line}\nafter line {self._noticed} of\n{self._describe()}",
        )
        self._noticed = self.transcript.index(line, self._noticed) + 1

    def wait_for_prompt(self, *prompts: str) -> None:
        """Wait until the cursor's line is one of these."""
        self._watch.wait_until(
            lambda: self.prompt in prompts,
            lambda: f"{' or '.join(prompts)} as the line with the cursor of\n{self._describe()}",
        )

    def wait_for_screen(self, *lines: str) -> None:
        """Wait until these are the last lines on the screen, that of the cursor included."""
        self._watch.wait_until(
            lambda: self.screen_lines[: self._screen.cursor.y + 1][-len(lines) :] == list(lines),
            lambda: "{}\nat the end of\n{}".format("\n".join(lines), self._describe()),
        )

    # -- What a person does ------------------------------------------------------------------

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._files[0], keys.encode())

    def enter(self, line: str) -> None:
        """Wait for an empty prompt, type a line, press Enter."""
        self.wait_for_prompt(*_PROMPTS)
        self.type(f"{line}\r")

    def says(self, line: str, *answers: str) -> None:
        """Enter a line, and see it and nothing but these answers."""
        self.enter(line)
        self.shows(f"> {line}".rstrip(), *answers)

    def gives_name(self, user: str) -> None:
        """Enter a user name, and see the prompt for the password."""
        self.wait_for_prompt("Username:")
        self.type(f"{user}\r")
        self.shows(f"Username: {user}")
        self.wait_for_prompt("Password:")

    def tries(self, password: str, *answers: str) -> None:
        """Enter a password, and see nothing but these answers."""
        self.wait_for_prompt("Password:")
        self.type(f"{password}\r")
        self.shows("Password:", *answers)

    def log_in(self, user: str) -> None:
        """Log in, and see that it worked."""
        self.gives_name(user)
        self.tries(PASSWORDS[user], WELCOME)
        self.wait_for_prompt(">")

    def press_ctrl(self, letter: str) -> None:
        """Press Ctrl with a letter."""
        self.type(chr(ord(letter.upper()) - ord("@")))

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        while self._watch.read_all():
            pass
        self._screen.resize(rows, columns)
        self._transcript = None
        termios.tcsetwinsize(self._files[0], (rows, columns))

    # -- Its end -----------------------------------------------------------------------------

    def ends(self, exit_code: int, *last_lines: str) -> None:
        """Wait until the client has ended so, and left the terminal as it was."""
        assert self.wait_for_exit() == exit_code, self._describe()
        self.shows(*last_lines)
        assert self.transcript[self._noticed :] == [], self._describe()
        assert self.prompt == "", "what comes next begins on a line of its own"
        assert self.modes == self.modes_before

    def hang_up(self) -> None:
        """Close the window while the client is running."""
        for file in self._files:
            self._watch.remove(file)
            os.close(file)
        self._files = []

    def close(self) -> None:
        super().close()
        self.hang_up()
