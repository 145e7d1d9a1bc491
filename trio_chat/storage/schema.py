"""The tables of the database, and the way from each older version of them to this one.

A version is what it adds to the one before, so a database of any age takes the steps that it
lacks, in one transaction: either it has arrived, or it is as before. A step that was released
never changes; `tests/storage/test_schema.py` holds a database of each version.
"""

from __future__ import annotations

from typing import cast

import apsw

from ..text import normal
from .store import StoreError

_STEPS = (
    """
CREATE TABLE messages (
    recipient TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    sender    TEXT NOT NULL,
    client    TEXT NOT NULL,
    id        INTEGER NOT NULL,
    text      TEXT NOT NULL,
    PRIMARY KEY (recipient, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE blocks (
    blocker TEXT NOT NULL,
    blocked TEXT NOT NULL,
    PRIMARY KEY (blocker, blocked)
) STRICT, WITHOUT ROWID;
""",
    """
CREATE TABLE files (
    name        TEXT NOT NULL PRIMARY KEY,
    user        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    chunks      INTEGER NOT NULL,
    piece_bytes INTEGER NOT NULL,
    root        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
""",
    # When somebody held it last, in seconds since 1970.
    """
ALTER TABLE files ADD COLUMN held_at INTEGER NOT NULL DEFAULT 0;
UPDATE files SET held_at = unixepoch();
""",
    # Names are compared composed, and were kept as they came. (Those that are not ASCII have more
    # bytes than characters.) Of two files whose names are the same now the other one keeps its own.
    """
UPDATE messages SET recipient = composed(recipient)
WHERE octet_length(recipient) > length(recipient);
UPDATE messages SET sender = composed(sender) WHERE octet_length(sender) > length(sender);
UPDATE OR REPLACE blocks SET blocker = composed(blocker), blocked = composed(blocked);
UPDATE files SET user = composed(user) WHERE octet_length(user) > length(user);
UPDATE OR IGNORE files SET name = composed(name) WHERE octet_length(name) > length(name);
""",
)
"""What each version adds to the one before."""

SCHEMA_VERSION = len(_STEPS)


def migrate(database: apsw.Connection) -> None:
    """Bring a database to this version; in a transaction of the caller's.

    Raises:
        StoreError: if it is of a newer version, or not ours.
    """
    database.create_scalar_function("composed", _composed, 1, deterministic=True)
    for step in _STEPS[version_of(database) :]:
        database.execute(step)
    # Also if there is nothing to change: a disk that takes no writes is to be found out now.
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _composed(*values: apsw.SQLiteValue) -> str:
    return normal(str(values[0]))


def version_of(database: apsw.Connection) -> int:
    """The version of a database; 0 for an empty one.

    Raises:
        StoreError: if it is newer than this program, or not ours.
    """
    version = cast("int", database.execute("PRAGMA user_version").get)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"it was made by a newer version of this program (schema {version}, this one knows"
            f" {SCHEMA_VERSION}); run that version, or restore a backup"
        )
    if version == 0 and _tables(database):
        raise StoreError("it is the database of another program; give another --data-dir")
    return version


def count_rows(database: apsw.Connection) -> tuple[int, int, int]:
    """How many messages, blocks and files a database of any of our versions holds.

    Raises:
        StoreError: if it is newer, or not ours.
    """
    version_of(database)
    tables = _tables(database)
    if not {"messages", "blocks"} <= tables:
        raise StoreError("it is not a database of trio-chat")

    def count(table: str) -> int:
        if table not in tables:
            return 0
        return cast("int", database.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608

    return count("messages"), count("blocks"), count("files")


def check(database: apsw.Connection) -> None:
    """Look through the whole database for damage; 0.25 s for a million messages.

    Raises:
        apsw.CorruptError: if there is any.
    """
    found = database.execute("PRAGMA quick_check(1)").get
    if found != "ok":
        raise apsw.CorruptError(" ".join(str(found).split()))


def _tables(database: apsw.Connection) -> set[str]:
    rows = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {cast("str", name) for (name,) in rows}
