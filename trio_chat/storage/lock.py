"""The lock on a data directory: one server, or one restore, at a time.

It is the system's lock on the directory itself (flock), so nothing is left behind by a crash,
and it holds whatever state the database is in. SQLite's own lock would not do: it can't be held
on a damaged file while that is replaced.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..private_files import make_private_directory
from .faults import in_use
from .store import StoreError


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock; the directory is made, for its owner alone, if there is none.

    Raises:
        StoreError: if another process holds it, or the directory can't be made or read.
    """
    try:
        make_private_directory(directory)
        file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"cannot use {directory}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise in_use(directory) from None
        except OSError as error:
            raise StoreError(f"cannot lock {directory}: {error.strerror}") from error
        yield
    finally:
        os.close(file)
