"""What Tab makes of the line so far.

Rule: no I/O but for `_files`, which looks into a directory, as somebody has asked for that. What
can stand at a place follows from the table of commands: the names of their parameters say of what
kind they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice, takewhile
from pathlib import Path

from msgspec import Struct

from ... import limits
from ...text import clean_line
from ..grammar import COMMAND_NAMES, Command, command_named
from ..notice import Kind
from ..roster import names
from ..status import Status

_WORD = re.compile(r"[^ \t]*\Z")
_QUOTES = "\"'"


class Completion(Struct, frozen=True):
    """What can be done about a line.

    Attributes:
        insert: what can be added to it in any case.
        choices: what its last word can become, if nothing can be added.
        is_whole: whether the last word is complete then.
    """

    insert: str = ""
    choices: tuple[str, ...] = ()
    is_whole: bool = False


def complete(line: str, status: Status) -> Completion:
    """How a line can go on.

    Args:
        line: up to the cursor.
        status: who and what is known.
    """
    line = line.lstrip(" \t")
    word = _last_word(line)
    before = line[: len(line) - len(word)]
    if not before:
        return _choose_word(word, COMMAND_NAMES)
    name, *words = before.split()
    if name == "help" and not words:
        return _choose(word, COMMAND_NAMES)
    command = command_named(name)
    if command is None:
        return Completion()
    rest = line[len(name) :].lstrip(" \t")
    return _complete_parameter(command, words, word, rest, status)


def _complete_parameter(
    command: Command, words: list[str], word: str, rest: str, status: Status
) -> Completion:
    """The same after a command.

    Args:
        command: which it is.
        words: that stand between it and the last one.
        word: the last one, which may be empty.
        rest: all of these, as they were typed.
        status: see `complete`.
    """
    kind = command.parameters[len(words)] if len(words) < len(command.parameters) else ""
    if kind == "user":
        return _choose_word(word, names(status.online, status.known))
    if command.name == "register":
        return _quoted(rest, _files)
    if command.name == "cancel":
        running = [one.fields for one in status.transfers if one.kind is Kind.PROGRESS]
        return _choose_file(rest, (str(fields["name"]) for fields in running))
    if "filename" in command.parameters:
        return _choose_file(rest, status.files)
    if command.name == "private" and words[1:2] == ["download"]:
        return _choose_file(word, status.files)
    if command.parameters[-1:] == ("message",) and word:
        return _choose(word, names(status.online, status.known))
    return Completion()


def _last_word(line: str) -> str:
    found = _WORD.search(line)
    assert found is not None
    return found[0]


def _choose(start: str, options: Iterable[str]) -> Completion:
    """Those options that begin so."""
    fitting = list(dict.fromkeys(option for option in options if option.startswith(start)))
    if len(fitting) == 1:
        return Completion(fitting[0][len(start) :], is_whole=True)
    common = _common_start(fitting)[len(start) :]
    return Completion(common, () if common else tuple(fitting[: limits.COMPLETIONS_MAX]))


def _common_start(words: list[str]) -> str:
    if not words:
        return ""
    first, last = min(words), max(words)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in same)


def _choose_word(start: str, options: Iterable[str]) -> Completion:
    """The same for a word that others follow."""
    return _ended(_choose(start, options), " ")


def _choose_file(start: str, options: Iterable[str]) -> Completion:
    """The same for the name of a file, which may stand in quotes."""
    return _quoted(start, lambda inner: _choose(inner, options))


def _quoted(start: str, choose: Callable[[str], Completion]) -> Completion:
    quote = start[:1] if start[:1] in _QUOTES else ""
    return _ended(choose(start[len(quote) :]), quote)


def _ended(chosen: Completion, end: str) -> Completion:
    """Put an end to a word that is whole; a directory never is."""
    if not chosen.is_whole or chosen.insert.endswith("/"):
        return chosen
    return Completion(chosen.insert + end, is_whole=True)


def _files(start: str) -> Completion:
    """What lies on disk and begins so; a directory ends in a slash."""
    directory, slash, name = start.rpartition("/")
    where = Path(directory + slash)
    options: list[str] = []
    with suppress(OSError, RuntimeError, ValueError), os.scandir(where.expanduser()) as entries:
        for entry in islice(entries, limits.DIRECTORY_ENTRIES_MAX):
            is_hidden = entry.name.startswith(".") and not name.startswith(".")
            if is_hidden or clean_line(entry.name) != entry.name:
                continue
            options.append(f"{entry.name}/" if entry.is_dir() else entry.name)
    return _choose(name, sorted(options))
