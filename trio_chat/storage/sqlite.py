"""The real store: one SQLite database, in a thread of its own by `apsw.aio`.

Theory of operation: WAL with ``synchronous=FULL`` syncs the log once for each commit, so a
commit costs one fsync however many messages it holds. A whole commit is one call into the
thread, as a hop there and back costs more than most statements. The database is locked as
long as it is open: a second server on the same data directory is refused instead of mixing
with the first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar, cast

import apsw
import apsw.aio
import trio

from ..core.beginning import Restored
from ..core.effects import Commit
from ..protocol.messages import Delivery, File
from .store import StoreError

T = TypeVar("T")

_SCHEMAS = (
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
)
"""What each version adds to the one before."""

SCHEMA_VERSION = len(_SCHEMAS)

_FORGET = "DELETE FROM messages WHERE recipient = ? AND seq <= ?"
_KEEP = "INSERT INTO messages (recipient, seq, sender, client, id, text) VALUES (?, ?, ?, ?, ?, ?)"
_BLOCK = "INSERT OR IGNORE INTO blocks (blocker, blocked) VALUES (?, ?)"
_ADD_FILE = """
INSERT OR IGNORE INTO files (user, name, size, chunks, piece_bytes, root)
VALUES (?, ?, ?, ?, ?, ?)
"""
_FILES = "SELECT user, name, size, chunks, piece_bytes, root FROM files"
_UNBLOCK = "DELETE FROM blocks WHERE blocker = ? AND blocked = ?"


class SqliteStore:
    """A store in a file; made by `open_sqlite`."""

    def __init__(self, database: apsw.AsyncConnection) -> None:
        self._async_database = database
        # The same object: in its own thread it behaves like a plain connection.
        self._database = cast("apsw.Connection", database)

    async def restore(self) -> Restored:
        return await self._run(self._restore)

    async def commit(self, commit: Commit) -> None:
        await self._run(lambda: self._commit(commit))

    async def load(self, user: str) -> tuple[Delivery, ...]:
        return await self._run(lambda: self._load(user))

    async def close(self) -> None:
        with trio.CancelScope(shield=True):
            await self._async_database.aclose()

    async def _run(self, call: Callable[[], T]) -> T:
        """Make a call in the database's thread; a begun one is not given up."""
        with trio.CancelScope(shield=True):
            try:
                result = await self._async_database.async_run(call)
            except apsw.Error as error:
                raise StoreError(f"the database failed: {error}") from error
        return cast("T", result)

    # -- In the database's thread ------------------------------------------------------------

    def _restore(self) -> Restored:
        execute = self._database.execute
        last_seq = execute("SELECT ifnull(max(seq), 0) FROM messages").get
        waiting = execute(
            "SELECT recipient, count(*), sum(octet_length(text)) FROM messages GROUP BY recipient"
        )
        return Restored(
            last_seq=cast("int", last_seq),
            blocks=cast(
                "list[tuple[str, str]]", execute("SELECT blocker, blocked FROM blocks").fetchall()
            ),
            files=[(cast("str", user), File(*file)) for user, *file in execute(_FILES)],
            waiting={
                cast("str", user): (cast("int", count), cast("int", size))
                for user, count, size in waiting
            },
        )

    def _commit(self, commit: Commit) -> None:
        with self._database:  # one transaction
            self._database.executemany(_FORGET, commit.acknowledged)
            self._database.executemany(
                _KEEP,
                (
                    (user, message.seq, message.sender, message.client, message.id, message.text)
                    for user, message in commit.messages
                ),
            )
            for blocker, blocked, on in commit.blocks:
                self._database.execute(_BLOCK if on else _UNBLOCK, (blocker, blocked))
            self._database.executemany(
                _ADD_FILE,
                (
                    (user, file.name, file.size, file.chunks, file.piece_bytes, file.root)
                    for user, file in commit.files
                ),
            )

    def _load(self, user: str) -> tuple[Delivery, ...]:
        rows = self._database.execute(
            "SELECT seq, sender, client, id, text FROM messages WHERE recipient = ? ORDER BY seq",
            (user,),
        )
        return tuple(Delivery(*row) for row in rows)


async def open_sqlite(path: Path) -> SqliteStore:
    """Open the store in this file, made if there is none.

    Raises:
        StoreError: if the file can't be used: no permission, not a database, made by a
            newer version, or in use by another server.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {path.parent}: {error.strerror}") from error
    with trio.CancelScope(shield=True):  # a thread that is left behind never ends
        try:
            async with AsyncExitStack() as undo:
                database = await apsw.Connection.as_async(str(path))
                undo.push_async_callback(database.aclose)
                await database.async_run(_prepare, database)
                undo.pop_all()
        except apsw.BusyError as error:
            raise StoreError(f"{path} is in use by another server") from error
        except (apsw.Error, StoreError) as error:
            raise StoreError(f"cannot use {path}: {error}") from error
    return SqliteStore(database)


def _prepare(database: apsw.Connection) -> None:
    """Lock the database for us alone, and make the tables that it lacks."""
    database.pragma("locking_mode", "exclusive")
    database.pragma("journal_mode", "wal")
    database.pragma("synchronous", "full")
    with database:  # the first write takes the lock, and keeps it
        version = cast("int", database.execute("PRAGMA user_version").get)
        if version > SCHEMA_VERSION:
            raise StoreError(f"made by a newer version of this program (schema {version})")
        for schema in _SCHEMAS[version:]:
            database.execute(schema)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
