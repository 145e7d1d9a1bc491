"""What goes wrong with a database, in words; that SQLite says so is in `test_sqlite`."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from trio_chat.storage.faults import Fault, cannot_use, in_use, reason_of
from trio_chat.storage.store import StoreError

PATH = Path("/data/chat.db")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (apsw.FullError("database or disk is full"), "the disk is full; free some space on it"),
        (
            apsw.ReadOnlyError("attempt to write a readonly database"),
            "it can't be written (attempt to write a readonly database); it and its directory must"
            " belong to this user, and not be on a read-only disk",
        ),
        (
            apsw.IOError("disk I/O error"),
            "the disk failed (disk I/O error); it may be full or broken, and the system's log"
            " says more",
        ),
        (apsw.CorruptError("page 7"), "it is damaged (page 7)!"),
        (apsw.NotADBError("file is not a database"), "it is not a database!"),
        (apsw.SQLError("no such table"), "no such table"),
        (
            UnicodeDecodeError("utf-8", b"\xe1", 0, 1, "unexpected end of data"),
            "it is damaged ('utf-8' codec can't decode byte 0xe1 in position 0: unexpected end of"
            " data)!",
        ),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "why"), "its name is not valid UTF-8"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError("too long"), "too long"),
    ],
)
def test_an_error_is_told_with_what_to_do(error: Fault, reason: str) -> None:
    assert reason_of(error, advice="!") == reason
    assert str(cannot_use(PATH, error, advice="!")) == f"cannot use {PATH}: {reason}"


def test_what_can_be_read_no_more_is_to_be_restored() -> None:
    assert reason_of(apsw.CorruptError("page 7")) == (
        "it is damaged (page 7); restore a backup with 'trio-chat-server restore', or move the"
        " file away"
    )


def test_a_locked_database_is_one_in_use() -> None:
    assert str(cannot_use(PATH, apsw.BusyError("database is locked"))) == str(in_use(PATH))
    assert str(cannot_use(PATH, StoreError("why"))) == f"cannot use {PATH}: why"
