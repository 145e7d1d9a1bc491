"""Connections within one machine: a Unix-domain socket with a name in the file system.

Only its owner may connect (mode 0600). The system limits such a name to about a hundred bytes,
less than many paths have; then it is reached through the directory's file descriptor, where
the system has names for these.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from .transport import ListenError

NAME_BYTES_MAX = 103
"""What every system takes: Linux 107, macOS 103."""

_DESCRIPTORS = Path("/proc/self/fd")


@contextmanager
def listen_local(path: Path) -> Iterator[trio.SocketListener]:
    """Listen at a path for the length of a block; what an earlier process left is replaced.

    Raises:
        ListenError: if that is not possible there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            path.unlink(missing_ok=True)
            with _short_name(path) as name:
                before = os.umask(0o177)  # so that there is no moment when others may connect
                try:
                    sock.bind(name)
                finally:
                    os.umask(before)
            sock.listen()
        except OSError as error:
            raise ListenError(f"cannot listen on {path}: {error.strerror or error}") from error
        try:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        finally:
            path.unlink(missing_ok=True)


async def connect_local(path: Path) -> trio.SocketStream:
    """Connect to whoever listens at a path.

    Raises:
        OSError: if nobody does.
    """
    with _short_name(path) as name:
        return await trio.open_unix_socket(name)


@contextmanager
def _short_name(path: Path) -> Iterator[str]:
    if len(os.fsencode(path)) <= NAME_BYTES_MAX:
        yield str(path)
        return
    if not _DESCRIPTORS.exists():
        raise OSError(f"its name has more than {NAME_BYTES_MAX} bytes; give a shorter --data-dir")
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"{_DESCRIPTORS / str(directory) / path.name}"
    finally:
        os.close(directory)
