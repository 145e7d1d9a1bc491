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


def test_ctrl_c_is_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append((process, number)))
    assert Prompt().enter("x\x03\r") == ["x"]
    assert sent == [(os.getpid(), signal.SIGINT)]


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
