"""Keys at a prompt of prompt_toolkit, without a client; with one, they are in `test_console`."""

from __future__ import annotations

import asyncio
import os
import signal
import tty as modes

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import DummyOutput

from trio_chat.client.console.keyboard import Keyboard
from trio_chat.client.console.keys import Question, key_bindings
from trio_chat.tty import Tty

SEVERAL = "\x1b[200~one\r  two\r\x1b[201~"
HISTORY = ("broadcast one", "message yoda two", "/quit")
LEFT, RIGHT, UP, DOWN, HOME, END = (f"\x1b[{letter}" for letter in "DCABHF")
CTRL_LEFT, CTRL_RIGHT = "\x1b[1;5D", "\x1b[1;5C"


class Prompt:
    """Takes keys, and enters lines; notes what else happens."""

    def __init__(self) -> None:
        self.question = Question()
        self.focus: list[bool] = []
        self.ended = False

    def _complete(self, buffer: Buffer) -> None:
        buffer.insert_text("completed")

    def enter(self, *keys: str, lines: int = 1, secret: bool = False) -> list[str]:
        """Press keys, those of one argument at once; return so many lines as were entered."""

        async def run() -> list[str]:
            keyboard, terminal = os.openpty()
            modes.setraw(terminal)
            with os.fdopen(terminal) as stdin:
                session: PromptSession[str] = PromptSession(
                    input=Keyboard(stdin, Tty(terminal)),
                    output=DummyOutput(),
                    history=InMemoryHistory(HISTORY),
                    auto_suggest=AutoSuggestFromHistory(),
                )
                bindings = key_bindings(
                    self.question,
                    self._complete,
                    self.focus.append,
                    secret=secret,
                    remembers=not secret,
                )
                session.app.key_processor = KeyProcessor(bindings)
                session.app.ttimeoutlen = 0.01
                typing = asyncio.create_task(self._type(session, keyboard, keys))
                try:
                    return [await session.prompt_async() for _ in range(lines)]
                except EOFError:
                    self.ended = True
                    return []
                finally:
                    typing.cancel()
                    os.close(keyboard)

        return asyncio.run(asyncio.wait_for(run(), 10))

    async def _type(
        self, session: PromptSession[str], keyboard: int, keys: tuple[str, ...]
    ) -> None:
        """Press keys, and wait until what was pressed at once has been taken."""
        for at_once in keys:
            taken = asyncio.Event()

            def notice(_: object, taken: asyncio.Event = taken) -> None:
                taken.set()

            session.app.key_processor.after_key_press += notice
            os.write(keyboard, at_once.encode())
            await taken.wait()


def test_tab_completes() -> None:
    assert Prompt().enter("un\t\r") == ["uncompleted"]


def test_the_focus_is_told_and_no_key() -> None:
    prompt = Prompt()
    assert prompt.enter("a\x1b[Ob\x1b[Ic\r") == ["abc"]
    assert prompt.focus == [False, True]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was sent to whom."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    return sent


INTERRUPT = (os.getpid(), signal.SIGINT)


# -- Keys that surprise nobody ---------------------------------------------------------------

_USED = {
    *(Keys.Left, Keys.Right, Keys.Up, Keys.Down, Keys.Home, Keys.End, Keys.Delete, Keys.Backspace),
    *(Keys.ShiftLeft, Keys.ShiftRight, Keys.ShiftHome, Keys.ShiftEnd, Keys.ShiftDelete),
    *(Keys.ControlLeft, Keys.ControlRight, Keys.ControlHome, Keys.ControlEnd, Keys.ControlDelete),
    *(Keys.ControlShiftLeft, Keys.ControlShiftRight, Keys.ControlShiftHome, Keys.ControlShiftEnd),
    *(Keys.ControlA, Keys.ControlB, Keys.ControlC, Keys.ControlD, Keys.ControlE, Keys.ControlF),
    *(Keys.ControlK, Keys.ControlL, Keys.ControlN, Keys.ControlP, Keys.ControlR, Keys.ControlU),
    *(Keys.ControlW, Keys.ControlY, Keys.ControlZ, Keys.ControlUnderscore),
    *(Keys.ControlI, Keys.ControlJ, Keys.ControlM, Keys.BracketedPaste),
    *((Keys.Escape, Keys.Left), (Keys.Escape, Keys.Right)),
}

UNUSED = [
    sequence for sequence, key in ANSI_SEQUENCES.items() if key not in _USED and sequence != "\x1b"
]
ALT = [f"\x1b{chr(code)}" for code in range(1, 127) if chr(code) not in "\x08\x1b[O]PX^_bdf"]
MOUSE = ["\x1b[<64;10;5M", "\x1b[<0;1;1m", "\x1b[M`!!", "\x1b[M###", "\x1b[64;10;5M"]
UNKNOWN = [
    *("\x1b[25;3~", "\x1b[27;5;9~", "\x1b[97;5u", "\x1b[57441;2:3u", "\x1bO5P", "\x1b\x1b[5~"),
    *("\x1b[12;40R", "\x1b[?1;2c", "\x1b[>41;354;0c", "\x1b]11;rgb:0000/ffff/0000\x1b\\"),
    *("\x1b]52;c;aGk=\x07", "\x1bP>|xterm(354)\x1b\\", "\x1b[200$y", "\x1b[[A"),
]


@pytest.mark.parametrize("sequences", [UNUSED, ALT, MOUSE, UNKNOWN])
def test_keys_without_a_meaning_do_nothing(sequences: list[str]) -> None:
    assert len(sequences) > 4
    line = "".join(f"{number}," for number in range(len(sequences)))
    keys = "".join(f"{number},{sequence}" for number, sequence in enumerate(sequences))
    assert Prompt().enter(f"{keys}\r") == [line]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (f"{HOME}X", "Xone two three"),
        (f"{HOME}{END}X", "one two threeX"),
        (f"{LEFT}{LEFT}{RIGHT}X", "one two threXe"),
        ("\x1b[1;2DX", "one two threXe"),
        (f"{CTRL_LEFT}X", "one two Xthree"),
        (f"{CTRL_LEFT * 3}{CTRL_RIGHT}X", "oneX two three"),
        ("\x1bb\x1bbX", "one Xtwo three"),
        ("\x1b[1;3DX", "one two Xthree"),
        (f"{HOME}\x1bfX", "oneX two three"),
        ("\x17X", "one two X"),
        ("-four\x1b\x7fX", "one two three-X"),
        (f"{HOME}\x1bdX", "X two three"),
        (f"{HOME}\x1b[3;5~X", "X two three"),
        (f"{HOME}\x1b[3~X", "Xne two three"),
        (f"{HOME}\x04X", "Xne two three"),
        ("\x04X", "one two threeX"),
        ("\x7f\x08X", "one two thrX"),
        (f"{CTRL_LEFT}\x15X", "Xthree"),
        (f"{CTRL_LEFT}\x0bX", "one two X"),
        (f"{CTRL_LEFT}\x0b{HOME}\x19X", "threeXone two "),
        ("\x17\x1fX", "one two threeX"),
        ("\x0cX", "one two threeX"),
        (UP, "/quit"),
        (f"{UP}{UP}X", "message yoda twoX"),
        (f"{UP}{UP}{DOWN}{DOWN}X", "one two threeX"),
        ("\x10\x10\x0e", "/quit"),
        ("\x12yoda\rX", "message Xyoda two"),
        ("\x15\x12o\x12\x12\x13\rX", "message yXoda two"),
        ("\x12yoda\x07X", "one two threeX"),
        ("\x12yoda\x03X", "one two threeX"),
    ],
)
def test_keys_that_edit_do_it_as_in_a_shell(keys: str, line: str) -> None:
    assert Prompt().enter(f"one two three{keys}", "\r") == [line]


def test_esc_is_no_alt_and_leaves_a_search() -> None:
    assert Prompt().enter("a", "\x1b", "b\r") == ["ab"]
    assert Prompt().enter("one", "\x12yoda", "\x1b", "X\r") == ["oneX"]


def test_only_the_arrow_takes_a_suggestion() -> None:
    assert Prompt().enter("message y", f"{RIGHT}", "\r") == ["message yoda two"]
    for key in (END, "\x05", CTRL_RIGHT, "\x1bf", "\t\x7f"):
        assert not Prompt().enter("message y", f"{key}", "\r")[0].endswith("two")


def test_ctrl_c_clears_a_line_and_is_a_signal_on_an_empty_one(
    signals: list[tuple[int, int]],
) -> None:
    assert Prompt().enter("half typ\x03whoelse\r") == ["whoelse"]
    assert signals == []
    assert Prompt().enter("half typ\x03\x03x\r") == ["x"]
    assert signals == [INTERRUPT]


def test_ctrl_y_brings_back_what_ctrl_c_cleared() -> None:
    assert Prompt().enter("half typ\x03\x19ed\r") == ["half typed"]


def test_after_ctrl_c_the_history_begins_at_its_end() -> None:
    assert Prompt().enter(f"{UP}{UP}!", "\x03", UP, "\r") == ["/quit"]


def test_ctrl_c_at_a_password_is_a_signal(signals: list[tuple[int, int]]) -> None:
    """Nobody sees whether there is something to clear."""
    Prompt().enter("wis\x03\r", secret=True)
    assert signals == [INTERRUPT]


def test_a_password_can_not_get_into_a_search_which_would_show_it() -> None:
    assert Prompt().enter("wi\x12se\r", secret=True) == ["wise"]


def test_ctrl_z_stops_the_job(signals: list[tuple[int, int]]) -> None:
    assert Prompt().enter("a\x1ab\r") == ["ab"]
    assert signals == [(0, signal.SIGTSTP)]


def test_ctrl_d_on_an_empty_line_is_the_end() -> None:
    prompt = Prompt()
    assert prompt.enter("ab\x7f\x7f\x04") == []
    assert prompt.ended


# -- Pasting -------------------------------------------------------------------------------


def test_commands_that_are_pasted_are_entered() -> None:
    pasted = "\x1b[200~whoelse\nhelp\r\nlog\x1b[201~out\r"
    assert Prompt().enter(pasted, lines=3) == ["whoelse", "help", "logout"]


@pytest.mark.parametrize(
    ("answer", "entered"),
    [
        ("o", ["message yoda one\n  two"]),
        ("s", ["message yoda one", "message yoda   two"]),
        ("n!\r", ["message yoda !"]),
        ("\x07!\r", ["message yoda !"]),
        ("\x03!\r", ["message yoda !"]),
    ],
)
def test_a_text_that_is_pasted_is_asked_about(
    answer: str, entered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("that was an answer"))
    prompt = Prompt()
    keys = f"message yoda {SEVERAL}xyz\r\x1b[O{answer}"
    assert prompt.enter(keys, lines=len(entered)) == entered
    assert prompt.question.paste is None
    assert prompt.focus == [False], "it is told while a question is open, too"
