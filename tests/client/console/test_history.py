from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from trio_chat import limits
from trio_chat.client.console.history import LineHistory


def _open(path: Path | None) -> LineHistory:
    """The history of a user whose lines are in this file."""
    history = LineHistory(None if path is None else lambda _user: path)
    history.log_in("hans")
    return history


def _lines(history: LineHistory) -> list[str]:
    """All of them, as a prompt loads them: without waiting for anything."""

    async def load() -> list[str]:
        return [line async for line in history.load()]

    return asyncio.run(load())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.jsonl"


def test_lines_survive_a_restart_the_latest_first(path: Path) -> None:
    history = _open(path)
    assert _lines(history) == []
    for line in ("whoelse", "message yoda one\ntwo", "broadcast ünï \udce9"):
        history.append_string(line)
    assert _lines(_open(path)) == ["message yoda one\ntwo", "whoelse"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_user_has_their_own_lines_and_nobody_those_before_the_login(tmp_path: Path) -> None:
    for user in ("yoda", "hans"):
        history = LineHistory(lambda user: tmp_path / user)
        history.log_in(user)
        assert _lines(history) == [], "what somebody else has typed"
        history.append_string(f"message luke I am {user}")
    history = LineHistory(lambda user: tmp_path / user)
    history.append_string("typed before anybody was logged in")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hans", "yoda"]


def test_private_messages_and_lines_behind_a_blank_are_not_stored(path: Path) -> None:
    history = _open(path)
    _lines(history)
    for line in ("private luke hush", " message yoda hush", "startprivate luke"):
        history.append_string(line)
    assert _lines(history) == [
        "startprivate luke",
        " message yoda hush",
        "private luke hush",
    ]
    assert b"hush" not in path.read_bytes()
    assert _lines(_open(path)) == ["startprivate luke"]


def test_it_is_bounded_in_memory_and_on_disk(path: Path) -> None:
    history = _open(path)
    _lines(history)
    for number in range(2 * limits.HISTORY_LINES_MAX + 1):
        history.append_string(f"broadcast {number}")
    assert len(_lines(history)) == limits.HISTORY_LINES_MAX
    latest = _lines(_open(path))
    assert len(latest) == limits.HISTORY_LINES_MAX
    assert latest[0] == f"broadcast {2 * limits.HISTORY_LINES_MAX}"
    assert path.read_bytes().count(b"\n") == limits.HISTORY_LINES_MAX
    assert path.stat().st_mode & 0o777 == 0o600


def test_damaged_lines_are_skipped_and_a_torn_one_swallows_none(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'"one"\nnonsense\n\xff\n["two"]\n"thr')
    history = _open(path)
    assert _lines(history) == ["one"]
    history.append_string("four")
    assert _lines(_open(path)) == ["four", "one"]


def test_a_file_that_can_not_be_used_keeps_nobody_from_typing(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "file" / "history", None):
        (tmp_path / "file").touch()
        history = _open(path)
        assert _lines(history) == []
        history.append_string("whoelse")
        assert _lines(history) == ["whoelse"]


def test_a_full_disk_leaves_no_other_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    path.write_bytes(b'"one"\n"torn')

    def write(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    assert _lines(_open(path)) == []
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == b'"one"\n"torn'
