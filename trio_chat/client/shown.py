"""Which messages were on the screen, so that each one appears there exactly once.

The server sends a message again until it is acknowledged, and an acknowledgement may be
lost with the connection or the client. So the key of each message is written to a file
after it was shown and before it is acknowledged, and what has a known key is not shown
again, but acknowledged.

One file for each server and user, one JSON array a line: sender, client, id. A line is
appended with one `write`, without fsync: it has to outlive this process, which is what
crashes, and not the operating system. Should that crash, a message is shown twice, not
lost. The file holds at most twice `limits.KEYS_REMEMBERED_MAX` lines; then it is replaced
by one with the latest of them.

Nothing here keeps anybody from chatting: damaged lines are skipped, and where files can't
be written, keys are remembered as long as the client lives.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from .. import limits
from .state import replace_file, write_all

Key = tuple[str, str, int]
"""What names a message for ever: its sender, the sender's client, and that one's number."""

_decoder: msgspec.json.Decoder[Key] = msgspec.json.Decoder(Key)


class ShownKeys:
    """The keys of the messages that one user was shown, of one server.

    Attributes:
        path: of the file; none to remember only as long as this object lives.
        notice: what to tell the user about the file, once; None if it is fine.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.notice: str | None = None
        self._keys: dict[Key, None] = {}
        self._lines_in_file = 0
        if path is not None:
            try:
                self._load(path)
            except OSError as error:
                self._give_up(error)

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[Key]) -> None:
        """Remember that these messages were shown."""
        new = [key for key in dict.fromkeys(keys) if key not in self._keys]
        if not new:
            return
        self._keys.update(dict.fromkeys(new))
        self._forget_oldest()
        if self.path is None:
            return
        try:
            if self._lines_in_file + len(new) > 2 * limits.KEYS_REMEMBERED_MAX:
                self._rewrite(self.path)
            else:
                self._append(self.path, new)
        except OSError as error:
            self._give_up(error)

    def _forget_oldest(self) -> None:
        for _ in range(len(self._keys) - limits.KEYS_REMEMBERED_MAX):
            del self._keys[next(iter(self._keys))]

    def _load(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        lines = data.splitlines()
        for line in lines:
            try:
                self._keys[_decoder.decode(line)] = None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
        self._lines_in_file = len(lines)
        self._forget_oldest()
        if len(self._keys) < len(lines) or not data.endswith(b"\n"):
            # A torn last line would swallow the next one; so begin afresh.
            self._rewrite(path)

    def _append(self, path: Path, keys: list[Key]) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            write_all(file, msgspec.json.Encoder().encode_lines(keys))
        finally:
            os.close(file)
        self._lines_in_file += len(keys)

    def _rewrite(self, path: Path) -> None:
        replace_file(path, msgspec.json.Encoder().encode_lines(list(self._keys)))
        self._lines_in_file = len(self._keys)

    def _give_up(self, error: OSError) -> None:
        self.notice = (
            f"Cannot remember shown messages in {self.path} ({error.strerror});"
            " one may be shown again after a restart"
        )
        self.path = None
