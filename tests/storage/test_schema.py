"""The way from each older version: a database of each one, with data in it, loses nothing."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery, File
from trio_chat.storage.schema import SCHEMA_VERSION, check, count_rows, migrate, version_of
from trio_chat.storage.sqlite import open_sqlite, transaction
from trio_chat.storage.store import StoreError

# What each released version has left on people's disks. These never change; a new version adds
# its own.
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
INSERT INTO messages VALUES ('yoda', 4, 'luke', 'mac', 9, 'ünï 😀');
INSERT INTO messages VALUES ('luke', 3, 'hans', 'pc', 3, 'hello');
INSERT INTO blocks VALUES ('yoda', 'vader');
INSERT INTO blocks VALUES ('luke', 'vader');
PRAGMA user_version = 1;
"""
VERSION_2 = (
    VERSION_1
    + """
CREATE TABLE files (
    name        TEXT NOT NULL PRIMARY KEY,
    user        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    chunks      INTEGER NOT NULL,
    piece_bytes INTEGER NOT NULL,
    root        BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO files VALUES ('a.bin', 'hans', 5, 5, 16384, zeroblob(32));
PRAGMA user_version = 2;
"""
)
VERSION_3 = (
    VERSION_2
    + """
ALTER TABLE files ADD COLUMN held_at INTEGER NOT NULL DEFAULT 0;
UPDATE files SET held_at = unixepoch() - 100;
PRAGMA user_version = 3;
"""
)
VERSION_4 = VERSION_3 + "PRAGMA user_version = 4;"
VERSIONS = {1: VERSION_1, 2: VERSION_2, 3: VERSION_3, 4: VERSION_4}
FILE = ("hans", File("a.bin", 5, 5, 16384, bytes(32)))
FILES = {1: [], 2: [FILE], 3: [FILE], 4: [FILE]}
FAILURES = {
    1: "",  # a full disk is enough
    2: "CREATE TRIGGER fails BEFORE UPDATE ON files BEGIN SELECT raise(ABORT, 'full'); END",
}
"""What makes the way from a version fail, after its first statement or at it."""


def make(path: Path, sql: str) -> apsw.Connection:
    database = apsw.Connection(str(path))
    database.execute(sql)
    return database


def tables(database: apsw.Connection) -> object:
    return database.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def test_no_version_is_missing_here() -> None:
    assert sorted(VERSIONS) == list(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", VERSIONS)
async def test_data_of_every_version_are_taken_over(tmp_path: Path, version: int) -> None:
    path = tmp_path / "chat.db"
    make(path, VERSIONS[version]).close()
    new = Delivery(5, "hans", "pc", 4, "new")
    file = File("new.bin", 5, 5, 16384, bytes(32))
    for number in (1, 2):  # also when it is opened again
        store = await open_sqlite(path)
        restored = await store.restore()
        assert await store.load("luke") == (Delivery(3, "hans", "pc", 3, "hello"),)
        letters = (Delivery(1, "hans", "pc", 2, "hello"), Delivery(4, "luke", "mac", 9, "ünï 😀"))
        added = ((), (new,))[number - 1]
        assert await store.load("yoda") == (*letters, *added)
        assert sorted(restored.blocks) == [("luke", "vader"), ("yoda", "vader")]
        files = [*FILES[version], *[("hans", file) for _ in added]]
        assert list(restored.files) == files
        if number == 1:
            await store.commit(Commit(1, (("yoda", new),), (), (), (("hans", file),)))
        await store.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_way_leads_to_the_same_tables(tmp_path: Path, version: int) -> None:
    old, fresh = make(tmp_path / "old", VERSIONS[version]), apsw.Connection(":memory:")
    migrate(old)
    migrate(fresh)
    assert tables(old) == tables(fresh)
    assert version_of(old) == version_of(fresh) == SCHEMA_VERSION
    old.close()


@pytest.mark.parametrize("version", FAILURES)
def test_a_step_that_fails_leaves_the_old_version(tmp_path: Path, version: int) -> None:
    database = make(tmp_path / "old", VERSIONS[version])
    database.execute(FAILURES[version])
    before = tables(database)
    database.pragma("max_page_count", database.pragma("page_count"))
    with pytest.raises((apsw.FullError, apsw.ConstraintError)), transaction(database):
        migrate(database)
    assert (tables(database), version_of(database)) == (before, version)
    database.pragma("max_page_count", 1000)
    database.execute("DROP TRIGGER IF EXISTS fails")
    with transaction(database):
        migrate(database)
    assert version_of(database) == SCHEMA_VERSION
    database.close()


async def test_names_are_composed_when_they_are_taken_over(tmp_path: Path) -> None:
    path, zoe, old = tmp_path / "chat.db", "Zo\u00eb", "Zoe\u0308"
    database = make(path, VERSION_2)
    for seq in (5, 6):
        database.execute("INSERT INTO messages VALUES (?, ?, ?, 'pc', 2, ?)", (old, seq, old, old))
    database.execute("INSERT INTO messages VALUES (?, 7, 'hans', 'pc', 5, 'x')", (zoe,))
    database.execute("INSERT INTO blocks VALUES ('hans', ?), ('hans', ?)", (zoe, old))
    database.execute("INSERT INTO blocks VALUES (?, 'hans')", (old,))
    for name, size in ((old, 5), (f"{old}2", 5), (f"{zoe}2", 6)):
        database.execute(
            "INSERT INTO files VALUES (?, ?, ?, 5, 16384, zeroblob(32))", (name, old, size)
        )
    database.close()
    store = await open_sqlite(path)
    restored = await store.restore()
    assert [(m.seq, m.sender, m.text) for m in await store.load(zoe)] == [
        (5, zoe, old),
        (6, zoe, old),
        (7, "hans", "x"),
    ]
    assert {sender: count for sender, (count, _) in restored.waiting[zoe].items()} == {
        zoe: 2,
        "hans": 1,
    }
    assert old not in restored.waiting
    assert {("hans", zoe), (zoe, "hans")} < set(restored.blocks)
    assert len(list(restored.blocks)) == 4
    files = {file.name: (user, file.size) for user, file in restored.files}
    assert files.pop("a.bin") == ("hans", 5)
    assert files == {zoe: (zoe, 5), f"{old}2": (zoe, 5), f"{zoe}2": (zoe, 6)}
    await store.close()


def test_a_newer_version_and_the_tables_of_others_are_refused() -> None:
    database = apsw.Connection(":memory:")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for ask in (migrate, version_of, count_rows):
        with pytest.raises(StoreError, match="made by a newer version"):
            ask(database)
    database.execute("PRAGMA user_version = 0; CREATE TABLE notes (text TEXT)")
    for ask in (migrate, version_of, count_rows):
        with pytest.raises(StoreError, match="of another program"):
            ask(database)
    database.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreError, match="not a database of trio-chat"):
        count_rows(database)


@pytest.mark.parametrize(("version", "counts"), [(1, (3, 2, 0)), (2, (3, 2, 1))])
def test_rows_are_counted_in_every_version(
    tmp_path: Path, version: int, counts: tuple[int, int, int]
) -> None:
    database = make(tmp_path / "old", VERSIONS[version])
    assert count_rows(database) == counts
    check(database)
    database.close()
