"""What tests of the whole programs start with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An empty one."""
    with Stage(tmp_path) as stage:
        yield stage


@pytest.fixture
def chat(stage: Stage) -> Stage:
    """One with a server."""
    stage.start_server()
    return stage
