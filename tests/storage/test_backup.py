"""Backups and restores: nothing is lost, nothing is replaced by accident."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
import trio

from trio_chat import limits
from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery, File
from trio_chat.storage import backup
from trio_chat.storage.backup import Contents, back_up, copy_at_rest, restore, seal
from trio_chat.storage.schema import SCHEMA_VERSION
from trio_chat.storage.sqlite import SqliteStore, open_sqlite
from trio_chat.storage.store import StoreError

from .test_schema import VERSION_1, VERSION_2

FILE = File("a.bin", 5, 5, 16384, bytes(32))


def letter(seq: int, text: str = "hello") -> Delivery:
    return Delivery(seq, "hans", "pc", seq + 1, text)


def commit(first: int, count: int) -> Commit:
    letters = tuple(
        (f"user{seq % 7}", letter(seq, f"{seq} " * 50)) for seq in range(first, first + count)
    )
    return Commit(first, letters, (), ())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(data: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_sqlite(data / backup.DATABASE_NAME)
    yield opened
    await opened.close()


async def fill(data: Path, *commits: Commit) -> None:
    store = await open_sqlite(data / backup.DATABASE_NAME)
    for commit in commits:
        await store.commit(commit)
    await store.close()


async def everything(data: Path) -> dict[str, tuple[Delivery, ...]]:
    store = await open_sqlite(data / backup.DATABASE_NAME)
    boxes = {user: await store.load(user) for user in (await store.restore()).waiting}
    await store.close()
    return boxes


async def try_restore(data: Path, file: Path, sha256: str | None = None) -> str:
    """Why a restore is refused."""
    with pytest.raises(StoreError) as caught:
        restore(data, file, sha256)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# -- A copy of a store in use --------------------------------------------------------------------


async def test_what_is_committed_while_it_is_copied_is_in_the_copy(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKUP_STEP_PAGES_MAX", 8)
    await store.commit(commit(1, 2000))
    copied = trio.Event()
    count = 0

    async def go_on_committing() -> None:
        nonlocal count
        while not copied.is_set():
            count += 1
            await store.commit(commit(2000 + count, 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on_committing)
        await store.back_up(tmp_path / "copy")
        during = count
        copied.set()
    assert during > 10, "the commits did not wait for the copy"
    contents = seal(tmp_path / "copy")
    assert 2000 + during - 3 <= contents.messages <= 2000 + during


async def test_a_commit_that_fails_while_it_is_copied_is_not_in_the_copy(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.commit(commit(1, 100))
    copy = await store._run(lambda: backup.Copy(store._database, tmp_path / "copy"))
    same = Commit(2, (("x", letter(500)), ("x", letter(500))), (("user1", 99),), ())
    with pytest.raises(StoreError):
        await store.commit(same)
    while not await store._run(copy.step):
        pass
    await store._run(lambda: copy.close(keep=True))
    assert seal(tmp_path / "copy").messages == 100


async def test_a_copy_that_is_given_up_leaves_nothing(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKUP_STEP_PAGES_MAX", 8)
    await store.commit(commit(1, 1000))
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.back_up(tmp_path / "copy")
    assert scope.cancelled_caught
    assert names(tmp_path) == ["data"]
    await store.back_up(tmp_path / "copy")
    assert seal(tmp_path / "copy").messages == 1000


async def test_a_copy_that_cannot_be_written_does_no_harm(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.commit(commit(1, 10))
    (tmp_path / "taken").write_text("mine")
    for path, reason in ((tmp_path / "no" / "x", "No such file"), (tmp_path / "taken", "exists")):
        with pytest.raises(StoreError, match=f"cannot write {path}: .*{reason}"):
            await store.back_up(path)
    assert (tmp_path / "taken").read_text() == "mine"
    await store.commit(commit(11, 10))
    assert (await store.restore()).last_seq == 20


async def test_a_copy_that_fails_is_told_of_and_leaves_nothing(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.commit(commit(1, 10))
    path = tmp_path / "copy"
    copy = await store._run(lambda: backup.Copy(store._database, path))
    copy._target.pragma("max_page_count", 1)
    with pytest.raises(StoreError, match=f"cannot copy to {path}: the disk is full; "):
        await store._run(copy.step)
    await store._run(lambda: copy.close(keep=False))
    closed = apsw.Connection("")
    closed.close()
    with pytest.raises(StoreError, match=f"cannot copy to {path}: "):
        backup.Copy(closed, path)
    assert names(tmp_path) == ["data"]


async def test_a_copy_that_cannot_be_removed_is_told_of(store: SqliteStore, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    copy = await store._run(lambda: backup.Copy(store._database, path))
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=f"cannot remove {path}: "):
        await store._run(lambda: copy.close(keep=False))


async def test_names_that_sqlite_cannot_have_are_refused(data: Path, tmp_path: Path) -> None:
    await fill(data, commit(1, 10))
    await save(data, tmp_path / "saved")
    (tmp_path / "\udcff").mkdir()
    data = Path(await trio.Path(data).rename(tmp_path / "\udcff" / "data"))
    with pytest.raises(StoreError, match="its name is not valid UTF-8"):
        await save(data, tmp_path / "again")
    assert "its name is not valid UTF-8" in await try_restore(data, tmp_path / "saved")
    assert names(data) == ["chat.db"]


# -- A backup --------------------------------------------------------------------------------------


async def test_a_backup_is_one_file_counted_and_hashed(data: Path, tmp_path: Path) -> None:
    await fill(
        data,
        Commit(
            1,
            (("yoda", letter(1)), ("yoda", letter(2)), ("luke", letter(3))),
            (),
            (("yoda", "vader", True),),
            (("hans", FILE),),
        ),
    )
    path = tmp_path / "saved"
    contents = back_up(lambda temporary: copy_at_rest(data, temporary), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert contents == Contents(3, 1, 1, path.stat().st_size, SCHEMA_VERSION, digest)
    assert names(tmp_path) == ["data", "saved"]
    assert path.stat().st_mode & 0o777 == 0o600
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)  # as anybody may look into it
    assert reader.execute("SELECT count(*) FROM messages").fetchone() == (3,)
    reader.close()
    assert names(tmp_path) == ["data", "saved"]


async def test_a_backup_replaces_nothing(data: Path, tmp_path: Path) -> None:
    await fill(data, commit(1, 1))
    path = tmp_path / "saved"
    for make in (lambda: path.write_text("mine"), lambda: path.symlink_to("nowhere")):
        make()
        with pytest.raises(StoreError, match="saved exists; a backup never replaces a file"):
            back_up(lambda temporary: copy_at_rest(data, temporary), path)
        path.unlink()

    def copy(temporary: Path) -> None:
        copy_at_rest(data, temporary)
        path.write_text("made meanwhile")

    with pytest.raises(StoreError, match="saved exists"):
        back_up(copy, path)
    assert path.read_text() == "made meanwhile"
    assert names(tmp_path) == ["data", "saved"]


@pytest.mark.parametrize("lacking", ["links", "replacing"])
async def test_a_backup_has_its_name_when_it_is_whole(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    """In one step, without anything to be replaced; only file systems without links need two."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    await fill(data, commit(1, 10))
    if lacking == "links":
        monkeypatch.setattr(os, "link", refuse)
    else:
        monkeypatch.setattr(Path, "replace", refuse)
    assert (await save(data, tmp_path / "saved")).messages == 10
    assert names(tmp_path) == ["data", "saved"]
    assert seal(tmp_path / "saved").messages == 10

    def copy(temporary: Path) -> None:
        copy_at_rest(data, temporary)
        (tmp_path / "other").write_text("made meanwhile")

    with pytest.raises(StoreError, match="other exists"):
        back_up(copy, tmp_path / "other")
    assert (tmp_path / "other").read_text() == "made meanwhile"


def test_there_must_be_something_to_back_up(data: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"there is no {data}/chat.db; nothing to back up"):
        back_up(lambda temporary: copy_at_rest(data, temporary), tmp_path / "saved")
    assert names(tmp_path) == [], "not even the directory"


async def test_a_database_in_use_is_not_copied_behind_its_server(
    store: SqliteStore, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="in use by another server"):
        copy_at_rest(data, tmp_path / "saved")


async def test_a_damaged_copy_is_no_backup(data: Path, tmp_path: Path) -> None:
    await fill(data, commit(1, 500))

    def copy(temporary: Path) -> None:
        copy_at_rest(data, temporary)
        whole = temporary.read_bytes()
        temporary.write_bytes(whole[:20480] + bytes(4096) + whole[24576:])

    with pytest.raises(StoreError, match="it is damaged"):
        back_up(copy, tmp_path / "saved")
    assert names(tmp_path) == ["data"]


# -- A restore -------------------------------------------------------------------------------------


async def save(data: Path, path: Path) -> Contents:
    return back_up(lambda temporary: copy_at_rest(data, temporary), path)


async def test_a_restore_brings_everything_back_and_keeps_what_was_there(
    data: Path, tmp_path: Path
) -> None:
    await fill(data, commit(1, 100))
    before = await everything(data)
    contents = await save(data, tmp_path / "saved")
    await fill(data, Commit(2, (("yoda", letter(900, "later")),), (("user1", 99),), ()))
    later = await everything(data)

    done = restore(data, tmp_path / "saved", contents.sha256.upper())
    assert done.contents == contents
    assert await everything(data) == before
    assert done.kept is not None
    assert done.kept.name.startswith("chat.db.20")
    assert names(data) == ["chat.db", done.kept.name]
    again = restore(data, done.kept)
    assert await everything(data) == later
    assert again.kept not in (None, done.kept), "also within the same second"


async def test_a_restore_to_a_new_machine_makes_the_directory(data: Path, tmp_path: Path) -> None:
    await fill(data, commit(1, 10))
    await save(data, tmp_path / "saved")
    assert restore(tmp_path / "new", tmp_path / "saved").kept is None
    assert await everything(tmp_path / "new") == await everything(data)


async def test_a_log_of_the_old_database_does_not_reach_the_new_one(
    data: Path, tmp_path: Path
) -> None:
    await fill(data, commit(1, 10))
    await save(data, tmp_path / "saved")
    store = await open_sqlite(data / "chat.db")
    await store.commit(commit(11, 10))
    log = (data / "chat.db-wal").read_bytes()
    await store.close()
    assert log
    for damaged in (False, True):
        if damaged:
            (data / "chat.db").write_bytes(b"noise " * 2000)
        (data / "chat.db-wal").write_bytes(b"noise" if damaged else log)
        kept = restore(data, tmp_path / "saved").kept
        assert kept is not None
        assert sum(map(len, (await everything(data)).values())) == 10
        assert not (data / "chat.db-wal").exists()
    (data / "chat.db").unlink()
    (data / "chat.db-wal").write_bytes(log)
    assert restore(data, tmp_path / "saved").kept is None
    assert sum(map(len, (await everything(data)).values())) == 10


async def test_what_a_crash_left_in_the_log_is_in_what_is_kept(data: Path, tmp_path: Path) -> None:
    await fill(data, commit(1, 10))
    await save(data, tmp_path / "saved")
    store = await open_sqlite(data / "chat.db")
    await store.commit(commit(11, 10))
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("chat.db", "chat.db-wal"):
        (crashed / name).write_bytes((data / name).read_bytes())
    await store.close()
    kept = restore(crashed, tmp_path / "saved").kept
    assert kept is not None
    assert names(crashed) == ["chat.db", kept.name]
    assert seal(kept).messages == 20


async def test_a_log_that_cannot_be_taken_in_is_not_left_behind(data: Path, tmp_path: Path) -> None:
    """The database is whole: without its log it would lack what was acknowledged last."""
    await fill(data, commit(1, 10))
    await save(data, tmp_path / "saved")
    (data / "chat.db-wal").mkdir()
    before = (data / "chat.db").read_bytes()
    assert await try_restore(data, tmp_path / "saved") == (
        f"cannot use {data}/chat.db: it can't be written (unable to open database file); it and its"
        " directory must belong to this user, and not be on a read-only disk"
    )
    assert names(data) == ["chat.db", "chat.db-wal"]
    assert (data / "chat.db").read_bytes() == before


async def test_a_restore_that_fails_in_the_end_changes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(data, commit(1, 10))
    await save(data, tmp_path / "saved")
    replace = Path.replace

    def replace_no_database(self: Path, target: Path) -> Path:
        if target.name == "chat.db":
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_no_database)
    before = await everything(data)
    assert "Input/output error" in await try_restore(data, tmp_path / "saved")
    assert names(data) == ["chat.db"]
    assert await everything(data) == before

    # SQLite takes the log in as well as it can, whatever else is damaged; here it cannot.
    monkeypatch.setattr(backup, "_take_log_in", lambda _: None)
    (data / "chat.db").write_bytes(b"noise " * 2000)
    (data / "chat.db-wal").write_bytes(b"log")
    assert "Input/output error" in await try_restore(data, tmp_path / "saved")
    assert names(data) == ["chat.db", "chat.db-wal"]
    assert (data / "chat.db").read_bytes() == b"noise " * 2000
    assert (data / "chat.db-wal").read_bytes() == b"log"

    monkeypatch.setattr(Path, "replace", replace)
    kept = restore(data, tmp_path / "saved").kept
    assert kept is not None
    assert names(data) == ["chat.db", kept.name, f"{kept.name}-wal"]
    assert kept.with_name(f"{kept.name}-wal").read_bytes() == b"log"


async def test_a_restore_is_refused_while_a_server_runs(
    store: SqliteStore, data: Path, tmp_path: Path
) -> None:
    await store.commit(commit(1, 1))
    await store.back_up(tmp_path / "saved")
    assert await try_restore(data, tmp_path / "saved") == (
        f"{data} is in use by another server; stop that one, or give this one its own --data-dir"
    )


async def test_what_is_no_whole_backup_changes_nothing(data: Path, tmp_path: Path) -> None:
    await fill(data, commit(1, 500))
    contents = await save(data, tmp_path / "saved")
    whole = (tmp_path / "saved").read_bytes()
    before = names(data), (data / "chat.db").read_bytes()
    bad = tmp_path / "bad"

    assert "No such file" in await try_restore(data, bad)
    assert "Is a directory" in await try_restore(data, tmp_path)
    bad.write_bytes(b"shopping list\n" * 1000)
    assert await try_restore(data, bad) == f"cannot use {bad}: it is not a database"
    bad.write_bytes(whole[:-4096])
    assert f"cannot use {bad}: it is damaged (" in await try_restore(data, bad)
    bad.write_bytes(whole[:20480] + bytes(4096) + whole[24576:])
    assert f"cannot use {bad}: it is damaged (" in await try_restore(data, bad)
    bad.write_bytes(b"")
    assert "not a database of trio-chat" in await try_restore(data, bad)
    assert "is the database itself" in await try_restore(data, data / "chat.db")
    found = hashlib.sha256(b"").hexdigest()
    assert f"its SHA-256 is {found}" in await try_restore(data, bad, contents.sha256)
    bad.unlink()
    database = apsw.Connection(str(bad))
    database.execute(f"{VERSION_2}; PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    assert "made by a newer version" in await try_restore(data, bad)
    assert (names(data), (data / "chat.db").read_bytes()) == before


async def test_a_backup_of_an_older_version_is_restored(data: Path, tmp_path: Path) -> None:
    database = apsw.Connection(str(tmp_path / "old"))
    database.execute(VERSION_1)
    database.close()
    contents = restore(data, tmp_path / "old").contents
    assert (contents.messages, contents.blocks, contents.files, contents.schema) == (3, 2, 0, 1)
    assert sorted(await everything(data)) == ["luke", "yoda"]
