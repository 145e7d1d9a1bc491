"""The words of a line: how each kind of parameter is spelled, and what can't be on the wire.

Rule: pure. Whatever is malformed is a `ValueError`, for which `grammar` shows how the command is
spelled; what is spelled well and can't be is a `UsageError`, which says why.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path

from .. import limits
from ..errors import ErrorCode, UsageError
from ..text import BLANKS, is_blank, normal

GAP = re.compile(f"[{BLANKS}]+")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


def check_characters(line: str) -> None:
    """Refuse what Python makes of bytes that are not UTF-8; the wire can't carry it."""
    try:
        line.encode()
    except UnicodeEncodeError:
        raise UsageError("Error. This line is not valid UTF-8") from None


def check_length(text: str, what: str, bytes_max: int) -> str:
    """Refuse what is longer than the wire allows; return it otherwise."""
    if len(text.encode()) > bytes_max:
        raise UsageError(f"Error. {what} can have at most {bytes_max} bytes")
    return text


def first_word(line: str) -> tuple[str, str]:
    """The first word, and what follows it."""
    words = GAP.split(line.strip(BLANKS), maxsplit=1)
    return words[0], words[1] if len(words) > 1 else ""


def user(word: str) -> str:
    """A name that can be on the wire; a longer one than the server allows is nobody's."""
    word = normal(word)
    if len(word.encode()) > limits.NAME_BYTES_MAX:
        raise UsageError(ErrorCode.UNKNOWN_USER.text)
    return word


def text(words: str) -> str:
    """A message, as it was typed."""
    if is_blank(words):
        raise UsageError(ErrorCode.TEXT_EMPTY.text)
    size = len(words.encode())
    if size > limits.TEXT_BYTES_MAX:
        raise UsageError(ErrorCode.TEXT_TOO_LONG.describe(size=size))
    return words


def seconds(word: str) -> float:
    """How long ago, as a number without a sign."""
    if _SECONDS.fullmatch(word) is None:
        raise ValueError
    seconds = float(word)
    if not math.isfinite(seconds):
        raise ValueError
    return seconds


def is_quoted(words: str) -> bool:
    """Whether it stands in quotes."""
    return len(words) >= 2 and words[0] == words[-1] and words[0] in "\"'"


def unquoted(words: str) -> str:
    """The same without its quotes, if there are any."""
    return words[1:-1] if is_quoted(words) else words


def _named(words: str) -> str:
    """A file's name, which may stand in quotes."""
    words = unquoted(words)
    if not words or "\0" in words:
        raise ValueError
    return words


def path(words: str) -> Path:
    """The absolute path of a file, which may stand in quotes and begin with ``~``."""
    path = Path(_named(words))
    try:
        with suppress(RuntimeError):  # there is no such user
            path = path.expanduser()
        return path.absolute()
    except OSError:
        raise UsageError("Error. The current directory is gone; type the whole path") from None


def file_name(words: str) -> str:
    """The name of a registered file, which may stand in quotes."""
    name = normal(_named(words))
    if len(name.encode()) > limits.FILE_NAME_BYTES_MAX:
        raise UsageError(f"Error. {_FILE_NAME_TOO_LONG}")
    return name


_FILE_NAME_TOO_LONG = f"A file's name has at most {limits.FILE_NAME_BYTES_MAX} bytes"


def name_and_chunks(words: str) -> tuple[str, str]:
    """What ``<filename> <chunks>`` means: the chunks are all words of digits at the end."""
    found = NAME_AND_CHUNKS.fullmatch(words)
    if found is None:
        raise ValueError
    return file_name(found[1]), found[2]


NAME_AND_CHUNKS = re.compile(r"(.*?)[ \t]+([0-9][0-9,\- \t]*)")
