"""The lines that were typed, for the arrow keys, Ctrl-R and suggestions; they survive a restart.

Each account has a file of its own: what one user wrote to somebody is not offered to another.
One JSON string a line, in a file that only its owner can read. A line is appended with one write,
so several clients can share the file. It is kept short by writing it anew when it is opened.

Only commands get here: names and passwords have prompts of their own, which remember nothing.
What must not be stored is remembered as long as the client lives: private messages, whose promise
that is, and lines that begin with a blank, as in a shell. A file that can't be read or written
keeps nobody from chatting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from prompt_toolkit.history import History

from ... import limits
from ...private_files import make_private_directory
from ..state import append, replace_file

_decoder: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()


class LineHistory(History):
    """What was typed.

    Args:
        path_of: says in which file the lines of a user are. Without it, and before `log_in`,
            lines are remembered as long as this object lives.
    """

    def __init__(self, path_of: Callable[[str], Path] | None) -> None:
        super().__init__()
        self._path_of = path_of
        self._path: Path | None = None

    def log_in(self, user: str) -> None:
        """Use the file of a user; to be called before the first line is asked for."""
        if self._path_of is not None:
            self._path = self._path_of(user)

    def append_string(self, string: str) -> None:
        """Remember a line that was entered."""
        super().append_string(string)
        del self._loaded_strings[limits.HISTORY_LINES_MAX :]

    def load_history_strings(self) -> Iterable[str]:
        """The lines of the file, the latest first."""
        if self._path is None:
            return []
        with suppress(OSError):
            return list(reversed(_load(self._path)))
        return []

    def store_string(self, string: str) -> None:
        """Append a line to the file, if it may be there."""
        if self._path is None or not _may_be_stored(string):
            return
        with suppress(OSError, UnicodeEncodeError):  # the latter: bytes that are no text
            _append(self._path, string)


def _may_be_stored(line: str) -> bool:
    return not line.startswith((" ", "\t", "private ", "private\t"))


def _load(path: Path) -> list[str]:
    """The latest lines of a file, which is made short if it has become long."""
    make_private_directory(path.parent)
    with path.open("rb") as file:
        data = file.read(limits.HISTORY_BYTES_MAX)
    lines = []
    for row in data.splitlines():
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            lines.append(_decoder.decode(row))
    latest = lines[-limits.HISTORY_LINES_MAX :]
    if len(lines) > 2 * limits.HISTORY_LINES_MAX or not data.endswith(b"\n"):
        replace_file(path, _encoder.encode_lines(latest))
    return latest


def _append(path: Path, line: str) -> None:
    append(path, _encoder.encode_lines([line]))
