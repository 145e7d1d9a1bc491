"""What only the store in memory can do: fail when a test wants it to."""

import pytest

from trio_chat.core.effects import Commit
from trio_chat.protocol.messages import Delivery
from trio_chat.storage.memory import MemoryStore
from trio_chat.storage.store import StoreError

HELLO = Delivery(1, "hans", "pc", 2, "hello")


async def test_while_it_fails_nothing_changes() -> None:
    store = MemoryStore()
    store.failure = "the disk is full"
    with pytest.raises(StoreError, match="the disk is full"):
        await store.commit(Commit(1, (("yoda", HELLO),), (), (("a", "b", True),)))
    with pytest.raises(StoreError, match="the disk is full"):
        await store.load("yoda")
    store.failure = None
    assert await store.load("yoda") == ()
    assert (await store.restore()).blocks == ()
