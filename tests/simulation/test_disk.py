from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from trio_chat.core.effects import Commit
from trio_chat.storage.store import StoreError

from .disk import Disk

COMMIT = Commit(1, (), (), (("hans", "yoda", True),))


async def blocks(disk: Disk) -> list[tuple[str, str]]:
    return list((await disk.open().restore()).blocks)


async def test_a_crash_during_a_commit_leaves_all_of_it_or_nothing(
    autojump_clock: MockClock,
) -> None:
    kept = {True: 0, False: 0}
    for seed in range(30):
        disk = Disk(random.Random(seed))
        disk.seconds = 1.0
        with trio.move_on_after(1.5) as crash:
            await disk.open().commit(COMMIT)
        found = await blocks(disk)
        assert found in ([], [("hans", "yoda")])
        if crash.cancelled_caught:
            kept[bool(found)] += 1
        else:
            assert found, "what was reported is there"
    assert min(kept.values()) > 2


async def test_a_full_disk_changes_nothing(autojump_clock: MockClock) -> None:
    disk = Disk(random.Random(1))
    disk.is_full = disk.is_unreadable = True
    store = disk.open()
    with pytest.raises(StoreError):
        await store.commit(COMMIT)
    with pytest.raises(StoreError):
        await store.load("yoda")
    assert await blocks(disk) == []
    disk.is_full = disk.is_unreadable = False
    await store.commit(COMMIT)
    assert await store.load("yoda") == ()
    assert await blocks(disk) == [("hans", "yoda")]
    assert (disk.commits, disk.failures) == (1, 2)
