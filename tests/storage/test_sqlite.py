"""What only the real store can do: outlive its process, and meet a disk that is not as hoped."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import apsw
import pytest
import trio

from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery
from trio_chat.storage.schema import SCHEMA_VERSION
from trio_chat.storage.sqlite import SqliteStore, open_sqlite
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
        assert dict(restored.waiting) == {"yoda": {"hans": (1, 5)}}
        assert await store.load("yoda") == (HELLO,)


async def test_its_directory_is_made_for_its_owner_alone(path: Path) -> None:
    async with opened(path):
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_second_server_is_refused_until_the_first_is_gone(path: Path) -> None:
    async with opened(path):
        assert await refusal(path) == (
            f"{path.parent} is in use by another server; stop that one, or give this one its own"
            " --data-dir"
        )
    async with opened(path) as store:
        assert await store.load("yoda") == ()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    file = trio.Path(path)
    await file.write_text("shopping list\n" * 100)
    assert await refusal(path) == (
        f"cannot use {path}: it is not a database; restore a backup with 'trio-chat-server"
        " restore', or move the file away"
    )
    assert (await file.read_text()).startswith("shopping list")


async def test_data_of_a_newer_version_are_refused(path: Path) -> None:
    async with opened(path):
        pass
    database = apsw.Connection(str(path))
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    assert await refusal(path) == (
        f"cannot use {path}: it was made by a newer version of this program (schema"
        f" {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}); run that version, or restore"
        " a backup"
    )


@pytest.mark.parametrize("below", ["chat.sqlite3", "deeper/chat.sqlite3"])
async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    text = await refusal(tmp_path / "file" / below)
    assert text.startswith(f"cannot use {(tmp_path / 'file' / below).parent}: ")
    assert "\n" not in text


async def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert (await refusal(tmp_path)).startswith(
        f"cannot use {tmp_path}: it can't be written (unable to open database file); it and its"
        " directory must belong to this user"
    )


async def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    make_database(path, "CREATE TABLE notes (text TEXT)")
    before = await trio.Path(path).read_bytes()
    assert await refusal(path) == (
        f"cannot use {path}: it is the database of another program; give another --data-dir"
    )
    assert await trio.Path(path).read_bytes() == before


# -- A disk or a file that is not as it was ------------------------------------------------------


def make_database(path: Path, sql: str) -> None:
    database = apsw.Connection(str(path))
    database.execute(sql)
    database.close()


async def fill(path: Path, count: int = 500) -> None:
    """A database of some hundred pages, and no log beside it."""
    letters = tuple(
        (f"user{seq % 5}", Delivery(seq, "hans", "pc", seq, f"{seq} " * 100))
        for seq in range(1, count + 1)
    )
    async with opened(path) as store:
        await store.commit(Commit(1, letters, (), ()))


@pytest.mark.parametrize("part", ["all of it", "the first page", "a page in the middle"])
async def test_a_database_with_random_bytes_in_it_is_refused_in_one_line(
    path: Path, part: str
) -> None:
    await fill(path)
    file = trio.Path(path)
    data = bytearray(await file.read_bytes())
    noise = Random(5).randbytes(len(data))  # noqa: S311  # noise, not a secret
    middle = len(data) // 2 // 4096 * 4096
    where = {
        "all of it": slice(0, len(data)),
        "the first page": slice(100, 4096),
        "a page in the middle": slice(middle, middle + 4096),
    }[part]
    data[where] = noise[where]
    await file.write_bytes(data)
    text = await refusal(path)
    assert text.startswith(f"cannot use {path}: it is ")
    assert text.endswith(
        "; restore a backup with 'trio-chat-server restore', or move the file away"
    )
    assert "\n" not in text
    assert await file.read_bytes() == data, "nothing has touched it"


@pytest.mark.parametrize("cut", [4096, 100_000])
async def test_a_database_that_was_cut_off_is_refused(path: Path, cut: int) -> None:
    await fill(path)
    file = trio.Path(path)
    await file.write_bytes((await file.read_bytes())[:-cut])
    assert f"cannot use {path}: it is damaged (" in await refusal(path)


async def flip(path: Path, text: bytes) -> None:
    """Change a bit of the first letter of what stands in a database once."""
    file = trio.Path(path)
    data = await file.read_bytes()
    assert data.count(text) == 1
    await file.write_bytes(data.replace(text, bytes([text[0] ^ 0x80]) + text[1:]))


async def test_a_damaged_letter_costs_its_receiver_their_mailbox_and_nobody_else(
    path: Path,
) -> None:
    other = Delivery(2, "hans", "pc", 3, "a word")
    async with opened(path) as store:
        await store.commit(Commit(1, (("yoda", HELLO), ("luke", other)), (), ()))
    await flip(path, b"a word")
    async with opened(path) as store:
        assert dict((await store.restore()).waiting) == {
            "yoda": {"hans": (1, 5)},
            "luke": {"hans": (1, 6)},
        }
        with pytest.raises(
            StoreError, match=r"^the database failed: it is damaged \('utf-8' codec"
        ):
            await store.load("luke")
        assert await store.load("yoda") == (HELLO,)


async def test_a_damaged_name_is_an_error_of_the_store(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(Commit(1, (), (), (("luke", "vader", True),)))
    await flip(path, b"vader")
    async with opened(path) as store:
        with pytest.raises(StoreError, match=r"it is damaged .*; restore a backup"):
            await store.restore()


async def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "\udcff.db"
    assert await refusal(path) == f"cannot use {path}: its name is not valid UTF-8"


async def test_a_full_disk_refuses_commits_until_it_has_room_again(path: Path) -> None:
    async with opened(path) as store:
        pragma = store._database.pragma
        await store.commit(Commit(1, (("yoda", HELLO),), (), ()))
        pages = await store._run(lambda: pragma("page_count"))
        await store._run(lambda: pragma("max_page_count", pages))
        large = Delivery(2, "hans", "pc", 3, "x" * 8000)
        for number in range(2, 5):
            with pytest.raises(StoreError) as caught:
                await store.commit(Commit(number, (("luke", large),), (("yoda", 1),), ()))
            assert str(caught.value) == (
                "the database failed: the disk is full; free some space on it"
            )
        assert await store.load("yoda") == (HELLO,), "all of a commit, or nothing"
        assert await store.load("luke") == ()
        await store._run(lambda: pragma("max_page_count", 1_000_000))
        await store.commit(Commit(5, (("luke", large),), (), ()))
    async with opened(path) as store:
        assert await store.load("luke") == (large,)


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
from trio_chat.protocol.messages import Delivery
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
