"""A database whose files are deleted, moved or replaced while they are open."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery, File
from trio_chat.storage.place import Place
from trio_chat.storage.store import StoreError

from .test_sqlite import opened, path

__all__ = ["path"]

FIRST = Commit(1, (("yoda", Delivery(1, "hans", "pc", 2, "first")),), (), ())
SECOND = Commit(2, (("yoda", Delivery(2, "hans", "pc", 3, "second")),), (), ())


async def waiting(path: Path) -> list[str]:
    """What a server finds that starts now."""
    async with opened(path) as store:
        return [message.text for message in await store.load("yoda")]


async def test_nothing_is_safe_in_a_directory_that_was_deleted(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(FIRST)
        shutil.rmtree(path.parent)
        for _ in range(2):
            with pytest.raises(StoreError) as caught:
                await store.commit(SECOND)
            assert str(caught.value) == (
                f"{path.parent} was deleted or moved away; put it back, or stop the server and"
                " restore a backup"
            )
        assert [message.text for message in await store.load("yoda")] == ["first"]


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_nothing_is_safe_in_a_file_that_was_deleted(path: Path, suffix: str) -> None:
    async with opened(path) as store:
        await store.commit(FIRST)
        file = path.with_name(path.name + suffix)
        file.unlink()
        with pytest.raises(StoreError, match="was deleted or moved away") as caught:
            await store.commit(SECOND)
        assert str(caught.value).startswith(str(file))


async def test_a_directory_that_comes_back_is_used_again(path: Path) -> None:
    async with opened(path) as store:
        path.parent.rename(path.parent.with_name("elsewhere"))
        with pytest.raises(StoreError, match="was deleted or moved away"):
            await store.commit(FIRST)
        path.parent.with_name("elsewhere").rename(path.parent)
        await store.commit(SECOND)
    assert await waiting(path) == ["second"], "what was refused was not written"


async def test_a_directory_that_was_moved_and_is_reached_as_before_is_fine(path: Path) -> None:
    async with opened(path) as store:
        path.parent.rename(path.parent.with_name("elsewhere"))
        path.parent.symlink_to(path.parent.with_name("elsewhere"))
        await store.commit(FIRST)
    assert await waiting(path) == ["first"]


async def test_nothing_is_safe_beside_another_database_of_that_name(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(FIRST)
        shutil.copy(path, path.with_name("copy"))
        path.with_name("copy").replace(path)
        with pytest.raises(StoreError, match="is not the file that the server has opened"):
            await store.commit(SECOND)


async def test_a_place_that_cannot_be_looked_at_is_not_safe(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as store:
        stat = Path.stat

        def fail(name: Path, **options: bool) -> os.stat_result:
            if name == path:
                raise OSError(5, "Input/output error")
            return stat(name, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", fail)
            with pytest.raises(StoreError) as caught:
                await store.commit(FIRST)
        assert str(caught.value) == f"cannot find {path} any more: Input/output error"


@pytest.mark.parametrize("retried", [True, False])
async def test_what_was_refused_as_its_directory_was_moved_meanwhile_is_not_there_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, retried: bool
) -> None:
    check, away = Place.check, path.parent.with_name("elsewhere")
    file = File("map.pdf", 1000, 10, 16384, bytes(32))
    both = (("luke", "hans", True), ("luke", "yoda", False))
    refused = Commit(2, FIRST.messages, (), both, (("hans", file),))

    def check_then_move(place: Place) -> None:
        check(place)
        path.parent.rename(away)

    async with opened(path) as store:
        await store.commit(Commit(1, (), (), (("luke", "yoda", True),)))
        with monkeypatch.context() as patch:
            patch.setattr(Place, "check", check_then_move)
            with pytest.raises(StoreError, match="was deleted or moved away"):
                await store.commit(refused)
        away.rename(path.parent)
        await store.commit(refused if retried else SECOND)
    async with opened(path) as store:
        restored = await store.restore()
        assert list(restored.blocks) == [("luke", "hans" if retried else "yoda")]
        assert list(restored.files) == ([("hans", file)] if retried else [])
    assert await waiting(path) == ["first" if retried else "second"]


async def test_the_current_directory_may_have_another_name_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    async with opened(Path("data/chat.db")) as store:
        await store.commit(FIRST)
        (tmp_path / "here").rename(tmp_path / "there")
        with pytest.raises(StoreError, match="was deleted or moved away"):
            await store.commit(SECOND)


# -- Whose they are ------------------------------------------------------------------------------


async def test_its_files_are_the_owners_alone_in_a_directory_that_is_not(path: Path) -> None:
    before = os.umask(0o022)
    try:
        path.parent.mkdir(0o755)
        async with opened(path) as store:
            await store.commit(FIRST)
            assert sorted(file.name for file in path.parent.iterdir()) == [
                path.name,
                f"{path.name}-wal",
            ]
            for file in path.parent.iterdir():
                assert file.stat().st_mode & 0o777 == 0o600, file
    finally:
        os.umask(before)


async def test_what_an_earlier_version_left_open_to_others_is_closed(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(FIRST)
        saved = path.parent.with_name("killed")
        shutil.copytree(path.parent, saved)
    for file in saved.iterdir():
        file.chmod(0o644)
    database = saved / path.name
    async with opened(database) as store:
        for file in saved.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file
        assert [message.text for message in await store.load("yoda")] == ["first"]
