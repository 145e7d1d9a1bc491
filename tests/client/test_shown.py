from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from trio_chat import limits
from trio_chat.client.shown import ShownKeys
from trio_chat.client.state import keys_path, prepare


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


def test_what_an_earlier_version_has_left_open_to_others_is_closed(tmp_path: Path) -> None:
    shared = tmp_path / "shared-0123.jsonl"
    shared.write_text("")
    shared.chmod(0o664)
    (tmp_path / "identity-0123").mkdir(0o755)
    tmp_path.chmod(0o755)
    assert prepare(tmp_path) is None
    assert stat.S_IMODE(shared.stat().st_mode) == 0o600
    tmp_path.chmod(0o775)
    assert prepare(tmp_path) == (
        f"other users of this machine can change {tmp_path} (its mode is 0775); close it with"
        f" 'chmod 700 {tmp_path}'"
    )
    assert prepare(tmp_path / "missing") is None


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


@pytest.mark.parametrize("how", ["file", "directory", "emptied", "replaced"])
def test_a_file_that_goes_away_is_written_anew_with_all_that_it_held(path: Path, how: str) -> None:
    keys = ShownKeys(path)
    keys.add([_key(1), _key(2)])
    if how == "emptied":
        path.rename(path.with_name("away"))
        path.touch()
    elif how == "replaced":
        path.with_name("other").write_bytes(b'["yoda","abcd",1]\n')
        path.with_name("other").replace(path)
    else:
        path.unlink()
    if how == "directory":
        path.parent.rmdir()
    keys.add([_key(3)])
    assert keys.notice is None
    again = ShownKeys(path)
    assert all(_key(number) in again for number in (1, 2, 3))
    assert path.read_bytes().count(b"\n") == (4 if how == "replaced" else 3)


def test_what_could_not_be_written_is_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ShownKeys(path)
    keys.add([_key(1)])
    write = os.write

    def write_half(file: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half)
        keys.add([_key(2)])
        assert keys.notice is not None
        keys.notice = None
        keys.add([_key(3)])
        assert keys.notice is None, "it is told once"
    keys.add([_key(4)])
    again = ShownKeys(path)
    assert all(_key(number) in again for number in (1, 2, 3, 4))
    assert path.read_bytes().count(b"\n") == 4


def test_a_file_that_could_not_be_read_is_read_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ShownKeys(path).add([_key(1)])

    def fail(path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        keys = ShownKeys(path)
        assert keys.notice is not None
        keys.add([_key(2)])
    keys.add([_key(3)])
    for again in (keys, ShownKeys(path)):
        assert all(_key(number) in again for number in (1, 2, 3))


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
