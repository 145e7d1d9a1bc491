"""Keys at a prompt of prompt_toolkit, without a terminal; with one, they are in `test_console`."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from trio_chat.client.console.keys import Question, key_bindings

SEVERAL = "\x1b[200~one\r  two\r\x1b[201~"


class Prompt:
    """Takes keys, and enters lines; notes what else happens."""

    def __init__(self) -> None:
        self.question = Question()
        self.focus: list[bool] = []

    def _complete(self, buffer: Buffer) -> None:
        buffer.insert_text("completed")

    def enter(self, keys: str, lines: int = 1) -> list[str]:
        """Press keys; return so many lines as were entered."""

        async def run() -> list[str]:
            with create_pipe_input() as keyboard:
                session: PromptSession[str] = PromptSession(
                    input=keyboard,
                    output=DummyOutput(),
                    key_bindings=key_bindings(self.question, self._complete, self.focus.append),
                )
                keyboard.send_text(keys)
                return [await session.prompt_async() for _ in range(lines)]

        return asyncio.run(asyncio.wait_for(run(), 20))


def test_tab_completes() -> None:
    assert Prompt().enter("un\t\r") == ["uncompleted"]


def test_the_focus_is_told_and_no_key() -> None:
    prompt = Prompt()
    assert prompt.enter("a\x1b[Ob\x1b[Ic\r") == ["abc"]
    assert prompt.focus == [False, True]


def test_ctrl_c_gives_up_a_line_and_then_is_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    assert Prompt().enter("half typed\x03x\r") == ["x"]
    assert sent == []
    assert Prompt().enter("half typed\x03\x03x\r") == ["x"]
    assert sent == [(os.getpid(), signal.SIGINT)]


def test_ctrl_z_stops_all_that_the_shell_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    assert Prompt().enter("x\x1ay\r") == ["xy"]
    assert sent == [(0, signal.SIGTSTP)]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("\x1b[5~", id="PageUp"),
        pytest.param("\x1b[6~", id="PageDown"),
        pytest.param("\x1b1", id="Alt-1"),
        pytest.param("\x1b5", id="Alt-5"),
        pytest.param("\x1b-", id="Alt-minus"),
        pytest.param("\x1b#", id="Alt-#"),
        pytest.param("\x1b.", id="Alt-."),
        pytest.param("\x1b<", id="Alt-<"),
        pytest.param("\x1bx", id="Alt-x"),
        pytest.param("\x1bä", id="Alt-ä"),
        pytest.param("\x0f", id="Ctrl-O"),
        pytest.param("\x11", id="Ctrl-Q"),
        pytest.param("\x16", id="Ctrl-V"),
        pytest.param("\x00", id="Ctrl-Space"),
        pytest.param("\x18(", id="Ctrl-X ("),
        pytest.param("\x18e", id="Ctrl-X e"),
        pytest.param("\x18\x05", id="Ctrl-X Ctrl-E"),
        pytest.param("\x1bOP", id="F1"),
        pytest.param("\x1b[24;5~", id="Ctrl-F12"),
        pytest.param("\x1b[2~", id="Insert"),
        pytest.param("\x1b[33;7~", id="a key that nobody knows"),
        pytest.param("\x1b[57417;3u", id="a key of another protocol"),
        pytest.param("\x1bOj", id="a key of the number pad"),
        pytest.param("\x1b[M !!", id="the mouse"),
        pytest.param("\x1b[<64;3;4M", id="the wheel"),
    ],
)
def test_keys_that_have_no_use_change_nothing(key: str) -> None:
    prompt = Prompt()
    assert prompt.enter(f"said before\rab{key}c\rd\r", lines=3) == ["said before", "abc", "d"]


@pytest.mark.parametrize(
    ("keys", "entered"),
    [
        ("one two\x17three", "one three"),  # Ctrl-W
        ("one two\x1b[1;5Dx", "one xtwo"),  # Ctrl-Left
        ("one two\x1b[1;3Dx", "one xtwo"),  # Alt-Left
        ("one two\x1b[1;3D\x1b[1;3D\x1b[1;3Cx", "onex two"),  # Alt-Right
        ("one two\x1bbx", "one xtwo"),  # Alt-B
        ("one two\x1b\x7fx", "one x"),  # Alt-Backspace
        ("one\x1b[Hx", "xone"),  # Home
        ("one\x1b[H\x1b[Fx", "onex"),  # End
        ("one\x15x", "x"),  # Ctrl-U
        ("one\x01\x0bx", "x"),  # Ctrl-A, Ctrl-K
        ("one\x0cx", "onex"),  # Ctrl-L
        ("one\x1b\x1b[Hx", "xone"),  # Esc, then Home
    ],
)
def test_keys_that_are_pressed_by_reflex_do_what_is_meant(keys: str, entered: str) -> None:
    assert Prompt().enter(f"{keys}\r") == [entered]


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
