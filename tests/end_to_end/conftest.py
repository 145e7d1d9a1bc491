"""What tests of the whole programs start with."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .stage import Stage

# A shell lets its background jobs ignore it, and all programs that these start.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


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
