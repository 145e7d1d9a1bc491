"""The modes of a terminal; that they come back whatever ends the process is seen end to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from trio_chat.tty import Tty, guarded


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """The keyboard's end of a terminal, and its own."""
    keyboard, terminal = os.openpty()
    yield keyboard, terminal
    os.close(keyboard)
    os.close(terminal)


def echoes(file: int) -> bool:
    return bool(termios.tcgetattr(file)[3] & termios.ECHO)


def test_nothing_is_echoed_while_it_is_silent_and_all_is_kept(ends: tuple[int, int]) -> None:
    keyboard, file = ends
    before, tty = termios.tcgetattr(file), Tty(file)
    tty.silence()
    assert not echoes(file)
    os.write(keyboard, b"wise")
    assert os.read(file, 10) == b"wise"
    tty.restore()
    assert termios.tcgetattr(file) == before


def test_each_key_is_a_byte_while_keys_are_taken(ends: tuple[int, int]) -> None:
    keyboard, file = ends
    tty = Tty(file)
    tty.silence()
    with tty.taking_keys():
        os.write(keyboard, b"\x03\x1a\r")
        assert os.read(file, 10) == b"\x03\x1a\r"
    assert not echoes(file)
    with tty.taking_keys():
        tty.restore()
    assert echoes(file), "nothing takes it away again"


def test_what_is_no_terminal_is_left_alone() -> None:
    reader, writer = os.pipe()
    with guarded(reader, silent=True) as tty:
        assert tty is None
    os.close(reader)
    os.close(writer)


def test_a_program_in_a_pipeline_does_not_silence_the_terminal_of_its_pager(
    ends: tuple[int, int],
) -> None:
    code = "from trio_chat.tty import guarded\nwith guarded(0, silent=True): input()"
    keyboard, file = ends
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE) as process:
        os.write(keyboard, b"hello\n")
        assert process.wait() == 0
    assert os.read(keyboard, 100) == b"hello\r\n", "it was echoed"


def test_signals_are_handled_as_before_when_it_is_over(ends: tuple[int, int]) -> None:
    numbers = (signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM, signal.SIGTSTP, signal.SIGCONT)
    before = [signal.getsignal(number) for number in numbers]
    with guarded(ends[1], silent=False) as tty:
        assert tty is not None
        assert signal.SIG_DFL not in [signal.getsignal(number) for number in numbers]
    assert [signal.getsignal(number) for number in numbers] == before
    assert echoes(ends[1])
