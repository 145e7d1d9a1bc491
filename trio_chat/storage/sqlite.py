"""The real store: one SQLite database, in a thread of its own by `apsw.aio`.

Theory of operation: WAL with ``synchronous=FULL`` syncs the log once for each commit, so a
commit costs one fsync however many messages it holds. A whole commit is one call into the
thread, as a hop there and back costs more than most statements. The data directory is locked
as long as the store is open: a second server on it is refused instead of mixing with the first.
Whatever fails leaves the database as it was before, so the next commit is a new try: when a
full disk has room again, nothing else needs to happen. The same holds for files that were moved
away and come back; see `place`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

import apsw
import apsw.aio
import trio

from ..core.beginning import Restored
from ..core.effects import Commit
from ..private_files import close_to_others, open_private
from ..protocol.messages import Delivery, File
from .backup import Copy
from .faults import FAULTS, cannot_use, reason_of
from .lock import locked
from .place import Place, files_of
from .schema import check, migrate, version_of
from .store import StoreError

T = TypeVar("T")

_FORGET = "DELETE FROM messages WHERE recipient = ? AND seq <= ?"
_KEEP = "INSERT INTO messages (recipient, seq, sender, client, id, text) VALUES (?, ?, ?, ?, ?, ?)"
_WAITING = """
SELECT recipient, CAST(sender AS BLOB), count(*), sum(octet_length(text)) FROM messages
GROUP BY recipient, sender
"""
_BLOCK = "INSERT OR IGNORE INTO blocks (blocker, blocked) VALUES (?, ?)"
_PUT_FILE = """
INSERT OR REPLACE INTO files (user, name, size, chunks, piece_bytes, root, held_at)
VALUES (?, ?, ?, ?, ?, ?, unixepoch())
"""
_DROP_FILE = "DELETE FROM files WHERE name = ?"
_NOTE_FILE = "UPDATE files SET held_at = unixepoch() WHERE name = ?"
_FILES = """
SELECT max(0, unixepoch() - held_at), user, name, size, chunks, piece_bytes, root FROM files
"""
_UNBLOCK = "DELETE FROM blocks WHERE blocker = ? AND blocked = ?"
_TAKE_BACK = "DELETE FROM messages WHERE recipient = ? AND seq = ?"
_FILE = "SELECT * FROM files WHERE name = ?"
_PUT_BACK_FILE = "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)"

_Row = tuple[object, ...]


class SqliteStore:
    """A store in a file; made by `open_sqlite`."""

    def __init__(self, database: apsw.AsyncConnection, place: Place, held: AsyncExitStack) -> None:
        self._async_database = database
        self._place = place
        # A commit that was written, but into a file that was moved away; see `_take_back`.
        self._refused: tuple[Commit, list[tuple[str]], list[_Row]] | None = None
        self._held = held
        # The same object: in its own thread it behaves like a plain connection.
        self._database = cast("apsw.Connection", database)

    async def restore(self) -> Restored:
        return await self._run(self._restore)

    async def commit(self, commit: Commit) -> None:
        await self._run(lambda: self._commit(commit))

    async def load(self, user: str) -> tuple[Delivery, ...]:
        return await self._run(lambda: self._load(user))

    async def back_up(self, path: Path) -> None:
        copy = await self._run(lambda: Copy(self._database, path))
        is_whole = False
        try:
            while not await self._run(copy.step):
                await trio.lowlevel.checkpoint()  # here it can be cancelled
            is_whole = True
        finally:
            await self._run(lambda: copy.close(keep=is_whole))

    async def close(self) -> None:
        with trio.CancelScope(shield=True):
            await self._held.aclose()

    async def _run(self, call: Callable[[], T]) -> T:
        """Make a call in the database's thread; a begun one is not given up."""
        with trio.CancelScope(shield=True):
            try:
                result = await self._async_database.async_run(call)
            except FAULTS as error:  # also a stored text with a byte that was damaged
                raise StoreError(f"the database failed: {reason_of(error)}") from error
        return cast("T", result)

    # -- In the database's thread ------------------------------------------------------------

    def _restore(self) -> Restored:
        execute = self._database.execute
        last_seq = execute("SELECT ifnull(max(seq), 0) FROM messages").get
        waiting: dict[str, dict[str, tuple[int, int]]] = {}
        for recipient, sender, count, size in execute(_WAITING):
            box = waiting.setdefault(cast("str", recipient), {})
            # A damaged name must not keep the server from starting: its mailbox tells of it.
            name = cast("bytes", sender).decode(errors="replace")
            box[name] = cast("int", count), cast("int", size)
        files: list[tuple[str, File]] = []
        idle_seconds: dict[str, float] = {}
        for idle, user, *file in execute(_FILES):
            files.append((cast("str", user), File(*file)))
            if idle:
                idle_seconds[files[-1][1].name] = cast("float", idle)
        return Restored(
            last_seq=cast("int", last_seq),
            blocks=cast(
                "list[tuple[str, str]]", execute("SELECT blocker, blocked FROM blocks").fetchall()
            ),
            files=files,
            idle_seconds=idle_seconds,
            waiting=waiting,
        )

    def _commit(self, commit: Commit) -> None:
        with transaction(self._database):
            self._place.check()  # before anything is written where nobody would find it
            if self._refused is not None:
                self._take_back(*self._refused)
            names = [
                (name,) for name in (*(file.name for _, file in commit.files), *commit.dropped)
            ]
            files = [row for name in names for row in self._database.execute(_FILE, name)]
            self._write(commit)
        self._refused = commit, names, files
        self._place.check()  # it may have been moved meanwhile
        self._refused = None

    def _write(self, commit: Commit) -> None:
        self._database.executemany(_FORGET, commit.acknowledged)
        self._database.executemany(
            _KEEP,
            (
                (user, message.seq, message.sender, message.client, message.id, message.text)
                for user, message in commit.messages
            ),
        )
        self._set_blocks(commit.blocks)
        self._database.executemany(
            _PUT_FILE,
            (
                (user, file.name, file.size, file.chunks, file.piece_bytes, file.root)
                for user, file in commit.files
            ),
        )
        self._database.executemany(_DROP_FILE, ((name,) for name in commit.dropped))
        self._database.executemany(_NOTE_FILE, ((name,) for name in commit.held))

    def _take_back(self, commit: Commit, names: list[tuple[str]], files: list[_Row]) -> None:
        """Let all be as before a commit; what that has forgotten was acknowledged anyway.

        Args:
            commit: which was written, and refused.
            names: of the files that it has changed.
            files: the rows of these before that.
        """
        messages = [(user, message.seq) for user, message in commit.messages]
        self._database.executemany(_TAKE_BACK, messages)
        self._set_blocks(
            [(blocker, blocked, not on) for blocker, blocked, on in reversed(commit.blocks)]
        )
        self._database.executemany(_DROP_FILE, names)
        self._database.executemany(_PUT_BACK_FILE, files)

    def _set_blocks(self, changes: Sequence[tuple[str, str, bool]]) -> None:
        for blocker, blocked, on in changes:
            self._database.execute(_BLOCK if on else _UNBLOCK, (blocker, blocked))

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
            newer version, or in use by another server. It says what to do.
    """
    with trio.CancelScope(shield=True):  # a thread that is left behind never ends
        async with AsyncExitStack() as held:
            held.enter_context(locked(path.parent))
            _close_to_others(path)
            try:
                database = await apsw.Connection.as_async(str(path))
                held.push_async_callback(database.aclose)
                await database.async_run(_prepare, database)
                place = Place(path)
            except (*FAULTS, StoreError) as error:
                raise cannot_use(path, error) from error
            store = SqliteStore(database, place, held.pop_all())
    return store


def _close_to_others(path: Path) -> None:
    """Let nobody else read the database; SQLite gives its other files the mode of this one."""
    with suppress(OSError):  # SQLite will say why that is not possible
        os.close(open_private(path, os.O_WRONLY))
    close_to_others(files_of(path))


def _prepare(database: apsw.Connection) -> None:
    """Lock the database for us alone, see that it is whole, and bring its tables up to date."""
    if database.readonly("main"):  # which SQLite itself would call an I/O error, as it can't lock
        raise apsw.ReadOnlyError("read-only file")
    database.pragma("locking_mode", "exclusive")
    version_of(database)  # before anything is changed in what may not be ours
    database.pragma("journal_mode", "wal")
    database.pragma("synchronous", "full")
    check(database)
    with transaction(database):  # the first write takes the lock, and keeps it
        migrate(database)


@contextmanager
def transaction(database: apsw.Connection) -> Iterator[None]:
    """All of a block, or nothing.

    A full disk may have ended the transaction already. With apsw's own ``with database`` an
    error about that would take the place of the one that says why.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
