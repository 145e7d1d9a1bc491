"""What the tests of the server share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .harness import Chat, GatedStore, running_chat


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
async def chat(store: GatedStore) -> AsyncIterator[Chat]:
    """A running server. A test that uses it asks for ``autojump_clock`` itself, as pytest-trio
    takes the clock from a test's own arguments only."""
    async with running_chat(store) as chat:
        yield chat
