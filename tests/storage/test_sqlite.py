"""What only the real store can do: outlive its process, and meet a disk that is not as hoped."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest
import trio

from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery, File
from trio_chat.storage.sqlite import SCHEMA_VERSION, SqliteStore, open_sqlite
from trio_chat.storage.store import StoreError

HELLO = Delivery(1, "hans", "pc", 2, "hello")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chat.sqlite3"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """A thread of SQLite's that is left behind keeps the whole program from ending."""
    before = set(threading.enumerate())
    yield
    left = {thread for thread in set(threading.enumerate()) - before if not thread.daemon}
    for thread in left:
        thread.join(5.0)
    assert not [thread for thread in left if thread.is_alive()]


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await open_sqlite(path)
    try:
        yield store
    finally:
        await store.close()


async def refusal(path: Path) -> str:
    """Why this file can't be used."""
    with pytest.raises(StoreError) as caught:
        await open_sqlite(path)
    return str(caught.value)


async def test_what_was_committed_survives_reopening(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(Commit(1, (("yoda", HELLO),), (), (("luke", "hans", True),)))
    async with opened(path) as store:
        restored = await store.restore()
        assert (restored.last_seq, list(restored.blocks)) == (1, [("luke", "hans")])
        assert dict(restored.waiting) == {"yoda": (1, 5)}
        assert await store.load("yoda") == (HELLO,)


async def test_its_directory_is_made_for_its_owner_alone(path: Path) -> None:
    async with opened(path):
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_second_server_is_refused_until_the_first_is_gone(path: Path) -> None:
    async with opened(path):
        assert await refusal(path) == f"{path} is in use by another server"
    async with opened(path) as store:
        assert await store.load("yoda") == ()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    file = trio.Path(path)
    await file.write_text("shopping list\n" * 100)
    assert await refusal(path) == f"cannot use {path}: file is not a database"
    assert (await file.read_text()).startswith("shopping list")


async def test_data_of_a_newer_version_are_refused(path: Path) -> None:
    async with opened(path):
        pass
    database = apsw.Connection(str(path))
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    assert await refusal(path) == (
        f"cannot use {path}: made by a newer version of this program (schema {SCHEMA_VERSION + 1})"
    )


@pytest.mark.parametrize("below", ["chat.sqlite3", "deeper/chat.sqlite3"])
async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    text = await refusal(tmp_path / "file" / below)
    assert text.startswith(f"cannot make {(tmp_path / 'file' / below).parent}: ")
    assert "\n" not in text


async def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert await refusal(tmp_path) == f"cannot use {tmp_path}: unable to open database file"


async def test_a_commit_that_fails_in_the_middle_leaves_nothing_of_it(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(Commit(1, (("yoda", HELLO),), (), ()))
        other = Delivery(5, "hans", "pc", 3, "again")
        same_number = Delivery(5, "hans", "pc", 4, "twice")
        with pytest.raises(StoreError, match="the database failed"):
            await store.commit(
                Commit(
                    2,
                    (("luke", other), ("luke", same_number)),
                    (("yoda", 1),),
                    (("a", "b", True),),
                )
            )
        assert await store.load("yoda") == (HELLO,)
        assert await store.load("luke") == ()
        assert not (await store.restore()).blocks
        await store.commit(Commit(3, (("luke", other),), (), ()))
        assert await store.load("luke") == (other,)


async def test_a_commit_that_has_begun_is_not_given_up(path: Path) -> None:
    async with opened(path) as store:
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.commit(Commit(1, (("yoda", HELLO),), (), ()))
        assert await store.load("yoda") == (HELLO,)


async def test_every_commit_is_synced_to_the_disk(path: Path) -> None:
    async with opened(path) as store:
        pragma = store._database.pragma
        wanted = {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive"}
        found = await store._run(lambda: {name: pragma(name) for name in wanted})
        assert found == wanted


CRASH = """
import os, sys, trio
from pathlib import Path
from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery, File
from trio_chat.storage.sqlite import open_sqlite

async def main():
    store = await open_sqlite(Path(sys.argv[1]))
    await store.commit(Commit(1, (("yoda", Delivery(1, "hans", "pc", 2, "hello")),), (), ()))
    os._exit(9)

trio.run(main)
"""


async def test_what_was_committed_survives_a_crash(path: Path) -> None:
    crashed = await trio.run_process([sys.executable, "-c", CRASH, str(path)], check=False)
    assert crashed.returncode == 9
    async with opened(path) as store:
        assert await store.load("yoda") == (HELLO,)


REFUSED = """
import sys, trio
from pathlib import Path
from trio_chat.storage.sqlite import open_sqlite
from trio_chat.storage.store import StoreError
try:
    trio.run(open_sqlite, Path(sys.argv[1]))
except StoreError:
    print("refused")
"""


def test_a_program_whose_store_was_refused_can_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, str(tmp_path)],
        timeout=20,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "refused\n"


VERSION_1 = """
CREATE TABLE messages (
    recipient TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    sender    TEXT NOT NULL,
    client    TEXT NOT NULL,
    id        INTEGER NOT NULL,
    text      TEXT NOT NULL,
    PRIMARY KEY (recipient, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE blocks (
    blocker TEXT NOT NULL,
    blocked TEXT NOT NULL,
    PRIMARY KEY (blocker, blocked)
) STRICT, WITHOUT ROWID;
INSERT INTO messages VALUES ('yoda', 1, 'hans', 'pc', 2, 'hello');
INSERT INTO blocks VALUES ('yoda', 'luke');
PRAGMA user_version = 1;
"""


async def test_data_of_version_1_are_taken_over(path: Path) -> None:
    path.parent.mkdir()
    database = apsw.Connection(str(path))
    database.execute(VERSION_1)
    database.close()
    file = File("a.bin", 5, 5, 16384, bytes(32))
    async with opened(path) as store:
        assert await store.load("yoda") == (HELLO,)
        await store.commit(Commit(1, (), (), (), (("hans", file),)))
    async with opened(path) as store:
        restored = await store.restore()
        assert list(restored.blocks) == [("yoda", "luke")]
        assert list(restored.files) == [("hans", file)]
        assert await store.load("yoda") == (HELLO,)
