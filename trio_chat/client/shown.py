"""Which messages were on the screen, so that each one appears there exactly once.

The server sends a message again until it is acknowledged, and an acknowledgement may be
lost with the connection or the client. So the key of each message is written to a file
after it was shown and before it is acknowledged, and what has a known key is not shown
again, but acknowledged.

One file for each server and user, one JSON array a line: sender, client, id. A line is
appended with one `write`, without fsync: it has to outlive this process, which is what
crashes, and not the operating system. Should that crash, a message is shown twice, not
lost. The file holds at most twice `limits.KEYS_REMEMBERED_MAX` lines; then it is replaced
by one with the latest of them. So it is if it was deleted or replaced meanwhile.

Nothing here keeps anybody from chatting: damaged lines are skipped, and where files can't
be read or written, keys are remembered as long as the client lives, and that is tried again with
the next ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from .. import limits
from ..private_files import make_private_directory
from .state import append, replace_file

Key = tuple[str, str, int]
"""What names a message for ever: its sender, the sender's client, and that one's number."""

_Identity = tuple[int, int, int]
_NO_FILE: _Identity = (0, 0, 0)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Key] = msgspec.json.Decoder(Key)


class ShownKeys:
    """The keys of the messages that one user was shown, of one server.

    Attributes:
        notice: what to tell the user about the file, once; None if it is fine.

    Args:
        path: of the file; none to remember only as long as this object lives.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.notice: str | None = None
        self._path = path
        self._keys: dict[Key, None] = {}
        self._lines_in_file = 0
        self._file = _NO_FILE  # what holds these
        self._is_read = False
        self._is_in_doubt = False  # whether the file holds what it should
        self._is_failing = False
        if path is not None:
            self._try(self._read, path)

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[Key]) -> None:
        """Remember that these messages were shown."""
        new = [key for key in dict.fromkeys(keys) if key not in self._keys]
        if not new:
            return
        self._keys.update(dict.fromkeys(new))
        self._forget_oldest()
        if self._path is None:
            return
        is_long = self._lines_in_file + len(new) > 2 * limits.KEYS_REMEMBERED_MAX
        if not self._is_read:
            self._try(self._read, self._path)
        elif self._is_in_doubt or is_long:
            self._try(self._rewrite, self._path)
        else:
            self._try(self._append, self._path, new)

    def _try(self, do: Callable[..., None], path: Path, *arguments: object) -> None:
        try:
            do(path, *arguments)
        except OSError as error:
            self._is_in_doubt = True
            if not self._is_failing:
                self._is_failing = True
                self.notice = (
                    f"Cannot remember shown messages in {path} ({error.strerror});"
                    " one may be shown again after a restart"
                )
        else:
            self._is_failing = False

    def _forget_oldest(self) -> None:
        for _ in range(len(self._keys) - limits.KEYS_REMEMBERED_MAX):
            del self._keys[next(iter(self._keys))]

    def _read(self, path: Path) -> None:
        """Take the keys of the file, which are older than those that are known already."""
        make_private_directory(path.parent)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        lines = data.splitlines()
        keys: dict[Key, None] = {}
        for line in lines:
            try:
                keys[_decoder.decode(line)] = None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
        # A torn last line would swallow the next one; so begin afresh.
        is_as_written = len(keys) == len(lines) and (not data or data.endswith(b"\n"))
        is_complete = self._keys.keys() <= keys.keys()
        self._keys = keys | self._keys
        self._forget_oldest()
        self._is_read = True
        if is_as_written and is_complete:
            self._lines_in_file = len(lines)
            self._file = _identity(path.stat()) if lines else _NO_FILE
        else:
            self._rewrite(path)

    def _append(self, path: Path, keys: list[Key]) -> None:
        data = _encoder.encode_lines(keys)
        try:
            before = append(path, data)
        except FileNotFoundError:  # the directory is gone
            self._rewrite(path)
            return
        if self._lines_in_file and _identity(before) != self._file:
            self._read(path)  # somebody has deleted or changed what was there
            return
        self._lines_in_file += len(keys)
        self._file = _identity(before, len(data))

    def _rewrite(self, path: Path) -> None:
        make_private_directory(path.parent)
        replace_file(path, _encoder.encode_lines(list(self._keys)))
        self._lines_in_file = len(self._keys)
        self._file = _identity(path.stat())
        self._is_in_doubt = False


def _identity(status: os.stat_result, more: int = 0) -> _Identity:
    """A file, with its size; its inode alone may be given to another one that takes its place."""
    return status.st_dev, status.st_ino, status.st_size + more
