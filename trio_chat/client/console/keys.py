"""What keys do at a prompt.

prompt_toolkit edits the line and searches the history. This module decides about the rest:
Ctrl-C, Ctrl-Z, pasted text, and the keys that people press by reflex. A key that has no use
here does nothing: it neither recalls an old line nor inserts the bytes that a terminal sends
for it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.keys import Keys

from .paste import Paste, into_message, split_lines

FOCUS_ON, FOCUS_OFF = "\x1b[?1004h", "\x1b[?1004l"
"""Asks a terminal to tell when it is given the focus and when it loses it, and to stop that."""

_FOCUS_IN, _FOCUS_OUT = "\x1b[I", "\x1b[O"

# It has no key for this, and this one comes from no terminal of ours.
_FOCUS_KEY = Keys.WindowsMouseEvent
ANSI_SEQUENCES[_FOCUS_IN] = ANSI_SEQUENCES[_FOCUS_OUT] = _FOCUS_KEY

_ALT = {
    "b": "backward-word",
    "f": "forward-word",
    Keys.Left: "backward-word",
    Keys.Right: "forward-word",
    "d": "kill-word",
    Keys.ControlH: "backward-kill-word",
    "c": "capitalize-word",
    "l": "downcase-word",
    "u": "uppercase-word",
    "y": "yank-pop",
}
"""What Alt does with a key: as in a shell. Other characters with Alt do nothing."""

_UNUSED = ("pageup", "pagedown", "c-@", "c-o", "c-q", "c-v")
"""Keys to which prompt_toolkit gives a meaning that surprises here: an old line, a selection, a
control character in the text. Scrolling back is the terminal's business."""


class _Sequence:
    """A control sequence that a terminal sends for a key that prompt_toolkit does not know.

    Attributes:
        is_open: whether its rest is still to come.
    """

    def __init__(self) -> None:
        self.is_open = False


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
    def _interrupt(event: KeyPressEvent) -> None:
        """Give up the line that is being typed; on an empty line, leave."""
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            os.kill(os.getpid(), signal.SIGINT)

    @bindings.add("c-z", filter=at_prompt)
    def _suspend(_event: KeyPressEvent) -> None:
        os.kill(0, signal.SIGTSTP)  # `make run` is to stop as well, or it would wait for us

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

    _add_reflexes(bindings)
    _add_answers(bindings, question)
    return bindings


def _add_reflexes(bindings: KeyBindings) -> None:
    at_prompt = has_focus(DEFAULT_BUFFER)
    sequence = _Sequence()

    def ignore(_event: KeyPressEvent) -> None:
        pass

    for key in _UNUSED:
        bindings.add(key, filter=at_prompt)(ignore)
    bindings.add("c-x", Keys.Any, filter=at_prompt, eager=True)(ignore)

    @bindings.add(Keys.Any, filter=at_prompt)
    def _insert(event: KeyPressEvent) -> None:
        if not isinstance(event.key_sequence[-1].key, Keys):  # a key without any binding
            get_by_name("self-insert").call(event)

    @bindings.add("escape", Keys.Any, filter=at_prompt, eager=True)
    def _alt(event: KeyPressEvent) -> None:
        pressed = event.key_sequence[-1]
        command = _ALT.get(pressed.key)
        if command is not None:
            get_by_name(command).call(event)
        elif pressed.key in ("[", "O"):
            sequence.is_open = True
        elif isinstance(pressed.key, Keys):  # somebody has pressed Esc, and then that
            event.key_processor.feed(pressed, first=True)

    @bindings.add(Keys.Any, filter=at_prompt & Condition(lambda: sequence.is_open), eager=True)
    def _rest(event: KeyPressEvent) -> None:
        # ECMA-48, section 5.4: parameters are below "@", and the final byte is not.
        sequence.is_open = event.data < "@"


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
