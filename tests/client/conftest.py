from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from .scene import Scene, open_scene


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncGenerator[Scene, None]:
    async with open_scene(tmp_path) as scene:
        yield scene


@pytest.fixture
async def script(tmp_path: Path) -> AsyncGenerator[Scene, None]:
    async with open_scene(tmp_path, interactive=False) as scene:
        yield scene


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncGenerator[Scene, None]:
    """One whose client tries to come back."""
    async with open_scene(tmp_path, reconnect_seconds=15) as scene:
        yield scene
