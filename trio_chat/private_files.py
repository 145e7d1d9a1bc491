"""Files and directories for their owner alone: messages, keys, what was typed.

The mode that `open` is given holds for new files only, and some libraries make their files as the
umask says. So a file that an earlier version has left open to others is closed to them here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077
"""What a mode lets the group and everybody else do."""


def make_private_directory(path: Path) -> None:
    """Make a directory for its owner alone, unless it is there.

    Raises:
        OSError: if it can't be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def open_private(path: Path, flags: int) -> int:
    """Open a file for its owner alone, made if there is none; return its descriptor.

    Args:
        path: of the file.
        flags: of `os.open`; it need not hold `O_CREAT`.

    Raises:
        OSError: if it can't be opened.
    """
    file = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    mode = stat.S_IMODE(os.fstat(file).st_mode)
    if mode & OTHERS:
        with suppress(OSError):  # it is somebody else's
            os.fchmod(file, mode & ~OTHERS)
    return file


def close_to_others(paths: Iterable[Path]) -> None:
    """Let nobody but their owner use these files; those that are missing or no files are left."""
    for path in paths:
        with suppress(OSError):  # it is missing, somebody else's, or on a read-only disk
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & OTHERS:
                path.chmod(stat.S_IMODE(mode) & ~OTHERS)


def warning_about(directory: Path, unwanted: int = OTHERS) -> str | None:
    """A line for the owner of a directory that is open to others; none if it is not.

    Args:
        directory: to look at.
        unwanted: what others must not be able to do, as bits of a mode.
    """
    try:
        mode = stat.S_IMODE(directory.stat().st_mode)
    except OSError:
        return None
    if not mode & unwanted:
        return None
    can = "change" if mode & 0o022 else "look into"
    return (
        f"other users of this machine can {can} {directory} (its mode is {mode:04o});"
        f" close it with 'chmod 700 {directory}'"
    )
