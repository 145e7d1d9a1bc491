"""The contract of a store, for all of them alike."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_chat.core.beginning import Restored
from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery, File
from trio_chat.storage.memory import MemoryStore
from trio_chat.storage.sqlite import open_sqlite
from trio_chat.storage.store import Store

Blocks = tuple[tuple[str, str, bool], ...]


def delivery(seq: int, text: str = "hi") -> Delivery:
    return Delivery(seq, "hans", "pc", seq + 100, text)


def commit(
    *messages: tuple[str, Delivery],
    acknowledged: tuple[tuple[str, int], ...] = (),
    blocks: Blocks = (),
    files: tuple[tuple[str, File], ...] = (),
) -> Commit:
    return Commit(1, messages, acknowledged, blocks, files)


def file(name: str, size: int = 100) -> File:
    return File(name, size, 10, 16384, bytes(range(32)))


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened: Store = MemoryStore()
    if request.param == "sqlite":
        opened = await open_sqlite(tmp_path / "chat.sqlite3")
    yield opened
    await opened.close()


async def test_a_new_store_is_empty(store: Store) -> None:
    restored = await store.restore()
    assert (restored.last_seq, list(restored.blocks), dict(restored.waiting)) == (0, [], {})
    assert await store.load("yoda") == ()


async def test_messages_are_kept_for_each_user_in_order(store: Store) -> None:
    await store.commit(commit(("yoda", delivery(2)), ("luke", delivery(3))))
    await store.commit(commit(("yoda", delivery(5, "ünï 😀 \x00 'x")), ("yoda", delivery(7))))
    assert await store.load("yoda") == (delivery(2), delivery(5, "ünï 😀 \x00 'x"), delivery(7))
    assert await store.load("luke") == (delivery(3),)
    assert await store.load("Yoda") == ()


async def test_what_waits_is_counted_in_bytes(store: Store) -> None:
    await store.commit(commit(("yoda", delivery(2, "äö")), ("yoda", delivery(4, "a"))))
    await store.commit(commit(("luke", delivery(3, ""))))
    restored = await store.restore()
    assert restored.last_seq == 4
    assert dict(restored.waiting) == {"yoda": {"hans": (2, 5)}, "luke": {"hans": (1, 0)}}


async def test_acknowledged_messages_are_forgotten_up_to_the_last(store: Store) -> None:
    await store.commit(
        commit(*(("yoda", delivery(seq)) for seq in (1, 2, 3)), ("luke", delivery(4)))
    )
    await store.commit(commit(acknowledged=(("yoda", 2), ("luke", 9), ("nobody", 5))))
    assert await store.load("yoda") == (delivery(3),)
    assert await store.load("luke") == ()
    assert dict((await store.restore()).waiting) == {"yoda": {"hans": (1, 2)}}


async def test_a_commit_may_forget_and_keep_for_the_same_user(store: Store) -> None:
    await store.commit(commit(("yoda", delivery(1))))
    await store.commit(commit(("yoda", delivery(2)), acknowledged=(("yoda", 1),)))
    assert await store.load("yoda") == (delivery(2),)


async def test_blocks_change_in_order(store: Store) -> None:
    await store.commit(commit(blocks=(("a", "b", True), ("c", "d", True), ("b", "a", True))))
    await store.commit(commit(blocks=(("a", "b", False), ("a", "b", True), ("c", "d", False))))
    await store.commit(commit(blocks=(("a", "b", True), ("x", "y", False))))
    assert set((await store.restore()).blocks) == {("a", "b"), ("b", "a")}


async def test_files_are_kept_with_their_owners(store: Store) -> None:
    largest = file("ünï 😀 'x", 2**53 - 1)
    await store.commit(commit(files=(("hans", file("a")), ("yoda", largest), ("yoda", file("c")))))
    await store.commit(commit(files=(("luke", file("a", 9)), ("luke", file("b", 0)))))
    await store.commit(Commit(3, (), (), (), dropped=("c", "nothing"), held=("b", "nothing")))
    assert sorted((await store.restore()).files, key=str) == [
        ("luke", file("a", 9)),
        ("luke", file("b", 0)),
        ("yoda", largest),
    ]


async def test_an_empty_commit_is_fine(store: Store) -> None:
    await store.commit(commit())
    assert (await store.restore()).last_seq == 0


users = st.sampled_from(["a", "b", "c"])
messages = st.lists(st.tuples(users, st.text(max_size=5)), max_size=4)
acknowledged = st.dictionaries(users, st.integers(0, 20), max_size=3)
new_files = st.lists(st.tuples(users, users), max_size=2)
block_changes = st.lists(st.tuples(users, users, st.booleans()), max_size=3)


@st.composite
def histories(draw: st.DrawFn) -> list[Commit]:
    seq = itertools.count(1)
    return [
        Commit(
            number,
            tuple((user, delivery(next(seq), text)) for user, text in draw(messages)),
            tuple(draw(acknowledged).items()),
            tuple(draw(block_changes)),
            tuple((user, file(name)) for user, name in draw(new_files)),
        )
        for number in range(draw(st.integers(0, 6)))
    ]


@settings(max_examples=30)
@given(histories())
async def test_both_stores_keep_the_same(history: list[Commit]) -> None:
    memory = MemoryStore()
    with TemporaryDirectory() as directory:
        sqlite = await open_sqlite(Path(directory) / "chat.sqlite3")
        async with aclosing_store(sqlite):
            for commit in history:
                await memory.commit(commit)
                await sqlite.commit(commit)
                assert comparable(await memory.restore()) == comparable(await sqlite.restore())
                for user in ("a", "b", "c"):
                    assert await memory.load(user) == await sqlite.load(user)


@asynccontextmanager
async def aclosing_store(store: Store) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await store.close()


def comparable(restored: Restored) -> tuple[object, ...]:
    return (
        restored.last_seq,
        sorted(restored.blocks),
        dict(restored.waiting),
        sorted(restored.files, key=str),
    )


async def test_a_copy_holds_everything(store: Store, tmp_path: Path) -> None:
    await store.commit(
        commit(
            *(("yoda", delivery(1)), ("luke", delivery(2, "ünï 😀"))),
            blocks=(("a", "b", True),),
            files=(("hans", file("a")),),
        )
    )
    path = tmp_path / "elsewhere" / "copy"
    path.parent.mkdir()
    await store.back_up(path)
    copy = await open_sqlite(path)
    async with aclosing_store(copy):
        assert comparable(await copy.restore()) == comparable(await store.restore())
        assert await copy.load("luke") == (delivery(2, "ünï 😀"),)
