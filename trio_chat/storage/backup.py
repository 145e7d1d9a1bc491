"""Backups: one file that holds all of a database, made while it is in use.

Theory of operation: SQLite's backup interface copies a few pages at a time, in the thread of
the database and between two commits, so that the chat waits no longer than for one such step.
What is committed meanwhile by the same connection goes into the copy too. So the copy is the
database as it was at the last step.

A copy is worth nothing before it is *sealed*: looked through for damage, counted, hashed and
synced, which needs no server and disturbs none. A restore seals what it was given before it
touches anything, and then replaces the database in one step, keeping the old one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import apsw
from msgspec import Struct

from .. import limits
from ..private_files import close_to_others, open_private
from .faults import FAULTS, cannot_use, reason_of
from .lock import locked
from .place import files_of
from .schema import check, count_rows, version_of
from .store import StoreError

DATABASE_NAME = "chat.db"
"""The database in a data directory."""


class Contents(Struct, frozen=True):
    """What a backup holds.

    Attributes:
        messages: that wait for their receivers.
        blocks: of one user by another.
        files: registered ones; what they are, not their bytes.
        bytes: of the backup.
        schema: the version of its tables.
        sha256: of the backup, in hexadecimal digits.
    """

    messages: int
    blocks: int
    files: int
    bytes: int
    schema: int
    sha256: str


class Copy:
    """A copy under way; used in the thread of the database that is copied.

    Args:
        source: the database.
        path: of the copy, which must not exist.

    Raises:
        StoreError: if it can't be made.
    """

    def __init__(self, source: apsw.Connection, path: Path) -> None:
        self._path = path
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except (OSError, ValueError) as error:  # the latter: that can't be a name
            raise StoreError(f"cannot write {path}: {reason_of(error)}") from error
        with ExitStack() as undo:
            undo.callback(self._remove)
            try:
                self._target = apsw.Connection(str(path))
                undo.callback(self._target.close)
                # A copy that ends early is thrown away, and a whole one is synced when it is
                # sealed.
                self._target.pragma("journal_mode", "off")
                self._target.pragma("synchronous", "off")
                self._backup = self._target.backup("main", source, "main")
            except FAULTS as error:
                raise StoreError(f"cannot copy to {path}: {reason_of(error)}") from error
            undo.pop_all()

    def step(self) -> bool:
        """Copy some more; return whether that was all.

        Raises:
            StoreError: if it can't be read or written.
        """
        try:
            return self._backup.step(limits.BACKUP_STEP_PAGES_MAX)
        except apsw.Error as error:  # from there or from here, which it does not tell
            raise StoreError(f"cannot copy to {self._path}: {reason_of(error)}") from error

    def close(self, *, keep: bool) -> None:
        """Let go of both databases, and of the copy unless it is whole.

        Raises:
            StoreError: if it can't be removed.
        """
        self._backup.close(force=True)
        self._target.close()
        if not keep:
            self._remove()

    def _remove(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {self._path}: {reason_of(error)}") from error


def copy_at_rest(directory: Path, path: Path) -> None:
    """Copy the database of a data directory that no server uses.

    Raises:
        StoreError: if there is none, a server uses it, or it can't be copied.
    """
    database = directory / DATABASE_NAME
    if not database.exists():
        raise StoreError(f"there is no {database}; nothing to back up")
    with locked(directory):
        try:
            source = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
        except FAULTS as error:
            raise cannot_use(database, error) from error
        try:
            copy = Copy(source, path)
            is_whole = False
            try:
                while not is_whole:
                    is_whole = copy.step()
            finally:
                copy.close(keep=is_whole)
        finally:
            source.close()


def back_up(copy: Callable[[Path], None], path: Path) -> Contents:
    """Make a backup that replaces nothing, and is whole or not there.

    Args:
        copy: puts a copy of the database at the path that it is given.
        path: where the backup will be.

    Raises:
        StoreError: if there is something already, or the copy can't be made or is damaged.
    """
    if os.path.lexists(path):
        raise StoreError(f"{path} exists; a backup never replaces a file, give another name")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        copy(temporary)
        contents = seal(temporary)
        _give_name(temporary, path)
        _sync(path.parent)
    except FileExistsError:
        raise StoreError(f"{path} exists; a backup never replaces a file") from None
    except (OSError, UnicodeError) as error:
        raise StoreError(f"cannot write {path}: {reason_of(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return contents


def _give_name(temporary: Path, path: Path) -> None:
    """Let a whole backup have its name too, in one step, unless something has it.

    Raises:
        OSError: if something has it.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: take the name, then replace what took it
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        temporary.replace(path)


def seal(path: Path, name: Path | None = None) -> Contents:
    """Verify a copy that nobody uses, and make one file of it that is safely on the disk.

    Args:
        path: of the copy.
        name: what to call it in errors, if that is not its path.

    Raises:
        StoreError: if it is not a whole, undamaged database of ours.
        OSError: if it can't be read or synced.
    """
    try:
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            database.pragma("locking_mode", "exclusive")  # no file beside it for shared memory
            check(database)
            schema = version_of(database)
            messages, blocks, files = count_rows(database)
            database.pragma("journal_mode", "delete")  # no file beside it for a log
        finally:
            database.close()
    except (*FAULTS, StoreError) as error:
        raise cannot_use(name or path, error, advice="") from error
    _sync(path)
    return Contents(messages, blocks, files, path.stat().st_size, schema, _sha256(path))


class Replacement(Struct, frozen=True):
    """What a restore has done.

    Attributes:
        contents: of the database that is there now.
        kept: where the one from before is; none if there was none.
    """

    contents: Contents
    kept: Path | None


def restore(directory: Path, backup: Path, sha256: str | None = None) -> Replacement:
    """Put a backup in the place of a data directory's database.

    Args:
        directory: no server may be using it; made if there is none.
        backup: which stays as it is.
        sha256: what the backup's hash must be, if that is known.

    Raises:
        StoreError: if a server runs there, the backup is not whole, or the old database can't
            be kept; nothing has changed then.
    """
    database = directory / DATABASE_NAME
    temporary = directory / f".{DATABASE_NAME}.new"
    try:
        with locked(directory):
            close_to_others(files_of(database))
            if database.exists() and database.samefile(backup):
                raise StoreError(f"{backup} is the database itself, not a backup")
            try:
                found = _copy_bytes(backup, temporary)
                if sha256 is not None and found != sha256.lower():
                    raise StoreError(f"{backup} is not what was backed up: its SHA-256 is {found}")
                contents = seal(temporary, backup)
                with _set_aside(database) as kept:
                    temporary.replace(database)
                _sync(directory)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot restore {backup} to {directory}: {error.strerror}") from error
    return Replacement(contents, kept)


@contextmanager
def _set_aside(database: Path) -> Iterator[Path | None]:
    """Give the old database a second name, so that replacing it under the first loses nothing.

    If the block that replaces it fails, all is as it was.

    Its log must not stay, not even for a moment: SQLite would play it into the new database.

    Raises:
        StoreError: if the log of an undamaged database can't be taken in, or it is in use.
    """
    log = database.with_name(f"{database.name}-wal")
    if not database.exists():
        log.unlink(missing_ok=True)  # without its database it has no meaning
        yield None
        return
    _take_log_in(database)
    kept = _unused_name(database)
    with ExitStack() as undo:
        os.link(database, kept)
        undo.callback(kept.unlink)
        if log.exists():
            kept_log = log.replace(kept.with_name(f"{kept.name}-wal"))
            undo.callback(kept_log.replace, log)
        yield kept
        undo.pop_all()


def _take_log_in(database: Path) -> None:
    try:
        old = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            old.pragma("locking_mode", "exclusive")
            old.pragma("journal_mode", "delete")
        finally:
            old.close()
    except (apsw.CorruptError, apsw.NotADBError):
        pass  # no server starts on it as it is; it is kept so, with its log
    except FAULTS as error:
        raise cannot_use(database, error, advice="") from error


def _unused_name(database: Path) -> Path:
    """A name with the date, which nothing has."""
    stem = f"{database.name}.{datetime.now().astimezone():%Y-%m-%d-%H%M%S}"
    path, number = database.with_name(stem), 1
    while path.exists():
        number += 1
        path = database.with_name(f"{stem}-{number}")
    return path


def _copy_bytes(source: Path, target: Path) -> str:
    """Copy a file; return its SHA-256."""
    digest = hashlib.sha256()
    file = open_private(target, os.O_WRONLY | os.O_TRUNC)
    with os.fdopen(file, "wb") as copy, source.open("rb") as original:
        while block := original.read(limits.BACKUP_BLOCK_BYTES_MAX):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
