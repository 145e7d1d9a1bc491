"""What happens on the disk: hashing, parts, and names that do no harm."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.test_text import HARMLESS
from trio_chat import limits
from trio_chat.client.files import disk
from trio_chat.client.files.disk import (
    BusyError,
    ChangedError,
    DiskError,
    PartFile,
    hash_file,
    safe_name,
)
from trio_chat.swarm.manifest import Leaves, Manifest

DATA = os.urandom(1_000_003)


def ignore(_done: int, _size: int) -> None:
    pass


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    return path


def described(source: Path) -> tuple[Manifest, Leaves]:
    manifest, leaves, _ = hash_file(source, ignore)
    return manifest, leaves


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def store(part: PartFile, leaves: Leaves, piece: int, data: bytes = DATA) -> None:
    for leaf in part.manifest.leaves_of(piece):
        content = memoryview(data)[leaf.offset : leaf.offset + leaf.size]
        assert part.store(leaves, leaf, content)


def store_all(part: PartFile, leaves: Leaves, data: bytes = DATA) -> None:
    for piece in range(part.manifest.pieces):
        store(part, leaves, piece, data)


def test_hashing_tells_how_far_it_is(source: Path) -> None:
    told: list[tuple[int, int]] = []
    manifest, leaves, version = hash_file(source, lambda done, size: told.append((done, size)))
    assert manifest.name == "a.bin"
    assert manifest.size == version.size == len(DATA)
    assert told[-1] == (len(DATA), len(DATA))
    assert len(told) == manifest.pieces
    assert leaves.manifest == manifest


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (lambda path: path.unlink(), "there is no file "),
        (lambda path: (path.unlink(), path.mkdir()), " is not a file"),
        (_make_pipe, " is not a file"),
    ],
    ids=["missing", "directory", "pipe"],
)
def test_what_is_no_file_can_not_be_hashed(source: Path, prepare: object, text: str) -> None:
    assert callable(prepare)
    prepare(source)
    with pytest.raises(DiskError, match=text):
        hash_file(source, ignore)


def test_a_file_that_changes_while_it_is_hashed_is_refused(source: Path) -> None:
    def change(done: int, size: int) -> None:
        if done == size:
            os.utime(source, (1, 1))

    with pytest.raises(ChangedError, match="was changed while it was read; try again"):
        hash_file(source, change)


def test_a_file_that_shrinks_while_it_is_hashed_is_refused(source: Path) -> None:
    with pytest.raises(ChangedError):
        hash_file(source, lambda done, size: os.truncate(source, 10))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(DiskError, match="empty is empty; there is nothing to share"):
        hash_file(tmp_path / "empty", ignore)


def test_a_part_becomes_the_file_when_all_is_there(source: Path, tmp_path: Path) -> None:
    manifest, leaves = described(source)
    directory = tmp_path / "new" / "downloads"
    part = PartFile(directory, manifest)
    assert len(part.verify(leaves, ignore)) == 0
    store_all(part, leaves)
    path, version = part.finish()
    part.close()
    assert path == directory / "a.bin"
    assert path.read_bytes() == DATA
    assert disk.version_of(path) == version
    assert [entry.name for entry in directory.iterdir()] == ["a.bin"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_wrong_piece_is_not_written(source: Path, tmp_path: Path) -> None:
    manifest, leaves = described(source)
    part = PartFile(tmp_path / "downloads", manifest)
    first = manifest.leaves_of(0)[0]
    assert not part.store(leaves, first, memoryview(bytes(first.size)))
    assert not part.store(leaves, first, memoryview(DATA[: first.size - 1]))
    assert part.path.read_bytes() == bytes(len(DATA))
    part.close()


def test_half_of_a_piece_is_none(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LEAF_BYTES_MAX", 8192)
    manifest, leaves = described(source)
    part = PartFile(tmp_path / "downloads", manifest)
    for leaf in manifest.leaves_of(0)[1], manifest.leaves_of(1)[0]:
        assert part.store(leaves, leaf, memoryview(DATA)[leaf.offset : leaf.offset + leaf.size])
    assert not part.verify(leaves, ignore)
    store(part, leaves, 1)
    assert list(part.verify(leaves, ignore)) == [1]
    part.close()


@pytest.mark.usefixtures("any_leaves")
def test_a_later_try_finds_what_is_right(source: Path, tmp_path: Path) -> None:
    manifest, leaves = described(source)
    part = PartFile(tmp_path / "downloads", manifest)
    for piece in (0, 3, manifest.pieces - 1):
        store(part, leaves, piece)
    part.close()
    with part.path.open("r+b") as stream:  # somebody meddles
        stream.seek(manifest.span(3)[0])
        stream.write(b"!")
    again = PartFile(tmp_path / "downloads", manifest)
    assert list(again.verify(leaves, ignore)) == [0, manifest.pieces - 1]
    store_all(again, leaves)
    assert again.finish()[0].read_bytes() == DATA
    again.close()


def test_nothing_is_ever_replaced(source: Path, tmp_path: Path) -> None:
    manifest, leaves = described(source)
    directory = tmp_path / "downloads"
    directory.mkdir()
    (directory / "a.bin").write_text("mine")
    (directory / "a (2).bin").symlink_to("/nowhere")
    part = PartFile(directory, manifest)
    store_all(part, leaves)
    path, _ = part.finish()
    part.close()
    assert path == directory / "a (3).bin"
    assert path.read_bytes() == DATA
    assert (directory / "a.bin").read_text() == "mine"
    assert (directory / "a (2).bin").is_symlink()


def test_a_part_that_is_a_link_is_not_followed(source: Path, tmp_path: Path) -> None:
    manifest, _ = described(source)
    directory = tmp_path / "downloads"
    PartFile(directory, manifest).close()
    part = next(directory.iterdir())
    part.unlink()
    part.symlink_to(tmp_path / "victim")
    with pytest.raises(DiskError, match="cannot write to"):
        PartFile(directory, manifest)
    assert not (tmp_path / "victim").exists()


def test_a_disk_that_is_full_is_a_clear_error(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, leaves = described(source)
    part = PartFile(tmp_path / "downloads", manifest)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiskError, match=r"cannot write to .*: No space left on device"):
        store(part, leaves, 0)
    part.close()


def test_a_directory_that_can_not_be_made_is_a_clear_error(source: Path) -> None:
    manifest, _ = described(source)
    with pytest.raises(DiskError, match="cannot write to"):
        PartFile(source / "downloads", manifest)


def test_spans_are_read_from_the_version_that_was_registered(source: Path) -> None:
    _, _, version = hash_file(source, ignore)
    buffer = memoryview(bytearray(20))
    disk.read_span(source, version, 10, buffer)
    assert buffer == DATA[10:30]
    with pytest.raises(ChangedError, match="shorter"):
        disk.read_span(source, None, len(DATA) - 5, buffer)
    os.utime(source, (1, 1))
    disk.read_span(source, None, 11, buffer)
    assert buffer == DATA[11:31]
    with pytest.raises(ChangedError, match="was changed since it was registered"):
        disk.read_span(source, version, 10, buffer)
    source.unlink()
    with pytest.raises(DiskError, match="cannot read"):
        disk.read_span(source, version, 10, buffer)


def test_a_file_that_is_written_to_while_a_span_is_read_has_changed(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, version = hash_file(source, ignore)
    real = os.preadv

    def read_and_write(*args: object) -> int:
        source.write_bytes(DATA[::-1])
        return real(*args)  # type: ignore[arg-type]  # they are what was given

    monkeypatch.setattr(os, "preadv", read_and_write)
    with pytest.raises(ChangedError, match="was changed since it was registered"):
        disk.read_span(source, version, 10, memoryview(bytearray(20)))


def test_a_pipe_in_place_of_a_file_makes_nobody_wait(source: Path) -> None:
    _, _, version = hash_file(source, ignore)
    _make_pipe(source)
    with pytest.raises(DiskError, match="cannot read"):
        disk.read_span(source, version, 10, memoryview(bytearray(20)))


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EMFILE, BusyError), (errno.ENFILE, BusyError), (errno.EIO, DiskError)],
)
def test_what_the_system_is_short_of_may_come_back(
    source: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[DiskError]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    before = _open_files()
    for name in ("preadv", "open"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(DiskError, match="cannot read") as caught:
                disk.read_span(source, None, 10, memoryview(bytearray(20)))
        assert type(caught.value) is kind
    assert _open_files() == before


def test_a_file_is_known_by_its_composed_name(tmp_path: Path) -> None:
    path = tmp_path / "Zoe\u0308.jpg"
    path.write_bytes(b"x")
    manifest, _, _ = hash_file(path, lambda done, size: None)
    assert manifest.name == "Zo\u00eb.jpg"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.bin", "a.bin"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "file"),
        ("", "file"),
        ("-rf", "rf"),
        (".bashrc", "bashrc"),
        ("a\x1b[2Jb\n", "a_[2Jb_"),
        ("C:\\x", "C__x"),
        ("ä" * 300, "ä" * 100),
        ("  a b  ", "a b"),
        ("\u200b\u3164", "file"),
        ("a\u202eb", "a_b"),
        *((name, name) for name in HARMLESS),
    ],
)
def test_a_name_stays_inside_its_directory_and_does_no_harm(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("name", ["../../x", "-rf", "a/b", ".", "\x1b[31mred", "x" * 255])
def test_a_file_lands_in_the_download_directory_whatever_its_name(
    source: Path, tmp_path: Path, name: str
) -> None:
    found, leaves = described(source)
    manifest = Manifest(
        name=name,
        size=found.size,
        chunks=found.chunks,
        piece_bytes=found.piece_bytes,
        root=found.root,
    )
    directory = tmp_path / "downloads"
    part = PartFile(directory, manifest)
    store_all(part, Leaves(manifest, leaves.packed))
    path, _ = part.finish()
    part.close()
    assert path.parent == directory
    assert [entry.name for entry in directory.iterdir()] == [path.name]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.bin", "downloads"]


def test_two_users_who_share_a_directory_share_no_part(source: Path, tmp_path: Path) -> None:
    manifest, leaves = described(source)
    directory = tmp_path / "downloads"
    luke, yoda = (PartFile(directory, manifest, user) for user in ("luke", "yoda"))
    store_all(luke, leaves)
    assert len(yoda.verify(leaves, ignore)) == 0
    store_all(yoda, leaves)
    names = [part.finish()[0].name for part in (luke, yoda)]
    luke.close()
    yoda.close()
    assert names == ["a.bin", "a (2).bin"]
    assert sorted(entry.name for entry in directory.iterdir()) == sorted(names)


def test_a_part_that_is_in_use_is_left_alone(source: Path, tmp_path: Path) -> None:
    manifest, _ = described(source)
    part = PartFile(tmp_path, manifest, "luke")
    before = _open_files()
    with pytest.raises(DiskError, match="another client is fetching it into"):
        PartFile(tmp_path, manifest, "luke")
    assert _open_files() == before
    part.close()
    PartFile(tmp_path, manifest, "luke").close()


def test_a_part_that_can_not_be_made_leaves_no_open_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, _ = described(source)

    def too_large(*_: object) -> None:
        raise OSError(27, "File too large")

    before = _open_files()
    monkeypatch.setattr(os, "ftruncate", too_large)
    with pytest.raises(DiskError, match="File too large"):
        PartFile(tmp_path / "downloads", manifest)
    assert _open_files() == before


def test_a_part_that_somebody_removes_leaves_no_empty_file(source: Path, tmp_path: Path) -> None:
    manifest, leaves = described(source)
    directory = tmp_path / "downloads"
    part = PartFile(directory, manifest)
    store_all(part, leaves)
    part.path.unlink()
    with pytest.raises(DiskError, match="cannot write to"):
        part.finish()
    part.close()
    assert list(directory.iterdir()) == []


def test_without_links_a_file_gets_its_name_as_well(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_nothing_is_ever_replaced(source, tmp_path)
    assert sorted(entry.name for entry in (tmp_path / "downloads").iterdir()) == [
        "a (2).bin",
        "a (3).bin",
        "a.bin",
    ]


def test_who_is_killed_leaves_no_empty_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise KilledError

    manifest, leaves = described(source)
    directory = tmp_path / "downloads"
    part = PartFile(directory, manifest)
    store_all(part, leaves)
    monkeypatch.setattr(Path, "unlink", die)
    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KilledError):
        part.finish()
    part.close()
    assert (directory / "a.bin").read_bytes() == DATA


def test_what_has_its_name_already_is_not_written_to_by_the_next_try(
    source: Path, tmp_path: Path
) -> None:
    manifest, leaves = described(source)
    directory = tmp_path / "downloads"
    part = PartFile(directory, manifest)
    store_all(part, leaves)
    os.link(part.path, directory / "a.bin")  # and then it was killed
    part.close()
    with (directory / "a.bin").open("r+b") as stream:
        stream.write(b"mine")
    again = PartFile(directory, manifest)
    assert again.is_new
    store_all(again, leaves)
    assert again.finish()[0] == directory / "a (2).bin"
    again.close()
    assert (directory / "a.bin").read_bytes() == b"mine" + DATA[4:]


def test_what_fails_when_the_file_has_its_name_is_no_failure(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, leaves = described(source)
    part = PartFile(tmp_path / "downloads", manifest)
    store_all(part, leaves)
    real = os.close

    def fail(file: int) -> None:
        real(file)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    def fail_to_sync(_directory: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk, "_sync_directory", fail_to_sync)
    assert part.finish()[0].read_bytes() == DATA
    monkeypatch.setattr(os, "close", fail)
    part.close()


def test_a_file_that_may_not_be_read_is_a_clear_error(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DiskError, match=r"^cannot read .*a\.bin: Permission denied$"):
        hash_file(source, ignore)


def test_a_disk_that_can_not_be_read_is_a_clear_error(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, leaves = described(source)
    part = PartFile(tmp_path / "downloads", manifest)
    store_all(part, leaves)

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(DiskError, match=r"cannot read .*: Input/output error"):
        hash_file(source, ignore)
    with pytest.raises(DiskError, match="Input/output error"):
        part.verify(leaves, ignore)
    part.close()


def test_a_file_without_a_suffix_gets_a_number_too(tmp_path: Path) -> None:
    names = disk._names(tmp_path, "README")
    assert [next(names).name for _ in range(2)] == ["README", "README (2)"]
