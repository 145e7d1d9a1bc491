"""The lock on a data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trio_chat.storage.lock import locked
from trio_chat.storage.store import StoreError

HOLD = """
import sys
from pathlib import Path
from trio_chat.storage.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(StoreError, match="in use by another server"),
        locked(tmp_path),
    ):
        raise AssertionError("two hold it")
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="in use by another server"), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with locked(tmp_path):
        pass


def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot use .*/file: "), locked(tmp_path / "file"):
        pass
