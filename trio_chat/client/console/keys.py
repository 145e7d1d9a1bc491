"""What keys do at a prompt.

This table and these functions are all that there is: nothing of what prompt_toolkit binds holds, as
much of that surprises who does not know Emacs (PageUp calls a line back, Alt-3 repeats what comes
next, Ctrl-Q takes a key as a character, Ctrl-X waits for another key). Keys that are not here do
nothing.
"""

from __future__ import annotations

import os
import signal
import unicodedata
from collections.abc import Callable

from prompt_toolkit.application.current import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.key_binding.bindings import search
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.keys import Keys

from .keyboard import FOCUS_IN, FOCUS_KEY
from .paste import Paste, into_message, split_lines

_EDITING = {
    "backward-char": ("left", "s-left", "c-b"),
    "forward-char": ("right", "s-right", "c-f"),
    "backward-word": ("c-left", "c-s-left", "escape left", "escape b"),
    "forward-word": ("c-right", "c-s-right", "escape right", "escape f"),
    "beginning-of-line": ("home", "s-home", "c-home", "c-s-home", "c-a"),
    "end-of-line": ("end", "s-end", "c-end", "c-s-end", "c-e"),
    "backward-delete-char": ("backspace",),
    "delete-char": ("delete", "s-delete", "c-d"),
    "backward-kill-word": ("escape backspace",),
    "kill-word": ("c-delete", "escape d"),
    "unix-word-rubout": ("c-w",),
    "unix-line-discard": ("c-u",),
    "kill-line": ("c-k",),
    "yank": ("c-y",),
    "clear-screen": ("c-l",),
}
"""What edits a line: commands of readline, and their keys."""


class Question:
    """What is to be decided about a text that was pasted.

    Attributes:
        paste: the text; none if nothing is to be decided.
    """

    def __init__(self) -> None:
        self.paste: Paste | None = None


def key_bindings(
    question: Question,
    complete: Callable[[Buffer], None],
    focus: Callable[[bool], None],
    *,
    secret: bool = False,
    remembers: bool = True,
) -> KeyBindings:
    """The keys of a prompt.

    Args:
        question: which some keys ask, and others answer.
        complete: adds to a line what can be added, as somebody has pressed Tab.
        focus: is told whether the terminal has the focus.
        secret: whether nobody sees what is typed.
        remembers: whether earlier lines can be searched.
    """
    bindings = KeyBindings()

    @bindings.add(Keys.Any, save_before=lambda event: not event.is_repeat)
    def _insert(event: KeyPressEvent) -> None:
        (press,) = event.key_sequence
        if not isinstance(press.key, Keys) and unicodedata.category(press.key) != "Cc":
            event.current_buffer.insert_text(press.key)

    @bindings.add("escape", Keys.Any)
    def _nothing(_event: KeyPressEvent) -> None:
        pass  # Alt with a key that is not here

    for name, keys in _EDITING.items():
        for key in keys:
            bindings.add(*key.split())(get_by_name(name))
    bindings.add("c-_", save_before=lambda _: False)(get_by_name("undo"))

    @bindings.add(FOCUS_KEY, eager=True)
    def _focus(event: KeyPressEvent) -> None:
        focus(event.data == FOCUS_IN)

    @bindings.add("c-z")
    def _stop(_event: KeyPressEvent) -> None:
        os.kill(0, signal.SIGTSTP)  # all of the job, as the key does without a prompt

    _add_line(bindings, complete, secret=secret)
    if remembers:
        _add_search(bindings)
    _add_paste(bindings, question)
    return bindings


def _add_line(bindings: KeyBindings, complete: Callable[[Buffer], None], *, secret: bool) -> None:
    """What ends a line, and what brings another one."""
    at_prompt = has_focus(DEFAULT_BUFFER)

    @Condition
    def is_empty() -> bool:
        return not get_app().current_buffer.text

    @Condition
    def has_suggestion() -> bool:
        buffer = get_app().current_buffer
        return buffer.suggestion is not None and buffer.document.is_cursor_at_the_end

    @bindings.add("enter", filter=at_prompt)
    @bindings.add("c-j", filter=at_prompt)
    def _enter(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("c-c", filter=at_prompt)
    def _clear(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if secret or not buffer.text:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            event.app.clipboard.set_text(buffer.text)  # so Ctrl-Y brings it back
            get_by_name("end-of-history").call(event)
            buffer.text = ""

    @bindings.add("c-d", filter=at_prompt & is_empty)
    def _end(event: KeyPressEvent) -> None:
        event.app.exit(exception=EOFError())

    @bindings.add("tab", filter=at_prompt)
    def _complete(event: KeyPressEvent) -> None:
        complete(event.current_buffer)

    @bindings.add("up", filter=at_prompt)
    @bindings.add("c-p", filter=at_prompt)
    def _earlier(event: KeyPressEvent) -> None:
        event.current_buffer.auto_up()

    @bindings.add("down", filter=at_prompt)
    @bindings.add("c-n", filter=at_prompt)
    def _later(event: KeyPressEvent) -> None:
        event.current_buffer.auto_down()

    @bindings.add("right", filter=at_prompt & has_suggestion)
    @bindings.add("c-f", filter=at_prompt & has_suggestion)
    def _accept(event: KeyPressEvent) -> None:
        suggestion = event.current_buffer.suggestion
        assert suggestion is not None
        event.current_buffer.insert_text(suggestion.text)


def _add_search(bindings: KeyBindings) -> None:
    """What searches the lines that were typed."""
    bindings.add("c-r")(search.start_reverse_incremental_search)
    for key in ("c-r", "up"):
        bindings.add(key)(search.reverse_incremental_search)
    for key in ("c-s", "down"):
        bindings.add(key)(search.forward_incremental_search)
    for key in ("c-c", "c-g"):
        bindings.add(key)(search.abort_search)
    for key in ("enter", "c-j"):
        bindings.add(key)(search.accept_search)


def _add_paste(bindings: KeyBindings, question: Question) -> None:
    @bindings.add(Keys.BracketedPaste, filter=has_focus(DEFAULT_BUFFER))
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

    @bindings.add(Keys.BracketedPaste, filter=is_searching)
    def _paste_word(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(split_lines(event.data)[0])

    _add_answers(bindings, question)


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
