from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from trio_chat import limits
from trio_chat.client.shown import ShownKeys
from trio_chat.client.state import keys_path


def _key(number: int) -> tuple[str, str, int]:
    return ("hans", "abcd", number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "client" / "shown.jsonl"


def test_keys_are_remembered_over_restarts(path: Path) -> None:
    keys = ShownKeys(path)
    assert _key(1) not in keys
    keys.add([_key(1), _key(2)])
    keys.add([_key(3), _key(1)])
    for again in (keys, ShownKeys(path)):
        assert all(_key(number) in again for number in (1, 2, 3))
        assert _key(4) not in again
        assert again.notice is None
    assert path.read_bytes().count(b"\n") == 3


def test_nothing_new_writes_nothing(path: Path) -> None:
    keys = ShownKeys(path)
    keys.add([])
    assert not path.exists()


def test_files_are_private(path: Path) -> None:
    ShownKeys(path).add([_key(1)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_without_a_path_memory_must_do() -> None:
    keys = ShownKeys()
    keys.add([_key(1)])
    assert _key(1) in keys
    assert keys.notice is None


def test_any_name_and_text_fits_a_line(path: Path) -> None:
    key = ('a"\n\u2028', "\\", 2**53 - 1)
    ShownKeys(path).add([key])
    assert key in ShownKeys(path)


@pytest.mark.parametrize(
    "damage",
    [b"\xff\xfe\n", b"rubbish\n", b'["hans"]\n', b"[" * 5000 + b"\n", b'["hans","abcd",', b"\n"],
)
def test_damaged_lines_are_skipped(path: Path, damage: bytes) -> None:
    ShownKeys(path).add([_key(1)])
    with path.open("ab") as file:
        file.write(damage)
    keys = ShownKeys(path)
    assert _key(1) in keys
    assert keys.notice is None
    keys.add([_key(2)])
    again = ShownKeys(path)
    assert _key(1) in again
    assert _key(2) in again
    assert path.read_bytes().count(b"\n") == 2


def test_memory_and_file_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_REMEMBERED_MAX", 10)
    keys = ShownKeys(path)
    for number in range(100):
        keys.add([_key(number)])
        assert path.read_bytes().count(b"\n") <= 20
    for again in (keys, ShownKeys(path)):
        assert [number for number in range(100) if _key(number) in again] == list(range(90, 100))
    assert list(path.parent.iterdir()) == [path]


def test_more_keys_at_once_than_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_REMEMBERED_MAX", 10)
    keys = ShownKeys(path)
    keys.add(_key(number) for number in range(50))
    assert _key(49) in keys
    assert _key(39) not in keys
    assert path.read_bytes().count(b"\n") == 10


def test_an_unusable_directory_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keys = ShownKeys(tmp_path / "file" / "client" / "shown.jsonl")
    assert keys.notice is not None
    assert "\n" not in keys.notice
    assert "Not a directory" in keys.notice
    keys.notice = None
    keys.add([_key(1)])
    assert _key(1) in keys
    assert keys.notice is None


def test_a_directory_that_goes_away_is_told_once(path: Path) -> None:
    keys = ShownKeys(path)
    path.parent.rmdir()
    keys.add([_key(1)])
    assert keys.notice is not None
    keys.notice = None
    keys.add([_key(2)])
    assert _key(2) in keys
    assert keys.notice is None


def test_a_full_disk_keeps_the_file_and_leaves_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ShownKeys(path).add([_key(1)])
    with path.open("ab") as file:
        file.write(b"torn")
    before = path.read_bytes()

    def write(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    keys = ShownKeys(path)
    assert keys.notice is not None
    assert "No space left on device" in keys.notice
    assert _key(1) in keys
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def test_each_server_and_user_has_a_file_with_a_safe_name(tmp_path: Path) -> None:
    paths = {
        keys_path(tmp_path, server, user)
        for server in ("127.0.0.1:4000", "[::1]:4000", "../x:1")
        for user in ("hans", "../../etc/passwd", "a\nb", "x" * 300)
    }
    assert len(paths) == 12
    for path in paths:
        assert path.parent == tmp_path
        assert len(path.name) < 64
