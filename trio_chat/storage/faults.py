"""What goes wrong with a database, in words for its operator: what, why, and what to do."""

from __future__ import annotations

from pathlib import Path

import apsw

from .store import InUseError, StoreError

RESTORE = "; restore a backup with 'trio-chat-server restore', or move the file away"
"""What to do about a database that can't be read."""

FAULTS = (apsw.Error, ValueError, OSError)
"""What a call raises that fails: SQLite's errors, those of text and names, the system's."""

Fault = apsw.Error | ValueError | OSError

_REASONS: tuple[tuple[tuple[type[Fault], ...], str], ...] = (
    ((apsw.FullError,), "the disk is full; free some space on it"),
    ((apsw.NotADBError,), "it is not a database{advice}"),
    ((apsw.CorruptError, UnicodeDecodeError), "it is damaged ({error}){advice}"),
    (
        (apsw.ReadOnlyError, apsw.PermissionsError, apsw.CantOpenError),
        "it can't be written ({error}); it and its directory must belong to this user, and not"
        " be on a read-only disk",
    ),
    (
        (apsw.IOError,),
        "the disk failed ({error}); it may be full or broken, and the system's log says more",
    ),
)


def reason_of(error: Fault, advice: str = RESTORE) -> str:
    """What an error means, and what to do about it."""
    for kinds, text in _REASONS:
        if isinstance(error, kinds):
            return text.format(error=error, advice=advice)
    if isinstance(error, UnicodeEncodeError):
        return "its name is not valid UTF-8"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def cannot_use(path: Path, error: Fault | StoreError, advice: str = RESTORE) -> StoreError:
    """The error that says why a file can't be used at all."""
    if isinstance(error, apsw.BusyError):
        return in_use(path)
    reason = error if isinstance(error, StoreError) else reason_of(error, advice)
    return StoreError(f"cannot use {path}: {reason}")


def in_use(path: Path) -> InUseError:
    """The error of a second server on the same data."""
    return InUseError(
        f"{path} is in use by another server; stop that one, or give this one its own --data-dir"
    )
