"""What keys do at a prompt, beyond what prompt_toolkit knows: editing, searching the history."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.keys import Keys

from .paste import Paste, into_message, split_lines

FOCUS_ON, FOCUS_OFF = "\x1b[?1004h", "\x1b[?1004l"
"""Asks a terminal to tell when it is given the focus and when it loses it, and to stop that."""

_FOCUS_IN, _FOCUS_OUT = "\x1b[I", "\x1b[O"

# It has no key for this, and this one comes from no terminal of ours.
_FOCUS_KEY = Keys.WindowsMouseEvent
ANSI_SEQUENCES[_FOCUS_IN] = ANSI_SEQUENCES[_FOCUS_OUT] = _FOCUS_KEY


class Question:
    """What is to be decided about a text that was pasted.

    Attributes:
        paste: the text; none if nothing is to be decided.
    """

    def __init__(self) -> None:
        self.paste: Paste | None = None


def key_bindings(
    question: Question, complete: Callable[[Buffer], None], focus: Callable[[bool], None]
) -> KeyBindings:
    """The keys of all prompts.

    Args:
        question: which some keys ask, and others answer.
        complete: adds to a line what can be added, as somebody has pressed Tab.
        focus: is told whether the terminal has the focus.
    """
    bindings = KeyBindings()
    at_prompt = has_focus(DEFAULT_BUFFER)

    @bindings.add("c-c", filter=at_prompt)
    def _interrupt(_event: KeyPressEvent) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    @bindings.add("tab", filter=at_prompt)
    def _complete(event: KeyPressEvent) -> None:
        complete(event.current_buffer)

    @bindings.add(_FOCUS_KEY, eager=True)
    def _focus(event: KeyPressEvent) -> None:
        focus(event.data == _FOCUS_IN)

    @bindings.add(Keys.BracketedPaste, filter=at_prompt)
    def _paste(event: KeyPressEvent) -> None:
        """Enter each line that was pasted; a last one without a newline can be edited."""
        document = event.current_buffer.document
        question.paste = into_message(
            document.text_before_cursor, event.data, document.text_after_cursor
        )
        if question.paste is None:
            _insert_lines(event.current_buffer, event.key_processor, split_lines(event.data))
        else:
            event.current_buffer.suggestion = None  # or it would look like the text in question

    _add_answers(bindings, question)
    return bindings


def _add_answers(bindings: KeyBindings, question: Question) -> None:
    is_open = Condition(lambda: question.paste is not None)

    @bindings.add(Keys.Any, filter=is_open, eager=True)
    def _ignore(_event: KeyPressEvent) -> None:
        pass  # it was typed before the question could be read

    @bindings.add("o", filter=is_open, eager=True)
    def _one(event: KeyPressEvent) -> None:
        paste, question.paste = question.paste, None
        assert paste is not None
        event.current_buffer.text = paste.one
        event.current_buffer.validate_and_handle()

    @bindings.add("s", filter=is_open, eager=True)
    def _several(event: KeyPressEvent) -> None:
        paste, question.paste = question.paste, None
        assert paste is not None
        event.current_buffer.text = ""
        _insert_lines(event.current_buffer, event.key_processor, [*paste.several, ""])

    @bindings.add("n", filter=is_open, eager=True)
    @bindings.add("c-c", filter=is_open, eager=True)
    @bindings.add("c-g", filter=is_open, eager=True)
    def _not(_event: KeyPressEvent) -> None:
        question.paste = None


def _insert_lines(buffer: Buffer, processor: KeyProcessor, lines: list[str]) -> None:
    """Enter all lines but the last one, which is left to be edited."""
    first, *rest = lines
    buffer.insert_text(first)
    keys: list[KeyPress] = []
    for line in rest:
        keys += (KeyPress(Keys.ControlM, "\r"), KeyPress(Keys.BracketedPaste, line))
    processor.feed_multiple(keys, first=True)
