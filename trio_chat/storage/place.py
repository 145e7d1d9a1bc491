"""The place of a database: whether a restart would find what is written now.

A process goes on writing to files that were deleted, moved away or replaced under their names,
and every sync works. So before anything is called safe, the names are looked up again: they must
lead to the files that are open. That takes two `stat` calls, some microseconds beside a sync.
"""

from __future__ import annotations

from pathlib import Path

from .store import StoreError

_Identity = tuple[int, int]

SUFFIXES = ("", "-wal", "-shm", "-journal")
"""The files of a database, by what follows its name."""


def files_of(database: Path) -> list[Path]:
    """All files that SQLite may keep for a database."""
    return [database.with_name(f"{database.name}{suffix}") for suffix in SUFFIXES]


class Place:
    """Where an open database and its log lie.

    Args:
        database: its path; it is open, and so is its log.

    Raises:
        OSError: if it is not there.
    """

    def __init__(self, database: Path) -> None:
        database = database.absolute()
        log = database.with_name(f"{database.name}-wal")
        self._directory = database.parent
        self._identities = {path: _identity(path) for path in (database, log)}

    def check(self) -> None:
        """See that a restart would find this database.

        Raises:
            StoreError: if it would not; the text says why, and what to do.
        """
        for path, identity in self._identities.items():
            try:
                is_there = _identity(path) == identity
            except FileNotFoundError:
                missing = path if self._directory.exists() else self._directory
                raise StoreError(
                    f"{missing} was deleted or moved away; put it back, or stop the server and"
                    " restore a backup"
                ) from None
            except OSError as error:
                raise StoreError(f"cannot find {path} any more: {error.strerror}") from error
            if not is_there:
                raise StoreError(
                    f"{path} is not the file that the server has opened; put that one back, or"
                    " start the server again to go on with the other one"
                )


def _identity(path: Path) -> _Identity:
    status = path.stat()
    return status.st_dev, status.st_ino
