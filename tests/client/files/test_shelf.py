"""The shelf: what is served, and what of it is remembered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from trio_chat.client.files.disk import hash_file
from trio_chat.client.files.shelf import Held, Shelf
from trio_chat.swarm.manifest import Leaves
from trio_chat.swarm.pieces import PieceSet


@pytest.fixture
def held(tmp_path: Path) -> Held:
    path = tmp_path / "a.bin"
    path.write_bytes(os.urandom(300_000))
    manifest, leaves, version = hash_file(path, lambda done, size: None)
    return Held(leaves, path, version, PieceSet.full(manifest.pieces))


def opened(path: Path) -> Shelf:
    shelf = Shelf()
    shelf.open(path)
    return shelf


def test_a_complete_file_is_remembered(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "state" / "shared.jsonl"
    opened(path).put(held)
    again = opened(path).get(held.manifest.root)
    assert again is not None
    assert (again.manifest, again.path, again.version) == (held.manifest, held.path, held.version)
    assert again.leaves.packed == held.leaves.packed
    assert again.chunks == tuple(range(1, 11))


def test_a_path_that_is_no_utf8_is_remembered(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    directory = tmp_path / os.fsdecode(b"\xe4")
    directory.mkdir()
    held.path = held.path.rename(directory / "a.bin")
    shelf = opened(path)
    shelf.put(held)
    assert shelf.notice is None
    (again,) = opened(path)
    assert again.path == held.path


def test_what_is_removed_is_forgotten(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    shelf = opened(path)
    shelf.put(held)
    shelf.remove(held)
    shelf.remove(held)
    assert list(shelf) == list(opened(path)) == []


def test_a_file_that_has_changed_is_not_served_again(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    opened(path).put(held)
    os.utime(held.path, (1, 1))
    assert list(opened(path)) == []
    held.path.unlink()
    assert list(opened(path)) == []


def test_a_file_whose_disk_is_not_there_is_remembered(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    first = opened(path)
    disk = tmp_path / "disk"
    disk.mkdir()
    held.path = held.path.rename(disk / "a.bin")
    first.put(held)
    disk.rename(tmp_path / "elsewhere")
    shelf = opened(path)
    assert list(shelf) == []
    other = _another(tmp_path)
    shelf.put(other)
    (tmp_path / "elsewhere").rename(disk)
    assert [each.path for each in opened(path)] == [held.path, other.path]


def test_what_is_registered_again_is_remembered_once(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    opened(path).put(held)
    data = held.path.read_bytes()
    held.path.unlink()
    shelf = opened(path)
    held.path.write_bytes(data)
    manifest, leaves, version = hash_file(held.path, lambda done, size: None)
    shelf.put(Held(leaves, held.path, version, PieceSet.full(manifest.pieces)))
    assert len(path.read_bytes().splitlines()) == 1


def _another(directory: Path) -> Held:
    path = directory / "b.bin"
    path.write_bytes(os.urandom(1000))
    manifest, leaves, version = hash_file(path, lambda done, size: None)
    return Held(leaves, path, version, PieceSet.full(manifest.pieces))


def test_what_is_incomplete_is_served_and_not_remembered(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    shelf = opened(path)
    have = PieceSet(held.manifest.pieces, held.manifest.pieces_of(3))
    shelf.put(Held(held.leaves, held.path, None, have))
    partly = shelf.get(held.manifest.root)
    assert partly is not None
    assert partly.chunks == (3,)
    have.add(0)
    assert set(partly.chunks) >= {3}
    assert list(opened(path)) == []


def test_damaged_lines_are_passed_over(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    opened(path).put(held)
    good = path.read_bytes()
    forged = good.replace(b'"size":300000', b'"size":300001')
    nowhere = good.replace(b'"path":"', b'"path":"\\u0000')
    path.write_bytes(b'garbage\n{"path":1}\n' + forged + nowhere + good[:-20] + b"\n" + good)
    assert [each.manifest for each in opened(path)] == [held.manifest]


def test_a_state_that_can_not_be_written_is_said_once(held: Held, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shelf = opened(tmp_path / "file" / "shared.jsonl")
    assert shelf.notice is not None
    assert "Cannot remember the files that you share" in shelf.notice
    shelf.notice = None
    shelf.put(held)
    assert shelf.notice is None
    assert shelf.get(held.manifest.root) is held


def test_what_could_not_be_written_is_written_with_the_next_change(
    held: Held, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "shared.jsonl"
    shelf = opened(path)
    path.parent.write_text("a file is in the way")
    shelf.put(held)
    assert shelf.notice is not None
    shelf.notice = None
    path.parent.unlink()
    shelf.put(held)
    assert shelf.notice is None
    assert len(list(opened(path))) == 1


def test_what_is_remembered_is_the_owners_alone(held: Held, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        opened(tmp_path / "shared.jsonl").put(held)
    finally:
        os.umask(before)
    assert (tmp_path / "shared.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_same_bytes_may_have_several_names(held: Held, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    shelf = opened(path)
    copy = tmp_path / "b.bin"
    copy.write_bytes(held.path.read_bytes())
    manifest, leaves, version = hash_file(copy, lambda done, size: None)
    other = Held(leaves, copy, version, PieceSet.full(manifest.pieces))
    shelf.put(held)
    shelf.put(other)
    root = held.manifest.root
    assert root == manifest.root
    assert [each.manifest.name for each in shelf.all_of(root)] == ["a.bin", "b.bin"]
    assert [each.manifest.name for each in opened(path)] == ["a.bin", "b.bin"]
    shelf.remove(held)
    assert shelf.get(root) is other
    assert [each.manifest.name for each in opened(path)] == ["b.bin"]
    shelf.remove(other)
    assert shelf.get(root) is None


def test_what_is_complete_is_served_before_what_is_not(held: Held, tmp_path: Path) -> None:
    shelf = opened(tmp_path / "shared.jsonl")
    other = replace(held.manifest, name="b.bin")
    part = Held(Leaves(other, held.leaves.packed), held.path, None, PieceSet(other.pieces))
    shelf.put(part)
    assert shelf.get(other.root) is part
    shelf.put(held)
    assert shelf.get(other.root) is held


def test_what_was_replaced_is_not_removed_with_what_was_there_before(
    held: Held, tmp_path: Path
) -> None:
    shelf = opened(tmp_path / "shared.jsonl")
    old = Held(held.leaves, held.path, None, PieceSet(held.manifest.pieces))
    shelf.put(old)
    shelf.put(held)
    shelf.remove(old)
    assert list(shelf) == [held]
