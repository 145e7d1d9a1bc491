"""Where the client keeps what it remembers of an account, which is a user on a server.

And how it writes that.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from ..private_files import close_to_others, open_private, warning_about


def prepare(directory: Path) -> str | None:
    """Close the files of a state directory to others, as earlier versions have left some open.

    Returns:
        What to tell the person, if others can change what is in it; None if all is well.
    """
    with suppress(OSError):  # it is missing, or can't be read: whoever needs it says so
        close_to_others(list(directory.iterdir()))
    return warning_about(directory, unwanted=0o022)


def keys_path(directory: Path, server: str, user: str) -> Path:
    """The file of the messages that were shown to a user; see `shown`.

    Args:
        directory: the client's state directory.
        server: its address, such as ``127.0.0.1:4000``.
        user: a user name.
    """
    return directory / f"shown-{_digest(server, user)}.jsonl"


def shelf_path(directory: Path, server: str, user: str) -> Path:
    """The file of what a user shares; see `files.shelf`; arguments as above."""
    return directory / f"shared-{_digest(server, user)}.jsonl"


def history_path(directory: Path, server: str, user: str) -> Path:
    """The file of the lines that a user has typed; arguments as above."""
    return directory / f"history-{_digest(server, user)}.jsonl"


def identity_directory(directory: Path, server: str, user: str) -> Path:
    """The directory of the key by which other clients know a user; arguments as above."""
    return directory / f"identity-{_digest(server, user)}"


def _digest(server: str, user: str) -> str:
    """A name for an account that is safe on any file system, whatever the user's is."""
    return hashlib.sha256(f"{server}\n{user}".encode()).hexdigest()[:32]


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads; it holds all of it, or what it held before.

    Raises:
        OSError: if that does not work; nothing is left of it then.
    """
    temporary = path.with_suffix(f".{os.getpid()}.new")
    try:
        file = open_private(temporary, os.O_WRONLY | os.O_TRUNC)
        try:
            write_all(file, data)
        finally:
            os.close(file)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def append(path: Path, data: bytes) -> os.stat_result:
    """Add to a file that only its owner reads, made if there is none; return what it was before.

    Raises:
        OSError: if that does not work; a part may have been written.
    """
    file = open_private(path, os.O_WRONLY | os.O_APPEND)
    try:
        before = os.fstat(file)
        write_all(file, data)
    finally:
        os.close(file)
    return before


def write_all(file: int, data: bytes) -> None:
    """Write to a descriptor until nothing is left."""
    while data:
        data = data[os.write(file, data) :]
