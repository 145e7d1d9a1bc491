"""The shelf: which files this client serves, in whole or in part, and where they lie.

What is complete is kept in a file, so that it is served again after a restart; what is not
is known again when its download goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from ... import limits
from ...private_files import make_private_directory
from ...swarm.manifest import Leaves, Manifest
from ...swarm.pieces import PieceSet
from ...text import normal
from ..state import replace_file
from .disk import Version, version_of


class Held:
    """A file that is served.

    Attributes:
        manifest: what it is.
        leaves: the hashes of its pieces.
        path: where it lies.
        version: that it must have; none while it is fetched.
        have: the pieces that are there; grows while it is fetched.
    """

    def __init__(self, leaves: Leaves, path: Path, version: Version | None, have: PieceSet) -> None:
        self.manifest: Manifest = leaves.manifest
        self.leaves = leaves
        self.path = path
        self.version = version
        self.have = have

    @property
    def chunks(self) -> tuple[int, ...]:
        """The chunks that are there as a whole."""
        manifest = self.manifest
        return tuple(
            chunk
            for chunk in range(1, manifest.chunks + 1)
            if self.have.has_range(manifest.pieces_of(chunk))
        )


class _Entry(Struct, frozen=True, omit_defaults=True):
    """A complete file on the disk, one JSON object a line.

    Attributes:
        path: where it lies; empty if that is no UTF-8, which JSON can't say.
        path_bytes: where it lies, in that case.
    """

    path: str
    version: Version
    name: str
    size: int
    chunks: int
    piece_bytes: int
    root: bytes
    leaves: bytes
    path_bytes: bytes = b""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Entry)


class Shelf:
    """The files that are served, by the root of their hashes, and by name if bytes have several.

    Attributes:
        notice: what to tell the person about the file below, once; none if it is fine.
    """

    def __init__(self) -> None:
        self.notice: str | None = None
        self._path: Path | None = None
        self._is_failing = False
        self._held: dict[bytes, dict[str, Held]] = {}
        self._absent: dict[Path, _Entry] = {}  # remembered too: their disk may come back

    def __iter__(self) -> Iterator[Held]:
        return iter([held for copies in self._held.values() for held in copies.values()])

    def get(self, root: bytes) -> Held | None:
        """The file with this root; a complete one, if there is one."""
        first = None
        for held in self._held.get(root, {}).values():
            if held.version is not None:
                return held
            first = first or held
        return first

    def all_of(self, root: bytes) -> list[Held]:
        """The files with this root: the same bytes under different names."""
        return list(self._held.get(root, {}).values())

    def put(self, held: Held) -> None:
        """Serve a file from now on, instead of what was there of it under its name before."""
        self._held.setdefault(held.manifest.root, {})[held.manifest.name] = held
        if held.version is not None:
            self._absent.pop(held.path, None)
            self._write()

    def remove(self, held: Held) -> None:
        """Serve a file no longer."""
        root, name = held.manifest.root, held.manifest.name
        copies = self._held.get(root, {})
        if copies.get(name) is not held:
            return
        del copies[name]
        if not copies:
            del self._held[root]
        if held.version is not None:
            self._write()

    def open(self, path: Path) -> None:
        """Take what is remembered in a file, as far as it is still true; remember more there."""
        self._path = path
        self._held.clear()
        self._absent.clear()
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            self._tell(error)
            self._path = None  # what can't be read must not be replaced
            return
        for line in lines[-limits.FILES_USER_MAX :]:
            try:
                entry = _decoder.decode(line)
                held = _held(entry)
            except ValueError:  # what msgspec raises is one too
                continue  # it is damaged
            version = version_of(held.path)
            if version is None:
                self._absent[held.path] = entry
            elif version == held.version:
                self._held.setdefault(held.manifest.root, {}).setdefault(held.manifest.name, held)

    def _write(self) -> None:
        if self._path is None:
            return
        entries = [_entry(held) for held in self if held.version is not None]
        try:
            make_private_directory(self._path.parent)
            replace_file(self._path, _encoder.encode_lines([*self._absent.values(), *entries]))
        except OSError as error:
            self._tell(error)  # and try again with the next change
        else:
            self._is_failing = False

    def _tell(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self.notice = (
                f"Cannot remember the files that you share in {self._path} ({error.strerror});"
                " register them again after a restart"
            )


def _entry(held: Held) -> _Entry:
    manifest = held.manifest
    assert held.version is not None
    path, path_bytes = str(held.path), b""
    if not _is_utf8(path):
        path, path_bytes = "", os.fsencode(path)
    return _Entry(
        path,
        held.version,
        manifest.name,
        manifest.size,
        manifest.chunks,
        manifest.piece_bytes,
        manifest.root,
        held.leaves.packed,
        path_bytes,
    )


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _held(entry: _Entry) -> Held:
    """What an entry stands for.

    Raises:
        ValueError: if it makes no sense.
    """
    manifest = Manifest(
        name=normal(entry.name),
        size=entry.size,
        chunks=entry.chunks,
        piece_bytes=entry.piece_bytes,
        root=entry.root,
    )
    path = Path(os.fsdecode(entry.path_bytes) or entry.path)
    leaves = Leaves(manifest, entry.leaves)
    return Held(leaves, path, entry.version, PieceSet.full(manifest.pieces))
