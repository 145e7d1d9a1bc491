"""What happens on the disk; all of it blocks.

What reads or writes the bytes of files is called in a worker thread. In the event loop are called
what opens a part, looks at a version, and writes the shelf: short, but not on a disk that hangs.

A file that is being fetched lies in the download directory under a name of its own, at full
size and with holes. What of it is right is known from its hashes alone: so there is no other
state that could be lost, or be wrong, when the client is killed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from msgspec import Struct

from ...errors import FailureError
from ...swarm.hashing import hash_leaf
from ...swarm.manifest import Layout, Leaf, Leaves, Manifest
from ...swarm.pieces import PieceSet
from ...text import is_blank, normal, replace_controls


class DiskError(FailureError):
    """A file can't be read or written; the text says which, and why."""


class ChangedError(DiskError):
    """A file is not what it was."""


class BusyError(DiskError):
    """A file can't be read now, as the system is short of something; later perhaps."""


_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Version(Struct, frozen=True):
    """What differs after nearly every change of a file."""

    size: int
    mtime_ns: int
    inode: int


def _version(file: int) -> Version:
    status = os.fstat(file)
    return Version(status.st_size, status.st_mtime_ns, status.st_ino)


def version_of(path: Path) -> Version | None:
    """The version of a file; none if it can't be read."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # the latter: there is a NUL in it
        return None
    return Version(status.st_size, status.st_mtime_ns, status.st_ino)


def check_version(path: Path, version: Version) -> None:
    """See whether a file still is what it was.

    Raises:
        BusyError, ChangedError, DiskError: as `read_span`.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    if Version(status.st_size, status.st_mtime_ns, status.st_ino) != version:
        raise _changed(path)


def _unreadable(path: Path, error: OSError) -> DiskError:
    kind = BusyError if error.errno in _SHORTAGES else DiskError
    return kind(f"cannot read {path}: {error.strerror}")


def _changed(path: Path) -> ChangedError:
    return ChangedError(f"{path} was changed since it was registered")


def _open(path: Path) -> int:
    """Open a file to read it; what is no file, as a pipe, must not make us wait."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def hash_file(path: Path, tell: Callable[[int, int], None]) -> tuple[Manifest, Leaves, Version]:
    """Read a file and hash it all.

    Args:
        path: of the file.
        tell: takes the bytes done and the size, now and then, from this thread.

    Raises:
        DiskError: if it can't be read, is no file, is empty, or changes meanwhile.
    """
    try:
        file = _open(path)
    except FileNotFoundError:
        raise DiskError(f"there is no file {path}") from None
    except OSError as error:
        raise DiskError(f"cannot read {path}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise DiskError(f"{path} is not a file")
        before = _version(file)
        if before.size == 0:
            raise DiskError(f"{path} is empty; there is nothing to share")
        layout = Layout.of(before.size)
        leaves = bytearray()
        buffer = memoryview(bytearray(layout.leaf_bytes))
        for leaf in chain.from_iterable(map(layout.leaves_of, range(layout.pieces))):
            if _read_into(file, buffer[: leaf.size], leaf.offset) < leaf.size:
                raise ChangedError(f"{path} was changed while it was read; try again")
            leaves += hash_leaf(buffer[: leaf.size])
            tell(leaf.offset + leaf.size, before.size)
        if _version(file) != before:
            raise ChangedError(f"{path} was changed while it was read; try again")
        manifest = Manifest.build(normal(path.name), layout, leaves)
    except OSError as error:
        raise DiskError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DiskError(f"{path} cannot be shared: {error}") from error
    finally:
        os.close(file)
    return manifest, Leaves(manifest, bytes(leaves)), before


def _read_into(file: int, buffer: memoryview, offset: int) -> int:
    filled = 0
    while filled < len(buffer):
        size = os.preadv(file, [buffer[filled:]], offset + filled)
        if size == 0:
            break
        filled += size
    return filled


def read_span(path: Path, version: Version | None, offset: int, buffer: memoryview) -> None:
    """Fill a buffer with a part of a file.

    Args:
        path: of the file.
        version: that it must have; none if it may change, as while it is fetched.
        offset: where to begin.
        buffer: to be filled, all of it.

    Raises:
        ChangedError: if the file has another version, or is too short.
        BusyError: if it can't be read now.
        DiskError: if it can't be read.
    """
    try:
        file = _open(path)
        try:
            size = _read_into(file, buffer, offset)
            found = _version(file)  # after that, as it may be written to meanwhile
        finally:
            os.close(file)
    except OSError as error:
        raise _unreadable(path, error) from error
    if version is not None and found != version:
        raise _changed(path)
    if size < len(buffer):
        raise ChangedError(f"{path} is shorter than it was")


class PartFile:
    """A file that is being fetched.

    Attributes:
        path: where it lies until it is complete.
        is_new: whether nothing of it was here before.

    Args:
        directory: the download directory; made if there is none.
        manifest: of the file.
        user: who fetches it; others who share the directory have parts of their own.

    Raises:
        DiskError: if it can't be made, or another process has it open.
    """

    def __init__(self, directory: Path, manifest: Manifest, user: str = "") -> None:
        self.manifest = manifest
        name = safe_name(manifest.name).encode()[:100].decode(errors="ignore")
        key = hashlib.sha256(manifest.root + user.encode()).hexdigest()[:16]
        self.path = directory / f".{name}.{key}.part"
        self._directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                # An earlier try was killed when the file had its name: now it is the person's.
                if self.path.lstat().st_nlink > 1:
                    self.path.unlink()
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise self._failure(error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.is_new = os.fstat(self._file).st_size == 0
            os.ftruncate(self._file, manifest.size)
        except BlockingIOError:
            self.close()
            raise DiskError(f"another client is fetching it into {directory}") from None
        except OSError as error:
            self.close()
            raise self._failure(error) from error

    def verify(self, leaves: Leaves, tell: Callable[[int, int], None]) -> PieceSet:
        """Which pieces are there already, from an earlier try."""
        manifest = self.manifest
        have = PieceSet(manifest.pieces)
        try:
            if os.fstat(self._file).st_blocks == 0 and manifest.size:
                return have  # nothing was written yet
            buffer = memoryview(bytearray(manifest.leaf_bytes))
            for piece in range(manifest.pieces):
                if all(self._holds(leaves, leaf, buffer) for leaf in manifest.leaves_of(piece)):
                    have.add(piece)
                tell(sum(manifest.span(piece)), manifest.size)
        except OSError as error:
            raise self._failure(error) from error
        return have

    def _holds(self, leaves: Leaves, leaf: Leaf, buffer: memoryview) -> bool:
        data = buffer[: leaf.size]
        return _read_into(self._file, data, leaf.offset) == leaf.size and leaves.verify(
            leaf.number, data
        )

    def store(self, leaves: Leaves, leaf: Leaf, data: memoryview) -> bool:
        """Verify a leaf, and write it if it is right; return whether it is.

        Raises:
            DiskError: if it can't be written.
        """
        if not leaves.verify(leaf.number, data):
            return False
        offset = leaf.offset
        try:
            while data:
                size = os.pwrite(self._file, data, offset)
                data, offset = data[size:], offset + size
        except OSError as error:
            raise self._failure(error) from error
        return True

    def finish(self) -> tuple[Path, Version]:
        """Give the complete file its name, without ever replacing another one.

        Raises:
            DiskError: if that fails; the part file stays.
        """
        try:
            os.fsync(self._file)
            os.fchmod(self._file, 0o666 & ~_umask())
            version = _version(self._file)
            names = _names(self._directory, safe_name(self.manifest.name))
            target = next(names)
            while not self._take_name(target):
                target = next(names)
        except OSError as error:
            raise self._failure(error) from error
        with suppress(OSError):  # it has its name, whatever comes of this
            self.path.unlink(missing_ok=True)
            _sync_directory(self._directory)
        return target, version

    def _take_name(self, target: Path) -> bool:
        """Give the file this name too, or instead; return False if something else has it."""
        try:
            os.link(self.path, target)
        except FileExistsError:
            return False
        except OSError:  # there are no links here, perhaps
            try:
                # Takes the name, so that nobody else does before it is ours.
                os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                return False
            try:
                self.path.replace(target)
            except OSError:
                target.unlink()
                raise
        return True

    def close(self) -> None:
        """Let go of the file, which stays as it is."""
        with suppress(OSError):  # what could not be written is missing at the next try
            os.close(self._file)

    def _failure(self, error: OSError) -> DiskError:
        return DiskError(f"cannot write to {self._directory}: {error.strerror}")


_HARMFUL = re.compile(r'[/\\:*?"<>|]')
"""What parts a path somewhere, or is more than a name to a shell."""


def safe_name(name: str) -> str:
    """A name that stays inside its directory, and does no harm on a command line."""
    name = _HARMFUL.sub("_", replace_controls(name, "_"))
    name = name.strip().lstrip(".-")
    if is_blank(name):
        name = "file"
    return name.encode()[:200].decode(errors="ignore")


def _names(directory: Path, name: str) -> Iterator[Path]:
    """The name that a file should have, then others like it, without an end."""
    yield directory / name
    path = Path(name)
    for number in count(2):
        yield directory / f"{path.stem} ({number}){path.suffix}"


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
